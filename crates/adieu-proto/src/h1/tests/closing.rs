//! The four close modes in every phase, the goodbye, and what is discarded.

use std::time::Duration;

use super::*;
use crate::codec::limits::Limits;
use crate::lifecycle::ConnectionId;

/// A phase by name, and how to get there.
type InPhase = (&'static str, fn() -> Scenario);

const PHASES: [InPhase; 8] = [
    ("idle", Scenario::open),
    ("nothing sent", Scenario::unsent),
    ("sending head", Scenario::sending_head),
    ("awaiting continue", Scenario::awaiting_continue),
    ("sending body", Scenario::sending_body),
    ("awaiting response", Scenario::awaiting_response),
    ("receiving body", Scenario::receiving_body),
    ("sending and receiving", Scenario::sending_and_receiving),
];

/// Which of the phases have a request of which a part was sent and a part was not.
const CUT: [&str; 4] = ["sending head", "awaiting continue", "sending body", "sending and receiving"];

/// The rest of what [`Scenario::receiving_body`] waits for.
const REST: &str = "llo";

fn closed(scenario: fn() -> Scenario, mode: CloseMode) -> Scenario {
    let mut it = scenario();
    it.close(mode).read().obey();
    it
}

#[test]
fn close_graceful_lets_what_is_in_flight_end() {
    for (phase, scenario) in PHASES {
        let it = closed(scenario, CloseMode::graceful());
        assert_eq!(it.reason(), Some(&CloseReason::User(CloseKind::Graceful)));
        if phase == "idle" {
            assert_eq!((it.state(), it.orders.as_slice()), (State::Lingering, &[LeavePool, FAREWELL][..]));
        } else {
            let draining = State::Draining { theirs: Side::Open };
            assert_eq!((it.state(), it.orders.as_slice()), (draining, &[LeavePool][..]), "{phase}");
            assert_eq!(it.seen.failure, None);
            assert!(it.deadline().is_some_and(|limit| limit <= Duration::from_secs(30)), "{phase}");
        }
    }
    let mut it = closed(Scenario::receiving_body, CloseMode::graceful());
    it.come(REST).read().obey();
    assert_eq!((it.seen.body.as_str(), it.orders.as_slice()), ("hello", &[LeavePool, FAREWELL][..]));
}

#[test]
fn close_graceful_past_its_drain_limit_is_close_now() {
    for (phase, scenario) in &PHASES[1..] {
        let mut it = closed(*scenario, CloseMode::graceful().drain(Duration::from_millis(500)));
        it.pass(Duration::from_millis(500)).read().obey();
        assert_eq!(it.failure().reason, CloseReason::TimedOut(Phase::Drain));
        let last = if CUT.contains(phase) { RESET } else { FAREWELL };
        assert_eq!(it.orders, [LeavePool, FailExchanges, last], "{phase}");
        assert_eq!(it.reason(), Some(&CloseReason::User(CloseKind::Graceful)));
    }
}

#[test]
fn close_half_ends_our_side_when_the_request_is_whole() {
    for (phase, scenario) in PHASES {
        let it = closed(scenario, CloseMode::half());
        let (state, orders) = match phase {
            "idle" => (State::Lingering, vec![LeavePool, FAREWELL]),
            "awaiting response" | "receiving body" => (State::HalfClosed, vec![LeavePool, HALF]),
            _ => (State::HalfClosing, vec![LeavePool]),
        };
        assert_eq!((it.state(), &it.orders, &it.seen.failure), (state, &orders, &None), "{phase}");
    }
    let mut it = closed(Scenario::sending_body, CloseMode::half());
    it.give("56789").obey();
    assert_eq!(it.state(), State::HalfClosing, "staged is not sent");
    it.flush().obey();
    assert_eq!(it.orders, [LeavePool, HALF]);
    it.come("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").read();
    assert_eq!((it.seen.body.as_str(), it.state()), ("ok", State::Lingering));
    it.peer_ends(FIN).obey();
    assert_eq!((it.engine.life().ended(), it.engine.life().exchanges()), (Some(Ended::Clean), (1, 0)));
}

#[test]
fn half_close_refused() {
    let half_closed = || closed(Scenario::awaiting_response, CloseMode::half());
    for bytes in ["", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe"] {
        let outcome = however_cut(half_closed, bytes, Some(FIN));
        assert_eq!(outcome.failure().reason, CloseReason::HalfCloseRefused);
        assert_eq!(outcome.reason, Some(CloseReason::HalfCloseRefused));
        assert_eq!(
            (outcome.ended, outcome.orders),
            (Some(Ended::Truncated), vec![LeavePool, HALF, FailExchanges, DROP])
        );
        let reset = however_cut(half_closed, bytes, Some(TransportEnd::Reset));
        assert_eq!(reset.failure().reason, CloseReason::HalfCloseRefused);
        assert_eq!((reset.reason, reset.ended), (Some(CloseReason::HalfCloseRefused), Some(Ended::Reset)));
    }
}

#[test]
fn half_close_and_the_body_ends_with_the_connection() {
    let half_closed = || closed(Scenario::awaiting_response, CloseMode::half());
    let outcome = however_cut(half_closed, "HTTP/1.1 200 OK\r\n\r\nhello", Some(FIN));
    assert_eq!((outcome.body(), outcome.ended), ("hello", Some(Ended::Clean)));
}

#[test]
fn close_now_fails_what_is_in_flight_and_resets_what_it_cuts_short() {
    for (phase, scenario) in PHASES {
        let it = closed(scenario, CloseMode::now());
        if phase == "idle" {
            assert_eq!((it.state(), it.orders.as_slice()), (State::Lingering, &[LeavePool, FAREWELL][..]));
            continue;
        }
        assert_eq!(it.failure().reason, CloseReason::User(CloseKind::Now));
        let (state, last) =
            if CUT.contains(&phase) { (State::Closed, RESET) } else { (State::Lingering, FAREWELL) };
        assert_eq!(
            (it.state(), it.orders.as_slice()),
            (state, &[LeavePool, FailExchanges, last][..]),
            "{phase}"
        );
        assert!(!it.engine.wants_write(), "nothing of it is sent any more");
    }
}

#[test]
fn close_abort_resets_whatever_it_was() {
    for (phase, scenario) in PHASES {
        let it = closed(scenario, CloseMode::abort());
        assert_eq!((it.state(), it.engine.life().ended()), (State::Closed, Some(Ended::Aborted)), "{phase}");
        if phase == "idle" {
            assert_eq!(it.orders, [LeavePool, RESET]);
        } else {
            assert_eq!(it.failure().reason, CloseReason::User(CloseKind::Abort));
            assert_eq!(it.orders, [LeavePool, FailExchanges, RESET]);
        }
        assert!(!it.engine.wants_write() && !it.engine.wants_read() && it.deadline().is_none());
    }
}

#[test]
fn the_failure_says_where_the_exchange_was() {
    for ((_, scenario), at) in PHASES[1..].iter().zip([
        ExchangePhase::SendingHead,
        ExchangePhase::SendingHead,
        ExchangePhase::AwaitingContinue,
        ExchangePhase::SendingBody,
        ExchangePhase::AwaitingResponse,
        ExchangePhase::ReceivingBody,
        ExchangePhase::ReceivingBody,
    ]) {
        assert_eq!(closed(*scenario, CloseMode::now()).failure().at, at);
    }
}

/// A drain of zero is as good as now, whatever the kind.
#[test]
fn no_time_to_drain_is_now() {
    for mode in [CloseMode::graceful(), CloseMode::half()] {
        for (phase, scenario) in &PHASES[1..] {
            let it = closed(*scenario, mode.drain(Duration::ZERO));
            assert_eq!(it.failure().reason, CloseReason::TimedOut(Phase::Drain), "{phase}");
            assert!(!it.engine.wants_write() && it.engine.life().in_flight() == 0);
        }
    }
}

#[test]
fn a_stricter_close_escalates() {
    let mut it = closed(Scenario::receiving_body, CloseMode::graceful());
    it.close(CloseMode::half()).obey();
    assert_eq!(it.state(), State::HalfClosed);
    it.close(CloseMode::now()).read().obey();
    assert_eq!((it.state(), &it.failure().reason), (State::Lingering, &CloseReason::User(CloseKind::Now)));
    it.close(CloseMode::graceful()).close(CloseMode::abort()).obey();
    assert_eq!(it.orders, [LeavePool, HALF, FailExchanges, RESET]);
    assert_eq!(it.reason(), Some(&CloseReason::User(CloseKind::Graceful)), "the first reason is kept");
}

#[test]
fn a_connection_that_is_closing_takes_no_new_exchange() {
    let mut it = closed(Scenario::open, CloseMode::graceful());
    let (head, ()) = http::Request::get("http://h/").body(()).unwrap().into_parts();
    let refused = it.engine.begin(it.now, &head, Some(0));
    assert_eq!(refused, Err(NotOpen::Ending(CloseReason::User(CloseKind::Graceful))));
}

#[test]
fn the_peer_answers_the_goodbye_or_is_silent() {
    let mut it = closed(Scenario::open, CloseMode::graceful());
    it.pass(Duration::from_millis(1999)).peer_ends(FIN).obey();
    assert_eq!((it.state(), it.engine.life().ended()), (State::Closed, Some(Ended::Clean)));

    let mut it = closed(Scenario::open, CloseMode::graceful());
    it.pass(Duration::from_secs(2)).obey();
    assert_eq!((it.state(), it.engine.life().ended()), (State::Closed, Some(Ended::PeerSilent)));
    assert_eq!(it.orders, [LeavePool, FAREWELL, DROP]);

    let mut it = closed(Scenario::open, CloseMode::graceful());
    it.peer_ends(RST).obey();
    assert_eq!((it.state(), it.engine.life().ended()), (State::Closed, Some(Ended::Reset)));
}

/// `ENOTCONN`, `EPIPE` and `ECONNRESET` while saying goodbye are endings, not errors.
#[test]
fn a_goodbye_that_finds_nobody() {
    for (peer_ended, ended) in [(true, Ended::Clean), (false, Ended::Reset)] {
        let mut it = Scenario::open();
        if peer_ended {
            it.peer_ends(FIN);
        } else {
            it.close(CloseMode::graceful());
        }
        it.engine.handle_goodbye_begun(it.now);
        it.engine.handle_goodbye_refused(it.now);
        it.note_orders();
        assert_eq!((it.state(), it.engine.life().ended()), (State::Closed, Some(ended)));
        assert_eq!(it.orders, [LeavePool, FAREWELL, DROP]);
    }
}

/// RFC 9112 section 9.6 and TIME_WAIT: the peer that said so goes first, if it goes at once.
#[test]
fn the_peer_that_announced_its_end_goes_first() {
    const CLOSE: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let mut it = Scenario::awaiting_response();
    it.come(CLOSE).read().obey();
    assert_eq!((it.state(), it.deadline()), (State::Yielding, Some(Duration::from_millis(100))));
    it.peer_ends(FIN).obey();
    assert_eq!(
        (it.orders.as_slice(), it.engine.life().ended()),
        (&[LeavePool, FAREWELL, DROP][..], Some(Ended::Clean))
    );

    let mut it = Scenario::awaiting_response();
    it.come(CLOSE).read().pass(Duration::from_millis(100)).obey();
    assert_eq!((it.state(), it.orders.as_slice()), (State::Lingering, &[LeavePool, FAREWELL][..]));

    // The same if the user wanted to close anyway.
    let mut it = closed(Scenario::awaiting_response, CloseMode::graceful());
    it.come(CLOSE).read();
    assert_eq!((it.state(), it.reason()), (State::Yielding, Some(&CloseReason::User(CloseKind::Graceful))));
}

/// Bounded by bytes as well as by time: a peer could send for ever.
#[test]
fn graceful_close_does_not_download_for_ever() {
    let limits = Limits { discard: 100, ..Limits::default() };
    let mut it = Scenario::with(Config { limits, ..Config::default() });
    it.close(CloseMode::graceful()).obey();
    for _ in 0..10 {
        it.come("0123456789").obey();
    }
    assert_eq!(it.state(), State::Lingering);
    it.come("x").obey();
    assert_eq!((it.state(), it.orders.as_slice()), (State::Closed, &[LeavePool, FAREWELL, RESET][..]));
    let report = it.engine.report(it.now, ConnectionId::new(1));
    assert_eq!((report.bytes_discarded, report.reason), (101, CloseReason::User(CloseKind::Graceful)));
    assert!(report.sent.contains(Signal::Fin) && report.sent.contains(Signal::Rst));
}

#[test]
fn what_was_not_taken_is_discarded_and_counted() {
    let mut it = Scenario::awaiting_response();
    it.come("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello").close(CloseMode::now()).obey();
    it.come("more").peer_ends(FIN).obey();
    let report = it.engine.report(it.now, ConnectionId::new(1));
    assert_eq!((report.bytes_received, report.bytes_discarded, report.failed), (47, 47, 1));
}

#[test]
fn retiring_lets_the_exchange_end_however_long_it_takes() {
    let mut it = Scenario::receiving_body();
    it.engine.retire(it.now, None, CloseReason::HandlesDropped);
    it.read();
    it.engine.poll_timeout().into_iter().for_each(|at| assert!(at - it.now >= Duration::from_secs(300)));
    it.come(REST).read().obey();
    assert_eq!((it.seen.body.as_str(), it.orders.as_slice()), ("hello", &[LeavePool, FAREWELL][..]));
    assert_eq!(it.reason(), Some(&CloseReason::HandlesDropped));
}

#[test]
fn closing_a_tunnel() {
    let tunnel = || {
        let mut it = Scenario::asked("CONNECT");
        it.come("HTTP/1.1 200 x\r\n\r\n").read();
        it
    };
    // Graceful: what is left of the drain limit, then a reset, for it was cut short.
    let mut it = closed(tunnel, CloseMode::graceful().drain(Duration::from_secs(3)));
    assert!(matches!(it.state(), State::Upgraded { .. }));
    it.pass(Duration::from_secs(3)).obey();
    assert_eq!(it.orders, [LeavePool, RESET]);
    // Half: our side ends, theirs goes on.
    let it = closed(tunnel, CloseMode::half());
    assert_eq!(it.state(), State::Upgraded { ours: Side::Ended, theirs: Side::Open });
    assert_eq!(it.orders, [LeavePool, HALF]);
    for mode in [CloseMode::now(), CloseMode::abort()] {
        assert_eq!(closed(tunnel, mode).orders, [LeavePool, RESET]);
    }
}

#[test]
fn a_snapshot_tells_the_phase_and_the_next_deadline() {
    let snapshot = |it: &Scenario| it.engine.snapshot(it.now, ConnectionId::new(3));
    let told = snapshot(&Scenario::sending_body());
    assert_eq!((told.phase, told.state, told.in_flight), (ExchangePhase::SendingBody, State::Active, 1));
    assert_eq!((told.ours, told.theirs, told.reason), (Side::Open, Side::Open, None));

    let it = closed(Scenario::awaiting_response, CloseMode::half().drain(Duration::from_secs(5)));
    let told = snapshot(&it);
    assert_eq!((told.ours, told.theirs), (Side::Ended, Side::Open));
    assert_eq!(told.deadline, Some(Duration::from_secs(5)));
    assert_eq!(
        told.to_string(),
        "#3 http/1.1: half-closed for 0.0ns, awaiting response, closed by the user (half); 0 done; 27 B out, 0 B in; \
         0.0ns old"
    );
    let mut it = Scenario::open();
    it.pass(Duration::from_secs(7));
    assert_eq!(snapshot(&it).idle, Some(Duration::from_secs(7)));
}

#[test]
fn an_idle_connection_lets_go_of_its_memory() {
    let mut it = Scenario::receiving_body();
    it.engine.shrink();
    it.come(REST).read();
    it.engine.shrink();
    assert_eq!(it.engine.room().len(), 0);
    let mut it = it.get();
    it.come("HTTP/1.1 204 x\r\n\r\n").read();
    assert_eq!((it.state(), it.engine.life().exchanges()), (State::Idle, (2, 0)));
}
