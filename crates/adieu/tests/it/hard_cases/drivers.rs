//! A close must be driven: by whom, and what becomes of it when the runtime is gone.

use adieu::conn::http1::{Builder, SendRequest};
use adieu::{CloseKind, CloseMode, CloseReason, CloseReport, Ended, ErrorKind, Signal, State};
use adieu_testkit::Ended as PeerSaw;
use adieu_testkit::peer::{Peer, Script, Until, response};
use tokio::runtime::{self, Runtime};

use crate::props::{check, ms, pause, play, play_on, poll_once, seen, upload};
use crate::support::{connect, get, read};

const USER: CloseReason = CloseReason::User(CloseKind::Graceful);

/// One exchange, and the connection is idle.
async fn exchange(sender: &mut SendRequest) {
    assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
}

fn answers_then(rest: impl FnOnce(Script) -> Script) -> Peer {
    Peer::tcp(rest(Script::new().read_request().send(response(200, "ok")))).unwrap()
}

// 17. A close must be driven; the runtime may be gone.

fn runtime() -> Runtime {
    runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// What a report says when its runtime went away.
fn forsaken(report: &CloseReport, reason: &CloseReason) {
    check(report);
    assert_eq!((&report.reason, report.ended), (reason, Ended::Aborted), "{report}");
}

#[test]
fn a_close_after_the_runtime_is_gone_resolves_on_another() {
    for mode in [CloseMode::graceful(), CloseMode::half(), CloseMode::now(), CloseMode::abort()] {
        let gone = runtime();
        let peer = answers_then(|script| script);
        let (mut sender, connection) = gone.block_on(connect(&peer));
        gone.block_on(exchange(&mut sender));
        drop(gone);
        play(async move || {
            let report = connection.close(mode).await;
            forsaken(&report, &CloseReason::RuntimeGone);
            assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
            assert_eq!(connection.state(), State::Closed);
            let error = sender.send_request(get("/")).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.close_reason()),
                (ErrorKind::Closed, Some(&CloseReason::RuntimeGone))
            );
            assert_ne!(seen(peer).await.ended(), PeerSaw::StillOpen);
        });
    }
}

#[test]
fn a_close_that_lingers_when_its_runtime_goes_resolves_on_another() {
    let gone = runtime();
    let peer = answers_then(|script| script.read_to_end().mark("fin").stall());
    let (mut sender, connection) = gone.block_on(connect(&peer));
    gone.block_on(exchange(&mut sender));
    let closing = connection.close(CloseMode::graceful().linger(ms(60_000)));
    gone.block_on(peer.wait_async(0, Until::Mark("fin"))).unwrap();
    drop(gone);
    play(async move || {
        let report = closing.await;
        forsaken(&report, &USER);
        assert!(report.sent.contains(Signal::Fin), "{report}");
        peer.release();
        seen(peer).await;
    });
}

#[test]
fn a_request_in_flight_when_its_runtime_goes_fails_and_is_cut() {
    for length in [Some(1000), None] {
        let gone = runtime();
        let peer = Peer::tcp(Script::new().read_head()).unwrap();
        let (mut sender, connection) = gone.block_on(connect(&peer));
        let (request, hand) = upload("POST", length);
        hand.give("0123456789");
        let mut exchange = Box::pin(sender.send_request(request));
        gone.block_on(async {
            assert!(poll_once(exchange.as_mut()).await.is_none());
            peer.wait_async(0, Until::Requests(1)).await.unwrap();
        });
        drop(gone);
        play(async move || {
            let closing = connection.close(CloseMode::graceful());
            let error = exchange.await.unwrap_err();
            assert_eq!(error.close_reason(), Some(&CloseReason::RuntimeGone), "{error:?}");
            let report = closing.await;
            forsaken(&report, &CloseReason::RuntimeGone);
            assert!(report.sent.contains(Signal::Rst) && !report.sent.contains(Signal::Fin), "{report}");
            hand.assert_dropped().await;
            let seen = seen(peer).await;
            seen.assert_reset();
            assert!(!seen.saw_fin(), "{seen}");
        });
    }
}

#[test]
fn an_upload_that_its_runtime_carried_is_cut_when_that_goes() {
    let gone = runtime();
    let peer = Peer::tcp(Script::new().read_head().send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"))
        .unwrap();
    let (mut sender, connection) = gone.block_on(connect(&peer));
    let (request, hand) = upload("POST", None);
    hand.give("0123456789");
    let body = gone.block_on(async {
        let response = sender.send_request(request).await.unwrap();
        pause(20).await;
        response.into_body()
    });
    drop(gone);
    play(async move || {
        let error = http_body_util::BodyExt::collect(body).await.unwrap_err();
        assert_eq!(error.close_reason(), Some(&CloseReason::RuntimeGone), "{error:?}");
        let report = connection.closed().await;
        forsaken(&report, &CloseReason::RuntimeGone);
        hand.assert_dropped().await;
        let seen = seen(peer).await;
        seen.assert_reset();
        assert!(!seen.saw_fin(), "{seen}");
    });
}

#[test]
fn a_request_after_the_runtime_is_gone_fails() {
    let gone = runtime();
    let peer = answers_then(|script| script);
    let (mut sender, connection) = gone.block_on(connect(&peer));
    gone.block_on(exchange(&mut sender));
    drop(gone);
    play(async move || {
        sender.send_request(get("/")).await.unwrap_err();
        let report = connection.closed().await;
        assert_eq!(report.exchanges, 1, "{report}");
        seen(peer).await;
    });
}

#[test]
fn a_request_after_the_runtime_is_gone_over_a_transport_that_needs_none_does_not_panic() {
    // Nothing keeps such a transport from working; its timers are gone all the same.
    let gone = runtime();
    let builder = Builder::new().response_head_timeout(Some(ms(50)));
    let (mut sender, connection, mut end) = gone.block_on(crate::support::in_memory_with(&builder));
    drop(gone);
    play(async move || {
        let late = tokio::time::timeout(ms(300), sender.send_request(get("/"))).await;
        assert!(late.is_err() || late.unwrap().is_err(), "{}", connection.snapshot());
        // It can still be closed.
        let report = tokio::time::timeout(ms(1000), connection.close(CloseMode::graceful())).await.unwrap();
        forsaken(&report, &report.reason.clone());
        tokio::io::AsyncWriteExt::shutdown(&mut end).await.unwrap_or_default();
    });
}

#[test]
fn dropping_everything_after_the_runtime_is_gone_ends_the_connection() {
    let gone = runtime();
    let peer = answers_then(|script| script);
    let (mut sender, connection) = gone.block_on(connect(&peer));
    gone.block_on(exchange(&mut sender));
    drop(gone);
    drop((sender, connection));
    play(async move || assert_ne!(seen(peer).await.ended(), PeerSaw::StillOpen));
}

#[test]
fn asking_a_connection_whose_runtime_is_gone_still_answers() {
    let gone = runtime();
    let (mut sender, connection, _end) = gone.block_on(crate::support::in_memory());
    drop(gone);
    assert!(!connection.snapshot().to_string().contains('\n'));
    // The end of the runtime may have been noticed already: its timers go off.
    assert_eq!(connection.state() == State::Closed, connection.report().is_some());
    play(async move || {
        let _watch = connection.watch();
        let report = connection.close(CloseMode::now()).await;
        forsaken(&report, &CloseReason::RuntimeGone);
        assert_eq!(sender.ready().await.unwrap_err().close_reason(), Some(&CloseReason::RuntimeGone));
    });
}

// 18. Closing progresses in every runtime, with nobody polling.

async fn closes_unattended() {
    let mut all = Vec::new();
    for _ in 0..8 {
        let peer = answers_then(|script| script.read_to_end().fin());
        let (mut sender, connection) = connect(&peer).await;
        exchange(&mut sender).await;
        // Never polled, and dropped at once.
        drop(connection.close(CloseMode::graceful()));
        all.push((peer, connection, sender));
    }
    for (peer, connection, _sender) in all {
        peer.wait_async(0, Until::Over).await.unwrap().assert_fin();
        let report = connection.closed().await;
        check(&report);
        assert_eq!((report.reason.clone(), report.ended), (USER, Ended::Clean), "{report}");
    }
}

#[test]
fn closing_progresses_with_nobody_polling_on_one_thread() {
    play(closes_unattended);
}

#[test]
fn closing_progresses_with_nobody_polling_on_several_threads() {
    let mut threads = runtime::Builder::new_multi_thread();
    threads.worker_threads(2);
    play_on(threads, closes_unattended);
}
