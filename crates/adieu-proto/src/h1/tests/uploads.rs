//! Request bodies, `Expect: 100-continue`, final responses that come early, broken writes.

use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const TOO_LARGE: &str = "HTTP/1.1 413 x\r\ncontent-length: 2\r\n\r\nno";
/// After a whole response to a request that never will be.
const CUT: [Action; 3] = [LeavePool, FailExchanges, RESET];
const UNAUTHORIZED: &str = "HTTP/1.1 401 x\r\ncontent-length: 2\r\n\r\nno";

fn with(early_response: EarlyResponse) -> Config {
    Config { early_response, ..Config::default() }
}

/// The rest of the body of [`Scenario::sending_body`].
fn finish(it: &mut Scenario) -> &mut Scenario {
    it.give("56789").flush()
}

#[test]
fn a_body_is_on_the_wire_as_its_framing_promised() {
    let mut it = Scenario::sending_body();
    finish(&mut it).come(OK).read();
    assert_eq!(it.sent(), "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n0123456789");
    assert_eq!(it.state(), State::Idle);

    let mut it = it.ask(Request::put("http://h/"), None);
    it.give("hello").flush().give("").give(" world").flush();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", 7.into());
    trailers.insert("content-length", 9.into());
    it.engine.end_body(it.now, Some(trailers)).unwrap();
    it.flush().come(OK).read();
    assert_eq!(
        it.sent(),
        "PUT / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n\
         5\r\nhello\r\n6\r\n world\r\n0\r\nx-sum: 7\r\n\r\n"
    );
    assert_eq!((it.state(), it.engine.life().exchanges()), (State::Idle, (2, 0)));
}

#[test]
fn an_empty_body_is_whole_with_its_head() {
    let mut it = Scenario::open().ask(Request::post("http://h/"), Some(0)).flushed();
    assert_eq!((it.engine.phase(), it.engine.owes_body()), (ExchangePhase::AwaitingResponse, false));
    assert_eq!(it.sent(), "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n");
    it.end_body().come(OK).read();
    assert_eq!(it.state(), State::Idle);
}

/// Small pieces are copied, large ones are not; the wire must not tell.
#[test]
fn the_wire_is_the_same_however_little_the_transport_takes() {
    let pieces = ["a".to_owned(), "b".repeat(1023), "c".repeat(1024), "d".repeat(5000), "e".repeat(3)];
    let sent = |length: Option<u64>, most: usize| {
        let mut it = Scenario::open().ask(Request::post("http://h/"), length);
        for piece in &pieces {
            while !it.engine.wants_body() {
                it.take(most);
            }
            it.give(piece);
        }
        while length.is_none() && !it.engine.wants_body() {
            it.take(most);
        }
        it.end_body();
        while it.engine.wants_write() {
            it.take(most);
        }
        assert_eq!(it.engine.phase(), ExchangePhase::AwaitingResponse);
        it.sent()
    };
    for length in [None, Some(7051)] {
        let whole = sent(length, usize::MAX);
        for most in [1, 2, 3, 7, 100, 1023, 1024, 1025] {
            assert_eq!(sent(length, most), whole, "{most} at a time");
        }
    }
}

#[test]
fn a_request_body_that_does_not_fit_its_length() {
    let mut it = Scenario::sending_body();
    assert_eq!(it.engine.send_data(it.now, Bytes::from_static(b"567890")), Err(BodyMisfit::TooLong));
    it.read().obey();
    assert_eq!(it.failure().reason, CloseReason::RequestBodyFailed);
    assert_eq!(
        (it.orders.as_slice(), it.engine.wants_write()),
        (&[LeavePool, FailExchanges, RESET][..], false)
    );

    let mut it = Scenario::sending_body();
    assert_eq!(it.engine.end_body(it.now, None), Err(BodyMisfit::TooShort));
    it.read().obey();
    assert_eq!(it.failure().reason, CloseReason::RequestBodyFailed);
    assert_eq!(it.orders, [LeavePool, FailExchanges, RESET]);
}

#[test]
fn a_request_body_that_fails() {
    for scenario in [Scenario::sending_head, Scenario::awaiting_continue, Scenario::sending_body] {
        let mut it = scenario();
        it.engine.fail_body(it.now);
        it.read().obey();
        assert_eq!(
            (&it.failure().reason, it.reason()),
            (&CloseReason::RequestBodyFailed, Some(&it.failure().reason))
        );
        assert_eq!(it.orders, [LeavePool, FailExchanges, RESET]);
    }
    // Of a request of which nothing was sent, nothing is cut short.
    let mut it = Scenario::unsent();
    it.engine.fail_body(it.now);
    it.obey();
    assert_eq!((it.orders.as_slice(), it.wire.len()), (&[LeavePool, FailExchanges, FAREWELL][..], 0));
}

/// The body was asked for, and the request given up while it was being produced.
#[test]
fn a_piece_that_comes_too_late_is_dropped() {
    let mut it = Scenario::sending_body();
    assert!(it.engine.wants_body());
    it.come(TOO_LARGE).read();
    it.engine.send_data(it.now, Bytes::from_static(b"56789")).unwrap();
    it.engine.end_body(it.now, None).unwrap();
    assert!(!it.engine.wants_write());
}

// Expect: 100-continue (RFC 9110 section 10.1.1).

#[test]
fn expect_100_continue_and_100_comes() {
    let mut it = Scenario::awaiting_continue();
    assert_eq!((it.engine.phase(), it.engine.wants_body()), (ExchangePhase::AwaitingContinue, false));
    it.come("HTTP/1.1 103 x\r\n\r\n").read();
    assert!(!it.engine.wants_body(), "another interim response asks for nothing");
    it.come("HTTP/1.1 100 Continue\r\n\r\n").read();
    it.give("0123456789").flush().come(OK).read();
    assert_eq!((it.state(), it.seen.interim.as_slice()), (State::Idle, &[103, 100][..]));
}

/// Sending 417 or 401 before the body is the very purpose of it: the connection cannot be used again, for what
/// would follow on it would be read as that body.
#[test]
fn expect_100_continue_and_a_final_response_comes_first() {
    for early_response in [EarlyResponse::StopUnlessSuccess, EarlyResponse::Stop, EarlyResponse::Finish] {
        for response in ["HTTP/1.1 417 x\r\ncontent-length: 2\r\n\r\nno", OK] {
            let scenario = || Scenario::awaiting_continue_with(with(early_response));
            let outcome = however_cut(scenario, response, None);
            assert!(outcome.whole);
            assert_eq!((&outcome.reason, outcome.exchanges), (&Some(CloseReason::UploadStopped), (1, 0)));
            assert_eq!((outcome.orders.as_slice(), outcome.ended), (&CUT[..], Some(Ended::Aborted)));
        }
    }
}

#[test]
fn expect_100_continue_and_the_time_runs_out() {
    let mut it = Scenario::awaiting_continue();
    assert_eq!(it.deadline(), Some(Duration::from_secs(1)));
    it.pass(Duration::from_secs(1));
    it.give("0123456789").flush().come("HTTP/1.1 100 Continue\r\n\r\n").come(OK).read();
    assert_eq!((it.state(), it.seen.interim.as_slice()), (State::Idle, &[100][..]));
}

#[test]
fn expect_100_continue_and_the_body_turns_out_to_be_empty() {
    let mut it =
        Scenario::open().ask(Request::post("http://h/").header("expect", "100-continue"), None).flushed();
    it.end_body().flush();
    assert!(it.sent().ends_with("\r\n\r\n0\r\n\r\n"));
    it.come(OK).read();
    assert_eq!(it.state(), State::Idle);
}

// Final responses that come early (RFC 9112 section 9.5).

#[test]
fn early_final_response_while_uploading() {
    use EarlyResponse::{Finish, Stop, StopUnlessSuccess};
    let close = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno";
    for (policy, response, stopped) in [
        (StopUnlessSuccess, TOO_LARGE, true),
        (StopUnlessSuccess, UNAUTHORIZED, true),
        (StopUnlessSuccess, close, true),
        (StopUnlessSuccess, OK, false),
        (Stop, OK, true),
        (Stop, TOO_LARGE, true),
        (Finish, TOO_LARGE, false),
        (Finish, OK, false),
    ] {
        let scenario = || Scenario::sending_body_with(with(policy));
        let outcome = however_cut(scenario, response, None);
        assert!(outcome.whole, "delivered in any case");
        if stopped {
            assert_eq!((outcome.state, &outcome.reason), (State::Closed, &Some(CloseReason::UploadStopped)));
            assert_eq!((outcome.orders, outcome.exchanges), (CUT.to_vec(), (1, 0)));
        } else {
            assert_eq!((outcome.state, outcome.orders, outcome.exchanges), (State::Active, vec![], (0, 0)));
            let mut it = scenario();
            it.come(response).read();
            assert!(it.engine.owes_body() && it.engine.wants_body());
            finish(&mut it);
            assert_eq!((it.state(), it.engine.life().exchanges()), (State::Idle, (1, 0)));
        }
    }
}

#[test]
fn a_stopped_upload_sends_nothing_more_while_the_response_is_read() {
    let mut it = Scenario::sending_body();
    it.sent();
    it.give("567").come("HTTP/1.1 413 x\r\ncontent-length: 2\r\n\r\n").read();
    assert!(!it.engine.wants_body() && !it.engine.wants_write() && !it.engine.owes_body());
    assert_eq!(it.note_orders().orders, [LeavePool], "the response is read to its end first");
    it.come("no").read().obey();
    assert_eq!((it.sent(), it.orders), (String::new(), CUT.to_vec()));
}

/// Also when every byte is staged and only the transport is slow.
#[test]
fn an_early_final_response_stops_what_only_the_transport_holds_up() {
    let mut it = Scenario::sending_body();
    it.give("56789").come(TOO_LARGE).read().obey();
    assert_eq!((it.seen.body.as_str(), it.orders.as_slice()), ("no", &CUT[..]));
}

#[test]
fn peer_half_closes_with_our_request_body_open() {
    // After a whole response: the upload goes on, and nothing is read in a loop.
    let mut it = Scenario::sending_body();
    it.come(OK).read().peer_ends(FIN);
    assert_eq!((it.state(), it.engine.wants_read()), (State::Draining { theirs: Side::Ended }, false));
    assert!(it.engine.poll_event(it.now).is_none() && it.deadline().is_none());
    finish(&mut it).obey();
    assert_eq!(
        (it.orders.as_slice(), it.engine.life().ended()),
        (&[LeavePool, FAREWELL, DROP][..], Some(Ended::Clean))
    );
    assert_eq!(it.engine.life().exchanges(), (1, 0));

    // With a body that only this end could end.
    let mut it = Scenario::sending_body();
    it.come("HTTP/1.1 200 OK\r\n\r\nhello").peer_ends(FIN).read();
    assert_eq!((it.seen.body.as_str(), it.engine.is_response_whole()), ("hello", true));
    finish(&mut it).obey();
    assert_eq!(it.orders, [LeavePool, FAREWELL, DROP]);
}

// Broken writes.

/// RFC 9112 section 9.6: a response may be on its way, or here, when the write breaks.
#[test]
fn write_breaks_and_the_response_is_read() {
    for scenario in [Scenario::sending_head, Scenario::awaiting_continue, Scenario::sending_body] {
        let broken = || {
            let mut it = scenario();
            it.write_breaks(RST);
            it
        };
        assert!(!broken().engine.wants_write());
        for end in [None, Some(RST), Some(FIN)] {
            let outcome = however_cut(broken, TOO_LARGE, end);
            assert_eq!((outcome.body(), outcome.exchanges), ("no", (1, 0)));
            assert_eq!((&outcome.reason, outcome.ended), (&Some(CloseReason::Reset), Some(Ended::Reset)));
            assert_eq!(outcome.orders, CUT);
        }
        // A body that only the connection's end ends.
        let outcome = however_cut(broken, "HTTP/1.1 413 x\r\n\r\nno", Some(FIN));
        assert_eq!(outcome.body(), "no");
        // The response was here before the write broke.
        let mut it = scenario();
        it.come(TOO_LARGE).write_breaks(RST).read().obey();
        assert_eq!((it.seen.body.as_str(), it.orders.as_slice()), ("no", &CUT[..]));
    }
}

#[test]
fn write_breaks_and_no_response_comes() {
    for (end, reason) in [(FIN, CloseReason::PeerEndedEarly), (RST, CloseReason::Reset)] {
        let broken = || {
            let mut it = Scenario::sending_body();
            it.write_breaks(RST);
            it
        };
        for bytes in ["", "HTTP/1.1 413 x\r\ncontent-le", TOO_LARGE.strip_suffix('o').unwrap()] {
            let outcome = however_cut(broken, bytes, Some(end));
            assert_eq!((&outcome.failure().reason, &outcome.reason), (&reason, &Some(CloseReason::Reset)));
            assert_eq!(
                (outcome.orders.as_slice(), outcome.exchanges),
                (&[LeavePool, FailExchanges, RESET][..], (0, 1))
            );
        }
    }
}

#[test]
fn write_breaks_after_the_peers_end_behind_an_untaken_response() {
    let mut it = Scenario::sending_body();
    it.come(TOO_LARGE).peer_ends(RST).write_breaks(RST).read().obey();
    assert_eq!((it.seen.body.as_str(), it.engine.life().exchanges()), ("no", (1, 0)));

    let mut it = Scenario::sending_body();
    it.come("HTTP/1.1 4").peer_ends(RST).write_breaks(RST).read().obey();
    assert_eq!((&it.failure().reason, it.state()), (&CloseReason::Reset, State::Closed));
}

/// Nobody else would notice: the response is whole, and only the upload is left to end the exchange.
#[test]
fn write_breaks_after_a_whole_response() {
    for end in [RST, TransportEnd::Failed(ErrorKind::TimedOut)] {
        for peer_ended in [false, true] {
            let mut it = Scenario::sending_body();
            it.come(OK).read();
            if peer_ended {
                it.peer_ends(FIN);
            }
            it.write_breaks(end).read().obey();
            assert_eq!((it.state(), it.engine.life().exchanges()), (State::Closed, (1, 0)));
            assert_eq!((it.orders.as_slice(), &it.seen.failure), (&CUT[..], &None));
        }
    }
}

/// The same, seen by a read.
#[test]
fn the_peer_resets_after_a_whole_response() {
    let outcome = however_cut(Scenario::sending_body, OK, Some(RST));
    assert_eq!((outcome.body(), outcome.exchanges), ("ok", (1, 0)));
    assert_eq!((outcome.reason, outcome.ended), (Some(CloseReason::Reset), Some(Ended::Reset)));
    assert_eq!(outcome.orders, [LeavePool, FailExchanges, DROP]);
}

/// Nothing more will come, but what is here is still delivered.
#[test]
fn the_network_fails_under_a_write() {
    let (end, reason) =
        (TransportEnd::Failed(ErrorKind::TimedOut), CloseReason::Network(ErrorKind::TimedOut));
    let mut it = Scenario::sending_body();
    it.come(TOO_LARGE).write_breaks(end).read().obey();
    assert_eq!((it.seen.body.as_str(), it.reason()), ("no", Some(&reason)));
    assert_eq!((it.state(), it.engine.life().exchanges()), (State::Closed, (1, 0)));

    for bytes in ["", "HTTP/1.1 413 x\r\n"] {
        let mut it = Scenario::sending_body();
        it.come(bytes).write_breaks(end).read().obey();
        assert_eq!((&it.failure().reason, it.reason()), (&reason, Some(&reason)));
        assert_eq!((it.failure().facts.read_end, it.state()), (ReadEnd::Failed, State::Closed));
    }
}

#[test]
fn a_write_that_breaks_before_anything_was_sent() {
    let mut it = Scenario::unsent();
    it.write_breaks(RST).peer_ends(RST).read().obey();
    assert_eq!((&it.failure().reason, it.failure().facts.handed), (&CloseReason::Reset, 0));
    assert_eq!((it.state(), it.sent().as_str()), (State::Closed, ""));
}

/// RFC 9110 section 7.8: the client cannot change the protocol in the middle of a message.
#[test]
fn a_switch_of_protocols_before_the_request_is_whole() {
    let upload = || {
        let request = Request::post("http://h/").header("connection", "upgrade").header("upgrade", "x");
        let mut it = Scenario::open().ask(request, Some(10));
        it.give("01234");
        it.flushed()
    };
    let outcome = however_cut(upload, "HTTP/1.1 101 x\r\nupgrade: x\r\n\r\n", None);
    let reason = CloseReason::ProtocolError("a switch of protocols before the request was whole");
    assert_eq!(outcome.failure().reason, reason);
    assert_eq!(outcome.orders, [LeavePool, FailExchanges, RESET]);
}
