//! Each mode at each moment of an exchange.

use std::time::Duration;

use adieu::conn::http1::{Builder, Connection, SendRequest};
use adieu::{Body, CloseKind, CloseMode, CloseReason, Ended, ErrorKind, ExchangePhase, Phase, Signal};
use adieu_testkit::Ended as PeerSaw;
use adieu_testkit::peer::{Peer, Script, Until, response};
use http::{HeaderValue, Response};
use tokio::task::JoinHandle;

use crate::props::{
    Call, Hand, Notes, beside, check, connect_opaque, connect_unix, ms, now, play, refuses, seen, short,
    side_by_side, upload,
};
use crate::support::{connect_with, get, read};

/// How far an exchange is when the close comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Fresh,
    Idle,
    Awaiting,
    Receiving,
    Uploading,
    Expecting,
}

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Tcp,
    Unix,
    Opaque,
}

/// What the caller holds.
enum Exchange {
    None,
    Head(JoinHandle<Result<Response<Body>, adieu::Error>>),
    Body(Body),
}

/// What shall come of it.
struct Outcome {
    /// What the peer sees first.
    peer: PeerSaw,
    ended: Ended,
    error: Option<(ErrorKind, CloseReason, ExchangePhase)>,
    /// How long it takes at least.
    takes: Duration,
}

const MOMENTS: [Moment; 6] =
    [Moment::Fresh, Moment::Idle, Moment::Awaiting, Moment::Receiving, Moment::Uploading, Moment::Expecting];

impl Moment {
    /// The peer brings it about, reads to the client's end, and says goodbye.
    fn script(self) -> Script {
        let script = match self {
            Self::Fresh => Script::new(),
            Self::Idle => Script::new().read_request().send(response(200, "ok")),
            Self::Awaiting => Script::new().read_request(),
            Self::Receiving => {
                Script::new().read_request().send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
            }
            Self::Uploading => Script::new().read_head().read_exactly(10),
            Self::Expecting => Script::new().read_head(),
        };
        script.mark("there").read_to_end().mark("end").fin().or_end()
    }

    fn phase(self) -> ExchangePhase {
        match self {
            Self::Fresh | Self::Idle => ExchangePhase::None,
            Self::Awaiting => ExchangePhase::AwaitingResponse,
            Self::Receiving => ExchangePhase::ReceivingBody,
            Self::Uploading => ExchangePhase::SendingBody,
            Self::Expecting => ExchangePhase::AwaitingContinue,
        }
    }

    /// Brings the connection to this moment.
    async fn reach(
        self,
        sender: &mut SendRequest,
        connection: &Connection,
        peer: &Peer,
    ) -> (Exchange, Option<Hand>) {
        let mut held = None;
        let exchange = match self {
            Self::Fresh => Exchange::None,
            Self::Idle => {
                assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "ok");
                Exchange::None
            }
            Self::Awaiting => Exchange::Head(beside(sender.send_request(get("/")))),
            Self::Receiving => Exchange::Body(sender.send_request(get("/")).await.unwrap().into_body()),
            Self::Uploading | Self::Expecting => {
                let (mut request, hand) = upload("POST", Some(1000));
                if self == Self::Expecting {
                    request.headers_mut().insert("expect", HeaderValue::from_static("100-continue"));
                }
                hand.give("0123456789");
                held = Some(hand);
                Exchange::Head(beside(sender.send_request(request)))
            }
        };
        peer.wait_async(0, Until::Mark("there")).await.unwrap();
        let snapshot = connection.snapshot();
        assert_eq!(snapshot.phase, self.phase(), "{self:?}: {snapshot}");
        assert_eq!(
            snapshot.state.name(),
            if self.phase() == ExchangePhase::None { "idle" } else { "active" }
        );
        (exchange, held)
    }
}

/// The table of section 4: rows are moments, columns are modes.
fn outcome(moment: Moment, kind: CloseKind) -> Outcome {
    use CloseKind::{Abort, Graceful, Half, Now};
    use Moment::{Awaiting, Expecting, Fresh, Idle, Receiving, Uploading};
    let (fin, rst, at_once, drained) = (PeerSaw::Fin, PeerSaw::Reset, ms(0), ms(150));
    let user = CloseReason::User(kind);
    let closed = Some((ErrorKind::Closed, user, moment.phase()));
    let timed_out =
        Some((ErrorKind::Timeout(Phase::Drain), CloseReason::TimedOut(Phase::Drain), moment.phase()));
    let refused = Some((ErrorKind::HalfCloseRefused, CloseReason::HalfCloseRefused, moment.phase()));
    let (peer, ended, error, takes) = match (moment, kind) {
        (Fresh | Idle, Abort) => (rst, Ended::Aborted, None, at_once),
        (_, Abort) => (rst, Ended::Aborted, closed, at_once),
        (Fresh | Idle, _) => (fin, Ended::Clean, None, at_once),
        (Awaiting | Receiving, Graceful) => (fin, Ended::Clean, timed_out, drained),
        (Uploading | Expecting, Graceful | Half) => (rst, Ended::Aborted, timed_out, drained),
        (Awaiting | Receiving, Half) => (fin, Ended::Truncated, refused, at_once),
        (Awaiting | Receiving, Now) => (fin, Ended::Clean, closed, at_once),
        (Uploading | Expecting, Now) => (rst, Ended::Aborted, closed, at_once),
        _ => unreachable!("there are four modes"),
    };
    Outcome { peer, ended, error, takes }
}

async fn scene(moment: Moment, mode: CloseMode, carrier: Carrier) {
    let what = format!("{moment:?}, {:?}, {carrier:?}", mode.kind());
    let expected = outcome(moment, mode.kind());
    let builder = Builder::new().continue_timeout(None).origin("http://example.com");
    let peer =
        if carrier == Carrier::Unix { Peer::unix(moment.script()) } else { Peer::tcp(moment.script()) };
    let peer = peer.unwrap();
    let (mut sender, connection, notes): (_, _, Option<Notes>) = match carrier {
        Carrier::Tcp => {
            let (sender, connection) = connect_with(&peer, &builder).await;
            (sender, connection, None)
        }
        Carrier::Unix => {
            let (sender, connection) = connect_unix(&peer, &builder).await;
            (sender, connection, None)
        }
        Carrier::Opaque => {
            let (sender, connection, notes) = connect_opaque(&peer, &builder).await;
            (sender, connection, Some(notes))
        }
    };
    let (exchange, hand) = moment.reach(&mut sender, &connection, &peer).await;
    assert!(connection.report().is_none());

    let began = now();
    let report = connection.close(short(mode)).await;
    let took = began.elapsed();
    assert!(took + ms(5) >= expected.takes && took < expected.takes + ms(250), "{what}: {took:?}");
    assert_eq!(connection.report().as_ref(), Some(&report));

    // The report.
    check(&report);
    let exchanges = (u64::from(moment == Moment::Idle), u64::from(expected.error.is_some()));
    assert_eq!((report.exchanges, report.failed), exchanges, "{what}: {report}");
    // The first cause, and what the peer made of it.
    let reason = match expected.ended {
        Ended::Truncated => CloseReason::HalfCloseRefused,
        _ => CloseReason::User(mode.kind()),
    };
    assert_eq!(report.reason, reason, "{what}: {report}");
    assert_eq!(report.ended, expected.ended, "{what}: {report}");
    assert_eq!(report.origin.as_deref(), Some("http://example.com"));
    assert_eq!(report.peer.is_some(), carrier != Carrier::Opaque, "{what}: {report}");
    let said_fin = expected.peer == PeerSaw::Fin;
    let said_rst = expected.peer == PeerSaw::Reset && carrier == Carrier::Tcp;
    assert_eq!(report.sent.contains(Signal::Fin), said_fin, "{what}: {report}");
    assert_eq!(report.sent.contains(Signal::Rst), said_rst, "{what}: {report}");
    assert_eq!(report.received.contains(Signal::Fin), said_fin, "{what}: {report}");
    assert!(!report.received.contains(Signal::Rst), "{what}: {report}");
    if let Some(notes) = notes {
        let calls = notes.calls();
        assert_eq!(calls.contains(&Call::Shutdown), said_fin, "{what}: {calls:?}");
        assert_eq!(calls.last(), Some(&Call::Dropped), "{what}: {calls:?}");
    }

    // The caller.
    let error = match exchange {
        Exchange::None => None,
        Exchange::Head(exchange) => Some(exchange.await.unwrap().unwrap_err()),
        Exchange::Body(body) => Some(http_body_util::BodyExt::collect(body).await.unwrap_err()),
    };
    let told =
        error.as_ref().map(|error| (error.kind(), error.close_reason().unwrap().clone(), error.phase()));
    assert_eq!(told, expected.error, "{what}: {error:?}");
    if let Some(error) = &error {
        assert_eq!(error.connection(), Some(connection.id()));
        let facts = error.facts().unwrap();
        assert!(facts.head > 0 && facts.handed >= facts.head, "{what}: {facts:?}");
    }
    if let Some(hand) = hand {
        hand.assert_dropped().await;
    }
    assert_eq!(refuses(&mut sender).await, reason);

    // The peer.
    let seen = seen(peer).await;
    assert_eq!(
        (report.bytes_sent, report.bytes_received),
        (seen.received_len(), seen.sent_len()),
        "{what}\n{seen}"
    );
    match (expected.peer, carrier) {
        (PeerSaw::Fin, _) => seen.assert_fin(),
        // A transport without resets is dropped: its peer may take that for an end.
        (_, Carrier::Unix | Carrier::Opaque) => {
            assert_ne!(seen.ended(), PeerSaw::StillOpen, "{what}\n{seen}")
        }
        _ => {
            seen.assert_reset();
            assert!(!seen.saw_fin(), "{what}\n{seen}");
        }
    }
}

fn all_moments(mode: CloseMode) {
    play(async move || {
        let carriers = [Carrier::Tcp, Carrier::Unix, Carrier::Opaque];
        let scenes = MOMENTS.iter().flat_map(|&moment| carriers.map(|carrier| (moment, carrier)));
        side_by_side(scenes.map(|(moment, carrier)| scene(moment, mode, carrier))).await;
    });
}

#[test]
fn graceful_at_each_moment() {
    all_moments(CloseMode::graceful());
}

#[test]
fn half_at_each_moment() {
    all_moments(CloseMode::half());
}

#[test]
fn now_at_each_moment() {
    all_moments(CloseMode::now());
}

#[test]
fn abort_at_each_moment() {
    all_moments(CloseMode::abort());
}
