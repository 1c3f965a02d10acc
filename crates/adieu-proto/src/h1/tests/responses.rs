//! Where a response ends, and what becomes of the connection then.

use http::{Request, Version, request};

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\n";

/// The outcome of a GET whose response is an OK with these bytes after its first line.
#[track_caller]
fn ok(rest: &str) -> Outcome {
    however_cut(Scenario::awaiting_response, &format!("{OK}{rest}"), None)
}

#[track_caller]
fn assert_reusable(outcome: &Outcome) {
    assert_eq!((outcome.state, &outcome.reason, outcome.exchanges), (State::Idle, &None, (1, 0)));
    assert_eq!(outcome.orders, []);
}

/// The connection was retired for this reason, and says goodbye once the response is whole.
#[track_caller]
fn assert_retired(outcome: &Outcome, reason: CloseReason) {
    assert_eq!((outcome.state, outcome.exchanges), (State::Lingering, (1, 0)));
    assert_eq!((&outcome.reason, &outcome.orders[..]), (&Some(reason), &[LeavePool, FAREWELL][..]));
}

/// RFC 9112 section 6.3: the body's end by its length, by the last chunk, or none at all.
#[test]
fn a_response_with_a_known_end_leaves_the_connection_idle() {
    for (rest, size, body) in [
        ("content-length: 5\r\n\r\nhello", BodySize::Known(5), "hello"),
        ("content-length: 5, 5\r\ncontent-length: 5\r\n\r\nhello", BodySize::Known(5), "hello"),
        ("content-length: 0\r\n\r\n", BodySize::Known(0), ""),
        ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", BodySize::Unknown, "hello"),
        ("transfer-encoding: gzip, Chunked\r\n\r\n0\r\n\r\n", BodySize::Unknown, ""),
        ("connection: keep-alive\r\ncontent-length: 1\r\n\r\n1", BodySize::Known(1), "1"),
    ] {
        let outcome = ok(rest);
        assert_eq!((outcome.body(), outcome.seen.size), (body, Some(size)), "{rest}");
        assert_reusable(&outcome);
    }
}

#[test]
fn chunk_extensions_are_skipped_and_trailers_are_told() {
    let outcome = ok("transfer-encoding: chunked\r\n\r\n\
        5;name=\"v\"\r\nhello\r\n00006 ; x\r\n world\r\n0;last\r\nx-sum: 7\r\ny: z\r\n\r\n");
    assert_eq!(outcome.body(), "hello world");
    let trailers = outcome.seen.trailers.as_ref().unwrap();
    assert_eq!((trailers.len(), &trailers["x-sum"]), (2, &"7".parse().unwrap()));
    assert_reusable(&outcome);
}

/// RFC 9112 section 6.3, rule 1: whatever the fields say.
#[test]
fn some_responses_never_have_a_body() {
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304), ("HEAD", 404)] {
        for fields in ["content-length: 10\r\n", "transfer-encoding: chunked\r\n", ""] {
            let outcome = however_cut(
                || Scenario::asked(method),
                &format!("HTTP/1.1 {status} x\r\n{fields}\r\n"),
                None,
            );
            assert_eq!((outcome.body(), outcome.seen.size), ("", Some(BodySize::Known(0))));
            assert_reusable(&outcome);
        }
    }
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    let outcome = however_cut(Scenario::awaiting_response, &format!("{OK}\r\nhello"), Some(FIN));
    assert_eq!((outcome.body(), outcome.state), ("hello", State::Closed));
    assert_eq!((outcome.reason, outcome.ended), (Some(CloseReason::BodyUntilClose), Some(Ended::Clean)));
    assert_eq!((outcome.orders, outcome.exchanges), (vec![LeavePool, FAREWELL, DROP], (1, 0)));
    // Also with another transfer coding than chunked, and with nothing in it.
    let outcome =
        however_cut(Scenario::awaiting_response, &format!("{OK}transfer-encoding: gzip\r\n\r\nx"), Some(FIN));
    assert_eq!(outcome.body(), "x");
    let outcome = however_cut(Scenario::awaiting_response, &format!("{OK}\r\n"), Some(FIN));
    assert_eq!((outcome.body(), outcome.exchanges), ("", (1, 0)));
}

#[test]
fn a_body_without_a_length_is_not_whole_before_the_connection_ends() {
    let outcome = ok("\r\nhello");
    assert!(!outcome.whole);
    assert_eq!(
        (outcome.seen.body.as_str(), outcome.state),
        ("hello", State::Draining { theirs: Side::Open })
    );
}

/// RFC 9112 section 9.3.
#[test]
fn connection_close_and_http_1_0() {
    let closed = |asked: fn(request::Builder) -> request::Builder, response: &str| {
        let scenario = || Scenario::open().ask(asked(Request::get("http://h/")), Some(0)).flushed();
        however_cut(scenario, response, None)
    };
    let plain: fn(request::Builder) -> _ = |request| request;
    let old: fn(request::Builder) -> _ = |request| request.version(Version::HTTP_10);
    let old_alive: fn(request::Builder) -> _ =
        |request| request.version(Version::HTTP_10).header("connection", "keep-alive");
    let last: fn(request::Builder) -> _ = |request| request.header("connection", "x, Close");

    // The peer announced its end: it gets the moment to go first.
    for (asked, response) in [
        (plain, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx"),
        (
            plain,
            "HTTP/1.1 200 OK\r\nconnection: keep-alive, x\r\nconnection: CLOSE\r\ncontent-length: 1\r\n\r\nx",
        ),
        (plain, "HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx"),
        (old, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"),
        (old_alive, "HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx"),
    ] {
        let outcome = closed(asked, response);
        assert_eq!((outcome.body(), outcome.state), ("x", State::Yielding), "{response}");
        assert_eq!((outcome.reason, outcome.orders), (Some(CloseReason::PeerAskedClose), vec![LeavePool]));
    }
    for (asked, response) in [
        (plain, "HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 1\r\n\r\nx"),
        (old_alive, "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx"),
    ] {
        assert_reusable(&closed(asked, response));
    }
    // RFC 9112 section 9.6: a client that sent close must close after the final response.
    let outcome = closed(last, "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx");
    assert_retired(&outcome, CloseReason::RequestAskedClose);
    let outcome = closed(last, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx");
    assert_eq!((outcome.state, outcome.reason), (State::Yielding, Some(CloseReason::RequestAskedClose)));
}

#[test]
fn an_http_1_0_response_without_a_length_ends_with_the_connection() {
    let outcome = however_cut(Scenario::awaiting_response, "HTTP/1.0 200 OK\r\n\r\nhello", Some(FIN));
    assert_eq!(outcome.body(), "hello");
    // The peer went first, as announced.
    assert_eq!((outcome.reason, outcome.ended), (Some(CloseReason::PeerAskedClose), Some(Ended::Clean)));
    assert_eq!(outcome.orders, [LeavePool, FAREWELL, DROP]);
}

/// RFC 9112 section 6.1: the message stands, the connection does not.
#[test]
fn te_and_cl() {
    let outcome = ok("transfer-encoding: chunked\r\ncontent-length: 9\r\n\r\n1\r\nx\r\n0\r\n\r\n");
    assert_eq!(outcome.body(), "x");
    let reason = CloseReason::ProtocolError("Transfer-Encoding and Content-Length in one response");
    assert_retired(&outcome, reason);
}

#[test]
fn transfer_encoding_on_http_1_0() {
    let head =
        "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    let outcome = however_cut(Scenario::awaiting_response, head, None);
    assert_eq!(outcome.body(), "x");
    assert_retired(&outcome, CloseReason::ProtocolError("Transfer-Encoding in an HTTP/1.0 response"));
}

#[test]
fn any_number_of_interim_responses_before_the_final_one() {
    let interim =
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 199 x\r\n\r\n";
    let outcome =
        however_cut(Scenario::awaiting_response, &format!("{interim}{OK}content-length: 1\r\n\r\nx"), None);
    assert_eq!((outcome.seen.interim.as_slice(), outcome.body()), (&[103, 100, 199][..], "x"));
    assert_reusable(&outcome);

    let many = |n| "HTTP/1.1 102 x\r\n\r\n".repeat(n) + OK + "content-length: 0\r\n\r\n";
    assert_reusable(&however_cut(Scenario::awaiting_response, &many(32), None));
    let outcome = however_cut(Scenario::awaiting_response, &many(33), None);
    assert_eq!(outcome.failure().reason, CloseReason::LimitExceeded("interim responses"));
    assert_eq!((outcome.seen.interim.len(), outcome.seen.status), (32, None));
}

#[test]
fn an_interim_response_after_the_final_one_answers_no_request() {
    let outcome = ok("content-length: 1\r\n\r\nxHTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(outcome.body(), "x");
    assert_retired(&outcome, CloseReason::UnexpectedData);
}

#[test]
fn bytes_on_an_idle_connection_answer_no_request() {
    for idle in [Scenario::open, || {
        let mut it = Scenario::awaiting_response();
        it.come("HTTP/1.1 204 x\r\n\r\n").read();
        it
    }] {
        for bytes in ["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "x", "HTTP/1.1 400 x\r\n\r\n"] {
            let outcome = however_cut(idle, bytes, None);
            assert_eq!(
                (outcome.reason, outcome.orders),
                (Some(CloseReason::UnexpectedData), vec![LeavePool, FAREWELL])
            );
        }
    }
}

/// RFC 9110 section 15.5.9: some peers say so when they end an idle connection.
#[test]
fn request_timeout_on_an_idle_connection_is_a_normal_end() {
    for version in ["1.0", "1.1"] {
        let bytes = format!("HTTP/{version} 408 Request Timeout\r\nconnection: close\r\n\r\n");
        let outcome = however_cut(Scenario::open, &bytes, Some(FIN));
        assert_eq!((outcome.reason, outcome.ended), (Some(CloseReason::PeerClosedIdle), Some(Ended::Clean)));
    }
    // It may come right behind a response, too.
    let outcome = ok("content-length: 1\r\n\r\nxHTTP/1.1 408 Request Timeout\r\n\r\n");
    assert_retired(&outcome, CloseReason::PeerClosedIdle);
}

#[test]
fn nothing_begins_behind_bytes_that_may_become_something() {
    let mut it = Scenario::open();
    it.come("HTTP/1.1");
    assert_eq!(it.state(), State::Idle);
    it.come(" 40");
    assert_eq!(it.state(), State::Idle);
    let (head, ()) = Request::get("http://h/").body(()).unwrap().into_parts();
    let refused = it.engine.begin(it.now, &head, Some(0));
    assert_eq!(refused, Err(NotOpen::Ending(CloseReason::UnexpectedData)));
    assert_eq!((it.obey().state(), &it.orders[..]), (State::Lingering, &[LeavePool, FAREWELL][..]));
}

#[test]
fn what_came_while_idle_is_judged_as_soon_as_it_can_be() {
    let mut it = Scenario::open();
    it.come("HTTP/1.1 408");
    assert_eq!(it.reason(), Some(&CloseReason::PeerClosedIdle));
}

/// What is here before anything of the request was sent cannot be its response.
#[test]
fn bytes_that_come_before_the_request_answer_no_request() {
    let outcome = however_cut(Scenario::unsent, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", None);
    assert_eq!(
        (&outcome.failure().reason, outcome.failure().facts.handed),
        (&CloseReason::UnexpectedData, 0)
    );
    assert_eq!(outcome.orders, [LeavePool, FailExchanges, FAREWELL]);
}

#[test]
fn one_exchange_after_another() {
    let mut it = Scenario::open();
    for number in 1..=3 {
        it = it.get();
        it.come("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").read().come("hi").read();
        assert_eq!((it.state(), it.engine.exchange(), it.seen.body.as_str()), (State::Idle, number, "hi"));
    }
    assert_eq!(it.sent(), "GET / HTTP/1.1\r\nhost: h\r\n\r\n".repeat(3));
    // The peer ends the idle connection.
    it.peer_ends(FIN).obey();
    assert_eq!((it.state(), it.reason()), (State::Closed, Some(&CloseReason::PeerClosedIdle)));
    assert_eq!(it.orders, [LeavePool, FAREWELL, DROP]);
    let report = it.engine.report(it.now, crate::lifecycle::ConnectionId::new(1));
    assert_eq!((report.exchanges, report.bytes_sent, report.ended), (3, 81, Ended::Clean));
}

#[test]
fn only_one_exchange_at_a_time() {
    let mut it = Scenario::receiving_body();
    let (head, ()) = Request::get("http://h/").body(()).unwrap().into_parts();
    assert_eq!(it.engine.begin(it.now, &head, Some(0)), Err(NotOpen::Busy));
    it.close(CloseMode::graceful());
    let user = CloseReason::User(CloseKind::Graceful);
    assert_eq!(it.engine.begin(it.now, &head, Some(0)), Err(NotOpen::Ending(user.clone())));
    it.come("llo").read().obey();
    assert_eq!(it.engine.begin(it.now, &head, Some(0)), Err(NotOpen::Ending(user)));
}

#[test]
fn what_cannot_be_sent_leaves_the_connection_as_it_was() {
    let mut it = Scenario::open();
    let (head, ()) = Request::get("/").body(()).unwrap().into_parts();
    assert!(matches!(it.engine.begin(it.now, &head, Some(0)), Err(NotOpen::Unsendable(_))));
    assert!(!it.engine.wants_write());
    it = it.get();
    assert_eq!(it.sent(), "GET / HTTP/1.1\r\nhost: h\r\n\r\n");
}

/// The facts tell a fresh connection from a used one, and where on the wire a request began.
#[test]
fn the_facts_of_the_second_exchange_count_from_its_own_start() {
    let mut it = Scenario::awaiting_response();
    it.come("HTTP/1.1 204 x\r\n\r\n").read();
    it = it.get();
    it.peer_ends(FIN).read();
    let facts = it.failure().facts;
    assert_eq!((facts.reused, facts.handed_before, facts.handed, facts.head), (Use::Reused, 27, 27, 27));
}

#[test]
fn an_upgrade_hands_over_what_came_with_it() {
    let asked = || {
        let request = Request::get("http://h/").header("connection", "Upgrade").header("upgrade", "x");
        Scenario::open().ask(request, Some(0)).flushed()
    };
    for (scenario, head) in [
        (&asked as &dyn Fn() -> Scenario, "HTTP/1.1 101 x\r\nupgrade: x\r\n\r\n"),
        (&|| Scenario::asked("CONNECT"), "HTTP/1.1 200 x\r\ncontent-length: 3\r\n\r\n"),
    ] {
        let outcome = however_cut(scenario, head, None);
        assert_eq!(outcome.seen.size, Some(BodySize::Upgrade));
        let open = State::Upgraded { ours: Side::Open, theirs: Side::Open };
        assert_eq!((outcome.state, outcome.orders, outcome.exchanges), (open, vec![LeavePool], (1, 0)));

        let mut it = scenario();
        it.come(head).come("leftover").read();
        assert_eq!(it.engine.take_leftover(), "leftover");
        assert!(!it.engine.wants_read(), "the holder reads the transport itself");
    }
}

/// The holder of a tunnel must not lose an end that came in the same breath as the leftover.
#[test]
fn the_end_behind_a_leftover_can_still_be_asked_for() {
    let mut it = Scenario::asked("CONNECT");
    it.come("HTTP/1.1 200 x\r\n\r\nleftover").peer_ends(RST).read();
    assert_eq!((it.engine.take_leftover().as_ref(), it.engine.read_end()), (&b"leftover"[..], Some(RST)));
    it.engine.handle_read_end(it.now, RST);
    it.obey();
    assert_eq!((it.state(), it.engine.life().ended()), (State::Closed, Some(Ended::Reset)));
}

#[test]
fn an_upgraded_connection_ends_side_by_side() {
    let mut it = Scenario::asked("CONNECT");
    it.come("HTTP/1.1 200 x\r\n\r\n").read();
    // Its traffic counts, and is no exchange any more.
    it.engine.handle_sent(it.now, 5);
    it.engine.handle_read_end(it.now, FIN);
    assert_eq!(it.obey().state(), State::Upgraded { ours: Side::Open, theirs: Side::Ended });
    it.engine.end_ours(it.now);
    it.obey();
    assert_eq!((it.state(), it.reason()), (State::Closed, Some(&CloseReason::Upgraded)));
    assert_eq!(it.orders, [LeavePool, FAREWELL, DROP]);
}

#[test]
fn another_status_to_connect_is_an_ordinary_response() {
    let outcome =
        however_cut(|| Scenario::asked("CONNECT"), "HTTP/1.1 407 x\r\ncontent-length: 2\r\n\r\nno", None);
    assert_eq!(outcome.body(), "no");
    assert_reusable(&outcome);
}
