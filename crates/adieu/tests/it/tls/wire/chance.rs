//! Chance: writes, reads, flushes, buffers and keys as a seed has them. The same seed, the same run.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use adieu::transport::tls::TlsStream;
use adieu::transport::{PeerEnd, Transport};
use adieu_testkit::memory::{Chunks, PairBuilder};
use adieu_testkit::peer::TlsVersion;
use adieu_testkit::world::Chance;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::support::BOTH;
use super::{Gathers, joined, pattern};
use crate::support::beside;

const SEEDS: u64 = 12;

/// What a client does with one stream.
struct Client {
    stream: TlsStream,
    chance: Chance,
    to_send: Vec<u8>,
    sent: usize,
    got: Vec<u8>,
    ours: Ours,
    theirs: Theirs,
    /// How often it was called.
    calls: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ours {
    Writing,
    Ending,
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Theirs {
    Open,
    Notified,
    Ended,
}

impl Client {
    /// Goes on until both sides ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.calls += 1;
        loop {
            let wrote = self.write(cx);
            let read = self.read(cx);
            if self.ours == Ours::Ended && self.theirs == Theirs::Ended {
                return Poll::Ready(());
            }
            if wrote.is_pending() && read.is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut stream = Pin::new(&mut self.stream);
        match self.ours {
            Ours::Writing if self.sent < self.to_send.len() => {
                let most = [3, 100, 5000, 50_000][self.chance.within(0..4) as usize];
                let size = (self.chance.within(1..most + 1) as usize).min(self.to_send.len() - self.sent);
                let piece = &self.to_send[self.sent..self.sent + size];
                let wrote = std::task::ready!(stream.as_mut().poll_write(cx, piece)).unwrap();
                assert!(wrote > 0 && wrote <= size);
                self.sent += wrote;
                if self.chance.once_in(3) {
                    let _either_way = stream.poll_flush(cx).map(Result::unwrap);
                }
            }
            Ours::Writing => self.ours = Ours::Ending,
            Ours::Ending => {
                std::task::ready!(stream.poll_shutdown(cx)).unwrap();
                self.ours = Ours::Ended;
            }
            Ours::Ended => return Poll::Pending,
        }
        Poll::Ready(())
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.theirs == Theirs::Ended {
            return Poll::Pending;
        }
        let mut room = vec![0; self.chance.within(1..20_000) as usize];
        let mut buffer = ReadBuf::new(&mut room);
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)).unwrap();
        self.got.extend(buffer.filled());
        if buffer.filled().is_empty() {
            self.theirs = match (self.theirs, self.stream.peer_end()) {
                (Theirs::Open, PeerEnd::CloseNotify) => Theirs::Notified,
                (Theirs::Notified, PeerEnd::Fin) => Theirs::Ended,
                (_, end) => panic!("{end:?}"),
            };
        }
        Poll::Ready(())
    }
}

async fn run(seed: u64, version: TlsVersion) {
    let mut chance = Chance::new(seed);
    let buffer = [2, 50, 700, 20_000, 1 << 17][chance.within(0..5) as usize];
    let most = if buffer < 50 { 3000 } else { 80_000 };
    let gathers = if chance.once_in(2) { Gathers::Yes } else { Gathers::No };
    let mut pair = PairBuilder::new().buffer(buffer);
    if chance.once_in(3) {
        pair = pair.chunks(Chunks::AtMost(chance.within(1..3000) as usize));
    }
    let (stream, mut served, probe) = joined(pair, gathers, version).await;
    let (up, down) = (pattern(chance.within(0..most) as usize), pattern(chance.within(0..most) as usize));
    let mut client = Client {
        stream,
        chance: chance.clone(),
        to_send: up.clone(),
        sent: 0,
        got: Vec::new(),
        ours: Ours::Writing,
        theirs: Theirs::Open,
        calls: 0,
    };
    let client = beside(async move {
        poll_fn(|cx| client.poll(cx)).await;
        (client.got, client.calls)
    });
    let mut left = &down[..];
    let mut keys = 0;
    while !left.is_empty() {
        let (piece, rest) = left.split_at((chance.within(1..30_000) as usize).min(left.len()));
        served.put(piece);
        left = rest;
        if version == TlsVersion::Tls13 && keys < 20 && chance.once_in(3) {
            served.update_keys();
            keys += 1;
        }
        if chance.once_in(2) {
            served.flush().await;
        }
    }
    served.goodbye().await;
    let (got, calls) = served.during(client).await.unwrap();
    served.until(|served| served.fin).await;
    assert!(got == down, "{} of {} bytes came down", got.len(), down.len());
    assert!(
        served.plain == up && served.close_notify,
        "{} of {} bytes went up",
        served.plain.len(),
        up.len()
    );
    // No busy loop: it is called only when the other side did something.
    let steps = 2 * (up.len() + down.len() + 8000) / buffer + 500;
    assert!(calls < 4 * steps as u64, "{calls} calls for {steps} steps");
    let polls = probe.polls().total();
    assert!(polls < 40 * steps as u64 + 20_000, "{polls} polls for {steps} steps");
}

#[tokio::test(start_paused = true)]
async fn whatever_is_written_read_and_flushed_arrives() {
    for seed in 0..SEEDS {
        for version in BOTH {
            let outcome = beside(run(seed, version)).await;
            assert!(outcome.is_ok(), "seed {seed}, {version}");
        }
    }
}
