//! Every end of each side, in every state, and what the peer sees of it.

use std::time::Duration;

use adieu::conn::http1::{Connection, SendRequest};
use adieu::{
    CloseKind, CloseMode, CloseReason, CloseReport, Ended, ErrorKind, Layer, Signal, Signals, State,
};
use adieu_testkit::peer::{Alert, Event, Gate, Peer, Script, TlsVersion, Until, response};
use tokio::task::JoinHandle;

use super::support::{
    BOTH, SOON, answers_then, check, connect, each_on_its_thread, exchange, fetch, goodbye, idle, peer,
    shows, signals,
};
use crate::props::{beside, ms, now, pause, play, reaches, refuses, seen, side_by_side};
use crate::support::{get, read};

/// What a peer does once it has read our goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Goodbye,
    CloseNotifyThenFinLater,
    FinAlone,
    CloseNotifyAlone,
    Nothing,
    Reset,
    Alert,
    Garbage,
}

const ANSWERS: [Answer; 8] = [
    Answer::Goodbye,
    Answer::CloseNotifyThenFinLater,
    Answer::FinAlone,
    Answer::CloseNotifyAlone,
    Answer::Nothing,
    Answer::Reset,
    Answer::Alert,
    Answer::Garbage,
];

/// A record to which nobody has the key.
const GARBAGE: [u8; 37] = {
    let mut record = [0; 37];
    (record[0], record[1], record[2], record[4]) = (23, 3, 3, 32);
    record
};

impl Answer {
    fn after(self, script: Script) -> Script {
        let script = script.read_to_end();
        match self {
            Self::Goodbye => script.goodbye(),
            Self::CloseNotifyThenFinLater => script.close_notify().pause(ms(30)).fin(),
            Self::FinAlone => script.fin(),
            Self::CloseNotifyAlone => script.close_notify().stall(),
            Self::Nothing => script.stall(),
            Self::Reset => script.reset(),
            Self::Alert => script.alert(Alert::INTERNAL_ERROR).stall(),
            Self::Garbage => script.send_raw(GARBAGE).stall(),
        }
    }

    /// How the connection ended, and what we heard.
    fn outcome(self) -> (Ended, Signals) {
        let notify = signals([Signal::CloseNotify]);
        match self {
            Self::Goodbye | Self::CloseNotifyThenFinLater => (Ended::Clean, goodbye()),
            Self::FinAlone => (Ended::Clean, signals([Signal::Fin])),
            // It said goodbye; that its FIN is missing makes it no silent peer.
            Self::CloseNotifyAlone => (Ended::Clean, notify),
            Self::Nothing => (Ended::PeerSilent, signals([])),
            Self::Reset => (Ended::Reset, signals([Signal::Rst])),
            Self::Alert | Self::Garbage => (Ended::Broken, signals([])),
        }
    }

    /// Whether the whole linger passes.
    fn keeps_waiting(self) -> bool {
        matches!(self, Self::CloseNotifyAlone | Self::Nothing)
    }

    /// A linger that is short where it passes, and long where it must not.
    fn linger(self) -> Duration {
        if self.keeps_waiting() { ms(120) } else { SOON }
    }
}

/// What follows from an answer to our goodbye, whatever led to that.
async fn answered(answer: Answer, report: &CloseReport, reason: CloseReason, peer: Peer) {
    check(report);
    let (ended, received) = answer.outcome();
    assert_eq!(
        (report.reason.clone(), report.ended, report.sent, report.received),
        (reason, ended, goodbye(), received),
        "{answer:?}: {report}"
    );
    peer.release();
    let seen = seen(peer).await;
    assert!(!seen.saw_reset() || answer == Answer::Reset, "{answer:?}: {seen}");
    if answer != Answer::Reset {
        // Also after garbage: our side has ended, there is nothing left to say an alert with.
        seen.assert_close_notify_then_fin();
    }
}

/// A close of our own on an idle connection, for each mode that says goodbye.
#[test]
fn goodbye_when_idle_and_every_answer_to_it() {
    play(async || {
        let mut scenes = Vec::new();
        for version in BOTH {
            for answer in ANSWERS {
                for mode in [CloseMode::graceful(), CloseMode::half(), CloseMode::now()] {
                    scenes.push((version, answer, mode));
                }
            }
        }
        side_by_side(scenes.into_iter().map(async |(version, answer, mode)| {
            let peer = answers_then(version, |script| answer.after(script));
            let (mut sender, connection) = idle(&peer).await;
            let began = now();
            let report = connection.close(mode.linger(answer.linger())).await;
            if answer.keeps_waiting() {
                assert!(began.elapsed() >= ms(115), "{answer:?}: {:?}", began.elapsed());
            }
            assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
            let reason = CloseReason::User(mode.kind());
            assert_eq!(refuses(&mut sender).await, reason);
            answered(answer, &report, reason, peer).await;
        }))
        .await;
    });
}

#[test]
fn graceful_when_busy_and_every_answer_to_it() {
    play(async || {
        let scenes = BOTH.into_iter().flat_map(|version| ANSWERS.map(|answer| (version, answer)));
        side_by_side(scenes.map(async |(version, answer)| {
            let gate = Gate::new();
            let script = Script::new().read_request().mark("asked").gate(&gate).send(response(200, "late"));
            let peer = peer(version, answer.after(script));
            let (mut sender, connection) = connect(&peer).await;
            let exchange = beside(async move { fetch(&mut sender).await });
            peer.wait_async(0, Until::Mark("asked")).await.unwrap();
            let closing = connection.close(CloseMode::graceful().linger(answer.linger()));
            let snapshot =
                shows(&connection, |snapshot| matches!(snapshot.state, State::Draining { .. })).await;
            assert!(snapshot.sent.is_empty() && snapshot.received.is_empty(), "{snapshot}");
            gate.open();
            assert_eq!(exchange.await.unwrap().unwrap(), "late");
            let report = closing.await;
            assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
            answered(answer, &report, CloseReason::User(CloseKind::Graceful), peer).await;
        }))
        .await;
    });
}

/// Nothing of the request is cut short by it: the peer gets a goodbye, the exchange fails.
#[test]
fn now_with_a_whole_request_in_flight_and_every_answer_to_it() {
    play(async || {
        let scenes = BOTH.into_iter().flat_map(|version| ANSWERS.map(|answer| (version, answer)));
        side_by_side(scenes.map(async |(version, answer)| {
            let peer = peer(version, answer.after(Script::new().read_request().mark("asked")));
            let (mut sender, connection) = connect(&peer).await;
            let exchange = beside(async move { fetch(&mut sender).await });
            peer.wait_async(0, Until::Mark("asked")).await.unwrap();
            let report = connection.close(CloseMode::now().linger(answer.linger())).await;
            let error = exchange.await.unwrap().unwrap_err();
            let reason = CloseReason::User(CloseKind::Now);
            assert_eq!((error.kind(), error.close_reason()), (ErrorKind::Closed, Some(&reason)), "{error:?}");
            assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
            answered(answer, &report, reason, peer).await;
        }))
        .await;
    });
}

#[test]
fn graceful_past_its_drain_says_goodbye_when_the_request_is_whole() {
    play(async || {
        side_by_side(BOTH.map(async |version| {
            let script = Script::new().read_request().mark("asked").read_to_end().goodbye();
            let peer = peer(version, script);
            let (mut sender, connection) = connect(&peer).await;
            let exchange = beside(async move { fetch(&mut sender).await });
            peer.wait_async(0, Until::Mark("asked")).await.unwrap();
            let report = connection.close(CloseMode::graceful().drain(ms(40))).await;
            assert!(exchange.await.unwrap().unwrap_err().is_timeout());
            let reason = CloseReason::User(CloseKind::Graceful);
            answered(Answer::Goodbye, &report, reason, peer).await;
        }))
        .await;
    });
}

/// Who lets go of everything has said nothing: the connection does.
#[test]
fn dropping_everything_says_goodbye() {
    play(async || {
        let scenes = BOTH.into_iter().flat_map(|version| [false, true].map(|busy| (version, busy)));
        side_by_side(scenes.map(async |(version, busy)| {
            let gate = Gate::new();
            let script = Script::new().read_request().mark("asked").gate(&gate).send(response(200, "ok"));
            let peer = peer(version, script.read_to_end().goodbye());
            let (mut sender, connection) = connect(&peer).await;
            let closed = connection.closed();
            let exchange: JoinHandle<_> = if busy {
                // Only the exchange in flight is left, and ends by itself.
                let exchange = beside(sender.send_request(get("/")));
                peer.wait_async(0, Until::Mark("asked")).await.unwrap();
                drop((sender, connection));
                gate.open();
                exchange
            } else {
                gate.open();
                let response = sender.send_request(get("/")).await;
                drop((sender, connection));
                beside(async { response })
            };
            assert_eq!(read(exchange.await.unwrap().unwrap()).await.unwrap(), "ok");
            let report = closed.await;
            answered(Answer::Goodbye, &report, CloseReason::HandlesDropped, peer).await;
        }))
        .await;
    });
}

/// A dropped future or body leaves a request that was whole: a goodbye, and no reset.
#[test]
fn dropping_a_response_says_goodbye() {
    play(async || {
        let scenes = BOTH.into_iter().flat_map(|version| [false, true].map(|in_body| (version, in_body)));
        side_by_side(scenes.map(async |(version, in_body)| {
            let start = "HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\nstart";
            let script = Script::new().read_request().mark("asked");
            let script = if in_body { script.send(start) } else { script };
            let peer = peer(version, script.read_to_end().goodbye());
            let (mut sender, connection) = connect(&peer).await;
            if in_body {
                drop(sender.send_request(get("/")).await.unwrap());
            } else {
                let exchange = beside(sender.send_request(get("/")));
                peer.wait_async(0, Until::Mark("asked")).await.unwrap();
                exchange.abort();
            }
            let report = connection.closed().await;
            assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
            answered(Answer::Goodbye, &report, CloseReason::RequestCancelled, peer).await;
        }))
        .await;
    });
}

/// A record of which only the start came is no data, and in the way of nothing.
#[test]
fn every_close_in_the_middle_of_a_record_of_the_peer() {
    play(async || {
        let mut scenes = Vec::new();
        for version in BOTH {
            for (at, mode) in [CloseMode::graceful(), CloseMode::half(), CloseMode::now(), CloseMode::abort()]
                .into_iter()
                .enumerate()
            {
                scenes.push((version, at % 2 == 0, mode));
            }
        }
        side_by_side(scenes.into_iter().map(async |(version, header_only, mode)| {
            let part = if header_only { &GARBAGE[..3] } else { &GARBAGE[..20] };
            let aborts = mode.kind() == CloseKind::Abort;
            let peer = answers_then(version, |script| {
                let script = script.send_raw(part).mark("part").read_to_end();
                if aborts { script } else { script.fin() }
            });
            let (_sender, connection) = idle(&peer).await;
            peer.wait_async(0, Until::Mark("part")).await.unwrap();
            pause(2).await;
            let report = connection.close(mode.linger(SOON)).await;
            let reason = CloseReason::User(mode.kind());
            if aborts {
                assert_eq!((report.ended, report.sent), (Ended::Aborted, signals([Signal::Rst])), "{report}");
                seen(peer).await.assert_reset();
            } else {
                answered(Answer::FinAlone, &report, reason, peer).await;
            }
        }))
        .await;
    });
}

/// How a peer begins to end an idle connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begins {
    CloseNotify,
    Both,
    Fin,
    Reset,
    Alert,
}

impl Begins {
    fn after(self, script: Script) -> Script {
        match self {
            // It waits for ours before its FIN.
            Self::CloseNotify => script.close_notify().mark("begun").read_to_end().fin(),
            Self::Both => script.goodbye().mark("begun"),
            Self::Fin => script.fin().mark("begun"),
            Self::Reset => script.reset().mark("begun"),
            Self::Alert => script.alert(Alert::INTERNAL_ERROR).mark("begun").read_to_end().fin(),
        }
    }

    /// Why it ended, how, what we said, what we heard.
    fn outcome(self) -> (CloseReason, Ended, Signals, Signals) {
        let (idle, nothing) = (CloseReason::PeerClosedIdle, signals([]));
        match self {
            Self::CloseNotify | Self::Both => (idle, Ended::Clean, goodbye(), goodbye()),
            Self::Fin => (idle, Ended::Clean, goodbye(), signals([Signal::Fin])),
            Self::Reset => (CloseReason::Reset, Ended::Reset, nothing, signals([Signal::Rst])),
            Self::Alert => (CloseReason::TlsAlert(adieu::TlsAlert(80)), Ended::Broken, nothing, nothing),
        }
    }
}

const BEGINNINGS: [Begins; 5] =
    [Begins::CloseNotify, Begins::Both, Begins::Fin, Begins::Reset, Begins::Alert];

async fn begun(begins: Begins, mut sender: SendRequest, connection: Connection, peer: Peer) {
    let (reason, ended, sent, received) = begins.outcome();
    assert_eq!(refuses(&mut sender).await, reason, "{begins:?}");
    let report = connection.closed().await;
    check(&report);
    assert_eq!(
        (report.reason.clone(), report.ended, report.sent, report.received),
        (reason, ended, sent, received),
        "{begins:?}: {report}"
    );
    assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
    let seen = seen(peer).await;
    assert_eq!(seen.requests_len(), 1, "something was written for nobody\n{seen}");
    match begins {
        Begins::Reset => {}
        Begins::Alert => assert!(!seen.saw_close_notify(), "{seen}"),
        _ => seen.assert_close_notify_then_fin(),
    }
}

#[test]
fn the_peers_end_of_an_idle_connection_is_noticed_without_traffic() {
    play(async || {
        let scenes = BOTH.into_iter().flat_map(|version| BEGINNINGS.map(|begins| (version, begins)));
        side_by_side(scenes.map(async |(version, begins)| {
            let gate = Gate::new();
            let peer = answers_then(version, |script| begins.after(script.gate(&gate)));
            let (sender, connection) = idle(&peer).await;
            gate.open();
            let began = now();
            reaches(&connection, |state| state == State::Closed).await;
            assert!(began.elapsed() < ms(3000), "{begins:?}: {:?}", began.elapsed());
            begun(begins, sender, connection, peer).await;
        }))
        .await;
    });
}

#[test]
fn the_peers_end_of_an_idle_connection_is_noticed_right_before_a_request() {
    play(async || {
        for version in BOTH {
            for begins in BEGINNINGS {
                let peer = answers_then(version, |script| begins.after(script));
                let (mut sender, connection) = connect(&peer).await;
                exchange(&mut sender).await;
                peer.wait_async(0, Until::Mark("begun")).await.unwrap();
                pause(2).await;
                begun(begins, sender, connection, peer).await;
            }
        }
    });
}

/// The only thread is blocked, so that only a look at the socket itself can tell.
#[test]
fn the_peers_end_of_an_idle_connection_that_the_runtime_does_not_know_of_yet_is_noticed() {
    let scenes = BOTH.into_iter().flat_map(|version| BEGINNINGS.map(|begins| (version, begins)));
    each_on_its_thread(scenes, async |(version, begins): (TlsVersion, Begins)| {
        let gate = Gate::new();
        let peer = answers_then(version, |script| begins.after(script.gate(&gate)));
        let (sender, connection) = idle(&peer).await;
        gate.open();
        peer.wait(0, Until::Mark("begun")).unwrap();
        std::thread::sleep(ms(105));
        begun(begins, sender, connection, peer).await;
    });
}

/// What comes together with the last byte of a response ends the connection, not the response.
#[test]
fn the_peers_goodbye_right_behind_a_response_is_noticed_before_the_next() {
    play(async || {
        for version in BOTH {
            for begins in BEGINNINGS {
                let peer = answers_then(version, |script| begins.after(script));
                let (mut sender, connection) = connect(&peer).await;
                let first = sender.send_request(get("/")).await.unwrap();
                peer.wait_async(0, Until::Mark("begun")).await.unwrap();
                assert_eq!(read(first).await.unwrap(), "ok");
                pause(1).await;
                begun(begins, sender, connection, peer).await;
            }
        }
    });
}

/// `Connection: close` over TLS: the peer gets a moment to end first, then our goodbye is said.
#[test]
fn a_peer_that_announced_its_end_gets_a_moment_to_say_goodbye_first() {
    play(async || {
        let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
        let scenes = BOTH.into_iter().flat_map(|version| [false, true].map(|speaks| (version, speaks)));
        side_by_side(scenes.map(async |(version, speaks)| {
            let script = Script::new().read_request().send(answer);
            let script = if speaks { script.quiet(ms(10)) } else { script.read_to_end() };
            let peer = peer(version, script.goodbye());
            let (mut sender, connection) = connect(&peer).await;
            let began = now();
            exchange(&mut sender).await;
            assert_eq!(connection.state(), State::Yielding);
            let report = connection.closed().await;
            assert!(speaks || began.elapsed() >= ms(95), "{:?}", began.elapsed());
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended, report.sent, report.received),
                (CloseReason::PeerAskedClose, Ended::Clean, goodbye(), goodbye()),
                "{report}"
            );
            seen(peer).await.assert_close_notify_then_fin();
        }))
        .await;
    });
}

/// The layers say each for itself what the report says of all.
#[test]
fn the_layers_of_a_report_and_its_session() {
    play(async || {
        for version in BOTH {
            let peer =
                answers_then(version, |script| script.expect_close_notify(SOON).expect_fin(SOON).fin());
            let (_sender, connection) = idle(&peer).await;
            let session = connection.snapshot().tls.unwrap();
            let report = connection.close(CloseMode::graceful()).await;
            check(&report);
            assert_eq!(report.tls.as_ref(), Some(&session));
            let name = if version == TlsVersion::Tls12 { "TLSv1.2" } else { "TLSv1.3" };
            let seen = seen(peer).await;
            let agreed = seen.handshake().unwrap();
            assert_eq!(
                (session.version, &session.cipher_suite, session.resumed, session.alpn),
                (name, &agreed.cipher_suite, false, None)
            );
            let layers: Vec<_> =
                report.layers.iter().map(|layer| (layer.layer, layer.sent, layer.received)).collect();
            assert_eq!(
                layers,
                [
                    (Layer::Tls, signals([Signal::CloseNotify]), signals([])),
                    (Layer::Tcp, signals([Signal::Fin]), signals([Signal::Fin])),
                ],
            );
            assert!(seen.time_of(|event| *event == Event::CloseNotify).is_some(), "{seen}");
        }
    });
}
