//! Every clock: when it starts, what restarts it, what it does, and that it does nothing early.

use std::time::Duration;

use http::Request;

use super::*;
use crate::lifecycle::{LifecycleLimits, Timeouts};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Just before its deadline nothing happens; at the deadline the exchange fails in this phase.
#[track_caller]
fn assert_times_out(it: &mut Scenario, limit: Duration, phase: Phase, last: Action) {
    assert_eq!(it.deadline(), Some(limit));
    it.pass(limit - Duration::from_millis(1));
    assert!(it.note_orders().orders.is_empty(), "{:?}", it.orders);
    it.pass(Duration::from_millis(1)).read().note_orders();
    assert_eq!(
        (&it.failure().reason, it.reason()),
        (&CloseReason::TimedOut(phase), Some(&it.failure().reason))
    );
    assert_eq!(it.orders, [LeavePool, FailExchanges, last]);
}

#[test]
fn an_idle_connection_has_its_limit() {
    let life = LifecycleLimits { idle: Some(s(55)), ..LifecycleLimits::default() };
    let mut it = Scenario::with(Config { life, ..Config::default() });
    it.pass(s(50));
    it = it.get();
    it.come("HTTP/1.1 204 x\r\n\r\n").read();
    assert_eq!(it.deadline(), Some(s(55)));
    it.pass(s(55)).note_orders();
    assert_eq!(
        (it.reason(), it.orders.as_slice()),
        (Some(&CloseReason::IdleLimit), &[LeavePool, FAREWELL][..])
    );
}

#[test]
fn the_transport_takes_no_bytes() {
    let mut it = Scenario::sending_head();
    assert_eq!(it.deadline(), None);
    it.engine.handle_blocked(it.now);
    it.pass(s(59)).take(10);
    assert_eq!(it.deadline(), None, "it took some");
    it.engine.handle_blocked(it.now);
    it.pass(s(30));
    it.engine.handle_blocked(it.now);
    assert_times_out(&mut it, s(30), Phase::WriteStall, RESET);
}

#[test]
fn an_upload_that_was_stopped_does_not_stall() {
    let mut it = Scenario::sending_body();
    it.give("56789");
    it.engine.handle_blocked(it.now);
    it.come("HTTP/1.1 413 x\r\ncontent-length: 5\r\n\r\n").read();
    assert_eq!(it.deadline(), Some(s(300)), "only the gap");
}

/// A driver reports the end of a body also where its length told it.
#[test]
fn the_wait_for_the_response_head_does_not_start_again() {
    let mut it = Scenario::sending_body();
    it.give("56789").flush().pass(s(10)).end_body();
    assert_eq!(it.deadline(), Some(s(290)));
}

#[test]
fn a_callers_silent_body_is_not_the_transports_fault() {
    let mut it = Scenario::sending_body();
    assert_eq!(it.deadline(), None);
    it.pass(s(10_000));
    assert_eq!(it.state(), State::Active);
}

#[test]
fn the_response_head_is_waited_for_from_the_last_byte_of_the_request() {
    let mut it = Scenario::sending_body();
    it.pass(s(1000)).give("56789").flush();
    assert_times_out(&mut it, s(300), Phase::ResponseHead, FAREWELL);
}

#[test]
fn an_interim_response_restarts_the_wait_for_the_final_one() {
    let mut it = Scenario::awaiting_response();
    it.pass(s(299)).come("HTTP/1.1 102 Processing\r\n\r\n").read();
    assert_eq!(it.deadline(), Some(s(300)));
    it.pass(s(299)).come("HTTP/1.1 2").read();
    assert_times_out(&mut it, s(1), Phase::ResponseHead, FAREWELL);
}

/// What comes of a write that broke is waited for as a response is.
#[test]
fn after_a_broken_write_the_response_head_is_not_waited_for_for_ever() {
    let mut it = Scenario::sending_body();
    it.give("567");
    it.engine.handle_blocked(it.now);
    it.write_breaks(RST).note_orders();
    it.orders.clear();
    assert_eq!(it.deadline(), Some(s(300)));
    it.pass(s(300)).read().note_orders();
    assert_eq!(it.failure().reason, CloseReason::TimedOut(Phase::ResponseHead));
    assert_eq!(it.orders, [FailExchanges, RESET]);
}

#[test]
fn the_gap_runs_while_the_reader_waits() {
    let mut it = Scenario::awaiting_response();
    it.come(HEAD).read();
    assert_eq!(it.deadline(), Some(s(300)));
    it.pass(s(299)).come("he").read();
    assert_eq!(it.deadline(), Some(s(300)), "some came");
    assert_times_out(&mut it, s(300), Phase::BodyGap, FAREWELL);
}

/// What came and was not taken is the reader's delay, not the peer's.
#[test]
fn the_gap_does_not_run_while_the_peer_owes_nothing() {
    let mut it = Scenario::awaiting_response();
    it.come(HEAD).read().come("he");
    assert_eq!(it.deadline(), None);
    it.pass(s(1000)).read();
    assert_eq!((it.seen.body.as_str(), it.deadline()), ("he", Some(s(300))));
}

#[test]
fn no_gap_for_what_is_silent_by_nature() {
    for (kind, limit) in [
        ("text/event-stream; charset=utf-8", None),
        ("Text/Event-Stream", None),
        ("application/grpc", None),
        ("Application/gRPC+proto", None),
        ("text/html", Some(s(300))),
        ("text/example-of-a-long-name", Some(s(300))),
        ("text/e", Some(s(300))),
        ("t", Some(s(300))),
        ("application/json", Some(s(300))),
        ("application/g", Some(s(300))),
        ("application/geo+json-seq", Some(s(300))),
    ] {
        let mut it = Scenario::awaiting_response();
        it.come(&format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"))
            .read();
        assert_eq!(it.deadline(), limit, "{kind}");
    }
}

#[test]
fn the_whole_exchange_has_a_limit_where_one_is_set() {
    let timeouts = Timeouts { exchange: Some(s(5)), ..Timeouts::default() };
    let config = Config { timeouts, ..Config::default() };
    assert_times_out(&mut Scenario::sending_body_with(config), s(5), Phase::Exchange, RESET);
    let mut it = Scenario::with(config).get();
    it.pass(s(3)).come(HEAD).read();
    assert_times_out(&mut it, s(2), Phase::Exchange, FAREWELL);
    // It ends with the exchange.
    let mut it = Scenario::with(config).get();
    it.come(HEAD).come("hello").read();
    assert_eq!(it.deadline(), None);
}

#[test]
fn the_wait_for_100_continue_starts_when_the_head_is_out() {
    let mut it = Scenario::open().ask(Request::post("http://h/").header("expect", "100-continue"), Some(10));
    it.pass(s(10)).flush();
    assert_eq!(it.deadline(), Some(s(1)));
    let timeouts = Timeouts { continue_wait: None, ..Timeouts::default() };
    let it = Scenario::awaiting_continue_with(Config { timeouts, ..Config::default() });
    assert_eq!(it.deadline(), None);
}

/// A driver that looks late finds several clocks run out at once; none is left behind.
#[test]
fn clocks_that_ran_out_together() {
    let timeouts = Timeouts { exchange: Some(s(5)), ..Timeouts::default() };
    let mut it = Scenario::awaiting_continue_with(Config { timeouts, ..Config::default() });
    it.pass(s(100)).read();
    assert_eq!(it.failure().reason, CloseReason::TimedOut(Phase::Exchange));
}

#[test]
fn limits_beyond_all_time_are_no_limits() {
    let most = Some(Duration::MAX);
    let timeouts = Timeouts {
        write_stall: most,
        continue_wait: most,
        response_head: most,
        body_gap: most,
        exchange: most,
        upgrade_idle: most,
        upgrade_half_closed: most,
        discard: Duration::MAX,
    };
    let mut it = Scenario::with(Config { timeouts, ..Config::default() }).get();
    it.engine.handle_blocked(it.now);
    it.come(HEAD).read();
    it.engine.abandon(it.now);
    assert_eq!(it.deadline(), None);
}
