//! The body of a request: what does not fit, what fails, what panics, and when it is let go of.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use adieu::conn::http1::Connection;
use adieu::{Bytes, CloseMode, CloseReason, CloseReport, ErrorKind, State};

use super::{LONG, SMALL, assert_reset, assert_usable, connect, ms};
use crate::support::{BodyFrame, HandedBody, beside, handed_body, in_time, piece, read, settle, upload};

async fn misfit(length: Option<u64>, frames: Vec<BodyFrame>) -> (adieu::Error, CloseReport) {
    let (mut sender, connection, mut peer) = connect().await;
    let (body, handed) = handed_body();
    let sending = beside(sender.send_request(upload(handed, length)));
    peer.read_head().await.unwrap();
    for frame in frames {
        body.send(frame).unwrap();
        settle().await;
    }
    drop(body);
    let error = in_time(sending).await.unwrap().unwrap_err();
    (error, assert_reset(&connection, &mut peer, CloseReason::RequestBodyFailed).await)
}

#[tokio::test(start_paused = true)]
async fn a_request_body_that_does_not_fit_resets_and_says_so() {
    let cases = [
        ("ended before", misfit(Some(10), vec![piece("short")]).await),
        ("ended before", misfit(Some(10), vec![]).await),
        ("goes on past", misfit(Some(10), vec![piece("longer than ten bytes")]).await),
        ("disk on fire", misfit(Some(10), vec![piece("short"), Err("disk on fire".into())]).await),
        ("disk on fire", misfit(None, vec![Err("disk on fire".into())]).await),
    ];
    for (words, (error, report)) in cases {
        assert_eq!(error.kind(), ErrorKind::RequestBody, "{error:?}");
        assert_eq!(error.blame(), adieu::Blame::Caller);
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(words), "{source}");
        assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_body_that_is_too_long_at_its_end_is_told_apart() {
    // Ten bytes were promised and came; the eleventh is never asked for.
    let (mut sender, connection, mut peer) = connect().await;
    let (body, frames) = handed_body();
    let token = frames.token();
    let sending = beside(sender.send_request(upload(frames, Some(10))));
    body.send(piece("just ten..")).unwrap();
    body.send(piece("and more")).unwrap();
    peer.read_head().await.unwrap();
    assert_eq!(in_time(peer.read_exactly(10)).await.unwrap(), b"just ten..");
    settle().await;
    assert!(token.upgrade().is_none(), "a body that owes nothing is kept");
    peer.send(SMALL).await.unwrap();
    in_time(sending).await.unwrap().unwrap();
    assert_eq!(connection.state(), State::Idle);
}

#[tokio::test(start_paused = true)]
async fn a_request_body_that_fails_after_the_head_of_its_response_is_told_to_the_reader() {
    let (mut sender, connection, mut peer) = connect().await;
    let (body, frames) = handed_body();
    let sending = beside(sender.send_request(upload(frames, None)));
    peer.read_head().await.unwrap();
    peer.send(LONG).await.unwrap();
    let reading = beside(read(in_time(sending).await.unwrap().unwrap()));
    settle().await;
    body.send(Err("disk on fire".into())).unwrap();
    let error = in_time(reading).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.blame()), (ErrorKind::RequestBody, adieu::Blame::Caller), "{error:?}");
    assert_reset(&connection, &mut peer, CloseReason::RequestBodyFailed).await;
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_let_go_of_as_soon_as_it_owes_nothing() {
    // By its length, by its end, and by a response that stops it.
    for length in [Some(4), None] {
        let (mut sender, _connection, mut peer) = connect().await;
        let (body, frames) = handed_body();
        let token = frames.token();
        let sending = beside(sender.send_request(upload(frames, length)));
        body.send(piece("all.")).unwrap();
        if length.is_none() {
            drop(body);
        }
        peer.read_head().await.unwrap();
        settle().await;
        assert!(token.upgrade().is_none(), "kept while the response is awaited (length {length:?})");
        peer.send(SMALL).await.unwrap();
        in_time(sending).await.unwrap().unwrap();
    }

    let (mut sender, _connection, mut peer) = connect().await;
    let (_body, frames) = handed_body();
    let token = frames.token();
    let sending = beside(sender.send_request(upload(frames, None)));
    peer.read_head().await.unwrap();
    peer.send("HTTP/1.1 413 Too Large\r\nContent-Length: 1000\r\n\r\n").await.unwrap();
    let response = in_time(sending).await.unwrap().unwrap();
    settle().await;
    assert!(token.upgrade().is_none(), "kept after it was stopped");
    drop(response);

    let (mut sender, connection, mut peer) = connect().await;
    let (_body, frames) = handed_body();
    let token = frames.token();
    let sending = beside(sender.send_request(upload(frames, None)));
    peer.read_head().await.unwrap();
    peer.send(LONG).await.unwrap();
    let _response = in_time(sending).await.unwrap().unwrap();
    settle().await;
    assert!(token.upgrade().is_some());
    in_time(connection.close(CloseMode::abort())).await;
    settle().await;
    assert!(token.upgrade().is_none(), "kept after the connection was aborted");
}

/// A body that looks at its connection, and closes it, whenever it is polled or dropped.
struct Nosy {
    connection: Arc<Mutex<Option<Connection>>>,
    frames: HandedBody,
}

impl Nosy {
    fn look(&self) {
        if let Some(connection) = &*self.connection.lock().unwrap() {
            let _ = (connection.snapshot(), connection.state(), connection.report());
        }
    }
}

impl http_body::Body for Nosy {
    type Data = Bytes;
    type Error = adieu::BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        self.look();
        Pin::new(&mut self.frames).poll_frame(cx)
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.look();
    }
}

#[tokio::test(start_paused = true)]
async fn no_body_is_polled_or_dropped_under_a_lock() {
    let answers: [&[&str]; 6] = [
        &[SMALL],
        &["HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"],
        &["HTTP/1.1 413 Too Large\r\nContent-Length: 10\r\n\r\n", "0123456789"],
        &["HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\n", "0123456789"],
        &["nonsense\r\n\r\n"],
        &[],
    ];
    for answer in answers {
        for whole in [false, true] {
            let (mut sender, connection, mut peer) = connect().await;
            let (body, frames) = handed_body();
            let nosy = Nosy { connection: Arc::new(Mutex::new(Some(connection.clone()))), frames };
            let sending = beside(sender.send_request(upload(nosy, None)));
            peer.read_head().await.unwrap();
            body.send(piece("some")).unwrap();
            settle().await;
            if whole {
                drop(body);
                settle().await;
            }
            for part in answer {
                peer.send(part).await.unwrap();
                settle().await;
            }
            if answer.is_empty() {
                drop(peer);
            }
            if let Ok(response) = in_time(sending).await.unwrap() {
                let _ = tokio::time::timeout(ms(10), read(response)).await;
            }
            in_time(connection.close(CloseMode::now())).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_body_of_a_request_that_cannot_be_sent_is_dropped_under_a_lock() {
    let (mut sender, connection, _peer) = connect().await;
    for request in [upload(nosy(&connection), Some(5)), upload(nosy(&connection), None)] {
        let (mut head, body) = request.into_parts();
        head.uri = "/no/host".parse().unwrap();
        let error = in_time(sender.send_request(http::Request::from_parts(head, body))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    }
    in_time(connection.close(CloseMode::now())).await;
    let error = in_time(sender.send_request(upload(nosy(&connection), None))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

fn nosy(connection: &Connection) -> Nosy {
    let (_, frames) = handed_body();
    Nosy { connection: Arc::new(Mutex::new(Some(connection.clone()))), frames }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_panics_takes_only_its_own_connection_along() {
    struct Bomb;
    impl http_body::Body for Bomb {
        type Data = Bytes;
        type Error = adieu::BoxError;
        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
            panic!("the body panics");
        }
    }
    struct Late(HandedBody);
    impl http_body::Body for Late {
        type Data = Bytes;
        type Error = adieu::BoxError;
        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
            assert!(Pin::new(&mut self.0).poll_frame(cx).is_pending(), "the body panics");
            Poll::Pending
        }
    }
    // Polled by its caller, before anything was written: the connection is as before.
    let (mut sender, connection, mut peer) = connect().await;
    let sending = beside(sender.send_request(upload(Bomb, Some(10))));
    assert!(in_time(sending).await.unwrap_err().is_panic());
    settle().await;
    assert_usable(&mut sender, &mut peer).await;

    // Polled by its caller in the middle: it is cut short.
    let (body, frames) = handed_body();
    let sending = beside(sender.send_request(upload(Late(frames), None)));
    peer.read_head().await.unwrap();
    body.send(piece("boom")).unwrap();
    assert!(in_time(sending).await.unwrap_err().is_panic());
    assert_reset(&connection, &mut peer, CloseReason::RequestCancelled).await;

    // Polled by nobody's task.
    let (mut sender, connection, mut peer) = connect().await;
    let (body, frames) = handed_body();
    let sending = beside(sender.send_request(upload(Late(frames), None)));
    peer.read_head().await.unwrap();
    peer.send(LONG).await.unwrap();
    let response = in_time(sending).await.unwrap().unwrap();
    body.send(piece("boom")).unwrap();
    in_time(connection.closed()).await;
    assert!(in_time(read(response)).await.is_err());
    assert!(sender.is_closed());
}
