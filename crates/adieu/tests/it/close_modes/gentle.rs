//! Graceful and half: what still arrives, and how long it may take.

use adieu::conn::http1::Builder;
use adieu::{CloseKind, CloseMode, CloseReason, Ended, ErrorKind, Party, Phase, Side, Signal, State};
use adieu_testkit::peer::{Event, Gate, Peer, Script, Until, response};
use http_body_util::BodyExt;

use crate::props::{
    at_each_cut, beside, check, connect_opaque, connect_unix, ms, now, pause, play, reaches, refuses, seen,
    short, upload,
};
use crate::support::{connect, connect_with, get, post, read};

const GRACEFUL: CloseReason = CloseReason::User(CloseKind::Graceful);
const HALF: CloseReason = CloseReason::User(CloseKind::Half);

// Graceful.

#[test]
fn graceful_with_a_peer_that_answers_ends_in_two_fins_and_no_rst() {
    play(async || {
        let script =
            || Script::new().read_request().send(response(200, "ok")).read_to_end().pause(ms(20)).fin();
        let (tcp, unix, opaque) =
            (Peer::tcp(script()).unwrap(), Peer::unix(script()).unwrap(), Peer::tcp(script()).unwrap());
        let over_tcp = connect(&tcp).await;
        let over_unix = connect_unix(&unix, &Builder::new()).await;
        let (sender, connection, _) = connect_opaque(&opaque, &Builder::new()).await;
        for ((mut sender, connection), peer) in
            [(over_tcp, tcp), (over_unix, unix), ((sender, connection), opaque)]
        {
            assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
            let report = connection.close(CloseMode::graceful()).await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.began_by, report.ended),
                (GRACEFUL, Party::Local, Ended::Clean),
                "{report}"
            );
            assert!(report.sent.contains(Signal::Fin) && !report.sent.contains(Signal::Rst), "{report}");
            assert!(report.received.contains(Signal::Fin), "{report}");
            assert!((ms(15)..ms(500)).contains(&report.lingering), "{report:?}");
            seen(peer).await.assert_fin();
        }
    });
}

#[test]
fn graceful_with_a_silent_peer_ends_within_linger() {
    play(async || {
        let peer =
            Peer::tcp(Script::new().read_request().send(response(200, "ok")).read_to_end().stall()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
        let began = now();
        let report = connection.close(CloseMode::graceful().linger(ms(120))).await;
        assert!((ms(115)..ms(220)).contains(&began.elapsed()), "{:?}", began.elapsed());
        check(&report);
        assert_eq!((report.reason.clone(), report.ended), (GRACEFUL, Ended::PeerSilent), "{report}");
        assert!(report.sent.contains(Signal::Fin) && report.received.is_empty(), "{report}");
        assert!(report.to_string().contains("peer silent"), "{report}");
        peer.release();
        assert!(seen(peer).await.saw_fin());
    });
}

#[test]
fn graceful_with_a_peer_that_talks_on_for_a_while_discards_it() {
    play(async || {
        let script = Script::new().read_request().send(response(200, "ok")).read_to_end();
        let peer = Peer::tcp(script.send_filler(100_000).pause(ms(20)).send("bye").fin()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
        let report = connection.close(CloseMode::graceful()).await;
        check(&report);
        assert_eq!((report.ended, report.bytes_discarded), (Ended::Clean, 100_003), "{report}");
        seen(peer).await.assert_fin();
    });
}

#[test]
fn graceful_with_a_peer_that_resets_instead_is_an_ending_and_no_error() {
    play(async || {
        let peer =
            Peer::tcp(Script::new().read_request().send(response(200, "ok")).read_to_end().reset()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
        let report = connection.close(CloseMode::graceful()).await;
        check(&report);
        assert_eq!(
            (report.reason.clone(), report.ended, report.failed),
            (GRACEFUL, Ended::Reset, 0),
            "{report}"
        );
        assert!(report.received.contains(Signal::Rst), "{report}");
        seen(peer).await;
    });
}

#[test]
fn graceful_lets_the_response_in_flight_arrive_and_takes_no_other() {
    play(async || {
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        at_each_cut(answer, async |cut| {
            let gate = Gate::new();
            let script =
                cut.after(Script::new().read_request().gate(&gate)).mark("answered").read_to_end().fin();
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let exchange = beside(sender.send_request(get("/")));
            peer.wait_async(0, Until::Requests(1)).await.unwrap();
            let closing = connection.close(CloseMode::graceful());
            reaches(&connection, |state| state == State::Draining { theirs: Side::Open }).await;
            assert_eq!(refuses(&mut sender).await, GRACEFUL);
            gate.open();
            assert_eq!(read(exchange.await.unwrap().unwrap()).await.unwrap(), "hello");
            let report = closing.await;
            check(&report);
            assert_eq!((report.reason.clone(), report.ended), (GRACEFUL, Ended::Clean), "{report}");
            assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
            let seen = seen(peer).await;
            seen.assert_fin();
            assert!(!seen.saw_fin_before("answered") && seen.requests_len() == 1, "{seen}");
        })
        .await;
    });
}

#[test]
fn graceful_lets_the_upload_in_flight_end() {
    play(async || {
        for length in [Some(20), None] {
            let script = Script::new().read_request().send(response(201, "made")).read_to_end().fin();
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let (request, hand) = upload("POST", length);
            hand.give("0123456789");
            let exchange = beside(async move { read(sender.send_request(request).await?).await });
            peer.wait_async(0, Until::Requests(1)).await.unwrap();
            let closing = connection.close(CloseMode::graceful());
            pause(60).await;
            hand.give("0123456789");
            hand.end();
            assert_eq!(exchange.await.unwrap().unwrap(), "made");
            let report = closing.await;
            check(&report);
            assert_eq!((report.ended, report.exchanges, report.failed), (Ended::Clean, 1, 0), "{report}");
            assert!(report.draining >= ms(55), "{report:?}");
            let seen = seen(peer).await;
            seen.assert_fin();
            assert_eq!(seen.requests()[0].body_len(), 20);
        }
    });
}

#[test]
fn graceful_lets_an_upload_end_that_outlived_its_response() {
    play(async || {
        let script = Script::new().read_head().send(response(200, "early")).read_body().read_to_end().fin();
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let (request, hand) = upload("POST", None);
        hand.give("0123456789");
        let response = sender.send_request(request).await.unwrap();
        let closing = connection.close(CloseMode::graceful());
        assert_eq!(read(response).await.unwrap(), "early");
        pause(40).await;
        hand.give("0123456789");
        hand.end();
        let report = closing.await;
        assert_eq!((report.ended, report.exchanges, report.failed), (Ended::Clean, 1, 0), "{report}");
        let seen = seen(peer).await;
        assert_eq!(seen.requests()[0].body_len(), 20);
        seen.assert_fin();
    });
}

#[test]
fn graceful_with_a_drain_of_zero_is_as_good_as_now() {
    play(async || {
        let peer = Peer::tcp(Script::new().read_request().read_to_end().fin()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let exchange = beside(sender.send_request(get("/")));
        peer.wait_async(0, Until::Requests(1)).await.unwrap();
        pause(5).await;
        let report = connection.close(CloseMode::graceful().drain(ms(0))).await;
        assert_eq!((report.ended, report.failed), (Ended::Clean, 1), "{report}");
        assert!(report.age < ms(500), "{report}");
        exchange.await.unwrap().unwrap_err();
        seen(peer).await.assert_fin();
    });
}

#[test]
fn graceful_without_a_drain_limit_waits_for_as_long_as_it_takes() {
    play(async || {
        let script =
            Script::new().read_request().pause(ms(300)).send(response(200, "late")).read_to_end().fin();
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection) = connect_with(&peer, &Builder::new().linger(ms(50))).await;
        let exchange = beside(async move { read(sender.send_request(get("/")).await?).await });
        peer.wait_async(0, Until::Requests(1)).await.unwrap();
        let report = connection.close(CloseMode::graceful().drain(None).linger(ms(100))).await;
        assert_eq!((report.ended, report.exchanges), (Ended::Clean, 1), "{report}");
        assert_eq!(exchange.await.unwrap().unwrap(), "late");
        seen(peer).await.assert_fin();
    });
}

#[test]
fn graceful_while_the_peers_announced_end_is_waited_for_only_waits() {
    play(async || {
        let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
        let peer = Peer::tcp(Script::new().read_request().send(answer).quiet(ms(30)).fin()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
        assert_eq!(connection.state(), State::Yielding);
        let report = connection.close(CloseMode::graceful()).await;
        check(&report);
        // Why it closes was known before.
        assert_eq!(
            (report.reason.clone(), report.ended),
            (CloseReason::PeerAskedClose, Ended::Clean),
            "{report}"
        );
        seen(peer).await.assert_fin();
    });
}

// Half.

#[test]
fn half_ends_our_side_before_the_response_comes() {
    play(async || {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        at_each_cut(answer, async |cut| {
            // The peer answers only once it has seen our end.
            let script =
                cut.after(Script::new().read_request().mark("asked").read_to_end().mark("answer")).fin();
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let exchange = beside(sender.send_request(get("/")));
            peer.wait_async(0, Until::Mark("asked")).await.unwrap();
            let closing = connection.close(CloseMode::half());
            assert_eq!(read(exchange.await.unwrap().unwrap()).await.unwrap(), "hello");
            let report = closing.await;
            check(&report);
            assert_eq!((report.reason.clone(), report.ended), (HALF, Ended::Clean), "{report}");
            assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
            assert_eq!(refuses(&mut sender).await, HALF);
            let seen = seen(peer).await;
            seen.assert_fin();
            seen.assert_fin_before("answer");
        })
        .await;
    });
}

#[test]
fn half_over_unix_and_opaque_io() {
    play(async || {
        let script = || {
            let script = Script::new().read_request().mark("asked").read_to_end().mark("answer");
            script.send_pieces(response(200, "hello"), 5).fin()
        };
        let (unix, opaque) = (Peer::unix(script()).unwrap(), Peer::tcp(script()).unwrap());
        let over_unix = connect_unix(&unix, &Builder::new()).await;
        let (sender, connection, _) = connect_opaque(&opaque, &Builder::new()).await;
        for ((mut sender, connection), peer) in [(over_unix, unix), ((sender, connection), opaque)] {
            let exchange = beside(async move { read(sender.send_request(get("/")).await?).await });
            peer.wait_async(0, Until::Mark("asked")).await.unwrap();
            let report = connection.close(CloseMode::half()).await;
            assert_eq!(exchange.await.unwrap().unwrap(), "hello");
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended, report.exchanges),
                (HALF, Ended::Clean, 1),
                "{report}"
            );
            seen(peer).await.assert_fin_before("answer");
        }
    });
}

#[test]
fn half_finishes_sending_the_request_first() {
    play(async || {
        for length in [Some(100_010), None] {
            let script =
                Script::new().read_request().read_to_end().mark("answer").send(response(200, "thanks")).fin();
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let (request, hand) = upload("POST", length);
            hand.give("0123456789");
            let exchange = beside(async move { read(sender.send_request(request).await?).await });
            peer.wait_async(0, Until::Requests(1)).await.unwrap();
            let closing = connection.close(CloseMode::half());
            reaches(&connection, |state| state == State::HalfClosing).await;
            pause(30).await;
            assert!(!connection.snapshot().to_string().contains("half-closed"));
            hand.give(vec![b'h'; 100_000]);
            hand.end();
            assert_eq!(exchange.await.unwrap().unwrap(), "thanks");
            let report = closing.await;
            check(&report);
            assert_eq!((report.reason.clone(), report.ended), (HALF, Ended::Clean), "{report}");
            let seen = seen(peer).await;
            assert_eq!(seen.requests()[0].body_len(), 100_010);
            seen.assert_fin_before("answer");
        }
    });
}

#[test]
fn half_in_the_middle_of_a_response_reads_it_to_its_end() {
    play(async || {
        let start = "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n";
        let script =
            Script::new().read_request().send(start).read_to_end().mark("answer").send_filler(200_000).fin();
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let response = sender.send_request(get("/")).await.unwrap();
        let closing = connection.close(CloseMode::half());
        reaches(&connection, |state| state == State::HalfClosed).await;
        assert_eq!(connection.snapshot().ours, Side::Ended);
        assert_eq!(read(response).await.unwrap().len(), 200_000);
        let report = closing.await;
        assert_eq!(
            (report.reason.clone(), report.ended, report.exchanges),
            (HALF, Ended::Clean, 1),
            "{report}"
        );
        assert_eq!(report.bytes_discarded, 0, "{report}");
        seen(peer).await.assert_fin_before("answer");
    });
}

#[test]
fn half_of_a_body_that_ends_with_the_connection_is_read_to_its_end() {
    play(async || {
        let script =
            Script::new().read_request().send("HTTP/1.1 200 OK\r\n\r\nfirst").read_to_end().mark("answer");
        let peer = Peer::tcp(script.send(" and last").fin()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let response = sender.send_request(get("/")).await.unwrap();
        let closing = connection.close(CloseMode::half());
        assert_eq!(read(response).await.unwrap(), "first and last");
        let report = closing.await;
        assert_eq!((report.ended, report.exchanges, report.failed), (Ended::Clean, 1, 0), "{report}");
        seen(peer).await.assert_fin_before("answer");
    });
}

#[test]
fn half_that_the_peer_takes_for_a_cancellation_is_refused() {
    play(async || {
        // It ends, it resets, it breaks off in the head or in the body.
        for (answer, reset) in [
            ("", false),
            ("", true),
            ("HTTP/1.1 200 OK\r\nConte", false),
            ("HTTP/1.1 200 OK\r\nConte", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", true),
        ] {
            let script = Script::new().read_request().mark("asked").read_to_end().send(answer).pause(ms(10));
            let peer = Peer::tcp(if reset { script.reset() } else { script.fin() }).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let exchange = beside(async move { read(sender.send_request(get("/")).await?).await });
            peer.wait_async(0, Until::Mark("asked")).await.unwrap();
            let report = connection.close(CloseMode::half()).await;
            let error = exchange.await.unwrap().unwrap_err();
            assert_eq!(
                (error.kind(), error.close_reason()),
                (ErrorKind::HalfCloseRefused, Some(&CloseReason::HalfCloseRefused)),
                "{answer:?} {reset}: {error:?}"
            );
            check(&report);
            assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
            assert_eq!(report.reason, CloseReason::HalfCloseRefused, "{report}");
            let ended = if reset { Ended::Reset } else { Ended::Truncated };
            assert_eq!(report.ended, ended, "{report}");
            seen(peer).await;
        }
    });
}

#[test]
fn half_past_its_drain_fails_the_exchange_and_lingers() {
    play(async || {
        let peer = Peer::tcp(Script::new().read_request().mark("asked").read_to_end().stall()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let exchange = beside(sender.send_request(get("/")));
        peer.wait_async(0, Until::Mark("asked")).await.unwrap();
        let began = now();
        let report = connection.close(CloseMode::half().drain(ms(100)).linger(ms(100))).await;
        assert!((ms(190)..ms(400)).contains(&began.elapsed()), "{:?}", began.elapsed());
        let error = exchange.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Drain), "{error:?}");
        check(&report);
        assert_eq!(
            (report.reason.clone(), report.ended, report.failed),
            (HALF, Ended::PeerSilent, 1),
            "{report}"
        );
        peer.release();
        let seen = seen(peer).await;
        assert!(seen.saw_fin(), "{seen}");
    });
}

#[test]
fn half_when_the_peer_ended_first_says_goodbye_after_the_upload() {
    play(async || {
        let script = Script::new().read_head().send(response(200, "early")).fin().read_body().mark("whole");
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let (request, hand) = upload("POST", None);
        hand.give("0123456789");
        assert_eq!(read(sender.send_request(request).await.unwrap()).await.unwrap(), "early");
        reaches(&connection, |state| state == State::Draining { theirs: Side::Ended }).await;
        let closing = connection.close(CloseMode::half());
        pause(20).await;
        hand.end();
        let report = closing.await;
        check(&report);
        assert_eq!((report.ended, report.exchanges), (Ended::Clean, 1), "{report}");
        let seen = seen(peer).await;
        seen.assert_fin();
        assert!(!seen.saw_fin_before("whole"), "{seen}");
    });
}

#[test]
fn half_of_a_request_with_a_known_small_body_ends_our_side_right_behind_it() {
    play(async || {
        let script =
            Script::new().read_request().read_to_end().mark("answer").send(response(200, "ok")).fin();
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let mut exchange = Box::pin(sender.send_request(post("/", "small")));
        assert!(crate::props::poll_once(exchange.as_mut()).await.is_none());
        let closing = connection.close(CloseMode::half());
        assert_eq!(read(exchange.await.unwrap()).await.unwrap(), "ok");
        assert_eq!(closing.await.ended, Ended::Clean);
        let seen = seen(peer).await;
        seen.assert_fin_before("answer");
        let fin = seen.time_of(|event| *event == Event::Fin).unwrap();
        assert!(fin < ms(500), "{seen}");
    });
}

#[test]
fn half_while_the_reader_is_slow_loses_nothing() {
    play(async || {
        let start = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
        let peer =
            Peer::tcp(Script::new().read_request().send(start).send_filler(1_000_000).read_to_end().fin());
        let peer = peer.unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let mut body = sender.send_request(get("/")).await.unwrap().into_body();
        let closing = connection.close(CloseMode::half());
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame.unwrap().into_data().unwrap().len();
            pause(1).await;
        }
        assert_eq!(bytes, 1_000_000);
        let report = closing.await;
        assert_eq!((report.ended, report.exchanges), (Ended::Clean, 1), "{report}");
        seen(peer).await.assert_fin();
    });
}

#[test]
fn half_and_graceful_with_short_limits_agree_on_an_idle_connection() {
    play(async || {
        for mode in [CloseMode::graceful(), CloseMode::half(), CloseMode::now()] {
            let peer = Peer::tcp(Script::new().read_to_end().fin()).unwrap();
            let (sender, connection) = connect(&peer).await;
            let report = connection.close(short(mode)).await;
            check(&report);
            assert_eq!((report.ended, report.exchanges, report.bytes_sent), (Ended::Clean, 0, 0), "{report}");
            drop(sender);
            seen(peer).await.assert_fin();
        }
    });
}
