//! Backpressure, and the limit of a write that stalls although TLS has taken what it was given. On a paused clock.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use adieu::conn::http1::{Builder, Connection, SendRequest, handshake_on};
use adieu::transport::Transport;
use adieu::{CloseReason, Ended, ErrorKind, Phase, Signal};
use adieu_testkit::memory::{MemoryEnd, PairBuilder, Side, pair};
use adieu_testkit::peer::TlsVersion;
use tokio::io::AsyncWrite;

use super::super::support::{BOTH, CONNECTOR, signals};
use super::served::{Reading, Served};
use super::{Gathers, joined, pattern, shaken};
use crate::support::{Shared, beside, clock, get, in_time, pass, post, settle, watch_for_hangs};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Everything off but the write stall.
fn stalling(limit: u64) -> Builder {
    Builder::new().write_stall_timeout(Some(secs(limit))).response_head_timeout(None)
}

#[track_caller]
fn assert_after(began: tokio::time::Instant, limit: Duration) {
    let took = clock().duration_since(began);
    assert!(took >= limit && took <= limit + Duration::from_millis(3), "after {took:?} instead of {limit:?}");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_reads_is_held_back_within_bounds() {
    for version in BOTH {
        for gathers in [Gathers::Yes, Gathers::No] {
            let (mut stream, mut served, _) = joined(PairBuilder::new().buffer(1000), gathers, version).await;
            served.reading(Reading::Off);
            let much = pattern(400_000);
            let mut sent = 0;
            // As often as it takes something at once.
            while let Poll::Ready(wrote) =
                poll_fn(|cx| Poll::Ready(Pin::new(&mut stream).poll_write(cx, &much[sent..]))).await
            {
                sent += wrote.unwrap();
            }
            assert!((1000..=80_000).contains(&sent), "{sent}");
            assert_eq!(stream.wire_taken(), Some(served.io.seen().sent(Side::Theirs)));
            served.reading(Reading::On);
            let rest = beside(async move {
                use tokio::io::AsyncWriteExt;
                stream.write_all(&much[sent..]).await.unwrap();
                stream.shutdown().await.unwrap();
                (stream, much)
            });
            let got = served.hear(400_000).await;
            served.until(|served| served.fin).await;
            let (_stream, much) = in_time(rest).await.unwrap();
            assert!(got == much && served.close_notify);
        }
    }
}

/// A connection over an end that the test keeps a hand on.
async fn connected(
    version: TlsVersion,
    builder: &Builder,
) -> (SendRequest, Connection, Shared, Served<MemoryEnd>) {
    watch_for_hangs();
    let (ours, theirs) = pair();
    let ours = Shared::new(ours);
    let (stream, served) = shaken(ours.clone(), theirs, version).await;
    settle().await;
    let (sender, connection) = builder.handshake_on(stream).await.unwrap();
    (sender, connection, ours, served)
}

#[tokio::test(start_paused = true)]
async fn a_write_stalls_though_tls_took_all_of_it() {
    for version in BOTH {
        for request in [post("/", vec![b'x'; 10_000]), get("/"), post("/", vec![b'x'; 500_000])] {
            let (mut sender, connection, ours, served) = connected(version, &stalling(7)).await;
            ours.with(|end| end.set_buffer(0));
            let began = clock();
            let error = in_time(sender.send_request(request)).await.unwrap_err();
            assert_after(began, secs(7));
            assert_eq!(error.kind(), ErrorKind::Timeout(Phase::WriteStall), "{error:?}");
            let report = in_time(connection.closed()).await;
            assert_eq!(report.reason, CloseReason::TimedOut(Phase::WriteStall), "{report}");
            // What TLS holds back may still go out, for as long as the linger allows; then it is reset.
            assert!([Ended::Aborted, Ended::PeerSilent].contains(&report.ended), "{report}");
            assert_eq!(report.sent, signals([Signal::Rst]), "{report}");
            assert_eq!(served.io.seen().ended(), adieu_testkit::Ended::Reset);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_trickle_are_no_stall() {
    for version in BOTH {
        for size in [2000, 60_000, 200_000] {
            let (mut sender, connection, ours, mut served) = connected(version, &stalling(7)).await;
            ours.with(|end| end.set_buffer(100));
            let sending = beside(sender.send_request(post("/", vec![b'x'; size])));
            settle().await;
            for _ in 0..12 {
                pass(secs(6)).await;
                served.io.read_exactly(1).await.unwrap();
                settle().await;
            }
            assert!(!sending.is_finished());
            let began = clock();
            let error = in_time(sending).await.unwrap().unwrap_err();
            assert_after(began, secs(7));
            assert_eq!(error.kind(), ErrorKind::Timeout(Phase::WriteStall), "{error:?}");
            let report = in_time(connection.closed()).await;
            assert!(report.sent.contains(Signal::Rst), "{report}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_over_once_the_wire_takes_the_rest() {
    for version in BOTH {
        let (mut sender, connection, ours, mut served) = connected(version, &stalling(7)).await;
        ours.with(|end| end.set_buffer(0));
        let sending = beside(sender.send_request(post("/", vec![b'x'; 10_000])));
        pass(secs(6)).await;
        ours.with(|end| end.set_buffer(1 << 16));
        served.head().await;
        assert_eq!(served.hear(10_000).await, [b'x'; 10_000]);
        pass(secs(600)).await;
        served.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(in_time(sending).await.unwrap().unwrap().status(), 200);
        assert_eq!(connection.state(), adieu::State::Idle);
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_trickle_through_a_tunnel_are_no_stall() {
    for version in BOTH {
        // The inner request, whole in the hands of the outer TLS.
        let (mut sender, outer, ours, mut served) = connected(version, &stalling(7)).await;
        let opening = beside(async move {
            let request = http::Request::connect("inner.example:443").body(adieu::Body::empty()).unwrap();
            sender.send_request(request).await.unwrap().into_body().into_upgraded().unwrap()
        });
        served.head().await;
        served.say("HTTP/1.1 200 OK\r\n\r\n").await;
        let tunnel = in_time(opening).await.unwrap();
        let shaking = beside(CONNECTOR.connect_on("localhost", tunnel));
        let mut inner = Served::shaken(served, TlsVersion::Tls13).await;
        let stream = in_time(inner.during(shaking)).await.unwrap().unwrap();
        let (mut sender, connection) = stalling(7).handshake_on(stream).await.unwrap();
        ours.with(|end| end.set_buffer(100));
        let sending = beside(sender.send_request(post("/", vec![b'x'; 10_000])));
        settle().await;
        for round in 0..6 {
            pass(secs(6)).await;
            assert!(!sending.is_finished(), "{version}, round {round}: {:?}", connection.report());
            inner.io.io.read_exactly(1).await.unwrap();
            settle().await;
        }
        let began = clock();
        let error = in_time(sending).await.unwrap().unwrap_err();
        assert_after(began, secs(7));
        assert_eq!(error.kind(), ErrorKind::Timeout(Phase::WriteStall), "{error:?}");
        assert!(in_time(outer.closed()).await.sent.contains(Signal::Rst));
    }
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_the_wire_does_not_take_is_bounded_by_the_linger() {
    for version in BOTH {
        let (ours, theirs) = pair();
        let ours = Shared::new(ours);
        let (stream, served) = shaken(ours.clone(), theirs, version).await;
        let (_sender, connection) = handshake_on(stream).await.unwrap();
        ours.with(|end| end.set_buffer(3));
        let began = clock();
        let report = in_time(connection.close(adieu::CloseMode::graceful().linger(secs(2)))).await;
        assert_after(began, secs(2));
        // Not even close_notify went out whole: nothing may look complete.
        assert!(!report.sent.contains(Signal::Fin) && !report.sent.contains(Signal::CloseNotify), "{report}");
        assert!(report.sent.contains(Signal::Rst), "{report}");
        assert_eq!(served.io.seen().ended(), adieu_testkit::Ended::Reset);
    }
}
