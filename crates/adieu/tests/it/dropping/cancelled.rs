//! Whatever can be cancelled, cancelled at each of its steps; and what the types promise.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;

use adieu::conn::http1::{Builder, Connection, SendRequest};
use adieu::{Body, CloseMode, CloseReason, Phase, State};
use adieu_testkit::memory::{Chunks, MemoryEnd, PairBuilder};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{CHUNKED, LONG, SMALL, assert_usable, connect, connect_with, ms};
use crate::support::{
    Memory, Shared, ask, beside, get, handed_body, in_time, pass, piece, poll_once, read, upload,
    watch_for_hangs,
};

// Cancelled at each step.

/// One exchange with everything in it: an interim response, an upload, a response in pieces, trailers.
async fn everything(mut sender: SendRequest, connection: Connection) -> SendRequest {
    let (body, frames) = handed_body();
    for part in ["one", "two", "three"] {
        body.send(piece(part)).unwrap();
    }
    drop(body);
    sender.ready().await.unwrap();
    let response = sender.send_request(upload(frames, None)).await.unwrap();
    let mut watch = connection.watch();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        frame.unwrap();
    }
    while watch.state() != State::Idle {
        watch.changed().await;
    }
    let response = sender.send_request(get("/")).await.unwrap();
    read(response).await.unwrap();
    sender
}

/// The server of [`everything`], which takes whatever comes.
async fn serve(mut peer: MemoryEnd) {
    let answers = [
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
        SMALL,
    ];
    for (answer, end) in answers.into_iter().zip(["0\r\n\r\n", "\r\n\r\n"]) {
        let mut request = Vec::new();
        while !request.ends_with(end.as_bytes()) {
            let mut byte = [0];
            match peer.read(&mut byte).await {
                Ok(1) => request.push(byte[0]),
                _ => return,
            }
        }
        for byte in answer.as_bytes() {
            if peer.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    }
    let _ = peer.read_until_end().await;
}

/// Polls a future so many times, one poll per wake-up, then drops it.
async fn cancelled_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn cancelled_at_each_poll_the_connection_ends_or_can_be_used() {
    for (buffer, chunks) in
        [(1, Chunks::AtMost(1)), (7, Chunks::AtMost(3)), (65_536, Chunks::AtMost(1)), (65_536, Chunks::Whole)]
    {
        let mut polls = 0;
        loop {
            watch_for_hangs();
            let (ours, peer) = PairBuilder::new().buffer(buffer).chunks(chunks.clone()).build();
            let (sender, connection) = Builder::new().handshake_on(Memory(ours)).await.unwrap();
            let serving = beside(serve(peer));
            let closed = connection.closed();
            let done = in_time(cancelled_after(polls, everything(sender, connection.clone()))).await;
            let finished = done.is_some();
            drop(done);
            drop(connection);
            let report = in_time(closed).await;
            assert!(report.exchanges + report.failed <= 2, "after {polls} polls: {report}");
            if finished {
                assert_eq!((report.exchanges, report.failed), (2, 0), "after {polls} polls: {report}");
            }
            in_time(serving).await.unwrap();
            if finished {
                break;
            }
            polls += 1;
        }
        assert!(polls > 2, "{polls} polls are too few to mean anything");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_cancelled_at_each_poll_leaves_the_next_one_unharmed() {
    // The same sender goes on: its next request gets its own response, or is told that the connection is closed.
    let mut outcomes = [0, 0];
    for polls in 0..200 {
        watch_for_hangs();
        let (ours, peer) = PairBuilder::new().buffer(9).chunks(Chunks::AtMost(2)).build();
        let (mut sender, connection) = Builder::new().handshake_on(Memory(ours)).await.unwrap();
        let serving = beside(echo_targets(peer));
        let first = cancelled_after(polls, async {
            let response = sender.send_request(get("/first")).await.unwrap();
            read(response).await.unwrap()
        });
        let first = in_time(first).await;
        match in_time(sender.send_request(get("/second"))).await {
            Ok(response) => {
                assert_eq!(in_time(read(response)).await.unwrap(), "/second");
                outcomes[0] += 1;
            }
            Err(error) => {
                assert_eq!(
                    error.close_reason(),
                    Some(&CloseReason::RequestCancelled),
                    "after {polls} polls: {error:?}"
                );
                outcomes[1] += 1;
            }
        }
        drop(sender);
        in_time(connection.close(CloseMode::now())).await;
        in_time(serving).await.unwrap();
        if let Some(first) = first {
            assert_eq!(first, "/first");
            assert!(outcomes.iter().all(|outcome| *outcome > 0), "{outcomes:?}");
            return;
        }
    }
    panic!("200 polls were not enough");
}

/// Answers each request with its target.
async fn echo_targets(mut peer: MemoryEnd) {
    while let Ok(head) = peer.read_head().await {
        let target = String::from_utf8(head).unwrap().split(' ').nth(1).unwrap().to_owned();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len());
        if peer.send(answer).await.is_err() {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_readiness_or_a_state_can_be_cancelled_at_any_time() {
    let (mut sender, connection, mut peer) = connect().await;
    let response = ask(&mut sender, &mut peer, LONG).await;
    let mut watch = connection.watch();
    for _ in 0..100 {
        tokio::select! {
            biased;
            ready = sender.ready() => panic!("{ready:?}"),
            state = watch.changed() => panic!("{state}"),
            report = connection.closed() => panic!("{report}"),
            () = tokio::task::yield_now() => {}
        }
    }
    peer.send(vec![b'x'; 1000]).await.unwrap();
    in_time(read(response)).await.unwrap();
    in_time(sender.ready()).await.unwrap();
    assert_eq!(in_time(watch.changed()).await, State::Idle);
    assert_usable(&mut sender, &mut peer).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_rest_to_be_drained_can_be_cancelled() {
    let (mut sender, connection, mut peer) = connect().await;
    let response = ask(&mut sender, &mut peer, LONG).await;
    drop(response);
    for _ in 0..3 {
        let mut next = sender.send_request(get("/"));
        assert!(poll_once(&mut next).await.is_pending());
        assert!(tokio::time::timeout(ms(5), pin!(sender.ready())).await.is_err());
    }
    peer.send(vec![b'x'; 1000]).await.unwrap();
    in_time(sender.ready()).await.unwrap();
    assert_usable(&mut sender, &mut peer).await;
    assert_eq!(connection.snapshot().done, 2);
}

// What the types promise.

#[test]
fn everything_that_is_handed_out_can_be_sent() {
    fn assert_send<T: Send + 'static>(_: &T) {}
    fn assert_sync<T: Send + Sync + 'static>(_: &T) {}
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut sender, connection, _peer) = connect().await;
        assert_sync(&sender);
        assert_sync(&connection);
        assert_sync(&connection.watch());
        assert_sync(&Body::wrap(Body::empty()));
        let response = sender.send_request(get("/"));
        assert_send(&response);
        assert_send(&sender.try_send_request(get("/")));
        assert_send(&connection.closed());
        assert_send(&async move {
            sender.ready().await?;
            let body = sender.send_request(get("/")).await?.into_body();
            body.collect().await
        });
        let closing = connection.close(CloseMode::abort());
        assert_send(&closing);
        drop((response, closing));
    });
}

#[tokio::test(start_paused = true)]
async fn the_phase_of_a_timeout_survives_a_drop_elsewhere() {
    // A deadline and a drop at the same moment: one of them is the reason, and the report comes.
    let (mut sender, connection, mut peer) =
        connect_with(&Builder::new().exchange_timeout(Some(ms(500)))).await;
    let response = ask(&mut sender, &mut peer, CHUNKED).await;
    pass(ms(500)).await;
    drop(response);
    drop(peer);
    let report = in_time(connection.closed()).await;
    let either = [CloseReason::TimedOut(Phase::Exchange), CloseReason::RequestCancelled];
    assert!(either.contains(&report.reason), "{report}");
    assert_eq!(report.failed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_gone_holds_no_memory_of_its_transport() {
    watch_for_hangs();
    let (ours, mut peer) = PairBuilder::new().build();
    let ours = Shared::new(ours);
    let weak: Weak<_> = Arc::downgrade(&ours.0);
    let (mut sender, connection) = Builder::new().handshake_on(ours).await.unwrap();
    assert_usable(&mut sender, &mut peer).await;
    let closing = connection.close(CloseMode::graceful());
    peer.fin().await.unwrap();
    in_time(closing).await;
    assert!(weak.upgrade().is_none(), "the transport is kept by a handle of a closed connection");
    drop((sender, connection));
}
