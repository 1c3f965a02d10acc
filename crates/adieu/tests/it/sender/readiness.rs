//! Readiness, and requests that are given back.

use std::error::Error as _;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adieu::conn::http1::SendRequest;
use adieu::{Blame, Body, CloseKind, CloseMode, CloseReason, Error, ErrorKind, State};
use adieu_testkit::memory::MemoryEnd;
use http::{Method, Request, Version};
use http_body_util::BodyExt;
use tower_service::Service;

use super::{LONG, NOTHING, connect, written};
use crate::support::{ask, beside, get, in_time, poll_once, post, read, settle};

// Readiness.

#[tokio::test(start_paused = true)]
async fn readiness_through_a_life() {
    let (mut sender, connection, mut peer) = connect().await;
    assert!(sender.is_ready() && !sender.is_closed());
    in_time(sender.ready()).await.unwrap();

    // In flight.
    let mut sending = sender.send_request(get("/"));
    assert!(poll_once(&mut sending).await.is_pending());
    assert!(!sender.is_ready() && !sender.is_closed());
    peer.read_head().await.unwrap();
    peer.send(LONG).await.unwrap();
    let response = in_time(sending).await.unwrap();

    // Its body is held.
    assert!(!sender.is_ready());
    assert!(poll_once(&mut pin!(sender.ready())).await.is_pending());
    peer.send(vec![b'x'; 1000]).await.unwrap();
    assert_eq!(read(response).await.unwrap().len(), 1000);
    assert!(sender.is_ready());

    // Closing.
    let closing = beside(connection.close(CloseMode::graceful()));
    settle().await;
    assert!(!sender.is_ready() && sender.is_closed());
    let error = in_time(sender.ready()).await.unwrap_err();
    assert_eq!(error.close_reason(), Some(&CloseReason::User(CloseKind::Graceful)));
    assert_eq!(error.connection(), Some(connection.id()));
    drop(peer);
    in_time(closing).await.unwrap();
    assert!(sender.is_closed());
    assert_eq!(in_time(sender.ready()).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn readiness_is_told_to_all_who_wait_for_it() {
    let (mut sender, connection, mut peer) = connect().await;
    let response = ask(&mut sender, &mut peer, LONG).await;
    let woken = Arc::new(AtomicUsize::new(0));
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let (mut watch, woken) = (connection.watch(), woken.clone());
            beside(async move {
                assert_eq!(watch.changed().await, State::Idle);
                woken.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    settle().await;
    peer.send(vec![b'x'; 1000]).await.unwrap();
    read(response).await.unwrap();
    for waiting in waiting {
        in_time(waiting).await.unwrap();
    }
    assert_eq!(woken.load(Ordering::SeqCst), 10);
}

#[tokio::test(start_paused = true)]
async fn a_request_while_the_response_before_is_held_is_not_ready() {
    let (mut sender, connection, mut peer) = connect().await;
    let response = ask(&mut sender, &mut peer, LONG).await;
    let before = written(&peer);
    for _ in 0..3 {
        let error = in_time(sender.send_request(get("/next"))).await.unwrap_err();
        assert_eq!((error.kind(), error.blame()), (ErrorKind::NotReady, Blame::Caller));
        assert_eq!((error.close_reason(), error.facts()), (None, None));
        assert_eq!(error.connection(), Some(connection.id()));
    }
    // It harms nothing.
    assert_eq!(written(&peer), before);
    peer.send(vec![b'x'; 1000]).await.unwrap();
    assert_eq!(read(response).await.unwrap().len(), 1000);
    ask(&mut sender, &mut peer, NOTHING).await;
    assert_eq!(connection.snapshot().failed, 0);
}

#[tokio::test(start_paused = true)]
async fn of_two_requests_that_wait_for_a_rest_to_be_drained_one_goes_and_the_other_is_told() {
    let (mut sender, _connection, mut peer) = connect().await;
    drop(ask(&mut sender, &mut peer, LONG).await);
    let (one, two) = (beside(sender.send_request(get("/one"))), beside(sender.send_request(get("/two"))));
    settle().await;
    peer.send(vec![b'x'; 1000]).await.unwrap();
    in_time(peer.read_head()).await.unwrap();
    peer.send(NOTHING).await.unwrap();
    let results = [in_time(one).await.unwrap(), in_time(two).await.unwrap()];
    let failed: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].kind(), ErrorKind::NotReady);
}

#[tokio::test(start_paused = true)]
async fn a_service_like_any_other() {
    let (sender, connection, mut peer) = connect().await;
    let answering = beside(async move {
        for _ in 0..3 {
            peer.read_head().await.unwrap();
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
        }
        peer
    });
    async fn call<S>(mut service: S, times: usize)
    where
        S: Service<Request<Body>, Response = http::Response<Body>, Error = Error>,
    {
        for _ in 0..times {
            poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
            assert_eq!(read(service.call(get("/")).await.unwrap()).await.unwrap(), "hi");
        }
    }
    in_time(call(sender, 3)).await;
    let _peer = in_time(answering).await.unwrap();
    assert_eq!(connection.snapshot().done, 3);
}

// A request that is given back.

fn recognisable() -> Request<Body> {
    let mut request = post("/given/back", "all of it");
    request.headers_mut().insert("x-mark", "17".parse().unwrap());
    request.extensions_mut().insert(17_u64);
    request
}

async fn assert_given_back(sender: &mut SendRequest, peer: Option<&MemoryEnd>) -> Error {
    let before = peer.map(written);
    let mut failed = in_time(sender.try_send_request(recognisable())).await.unwrap_err();
    let request = failed.take_message().unwrap_or_else(|| panic!("not given back: {failed}"));
    assert!(failed.take_message().is_none());
    assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/given/back"));
    assert_eq!(
        (&request.headers()["x-mark"], request.extensions().get()),
        (&"17".parse().unwrap(), Some(&17_u64))
    );
    assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), "all of it");
    assert_eq!(before, peer.map(written));
    assert!(!failed.to_string().is_empty() && failed.error().facts().is_none());
    failed.into_error()
}

#[tokio::test(start_paused = true)]
async fn a_request_for_a_closed_connection_is_given_back() {
    for mode in [CloseMode::graceful(), CloseMode::half(), CloseMode::now(), CloseMode::abort()] {
        let (mut sender, connection, _peer) = connect().await;
        let closing = beside(connection.close(mode));
        // Ordered and not carried out; under way; done.
        assert_eq!(assert_given_back(&mut sender, None).await.kind(), ErrorKind::Closed);
        settle().await;
        assert_eq!(assert_given_back(&mut sender, None).await.kind(), ErrorKind::Closed);
        in_time(closing).await.unwrap();
        let error = assert_given_back(&mut sender, None).await;
        assert_eq!(error.close_reason(), Some(&CloseReason::User(mode.kind())));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_meets_the_peers_end_is_given_back() {
    // The keep-alive race as it is won: the end is there, and nobody has looked yet.
    for reset in [false, true] {
        let (mut sender, _connection, mut peer) = connect().await;
        ask(&mut sender, &mut peer, NOTHING).await;
        if reset {
            peer.reset();
        } else {
            peer.fin().await.unwrap();
        }
        assert!(sender.is_ready());
        let error = assert_given_back(&mut sender, Some(&peer)).await;
        let expected = if reset { CloseReason::Reset } else { CloseReason::PeerClosedIdle };
        assert_eq!(error.close_reason(), Some(&expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_sent_is_given_back() {
    let (mut sender, _connection, mut peer) = connect().await;
    let mut request = recognisable();
    *request.version_mut() = Version::HTTP_2;
    let mut failed = in_time(sender.try_send_request(request)).await.unwrap_err();
    assert_eq!(failed.error().kind(), ErrorKind::InvalidRequest);
    let mut request = failed.take_message().unwrap();
    *request.version_mut() = Version::HTTP_11;
    let sending = beside(sender.try_send_request(request));
    peer.read_head().await.unwrap();
    assert_eq!(peer.read_exactly(9).await.unwrap(), b"all of it");
    peer.send(NOTHING).await.unwrap();
    in_time(sending).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_begun_is_not_given_back() {
    let (mut sender, _connection, mut peer) = connect().await;
    let sending = beside(sender.try_send_request(recognisable()));
    peer.read_head().await.unwrap();
    peer.reset();
    let mut failed = in_time(sending).await.unwrap().unwrap_err();
    assert_eq!(failed.error().kind(), ErrorKind::Reset);
    assert!(failed.take_message().is_none());
    assert!(failed.source().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_tried_waits_for_the_response_before() {
    let (mut sender, _connection, mut peer) = connect().await;
    let response = ask(&mut sender, &mut peer, LONG).await;
    let sending = beside(sender.try_send_request(recognisable()));
    settle().await;
    assert!(!sending.is_finished());
    peer.send(vec![b'x'; 1000]).await.unwrap();
    read(response).await.unwrap();
    in_time(peer.read_head()).await.unwrap();
    peer.send(NOTHING).await.unwrap();
    in_time(sending).await.unwrap().unwrap();
}
