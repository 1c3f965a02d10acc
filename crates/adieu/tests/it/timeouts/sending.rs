//! The waits of a request on its way out, and for the head of its response.

use std::pin::pin;
use std::time::Duration;

use adieu::{Blame, ExchangePhase, Phase, State};

use super::{
    DAY, SMALL, assert_after, assert_goodbye, assert_reset, assert_timed_out, connect, connect_narrow,
    expecting, ms, secs, unlimited,
};
use crate::support::{
    beside, clock, get, handed_body, in_time, pass, piece, poll_once, post, read, settle, upload,
};

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
