//! Now and abort: at once, whoever polls or does not; and one mode after another.

use adieu::conn::http1::Builder;
use adieu::{CloseKind, CloseMode, CloseReason, Ended, ErrorKind, Signal, State};
use adieu_testkit::peer::{Peer, Script, Until, response};
use http_body_util::BodyExt;

use crate::props::{
    Call, beside, check, connect_opaque, connect_unix, ms, now, pause, play, poll_once, reaches, refuses,
    seen, short, upload,
};
use crate::support::{connect, get, read};

const HALF_A_BODY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";

// Nobody polls.

#[test]
fn a_close_takes_effect_while_nobody_polls_the_response_body() {
    play(async || {
        for (mode, takes) in [
            (CloseMode::now(), 0),
            (CloseMode::abort(), 0),
            (CloseMode::half(), 0),
            (CloseMode::graceful(), 150),
        ] {
            let script = Script::new().read_request().send(HALF_A_BODY).read_to_end().fin().or_end();
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let mut body = sender.send_request(get("/")).await.unwrap().into_body();
            let began = now();
            let _closing = connection.close(short(mode));
            // The peer sees it though the body is never polled.
            let saw = peer.wait_async(0, Until::End).await.unwrap();
            assert!(
                (ms(takes)..ms(takes + 200)).contains(&(began.elapsed() + ms(5))),
                "{:?}",
                began.elapsed()
            );
            match mode.kind() {
                CloseKind::Abort => saw.assert_reset(),
                _ => saw.assert_fin(),
            }
            // A half-close waits for the reader, for as long as it drains.
            let report = connection.closed().await;
            check(&report);
            assert_eq!(report.failed, 1, "{report}");
            let mut error = None;
            while let Some(frame) = body.frame().await {
                match frame {
                    Ok(frame) => assert_eq!(frame.into_data().unwrap(), "hello"),
                    Err(failed) => {
                        error = Some(failed);
                        break;
                    }
                }
            }
            let error = error.expect("a cut body passed for whole");
            let wanted = match mode.kind() {
                CloseKind::Now | CloseKind::Abort => ErrorKind::Closed,
                CloseKind::Half => ErrorKind::HalfCloseRefused,
                _ => ErrorKind::Timeout(adieu::Phase::Drain),
            };
            assert_eq!(error.kind(), wanted, "{error:?}");
            seen(peer).await;
        }
    });
}

#[test]
fn a_close_takes_effect_while_nobody_polls_an_unfinished_upload() {
    play(async || {
        for (mode, takes) in [
            (CloseMode::now(), 0),
            (CloseMode::abort(), 0),
            (CloseMode::half(), 150),
            (CloseMode::graceful(), 150),
        ] {
            for length in [Some(1000), None] {
                let peer = Peer::tcp(Script::new().read_head().read_exactly(10).mark("half")).unwrap();
                let (mut sender, connection) = connect(&peer).await;
                let (request, hand) = upload("POST", length);
                hand.give("0123456789");
                let mut exchange = Box::pin(sender.send_request(request));
                while poll_once(exchange.as_mut()).await.is_none() && hand.polls() < 2 {}
                peer.wait_async(0, Until::Mark("half")).await.unwrap();
                // There would be more, and nobody asks for it.
                hand.give("more");
                let began = now();
                let report = connection.close(short(mode)).await;
                assert!(
                    (ms(takes)..ms(takes + 200)).contains(&(began.elapsed() + ms(5))),
                    "{:?}",
                    began.elapsed()
                );
                check(&report);
                assert_eq!((report.ended, report.failed), (Ended::Aborted, 1), "{report}");
                assert!(report.sent.contains(Signal::Rst) && !report.sent.contains(Signal::Fin), "{report}");
                let error = exchange.await.unwrap_err();
                let wanted =
                    if takes == 0 { ErrorKind::Closed } else { ErrorKind::Timeout(adieu::Phase::Drain) };
                assert_eq!(error.kind(), wanted, "{error:?}");
                hand.assert_dropped().await;
                let seen = seen(peer).await;
                seen.assert_reset();
                assert!(!seen.saw_fin() && !seen.received().ends_with(b"0\r\n\r\n"), "{seen}");
            }
        }
    });
}

#[test]
fn a_close_takes_effect_while_the_transport_takes_nothing() {
    play(async || {
        for mode in [CloseMode::now(), CloseMode::abort(), CloseMode::graceful(), CloseMode::half()] {
            let script = Script::new().read_head().never_read();
            let peer = Peer::builder().receive_buffer(4096).script(script).tcp().unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let (request, hand) = upload("POST", None);
            hand.give_for_ever();
            let exchange = beside(sender.send_request(request));
            peer.wait_async(0, Until::Requests(1)).await.unwrap();
            pause(40).await;
            let began = now();
            let report = connection.close(short(mode)).await;
            assert!(began.elapsed() < ms(400), "{:?}", began.elapsed());
            check(&report);
            assert_eq!((report.ended, report.failed), (Ended::Aborted, 1), "{report}");
            assert!(report.sent.contains(Signal::Rst), "{report}");
            exchange.await.unwrap().unwrap_err();
            hand.assert_dropped().await;
            peer.release();
            seen(peer).await;
        }
    });
}

#[test]
fn a_close_before_the_first_poll_of_a_request_writes_nothing() {
    play(async || {
        for mode in [CloseMode::graceful(), CloseMode::half(), CloseMode::now(), CloseMode::abort()] {
            let peer = Peer::tcp(Script::new().read_to_end().fin().or_end()).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let exchange = sender.send_request(get("/"));
            let closing = connection.close(short(mode));
            let error = exchange.await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
            assert_eq!(error.close_reason(), Some(&CloseReason::User(mode.kind())));
            assert!(error.facts().is_none(), "{error:?}");
            let report = closing.await;
            assert_eq!((report.bytes_sent, report.exchanges, report.failed), (0, 0, 0), "{report}");
            seen(peer).await.assert_received("");
        }
    });
}

// Abort.

#[test]
fn abort_is_a_reset_and_nothing_else() {
    play(async || {
        let peer = Peer::tcp(Script::new().read_request().send(response(200, "ok"))).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
        let began = now();
        let report = connection.close(CloseMode::abort()).await;
        assert!(began.elapsed() < ms(100), "{:?}", began.elapsed());
        check(&report);
        assert_eq!(
            (report.reason.clone(), report.ended),
            (CloseReason::User(CloseKind::Abort), Ended::Aborted),
            "{report}"
        );
        assert_eq!(report.sent.to_string(), "RST");
        assert!(report.received.is_empty() && report.lingering.is_zero(), "{report:?}");
        let seen = seen(peer).await;
        seen.assert_reset();
        assert!(!seen.saw_fin(), "{seen}");
    });
}

#[test]
fn abort_over_unix_and_opaque_io_drops_the_transport_and_claims_no_rst() {
    play(async || {
        let script = || Script::new().read_request().send(response(200, "ok"));
        let (unix, tcp) = (Peer::unix(script()).unwrap(), Peer::tcp(script()).unwrap());
        let (mut sender, connection) = connect_unix(&unix, &Builder::new()).await;
        let (mut opaque_sender, opaque, notes) = connect_opaque(&tcp, &Builder::new()).await;
        for sender in [&mut sender, &mut opaque_sender] {
            assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
        }
        for (connection, peer) in [(connection, unix), (opaque, tcp)] {
            let report = connection.close(CloseMode::abort()).await;
            check(&report);
            assert_eq!(report.ended, Ended::Aborted, "{report}");
            assert!(report.sent.is_empty(), "{report}");
            peer.wait_async(0, Until::End).await.unwrap();
            seen(peer).await;
        }
        assert_eq!((notes.count(Call::Shutdown), notes.count(Call::Dropped)), (0, 1));
    });
}

// Now.

#[test]
fn now_with_the_request_whole_says_goodbye_and_lingers() {
    play(async || {
        let script =
            Script::new().read_request().send(HALF_A_BODY).read_to_end().send("world").pause(ms(20)).fin();
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let response = sender.send_request(get("/")).await.unwrap();
        let closing = connection.close(CloseMode::now());
        // At once, and not when the peer has ended.
        let error = read(response).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
        assert_ne!(connection.state(), State::Closed);
        let report = closing.await;
        check(&report);
        assert_eq!((report.ended, report.failed), (Ended::Clean, 1), "{report}");
        assert!(report.bytes_discarded >= 5, "{report}");
        seen(peer).await.assert_fin();
    });
}

#[test]
fn now_gives_a_reader_what_it_has_and_then_the_error() {
    play(async || {
        let peer = Peer::tcp(Script::new().read_request().send(HALF_A_BODY).read_to_end().fin()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let mut body = sender.send_request(get("/")).await.unwrap().into_body();
        let reader = beside(async move {
            let mut got = Vec::new();
            loop {
                match body.frame().await.expect("a cut body passed for whole") {
                    Ok(frame) => got.extend(frame.into_data().unwrap()),
                    Err(error) => return (got, error.kind()),
                }
            }
        });
        pause(20).await;
        // It waits; the close wakes it.
        let closing = connection.close(CloseMode::now());
        assert_eq!(reader.await.unwrap(), (b"hello".to_vec(), ErrorKind::Closed));
        assert_eq!(closing.await.ended, Ended::Clean);
        seen(peer).await.assert_fin();
    });
}

// One mode after another.

#[test]
fn a_stricter_mode_escalates() {
    play(async || {
        let peer = Peer::tcp(Script::new().read_request().read_to_end().stall()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let exchange = beside(sender.send_request(get("/")));
        peer.wait_async(0, Until::Requests(1)).await.unwrap();
        let began = now();
        let graceful = connection.close(CloseMode::graceful().drain(ms(60_000)).linger(ms(60_000)));
        reaches(&connection, |state| matches!(state, State::Draining { .. })).await;
        let strict = connection.close(CloseMode::now().linger(ms(60_000)));
        assert_eq!(exchange.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
        reaches(&connection, |state| state == State::Lingering).await;
        let stricter = connection.close(CloseMode::abort());
        let reports = [stricter.await, strict.await, graceful.await];
        assert!(began.elapsed() < ms(1000), "{:?}", began.elapsed());
        assert!(reports[0] == reports[1] && reports[1] == reports[2], "{reports:?}");
        let report = &reports[0];
        check(report);
        // The first cause is kept.
        assert_eq!(
            (&report.reason, report.ended),
            (&CloseReason::User(CloseKind::Graceful), Ended::Aborted),
            "{report}"
        );
        assert!(report.sent.contains(Signal::Fin) && report.sent.contains(Signal::Rst), "{report}");
        assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
        peer.release();
        seen(peer).await.assert_reset();
    });
}

#[test]
fn graceful_then_half_ends_our_side_at_once() {
    play(async || {
        let script = Script::new().read_request().mark("asked").read_to_end().send(response(200, "ok")).fin();
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let exchange = beside(async move { read(sender.send_request(get("/")).await?).await });
        peer.wait_async(0, Until::Mark("asked")).await.unwrap();
        let first = connection.close(CloseMode::graceful());
        reaches(&connection, |state| matches!(state, State::Draining { .. })).await;
        let report = connection.close(CloseMode::half()).await;
        assert_eq!(exchange.await.unwrap().unwrap(), "ok");
        assert_eq!(report, first.await);
        assert_eq!((report.ended, report.exchanges), (Ended::Clean, 1), "{report}");
        seen(peer).await.assert_fin();
    });
}

#[test]
fn a_laxer_mode_after_a_stricter_one_only_waits() {
    play(async || {
        for strict in [CloseMode::now(), CloseMode::half()] {
            let peer = Peer::tcp(Script::new().read_request().mark("asked").read_to_end().stall()).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let exchange = beside(sender.send_request(get("/")));
            peer.wait_async(0, Until::Mark("asked")).await.unwrap();
            let began = now();
            let first = connection.close(short(strict));
            pause(10).await;
            let state = connection.state();
            let lax = connection.close(CloseMode::graceful().drain(None).linger(ms(60_000)));
            pause(10).await;
            assert_eq!(connection.state(), state, "a laxer mode changed something");
            let (one, other) = (first.await, lax.await);
            assert_eq!(one, other);
            assert!(began.elapsed() < ms(600), "{:?}", began.elapsed());
            assert_eq!(
                (one.reason.clone(), one.ended),
                (CloseReason::User(strict.kind()), Ended::PeerSilent),
                "{one}"
            );
            exchange.await.unwrap().unwrap_err();
            peer.release();
            seen(peer).await;
        }
    });
}

#[test]
fn a_later_close_only_shortens_the_limits() {
    play(async || {
        let peer = Peer::tcp(Script::new().read_to_end().stall()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let began = now();
        let long = connection.close(CloseMode::graceful().linger(ms(60_000)));
        reaches(&connection, |state| state == State::Lingering).await;
        let report = connection.close(CloseMode::graceful().linger(ms(100))).await;
        assert!((ms(90)..ms(500)).contains(&began.elapsed()), "{:?}", began.elapsed());
        assert_eq!(report.ended, Ended::PeerSilent, "{report}");
        assert_eq!(long.await, report);
        refuses(&mut sender).await;
        peer.release();
        seen(peer).await;
    });
}

#[test]
fn a_close_of_a_connection_that_is_gone_gives_its_report() {
    play(async || {
        let peer = Peer::tcp(Script::new().read_to_end().fin()).unwrap();
        let (_sender, connection) = connect(&peer).await;
        let report = connection.close(CloseMode::graceful()).await;
        for mode in [CloseMode::graceful(), CloseMode::half(), CloseMode::now(), CloseMode::abort()] {
            assert_eq!(connection.close(mode).await, report);
        }
        assert_eq!(connection.closed().await, report);
        seen(peer).await.assert_fin();
    });
}
