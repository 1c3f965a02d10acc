//! How our side ends: flush, FIN, RST, and peers that never do.

use std::io::ErrorKind as Io;

use adieu::conn::http1::{self, Builder, Connection, SendRequest};
use adieu::{CloseKind, CloseMode, CloseReason, Ended, ErrorKind, Signal};
use adieu_testkit::peer::{Gate, Peer, Script, Until, response};
use tokio::net::TcpStream;

use crate::props::{
    Call, Faults, Noted, Notes, beside, check, connect_noted, connect_opaque, ms, now, pause, play, root,
    seen, short, upload,
};
use crate::support::{connect, connect_with, get, read};

const USER: CloseReason = CloseReason::User(CloseKind::Graceful);

/// One exchange, and the connection is idle.
async fn exchange(sender: &mut SendRequest) {
    assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
}

fn answers_then(rest: impl FnOnce(Script) -> Script) -> Peer {
    Peer::tcp(rest(Script::new().read_request().send(response(200, "ok")))).unwrap()
}

// 13. Abort, and whatever was cut short.

/// The ways in which an upload is cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    FutureDropped,
    BodyFails,
    BodyTooShort,
    BodyTooLong,
    CloseNow,
    Abort,
    GracefulPastDrain,
    HalfPastDrain,
}

async fn cut_short(
    how: Cut,
    length: Option<u64>,
    sender: &mut SendRequest,
    connection: &Connection,
    peer: &Peer,
) {
    let (request, hand) = upload("POST", length);
    hand.give("0123456789");
    let exchange = sender.send_request(request);
    let framed = if length.is_some() { 10 } else { 15 };
    let head =
        async { peer.wait_async(0, Until::Requests(1)).await.unwrap().requests()[0].head().len() as u64 };
    let exchange = beside(exchange);
    let head = head.await;
    peer.wait_async(0, Until::Received(head + framed)).await.unwrap();
    let mut closing = None;
    match how {
        Cut::FutureDropped => exchange.abort(),
        Cut::BodyFails => hand.fail(),
        Cut::BodyTooShort => hand.end(),
        Cut::BodyTooLong => hand.give(vec![b'l'; 2000]),
        Cut::CloseNow => closing = Some(connection.close(short(CloseMode::now()))),
        Cut::Abort => closing = Some(connection.close(CloseMode::abort())),
        Cut::GracefulPastDrain => closing = Some(connection.close(CloseMode::graceful().drain(ms(40)))),
        Cut::HalfPastDrain => closing = Some(connection.close(CloseMode::half().drain(ms(40)))),
    }
    if how != Cut::FutureDropped {
        let error = exchange.await.unwrap().unwrap_err();
        match how {
            Cut::BodyFails => assert!(root(&error) == "the hand let go", "{error:?}"),
            Cut::BodyTooShort | Cut::BodyTooLong => {
                assert_eq!(error.kind(), ErrorKind::RequestBody, "{error:?}")
            }
            Cut::CloseNow | Cut::Abort => assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}"),
            _ => assert!(error.is_timeout(), "{error:?}"),
        }
    }
    let report = match closing {
        Some(closing) => closing.await,
        None => connection.closed().await,
    };
    check(&report);
    assert_eq!((report.ended, report.exchanges, report.failed), (Ended::Aborted, 0, 1), "{how:?}: {report}");
    let reason = match how {
        Cut::FutureDropped => CloseReason::RequestCancelled,
        Cut::BodyFails | Cut::BodyTooShort | Cut::BodyTooLong => CloseReason::RequestBodyFailed,
        Cut::CloseNow => CloseReason::User(CloseKind::Now),
        Cut::Abort => CloseReason::User(CloseKind::Abort),
        Cut::GracefulPastDrain => USER,
        Cut::HalfPastDrain => CloseReason::User(CloseKind::Half),
    };
    assert_eq!(report.reason, reason, "{report}");
    hand.assert_dropped().await;
}

#[test]
fn abort_and_what_was_cut_short_ends_in_rst_and_never_looks_complete() {
    play(async || {
        let every = [
            (Cut::FutureDropped, Some(1000)),
            (Cut::FutureDropped, None),
            (Cut::BodyFails, Some(1000)),
            (Cut::BodyFails, None),
            (Cut::BodyTooShort, Some(1000)),
            (Cut::BodyTooLong, Some(1000)),
            (Cut::CloseNow, Some(1000)),
            (Cut::CloseNow, None),
            (Cut::Abort, Some(1000)),
            (Cut::Abort, None),
            (Cut::GracefulPastDrain, Some(1000)),
            (Cut::GracefulPastDrain, None),
            (Cut::HalfPastDrain, Some(1000)),
            (Cut::HalfPastDrain, None),
        ];
        for (how, length) in every {
            let peer = Peer::tcp(Script::new().read_head()).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            cut_short(how, length, &mut sender, &connection, &peer).await;
            let report = connection.report().unwrap();
            assert!(report.sent.contains(Signal::Rst) && !report.sent.contains(Signal::Fin), "{report}");
            let seen = seen(peer).await;
            seen.assert_reset();
            assert!(!seen.saw_fin(), "{how:?}\n{seen}");
            assert!(!seen.received().ends_with(b"0\r\n\r\n"), "{how:?}\n{seen}");
        }
    });
}

#[test]
fn abort_and_what_was_cut_short_over_opaque_io_is_dropped_without_a_goodbye() {
    play(async || {
        for how in [Cut::FutureDropped, Cut::BodyFails, Cut::CloseNow, Cut::Abort, Cut::GracefulPastDrain] {
            let peer = Peer::tcp(Script::new().read_head()).unwrap();
            let (mut sender, connection, notes) = connect_opaque(&peer, &Builder::new()).await;
            cut_short(how, None, &mut sender, &connection, &peer).await;
            let report = connection.report().unwrap();
            assert!(report.sent.is_empty(), "{report}");
            assert_eq!(notes.count(Call::Shutdown), 0, "{how:?}");
            assert_eq!(notes.calls().last(), Some(&Call::Dropped));
            let seen = seen(peer).await;
            assert!(!seen.received().ends_with(b"0\r\n\r\n"), "{how:?}\n{seen}");
        }
    });
}

#[test]
fn what_was_cut_short_is_reset_even_when_a_response_came_first() {
    play(async || {
        // The response is whole and in the caller's hands; its upload never will be.
        for read_it in [true, false] {
            let peer = Peer::tcp(Script::new().read_head().send(response(413, "no"))).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let (request, hand) = upload("POST", None);
            hand.give("0123456789");
            let response = sender.send_request(request).await.unwrap();
            if read_it {
                assert_eq!(read(response).await.unwrap(), "no");
            } else {
                drop(response);
            }
            // The handles still live: the transport is gone all the same.
            let seen = peer.wait_async(0, Until::Over).await.unwrap();
            seen.assert_reset();
            assert_eq!(connection.closed().await.ended, Ended::Aborted);
            drop(sender);
        }
    });
}

// 14. shutdown() gives ENOTCONN or EPIPE when the peer is gone.

#[test]
fn shutdown_that_fails_is_an_ending_and_no_error() {
    play(async || {
        for kind in [Io::NotConnected, Io::BrokenPipe, Io::ConnectionReset, Io::ConnectionAborted] {
            let peer = answers_then(|script| script);
            let (mut sender, connection, notes) = connect_noted(&peer, &Builder::new()).await;
            exchange(&mut sender).await;
            notes.set(Faults { shutdown: Some(kind), ..Faults::default() });
            let report = connection.close(short(CloseMode::graceful())).await;
            check(&report);
            assert_eq!((report.reason.clone(), report.exchanges, report.failed), (USER, 1, 0), "{report}");
            assert_eq!(report.ended, Ended::Reset, "{report}");
            assert!(!report.sent.contains(Signal::Fin), "{report}");
            assert_eq!(notes.count(Call::Shutdown), 1);
            seen(peer).await;
        }
    });
}

#[test]
fn shutdown_that_fails_after_the_peers_end_is_clean() {
    play(async || {
        let peer = answers_then(|script| script.fin().mark("fin"));
        let (mut sender, connection, notes) = connect_noted(&peer, &Builder::new()).await;
        exchange(&mut sender).await;
        notes.set(Faults { shutdown: Some(Io::NotConnected), ..Faults::default() });
        peer.wait_async(0, Until::Mark("fin")).await.unwrap();
        pause(2).await;
        // Noticed by the look before the request, which nobody sent.
        let error = sender.send_request(get("/")).await.unwrap_err();
        assert_eq!(error.close_reason(), Some(&CloseReason::PeerClosedIdle));
        let report = connection.closed().await;
        assert_eq!(
            (report.reason.clone(), report.ended),
            (CloseReason::PeerClosedIdle, Ended::Clean),
            "{report}"
        );
        seen(peer).await;
    });
}

#[test]
fn closing_a_connection_whose_peer_is_gone_is_an_ending_and_no_error() {
    play(async || {
        for mode in [CloseMode::graceful(), CloseMode::half(), CloseMode::now()] {
            let peer = answers_then(|script| script.reset().mark("reset"));
            let (mut sender, connection) = connect(&peer).await;
            exchange(&mut sender).await;
            peer.wait(0, Until::Mark("reset")).unwrap();
            std::thread::sleep(ms(5));
            let report = connection.close(mode).await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended),
                (CloseReason::User(mode.kind()), Ended::Reset),
                "{report}"
            );
            assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
            seen(peer).await;
        }
    });
}

// 15. Flush before shutdown.

#[test]
fn flush_comes_before_shutdown_and_loses_nothing() {
    play(async || {
        // A transport that keeps what is written until it is flushed.
        let script = Script::new().read_request().read_to_end().send(response(200, "ok")).fin();
        let peer = Peer::tcp(script).unwrap();
        let (io, notes) = Noted::new(TcpStream::connect(peer.address()).await.unwrap());
        let (mut sender, connection) = http1::handshake(io.hoarding()).await.unwrap();
        notes.set(Faults { flush_waits: true, ..Faults::default() });
        let (request, hand) = upload("POST", Some(200_000));
        hand.give(vec![b'h'; 200_000]);
        let exchange = beside(async move { read(sender.send_request(request).await?).await });
        pause(20).await;
        let closing = connection.close(CloseMode::half());
        pause(20).await;
        assert_eq!(notes.count(Call::Shutdown), 0, "shut down before it was flushed");
        notes.set(Faults::default());
        assert_eq!(exchange.await.unwrap().unwrap(), "ok");
        let report = closing.await;
        check(&report);
        assert_eq!((report.ended, report.exchanges), (Ended::Clean, 1), "{report}");
        no_flush_after_shutdown(&notes);
        let seen = seen(peer).await;
        assert_eq!(seen.requests()[0].body_len(), 200_000);
        seen.assert_fin();
    });
}

// 16. No flush after shutdown; a shutdown that waits does not spin.

fn no_flush_after_shutdown(notes: &Notes) {
    let calls = notes.calls();
    let shutdown = calls.iter().position(|&call| call == Call::Shutdown).expect("no shutdown at all");
    assert!(!calls[shutdown..].contains(&Call::Flush), "{calls:?}");
    assert!(!calls[shutdown..].contains(&Call::Write), "{calls:?}");
}

#[test]
fn no_poll_flush_after_poll_shutdown() {
    play(async || {
        let peer = answers_then(|script| script.read_to_end().pause(ms(20)).fin());
        let (mut sender, connection, notes) = connect_noted(&peer, &Builder::new()).await;
        exchange(&mut sender).await;
        let report = connection.close(CloseMode::graceful()).await;
        assert_eq!(report.ended, Ended::Clean, "{report}");
        no_flush_after_shutdown(&notes);
        seen(peer).await.assert_fin();
    });
}

#[test]
fn no_poll_flush_after_poll_shutdown_when_an_earlier_flush_never_ended() {
    play(async || {
        // The bytes went through, the flush did not say so before the goodbye did its own.
        let peer = answers_then(|script| script.read_to_end().pause(ms(20)).send("late").pause(ms(20)).fin());
        let (mut sender, connection, notes) = connect_noted(&peer, &Builder::new()).await;
        notes.set(Faults { flush_waits: true, ..Faults::default() });
        exchange(&mut sender).await;
        let closing = connection.close(CloseMode::graceful());
        pause(10).await;
        notes.set(Faults::default());
        let report = closing.await;
        assert_eq!(report.ended, Ended::Clean, "{report}");
        no_flush_after_shutdown(&notes);
        seen(peer).await.assert_fin();
    });
}

#[test]
fn shutdown_that_waits_does_not_spin_and_goes_on_when_woken() {
    play(async || {
        let peer = answers_then(|script| script.read_to_end().fin());
        let (mut sender, connection, notes) = connect_noted(&peer, &Builder::new()).await;
        exchange(&mut sender).await;
        notes.set(Faults { shutdown_waits: true, ..Faults::default() });
        let closing = connection.close(CloseMode::graceful());
        pause(120).await;
        assert_eq!(connection.state().name(), "closing");
        let polls = notes.count(Call::Shutdown);
        assert!((1..=4).contains(&polls), "{polls} polls of a shutdown that waits");
        notes.set(Faults::default());
        let report = closing.await;
        check(&report);
        assert_eq!(report.ended, Ended::Clean, "{report}");
        no_flush_after_shutdown(&notes);
        seen(peer).await.assert_fin();
    });
}

#[test]
fn shutdown_that_waits_for_ever_is_bounded_by_linger() {
    play(async || {
        let peer = answers_then(|script| script);
        let (mut sender, connection, notes) = connect_noted(&peer, &Builder::new()).await;
        exchange(&mut sender).await;
        notes.set(Faults { shutdown_waits: true, ..Faults::default() });
        let began = now();
        let report = connection.close(CloseMode::graceful().linger(ms(100))).await;
        assert!((ms(95)..ms(400)).contains(&began.elapsed()), "{:?}", began.elapsed());
        check(&report);
        assert_eq!(report.ended, Ended::PeerSilent, "{report}");
        assert!(!report.sent.contains(Signal::Fin), "{report}");
        seen(peer).await.assert_reset();
    });
}

#[test]
fn shutdown_is_not_waited_for_by_reading() {
    play(async || {
        // While our goodbye is stuck, the peer's is read, and bytes do not make it spin.
        let gate = Gate::new();
        let peer = answers_then(|script| script.gate(&gate).send("noise").mark("noise").read_to_end().fin());
        let (mut sender, connection, notes) = connect_noted(&peer, &Builder::new()).await;
        exchange(&mut sender).await;
        notes.set(Faults { flush_waits: true, ..Faults::default() });
        let closing = connection.close(CloseMode::graceful());
        gate.open();
        peer.wait_async(0, Until::Mark("noise")).await.unwrap();
        pause(50).await;
        assert!(notes.calls().len() < 30, "{:?}", notes.calls());
        notes.set(Faults::default());
        let report = closing.await;
        assert_eq!((report.ended, report.bytes_discarded), (Ended::Clean, 5), "{report}");
        seen(peer).await.assert_fin();
    });
}

// 19. A graceful close never downloads for ever.

#[test]
fn a_graceful_close_of_an_endless_peer_is_bounded_by_bytes() {
    play(async || {
        let peer = answers_then(|script| script.read_to_end().send_filler(1 << 30).or_end());
        let (mut sender, connection) = connect_with(&peer, &Builder::new().max_discard(64 * 1024)).await;
        exchange(&mut sender).await;
        let report = connection.close(CloseMode::graceful().linger(ms(10_000))).await;
        check(&report);
        assert_eq!((report.reason.clone(), report.ended), (USER, Ended::Aborted), "{report}");
        assert!((64 * 1024..1024 * 1024).contains(&report.bytes_discarded), "{report}");
        assert!(report.sent.contains(Signal::Fin) && report.sent.contains(Signal::Rst), "{report}");
        assert!(report.age < ms(5000), "{report}");
        seen(peer).await.assert_reset();
    });
}

#[test]
fn a_graceful_close_of_an_endless_peer_is_bounded_by_time() {
    play(async || {
        let drip = Script::new().pause(ms(5)).send("drip").or_end();
        let peer = answers_then(|script| script.read_to_end().times(400, drip));
        let (mut sender, connection) = connect(&peer).await;
        exchange(&mut sender).await;
        let began = now();
        let report = connection.close(CloseMode::graceful().linger(ms(150))).await;
        assert!((ms(145)..ms(400)).contains(&began.elapsed()), "{:?}", began.elapsed());
        check(&report);
        assert_eq!((report.reason.clone(), report.ended), (USER, Ended::PeerSilent), "{report}");
        assert!(report.bytes_discarded > 4, "{report}");
        // It writes to nobody, and its kernel is told so.
        seen(peer).await.assert_reset();
    });
}

#[test]
fn a_graceful_close_in_the_middle_of_an_endless_body_is_bounded() {
    play(async || {
        let endless = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n";
        let peer =
            Peer::tcp(Script::new().read_request().send(endless).send_filler(1 << 30).or_end()).unwrap();
        let builder = Builder::new().max_discard(64 * 1024);
        let (mut sender, connection) = connect_with(&peer, &builder).await;
        let response = sender.send_request(get("/")).await.unwrap();
        let began = now();
        let report = connection.close(CloseMode::graceful().drain(ms(80)).linger(ms(5000))).await;
        assert!((ms(75)..ms(1000)).contains(&began.elapsed()), "{:?}", began.elapsed());
        check(&report);
        assert_eq!(
            (report.reason.clone(), report.ended, report.failed),
            (USER, Ended::Aborted, 1),
            "{report}"
        );
        assert!(read(response).await.unwrap_err().is_timeout());
        seen(peer).await.assert_reset();
    });
}
