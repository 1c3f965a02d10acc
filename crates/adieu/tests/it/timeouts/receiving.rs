//! The waits for more of a body, and for the whole exchange; with and without somebody who polls.

use std::pin::pin;

use adieu::{Blame, CloseReason, ExchangePhase, Phase, State};
use http_body_util::BodyExt;

use super::{
    DAY, LONG, assert_after, assert_goodbye, assert_reset, assert_timed_out, connect, ms, secs, unlimited,
};
use crate::support::{
    ask, beside, clock, get, handed_body, in_time, pass, piece, poll_once, read, settle, upload,
};

// The gap between two pieces of the body.

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
async fn body_gap_in_a_body_until_close_is_why_it_ended() {
    let (mut sender, connection, mut peer) = connect(&unlimited().body_gap_timeout(Some(secs(5)))).await;
    let response = ask(&mut sender, &mut peer, "HTTP/1.1 200 OK\r\n\r\nso far").await;
    let began = clock();
    assert_timed_out(&in_time(read(response)).await.unwrap_err(), Phase::BodyGap);
    assert_after(began, secs(5));
    peer.fin().await.unwrap();
    let report = in_time(connection.closed()).await;
    assert_eq!((&report.reason, report.failed), (&CloseReason::TimedOut(Phase::BodyGap), 1), "{report}");
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
