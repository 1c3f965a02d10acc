//! The memory of a life, in virtual time: since when, until when, why, and what the report says of it.

use std::time::{Duration, Instant};

use super::*;

/// Where virtual time begins.
#[expect(
    clippy::disallowed_methods,
    reason = "an `Instant` can only be had from the clock; from here on time is told"
)]
pub(crate) fn start() -> Instant {
    Instant::now()
}

/// A life, told with seconds since its start.
pub(super) struct Told {
    pub(super) life: Lifecycle,
    pub(super) start: Instant,
}

const PEER_ASKED: CloseReason = CloseReason::PeerAskedClose;
const USER: CloseReason = CloseReason::User(CloseKind::Graceful);

impl Told {
    /// Opened at once, without any limit of its own.
    pub(super) fn open() -> Self {
        Self::with(LifecycleLimits::default())
    }

    pub(super) fn with(limits: LifecycleLimits) -> Self {
        let start = start();
        let mut life = Lifecycle::new(start, limits);
        life.handle(start, Input::Opened);
        Self { life, start }
    }

    pub(super) fn busy() -> Self {
        let mut told = Self::open();
        told.life.begin_exchange(told.start);
        told
    }

    pub(super) fn at(&self, seconds: f64) -> Instant {
        self.start + Duration::from_secs_f64(seconds)
    }

    pub(super) fn close(&mut self, seconds: f64, mode: CloseMode, request: Request) {
        self.life.close(self.at(seconds), mode, request, CloseReason::User(mode.kind()));
    }

    /// The next deadline, in seconds since the start.
    pub(super) fn deadline(&self) -> Option<f64> {
        Some(self.life.poll_timeout()?.duration_since(self.start).as_secs_f64())
    }

    /// The orders that wait.
    pub(super) fn orders(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.life.poll_action()).collect()
    }

    /// The driver says all of the goodbye at once.
    pub(super) fn say_goodbye(&mut self, seconds: f64) {
        self.life.handle_goodbye_begun(self.at(seconds));
        self.life.handle_said(Signal::Fin);
        self.life.handle(self.at(seconds), Input::GoodbyeSent);
    }

    pub(super) fn peer_ends(&mut self, seconds: f64, reason: CloseReason) {
        self.life.handle_peer_end(self.at(seconds), Input::PeerDone(Vouched::Yes), Signal::Fin, reason);
    }
}

pub(super) fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_retired_connection_lives_until_its_exchange_ends_then_lingers() {
    let mut told = Told::with(LifecycleLimits { idle: Some(s(30)), ..LifecycleLimits::default() });
    assert_eq!(told.deadline(), Some(30.0));
    told.life.begin_exchange(told.at(1.0));
    told.life.handle_timeout(told.at(40.0), Request::Cut); // No deadline while active: nothing happens.
    assert_eq!(told.life.state(), State::Active);
    told.life.retire(told.at(41.0), None, PEER_ASKED);
    told.life.retire(told.at(42.0), None, USER);
    told.life.end_exchange(told.at(43.0), First::Us);
    assert_eq!(told.life.state(), State::Closing { theirs: Side::Open });
    told.say_goodbye(43.0);
    assert_eq!((told.life.state(), told.deadline()), (State::Lingering, Some(45.0)));
    told.life.handle_timeout(told.at(45.0), Request::Whole);
    assert_eq!(told.life.state(), State::Closed);
    assert_eq!((told.life.reason(), told.life.ended()), (Some(&PEER_ASKED), Some(Ended::PeerSilent)));
    use Action::*;
    let plain = DropTransport(Parting::Plain);
    assert_eq!(told.orders(), [JoinPool, LeavePool, SayGoodbye(Goodbye::Clean), plain]);
}

#[test]
fn idle_time_runs_from_the_last_exchange() {
    let mut told = Told::with(LifecycleLimits { idle: Some(s(30)), ..LifecycleLimits::default() });
    told.life.begin_exchange(told.at(29.0));
    assert_eq!(told.deadline(), None);
    told.life.end_exchange(told.at(50.0), First::Us);
    assert_eq!(told.deadline(), Some(80.0));
    told.life.handle_timeout(told.at(80.0), Request::Whole);
    assert_eq!(told.life.reason(), Some(&CloseReason::IdleLimit));
}

#[test]
fn only_a_close_or_a_policy_sets_the_end_of_draining_and_only_an_earlier_one_changes_it() {
    let mut told = Told::busy();
    told.life.retire(told.at(1.0), None, PEER_ASKED);
    assert_eq!(told.deadline(), None, "a long download from an HTTP/1.0 server is not cut");
    told.life.retire(told.at(2.0), Some(told.at(60.0)), CloseReason::Policy("age"));
    assert_eq!(told.deadline(), Some(60.0));
    told.close(3.0, CloseMode::graceful().drain(s(100)), Request::Whole);
    assert_eq!(told.deadline(), Some(60.0), "a later end changes nothing");
    told.close(4.0, CloseMode::graceful().drain(None), Request::Whole);
    assert_eq!(told.deadline(), Some(60.0), "nor does none");
    told.close(5.0, CloseMode::graceful().drain(s(10)), Request::Whole);
    assert_eq!(told.deadline(), Some(15.0), "an earlier one shortens");
    told.life.handle_timeout(told.at(14.9), Request::Whole);
    assert_eq!(told.life.in_flight(), 1, "too early");
    told.life.handle_timeout(told.at(15.0), Request::Whole);
    assert_eq!(told.life.state(), State::Closing { theirs: Side::Open });
    assert_eq!(told.life.exchanges(), (0, 1));
    assert_eq!(told.life.reason(), Some(&PEER_ASKED), "the first reason is kept");
}

#[test]
fn linger_runs_from_the_moment_the_goodbye_begins_not_from_its_end() {
    let mut told = Told::open();
    told.close(1.0, CloseMode::graceful().linger(s(5)), Request::Whole);
    assert_eq!(told.deadline(), None, "the driver has an order to carry out first");
    told.life.handle_goodbye_begun(told.at(3.0));
    told.life.handle_goodbye_begun(told.at(4.0));
    assert_eq!(told.deadline(), Some(8.0), "a full send buffer cannot hold it");
    told.life.handle(told.at(7.0), Input::GoodbyeSent);
    assert_eq!((told.life.state(), told.deadline()), (State::Lingering, Some(8.0)));
}

#[test]
fn a_goodbye_that_never_gets_through_is_cut_off() {
    let mut told = Told::open();
    told.close(0.0, CloseMode::graceful(), Request::Whole);
    told.life.handle_goodbye_begun(told.at(0.0));
    told.life.handle_timeout(told.at(2.0), Request::Whole);
    assert_eq!((told.life.state(), told.life.ended()), (State::Closed, Some(Ended::PeerSilent)));
    assert!(told.life.signals().0.contains(Signal::Rst));
}

#[test]
fn the_first_close_sets_the_linger_and_later_ones_only_shorten_it() {
    let mut told = Told::busy();
    told.close(0.0, CloseMode::graceful().linger(s(10)), Request::Whole);
    told.close(0.0, CloseMode::graceful().linger(s(20)), Request::Whole);
    told.life.end_exchange(told.at(1.0), First::Us);
    told.say_goodbye(1.0);
    assert_eq!(told.deadline(), Some(11.0), "longer than the default, as asked");
    told.close(2.0, CloseMode::now().linger(s(4)), Request::Whole);
    assert_eq!((told.life.state(), told.deadline()), (State::Lingering, Some(5.0)));

    // One that comes when the goodbye has begun shortens what nobody asked for.
    let mut told = Told::open();
    told.life.retire(told.at(0.0), None, CloseReason::MaxAge);
    told.say_goodbye(0.0);
    told.close(0.5, CloseMode::graceful().linger(s(60)), Request::Whole);
    assert_eq!(told.deadline(), Some(2.0));
}

#[test]
fn limits_beyond_all_time_are_no_limits() {
    let mut told = Told::with(LifecycleLimits { idle: Some(Duration::MAX), ..LifecycleLimits::default() });
    assert_eq!(told.deadline(), None);
    told.life.begin_exchange(told.start);
    told.close(0.0, CloseMode::graceful().drain(Duration::MAX).linger(Duration::MAX), Request::Whole);
    assert_eq!(told.deadline(), None);
    told.life.end_exchange(told.start, First::Us);
    told.say_goodbye(0.0);
    assert_eq!((told.life.state(), told.deadline()), (State::Lingering, None));
}

#[test]
fn no_deadline_that_passed_is_left_behind() {
    let mut told = Told::busy();
    told.close(0.0, CloseMode::half().drain(s(1)).linger(Duration::ZERO), Request::Whole);
    told.life.handle(told.at(0.0), Input::RequestSent);
    told.life.handle_timeout(told.at(1.0), Request::Whole);
    assert_eq!((told.life.state(), told.deadline()), (State::Closed, None));
}

#[test]
fn half_close_ends_our_side_when_the_request_is_whole_and_lingers_from_the_end_of_the_response() {
    let mut told = Told::busy();
    told.close(1.0, CloseMode::half().drain(s(100)), Request::Cut);
    assert_eq!((told.life.state(), told.deadline()), (State::HalfClosing, Some(101.0)));
    told.life.handle(told.at(5.0), Input::RequestSent);
    assert_eq!((told.life.state(), told.deadline()), (State::HalfClosed, Some(101.0)));
    told.say_goodbye(5.0);
    assert_eq!(told.life.state(), State::HalfClosed);
    told.life.end_exchange(told.at(50.0), First::Us);
    assert_eq!((told.life.state(), told.deadline()), (State::Lingering, Some(52.0)));
    told.peer_ends(51.0, CloseReason::PeerClosedIdle);
    assert_eq!((told.life.ended(), told.life.exchanges()), (Some(Ended::Clean), (1, 0)));
    use Action::*;
    let plain = DropTransport(Parting::Plain);
    assert_eq!(told.orders(), [JoinPool, LeavePool, SayGoodbye(Goodbye::HalfOnly), plain]);
}

#[test]
fn a_peer_that_takes_a_half_close_for_a_cancellation_truncates() {
    let mut told = Told::busy();
    told.close(1.0, CloseMode::half(), Request::Whole);
    told.life.handle(told.at(1.0), Input::RequestSent);
    told.say_goodbye(1.0);
    told.peer_ends(2.0, CloseReason::HalfCloseRefused);
    // The one reason that takes the place of the first: it says what became of it.
    assert_eq!(told.life.reason(), Some(&CloseReason::HalfCloseRefused));
    assert_eq!((told.life.ended(), told.life.exchanges()), (Some(Ended::Truncated), (0, 1)));
}

#[test]
fn an_upgraded_connection_ends_when_both_sides_ended() {
    let mut told = Told::busy();
    told.life.upgrade(told.at(1.0));
    assert_eq!((told.life.exchanges(), told.deadline()), ((1, 0), None));
    told.peer_ends(2.0, CloseReason::Upgraded);
    assert_eq!(told.life.state(), State::Upgraded { ours: Side::Open, theirs: Side::Ended });
    told.life.handle(told.at(9.0), Input::EndOurs);
    told.say_goodbye(9.0);
    assert_eq!((told.life.state(), told.life.ended()), (State::Closed, Some(Ended::Clean)));
    assert_eq!(told.life.reason(), Some(&CloseReason::Upgraded));
}

#[test]
fn draining_ends_an_upgraded_connection_with_a_reset() {
    let mut told = Told::busy();
    told.life.upgrade(told.at(1.0));
    told.close(2.0, CloseMode::graceful().drain(s(3)), Request::Whole);
    assert_eq!(told.deadline(), Some(5.0));
    told.life.handle_timeout(told.at(5.0), Request::Whole);
    assert_eq!(told.life.ended(), Some(Ended::Aborted));
    assert!(told.life.signals().0.contains(Signal::Rst));
}

#[test]
fn a_peer_that_announced_its_end_gets_a_moment_to_go_first() {
    let mut told = Told::busy();
    told.life.retire(told.at(1.0), None, PEER_ASKED);
    told.life.end_exchange(told.at(2.0), First::Peer);
    assert_eq!((told.life.state(), told.deadline()), (State::Yielding, Some(2.1)));
    assert!(told.orders().iter().all(|order| !matches!(order, Action::SayGoodbye(_))));
    told.life.handle_timeout(told.at(2.1), Request::Whole);
    assert_eq!(told.orders(), [Action::SayGoodbye(Goodbye::Clean)]);
}

#[test]
fn an_exchange_that_was_taken_back_counts_neither_way() {
    let mut told = Told::busy();
    told.life.withdraw_exchange(told.at(1.0));
    assert_eq!((told.life.state(), told.life.exchanges()), (State::Idle, (0, 0)));
}

/// How each end is told: what happened last, and what was known before.
#[test]
fn every_end_says_how_it_ended() {
    let closed = |story: &dyn Fn(&mut Told)| {
        let mut told = Told::busy();
        story(&mut told);
        assert_eq!(told.life.state(), State::Closed);
        told.life.ended().unwrap()
    };
    let end = |told: &mut Told, input, reason| told.life.handle_end(told.at(1.0), input, reason);

    assert_eq!(
        closed(&|told| {
            told.life.end_exchange(told.at(0.0), First::Us);
            told.peer_ends(1.0, CloseReason::PeerClosedIdle);
            told.say_goodbye(1.0);
        }),
        Ended::Clean
    );
    assert_eq!(
        closed(&|told| {
            told.close(0.0, CloseMode::now(), Request::Whole);
            told.say_goodbye(0.0);
            told.life.handle_timeout(told.at(2.0), Request::Whole);
        }),
        Ended::PeerSilent
    );
    assert_eq!(
        closed(&|told| {
            told.peer_ends(1.0, CloseReason::PeerEndedEarly);
            end(told, Input::CloseNow(Request::Whole), CloseReason::PeerEndedEarly);
            told.say_goodbye(1.0);
        }),
        Ended::Truncated
    );
    assert_eq!(
        closed(&|told| {
            let at = told.at(1.0);
            told.life.handle_peer_end(at, Input::Broken, Signal::Rst, CloseReason::Reset);
        }),
        Ended::Reset
    );
    assert_eq!(
        closed(&|told| end(told, Input::Broken, CloseReason::Network(std::io::ErrorKind::TimedOut))),
        Ended::Broken
    );
    assert_eq!(closed(&|told| told.close(1.0, CloseMode::abort(), Request::Whole)), Ended::Aborted);
    assert_eq!(closed(&|told| told.close(1.0, CloseMode::now(), Request::Cut)), Ended::Aborted);
    assert_eq!(
        closed(&|told| {
            // Our goodbye finds nobody: an ending, not an error.
            told.close(0.0, CloseMode::now(), Request::Whole);
            told.peer_ends(0.5, CloseReason::PeerClosedIdle);
            end(told, Input::WriteBroken, CloseReason::Reset);
        }),
        Ended::Clean
    );
}

#[test]
fn a_reset_that_could_not_be_made_is_not_reported() {
    let mut told = Told::busy();
    told.close(1.0, CloseMode::abort(), Request::Cut);
    told.life.handle_reset_unable();
    assert!(told.life.signals().0.is_empty());
}

#[test]
fn of_two_modes_the_stricter_kind_and_the_shorter_limits_win() {
    let (lax, strict) =
        (CloseMode::graceful().drain(None).linger(s(1)), CloseMode::now().drain(s(9)).linger(s(3)));
    for both in [lax.stricter(strict), strict.stricter(lax)] {
        assert_eq!(both, CloseMode::now().drain(s(9)).linger(s(1)));
    }
    let kinds = [CloseKind::Graceful, CloseKind::Half, CloseKind::Now, CloseKind::Abort];
    assert!(kinds.is_sorted());
    assert_eq!(CloseMode::default(), CloseMode::graceful().drain(s(30)).linger(s(2)));
}

#[test]
fn a_stricter_close_escalates_and_a_laxer_one_only_waits() {
    let mut told = Told::busy();
    told.close(0.0, CloseMode::graceful(), Request::Whole);
    told.close(1.0, CloseMode::now(), Request::Whole);
    assert_eq!(told.life.state(), State::Closing { theirs: Side::Open });
    told.close(1.0, CloseMode::graceful(), Request::Whole);
    assert_eq!(told.life.state(), State::Closing { theirs: Side::Open });
    told.close(2.0, CloseMode::abort(), Request::Whole);
    assert_eq!((told.life.state(), told.life.ended()), (State::Closed, Some(Ended::Aborted)));
    assert_eq!(told.life.reason(), Some(&USER));
}

/// A life with something in every field of its report.
fn report() -> CloseReport {
    let mut told = Told::busy();
    told.life.end_exchange(told.at(0.2), First::Us);
    told.life.begin_exchange(told.at(1.0));
    told.close(1.5, CloseMode::graceful().drain(s(1)), Request::Whole);
    told.life.handle_timeout(told.at(2.5), Request::Whole);
    told.say_goodbye(2.75);
    told.peer_ends(3.0, CloseReason::PeerClosedIdle);
    let report = CloseReport::new(ConnectionId::new(7), Protocol::Http1, &told.life, told.at(3.0));
    CloseReport {
        origin: Some("http://example.com".to_owned()),
        peer: Some(Address::Ip(([192, 0, 2, 1], 80).into())),
        bytes_sent: 120,
        bytes_received: 4096,
        bytes_discarded: 16,
        ended_idle: Some(Duration::from_micros(99_500)),
        ..report
    }
}

#[test]
fn a_report_is_one_readable_line() {
    assert_eq!(
        report().to_string(),
        "#7 http/1.1 http://example.com (192.0.2.1:80): closed by the user (graceful); ended clean; sent FIN, \
         received FIN; 1 done, 1 failed; 120 B out, 4096 B in (16 B discarded); ended after 99.5ms idle; 3.0s old"
    );
    let report = CloseReport::new(ConnectionId::new(8), Protocol::Http2, &Told::open().life, start());
    assert!(
        report.to_string().starts_with(
            "#8 h2: the runtime that drove it is gone; ended aborted; sent nothing, received nothing; 0 done; 0 B out"
        ),
        "{report}"
    );
}

#[test]
fn a_report_tells_where_the_time_went() {
    let report = report();
    let ms = |ms| Duration::from_millis(ms);
    assert_eq!((report.draining, report.closing, report.lingering), (ms(1000), ms(250), ms(250)));
    assert_eq!((report.age, report.began_by), (ms(3000), Party::Local));
}

#[cfg(feature = "serde")]
#[test]
fn a_report_serialises_flat_with_stable_names() {
    let mut report = report();
    let signals = |list: &[Signal]| list.iter().copied().collect::<Signals>();
    report.tls = Some(TlsSession {
        alpn: Some("http/1.1".to_owned()),
        ..TlsSession::new("TLSv1.3", "TLS13_AES_128_GCM_SHA256")
    });
    report.layers = vec![
        LayerReport { sent: signals(&[Signal::CloseNotify]), ..LayerReport::new(Layer::Tls) },
        LayerReport { connection: Some(ConnectionId::new(3)), ..LayerReport::new(Layer::Tunnel) },
    ];
    let nothing = serde_json::json!({ "goaway": false, "close_notify": false, "fin": false, "rst": false });
    let notified = serde_json::json!({ "goaway": false, "close_notify": true, "fin": false, "rst": false });
    assert_eq!(
        serde_json::to_value(report).unwrap(),
        serde_json::json!({
            "id": 7,
            "origin": "http://example.com",
            "peer": "192.0.2.1:80",
            "protocol": "http/1.1",
            "tls": {
                "version": "TLSv1.3",
                "cipher_suite": "TLS13_AES_128_GCM_SHA256",
                "alpn": "http/1.1",
                "resumed": false,
            },
            "reason": "user_graceful",
            "explanation": "closed by the user (graceful)",
            "began_by": "local",
            "ended": "clean",
            "sent": { "goaway": false, "close_notify": false, "fin": true, "rst": false },
            "received": { "goaway": false, "close_notify": false, "fin": true, "rst": false },
            "layers": [
                { "layer": "tls", "connection": null, "sent": notified, "received": nothing },
                { "layer": "tunnel", "connection": 3, "sent": nothing, "received": nothing },
            ],
            "exchanges": 1,
            "failed": 1,
            "bytes_sent": 120,
            "bytes_received": 4096,
            "bytes_discarded": 16,
            "ended_idle_ms": 99.5,
            "round_trip_ms": null,
            "age_ms": 3000.0,
            "draining_ms": 1000.0,
            "closing_ms": 250.0,
            "lingering_ms": 250.0,
        })
    );
}

#[test]
fn the_shortcut_is_what_the_table_says() {
    for state in [State::Idle, State::Active] {
        for input in [Input::Busy, Input::Quiet(First::Us), Input::Quiet(First::Peer)] {
            if let Some(to) = next_of_exchange(state, input) {
                assert_eq!(next(state, input), Some((to, Actions::of(&[]))), "{state} {input:?}");
            }
        }
    }
}
