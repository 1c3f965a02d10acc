//! Closing while the attendant carries an upload, another protocol has the connection, or a request waits for its
//! turn; and no state on the way out spins.

use adieu::conn::http1::Builder;
use adieu::{CloseKind, CloseMode, CloseReason, Ended, ErrorKind, Phase, Side, Signal, State};
use adieu_testkit::peer::{Peer, Script, Until, response};
use http::{HeaderValue, Request};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime;

use crate::props::{
    Hand, beside, check, connect_noted, ms, now, pause, play, play_on, reaches, refuses, seen, short, upload,
};
use crate::support::{connect, connect_with, get, read};

// An upload that outlives the head of its response.

/// Half of a response is here, half of an upload is gone, and the caller holds the rest of the response.
async fn both_half(
    peer: &Peer,
    length: Option<u64>,
) -> (adieu::conn::http1::SendRequest, adieu::conn::Connection, adieu::Body, Hand) {
    let (mut sender, connection) = connect(peer).await;
    let (request, hand) = upload("POST", length);
    hand.give("0123456789");
    let mut body = sender.send_request(request).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
    peer.wait_async(0, Until::Mark("half")).await.unwrap();
    (sender, connection, body, hand)
}

const HALF_A_BODY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";

#[test]
fn a_close_cuts_an_upload_that_nobody_but_the_attendant_drives() {
    play(async || {
        for (mode, takes) in [
            (CloseMode::now(), 0),
            (CloseMode::abort(), 0),
            (CloseMode::half(), 150),
            (CloseMode::graceful(), 150),
        ] {
            for length in [Some(1000), None] {
                let script = Script::new().read_head().read_exactly(10).send(HALF_A_BODY).mark("half");
                let peer = Peer::tcp(script).unwrap();
                let (mut sender, connection, mut body, hand) = both_half(&peer, length).await;
                let began = now();
                let report = connection.close(short(mode)).await;
                assert!(
                    (ms(takes)..ms(takes + 200)).contains(&(began.elapsed() + ms(5))),
                    "{:?}",
                    began.elapsed()
                );
                check(&report);
                assert_eq!((report.ended, report.failed), (Ended::Aborted, 1), "{report}");
                assert_eq!(report.reason, CloseReason::User(mode.kind()), "{report}");
                hand.assert_dropped().await;
                let wanted = if takes == 0 { ErrorKind::Closed } else { ErrorKind::Timeout(Phase::Drain) };
                assert_eq!(body.frame().await.unwrap().unwrap_err().kind(), wanted);
                refuses(&mut sender).await;
                let seen = seen(peer).await;
                seen.assert_reset();
                assert!(!seen.saw_fin() && !seen.received().ends_with(b"0\r\n\r\n"), "{seen}");
            }
        }
    });
}

#[test]
fn a_half_close_ends_our_side_behind_the_upload_and_reads_on() {
    play(async || {
        for length in [Some(20), None] {
            let script = Script::new().read_head().send(HALF_A_BODY).mark("half").read_body().read_to_end();
            let peer = Peer::tcp(script.mark("answer").send("world").fin()).unwrap();
            let (_sender, connection, body, hand) = both_half(&peer, length).await;
            let closing = connection.close(CloseMode::half());
            reaches(&connection, |state| state == State::HalfClosing).await;
            pause(20).await;
            hand.give("0123456789");
            hand.end();
            assert_eq!(body.collect().await.unwrap().to_bytes(), "world");
            let report = closing.await;
            check(&report);
            assert_eq!((report.ended, report.exchanges, report.failed), (Ended::Clean, 1, 0), "{report}");
            hand.assert_dropped().await;
            let seen = seen(peer).await;
            assert_eq!(seen.requests()[0].body_len(), 20);
            seen.assert_fin_before("answer");
        }
    });
}

#[test]
fn a_close_cuts_an_upload_whose_response_is_over() {
    play(async || {
        let script = Script::new().read_head().read_exactly(10).send(response(200, "early"));
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let (request, hand) = upload("POST", Some(1000));
        hand.give("0123456789");
        assert_eq!(read(sender.send_request(request).await.unwrap()).await.unwrap(), "early");
        let report = connection.close(short(CloseMode::now())).await;
        check(&report);
        assert_eq!((report.ended, report.failed), (Ended::Aborted, 1), "{report}");
        hand.assert_dropped().await;
        let seen = seen(peer).await;
        seen.assert_reset();
        assert!(!seen.saw_fin(), "{seen}");
    });
}

#[test]
fn the_peers_end_in_the_middle_of_both_halves_cuts_the_upload_and_fails_the_body() {
    play(async || {
        let script =
            Script::new().read_head().read_exactly(10).send(HALF_A_BODY).mark("half").pause(ms(20)).fin();
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection, mut body, hand) = both_half(&peer, Some(1000)).await;
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IncompleteBody, "{error:?}");
        let report = connection.closed().await;
        check(&report);
        assert_eq!((report.reason.clone(), report.failed), (CloseReason::PeerEndedEarly, 1), "{report}");
        hand.assert_dropped().await;
        refuses(&mut sender).await;
        seen(peer).await.assert_reset();
    });
}

#[test]
fn half_while_a_body_is_held_back_waits_for_the_peers_word() {
    play(async || {
        let script =
            Script::new().read_head().quiet(ms(40)).send("HTTP/1.1 100 Continue\r\n\r\n").read_body();
        let script = script.read_to_end().mark("answer").send(response(200, "thanks")).fin();
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection) = connect_with(&peer, &Builder::new().continue_timeout(None)).await;
        let (mut request, hand) = upload("POST", Some(10));
        request.headers_mut().insert("expect", HeaderValue::from_static("100-continue"));
        hand.give("0123456789");
        let exchange = beside(async move { read(sender.send_request(request).await?).await });
        peer.wait_async(0, Until::Requests(1)).await.unwrap();
        let report = connection.close(CloseMode::half()).await;
        assert_eq!(exchange.await.unwrap().unwrap(), "thanks");
        check(&report);
        assert_eq!((report.ended, report.exchanges), (Ended::Clean, 1), "{report}");
        seen(peer).await.assert_fin_before("answer");
    });
}

// Another protocol has the connection.

async fn upgraded(script: Script) -> (adieu::conn::Upgraded, adieu::conn::Connection, Peer) {
    let switch = "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let peer = Peer::tcp(script.times(1, Script::new().read_head().send(switch).mark("switched"))).unwrap();
    let (mut sender, connection) = connect(&peer).await;
    let request = Request::get("http://example.com/").header("connection", "upgrade").header("upgrade", "x");
    let response = sender.send_request(request.body(adieu::Body::empty()).unwrap()).await.unwrap();
    (response.into_body().into_upgraded().unwrap(), connection, peer)
}

#[test]
fn graceful_of_an_upgrade_waits_for_both_ends_and_then_cuts_it() {
    play(async || {
        let (mut io, connection, peer) = upgraded(Script::new()).await;
        let holder = beside(async move { io.read_to_end(&mut Vec::new()).await.unwrap_err().kind() });
        let began = now();
        let report = connection.close(CloseMode::graceful().drain(ms(80))).await;
        assert!((ms(75)..ms(300)).contains(&began.elapsed()), "{:?}", began.elapsed());
        check(&report);
        assert_eq!((report.ended, report.failed), (Ended::Aborted, 0), "{report}");
        assert!(report.sent.contains(Signal::Rst) && !report.sent.contains(Signal::Fin), "{report}");
        assert_eq!(holder.await.unwrap(), std::io::ErrorKind::ConnectionAborted);
        seen(peer).await.assert_reset();
    });
}

#[test]
fn half_of_an_upgrade_ends_our_side_while_nobody_polls_and_theirs_is_read_on() {
    play(async || {
        let switch = "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
        let script = Script::new().read_head().send(switch).read_to_end().mark("fin").send("parting").fin();
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let request =
            Request::get("http://example.com/").header("connection", "upgrade").header("upgrade", "x");
        let response = sender.send_request(request.body(adieu::Body::empty()).unwrap()).await.unwrap();
        let mut io = response.into_body().into_upgraded().unwrap();
        let closing = connection.close(CloseMode::half());
        peer.wait_async(0, Until::Mark("fin")).await.unwrap();
        assert_eq!(connection.state(), State::Upgraded { ours: Side::Ended, theirs: Side::Open });
        assert_eq!(io.write(b"more").await.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
        let mut rest = String::new();
        io.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "parting");
        let report = closing.await;
        check(&report);
        assert_eq!((report.ended, report.exchanges), (Ended::Clean, 1), "{report}");
        seen(peer).await.assert_fin();
    });
}

#[test]
fn abort_of_an_upgrade_resets_it() {
    play(async || {
        let (mut io, connection, peer) = upgraded(Script::new()).await;
        let report = connection.close(CloseMode::abort()).await;
        check(&report);
        assert_eq!(report.ended, Ended::Aborted, "{report}");
        assert_eq!(report.sent.to_string(), "RST");
        assert_eq!(io.read(&mut [0; 8]).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionAborted);
        io.write_all(b"x").await.unwrap_err();
        seen(peer).await.assert_reset();
    });
}

#[test]
fn a_reset_of_an_upgrade_that_a_write_was_told_of_is_no_end_for_the_reader() {
    play(async || {
        let switch = "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
        let peer = Peer::tcp(Script::new().read_head().send(switch).reset().mark("reset")).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let request =
            Request::get("http://example.com/").header("connection", "upgrade").header("upgrade", "x");
        let response = sender.send_request(request.body(adieu::Body::empty()).unwrap()).await.unwrap();
        let mut io = response.into_body().into_upgraded().unwrap();
        peer.wait_async(0, Until::Mark("reset")).await.unwrap();
        pause(5).await;
        // Linux tells a reset once, to the write here.
        io.write_all(b"hello?").await.unwrap_err();
        let read = io.read_to_end(&mut Vec::new()).await;
        assert_eq!(
            read.expect_err("a cut stream passed for whole").kind(),
            std::io::ErrorKind::ConnectionReset
        );
        let report = connection.closed().await;
        assert_eq!((report.reason.clone(), report.ended), (CloseReason::Reset, Ended::Reset), "{report}");
        seen(peer).await;
    });
}

// A request waits for its turn.

#[test]
fn a_close_wakes_a_request_that_waits_for_its_turn() {
    play(async || {
        for mode in [CloseMode::graceful(), CloseMode::half(), CloseMode::now(), CloseMode::abort()] {
            let peer = Peer::tcp(Script::new().read_request().send(HALF_A_BODY).read_to_end().fin().or_end())
                .unwrap();
            let builder = Builder::new().discard_timeout(ms(10_000));
            let (mut sender, connection) = connect_with(&peer, &builder).await;
            drop(sender.send_request(get("/")).await.unwrap());
            // The rest of the first is being drained.
            let waiting = beside(sender.send_request(get("/second")));
            pause(10).await;
            assert!(!waiting.is_finished());
            let closing = connection.close(short(mode));
            let error =
                tokio::time::timeout(ms(100), waiting).await.expect("it waits on").unwrap().unwrap_err();
            assert_eq!(
                (error.kind(), error.close_reason()),
                (ErrorKind::Closed, Some(&CloseReason::User(mode.kind())))
            );
            closing.await;
            let seen = seen(peer).await;
            assert_eq!(seen.requests_len(), 1, "{seen}");
        }
    });
}

#[test]
fn a_close_wakes_those_who_wait_until_they_can_send() {
    play(async || {
        for mode in [CloseMode::graceful(), CloseMode::half(), CloseMode::now(), CloseMode::abort()] {
            let script = Script::new().read_request().mark("asked").read_to_end().fin().or_end();
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let exchange = beside(sender.send_request(get("/")));
            peer.wait_async(0, Until::Mark("asked")).await.unwrap();
            let ready = beside(async move { sender.ready().await });
            pause(5).await;
            assert!(!ready.is_finished());
            let closing = connection.close(short(mode));
            let error =
                tokio::time::timeout(ms(100), ready).await.expect("it waits on").unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
            exchange.await.unwrap().unwrap_err();
            closing.await;
            seen(peer).await;
        }
    });
}

// Nothing spins.

#[test]
fn no_state_on_the_way_out_spins() {
    play(async || {
        /// What happens in a hundred milliseconds of waiting.
        async fn quiet(notes: &crate::props::Notes, connection: &adieu::conn::Connection, state: &str) {
            pause(20).await;
            assert_eq!(connection.state().name(), state);
            let before = notes.calls().len();
            pause(100).await;
            let calls = notes.calls().len() - before;
            assert!(calls <= 6, "{calls} calls while {state}");
        }
        let asked = || Script::new().read_request().mark("asked").read_to_end().stall();
        for (mode, state) in [
            (CloseMode::graceful(), "draining"),
            (CloseMode::half(), "half-closed"),
            (CloseMode::now(), "lingering"),
        ] {
            let peer = Peer::tcp(asked()).unwrap();
            let (mut sender, connection, notes) = connect_noted(&peer, &Builder::new()).await;
            let exchange = beside(sender.send_request(get("/")));
            peer.wait_async(0, Until::Mark("asked")).await.unwrap();
            let closing = connection.close(mode);
            quiet(&notes, &connection, state).await;
            drop(connection.close(CloseMode::abort()));
            closing.await;
            exchange.await.unwrap().unwrap_err();
            peer.release();
            seen(peer).await;
        }
        // An upload that is silent, before and after its response.
        for answer in [false, true] {
            let script = Script::new().read_head().read_exactly(10);
            let script = if answer { script.send(HALF_A_BODY) } else { script };
            let peer = Peer::tcp(script.mark("half")).unwrap();
            let (mut sender, connection, notes) = connect_noted(&peer, &Builder::new()).await;
            let (request, hand) = upload("POST", Some(1000));
            hand.give("0123456789");
            let exchange = beside(async move { read(sender.send_request(request).await?).await });
            peer.wait_async(0, Until::Mark("half")).await.unwrap();
            quiet(&notes, &connection, "active").await;
            let polls = hand.polls();
            let closing = connection.close(CloseMode::half());
            quiet(&notes, &connection, "half-closing").await;
            assert!(hand.polls() <= polls + 3, "{} polls of a silent body", hand.polls() - polls);
            drop(connection.close(CloseMode::abort()));
            closing.await;
            exchange.await.unwrap().unwrap_err();
            seen(peer).await;
        }
    });
}

// On several threads.

#[test]
fn closes_race_with_the_end_of_the_exchange() {
    let mut kind = runtime::Builder::new_multi_thread();
    kind.worker_threads(2);
    play_on(kind, async || {
        for round in 0..40 {
            let mode =
                [CloseMode::graceful(), CloseMode::half(), CloseMode::now(), CloseMode::abort()][round % 4];
            let script = Script::new().read_request().or_end().send(response(200, "ok")).or_end();
            let script = script.read_to_end().fin().or_end();
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let exchange = beside(async move { read(sender.send_request(get("/")).await?).await });
            let handle = connection.clone();
            let closing = beside(async move {
                for _ in 0..round {
                    tokio::task::yield_now().await;
                }
                handle.close(short(mode)).await
            });
            let report = closing.await.unwrap();
            check(&report);
            let outcome = exchange.await.unwrap();
            match outcome {
                Ok(body) => {
                    assert_eq!(body, "ok");
                    assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
                }
                Err(error) => {
                    assert!(
                        matches!(error.kind(), ErrorKind::Closed | ErrorKind::HalfCloseRefused),
                        "{error:?}"
                    );
                    let begun = u64::from(error.facts().is_some());
                    assert_eq!((report.exchanges, report.failed), (0, begun), "{report} {error:?}");
                }
            }
            assert!(matches!(report.reason, CloseReason::User(kind) if kind == mode.kind()), "{report}");
            if mode.kind() != CloseKind::Abort {
                assert_eq!(report.ended, Ended::Clean, "{report}");
            }
            drop(connection);
            let seen = seen(peer).await;
            assert!(mode.kind() == CloseKind::Abort || !seen.saw_reset(), "{report}\n{seen}");
        }
    });
}
