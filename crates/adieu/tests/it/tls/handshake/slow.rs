//! Time, and tasks: silent peers, peers that trickle, futures that are dropped, several at once.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use adieu::transport::tls::TlsConnector;
use adieu::{Blame, ErrorKind, Phase};
use adieu_testkit::Ended;
use adieu_testkit::memory::{Deed, PairBuilder, Side, pair};
use adieu_testkit::peer::{Peer, Script, TlsVersion, Until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::support::{AUTHORITY, BOTH, CONNECTOR, server, socket};
use super::super::wire::served::Served;
use super::{answering, exchange, saw_fin, shake, told, trusting};
use crate::props::{pause, play, seen};
use crate::support::{Memory, Shared, beside, clock, in_time, pass, poll_once, settle, watch_for_hangs};

const DAY: Duration = Duration::from_secs(86_400);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn limited(limit: Option<Duration>) -> TlsConnector {
    trusting().handshake_timeout(limit).build().unwrap()
}

#[track_caller]
fn assert_timed_out(error: &adieu::Error) {
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::TlsHandshake), "{error:?}");
    assert_eq!(error.to_string(), "timed out: the TLS handshake");
    assert!(error.is_timeout() && error.blame() == Blame::Peer && error.facts().is_none());
}

/// A timer of tokio's is due within a millisecond after its moment, never before.
#[track_caller]
fn assert_after(began: tokio::time::Instant, limit: Duration) {
    let took = clock().duration_since(began);
    assert!(took >= limit && took <= limit + Duration::from_millis(3), "after {took:?} instead of {limit:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_handshake_times_out_at_its_limit() {
    watch_for_hangs();
    for (connector, limit) in [
        (limited(Some(secs(7))), secs(7)),
        (limited(Some(Duration::from_millis(20))), Duration::from_millis(20)),
        (trusting().build().unwrap(), secs(10)),
    ] {
        // The roots are loaded on a thread of its own, while no virtual time passes.
        let (ours, mut theirs) = pair();
        let began = clock();
        let error = in_time(connector.connect_on("localhost", Memory(ours))).await.unwrap_err();
        assert_after(began, limit);
        assert_timed_out(&error);
        let (hello, ended) = theirs.read_until_end().await.unwrap();
        assert!(hello.starts_with(&[22, 3, 1]), "{hello:?}");
        assert_eq!(ended, Ended::Fin);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_a_handshake_may_take_as_long_as_it_likes() {
    watch_for_hangs();
    let (ours, theirs) = pair();
    let shaking = beside(async move { limited(None).connect_on("localhost", Memory(ours)).await });
    pass(DAY).await;
    assert!(!shaking.is_finished());
    let served = Served::shaken(theirs, TlsVersion::Tls13).await;
    let stream = in_time(shaking).await.unwrap().unwrap();
    assert_eq!(stream.session().version, "TLSv1.3");
    drop(served);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_trickle_do_not_lengthen_the_limit() {
    watch_for_hangs();
    for version in BOTH {
        let (ours, mut theirs) = pair();
        let connector = limited(Some(secs(10)));
        let shaking = beside(async move {
            let began = clock();
            let error = connector.connect_on("localhost", Memory(ours)).await.unwrap_err();
            assert_after(began, secs(10));
            error
        });
        let mut hello = vec![0; 4096];
        let length = in_time(theirs.read(&mut hello)).await.unwrap();
        let flight = Served::new(tokio::io::empty(), version).answer(&hello[..length]);
        for byte in &flight[..9] {
            pass(secs(1)).await;
            theirs.send([*byte]).await.unwrap();
        }
        pass(secs(2)).await;
        assert_timed_out(&in_time(shaking).await.unwrap());
        assert_eq!(theirs.seen().ended(), Ended::Fin);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_of_our_hello_times_out_all_the_same() {
    watch_for_hangs();
    for buffer in [0, 1, 100] {
        let (ours, theirs) = PairBuilder::new().buffer(buffer).build();
        let connector = limited(Some(secs(7)));
        let began = clock();
        let error = in_time(connector.connect_on("localhost", Memory(ours))).await.unwrap_err();
        assert_after(began, secs(7));
        assert_timed_out(&error);
        assert_eq!(theirs.seen().sent(Side::Theirs), buffer as u64);
        // What it did not take cannot look complete.
        assert_eq!(theirs.seen().ended(), Ended::Fin);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_of_our_finished_times_out_all_the_same() {
    watch_for_hangs();
    for version in BOTH {
        let (ours, mut theirs) = pair();
        let ours = Shared::new(ours);
        let connector = limited(Some(secs(7)));
        let shaking = {
            let ours = ours.clone();
            beside(async move { connector.connect_on("localhost", ours).await })
        };
        let mut hello = vec![0; 4096];
        let length = in_time(theirs.read(&mut hello)).await.unwrap();
        ours.with(|end| end.set_buffer(0));
        let began = clock();
        theirs.send(Served::new(tokio::io::empty(), version).answer(&hello[..length])).await.unwrap();
        let error = in_time(shaking).await.unwrap().unwrap_err();
        assert_timed_out(&error);
        assert_after(began, secs(7));
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_over_with_the_handshake() {
    watch_for_hangs();
    let (ours, theirs) = pair();
    let connector = limited(Some(secs(7)));
    let shaking = beside(async move { connector.connect_on("localhost", Memory(ours)).await });
    let mut served = Served::shaken(theirs, TlsVersion::Tls13).await;
    let mut stream = in_time(shaking).await.unwrap().unwrap();
    pass(DAY).await;
    served.say("still here").await;
    let mut start = [0; 10];
    in_time(stream.read_exact(&mut start)).await.unwrap();
    assert_eq!(&start, b"still here");
}

#[tokio::test(start_paused = true)]
async fn the_error_does_not_wait_for_the_peers_end_but_the_socket_does() {
    watch_for_hangs();
    for fin in [true, false] {
        let (ours, mut theirs) = pair();
        let began = clock();
        let shaking = beside(CONNECTOR.connect_on("localhost", Memory(ours)));
        in_time(theirs.read(&mut [0; 4096])).await.unwrap();
        theirs.send("HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let error = in_time(shaking).await.unwrap().unwrap_err();
        told(&error, ErrorKind::Tls);
        assert_eq!(clock(), began);
        settle().await;
        assert_eq!(theirs.seen().ended(), Ended::Fin);
        // Bytes of the peer that come now lead to no reset.
        theirs.send("and more").await.unwrap();
        pass(Duration::from_millis(1900)).await;
        let dropped = |theirs: &adieu_testkit::memory::MemoryEnd| {
            theirs.seen().of(Side::Theirs).any(|deed| *deed == Deed::Dropped)
        };
        assert!(!dropped(&theirs));
        if fin {
            theirs.fin().await.unwrap();
            settle().await;
            assert!(dropped(&theirs));
        } else {
            pass(Duration::from_millis(200)).await;
            assert!(dropped(&theirs));
        }
        assert_eq!(theirs.seen().ended(), Ended::Fin);
    }
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_does_not_fit_goes_out_later() {
    watch_for_hangs();
    let (ours, mut theirs) = pair();
    let ours = Shared::new(ours);
    let shaking = beside({
        let ours = ours.clone();
        async move { CONNECTOR.connect_on("localhost", ours).await }
    });
    in_time(theirs.read(&mut [0; 4096])).await.unwrap();
    ours.with(|end| end.set_buffer(0));
    theirs.send("SSH-2.0-OpenSSH_9.6\r\n").await.unwrap();
    told(&in_time(shaking).await.unwrap().unwrap_err(), ErrorKind::Tls);
    settle().await;
    ours.with(|end| end.set_buffer(3));
    let mut alert = Vec::new();
    in_time(theirs.read_to_end(&mut alert)).await.unwrap();
    assert!(matches!(alert[..], [21, 3, _, 0, 2, 2, _]), "{alert:?}");
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_dropped_closes_the_socket() {
    watch_for_hangs();
    for version in BOTH {
        // Before anything came, and after a part of the peer's flight.
        for part in [0, 1, 50, 300] {
            let (ours, mut theirs) = pair();
            let mut shaking = Box::pin(CONNECTOR.connect_on("localhost", Memory(ours)));
            while theirs.seen().sent(Side::Theirs) == 0 {
                assert!(poll_once(&mut shaking).await.is_pending());
                pass(Duration::from_millis(1)).await;
            }
            let mut hello = vec![0; 4096];
            let length = in_time(theirs.read(&mut hello)).await.unwrap();
            let flight = Served::new(tokio::io::empty(), version).answer(&hello[..length]);
            theirs.send(&flight[..part]).await.unwrap();
            assert!(poll_once(&mut shaking).await.is_pending());
            drop(shaking);
            assert_eq!(theirs.seen().ended(), Ended::Fin);
            assert_eq!(theirs.read_until_end().await.unwrap().0, b"");
        }
    }
}

#[test]
fn a_future_that_is_dropped_closes_the_real_socket() {
    play(async || {
        let peer = Peer::tcp(Script::new().read_record().mark("hello")).unwrap();
        let io = socket(&peer).await;
        let shaking = beside(CONNECTOR.connect("localhost", io));
        peer.wait_async(0, Until::Mark("hello")).await.unwrap();
        shaking.abort();
        saw_fin(peer).await;
    });
}

#[tokio::test]
async fn a_handshake_may_come_byte_by_byte() {
    watch_for_hangs();
    for version in BOTH {
        for buffer in [1, 2, 3, 7, 100] {
            let (ours, theirs) = PairBuilder::new().buffer(buffer).build();
            let shaking = beside(CONNECTOR.connect_on("localhost", Memory(ours)));
            let mut served = Served::shaken(theirs, version).await;
            let mut stream = served.during(shaking).await.unwrap().unwrap();
            served.put("hi");
            let said = served.during(async {
                stream.write_all(b"hello").await.unwrap();
                stream.flush().await.unwrap();
                let mut answer = [0; 2];
                stream.read_exact(&mut answer).await.unwrap();
                answer
            });
            let said = said.await;
            assert_eq!(served.hear(5).await, b"hello");
            assert_eq!(&said, b"hi", "{version}, {buffer} at a time");
        }
    }
}

#[tokio::test]
async fn a_handshake_may_be_cut_anywhere() {
    watch_for_hangs();
    for version in BOTH {
        for cut in (1..900).step_by(29) {
            let (ours, mut theirs) = pair();
            let shaking = beside(CONNECTOR.connect_on("localhost", Memory(ours)));
            let mut hello = vec![0; 4096];
            let length = in_time(theirs.read(&mut hello)).await.unwrap();
            let mut served = Served::new(theirs, version);
            let flight = served.answer(&hello[..length]);
            let cut = cut.min(flight.len());
            served.io.send(&flight[..cut]).await.unwrap();
            settle().await;
            served.io.send(&flight[cut..]).await.unwrap();
            served.until(|served| !served.tls.is_handshaking()).await;
            served.flush().await;
            in_time(shaking)
                .await
                .unwrap()
                .unwrap_or_else(|error| panic!("{version}, cut at {cut}: {error}"));
        }
    }
}

#[test]
fn no_runtime_is_an_error_and_nothing_is_sent() {
    let (ours, theirs) = pair();
    let mut shaking = pin!(CONNECTOR.connect_on("localhost", Memory(ours)));
    let Poll::Ready(Err(error)) = shaking.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("it does not say so")
    };
    assert_eq!(error.kind(), ErrorKind::NoRuntime);
    assert_eq!(theirs.seen().sent(Side::Theirs), 0);
}

#[test]
fn connects_at_once_load_the_roots_once() {
    let threads = Arc::new(AtomicUsize::new(0));
    let counted = threads.clone();
    let mut kind = tokio::runtime::Builder::new_current_thread();
    // Only what blocks has a thread here.
    kind.on_thread_start(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    crate::props::play_on(kind, async move || {
        let connector = TlsConnector::builder().add_root_certificates(AUTHORITY.pem()).build().unwrap();
        let peer = answering(&server(TlsVersion::Tls13));
        let (one, two) = (socket(&peer).await, socket(&peer).await);
        assert_eq!(threads.load(Ordering::SeqCst), 0, "nothing is loaded before the first handshake");
        let clone = connector.clone();
        let (one, two) = tokio::join!(connector.connect("localhost", one), clone.connect("localhost", two));
        assert_eq!(threads.load(Ordering::SeqCst), 1);
        exchange(one.unwrap()).await;
        exchange(two.unwrap()).await;
        // And share the sessions.
        let three = shake(&connector, "localhost", &peer).await.unwrap();
        assert!(three.session().resumed);
        exchange(three).await;
        peer.finish_async().await.unwrap();
    });
}

#[test]
fn a_connect_that_is_dropped_while_it_loads_the_roots_harms_no_other() {
    play(async || {
        let connector = TlsConnector::builder().add_root_certificates(AUTHORITY.pem()).build().unwrap();
        let peer = answering(&server(TlsVersion::Tls13));
        let io = socket(&peer).await;
        let first = socket(&peer).await;
        let mut first = Box::pin(connector.connect("localhost", first));
        assert!(poll_once(&mut first).await.is_pending());
        let second = beside({
            let connector = connector.clone();
            async move { connector.connect("localhost", io).await }
        });
        pause(1).await;
        drop(first);
        exchange(second.await.unwrap().unwrap()).await;
        drop(connector);
        // The first one's socket was closed.
        let all = peer.finish_async().await.unwrap();
        let mut shaken: Vec<_> = all.iter().map(|seen| seen.handshake().is_some()).collect();
        shaken.sort_unstable();
        assert_eq!(shaken, [false, true]);
        all.iter().for_each(adieu_testkit::peer::Seen::assert_fin);
    });
}

#[test]
fn many_handshakes_at_once() {
    play(async || {
        let connector = trusting().build().unwrap();
        let peer = answering(&server(TlsVersion::Tls13));
        let mut all = Vec::new();
        for _ in 0..16 {
            let (connector, io) = (connector.clone(), socket(&peer).await);
            all.push(beside(
                async move { exchange(connector.connect("localhost", io).await.unwrap()).await },
            ));
        }
        for one in all {
            one.await.unwrap();
        }
        for seen in peer.finish_async().await.unwrap() {
            seen.assert_close_notify_then_fin();
        }
    });
}

#[test]
fn a_peer_that_refuses_slowly_does_not_hold_up_the_caller() {
    play(async || {
        // It reads our alert only after a while; our FIN comes behind it all the same, and no reset.
        let script = Script::new().read_record().send("garbage").pause(Duration::from_millis(30));
        let peer = Peer::tcp(script).unwrap();
        shake(&CONNECTOR, "localhost", &peer).await.unwrap_err();
        let seen = seen(peer).await;
        seen.assert_fin();
    });
}

#[tokio::test(start_paused = true)]
async fn what_came_with_the_end_of_the_handshake_is_not_lost() {
    watch_for_hangs();
    for (plain, end) in [("", true), ("early words", true), ("early words", false)] {
        let (ours, mut theirs) = pair();
        let ours = Shared::new(ours);
        let shaking = beside({
            let ours = ours.clone();
            async move { CONNECTOR.connect_on("localhost", ours).await }
        });
        // TLS 1.2: the server has the last word of a full handshake, and more may come in the same segment.
        let mut hello = vec![0; 4096];
        let length = in_time(theirs.read(&mut hello)).await.unwrap();
        let mut served = Served::new(tokio::io::empty(), TlsVersion::Tls12);
        theirs.send(served.answer(&hello[..length])).await.unwrap();
        let mut keys = vec![0; 4096];
        let mut last = Vec::new();
        while served.tls.is_handshaking() {
            let length = in_time(theirs.read(&mut keys)).await.unwrap();
            last.extend(served.answer(&keys[..length]));
        }
        if !plain.is_empty() {
            served.put(plain);
        }
        if end {
            served.tls.send_close_notify();
        }
        last.extend(served.answer(&[]));
        theirs.send(last).await.unwrap();
        if end {
            theirs.fin().await.unwrap();
        }
        let mut stream = in_time(shaking).await.unwrap().unwrap();
        let mut read = vec![0; plain.len()];
        in_time(stream.read_exact(&mut read)).await.unwrap();
        assert_eq!(read, plain.as_bytes());
        if end {
            assert_eq!(in_time(stream.read(&mut [0; 9])).await.unwrap(), 0);
            let end = adieu::transport::Transport::peer_end(&stream);
            assert_eq!(end, adieu::transport::PeerEnd::CloseNotify);
        }
    }
}
