//! The future of a response, and its body.

use adieu::conn::http1::Builder;
use adieu::{CloseMode, CloseReason, Ended, ErrorKind, Signal, State};
use adieu_testkit::memory::PairBuilder;
use http_body_util::BodyExt;

use super::{CHUNKED, LONG, SMALL, assert_goodbye, assert_reset, assert_usable, connect, connect_with, ms};
use crate::support::{
    Shared, ask, beside, clock, get, handed_body, in_memory_over, in_time, pass, piece, poll_once, post,
    read, settle, upload, watch_for_hangs,
};

// The future of a response.

#[tokio::test(start_paused = true)]
async fn a_future_dropped_before_its_first_poll_changes_nothing() {
    let (mut sender, connection, mut peer) = connect().await;
    for _ in 0..3 {
        drop(sender.send_request(get("/never")));
        drop(sender.send_request(post("/never", "body")));
    }
    settle().await;
    assert_eq!((connection.state(), peer.seen().sent(adieu_testkit::memory::Side::Theirs)), (State::Idle, 0));
    assert_usable(&mut sender, &mut peer).await;
    let snapshot = connection.snapshot();
    assert_eq!((snapshot.done, snapshot.failed), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_future_dropped_before_anything_was_written_changes_nothing() {
    watch_for_hangs();
    let (ours, mut peer) = PairBuilder::new().buffer(0).build();
    peer.set_buffer(1000);
    let ours = Shared::new(ours);
    let (mut sender, connection) = Builder::new().handshake_on(ours.clone()).await.unwrap();
    for idle in [0, 5_000, 5_000] {
        pass(ms(idle)).await;
        let mut sending = sender.send_request(post("/taken/back", "body"));
        assert!(poll_once(&mut sending).await.is_pending());
        assert_eq!(connection.state(), State::Active);
        drop(sending);
        settle().await;
        assert_eq!((connection.state(), connection.snapshot().bytes_sent), (State::Idle, 0));
    }
    ours.with(|end| end.set_buffer(1000));
    pass(ms(10_000)).await;
    assert_usable(&mut sender, &mut peer).await;
    let snapshot = connection.snapshot();
    assert_eq!((snapshot.done, snapshot.failed), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_future_dropped_after_its_request_went_out_says_goodbye() {
    let (mut sender, connection, mut peer) = connect().await;
    let mut sending = sender.send_request(post("/", "whole"));
    assert!(poll_once(&mut sending).await.is_pending());
    drop(sending);
    let report = assert_goodbye(&connection, &mut peer, CloseReason::RequestCancelled).await;
    assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
    assert!(sender.is_closed());
    let error = in_time(sender.send_request(get("/"))).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.close_reason()),
        (ErrorKind::Closed, Some(&CloseReason::RequestCancelled))
    );
}

#[tokio::test(start_paused = true)]
async fn a_future_dropped_in_its_head_resets() {
    watch_for_hangs();
    let (mut sender, connection, mut peer) =
        in_memory_over(PairBuilder::new().buffer(10), &Builder::new()).await;
    let mut sending = sender.send_request(get("/"));
    assert!(poll_once(&mut sending).await.is_pending());
    drop(sending);
    let report = assert_reset(&connection, &mut peer, CloseReason::RequestCancelled).await;
    assert_eq!((report.bytes_sent, report.failed), (10, 1));
}

#[tokio::test(start_paused = true)]
async fn a_future_dropped_in_its_upload_resets() {
    for length in [None, Some(100)] {
        let (mut sender, connection, mut peer) = connect().await;
        let (body, frames) = handed_body();
        let token = frames.token();
        let mut sending = sender.send_request(upload(frames, length));
        body.send(piece("a part")).unwrap();
        assert!(poll_once(&mut sending).await.is_pending());
        peer.read_head().await.unwrap();
        drop(sending);
        assert!(token.upgrade().is_none(), "the upload outlived its future");
        assert_reset(&connection, &mut peer, CloseReason::RequestCancelled).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_dropped_while_its_body_is_held_back_resets() {
    // The head promised a body: without it the request is not whole.
    let (mut sender, connection, mut peer) = connect().await;
    let mut request = post("/", "held back");
    request.headers_mut().insert("expect", http::HeaderValue::from_static("100-continue"));
    let mut sending = sender.send_request(request);
    assert!(poll_once(&mut sending).await.is_pending());
    peer.read_head().await.unwrap();
    drop(sending);
    assert_reset(&connection, &mut peer, CloseReason::RequestCancelled).await;
}

// The body of a response.

#[tokio::test(start_paused = true)]
async fn a_small_rest_is_drained_and_the_next_request_waits_for_it() {
    for (rest_after, idle_before) in [(0, 0), (1, 0), (49, 0), (0, 5_000), (30, 5_000)] {
        let (mut sender, connection, mut peer) = connect().await;
        pass(ms(idle_before)).await;
        let response = ask(&mut sender, &mut peer, LONG).await;
        peer.send(vec![b'x'; 400]).await.unwrap();
        drop(response);
        let began = clock();
        let peer_side = async {
            pass(ms(rest_after)).await;
            peer.send(vec![b'x'; 600]).await.unwrap();
            peer.read_head().await.unwrap();
            peer.send(SMALL).await.unwrap();
        };
        let (next, ()) = tokio::join!(in_time(sender.send_request(get("/next"))), peer_side);
        assert_eq!(read(next.unwrap()).await.unwrap(), "hi");
        assert!(clock().duration_since(began) <= ms(rest_after + 2));
        let snapshot = connection.snapshot();
        assert_eq!((snapshot.state, snapshot.done, snapshot.failed), (State::Idle, 2, 0));
        let closing = connection.close(CloseMode::graceful());
        peer.fin().await.unwrap();
        assert_eq!(in_time(closing).await.bytes_discarded, 1000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rest_at_the_limit_is_drained_and_one_beyond_it_is_not() {
    for (builder, limit) in [(Builder::new(), 64 * 1024), (Builder::new().max_unread_body(10), 10)] {
        for over in [0, 1] {
            let (mut sender, connection, mut peer) = connect_with(&builder).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", limit + over);
            let response = ask(&mut sender, &mut peer, head).await;
            drop(response);
            if over == 0 {
                peer.send(vec![b'x'; limit]).await.unwrap();
                in_time(sender.ready()).await.unwrap();
                assert_usable(&mut sender, &mut peer).await;
            } else {
                assert_goodbye(&connection, &mut peer, CloseReason::RequestCancelled).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_is_here_is_drained_whatever_its_limit() {
    let (mut sender, connection, mut peer) = connect_with(&Builder::new().max_unread_body(0)).await;
    let response = ask(&mut sender, &mut peer, format!("{LONG}{}", "x".repeat(1000))).await;
    drop(response);
    settle().await;
    assert_eq!(connection.state(), State::Idle);
    assert_usable(&mut sender, &mut peer).await;
    // One byte is missing, and none may be awaited.
    let response = ask(&mut sender, &mut peer, format!("{LONG}{}", "x".repeat(999))).await;
    drop(response);
    assert_goodbye(&connection, &mut peer, CloseReason::RequestCancelled).await;
}

#[tokio::test(start_paused = true)]
async fn a_big_rest_closes_and_is_discarded_within_bounds() {
    let (mut sender, connection, mut peer) = connect().await;
    let response = ask(&mut sender, &mut peer, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n").await;
    peer.send(vec![b'x'; 60_000]).await.unwrap();
    drop(response);
    settle().await;
    assert_eq!(connection.state(), State::Lingering);
    let mut sent = 60_000_u64;
    while peer.send(vec![b'x'; 10_000]).await.is_ok() {
        sent += 10_000;
        settle().await;
    }
    assert!(sent > 256 * 1024 && sent < 600 * 1024, "{sent}");
    let report = in_time(connection.closed()).await;
    assert_eq!((&report.reason, report.ended), (&CloseReason::RequestCancelled, Ended::Aborted), "{report}");
    assert!(report.sent.contains(Signal::Rst), "{report}");
    assert!(report.bytes_discarded >= 256 * 1024, "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_chunked_rest_closes_unless_it_is_here() {
    for (rest, here) in [
        ("5\r\nhello\r\n0\r\n\r\n", true),
        ("5\r\nhello\r\n0\r\n\r", false),
        ("5\r\nhello\r\n9\r\nwo", false),
    ] {
        let (mut sender, connection, mut peer) = connect().await;
        let mut body = ask(&mut sender, &mut peer, CHUNKED).await.into_body();
        peer.send(rest).await.unwrap();
        let frame = in_time(body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "hello");
        drop(body);
        if here {
            in_time(sender.ready()).await.unwrap();
            assert_usable(&mut sender, &mut peer).await;
        } else {
            assert_goodbye(&connection, &mut peer, CloseReason::RequestCancelled).await;
        }
    }
    let (mut sender, connection, mut peer) = connect().await;
    drop(ask(&mut sender, &mut peer, CHUNKED).await);
    assert_goodbye(&connection, &mut peer, CloseReason::RequestCancelled).await;
}

#[tokio::test(start_paused = true)]
async fn a_rest_until_close_closes() {
    let (mut sender, connection, mut peer) = connect().await;
    drop(ask(&mut sender, &mut peer, "HTTP/1.1 200 OK\r\n\r\nsome").await);
    let report = assert_goodbye(&connection, &mut peer, CloseReason::RequestCancelled).await;
    assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_rest_of_a_connection_that_closes_anyway_is_not_drained() {
    let (mut sender, connection, mut peer) = connect().await;
    let began = clock();
    drop(
        ask(&mut sender, &mut peer, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\n")
            .await,
    );
    assert_goodbye(&connection, &mut peer, CloseReason::PeerAskedClose).await;
    assert!(clock().duration_since(began) <= ms(110));
}

#[tokio::test(start_paused = true)]
async fn a_rest_with_its_upload_unfinished_resets() {
    let (mut sender, connection, mut peer) = connect().await;
    let (body, frames) = handed_body();
    let token = frames.token();
    let sending = beside(sender.send_request(upload(frames, None)));
    peer.read_head().await.unwrap();
    peer.send(LONG).await.unwrap();
    let response = in_time(sending).await.unwrap().unwrap();
    body.send(piece("goes on")).unwrap();
    settle().await;
    drop(response);
    assert_reset(&connection, &mut peer, CloseReason::RequestCancelled).await;
    settle().await;
    assert!(token.upgrade().is_none(), "the upload outlived its connection");
}

#[tokio::test(start_paused = true)]
async fn a_whole_response_dropped_unread_costs_nothing() {
    let (mut sender, connection, mut peer) = connect().await;
    for _ in 0..5 {
        drop(ask(&mut sender, &mut peer, SMALL).await);
        assert_eq!(connection.state(), State::Idle);
    }
    assert_eq!(connection.snapshot().done, 5);
}

#[tokio::test(start_paused = true)]
async fn a_response_dropped_while_its_upload_goes_on_lets_it_end() {
    // All of the response is here: nothing of it is cut short, nor is the request.
    let (mut sender, connection, mut peer) = connect().await;
    let (body, frames) = handed_body();
    let sending = beside(sender.send_request(upload(frames, None)));
    peer.read_head().await.unwrap();
    peer.send(SMALL).await.unwrap();
    drop(in_time(sending).await.unwrap().unwrap());
    settle().await;
    assert_eq!(connection.state(), State::Active);
    body.send(piece("the end")).unwrap();
    drop(body);
    assert_eq!(in_time(peer.read_exactly(17)).await.unwrap(), b"7\r\nthe end\r\n0\r\n\r\n");
    in_time(sender.ready()).await.unwrap();
    assert_usable(&mut sender, &mut peer).await;
}
