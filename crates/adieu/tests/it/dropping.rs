//! What is dropped, and what becomes of the connection: the table of the design, row by row; and whatever can be
//! cancelled, cancelled at each of its steps.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::conn::http1::{Builder, Connection, SendRequest};
use adieu::{
    Body, Bytes, CloseKind, CloseMode, CloseReason, CloseReport, Ended, ErrorKind, Phase, Signal, State,
};
use adieu_testkit::memory::{Chunks, MemoryEnd, PairBuilder};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    BodyFrame, HandedBody, Memory, Shared, ask, beside, clock, get, handed_body, in_memory_over,
    in_memory_with, in_time, pass, piece, poll_once, post, read, settle, upload, watch_for_hangs, within,
};

const SMALL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const LONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

async fn connect() -> (SendRequest, Connection, MemoryEnd) {
    connect_with(&Builder::new()).await
}

async fn connect_with(builder: &Builder) -> (SendRequest, Connection, MemoryEnd) {
    watch_for_hangs();
    in_memory_with(builder).await
}

/// The connection can be used: one whole exchange more.
async fn assert_usable(sender: &mut SendRequest, peer: &mut MemoryEnd) {
    assert_eq!(read(ask(sender, peer, SMALL).await).await.unwrap(), "hi");
}

/// Cut short: RST, and no FIN.
async fn assert_reset(connection: &Connection, peer: &mut MemoryEnd, reason: CloseReason) -> CloseReport {
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Reset);
    let report = in_time(connection.closed()).await;
    assert_eq!((&report.reason, report.ended), (&reason, Ended::Aborted), "{report}");
    assert!(report.sent.contains(Signal::Rst) && !report.sent.contains(Signal::Fin), "{report}");
    report
}

/// In order: FIN, and the peer's is waited for.
async fn assert_goodbye(connection: &Connection, peer: &mut MemoryEnd, reason: CloseReason) -> CloseReport {
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
    assert_eq!(connection.state(), State::Lingering);
    peer.fin().await.unwrap();
    let report = in_time(connection.closed()).await;
    assert_eq!((&report.reason, report.ended), (&reason, Ended::Clean), "{report}");
    assert!(report.sent.contains(Signal::Fin) && !report.sent.contains(Signal::Rst), "{report}");
    report
}

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
    // The first cause of the end is that the response could end in no other way.
    let report = assert_goodbye(&connection, &mut peer, CloseReason::BodyUntilClose).await;
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

// The body of a request.

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

// Wherever it happens.

#[test]
fn dropping_on_a_plain_thread_outside_of_the_runtime() {
    watch_for_hangs();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for what in 0..6 {
        let (mut sender, connection, mut peer) = runtime.block_on(connect());
        let closed = connection.closed();
        match what {
            0 => drop((sender, connection)),
            1 => {
                let body = runtime.block_on(ask(&mut sender, &mut peer, LONG)).into_body();
                drop(body);
                drop((sender, connection));
            }
            2 => {
                let mut sending = sender.send_request(get("/"));
                assert!(runtime.block_on(poll_once(&mut sending)).is_pending());
                drop(sending);
                drop((sender, connection));
            }
            3 => {
                let (_body, frames) = handed_body();
                let mut sending = sender.send_request(upload(frames, None));
                assert!(runtime.block_on(poll_once(&mut sending)).is_pending());
                drop((sending, sender, connection));
            }
            4 => {
                drop(connection.close(CloseMode::graceful()));
                drop((sender, connection));
            }
            _ => {
                let sending = sender.send_request(get("/"));
                std::thread::spawn(move || drop((sender, sending, connection))).join().unwrap();
            }
        }
        let end = runtime.block_on(within(ms(5_000), peer.read_until_end())).unwrap().1;
        assert_eq!(
            end,
            if what == 3 { adieu_testkit::Ended::Reset } else { adieu_testkit::Ended::Fin },
            "{what}"
        );
        drop(peer);
        let report = runtime.block_on(within(ms(5_000), closed));
        assert_eq!(report.ended, if what == 3 { Ended::Aborted } else { Ended::Clean }, "{report}");
    }
}

#[test]
fn dropping_after_the_runtime_is_gone() {
    watch_for_hangs();
    for what in 0..8 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (mut sender, connection, mut peer) = runtime.block_on(connect());
        let mut held: Option<Box<dyn std::any::Any>> = None;
        match what {
            0 => {}
            1 => held = Some(Box::new(runtime.block_on(ask(&mut sender, &mut peer, LONG)))),
            2 => {
                let mut sending = sender.send_request(get("/"));
                assert!(runtime.block_on(poll_once(&mut sending)).is_pending());
                held = Some(Box::new(sending));
            }
            3 => {
                let (body, frames) = handed_body();
                let mut sending = sender.send_request(upload(frames, None));
                assert!(runtime.block_on(poll_once(&mut sending)).is_pending());
                held = Some(Box::new((sending, body)));
            }
            4 => held = Some(Box::new(sender.send_request(get("/")))),
            5 => {
                let closing = connection.close(CloseMode::graceful());
                runtime.block_on(settle());
                held = Some(Box::new(closing));
            }
            6 => held = Some(Box::new(connection.close(CloseMode::abort()))),
            _ => {
                // Long idle: no alarm is set, nothing is awaited.
                runtime.block_on(pass(ms(1_100)));
            }
        }
        drop(runtime);
        drop(held);
        let other = connection.clone();
        drop(sender);
        drop(connection);
        let closing = other.close(CloseMode::now());
        let report = other.report().unwrap_or_else(|| panic!("no report in case {what}"));
        drop(closing);
        assert_ne!(other.state(), State::Idle);
        assert!(report.failed <= 1, "{report}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (_, end) = runtime.block_on(within(ms(5_000), peer.read_until_end())).unwrap();
        if what == 3 {
            assert_eq!(
                end,
                adieu_testkit::Ended::Reset,
                "an upload that was cut short looks whole: {report}"
            );
        }
    }
}

#[test]
fn polling_after_the_runtime_is_gone_fails_and_does_not_panic() {
    watch_for_hangs();
    std::thread::scope(|scope| {
        for idle in [0, 1_100] {
            for what in 0..4 {
                scope.spawn(move || polling_after_the_runtime_is_gone(idle, what));
            }
        }
    });
}

fn polling_after_the_runtime_is_gone(idle: u64, what: u32) {
    let first = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut sender, connection, mut peer) = first.block_on(connect());
    first.block_on(pass(ms(idle)));
    let second = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match what {
        0 => {
            drop(first);
            let error = second.block_on(within(ms(5_000), sender.send_request(get("/")))).unwrap_err();
            assert_eq!(error.close_reason(), Some(&CloseReason::RuntimeGone), "{error}");
        }
        1 => {
            let response = first.block_on(ask(&mut sender, &mut peer, LONG));
            drop(first);
            assert!(second.block_on(within(ms(5_000), read(response))).is_err());
        }
        2 => {
            let mut sending = sender.send_request(get("/"));
            assert!(first.block_on(poll_once(&mut sending)).is_pending());
            drop(first);
            assert!(second.block_on(within(ms(5_000), sending)).is_err());
        }
        _ => {
            drop(first);
            second.block_on(within(ms(5_000), connection.close(CloseMode::graceful())));
        }
    }
    second.block_on(within(ms(5_000), connection.closed()));
}

#[tokio::test(start_paused = true)]
async fn dropping_everything_inside_another_task() {
    let (mut sender, connection, mut peer) = connect().await;
    let closed = connection.closed();
    let response = ask(&mut sender, &mut peer, LONG).await;
    beside(async move {
        drop(connection);
        let mut next = sender.send_request(get("/next"));
        assert!(poll_once(&mut next).await.is_ready(), "NotReady: the body is still held");
        drop((next, sender, response));
    });
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
    peer.fin().await.unwrap();
    in_time(closed).await;
}

#[test]
fn dropping_while_another_thread_closes() {
    watch_for_hangs();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for round in 0..300 {
        let (mut sender, connection, mut peer) = runtime.block_on(connect());
        let closed = connection.closed();
        let body = (round % 2 == 0).then(|| runtime.block_on(ask(&mut sender, &mut peer, LONG)).into_body());
        let mode =
            [CloseMode::graceful(), CloseMode::half(), CloseMode::now(), CloseMode::abort()][round / 2 % 4];
        let other = connection.clone();
        std::thread::scope(|scope| {
            scope.spawn(move || drop(other.close(mode)));
            scope.spawn(move || drop(body));
            scope.spawn(move || drop(sender));
            scope.spawn(move || drop(connection));
        });
        drop(peer);
        let report = runtime.block_on(within(ms(5_000), closed));
        assert!(report.exchanges + report.failed <= 1, "{report}");
    }
}

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
