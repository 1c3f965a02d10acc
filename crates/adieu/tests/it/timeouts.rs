//! Each phase has its limit: it passes at its moment, names itself, ends the connection as it should, and `None` never
//! passes. All on a paused clock.

use std::pin::pin;
use std::time::Duration;

use adieu::conn::http1::{Builder, Connection, SendRequest};
use adieu::{
    Blame, CloseKind, CloseMode, CloseReason, Ended, Error, ErrorKind, ExchangePhase, Phase, Signal, State,
};
use adieu_testkit::memory::{MemoryEnd, PairBuilder};
use http_body_util::BodyExt;

use crate::support::{
    ask, beside, clock, get, handed_body, in_memory_over, in_memory_with, in_time, pass, piece, poll_once,
    post, read, settle, upload, watch_for_hangs, within,
};

const DAY: Duration = Duration::from_secs(86_400);
const SMALL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

async fn connect(builder: &Builder) -> (SendRequest, Connection, MemoryEnd) {
    watch_for_hangs();
    in_memory_with(builder).await
}

/// As many as fit before anything but the head was taken.
async fn connect_narrow(buffer: usize, builder: &Builder) -> (SendRequest, Connection, MemoryEnd) {
    watch_for_hangs();
    in_memory_over(PairBuilder::new().buffer(buffer), builder).await
}

/// Everything off, so that a test turns on what it is about.
fn unlimited() -> Builder {
    let builder = Builder::new().write_stall_timeout(None).continue_timeout(None).response_head_timeout(None);
    builder.body_gap_timeout(None).exchange_timeout(None)
}

/// A timer of tokio's is due within a millisecond after its moment, never before.
#[track_caller]
fn assert_after(began: tokio::time::Instant, limit: Duration) {
    let took = clock().duration_since(began);
    assert!(took >= limit && took <= limit + ms(3), "after {took:?} instead of {limit:?}");
}

#[track_caller]
fn assert_timed_out(error: &Error, phase: Phase) {
    assert_eq!(error.kind(), ErrorKind::Timeout(phase), "{error:?}");
    assert!(error.is_timeout());
    let text = error.to_string();
    assert!(text.starts_with("timed out: ") && text.contains(&phase.to_string()), "{text}");
    assert!(!text.contains('\n'), "{text}");
    assert!(error.connection().is_some() && error.facts().is_some(), "{error:?}");
}

/// The request was cut short: the peer sees a reset, and no FIN before it.
async fn assert_reset(connection: &Connection, peer: &mut MemoryEnd, phase: Phase) {
    let report = in_time(connection.closed()).await;
    assert_eq!((&report.reason, report.ended), (&CloseReason::TimedOut(phase), Ended::Aborted), "{report}");
    assert!(report.sent.contains(Signal::Rst) && !report.sent.contains(Signal::Fin), "{report}");
    assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Reset);
}

/// The request was whole: the peer sees a FIN, and its own is waited for.
async fn assert_goodbye(connection: &Connection, peer: &mut MemoryEnd, phase: Phase) {
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
    assert_eq!(connection.state(), State::Lingering);
    peer.fin().await.unwrap();
    let report = in_time(connection.closed()).await;
    assert_eq!((&report.reason, report.ended), (&CloseReason::TimedOut(phase), Ended::Clean), "{report}");
    assert!(report.sent.contains(Signal::Fin) && !report.sent.contains(Signal::Rst), "{report}");
    assert_eq!(report.failed, 1, "{report}");
}

// The write stall.

#[tokio::test(start_paused = true)]
async fn write_stall_in_the_head_resets() {
    let (mut sender, connection, mut peer) =
        connect_narrow(10, &unlimited().write_stall_timeout(Some(secs(7)))).await;
    let began = clock();
    let error = in_time(sender.send_request(get("/"))).await.unwrap_err();
    assert_after(began, secs(7));
    assert_timed_out(&error, Phase::WriteStall);
    assert_eq!((error.phase(), error.blame()), (ExchangePhase::SendingHead, Blame::Network));
    assert_eq!(error.facts().unwrap().handed, 10);
    assert_reset(&connection, &mut peer, Phase::WriteStall).await;
}

#[tokio::test(start_paused = true)]
async fn write_stall_before_the_first_byte_cuts_nothing_short() {
    let (mut sender, connection, mut peer) =
        connect_narrow(0, &unlimited().write_stall_timeout(Some(secs(7)))).await;
    let began = clock();
    let error = in_time(sender.send_request(get("/"))).await.unwrap_err();
    assert_after(began, secs(7));
    assert_timed_out(&error, Phase::WriteStall);
    assert_eq!(error.facts().unwrap().handed, 0);
    assert_goodbye(&connection, &mut peer, Phase::WriteStall).await;
}

#[tokio::test(start_paused = true)]
async fn write_stall_in_the_body_resets() {
    let (mut sender, connection, mut peer) =
        connect_narrow(1000, &unlimited().write_stall_timeout(Some(secs(60)))).await;
    let began = clock();
    let error = in_time(sender.send_request(post("/", vec![b'x'; 100_000]))).await.unwrap_err();
    assert_after(began, secs(60));
    assert_timed_out(&error, Phase::WriteStall);
    assert_eq!(error.phase(), ExchangePhase::SendingBody);
    assert_reset(&connection, &mut peer, Phase::WriteStall).await;
}

#[tokio::test(start_paused = true)]
async fn write_stall_begins_anew_with_each_byte_that_is_taken() {
    let (mut sender, connection, mut peer) =
        connect_narrow(1000, &unlimited().write_stall_timeout(Some(secs(60)))).await;
    let sending = beside(sender.send_request(post("/", vec![b'x'; 100_000])));
    for _ in 0..20 {
        pass(secs(59)).await;
        peer.read_exactly(1).await.unwrap();
    }
    settle().await;
    assert!(!sending.is_finished());
    let began = clock();
    let error = in_time(sending).await.unwrap().unwrap_err();
    assert_after(began, secs(60));
    assert_timed_out(&error, Phase::WriteStall);
    assert_reset(&connection, &mut peer, Phase::WriteStall).await;
}

#[tokio::test(start_paused = true)]
async fn write_stall_does_not_run_while_the_callers_body_is_silent() {
    let (mut sender, connection, mut peer) =
        connect_narrow(1000, &unlimited().write_stall_timeout(Some(secs(60)))).await;
    let (body, frames) = handed_body();
    let sending = beside(sender.send_request(upload(frames, None)));
    peer.read_head().await.unwrap();
    for _ in 0..3 {
        pass(DAY).await;
        assert!(!sending.is_finished());
        body.send(piece("word")).unwrap();
        peer.read_exactly(9).await.unwrap();
    }
    pass(DAY).await;
    let began = clock();
    body.send(piece(vec![b'x'; 10_000])).unwrap();
    let error = in_time(sending).await.unwrap().unwrap_err();
    assert_after(began, secs(60));
    assert_timed_out(&error, Phase::WriteStall);
    assert_reset(&connection, &mut peer, Phase::WriteStall).await;
}

#[tokio::test(start_paused = true)]
async fn write_stall_does_not_run_once_the_request_is_out() {
    let (mut sender, _connection, mut peer) = connect(&unlimited().write_stall_timeout(Some(ms(10)))).await;
    let sending = beside(sender.send_request(post("/", "whole")));
    pass(DAY).await;
    peer.send(SMALL).await.unwrap();
    assert_eq!(read(in_time(sending).await.unwrap().unwrap()).await.unwrap(), "hi");
}

#[tokio::test(start_paused = true)]
async fn write_stall_of_an_upload_that_outlives_the_head_of_its_response() {
    let (mut sender, connection, mut peer) = connect(&unlimited().write_stall_timeout(Some(secs(3)))).await;
    let (body, frames) = handed_body();
    let sending = beside(sender.send_request(upload(frames, None)));
    peer.read_head().await.unwrap();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await.unwrap();
    let response = in_time(sending).await.unwrap().unwrap();
    pass(DAY).await;
    assert_eq!(connection.state(), State::Active);
    let began = clock();
    body.send(piece(vec![b'x'; 200_000])).unwrap();
    let error = in_time(read(response)).await.unwrap_err();
    assert_after(began, secs(3));
    assert_timed_out(&error, Phase::WriteStall);
    assert_reset(&connection, &mut peer, Phase::WriteStall).await;
}

// The wait for 100 (Continue).

fn expecting(body: &'static str) -> http::Request<adieu::Body> {
    let mut request = post("/", body);
    request.headers_mut().insert("expect", http::HeaderValue::from_static("100-continue"));
    request
}

#[tokio::test(start_paused = true)]
async fn continue_wait_over_the_body_is_sent_all_the_same() {
    for (limit, answer_after) in [
        (Some(secs(1)), None),
        (Some(ms(1)), None),
        (Some(secs(90)), None),
        (Some(secs(1)), Some(ms(300))),
        (None, Some(DAY)),
    ] {
        let (mut sender, connection, mut peer) = connect(&unlimited().continue_timeout(limit)).await;
        let began = clock();
        let sending = beside(sender.send_request(expecting("held back")));
        peer.read_head().await.unwrap();
        settle().await;
        assert_eq!(connection.snapshot().phase, ExchangePhase::AwaitingContinue);
        let release = answer_after.or(limit).unwrap();
        if let Some(after) = answer_after {
            assert!(tokio::time::timeout(after, peer.read_exactly(1)).await.is_err(), "the body came early");
            peer.send("HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        }
        assert_eq!(in_time(peer.read_exactly(9)).await.unwrap(), b"held back");
        assert_after(began, release);
        peer.send(SMALL).await.unwrap();
        assert_eq!(read(in_time(sending).await.unwrap().unwrap()).await.unwrap(), "hi");
        assert_eq!(connection.state(), State::Idle);
    }
}

#[tokio::test(start_paused = true)]
async fn continue_wait_of_zero_does_not_wait() {
    let (mut sender, _connection, mut peer) =
        connect(&unlimited().continue_timeout(Some(Duration::ZERO))).await;
    let began = clock();
    let sending = beside(sender.send_request(expecting("held back")));
    peer.read_head().await.unwrap();
    assert_eq!(in_time(peer.read_exactly(9)).await.unwrap(), b"held back");
    assert_after(began, Duration::ZERO);
    peer.send(SMALL).await.unwrap();
    in_time(sending).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn response_head_timeout_runs_from_the_body_after_the_continue_wait() {
    let builder = unlimited().continue_timeout(Some(secs(10))).response_head_timeout(Some(secs(5)));
    let (mut sender, connection, mut peer) = connect(&builder).await;
    let began = clock();
    let error = in_time(sender.send_request(expecting("held back"))).await.unwrap_err();
    assert_after(began, secs(15));
    assert_timed_out(&error, Phase::ResponseHead);
    assert_goodbye(&connection, &mut peer, Phase::ResponseHead).await;
}

// The response head.

#[tokio::test(start_paused = true)]
async fn response_head_timeout_runs_from_the_last_byte_of_the_request() {
    let (mut sender, connection, mut peer) = connect(&unlimited().response_head_timeout(Some(secs(5)))).await;
    let (body, frames) = handed_body();
    let sending = beside(sender.send_request(upload(frames, Some(9))));
    for part in ["abc", "def", "ghi"] {
        pass(secs(100)).await;
        body.send(piece(part)).unwrap();
    }
    let began = clock();
    let error = in_time(sending).await.unwrap().unwrap_err();
    assert_after(began, secs(5));
    assert_timed_out(&error, Phase::ResponseHead);
    assert_eq!((error.phase(), error.blame()), (ExchangePhase::AwaitingResponse, Blame::Peer));
    assert_goodbye(&connection, &mut peer, Phase::ResponseHead).await;
}

#[tokio::test(start_paused = true)]
async fn response_head_timeout_is_begun_anew_by_an_interim_response() {
    let (mut sender, connection, mut peer) = connect(&unlimited().response_head_timeout(Some(secs(5)))).await;
    let sending = beside(sender.send_request(get("/")));
    for _ in 0..10 {
        pass(ms(4_900)).await;
        peer.send("HTTP/1.1 102 Processing\r\n\r\n").await.unwrap();
    }
    let began = clock();
    let error = in_time(sending).await.unwrap().unwrap_err();
    assert_after(began, secs(5));
    assert_timed_out(&error, Phase::ResponseHead);
    assert!(error.facts().unwrap().answered > 0);
    assert_goodbye(&connection, &mut peer, Phase::ResponseHead).await;
}

#[tokio::test(start_paused = true)]
async fn response_head_timeout_is_not_begun_anew_by_a_part_of_a_head() {
    let (mut sender, connection, mut peer) = connect(&unlimited().response_head_timeout(Some(secs(5)))).await;
    let began = clock();
    let sending = beside(sender.send_request(get("/")));
    peer.read_head().await.unwrap();
    for byte in b"HTTP/1.1 200 OK\r\nA-Drop: and-another" {
        peer.send([*byte]).await.unwrap();
        pass(ms(100)).await;
    }
    let error = in_time(sending).await.unwrap().unwrap_err();
    assert_after(began, secs(5));
    assert_timed_out(&error, Phase::ResponseHead);
    assert_goodbye(&connection, &mut peer, Phase::ResponseHead).await;
}

#[tokio::test(start_paused = true)]
async fn a_response_that_came_in_time_is_not_timed_out_because_its_caller_was_slow() {
    let (mut sender, connection, mut peer) = connect(&unlimited().response_head_timeout(Some(secs(5)))).await;
    let mut sending = pin!(sender.send_request(get("/")));
    assert!(poll_once(&mut sending).await.is_pending());
    peer.read_head().await.unwrap();
    pass(secs(2)).await;
    peer.send(SMALL).await.unwrap();
    // Busy with something else until long after the limit.
    pass(secs(60)).await;
    let response = in_time(sending).await.expect("the response was there after two seconds");
    assert_eq!(read(response).await.unwrap(), "hi");
    assert_eq!(connection.state(), State::Idle);
}

// The gap between two pieces of the body.

const LONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn body_gap_runs_while_the_reader_waits() {
    for head in [LONG, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"] {
        let (mut sender, connection, mut peer) = connect(&unlimited().body_gap_timeout(Some(secs(5)))).await;
        let response = ask(&mut sender, &mut peer, head).await;
        pass(secs(100)).await;
        let began = clock();
        let error = in_time(read(response)).await.unwrap_err();
        assert_after(began, secs(5));
        assert_timed_out(&error, Phase::BodyGap);
        assert_eq!(error.phase(), ExchangePhase::ReceivingBody);
        assert_goodbye(&connection, &mut peer, Phase::BodyGap).await;
    }
}

#[tokio::test(start_paused = true)]
async fn body_gap_in_a_body_until_close_keeps_the_first_cause_of_the_end() {
    let (mut sender, connection, mut peer) = connect(&unlimited().body_gap_timeout(Some(secs(5)))).await;
    let response = ask(&mut sender, &mut peer, "HTTP/1.1 200 OK\r\n\r\nso far").await;
    let began = clock();
    assert_timed_out(&in_time(read(response)).await.unwrap_err(), Phase::BodyGap);
    assert_after(began, secs(5));
    peer.fin().await.unwrap();
    let report = in_time(connection.closed()).await;
    assert_eq!((&report.reason, report.failed), (&CloseReason::BodyUntilClose, 1), "{report}");
}

#[tokio::test(start_paused = true)]
async fn body_gap_begins_anew_with_each_byte() {
    let (mut sender, connection, mut peer) = connect(&unlimited().body_gap_timeout(Some(secs(5)))).await;
    let response = ask(&mut sender, &mut peer, LONG).await;
    let reading = beside(read(response));
    for _ in 0..20 {
        pass(ms(4_900)).await;
        peer.send("x").await.unwrap();
    }
    settle().await;
    let began = clock();
    let error = in_time(reading).await.unwrap().unwrap_err();
    assert_after(began, secs(5));
    assert_timed_out(&error, Phase::BodyGap);
    assert_goodbye(&connection, &mut peer, Phase::BodyGap).await;
}

#[tokio::test(start_paused = true)]
async fn body_gap_does_not_run_while_nobody_reads() {
    let (mut sender, _connection, mut peer) = connect(&unlimited().body_gap_timeout(Some(secs(5)))).await;
    let mut body = ask(&mut sender, &mut peer, LONG).await.into_body();
    for _ in 0..10 {
        pass(secs(3600)).await;
        peer.send(vec![b'x'; 100]).await.unwrap();
        let frame = in_time(body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap().len(), 100);
    }
    assert!(in_time(body.frame()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn bytes_that_came_in_time_are_not_timed_out_because_their_reader_was_slow() {
    let (mut sender, _connection, mut peer) = connect(&unlimited().body_gap_timeout(Some(secs(5)))).await;
    let mut body = ask(&mut sender, &mut peer, LONG).await.into_body();
    assert!(poll_once(&mut body.frame()).await.is_pending());
    pass(secs(2)).await;
    peer.send(vec![b'x'; 1000]).await.unwrap();
    pass(secs(60)).await;
    let frame = in_time(body.frame()).await.unwrap().expect("the bytes were there after two seconds");
    assert_eq!(frame.into_data().unwrap().len(), 1000);
}

#[tokio::test(start_paused = true)]
async fn body_gap_is_not_applied_to_bodies_that_are_silent_by_nature() {
    for kind in [
        "text/event-stream",
        "Text/Event-Stream; charset=utf-8",
        "application/grpc",
        "application/grpc+proto",
    ] {
        let (mut sender, connection, mut peer) = connect(&unlimited().body_gap_timeout(Some(secs(5)))).await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut body = ask(&mut sender, &mut peer, head).await.into_body();
        for _ in 0..3 {
            assert!(tokio::time::timeout(DAY, body.frame()).await.is_err(), "{kind}");
            peer.send("4\r\ntick\r\n").await.unwrap();
            assert_eq!(in_time(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "tick");
        }
        assert_eq!(connection.state(), State::Active);
    }
}

// The whole exchange.

#[tokio::test(start_paused = true)]
async fn exchange_timeout_while_waiting_for_the_head() {
    let (mut sender, connection, mut peer) = connect(&unlimited().exchange_timeout(Some(secs(9)))).await;
    let sending = sender.send_request(get("/"));
    // Nothing runs before the first poll.
    pass(secs(100)).await;
    let began = clock();
    let error = in_time(sending).await.unwrap_err();
    assert_after(began, secs(9));
    assert_timed_out(&error, Phase::Exchange);
    assert_eq!(error.blame(), Blame::Policy);
    assert_goodbye(&connection, &mut peer, Phase::Exchange).await;
}

#[tokio::test(start_paused = true)]
async fn exchange_timeout_in_the_upload_resets() {
    let (mut sender, connection, mut peer) = connect(&unlimited().exchange_timeout(Some(secs(9)))).await;
    let (body, frames) = handed_body();
    let began = clock();
    let sending = beside(sender.send_request(upload(frames, None)));
    pass(secs(4)).await;
    body.send(piece("a part")).unwrap();
    let error = in_time(sending).await.unwrap().unwrap_err();
    assert_after(began, secs(9));
    assert_timed_out(&error, Phase::Exchange);
    assert_reset(&connection, &mut peer, Phase::Exchange).await;
}

#[tokio::test(start_paused = true)]
async fn exchange_timeout_in_a_body_that_keeps_coming() {
    let (mut sender, connection, mut peer) = connect(&unlimited().exchange_timeout(Some(secs(9)))).await;
    let began = clock();
    let response = ask(&mut sender, &mut peer, LONG).await;
    let reading = beside(read(response));
    for _ in 0..89 {
        pass(ms(100)).await;
        peer.send("x").await.unwrap();
    }
    let error = in_time(reading).await.unwrap().unwrap_err();
    assert_after(began, secs(9));
    assert_timed_out(&error, Phase::Exchange);
    assert_goodbye(&connection, &mut peer, Phase::Exchange).await;
}

#[tokio::test(start_paused = true)]
async fn exchange_timeout_does_not_touch_the_next_exchange() {
    let (mut sender, connection, mut peer) = connect(&unlimited().exchange_timeout(Some(secs(9)))).await;
    for _ in 0..50 {
        let response = ask(&mut sender, &mut peer, LONG).await;
        let reading = beside(read(response));
        pass(secs(8)).await;
        peer.send(vec![b'x'; 1000]).await.unwrap();
        in_time(reading).await.unwrap().unwrap();
    }
    assert_eq!((connection.state(), connection.snapshot().done), (State::Idle, 50));
}

// Nobody polls.

#[tokio::test(start_paused = true)]
async fn a_deadline_takes_effect_while_the_holder_of_a_body_never_polls_it() {
    let (mut sender, connection, mut peer) = connect(&unlimited().exchange_timeout(Some(secs(9)))).await;
    let began = clock();
    let response = ask(&mut sender, &mut peer, LONG).await;
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
    assert_after(began, secs(9));
    peer.fin().await.unwrap();
    assert_eq!(in_time(connection.closed()).await.reason, CloseReason::TimedOut(Phase::Exchange));
    let mut body = response.into_body();
    assert_timed_out(&in_time(body.frame()).await.unwrap().unwrap_err(), Phase::Exchange);
    assert!(in_time(body.frame()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_takes_effect_while_an_unfinished_upload_is_never_polled() {
    let (mut sender, connection, mut peer) = connect(&unlimited().exchange_timeout(Some(secs(9)))).await;
    let (body, frames) = handed_body();
    let began = clock();
    let mut sending = pin!(sender.send_request(upload(frames, None)));
    assert!(poll_once(&mut sending).await.is_pending());
    body.send(piece("never asked for")).unwrap();
    in_time(connection.closed()).await;
    assert_after(began, secs(9));
    assert_reset(&connection, &mut peer, Phase::Exchange).await;
    assert_timed_out(&in_time(sending).await.unwrap_err(), Phase::Exchange);
}

#[tokio::test(start_paused = true)]
async fn a_response_head_deadline_takes_effect_while_its_future_is_not_polled() {
    let (mut sender, connection, mut peer) = connect(&unlimited().response_head_timeout(Some(secs(9)))).await;
    let began = clock();
    let mut sending = pin!(sender.send_request(get("/")));
    assert!(poll_once(&mut sending).await.is_pending());
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
    assert_after(began, secs(9));
    drop(peer);
    assert_eq!(in_time(connection.closed()).await.reason, CloseReason::TimedOut(Phase::ResponseHead));
    assert_timed_out(&in_time(sending).await.unwrap_err(), Phase::ResponseHead);
}

// Closing.

#[tokio::test(start_paused = true)]
async fn drain_over_the_exchange_fails() {
    for cut in [false, true] {
        let (mut sender, connection, mut peer) = connect(&unlimited()).await;
        let (body, frames) = handed_body();
        let request = if cut { upload(frames, None) } else { get("/") };
        let sending = beside(sender.send_request(request));
        peer.read_head().await.unwrap();
        let began = clock();
        let closing = beside(connection.close(CloseMode::graceful().drain(secs(6))));
        let error = in_time(sending).await.unwrap().unwrap_err();
        assert_after(began, secs(6));
        assert_timed_out(&error, Phase::Drain);
        assert_eq!(error.blame(), Blame::Policy);
        let ended = in_time(peer.read_until_end()).await.unwrap().1;
        assert_eq!(ended, if cut { adieu_testkit::Ended::Reset } else { adieu_testkit::Ended::Fin });
        drop(peer);
        let report = in_time(closing).await.unwrap();
        assert_eq!(report.reason, CloseReason::User(CloseKind::Graceful));
        assert_eq!(report.ended, if cut { Ended::Aborted } else { Ended::Clean }, "{report}");
        assert!(report.draining >= secs(6) && report.draining <= ms(6_003), "{report:?}");
        drop(body);
    }
}

#[tokio::test(start_paused = true)]
async fn drain_without_a_limit_lets_the_exchange_take_its_time() {
    let (mut sender, connection, mut peer) = connect(&unlimited()).await;
    let sending = beside(sender.send_request(get("/")));
    peer.read_head().await.unwrap();
    let closing = beside(connection.close(CloseMode::graceful().drain(None)));
    pass(7 * DAY).await;
    peer.send(SMALL).await.unwrap();
    assert_eq!(read(in_time(sending).await.unwrap().unwrap()).await.unwrap(), "hi");
    peer.fin().await.unwrap();
    let report = in_time(closing).await.unwrap();
    assert_eq!((report.ended, report.exchanges, report.failed), (Ended::Clean, 1, 0), "{report}");
}

#[tokio::test(start_paused = true)]
async fn drain_of_zero_is_as_good_as_now() {
    let (mut sender, connection, mut peer) = connect(&unlimited()).await;
    let sending = beside(sender.send_request(get("/")));
    peer.read_head().await.unwrap();
    let began = clock();
    let closing = beside(connection.close(CloseMode::graceful().drain(Duration::ZERO)));
    let error = in_time(sending).await.unwrap().unwrap_err();
    assert_after(began, Duration::ZERO);
    assert_timed_out(&error, Phase::Drain);
    drop(peer);
    assert_eq!(in_time(closing).await.unwrap().ended, Ended::Clean);
}

#[tokio::test(start_paused = true)]
async fn linger_over_the_silent_peer_is_left() {
    for linger in [Duration::ZERO, ms(1), ms(700), secs(2), DAY] {
        let (_sender, connection, mut peer) = connect(&unlimited()).await;
        let began = clock();
        let report = within(2 * DAY, connection.close(CloseMode::graceful().linger(linger))).await;
        assert_after(began, linger);
        assert_eq!(
            (report.ended, report.reason.clone()),
            (Ended::PeerSilent, CloseReason::User(CloseKind::Graceful))
        );
        assert!(report.lingering >= linger && report.lingering <= linger + ms(3), "{report:?}");
        assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
    }
}

#[tokio::test(start_paused = true)]
async fn linger_of_the_builder_holds_where_no_mode_says_otherwise() {
    let (sender, connection, _peer) = connect(&unlimited().linger(ms(300))).await;
    let mut watch = connection.watch();
    let began = clock();
    drop((sender, connection));
    while in_time(watch.changed()).await != State::Closed {}
    assert_after(began, ms(300));
}

#[tokio::test(start_paused = true)]
async fn linger_without_end_waits_for_the_peer() {
    let (_sender, connection, mut peer) = connect(&unlimited()).await;
    let closing = beside(connection.close(CloseMode::graceful().linger(Duration::MAX)));
    pass(30 * DAY).await;
    assert_eq!(connection.state(), State::Lingering);
    peer.fin().await.unwrap();
    assert_eq!(in_time(closing).await.unwrap().ended, Ended::Clean);
}

#[tokio::test(start_paused = true)]
async fn discarding_an_unread_body_takes_its_limit_at_most() {
    for (builder, limit) in [(unlimited(), ms(50)), (unlimited().discard_timeout(secs(4)), secs(4))] {
        let (mut sender, connection, mut peer) = connect(&builder).await;
        let response = ask(&mut sender, &mut peer, LONG).await;
        let began = clock();
        drop(response);
        assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
        assert_after(began, limit);
        peer.fin().await.unwrap();
        let report = in_time(connection.closed()).await;
        // Why it ended is that nobody read on; the limit only kept it from being used again.
        assert_eq!(
            (report.reason.clone(), report.ended),
            (CloseReason::RequestCancelled, Ended::Clean),
            "{report}"
        );
    }
}

// The ends of the scale.

#[tokio::test(start_paused = true)]
async fn no_limit_never_passes() {
    let (mut sender, connection, mut peer) = connect(&unlimited()).await;
    let (body, frames) = handed_body();
    let sending = beside(sender.send_request(upload(frames, None)));
    pass(10 * DAY).await;
    body.send(piece("x")).unwrap();
    pass(10 * DAY).await;
    body.send(piece(vec![b'x'; 200_000])).unwrap();
    pass(10 * DAY).await;
    drop(body);
    let reading = beside(async move {
        let mut all = 0;
        while all < 200_000 {
            all += peer.read_exactly(1000).await.unwrap().len();
        }
        pass(10 * DAY).await;
        peer.send(LONG).await.unwrap();
        pass(10 * DAY).await;
        peer.send(vec![b'x'; 1000]).await.unwrap();
        peer
    });
    let response = within(60 * DAY, sending).await.unwrap().unwrap();
    assert_eq!(within(60 * DAY, read(response)).await.unwrap().len(), 1000);
    assert_eq!(connection.state(), State::Idle);
    let _peer = in_time(reading).await.unwrap();
    pass(100 * DAY).await;
    assert_eq!(connection.state(), State::Idle);
}

#[tokio::test(start_paused = true)]
async fn limits_of_zero_pass_at_once() {
    let zero = Some(Duration::ZERO);
    let cases = [
        (unlimited().response_head_timeout(zero), Phase::ResponseHead),
        (unlimited().exchange_timeout(zero), Phase::Exchange),
    ];
    for (builder, phase) in cases {
        let (mut sender, connection, mut peer) = connect(&builder).await;
        let began = clock();
        assert_timed_out(&in_time(sender.send_request(get("/"))).await.unwrap_err(), phase);
        assert_after(began, Duration::ZERO);
        peer.fin().await.unwrap();
        assert_eq!(in_time(connection.closed()).await.reason, CloseReason::TimedOut(phase));
    }

    let (mut sender, connection, mut peer) = connect(&unlimited().body_gap_timeout(zero)).await;
    let response = ask(&mut sender, &mut peer, LONG).await;
    let began = clock();
    assert_timed_out(&in_time(read(response)).await.unwrap_err(), Phase::BodyGap);
    assert_after(began, Duration::ZERO);
    assert_goodbye(&connection, &mut peer, Phase::BodyGap).await;

    let (mut sender, connection, mut peer) = connect_narrow(10, &unlimited().write_stall_timeout(zero)).await;
    let began = clock();
    assert_timed_out(&in_time(sender.send_request(get("/"))).await.unwrap_err(), Phase::WriteStall);
    assert_after(began, Duration::ZERO);
    assert_reset(&connection, &mut peer, Phase::WriteStall).await;
}

#[tokio::test(start_paused = true)]
async fn limits_without_end_are_none() {
    // The last of them is the longest that this clock can still count to.
    let now = clock().into_std();
    let longest = (0..64).rev().fold(Duration::ZERO, |sum, bit| {
        let more = sum + Duration::from_secs(1 << bit).min(Duration::MAX - sum);
        if now.checked_add(more).is_some() { more } else { sum }
    });
    for long in [
        Duration::MAX,
        Duration::from_secs(u64::MAX),
        Duration::from_secs(i64::MAX as u64),
        longest,
        40_000 * DAY,
    ] {
        let some = Some(long);
        let builder =
            Builder::new().write_stall_timeout(some).continue_timeout(some).response_head_timeout(some);
        let builder =
            builder.body_gap_timeout(some).exchange_timeout(some).discard_timeout(long).linger(long);
        let (mut sender, connection, mut peer) = connect_narrow(64, &builder).await;
        let sending = beside(sender.send_request(expecting("held back")));
        assert!(in_time(peer.read_head()).await.is_ok());
        pass(DAY).await;
        peer.send("HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        assert_eq!(in_time(peer.read_exactly(9)).await.unwrap(), b"held back");
        pass(DAY).await;
        peer.send(LONG).await.unwrap();
        let mut body = in_time(sending).await.unwrap().unwrap().into_body();
        assert!(tokio::time::timeout(DAY, body.frame()).await.is_err());
        drop(body);
        pass(DAY).await;
        assert_eq!(connection.state(), State::Active, "still being discarded");
        let closing = beside(connection.close(CloseMode::graceful().drain(long).linger(long)));
        pass(DAY).await;
        assert!(!closing.is_finished());
        in_time(peer.send(vec![b'x'; 1000])).await.unwrap();
        assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
        pass(DAY).await;
        assert!(!closing.is_finished());
        peer.fin().await.unwrap();
        in_time(closing).await.unwrap();
    }
}

// The one alarm of a connection is set anew only when it would go off late.

#[tokio::test(start_paused = true)]
async fn a_short_wait_after_a_long_one_is_exact() {
    for gap in [ms(1), ms(30), ms(999), ms(1_001), secs(7)] {
        let builder = unlimited().response_head_timeout(Some(secs(300))).body_gap_timeout(Some(gap));
        let (mut sender, connection, mut peer) = connect(&builder).await;
        let sending = beside(sender.send_request(get("/")));
        peer.read_head().await.unwrap();
        // By now the alarm stands at the far end of the wait for the head.
        pass(secs(100)).await;
        peer.send(LONG).await.unwrap();
        let response = in_time(sending).await.unwrap().unwrap();
        let began = clock();
        assert_timed_out(&in_time(read(response)).await.unwrap_err(), Phase::BodyGap);
        assert_after(began, gap);
        assert_goodbye(&connection, &mut peer, Phase::BodyGap).await;
    }
}

#[tokio::test(start_paused = true)]
async fn deadlines_are_exact_after_idle_pauses() {
    for limit in [ms(20), ms(400), ms(999), secs(1), ms(1_500), secs(300)] {
        for pause in [ms(0), ms(1), ms(500), ms(999), secs(1), ms(1_001), secs(3), secs(4_000)] {
            let (mut sender, connection, mut peer) =
                connect(&unlimited().response_head_timeout(Some(limit)).body_gap_timeout(Some(limit))).await;
            for _ in 0..3 {
                pass(pause).await;
                read(ask(&mut sender, &mut peer, SMALL).await).await.unwrap();
            }
            pass(pause).await;
            let began = clock();
            let error = in_time(sender.send_request(get("/"))).await.unwrap_err();
            assert_after(began, limit);
            assert_timed_out(&error, Phase::ResponseHead);
            assert_goodbye(&connection, &mut peer, Phase::ResponseHead).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn deadlines_are_exact_after_a_thousand_exchanges() {
    for limit in [ms(40), ms(700), secs(20)] {
        let builder = unlimited().response_head_timeout(Some(limit)).body_gap_timeout(Some(2 * limit));
        let (mut sender, connection, mut peer) = connect(&builder).await;
        for number in 0..1000_u64 {
            // Just in time, now and then after a pause of its own.
            let late = ms((number * 37) % limit.as_millis() as u64);
            if number % 7 == 0 {
                pass(ms((number * 13) % 2_000)).await;
            }
            let (response, ()) = tokio::join!(in_time(sender.send_request(get("/"))), async {
                peer.read_head().await.unwrap();
                pass(late).await;
                peer.send(SMALL).await.unwrap();
            });
            assert_eq!(read(response.unwrap()).await.unwrap(), "hi");
        }
        let response = ask(&mut sender, &mut peer, LONG).await;
        let began = clock();
        assert_timed_out(&in_time(read(response)).await.unwrap_err(), Phase::BodyGap);
        assert_after(began, 2 * limit);
        assert_goodbye(&connection, &mut peer, Phase::BodyGap).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_set_by_a_task_that_has_used_up_its_budget_is_kept() {
    // tokio makes a task that did a lot without a pause wait at its next timer or socket; an alarm that is set just
    // then must be set all the same.
    for (wait, phase) in [(Phase::ResponseHead, Phase::ResponseHead), (Phase::Exchange, Phase::Exchange)] {
        let builder = match wait {
            Phase::ResponseHead => unlimited().response_head_timeout(Some(secs(9))),
            _ => unlimited().exchange_timeout(Some(secs(9))),
        };
        let (mut sender, connection, mut peer) = connect(&builder).await;
        // No alarm is set any more.
        pass(secs(5)).await;
        let began = clock();
        let held = beside(async move {
            let mut sending = Box::pin(sender.send_request(get("/")));
            std::future::poll_fn(|cx| {
                while pin!(tokio::task::coop::consume_budget()).as_mut().poll(cx).is_ready() {}
                assert!(sending.as_mut().poll(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            (sending, sender)
        });
        let _held = in_time(held).await.unwrap();
        assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
        assert_after(began, secs(9));
        drop(peer);
        assert_eq!(in_time(connection.closed()).await.reason, CloseReason::TimedOut(phase));
    }
}

// No work while nothing happens.

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_left_alone() {
    watch_for_hangs();
    let (ours, mut peer) = PairBuilder::new().build();
    let polls = ours.probe();
    let (mut sender, connection) = Builder::new().handshake_on(crate::support::Memory(ours)).await.unwrap();
    pass(DAY).await;
    assert!(polls.polls().total() <= 3, "{:?}", polls.polls());
    read(ask(&mut sender, &mut peer, SMALL).await).await.unwrap();
    let before = polls.polls().total();
    pass(7 * DAY).await;
    assert!(polls.polls().total() <= before + 3, "{before} and then {:?}", polls.polls());
    assert_eq!(connection.state(), State::Idle);
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_waits_for_a_head_is_left_alone() {
    watch_for_hangs();
    let (ours, mut peer) = PairBuilder::new().build();
    let polls = ours.probe();
    let (mut sender, _connection) = Builder::new().handshake_on(crate::support::Memory(ours)).await.unwrap();
    let sending = beside(sender.send_request(get("/")));
    pass(secs(299)).await;
    assert!(!sending.is_finished());
    assert!(polls.polls().total() <= 12, "{:?}", polls.polls());
    peer.send(SMALL).await.unwrap();
    in_time(sending).await.unwrap().unwrap();
    assert!(polls.polls().total() <= 16, "{:?}", polls.polls());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_waits_is_left_alone() {
    watch_for_hangs();
    let (ours, mut peer) = PairBuilder::new().build();
    let polls = ours.probe();
    let builder = unlimited().exchange_timeout(Some(30 * DAY)).body_gap_timeout(Some(20 * DAY));
    let (mut sender, _connection) = builder.handshake_on(crate::support::Memory(ours)).await.unwrap();
    let response = ask(&mut sender, &mut peer, LONG).await;
    let reading = beside(read(response));
    pass(19 * DAY).await;
    assert!(!reading.is_finished());
    assert!(polls.polls().total() <= 16, "{:?}", polls.polls());
}

#[tokio::test(start_paused = true)]
async fn a_lingering_and_a_draining_connection_are_left_alone() {
    watch_for_hangs();
    let (ours, mut peer) = PairBuilder::new().build();
    let polls = ours.probe();
    let (mut sender, connection) = unlimited().handshake_on(crate::support::Memory(ours)).await.unwrap();
    let sending = beside(sender.send_request(get("/")));
    peer.read_head().await.unwrap();
    let closing = beside(connection.close(CloseMode::graceful().drain(30 * DAY).linger(30 * DAY)));
    pass(29 * DAY).await;
    assert_eq!(connection.state(), State::Draining { theirs: adieu::Side::Open });
    assert!(polls.polls().total() <= 16, "{:?}", polls.polls());
    peer.send(SMALL).await.unwrap();
    in_time(sending).await.unwrap().unwrap();
    let before = polls.polls().total();
    pass(29 * DAY).await;
    assert_eq!(connection.state(), State::Lingering);
    assert!(polls.polls().total() <= before + 8, "{before} and then {:?}", polls.polls());
    within(2 * DAY, closing).await.unwrap();
}

// What is ready at the same moment as its deadline was in time.

#[tokio::test(start_paused = true)]
async fn a_runtime_that_was_blocked_past_a_deadline_still_delivers_what_had_come() {
    let builder = unlimited().response_head_timeout(Some(secs(5))).body_gap_timeout(Some(secs(5)));
    let (mut sender, connection, mut peer) = connect(&builder).await;
    for _ in 0..3 {
        let sending = beside(sender.send_request(get("/")));
        peer.read_head().await.unwrap();
        pass(secs(2)).await;
        peer.send(LONG).await.unwrap();
        // Both the bytes and the alarm are there before anybody is polled.
        tokio::time::advance(secs(60)).await;
        let mut body =
            in_time(sending).await.unwrap().expect("the head was there before its deadline").into_body();
        let reading = beside(async move { body.frame().await.map(|frame| (frame, body)) });
        pass(secs(2)).await;
        peer.send(vec![b'x'; 1000]).await.unwrap();
        tokio::time::advance(secs(60)).await;
        let (frame, body) = in_time(reading).await.unwrap().unwrap();
        assert_eq!(
            frame.expect("the bytes were there before their deadline").into_data().unwrap().len(),
            1000
        );
        drop(body);
        assert_eq!(connection.state(), State::Idle);
    }
}
