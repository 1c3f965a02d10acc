//! Errors, as people and programs see them.

use std::error::Error as _;
use std::future::Future;
use std::io::{self, ErrorKind as Io};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use adieu::conn::http1::{self, Builder};
use adieu::transport::Transport;
use adieu::{Blame, Body, CloseMode, Error, ErrorKind, ExchangePhase, Phase};
use adieu_testkit::memory::{MemoryEnd, PairBuilder};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{LONG, connect};
use crate::support::{
    ask, beside, get, handed_body, in_memory_with, in_time, read, settle, upload, watch_for_hangs,
};

/// A transport whose reads or writes fail in some way.
#[derive(Debug)]
struct Failing {
    end: MemoryEnd,
    reads: Option<Io>,
    writes: Option<Io>,
}

impl Transport for Failing {}

impl AsyncRead for Failing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.reads {
            Some(kind) if self.end.polls().writes > 0 => Poll::Ready(Err(kind.into())),
            _ => Pin::new(&mut self.end).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Failing {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.writes {
            Some(kind) => Poll::Ready(Err(kind.into())),
            None => Pin::new(&mut self.end).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_shutdown(cx)
    }
}

async fn failing(reads: Option<Io>, writes: Option<Io>) -> Error {
    watch_for_hangs();
    let (end, _peer) = PairBuilder::new().build();
    let (mut sender, connection) = http1::handshake_on(Failing { end, reads, writes }).await.unwrap();
    let error = in_time(sender.send_request(get("/"))).await.unwrap_err();
    in_time(connection.closed()).await;
    error
}

/// What an exchange fails with if the peer answers this, and then ends in this way.
async fn failure(answer: &str, end: fn(MemoryEnd)) -> Error {
    let (mut sender, connection, mut peer) = connect().await;
    let reading = beside(async move { read(sender.send_request(get("/")).await?).await });
    peer.read_head().await.unwrap();
    peer.send(answer).await.unwrap();
    settle().await;
    end(peer);
    let error = in_time(reading).await.unwrap().unwrap_err();
    assert_eq!(error.connection(), Some(connection.id()));
    assert_eq!(in_time(connection.closed()).await.failed, 1);
    error
}

/// One error of each kind, with who can mend it and what it is to `io`.
async fn one_of_each() -> Vec<(ErrorKind, Blame, Io, Error)> {
    use ErrorKind as K;
    let fin: fn(MemoryEnd) = |peer| drop(peer);
    let reset: fn(MemoryEnd) = |peer| peer.reset();
    let mut all = Vec::new();

    let (mut sender, connection, mut peer) = connect().await;
    let unsendable = Request::get("/no/host").body(Body::empty()).unwrap();
    let error = sender.send_request(unsendable).await.unwrap_err();
    all.push((K::InvalidRequest, Blame::Caller, Io::InvalidInput, error));
    let held = ask(&mut sender, &mut peer, LONG).await;
    all.push((K::NotReady, Blame::Caller, Io::Other, sender.send_request(get("/")).await.unwrap_err()));
    in_time(connection.close(CloseMode::abort())).await;
    all.push((
        K::Closed,
        Blame::Caller,
        Io::ConnectionAborted,
        sender.send_request(get("/")).await.unwrap_err(),
    ));
    all.push((K::Closed, Blame::Caller, Io::ConnectionAborted, read(held).await.unwrap_err()));

    all.push((K::NoResponse, Blame::Peer, Io::UnexpectedEof, failure("", fin).await));
    all.push((K::IncompleteHead, Blame::Peer, Io::UnexpectedEof, failure("HTTP/1.1 200 OK\r\nA", fin).await));
    all.push((K::IncompleteBody, Blame::Peer, Io::UnexpectedEof, failure(LONG, fin).await));
    all.push((K::BadResponse, Blame::Peer, Io::InvalidData, failure("SSH-2.0-what\r\n\r\n", fin).await));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    all.push((K::BadBody, Blame::Peer, Io::InvalidData, failure(chunked, fin).await));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(129));
    all.push((K::TooLarge, Blame::Peer, Io::InvalidData, failure(&many, fin).await));
    all.push((K::Reset, Blame::Peer, Io::ConnectionReset, failure("", reset).await));
    all.push((K::Reset, Blame::Peer, Io::ConnectionReset, failure(LONG, reset).await));
    for kind in [Io::TimedOut, Io::HostUnreachable, Io::PermissionDenied] {
        all.push((K::Network, Blame::Network, kind, failing(Some(kind), None).await));
        all.push((K::Network, Blame::Network, kind, failing(None, Some(kind)).await));
    }

    let (mut sender, _connection, _peer) =
        in_memory_with(&Builder::new().exchange_timeout(Some(Duration::ZERO))).await;
    let error = sender.send_request(get("/")).await.unwrap_err();
    all.push((K::Timeout(Phase::Exchange), Blame::Policy, Io::TimedOut, error));

    let (mut sender, _connection, _peer) = connect().await;
    let (body, frames) = handed_body();
    body.send(Err("disk on fire".into())).unwrap();
    let error = sender.send_request(upload(frames, None)).await.unwrap_err();
    all.push((K::RequestBody, Blame::Caller, Io::Other, error));

    let (mut sender, connection, mut peer) = connect().await;
    let sending = beside(sender.send_request(get("/")));
    peer.read_head().await.unwrap();
    let closing = beside(connection.close(CloseMode::half()));
    settle().await;
    drop(peer);
    let error = in_time(sending).await.unwrap().unwrap_err();
    in_time(closing).await.unwrap();
    all.push((K::HalfCloseRefused, Blame::Peer, Io::ConnectionAborted, error));

    let outside = std::thread::spawn(|| {
        let (end, _peer) = PairBuilder::new().build();
        let mut handshake = pin!(http1::handshake(end));
        match handshake.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(error)) => error,
            other => panic!("{other:?}"),
        }
    });
    all.push((K::NoRuntime, Blame::Caller, Io::Other, outside.join().unwrap()));
    all
}

#[tokio::test(start_paused = true)]
async fn each_error_is_one_line_and_knows_its_kind_and_who_can_mend_it() {
    let mut kinds = Vec::new();
    for (kind, blame, io_kind, error) in one_of_each().await {
        let text = error.to_string();
        assert_eq!((error.kind(), error.blame()), (kind, blame), "{text}: {error:?}");
        assert!(!text.is_empty() && !text.contains('\n') && text.len() < 150, "{text}");
        assert_eq!(text, text.trim(), "{text:?}");
        assert_eq!(text.contains(" (connection #"), error.connection().is_some(), "{text}");
        assert!(!format!("{error:?}").is_empty());
        // One level each: the source tells what the error does not, unless it is all that there is to tell.
        if let Some(source) = error.source().filter(|_| kind != ErrorKind::InvalidRequest) {
            assert!(!text.contains(&source.to_string()), "{text} tells its source");
        }
        let source = error.source().map(ToString::to_string);
        let error = io::Error::from(error);
        assert_eq!((error.kind(), error.to_string()), (io_kind, text));
        let inner = error.into_inner().unwrap().downcast::<Error>().unwrap();
        assert_eq!((inner.kind(), inner.source().map(ToString::to_string)), (kind, source));
        kinds.push(kind);
    }
    kinds.dedup();
    assert!(kinds.len() >= 15, "{kinds:?}");
}

#[tokio::test(start_paused = true)]
async fn an_error_tells_where_the_exchange_was() {
    let error = failure("", |peer| peer.reset()).await;
    assert_eq!(error.phase(), ExchangePhase::AwaitingResponse);
    let facts = error.facts().unwrap();
    assert!(facts.head > 0 && facts.handed == facts.head && facts.answered == 0, "{facts:?}");
    let error = failure(LONG, |peer| peer.reset()).await;
    assert_eq!(error.phase(), ExchangePhase::ReceivingBody);
    assert!(error.facts().unwrap().answered > 0);
    assert!(!error.is_timeout());
}
