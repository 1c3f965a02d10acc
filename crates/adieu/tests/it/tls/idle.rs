//! What comes on an idle connection: tickets and key updates are no data, bytes answer no request, alerts end it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use adieu::conn::http1::{Connection, SendRequest};
use adieu::{CloseMode, CloseReason, Ended, ErrorKind, Signal, State, TlsAlert};
use adieu_testkit::peer::{Alert, Event, Gate, Peer, Script, TlsVersion, Until, response};

use super::support::{
    BOTH, SOON, answers_then, check, connect, each_on_its_thread, exchange, goodbye, idle, peer, server,
    shows, signals,
};
use crate::props::{ms, now, pause, play, reaches, refuses, seen, side_by_side};
use crate::support::get;

/// How what came is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noticed {
    /// By the runtime, which knows that there is something.
    Readiness,
    /// By a look at the socket after a pause: nobody else knows. It blocks the thread.
    Peek,
    /// By both: the runtime knows, and the pause is long enough for a look.
    Both,
    /// Without being asked after: the idle connection is watched.
    Watch,
}

/// Those that block nothing.
const AWAITED: [Noticed; 2] = [Noticed::Readiness, Noticed::Both];

impl Noticed {
    /// Opens the gate, and waits so that what comes behind it is noticed in this way.
    async fn after(self, gate: &Gate, peer: &Peer) {
        if self == Self::Watch {
            pause(1050).await;
        }
        gate.open();
        if self == Self::Peek {
            // The only thread is blocked.
            peer.wait(0, Until::Mark("sent")).unwrap();
            return std::thread::sleep(ms(105));
        }
        peer.wait_async(0, Until::Mark("sent")).await.unwrap();
        pause(if self == Self::Both { 110 } else { 5 }).await;
    }
}

/// The first exchange was done; one more goes well on the same connection, and then a close.
async fn is_reused(mut sender: SendRequest, connection: Connection, peer: Peer) {
    assert_eq!(connection.state(), State::Idle);
    let began = now();
    exchange(&mut sender).await;
    assert!(began.elapsed() < ms(800), "the look before the request took {:?}", began.elapsed());
    assert_eq!((connection.snapshot().done, connection.state()), (2, State::Idle));
    let report = connection.close(CloseMode::graceful()).await;
    check(&report);
    assert_eq!(
        (report.ended, report.exchanges, report.failed, report.bytes_discarded),
        (Ended::Clean, 2, 0, 0),
        "{report}"
    );
    assert_eq!((report.sent, report.received), (goodbye(), goodbye()), "{report}");
    let seen = seen(peer).await;
    seen.assert_close_notify_then_fin();
    assert_eq!(seen.requests_len(), 2, "{seen}");
}

// What is no data.

/// One way to say nothing.
type Nothing = fn(Script) -> Script;

const NOTHINGS: [Nothing; 4] = [
    |script| script.ticket(),
    |script| script.ticket().ticket().ticket().pause(ms(3)).ticket(),
    |script| script.key_update(),
    |script| script.key_update().ticket().key_update().ticket(),
];

async fn nothing_comes((way, nothing): (Noticed, Nothing)) {
    let gate = Gate::new();
    let peer = answers_then(TlsVersion::Tls13, |script| {
        let script = nothing(script.gate(&gate)).mark("sent");
        script.read_request().send(response(200, "ok")).read_to_end().goodbye()
    });
    let (sender, connection) = idle(&peer).await;
    way.after(&gate, &peer).await;
    is_reused(sender, connection, peer).await;
}

#[test]
fn tickets_and_key_updates_on_an_idle_connection_are_no_data() {
    play(async || {
        let scenes = AWAITED.into_iter().flat_map(|way| NOTHINGS.map(|nothing| (way, nothing)));
        side_by_side(scenes.map(nothing_comes)).await;
    });
    // Right before a request there is a ticket in the kernel's buffer, and nothing behind it.
    each_on_its_thread(NOTHINGS.map(|nothing| (Noticed::Peek, nothing)), nothing_comes);
}

/// RFC 8446 section 4.6.3: a key update that asks for ours is answered before our next data.
#[test]
fn a_key_update_on_an_idle_connection_is_answered_by_ours() {
    each_on_its_thread([Noticed::Readiness, Noticed::Peek], async |way: Noticed| {
        let gate = Gate::new();
        let peer = answers_then(TlsVersion::Tls13, |script| {
            let script = script.gate(&gate).key_update().mark("sent").read_head().mark("asked");
            script.send(response(200, "ok")).read_to_end().goodbye()
        });
        let (mut sender, connection) = idle(&peer).await;
        way.after(&gate, &peer).await;
        exchange(&mut sender).await;
        let report = connection.close(CloseMode::graceful()).await;
        check(&report);
        assert_eq!((report.ended, report.exchanges), (Ended::Clean, 2), "{report}");
        let seen = seen(peer).await;
        assert!(seen.saw_before("asked", |event| *event == Event::KeyUpdate), "{way:?}: {seen}");
        seen.assert_close_notify_then_fin();
    });
}

/// The tickets of the handshake itself, before the first request, which comes at once or after a pause.
#[test]
fn tickets_right_after_the_handshake_are_no_data() {
    let ways = [Noticed::Readiness, Noticed::Peek, Noticed::Both].into_iter();
    let scenes = ways.flat_map(|way| [0, 1, 4].map(|tickets| (way, tickets)));
    each_on_its_thread(scenes, async |(way, tickets): (Noticed, usize)| {
        let gate = Gate::new();
        let script = Script::new().gate(&gate).mark("sent").read_request().send(response(200, "ok"));
        let script = script.read_request().send(response(200, "ok")).read_to_end().goodbye();
        let server = server(TlsVersion::Tls13).tickets(tickets);
        let peer = Peer::builder().tls(&server).script(script).tcp().unwrap();
        let (mut sender, connection) = connect(&peer).await;
        way.after(&gate, &peer).await;
        let began = now();
        exchange(&mut sender).await;
        assert!(began.elapsed() < ms(800), "{tickets}, {way:?}: {:?}", began.elapsed());
        is_reused(sender, connection, peer).await;
    });
}

/// Tickets that come in the middle of a response, or right behind it.
#[test]
fn tickets_and_key_updates_in_a_response_are_no_data() {
    play(async || {
        side_by_side(NOTHINGS.map(async |nothing| {
            let script = nothing(Script::new().read_request()).send("HTTP/1.1 200 OK\r\nContent-");
            let script = nothing(script).send("Length: 2\r\n\r\no");
            let script = nothing(nothing(script).send("k")).mark("sent");
            let script = script.read_request().send(response(200, "ok")).read_to_end().goodbye();
            let peer = peer(TlsVersion::Tls13, script);
            let (sender, connection) = idle(&peer).await;
            peer.wait_async(0, Until::Mark("sent")).await.unwrap();
            is_reused(sender, connection, peer).await;
        }))
        .await;
    });
}

async fn half_a_record_comes((way, version): (Noticed, TlsVersion)) {
    let gate = Gate::new();
    let peer = answers_then(version, |script| {
        script.gate(&gate).send_raw(&b"\x17\x03"[..]).mark("sent").read_request().reset()
    });
    let (mut sender, connection) = idle(&peer).await;
    way.after(&gate, &peer).await;
    assert_eq!(connection.state(), State::Idle);
    let began = now();
    let error = sender.send_request(get("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Reset, "{error:?}");
    assert!(began.elapsed() < ms(800), "{way:?}: {:?}", began.elapsed());
    let seen = seen(peer).await;
    assert_eq!(seen.requests_len(), 2, "{seen}");
}

/// Half a record cannot be told from half a ticket: nobody waits for its rest before a request.
#[test]
fn the_start_of_a_record_on_an_idle_connection_is_no_data_yet() {
    let ways = [Noticed::Readiness, Noticed::Peek, Noticed::Both].into_iter();
    each_on_its_thread(ways.flat_map(|way| BOTH.map(|version| (way, version))), half_a_record_comes);
}

// What is data.

const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
const REQUEST_TIMEOUT: &str =
    "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// What comes, and why it ends the connection.
const SOMETHING: [(&str, CloseReason); 3] = [
    (EVIL, CloseReason::UnexpectedData),
    ("x", CloseReason::UnexpectedData),
    (REQUEST_TIMEOUT, CloseReason::PeerClosedIdle),
];

async fn something_comes((way, version, (extra, reason)): (Noticed, TlsVersion, (&str, CloseReason))) {
    let gate = Gate::new();
    let peer = answers_then(version, |script| {
        // Tickets before it are no excuse.
        let script = script.gate(&gate);
        let script = if version == TlsVersion::Tls13 { script.ticket().key_update() } else { script };
        script.send(extra).mark("sent").read_to_end().goodbye()
    });
    let (mut sender, connection) = idle(&peer).await;
    way.after(&gate, &peer).await;
    if way == Noticed::Watch {
        // Without any traffic.
        reaches(&connection, |state| state != State::Idle).await;
    }
    assert_eq!(refuses(&mut sender).await, reason);
    let report = connection.closed().await;
    check(&report);
    assert_eq!(
        (report.reason.clone(), report.ended, report.sent, report.received),
        (reason, Ended::Clean, goodbye(), goodbye()),
        "{report}"
    );
    assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
    assert_eq!(report.bytes_discarded, extra.len() as u64, "{report}");
    let seen = seen(peer).await;
    seen.assert_close_notify_then_fin();
    assert_eq!(seen.requests_len(), 1, "something was written for nobody\n{seen}");
}

#[test]
fn bytes_on_an_idle_connection_over_tls_end_it() {
    let scenes = |way| BOTH.into_iter().flat_map(move |version| SOMETHING.map(|what| (way, version, what)));
    play(async move || side_by_side(AWAITED.into_iter().flat_map(scenes).map(something_comes)).await);
    each_on_its_thread(scenes(Noticed::Peek), something_comes);
}

/// A 408 and its goodbye come together mostly.
#[test]
fn a_408_and_a_goodbye_on_an_idle_connection_over_tls_are_an_end_in_order() {
    play(async || {
        for version in BOTH {
            let peer = answers_then(version, |script| script.send(REQUEST_TIMEOUT).goodbye().mark("sent"));
            let (mut sender, connection) = connect(&peer).await;
            exchange(&mut sender).await;
            peer.wait_async(0, Until::Mark("sent")).await.unwrap();
            pause(2).await;
            assert_eq!(refuses(&mut sender).await, CloseReason::PeerClosedIdle);
            let report = connection.closed().await;
            check(&report);
            assert_eq!((report.ended, report.sent, report.received), (Ended::Clean, goodbye(), goodbye()));
            seen(peer).await.assert_close_notify_then_fin();
        }
    });
}

// What breaks it.

async fn garbage_comes((way, version, (bytes, alert)): (Noticed, TlsVersion, (&'static [u8], Alert))) {
    let gate = Gate::new();
    let peer = answers_then(version, |script| {
        let script = script.gate(&gate).send_raw(bytes).mark("sent");
        script.expect_alert(SOON).expect_fin(SOON).fin()
    });
    let (mut sender, connection) = idle(&peer).await;
    way.after(&gate, &peer).await;
    if way == Noticed::Watch {
        reaches(&connection, |state| state != State::Idle).await;
    }
    let reason = refuses(&mut sender).await;
    assert!(matches!(reason, CloseReason::TlsBroken(_)), "{reason}");
    let report = connection.closed().await;
    check(&report);
    // The alert took the place of close_notify.
    assert_eq!(
        (report.reason.clone(), report.ended, report.sent, report.received),
        (reason, Ended::Clean, signals([Signal::Fin]), signals([Signal::Fin])),
        "{report}"
    );
    assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
    let seen = seen(peer).await;
    seen.assert_alert(alert);
    seen.assert_fin();
    assert!(!seen.saw_close_notify(), "{seen}");
    assert_eq!(seen.requests_len(), 1, "{seen}");
}

/// A record to which nobody has the key, and no record at all.
const GARBAGE: [(&[u8], Alert); 2] = [
    (b"\x17\x03\x03\x00\x14--------------------", Alert::BAD_RECORD_MAC),
    (b"HTTP/1.1 400 Bad\r\n\r\n", Alert::DECODE_ERROR),
];

#[test]
fn a_broken_record_on_an_idle_connection_is_answered_by_an_alert() {
    let scenes = |way| BOTH.into_iter().flat_map(move |version| GARBAGE.map(|what| (way, version, what)));
    play(async move || side_by_side(AWAITED.into_iter().flat_map(scenes).map(garbage_comes)).await);
    each_on_its_thread(scenes(Noticed::Peek), garbage_comes);
}

#[test]
fn a_fatal_alert_on_an_idle_connection_ends_it() {
    let ways = [Noticed::Readiness, Noticed::Peek].into_iter();
    let scenes = ways.flat_map(|way| BOTH.map(|version| (way, version)));
    each_on_its_thread(scenes, async |(way, version): (Noticed, TlsVersion)| {
        let gate = Gate::new();
        let peer = answers_then(version, |script| {
            script.gate(&gate).alert(Alert::INTERNAL_ERROR).mark("sent").read_to_end().fin()
        });
        let (mut sender, connection) = idle(&peer).await;
        way.after(&gate, &peer).await;
        let reason = CloseReason::TlsAlert(TlsAlert(80));
        assert_eq!(refuses(&mut sender).await, reason);
        let report = connection.closed().await;
        check(&report);
        assert_eq!(
            (report.reason.clone(), report.ended, report.sent, report.received),
            (reason, Ended::Broken, signals([]), signals([])),
            "{report}"
        );
        let seen = seen(peer).await;
        assert!(!seen.saw_close_notify() && seen.alert().is_none(), "{seen}");
        assert_eq!(seen.requests_len(), 1, "{seen}");
    });
}

// What nobody asks after.

/// A connection that has been idle for a second is watched: what comes is judged as it comes, without traffic.
#[test]
fn whatever_comes_on_a_watched_connection_over_tls_is_judged_at_once() {
    const WATCHED: Noticed = Noticed::Watch;
    play(async || {
        let mut scenes: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
        for nothing in NOTHINGS {
            scenes.push(Box::pin(nothing_comes((WATCHED, nothing))));
        }
        for version in BOTH {
            scenes.push(Box::pin(half_a_record_comes((WATCHED, version))));
            for what in SOMETHING {
                scenes.push(Box::pin(something_comes((WATCHED, version, what))));
            }
            for what in GARBAGE {
                scenes.push(Box::pin(garbage_comes((WATCHED, version, what))));
            }
        }
        all_at_once(scenes).await;
    });
}

/// All of them wait for a second first.
async fn all_at_once(mut scenes: Vec<Pin<Box<dyn Future<Output = ()>>>>) {
    poll_fn(|cx| {
        scenes.retain_mut(|scene| scene.as_mut().poll(cx).is_pending());
        if scenes.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

// What a snapshot shows meanwhile.

#[test]
fn a_close_notify_on_an_idle_connection_is_in_its_snapshot_until_the_fin() {
    play(async || {
        side_by_side(BOTH.map(async |version| {
            let fin = Gate::new();
            let peer = answers_then(version, |script| {
                script.close_notify().mark("notified").read_to_end().gate(&fin).fin()
            });
            let (mut sender, connection) = connect(&peer).await;
            exchange(&mut sender).await;
            peer.wait_async(0, Until::Mark("notified")).await.unwrap();
            pause(2).await;
            assert_eq!(refuses(&mut sender).await, CloseReason::PeerClosedIdle);
            let snapshot = shows(&connection, |snapshot| snapshot.state == State::Lingering).await;
            assert_eq!(
                (snapshot.sent, snapshot.received, snapshot.reason),
                (goodbye(), signals([Signal::CloseNotify]), Some(CloseReason::PeerClosedIdle)),
            );
            // A laxer close only waits.
            let closing = connection.close(CloseMode::graceful().linger(SOON));
            fin.open();
            let report = closing.await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended, report.received),
                (CloseReason::PeerClosedIdle, Ended::Clean, goodbye()),
                "{report}"
            );
            seen(peer).await.assert_close_notify_then_fin();
        }))
        .await;
    });
}
