//! The sender and the handles; and the end of an idle connection, whatever happened before.

use adieu::conn::http1::Builder;
use adieu::{Body, CloseKind, CloseMode, CloseReason, Ended, ErrorKind, State};
use adieu_testkit::memory::PairBuilder;
use http_body_util::BodyExt;

use super::{CHUNKED, LONG, SMALL, connect, ms};
use crate::support::{
    ask, beside, get, handed_body, in_memory_over, in_time, pass, poll_once, read, settle, upload,
    watch_for_hangs, within,
};

// The sender and the handles.

#[tokio::test(start_paused = true)]
async fn the_last_of_sender_and_handles_retires_an_idle_connection() {
    for order in 0..3 {
        let (sender, connection, mut peer) = connect().await;
        let closed = connection.closed();
        let other = connection.clone();
        settle().await;
        match order {
            0 => {
                drop(sender);
                drop(connection);
                settle().await;
                assert_eq!(other.state(), State::Idle);
                drop(other);
            }
            1 => {
                drop((connection, other));
                settle().await;
                assert!(sender.is_ready());
                drop(sender);
            }
            _ => drop((sender, connection, other)),
        }
        assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
        peer.fin().await.unwrap();
        let report = in_time(closed).await;
        assert_eq!(
            (report.reason.clone(), report.ended),
            (CloseReason::HandlesDropped, Ended::Clean),
            "{report}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_exchange_in_flight_outlives_the_sender_and_the_handles() {
    let (mut sender, connection, mut peer) = connect().await;
    let closed = connection.closed();
    let sending = beside(sender.send_request(get("/")));
    peer.read_head().await.unwrap();
    drop((sender, connection));
    pass(ms(100_000)).await;
    peer.send(LONG).await.unwrap();
    let reading = beside(read(in_time(sending).await.unwrap().unwrap()));
    pass(ms(100_000)).await;
    peer.send(vec![b'x'; 1000]).await.unwrap();
    assert_eq!(in_time(reading).await.unwrap().unwrap().len(), 1000);
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
    peer.fin().await.unwrap();
    let report = in_time(closed).await;
    assert_eq!((report.reason.clone(), report.exchanges, report.failed), (CloseReason::HandlesDropped, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_handed_out_outlives_its_sender() {
    // Nothing was polled yet when the sender was dropped; the request is the caller's all the same.
    let (mut sender, connection, mut peer) = connect().await;
    let sending = sender.try_send_request(get("/"));
    let closed = connection.closed();
    drop((sender, connection));
    let sending = beside(sending);
    in_time(peer.read_head()).await.unwrap();
    peer.send(SMALL).await.unwrap();
    assert_eq!(read(in_time(sending).await.unwrap().unwrap()).await.unwrap(), "hi");
    peer.fin().await.unwrap();
    assert_eq!(in_time(closed).await.reason, CloseReason::HandlesDropped);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_all_that_is_left_is_read_to_its_end() {
    let (mut sender, connection, mut peer) = connect().await;
    let mut body = ask(&mut sender, &mut peer, CHUNKED).await.into_body();
    let closed = connection.closed();
    drop((sender, connection));
    for _ in 0..3 {
        peer.send("4\r\nmore\r\n").await.unwrap();
        assert_eq!(in_time(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "more");
        pass(ms(10_000)).await;
    }
    peer.send("0\r\nA: b\r\n\r\n").await.unwrap();
    assert_eq!(in_time(body.frame()).await.unwrap().unwrap().into_trailers().unwrap()["a"], "b");
    assert!(in_time(body.frame()).await.is_none());
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
    peer.fin().await.unwrap();
    assert_eq!(in_time(closed).await.ended, Ended::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_handle_alone_keeps_the_connection() {
    let (sender, connection, mut peer) = connect().await;
    drop(sender);
    pass(ms(100_000)).await;
    assert_eq!(connection.state(), State::Idle);
    let closing = connection.close(CloseMode::graceful());
    peer.fin().await.unwrap();
    assert_eq!(in_time(closing).await.reason, CloseReason::User(CloseKind::Graceful));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_of_a_close_does_not_stop_it() {
    let (_sender, connection, mut peer) = connect().await;
    drop(connection.close(CloseMode::graceful()));
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
    let report = in_time(connection.closed()).await;
    assert_eq!(
        (report.reason.clone(), report.ended),
        (CloseReason::User(CloseKind::Graceful), Ended::PeerSilent)
    );
}

// The end of an idle connection is noticed, whatever happened before it was idle.

#[tokio::test(start_paused = true)]
async fn the_end_of_an_idle_connection_is_noticed_after_a_rest_was_drained() {
    let (mut sender, connection, mut peer) = connect().await;
    pass(ms(5_000)).await;
    let response = ask(&mut sender, &mut peer, LONG).await;
    drop(response);
    settle().await;
    peer.send(vec![b'x'; 1000]).await.unwrap();
    in_time(sender.ready()).await.unwrap();
    pass(ms(5_000)).await;
    drop(peer);
    assert_eq!(within(ms(1_500), connection.closed()).await.reason, CloseReason::PeerClosedIdle);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_idle_connection_is_noticed_after_an_upload_that_outlived_its_response() {
    let (mut sender, connection, mut peer) = connect().await;
    pass(ms(5_000)).await;
    let (body, frames) = handed_body();
    let sending = beside(sender.send_request(upload(frames, None)));
    peer.read_head().await.unwrap();
    peer.send(SMALL).await.unwrap();
    read(in_time(sending).await.unwrap().unwrap()).await.unwrap();
    drop(body);
    peer.read_exactly(5).await.unwrap();
    in_time(sender.ready()).await.unwrap();
    pass(ms(5_000)).await;
    drop(peer);
    assert_eq!(within(ms(1_500), connection.closed()).await.reason, CloseReason::PeerClosedIdle);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_idle_connection_is_noticed_after_a_request_that_could_not_be_sent() {
    let (mut sender, connection, peer) = connect().await;
    pass(ms(5_000)).await;
    let request = http::Request::get("/no/host").body(Body::empty()).unwrap();
    assert_eq!(in_time(sender.send_request(request)).await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    pass(ms(5_000)).await;
    drop(peer);
    assert_eq!(within(ms(1_500), connection.closed()).await.reason, CloseReason::PeerClosedIdle);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_idle_connection_is_noticed_after_a_request_was_taken_back() {
    watch_for_hangs();
    let (mut sender, connection, peer) = in_memory_over(PairBuilder::new().buffer(0), &Builder::new()).await;
    pass(ms(5_000)).await;
    let mut sending = sender.send_request(get("/"));
    assert!(poll_once(&mut sending).await.is_pending());
    drop(sending);
    pass(ms(5_000)).await;
    assert_eq!(connection.state(), State::Idle);
    drop(peer);
    assert_eq!(within(ms(1_500), connection.closed()).await.reason, CloseReason::PeerClosedIdle);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_idle_connection_is_noticed_by_whoever_waits_for_readiness() {
    let (mut sender, connection, mut peer) = connect().await;
    let body = ask(&mut sender, &mut peer, LONG).await.into_body();
    let ready = beside(async move { sender.ready().await.map(|()| sender) });
    settle().await;
    assert!(!ready.is_finished());
    peer.send(vec![b'x'; 1000]).await.unwrap();
    in_time(body.collect()).await.unwrap();
    let sender = in_time(ready).await.unwrap().unwrap();
    assert!(sender.is_ready());
    drop(peer);
    in_time(connection.closed()).await;
    assert!(sender.is_closed());
}
