//! A caller that drops what it asked for.

use std::time::Duration;

use super::*;
use crate::codec::limits::Limits;

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

fn abandoned(mut it: Scenario) -> Scenario {
    it.engine.abandon(it.now);
    it.note_orders();
    it
}

/// Abandoned after this much of a response to a GET was read.
fn after(bytes: &str) -> Scenario {
    let mut it = Scenario::awaiting_response();
    it.come(bytes).read();
    abandoned(it)
}

/// It was closed as by a close now.
#[track_caller]
fn assert_closed(it: &Scenario, last: Action) {
    assert_eq!(it.reason(), Some(&CloseReason::RequestCancelled));
    assert_eq!(
        (it.orders.as_slice(), it.engine.life().exchanges()),
        (&[LeavePool, FailExchanges, last][..], (0, 1))
    );
}

#[test]
fn abandoned_before_anything_was_written_the_connection_goes_back() {
    let it = abandoned(Scenario::unsent());
    assert_eq!((it.state(), it.engine.wants_write(), it.orders.as_slice()), (State::Idle, false, &[][..]));
    assert_eq!(it.engine.life().exchanges(), (0, 0));
    let mut it = it.get();
    it.come("HTTP/1.1 204 x\r\n\r\n").read();
    assert_eq!(it.sent(), "GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!((it.state(), it.engine.exchange()), (State::Idle, 2));
    // On its way out it goes on its way, and there is nothing to reset.
    let mut it = Scenario::unsent();
    it.close(CloseMode::graceful());
    assert_eq!(abandoned(it).orders, [LeavePool, FAREWELL]);
}

#[test]
fn abandoned_in_mid_request_it_is_reset() {
    for scenario in [Scenario::sending_head, Scenario::awaiting_continue, Scenario::sending_body] {
        assert_closed(&abandoned(scenario()), RESET);
    }
    assert_closed(&abandoned(Scenario::sending_and_receiving()), RESET);
}

#[test]
fn abandoned_before_the_head_of_the_response_it_says_goodbye() {
    assert_closed(&after(""), FAREWELL);
    assert_closed(&after("HTTP/1.1 103 x\r\n\r\nHTTP/1.1 2"), FAREWELL);
    // Nobody was told of the response, although it is all here.
    let mut it = Scenario::awaiting_response();
    it.come("HTTP/1.1 204 x\r\n\r\n");
    assert_closed(&abandoned(it), FAREWELL);
}

#[test]
fn a_small_rest_is_discarded_and_the_connection_used_again() {
    let mut it = after("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe");
    assert!(it.engine.is_abandoned());
    assert_eq!(it.deadline(), Some(Duration::from_millis(50)));
    it.come("l").come("lo");
    assert_eq!((it.state(), it.engine.life().exchanges()), (State::Idle, (1, 0)));
    assert!(!it.engine.is_abandoned());
    let report = it.engine.report(it.now, crate::lifecycle::ConnectionId::new(1));
    assert_eq!(report.bytes_discarded, 3);
    it = it.get();
    it.come("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").read();
    assert_eq!((it.seen.body.as_str(), it.state()), ("hi", State::Idle));
}

#[test]
fn a_rest_that_is_here_already_is_discarded_at_once() {
    for bytes in ["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", CHUNKED] {
        let mut it = Scenario::awaiting_response();
        it.come(bytes).read();
        it.come(if bytes == CHUNKED { "5\r\nhello\r\n0\r\nx: y\r\n\r\n" } else { "hello" });
        assert_eq!(abandoned(it).state(), State::Idle);
    }
}

#[test]
fn a_small_rest_that_is_slow_is_not_waited_for() {
    let mut it = after("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe");
    it.pass(Duration::from_millis(49)).come("l");
    it.pass(Duration::from_millis(1)).note_orders();
    assert_closed(&it, FAREWELL);
}

#[test]
fn a_small_rest_that_breaks_off() {
    let mut it = after("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe");
    it.come("l").peer_ends(FIN).note_orders();
    assert_eq!(
        (it.orders.as_slice(), it.reason()),
        (&[LeavePool, FailExchanges, FAREWELL][..], Some(&CloseReason::PeerEndedEarly))
    );
}

#[test]
fn a_big_rest_is_not_downloaded_for_nobody() {
    assert_closed(&after("HTTP/1.1 200 OK\r\ncontent-length: 70000\r\n\r\nhe"), FAREWELL);
    let it = after("HTTP/1.1 200 OK\r\n\r\nhe");
    assert_eq!(
        (it.reason(), it.orders.clone()),
        (Some(&CloseReason::RequestCancelled), vec![LeavePool, FailExchanges, FAREWELL])
    );
    assert_closed(&after(&format!("{CHUNKED}2\r\nhe\r\n")), FAREWELL);
}

#[test]
fn a_rest_that_turns_out_to_be_big_is_not_downloaded_either() {
    let limits = Limits { unread: 10, ..Limits::default() };
    let mut it = Scenario::with(Config { limits, ..Config::default() }).get();
    it.come(CHUNKED).read().come("14\r\n01234567890123456789\r\n0\r\n\r\n");
    assert_closed(&abandoned(it), FAREWELL);
}

/// What cannot be used again is not worth a download.
#[test]
fn a_small_rest_on_a_connection_that_ends_anyway() {
    let it = after("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhe");
    assert_eq!(it.reason(), Some(&CloseReason::PeerAskedClose));
    assert_eq!(it.orders, [LeavePool, FailExchanges, FAREWELL]);
}

/// The response was told whole: its reader is done, and the upload is somebody else's.
#[test]
fn an_upload_that_outlives_its_whole_response_goes_on() {
    let mut it = Scenario::sending_body();
    it.come("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").read();
    let mut it = abandoned(it);
    assert!(it.engine.owes_body() && !it.engine.is_abandoned());
    it.give("56789").flush();
    assert_eq!((it.state(), it.engine.life().exchanges()), (State::Idle, (1, 0)));
}

#[test]
fn abandoning_twice_or_after_the_end_changes_nothing() {
    let it = abandoned(after("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe"));
    assert_eq!(it.state(), State::Active);
    let it = abandoned(after("HTTP/1.1 204 x\r\n\r\n"));
    assert_eq!((it.state(), it.orders.as_slice()), (State::Idle, &[][..]));
    let mut it = Scenario::awaiting_response();
    it.peer_ends(FIN).read();
    assert_eq!(abandoned(it).reason(), Some(&CloseReason::PeerEndedEarly));
}
