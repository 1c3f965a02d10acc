//! A peer that ends, resets or breaks the protocol, at every byte.

use std::io::ErrorKind;

use super::*;
use crate::codec::limits::Limits;

/// An interim head, a final one, and a body: every place in which an end can come.
const LENGTH: [&str; 2] = ["HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "hello"];
const CHUNKED: [&str; 2] = [
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    "2;x\r\nhe\r\n3\r\nllo\r\n0\r\nx-sum: 7\r\n\r\n",
];

/// Each beginning of a response, and how far the exchange is after it.
fn beginnings() -> impl Iterator<Item = (String, ExchangePhase)> {
    [LENGTH, CHUNKED].into_iter().flat_map(|response| {
        let (head, response) = (response[0].len(), response.concat());
        (0..response.len()).map(move |n| {
            let at = if n < head { ExchangePhase::AwaitingResponse } else { ExchangePhase::ReceivingBody };
            (response[..n].to_owned(), at)
        })
    })
}

#[track_caller]
fn assert_failed(outcome: &Outcome, reason: CloseReason, orders: &[Action], ended: Option<Ended>) {
    assert_eq!(outcome.failure().reason, reason);
    assert_eq!((&outcome.orders[..], outcome.ended, outcome.exchanges), (orders, ended, (0, 1)));
}

#[test]
fn the_peer_ends_at_any_point_of_a_response() {
    for (bytes, at) in beginnings() {
        let outcome = however_cut(Scenario::awaiting_response, &bytes, Some(FIN));
        let orders = [LeavePool, FailExchanges, FAREWELL, DROP];
        assert_failed(&outcome, CloseReason::PeerEndedEarly, &orders, Some(Ended::Truncated));
        let failure = outcome.failure();
        assert_eq!(failure.at, at, "{bytes:?}");
        assert_eq!((failure.facts.handed, failure.facts.head), (27, 27));
        assert_eq!((failure.facts.answered > 0, failure.facts.read_end), (!bytes.is_empty(), ReadEnd::Fin));
    }
}

#[test]
fn the_peer_resets_at_any_point_of_a_response() {
    for (bytes, at) in beginnings() {
        let outcome = however_cut(Scenario::awaiting_response, &bytes, Some(RST));
        assert_failed(&outcome, CloseReason::Reset, &[LeavePool, FailExchanges, DROP], Some(Ended::Reset));
        let failure = outcome.failure();
        assert_eq!((failure.at, failure.facts.answered > 0), (at, !bytes.is_empty()), "{bytes:?}");
        assert_eq!(failure.facts.read_end, ReadEnd::Reset);
    }
}

#[test]
fn the_network_fails_at_any_point_of_a_response() {
    for (bytes, at) in beginnings() {
        let end = TransportEnd::Failed(ErrorKind::TimedOut);
        let outcome = however_cut(Scenario::awaiting_response, &bytes, Some(end));
        let reason = CloseReason::Network(ErrorKind::TimedOut);
        assert_failed(&outcome, reason, &[LeavePool, FailExchanges, DROP], Some(Ended::Broken));
        assert_eq!((outcome.failure().at, outcome.failure().facts.read_end), (at, ReadEnd::Failed));
    }
}

#[test]
fn a_whole_response_is_whole_whatever_follows() {
    for response in [LENGTH.concat(), CHUNKED.concat()] {
        for (end, reason, ended) in [
            (FIN, CloseReason::PeerClosedIdle, Ended::Clean),
            (RST, CloseReason::Reset, Ended::Reset),
            (TransportEnd::Failed(ErrorKind::Other), CloseReason::Network(ErrorKind::Other), Ended::Broken),
        ] {
            let outcome = however_cut(Scenario::awaiting_response, &response, Some(end));
            assert_eq!((outcome.body(), outcome.exchanges), ("hello", (1, 0)));
            assert_eq!((outcome.reason, outcome.ended), (Some(reason), Some(ended)));
        }
    }
}

#[test]
fn a_body_without_a_length_is_not_whole_after_a_reset() {
    let outcome = however_cut(Scenario::awaiting_response, "HTTP/1.1 200 OK\r\n\r\nhello", Some(RST));
    assert_eq!((outcome.seen.body.as_str(), outcome.whole), ("hello", false));
    assert_eq!(outcome.failure().reason, CloseReason::Reset);
    // How it was to end was known before; what ended it says more.
    assert_eq!((outcome.reason, outcome.ended), (Some(CloseReason::Reset), Some(Ended::Reset)));
}

#[test]
fn the_same_failure_comes_at_each_look() {
    let mut it = Scenario::awaiting_response();
    it.peer_ends(FIN).read();
    let failure = it.failure().clone();
    for _ in 0..3 {
        assert!(matches!(it.engine.poll_event(it.now), Some(Event::Failed(again)) if again == failure));
    }
    assert!(!it.engine.is_response_whole());
}

/// Read as the end of an idle connection: nothing was sent, so any request may go elsewhere.
#[test]
fn the_peer_ends_before_anything_was_sent() {
    let mut it = Scenario::unsent();
    it.peer_ends(FIN).read().obey();
    assert_eq!((&it.failure().reason, it.failure().facts.handed), (&CloseReason::PeerClosedIdle, 0));
    assert_eq!(it.orders, [LeavePool, FailExchanges, FAREWELL, DROP]);
    assert_eq!(it.sent(), "", "what was staged is not sent after all");
}

#[test]
fn the_peer_ends_while_the_request_is_being_sent() {
    for (scenario, at) in [
        (Scenario::sending_head as fn() -> _, ExchangePhase::SendingHead),
        (Scenario::awaiting_continue, ExchangePhase::AwaitingContinue),
        (Scenario::sending_body, ExchangePhase::SendingBody),
    ] {
        // What was cut short must not look complete: a reset, and no FIN.
        let outcome = however_cut(scenario, "", Some(FIN));
        let orders = [LeavePool, FailExchanges, RESET];
        assert_failed(&outcome, CloseReason::PeerEndedEarly, &orders, Some(Ended::Aborted));
        assert_eq!(outcome.failure().at, at);
    }
}

#[test]
fn an_idle_connection_ends() {
    for (end, reason, orders, ended) in [
        (FIN, CloseReason::PeerClosedIdle, vec![LeavePool, FAREWELL, DROP], Ended::Clean),
        (RST, CloseReason::Reset, vec![LeavePool, DROP], Ended::Reset),
    ] {
        let mut it = Scenario::open();
        it.peer_ends(end).obey();
        assert_eq!((it.reason(), it.engine.life().ended()), (Some(&reason), Some(ended)));
        assert_eq!((it.orders.clone(), it.state()), (orders, State::Closed));
    }
}

/// The end waits behind what was not taken; when nobody takes it any more, it must not be forgotten.
#[test]
fn an_end_behind_an_untaken_response_is_not_waited_for_again() {
    let mut it = Scenario::awaiting_response();
    it.come(&LENGTH.concat()).peer_ends(FIN).close(CloseMode::now()).obey();
    assert_eq!(it.orders, [LeavePool, FailExchanges, FAREWELL, DROP]);
    assert_eq!(it.engine.life().ended(), Some(Ended::Clean));

    let mut it = Scenario::awaiting_response();
    it.come("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n").peer_ends(RST).read().obey();
    assert_eq!(it.orders, [LeavePool, FailExchanges, COMPLAINT, DROP]);
}

/// RFC 9112 sections 6.1, 6.3, 7.1, 11.2: what two parties could read differently.
#[test]
fn a_peer_that_breaks_the_protocol() {
    let chunked = |rest: &str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{rest}");
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
    for bytes in [
        "SSH-2.0-OpenSSH_9.6\r\n".to_owned(),
        "<html>".to_owned(),
        "HTTP/2.0 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 2x0 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n".to_owned(),
        head("no field"),
        head("bad name: x"),
        head("x: a\r\n folded"),
        head("content-length: 1\r\ncontent-length: 2"),
        head("content-length: 1, 2"),
        head("content-length: -1"),
        head("content-length: 18446744073709551616"),
        head("transfer-encoding: chunked, gzip"),
        head("transfer-encoding: chunked\r\ntransfer-encoding: chunked"),
        chunked("\r\n"),
        chunked("x\r\n"),
        chunked("-1\r\n"),
        chunked("1\nA\r\n"),
        chunked("1\r\nAB"),
        chunked("2\r\nABC\r\n"),
        chunked("11111111111111111\r\n"),
        chunked("1;a\rb\r\n"),
        chunked("0\r\nbad field\r\n\r\n"),
    ] {
        let outcome = however_cut(Scenario::awaiting_response, &bytes, None);
        assert!(matches!(outcome.failure().reason, CloseReason::ProtocolError(_)), "{bytes:?}: {outcome:#?}");
        assert_eq!(outcome.reason.as_ref(), Some(&outcome.failure().reason));
        assert_eq!(outcome.orders, [LeavePool, FailExchanges, COMPLAINT]);
        assert!(!outcome.whole);
    }
}

#[test]
fn a_peer_that_breaks_the_protocol_while_the_request_is_being_sent_is_reset() {
    let outcome = however_cut(Scenario::sending_body, "HTTP/2.0 200 OK\r\n\r\n", None);
    assert_eq!(outcome.orders, [LeavePool, FailExchanges, RESET]);
}

#[test]
fn a_peer_that_exceeds_a_limit() {
    let limits = Limits {
        head: 60,
        fields: 3,
        chunk_line: 16,
        chunk_extensions: 20,
        trailers: 30,
        interim: 2,
        ..Limits::default()
    };
    let chunked = |rest: &str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{rest}");
    let long = "x".repeat(60);
    for (bytes, limit) in [
        (format!("HTTP/1.1 200 OK\r\nx: {long}\r\n\r\n"), "response heads"),
        (format!("HTTP/1.1 103 OK\r\nx: {long}\r\n\r\n"), "response heads"),
        ("HTTP/1.1 200 OK\r\na: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\n\r\n".to_owned(), "header fields"),
        (chunked(&format!("1;{long}\r\n")), "chunk-size lines"),
        (chunked(&"1;yyyyyyyy\r\nA\r\n".repeat(3)), "chunk extensions"),
        (chunked(&format!("0\r\nx: {long}\r\n\r\n")), "trailers"),
        (chunked("0\r\na: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\n\r\n"), "trailer fields"),
        ("HTTP/1.1 103 x\r\n\r\n".repeat(3), "interim responses"),
    ] {
        let scenario = || Scenario::with(Config { limits, ..Config::default() }).get();
        let outcome = however_cut(scenario, &bytes, None);
        assert_eq!(outcome.failure().reason, CloseReason::LimitExceeded(limit), "{bytes:?}");
        assert_eq!(outcome.orders, [LeavePool, FailExchanges, COMPLAINT]);
    }
}

/// What is here is too few to make anything of, so more must be read, whatever the caller is behind.
#[test]
fn a_head_larger_than_what_is_read_ahead_is_still_read() {
    let limits = Limits { read_ahead: 16, ..Limits::default() };
    let scenario = || Scenario::with(Config { limits, ..Config::default() }).get();
    let long = "x".repeat(100);
    for rest in [
        format!("x: {long}\r\ncontent-length: 40\r\n\r\n{}", &long[..40]),
        format!("transfer-encoding: chunked\r\n\r\n28;x={long}\r\n{}\r\n0\r\ny: {long}\r\n\r\n", &long[..40]),
    ] {
        // In small reads, as a driver does them.
        let mut it = scenario();
        for piece in format!("HTTP/1.1 200 OK\r\n{rest}").as_bytes().chunks(7) {
            assert!(it.engine.wants_read());
            it.come_bytes(piece).read();
        }
        assert_eq!((it.seen.body.len(), it.state()), (40, State::Idle));
    }
}

#[test]
fn nothing_is_read_for_a_caller_that_takes_nothing() {
    let limits = Limits { read_ahead: 100, ..Limits::default() };
    let mut it = Scenario::with(Config { limits, ..Config::default() }).get();
    it.come("HTTP/1.1 200 OK\r\n\r\n").read();
    let mut given = 0;
    while it.engine.wants_read() {
        it.come("0123456789");
        given += 10;
    }
    assert_eq!(given, 100);
    it.read();
    assert!(it.engine.wants_read());
    assert_eq!(it.seen.body.len(), 100);
}

#[test]
fn a_piece_of_a_body_is_never_larger_than_what_is_read_ahead() {
    let limits = Limits { read_ahead: 4, ..Limits::default() };
    for response in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123456789",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n123456789",
    ] {
        let mut it = Scenario::with(Config { limits, ..Config::default() }).get();
        it.come(response);
        let pieces = std::iter::from_fn(|| it.engine.poll_event(it.now)).filter_map(|event| match event {
            Event::Data(data) => Some(data.len()),
            _ => None,
        });
        assert_eq!(pieces.collect::<Vec<_>>(), [4, 4, 1], "{response}");
    }
}
