//! Everything at once, on many threads.

use std::time::Duration;

use adieu::conn::http1::{Builder, Connection, SendRequest};
use adieu::{Body, CloseMode, Ended, Signal, State};
use adieu_testkit::memory::{Chunks, MemoryEnd, PairBuilder};
use http_body_util::BodyExt;

use super::{LONG, NOTHING};
use crate::support::{
    Memory, beside, get, handed_body, in_memory_over, piece, post, upload, watch_for_hangs, within,
};

/// A generator that a seed repeats.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A server that answers in one of many ways, for as long as the client goes on.
async fn whimsical(mut peer: MemoryEnd, mut chance: Chance) {
    while let Ok(head) = peer.read_head().await {
        if head.starts_with(b"PUT") && chance.below(3) > 0 {
            // Only the uploads of this test end like this.
            let mut tail = Vec::new();
            while !tail.ends_with(b"0\r\n\r\n") {
                match peer.read_exactly(1).await {
                    Ok(byte) => tail.extend_from_slice(&byte),
                    Err(_) => return,
                }
            }
        }
        let answer: &[&str] = match chance.below(12) {
            0 => &["HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"],
            1 => &[LONG, "not all of it"],
            2 => &["HTTP/1.1 200 OK\r\n\r\n", "until close"],
            3 => &["HTTP/1.1 103 Early\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "he", "llo"],
            4 => &["HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"],
            5 => &["nonsense"],
            6..=8 => &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n", "abc\r\n0\r\n", "\r\n"],
            _ => &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"],
        };
        for part in answer {
            if chance.below(3) == 0 {
                tokio::task::yield_now().await;
            }
            if peer.send(part).await.is_err() {
                return;
            }
        }
        match (answer.len(), chance.below(12)) {
            (_, 0) => return peer.reset(),
            (2, _) | (_, 1) => break,
            _ => {}
        }
    }
    let _ = peer.fin().await;
    // What is left unread by a server that goes is a reset; this one reads on for a while.
    let _ = tokio::time::timeout(Duration::from_millis(chance.below(30)), peer.read_until_end()).await;
}

/// One client that does what comes to its mind, and lets go of everything at the end.
async fn erratic(mut sender: SendRequest, connection: Connection, mut chance: Chance) {
    let mut held: Vec<Body> = Vec::new();
    for _ in 0..chance.below(12) {
        match chance.below(16) {
            0..=6 => {
                let (body, frames) = handed_body();
                let request = match chance.below(3) {
                    0 => get("/"),
                    1 => post("/", "short"),
                    _ => upload(frames, None),
                };
                for _ in 0..chance.below(4) {
                    let _ = body.send(piece(vec![b'x'; chance.below(3_000) as usize]));
                }
                if chance.below(8) == 0 {
                    let _ = body.send(Err("changed its mind".into()));
                }
                // Silent for ever, or at its end.
                let silent = (chance.below(6) == 0).then_some(body);
                let patience =
                    Duration::from_millis(if chance.below(3) == 0 { 0 } else { 1 + chance.below(20) });
                if let Ok(Ok(response)) = tokio::time::timeout(patience, sender.send_request(request)).await {
                    held.push(response.into_body());
                }
                drop(silent);
            }
            7..=9 => {
                if let Some(mut body) = held.pop() {
                    for _ in 0..chance.below(4) {
                        let _ = tokio::time::timeout(Duration::from_millis(2), body.frame()).await;
                    }
                    if chance.below(2) == 0 {
                        held.push(body);
                    }
                }
            }
            10 => drop(held.pop()),
            11 => {
                let _ = tokio::time::timeout(Duration::from_millis(chance.below(5)), sender.ready()).await;
            }
            12 => tokio::task::yield_now().await,
            13 => drop((connection.snapshot().to_string(), connection.watch(), connection.report())),
            14 => {
                let mut watch = connection.watch();
                let _ = tokio::time::timeout(Duration::from_millis(chance.below(3)), watch.changed()).await;
            }
            _ => {
                let mode = match chance.below(8) {
                    0 => CloseMode::abort(),
                    1 => CloseMode::now(),
                    2 => CloseMode::half(),
                    _ => CloseMode::graceful().drain(Duration::from_millis(chance.below(40))),
                };
                let closing = connection.close(mode.linger(Duration::from_millis(chance.below(50))));
                match chance.below(3) {
                    0 => drop(closing),
                    1 => drop(tokio::time::timeout(Duration::from_millis(1), closing).await),
                    _ => {
                        let other = connection.clone();
                        beside(async move { drop((closing.await, other)) });
                    }
                }
            }
        }
    }
    match chance.below(3) {
        0 => drop((held, sender, connection)),
        1 => {
            drop((sender, connection));
            tokio::task::yield_now().await;
            drop(held);
        }
        _ => {
            let thread = tokio::task::spawn_blocking(move || drop((connection, held, sender)));
            thread.await.unwrap();
        }
    }
}

fn storm(seed: u64, threads: usize) {
    watch_for_hangs();
    let mut kind = match threads {
        0 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut kind = tokio::runtime::Builder::new_multi_thread();
            kind.worker_threads(threads);
            kind
        }
    };
    let runtime = kind.enable_all().build().unwrap();
    let reports = runtime.block_on(async {
        let builder = Builder::new().max_departing(20).linger(Duration::from_millis(40));
        let builder = builder.response_head_timeout(Some(Duration::from_millis(60)));
        let builder = builder.body_gap_timeout(Some(Duration::from_millis(30)));
        let builder = builder.write_stall_timeout(Some(Duration::from_millis(50)));
        let builder = builder.exchange_timeout(Some(Duration::from_millis(300)));
        let (mut clients, mut reports) = (Vec::new(), Vec::new());
        for number in 0..200 {
            let mut chance = Chance(seed.wrapping_mul(1_000_003).wrapping_add(number));
            let pair = PairBuilder::new().buffer(1 + chance.below(5_000) as usize);
            let pair = pair.chunks(if chance.below(2) == 0 { Chunks::Whole } else { Chunks::AtMost(7) });
            let (ours, peer) = pair.build();
            let (sender, connection) = builder.handshake_on(Memory(ours)).await.unwrap();
            reports.push(beside(connection.closed()));
            beside(whimsical(peer, Chance(chance.below(u64::from(u32::MAX)))));
            clients.push(beside(erratic(sender, connection, chance)));
        }
        for client in clients {
            within(Duration::from_secs(20), client).await.unwrap();
        }
        let mut done = Vec::new();
        for report in reports {
            done.push(within(Duration::from_secs(20), report).await.unwrap());
        }
        done
    });
    for report in &reports {
        assert!(report.exchanges + report.failed <= 12, "seed {seed}: {report}");
        assert!(!report.to_string().contains('\n'));
        let rst = report.sent.contains(Signal::Rst);
        assert!(!(report.ended == Ended::Clean && rst), "seed {seed}: {report}");
        assert!(!(report.ended == Ended::PeerSilent && rst), "seed {seed}: {report}");
    }
    assert_eq!(reports.len(), 200);
}

#[test]
fn a_storm_on_one_thread() {
    (0..4).for_each(|seed| storm(seed, 0));
}

#[test]
fn a_storm_on_two_threads() {
    (0..4).for_each(|seed| storm(seed, 2));
}

#[test]
fn a_storm_on_eight_threads() {
    (0..4).for_each(|seed| storm(seed, 8));
}

#[test]
fn two_tasks_ask_and_close_at_once() {
    watch_for_hangs();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        for round in 0..200 {
            let (mut sender, connection, mut peer) =
                in_memory_over(PairBuilder::new().buffer(100), &Builder::new()).await;
            let serving = beside(async move {
                while peer.read_head().await.is_ok() && peer.send(NOTHING).await.is_ok() {}
                let _ = peer.fin().await;
            });
            let asking = {
                let connection = connection.clone();
                beside(async move {
                    let mut watch = connection.watch();
                    while watch.state() != State::Closed {
                        assert!(!connection.snapshot().to_string().is_empty());
                        let _ = tokio::time::timeout(Duration::from_micros(50), watch.changed()).await;
                    }
                    connection.report().expect("closed, and no report")
                })
            };
            let sending = beside(async move { while sender.send_request(get("/")).await.is_ok() {} });
            for _ in 0..round % 20 {
                tokio::task::yield_now().await;
            }
            let (one, two) = tokio::join!(
                beside({
                    let connection = connection.clone();
                    async move { connection.close(CloseMode::graceful()).await }
                }),
                beside({
                    let connection = connection.clone();
                    async move { connection.close(CloseMode::now()).await }
                })
            );
            let reports = [one.unwrap(), two.unwrap(), within(Duration::from_secs(5), asking).await.unwrap()];
            assert!(reports.iter().all(|report| *report == reports[0]), "{reports:?}");
            within(Duration::from_secs(5), sending).await.unwrap();
            within(Duration::from_secs(5), serving).await.unwrap();
        }
    });
}
