//! How TLS ends: close_notify, a FIN without it, an alert, a violation; and half-closes where there are none.

use std::time::Duration;

use super::*;
use crate::lifecycle::{Timeouts, TlsAlert};

const NOTIFY: TransportEnd = TransportEnd::CloseNotify;
const BARE: TransportEnd = TransportEnd::BareFin;
const ALERT: TransportEnd = TransportEnd::Alert(TlsAlert(80));
const VIOLATION: TransportEnd = TransportEnd::Broken("a record that does not decrypt");

const FRAMED: [&str; 2] = [
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
];
const UNTIL_CLOSE: &str = "HTTP/1.1 200 OK\r\n\r\nhello";

fn heard(it: &Scenario) -> Vec<Signal> {
    let received = it.engine.life().signals().1;
    [Signal::CloseNotify, Signal::Fin, Signal::Rst].into_iter().filter(|s| received.contains(*s)).collect()
}

/// RFC 8446 section 6.1: close_notify vouches for the end of a body that has no other.
#[test]
fn close_notify_ends_a_body_without_a_length() {
    let outcome = however_cut(Scenario::awaiting_response, UNTIL_CLOSE, Some(NOTIFY));
    assert_eq!((outcome.body(), outcome.exchanges), ("hello", (1, 0)));
    assert_eq!((outcome.state, outcome.reason), (State::Lingering, Some(CloseReason::BodyUntilClose)));
    let mut it = Scenario::awaiting_response();
    it.come(UNTIL_CLOSE).read().peer_ends(NOTIFY).read().obey().peer_ends(FIN).obey();
    assert_eq!(it.orders, [LeavePool, FAREWELL, DROP]);
    assert_eq!(heard(&it), [Signal::CloseNotify, Signal::Fin]);
    assert_eq!(it.engine.life().ended(), Some(Ended::Clean));
}

#[test]
fn a_bare_fin_truncates_a_body_without_a_length() {
    for taken in 0..=5 {
        let bytes = &UNTIL_CLOSE[..UNTIL_CLOSE.len() - taken];
        let outcome = however_cut(Scenario::awaiting_response, bytes, Some(BARE));
        assert_eq!(outcome.failure().reason, CloseReason::TlsTruncated);
        assert_eq!(outcome.failure().facts.read_end, ReadEnd::BareFin);
        assert_eq!(
            (outcome.reason, outcome.ended),
            (Some(CloseReason::TlsTruncated), Some(Ended::Truncated))
        );
        assert_eq!((outcome.whole, outcome.exchanges), (false, (0, 1)));
    }
}

/// What is framed tells its end by itself.
#[test]
fn a_framed_response_is_whole_without_close_notify() {
    for response in FRAMED {
        let outcome = however_cut(Scenario::awaiting_response, response, Some(BARE));
        assert_eq!((outcome.body(), outcome.exchanges), ("hello", (1, 0)));
        assert_eq!((outcome.reason, outcome.ended), (Some(CloseReason::PeerClosedIdle), Some(Ended::Clean)));
    }
}

#[test]
fn close_notify_or_a_bare_fin_inside_a_framed_response_fails_it() {
    for response in FRAMED {
        for cut in 0..response.len() {
            let outcome = however_cut(Scenario::awaiting_response, &response[..cut], Some(NOTIFY));
            assert_eq!(outcome.failure().reason, CloseReason::PeerEndedEarly, "{:?}", &response[..cut]);
            assert_eq!(outcome.failure().facts.read_end, ReadEnd::CloseNotify);
            // The FIN is still awaited.
            assert_eq!((outcome.state, outcome.exchanges), (State::Lingering, (0, 1)));
            let outcome = however_cut(Scenario::awaiting_response, &response[..cut], Some(BARE));
            assert_eq!(outcome.failure().reason, CloseReason::PeerEndedEarly);
            assert_eq!((outcome.state, outcome.ended), (State::Closed, Some(Ended::Truncated)));
        }
    }
}

#[test]
fn close_notify_on_an_idle_connection_is_answered_and_the_fin_awaited() {
    let mut it = Scenario::open();
    it.peer_ends(NOTIFY).obey();
    assert_eq!((it.state(), it.reason()), (State::Lingering, Some(&CloseReason::PeerClosedIdle)));
    assert!(it.engine.wants_read() && it.engine.awaits_fin());
    it.peer_ends(FIN).obey();
    assert_eq!(it.orders, [LeavePool, FAREWELL, DROP]);
    assert_eq!(
        (heard(&it), it.engine.life().ended()),
        (vec![Signal::CloseNotify, Signal::Fin], Some(Ended::Clean))
    );
}

/// It said goodbye; that its FIN is missing makes it no silent peer.
#[test]
fn close_notify_without_a_fin_is_a_clean_end_after_the_linger() {
    let mut it = Scenario::open();
    it.close(CloseMode::graceful()).obey().peer_ends(NOTIFY).obey();
    assert_eq!(it.state(), State::Lingering);
    it.pass(Duration::from_secs(2)).obey();
    assert_eq!((it.engine.life().ended(), heard(&it)), (Some(Ended::Clean), vec![Signal::CloseNotify]));
}

#[test]
fn a_bare_fin_on_an_idle_connection_is_an_end_like_any() {
    let mut it = Scenario::open();
    it.peer_ends(BARE).obey();
    assert_eq!(
        (it.reason(), it.engine.life().ended()),
        (Some(&CloseReason::PeerClosedIdle), Some(Ended::Clean))
    );
    assert_eq!(heard(&it), [Signal::Fin]);
}

#[test]
fn an_alert_ends_everything_at_once() {
    for response in FRAMED {
        let outcome = however_cut(Scenario::awaiting_response, &response[..response.len() - 1], Some(ALERT));
        assert_eq!(outcome.failure().reason, CloseReason::TlsAlert(TlsAlert(80)));
        assert_eq!(outcome.orders, [LeavePool, FailExchanges, DROP]);
    }
    let mut it = Scenario::open();
    it.peer_ends(ALERT).obey();
    assert_eq!(it.orders, [LeavePool, DROP]);
}

#[test]
fn a_violation_is_answered_by_a_complaint_and_the_fin_awaited() {
    let mut it = Scenario::awaiting_response();
    it.peer_ends(VIOLATION).read().obey();
    assert_eq!(it.failure().reason, CloseReason::TlsBroken("a record that does not decrypt"));
    assert_eq!((it.state(), &it.orders[..]), (State::Lingering, &[LeavePool, FailExchanges, COMPLAINT][..]));
    it.peer_ends(BARE).obey();
    assert_eq!(it.state(), State::Closed);
}

#[test]
fn a_violation_while_a_request_is_cut_short_resets() {
    for end in [VIOLATION, NOTIFY, BARE] {
        let mut it = Scenario::sending_body();
        it.peer_ends(end).read().obey();
        assert_eq!(it.orders, [LeavePool, FailExchanges, RESET], "{end:?}");
    }
}

#[test]
fn a_violation_after_our_goodbye_ends_the_wait() {
    let mut it = Scenario::open();
    it.close(CloseMode::graceful()).obey().peer_ends(VIOLATION).obey();
    assert_eq!((it.state(), it.reason()), (State::Closed, Some(&CloseReason::User(CloseKind::Graceful))));
}

#[test]
fn close_notify_after_a_whole_response_lets_the_upload_go_on() {
    let mut it = Scenario::sending_and_receiving();
    it.come("llo").read().peer_ends(NOTIFY).obey();
    assert_eq!(it.reason(), Some(&CloseReason::PeerAskedClose));
    it.give("56789").end_body().flush().obey();
    assert_eq!((it.state(), it.engine.life().exchanges()), (State::Lingering, (1, 0)));
    it.peer_ends(FIN).obey();
    assert_eq!(heard(&it), [Signal::CloseNotify, Signal::Fin]);
}

#[test]
fn close_notify_after_our_half_close_refuses_it() {
    let mut it = Scenario::awaiting_response();
    it.close(CloseMode::half()).obey().peer_ends(NOTIFY).read().obey();
    assert_eq!(it.failure().reason, CloseReason::HalfCloseRefused);
    it.peer_ends(FIN).obey();
    assert_eq!((it.state(), it.reason()), (State::Closed, Some(&CloseReason::HalfCloseRefused)));
}

/// RFC 5246 section 7.2.1: in TLS 1.2 our close_notify would end the peer's side too.
#[test]
fn half_acts_as_graceful_where_no_side_ends_alone() {
    let config = Config { half_close: HalfClose::Impossible, ..Config::default() };
    let mut it = Scenario::with(config).get();
    it.close(CloseMode::half()).obey();
    assert_eq!(
        (it.state(), it.reason()),
        (State::Draining { theirs: Side::Open }, Some(&CloseReason::User(CloseKind::Half)))
    );
    it.come(FRAMED[0]).read().obey();
    assert_eq!(it.seen.body, "hello");
    assert_eq!(it.orders, [LeavePool, FAREWELL]);
}

fn upgraded_with(config: Config) -> Scenario {
    let mut it = Scenario::with(config)
        .ask(http::Request::get("http://h/").header("connection", "upgrade").header("upgrade", "x"), Some(0))
        .flushed();
    it.come("HTTP/1.1 101 x\r\nupgrade: x\r\n\r\n").read().obey();
    it.orders.clear();
    it
}

fn upgraded() -> Scenario {
    upgraded_with(Config::default())
}

#[test]
fn an_upgrade_ends_by_close_notify_and_is_truncated_without() {
    let mut it = upgraded();
    it.engine.handle_read_end(it.now, NOTIFY);
    assert_eq!(it.state(), State::Upgraded { ours: Side::Open, theirs: Side::Ended });
    it.engine.end_ours(it.now);
    it.obey();
    assert_eq!((it.engine.life().ended(), it.reason()), (Some(Ended::Clean), Some(&CloseReason::Upgraded)));

    let mut it = upgraded();
    it.engine.handle_read_end(it.now, BARE);
    it.engine.end_ours(it.now);
    it.obey();
    assert_eq!(
        (it.engine.life().ended(), it.reason()),
        (Some(Ended::Truncated), Some(&CloseReason::TlsTruncated))
    );
}

#[test]
fn after_our_end_an_upgrade_awaits_the_fin_behind_close_notify() {
    let mut it = upgraded();
    it.engine.end_ours(it.now);
    it.obey();
    it.engine.handle_read_end(it.now, NOTIFY);
    assert_eq!(it.state(), State::Lingering);
    assert!(it.engine.wants_read());
    it.peer_ends(FIN).obey();
    assert_eq!(
        (it.engine.life().ended(), heard(&it)),
        (Some(Ended::Clean), vec![Signal::CloseNotify, Signal::Fin])
    );
}

/// Nothing but another kind of end takes the place of the first reason.
#[test]
fn an_upgrade_whose_peer_never_ends_is_still_an_upgrade_that_ended() {
    let mut it = upgraded();
    it.engine.end_ours(it.now);
    it.obey();
    it.engine.drop_upgraded(it.now);
    it.obey().pass(Duration::from_secs(2)).obey();
    assert_eq!((it.state(), it.reason()), (State::Closed, Some(&CloseReason::Upgraded)));
    assert_eq!(it.engine.life().ended(), Some(Ended::PeerSilent));
}

#[test]
fn an_upgrade_that_carries_nothing_meets_its_own_deadline() {
    let timeouts = Timeouts { upgrade_idle: Some(Duration::from_secs(10)), ..Timeouts::default() };
    let mut it = upgraded_with(Config { timeouts, ..Config::default() });
    for (sent, received) in [(1, 0), (0, 1), (0, 0)] {
        it.pass(Duration::from_secs(9));
        it.engine.handle_carried(it.now, sent, received);
    }
    // Carrying nothing is no sign of life.
    assert_eq!(it.deadline(), Some(Duration::from_secs(1)));
    it.pass(Duration::from_secs(1)).obey();
    assert_eq!((it.state(), it.reason()), (State::Closed, Some(&CloseReason::TimedOut(Phase::UpgradeIdle))));
    assert_eq!(it.orders, [RESET]);
}

#[test]
fn a_half_closed_upgrade_meets_its_own_deadline() {
    let timeouts = Timeouts { upgrade_half_closed: Some(Duration::from_secs(10)), ..Timeouts::default() };
    let config = Config { timeouts, ..Config::default() };
    let mut it = upgraded_with(config);
    assert_eq!(it.deadline(), None);
    it.engine.handle_read_end(it.now, FIN);
    it.pass(Duration::from_secs(10)).obey();
    assert_eq!(
        (it.state(), it.reason()),
        (State::Closed, Some(&CloseReason::TimedOut(Phase::UpgradeHalfClosed)))
    );
    assert_eq!(it.orders, [RESET], "what we had to say was cut short");

    let mut it = upgraded_with(config);
    it.engine.end_ours(it.now);
    it.obey().pass(Duration::from_secs(10)).obey();
    assert_eq!(
        (it.state(), it.reason()),
        (State::Lingering, Some(&CloseReason::TimedOut(Phase::UpgradeHalfClosed)))
    );
}
