//! Bodies, of requests and of responses: what they say of themselves, trailers, and large ones through narrow places.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::conn::http1::{Builder, Connection, SendRequest};
use adieu::{Body, BoxError, Bytes, CloseMode, State};
use adieu_testkit::memory::{Chunks, MemoryEnd, PairBuilder};
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    ask, beside, get, handed_body, in_memory, in_memory_over, in_memory_with, in_time, piece, post, read,
    settle, upload, watch_for_hangs,
};

async fn connect() -> (SendRequest, Connection, MemoryEnd) {
    watch_for_hangs();
    in_memory().await
}

fn trailers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

#[track_caller]
fn assert_says(body: &Body, exact: Option<u64>, end: bool) {
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (exact, end), "{body:?}");
}

#[tokio::test]
async fn bodies_made_of_bytes_know_their_length() {
    for body in [Body::empty(), Body::default(), Body::from(()), Body::from(""), Body::from(Vec::new())] {
        assert_says(&body, Some(0), true);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "");
    }
    let made: [Body; 5] = [
        "hello".into(),
        String::from("hello").into(),
        Vec::from("hello").into(),
        (&b"hello"[..]).into(),
        Bytes::from_static(b"hello").into(),
    ];
    for mut body in made {
        assert_says(&body, Some(5), false);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
        assert_says(&body, Some(0), true);
        assert!(body.frame().await.is_none());
        assert!(!format!("{body:?}").is_empty());
    }
}

/// Data in two pieces that are not next to each other.
type Torn = bytes::buf::Chain<Bytes, Bytes>;

#[tokio::test]
async fn wrapped_bodies_say_what_they_wrap() {
    let body = Body::wrap(Full::new(Bytes::from_static(b"hello")));
    assert_says(&body, Some(5), false);
    assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");

    let torn: Torn = bytes::Buf::chain(Bytes::from_static(b"hel"), Bytes::from_static(b"lo"));
    let frames: VecDeque<Result<Frame<Torn>, BoxError>> = [Ok(Frame::data(torn))].into();
    let body = Body::wrap(Frames(frames));
    assert_says(&body, None, false);
    assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");

    let twice = Body::wrap(Body::wrap(Body::from("deep")));
    assert_eq!(twice.collect().await.unwrap().to_bytes(), "deep");

    let mut failing = Body::wrap(Frames([Err("no more".into())].into()) as Frames<Bytes>);
    let error = failing.frame().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), adieu::ErrorKind::RequestBody);
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no more");
}

/// A body of ready frames.
struct Frames<D>(VecDeque<Result<Frame<D>, BoxError>>);

impl<D: bytes::Buf + Unpin> http_body::Body for Frames<D> {
    type Data = D;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<D>, BoxError>>> {
        Poll::Ready(self.0.pop_front())
    }
}

#[tokio::test(start_paused = true)]
async fn response_bodies_say_what_is_known() {
    let (mut sender, connection, mut peer) = connect().await;
    // Whole with its head.
    let body =
        ask(&mut sender, &mut peer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await.into_body();
    assert_says(&body, Some(5), false);
    assert_eq!(connection.state(), State::Idle);
    assert_eq!(in_time(body.collect()).await.unwrap().to_bytes(), "hello");

    // By length, piece by piece.
    let mut body =
        ask(&mut sender, &mut peer, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello").await.into_body();
    assert_says(&body, Some(9), false);
    for (text, left) in [("hello", 4), ("wor", 1), ("d", 0)] {
        if left < 4 {
            peer.send(text).await.unwrap();
        }
        assert_eq!(in_time(body.frame()).await.unwrap().unwrap().into_data().unwrap(), text);
        assert_says(&body, Some(left), left == 0);
    }
    assert!(in_time(body.frame()).await.is_none());
    assert!(in_time(body.frame()).await.is_none());

    // Chunked: nothing is known before its end.
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut body = ask(&mut sender, &mut peer, head).await.into_body();
    assert_says(&body, None, false);
    peer.send("5\r\nhello\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(in_time(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "hello");
    assert!(in_time(body.frame()).await.is_none());
    assert!(body.is_end_stream());

    // None at all.
    for head in ["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"]
    {
        let body = ask(&mut sender, &mut peer, head).await.into_body();
        assert_says(&body, Some(0), true);
        drop(body);
        assert_eq!(connection.state(), State::Idle);
    }
    let request = Request::head("http://example.com/").body(Body::empty()).unwrap();
    let (response, ()) = tokio::join!(in_time(sender.send_request(request)), async {
        peer.read_head().await.unwrap();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await.unwrap();
    });
    let response = response.unwrap();
    assert_eq!(response.headers()["content-length"], "1000");
    assert_says(response.body(), Some(0), true);
    assert_eq!(connection.state(), State::Idle);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_body_comes_once() {
    let (mut sender, _connection, mut peer) = connect().await;
    let mut body =
        ask(&mut sender, &mut peer, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello").await.into_body();
    peer.fin().await.unwrap();
    assert_eq!(in_time(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "hello");
    assert_eq!(in_time(body.frame()).await.unwrap().unwrap_err().kind(), adieu::ErrorKind::IncompleteBody);
    assert!(in_time(body.frame()).await.is_none());
    assert!(body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn trailers_of_a_response() {
    let whole =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nSum: 900\r\nX: y\r\n\r\n";
    for cut in [whole.len(), whole.len() - 20, whole.len() - 2, 48] {
        let (mut sender, connection, mut peer) = connect().await;
        let response = ask(&mut sender, &mut peer, &whole[..cut]).await;
        peer.send(&whole[cut..]).await.unwrap();
        let collected = in_time(response.into_body().collect()).await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers(&[("sum", "900"), ("x", "y")])));
        assert_eq!(collected.to_bytes(), "abc");
        assert_eq!(connection.state(), State::Idle);
    }
    // With nothing before them.
    let (mut sender, _connection, mut peer) = connect().await;
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n";
    let mut body = ask(&mut sender, &mut peer, head).await.into_body();
    assert!(!body.is_end_stream());
    assert_eq!(
        in_time(body.frame()).await.unwrap().unwrap().into_trailers().unwrap(),
        trailers(&[("a", "b")])
    );
    assert!(in_time(body.frame()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn trailers_of_a_request() {
    let (mut sender, _connection, mut peer) = connect().await;
    let (body, frames) = handed_body();
    body.send(piece("abc")).unwrap();
    // What frames or routes a message is no trailer (RFC 9110 section 6.5.1).
    let sent = trailers(&[
        ("sum", "900"),
        ("content-length", "3"),
        ("transfer-encoding", "chunked"),
        ("host", "other"),
    ]);
    body.send(Ok(Frame::trailers(sent))).unwrap();
    body.send(piece("never sent")).unwrap();
    let sending = beside(sender.send_request(upload(frames, None)));
    peer.read_head().await.unwrap();
    let rest = "3\r\nabc\r\n0\r\nsum: 900\r\n\r\n";
    assert_eq!(in_time(peer.read_exactly(rest.len())).await.unwrap(), rest.as_bytes());
    peer.send("HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    in_time(sending).await.unwrap().unwrap();
    // The connection is in step: nothing else was sent.
    ask(&mut sender, &mut peer, "HTTP/1.1 204 No Content\r\n\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn trailers_after_a_known_length_end_the_body_without_being_sent() {
    let (mut sender, _connection, mut peer) = connect().await;
    let (body, frames) = handed_body();
    body.send(piece("abc")).unwrap();
    body.send(Ok(Frame::trailers(trailers(&[("sum", "900")])))).unwrap();
    let sending = beside(sender.send_request(upload(frames, Some(3))));
    peer.read_head().await.unwrap();
    assert_eq!(in_time(peer.read_exactly(3)).await.unwrap(), b"abc");
    peer.send("HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    in_time(sending).await.unwrap().unwrap();
    ask(&mut sender, &mut peer, "HTTP/1.1 204 No Content\r\n\r\n").await;
}

/// Bytes that tell where they are.
fn pattern(length: usize) -> Bytes {
    (0..length).map(|index| (index % 251) as u8 ^ (index / 251) as u8).collect()
}

/// Reads a head and a body by length, then sends the body back, all of it through whatever the pair is like.
async fn echo(mut peer: MemoryEnd, chunked: bool) {
    while let Ok(head) = peer.read_head().await {
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        peer.read_exact(&mut body).await.unwrap();
        if chunked {
            peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
            for part in body.chunks(3_000) {
                peer.send(format!("{:x};ext=\"1\"\r\n", part.len())).await.unwrap();
                peer.send(part).await.unwrap();
                peer.send("\r\n").await.unwrap();
            }
            peer.send("0\r\n\r\n").await.unwrap();
        } else {
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")).await.unwrap();
            peer.write_all(&body).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn large_bodies_up_and_down_through_narrow_places() {
    let places = [
        (1, Chunks::AtMost(1), 1_000),
        (61, Chunks::AtMost(7), 10_000),
        (65_536, Chunks::AtMost(1), 8_000),
        (4_096, Chunks::Whole, 100_000),
        (1 << 20, Chunks::Whole, 1_200_000),
    ];
    for (buffer, chunks, length) in places {
        for chunked in [false, true] {
            for ahead in [1, 1_000, 64 * 1024] {
                watch_for_hangs();
                let pair = PairBuilder::new().buffer(buffer).chunks(chunks.clone());
                let (mut sender, connection, peer) =
                    in_memory_over(pair, &Builder::new().read_ahead(ahead)).await;
                let serving = beside(echo(peer, chunked));
                let sent = pattern(length);
                for _ in 0..2 {
                    let response = in_time(sender.send_request(post("/echo", sent.clone()))).await.unwrap();
                    let came = in_time(read(response)).await.unwrap();
                    assert!(came == sent, "{} of {length} bytes came", came.len());
                }
                let closing = connection.close(CloseMode::graceful());
                in_time(serving).await.unwrap();
                let report = in_time(closing).await;
                assert_eq!((report.exchanges, report.failed), (2, 0), "{report}");
                assert!(report.bytes_sent > 2 * length as u64 && report.bytes_received > 2 * length as u64);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_and_its_response_can_flow_at_the_same_time() {
    // Neither side takes much at a time, and the peer sends back what it takes.
    watch_for_hangs();
    let (mut sender, connection, mut peer) =
        in_memory_over(PairBuilder::new().buffer(100), &Builder::new()).await;
    let echoing = beside(async move {
        peer.read_head().await.unwrap();
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        let mut tail = Vec::new();
        while !tail.ends_with(b"0\r\n\r\n") {
            let mut some = [0; 64];
            let count = peer.read(&mut some).await.unwrap();
            peer.send(&some[..count]).await.unwrap();
            tail.extend_from_slice(&some[..count]);
            tail.drain(..tail.len().saturating_sub(5));
        }
        peer
    });
    let sent = pattern(200_000);
    let body = Frames(sent.chunks(1_777).map(|part| Ok(Frame::data(Bytes::copy_from_slice(part)))).collect());
    let response = in_time(sender.send_request(upload(body, None))).await.unwrap();
    let came = in_time(read(response)).await.unwrap();
    assert!(came == sent, "{} bytes came", came.len());
    let mut peer = in_time(echoing).await.unwrap();
    in_time(sender.ready()).await.unwrap();
    assert_eq!(connection.snapshot().done, 1);
    ask(&mut sender, &mut peer, "HTTP/1.1 204 No Content\r\n\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_response_body_can_be_the_body_of_a_request() {
    let (mut from, from_connection, mut origin) = connect().await;
    let (mut to, to_connection, peer) = connect().await;
    let serving = beside(echo(peer, true));
    let sent = pattern(300_000);
    let response = ask(&mut from, &mut origin, "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n").await;
    let body = sent.clone();
    let feeding = beside(async move {
        origin.send(&body).await.unwrap();
        origin
    });
    let came = in_time(to.send_request(post("/", response.into_body()))).await.unwrap();
    assert!(in_time(read(came)).await.unwrap() == sent);
    assert_eq!((from_connection.state(), to_connection.state()), (State::Idle, State::Idle));
    let _origin = in_time(feeding).await.unwrap();
    in_time(to_connection.close(CloseMode::abort())).await;
    in_time(serving).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_response_body_that_fails_fails_the_request_that_it_feeds() {
    let (mut from, _from, mut origin) = connect().await;
    let (mut to, to_connection, mut peer) = connect().await;
    let response = ask(&mut from, &mut origin, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    let sending = beside(to.send_request(post("/", response.into_body())));
    peer.read_head().await.unwrap();
    settle().await;
    drop(origin);
    let error = in_time(sending).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), adieu::ErrorKind::RequestBody);
    let source = std::error::Error::source(&error).unwrap().downcast_ref::<adieu::Error>().unwrap();
    assert_eq!(source.kind(), adieu::ErrorKind::IncompleteBody);
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Reset);
    in_time(to_connection.closed()).await;
}

#[tokio::test(start_paused = true)]
async fn empty_pieces_of_a_body_are_no_end() {
    let (mut sender, _connection, mut peer) = connect().await;
    let (body, frames) = handed_body();
    for part in ["", "abc", "", "", "def", ""] {
        body.send(piece(part)).unwrap();
    }
    drop(body);
    let sending = beside(sender.send_request(upload(frames, None)));
    peer.read_head().await.unwrap();
    let rest = "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
    assert_eq!(in_time(peer.read_exactly(rest.len())).await.unwrap(), rest.as_bytes());
    peer.send("HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    in_time(sending).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_coding_named_by_its_caller_is_kept_with_and_without_a_body() {
    for body in ["", "abc"] {
        let (mut sender, _connection, mut peer) = connect().await;
        let mut request = post("/", body);
        request.headers_mut().insert("transfer-encoding", "chunked".parse().unwrap());
        let sending = beside(sender.send_request(request));
        let head = String::from_utf8(in_time(peer.read_head()).await.unwrap()).unwrap();
        assert!(!head.contains("content-length") && head.contains("transfer-encoding: chunked"), "{head}");
        let rest = if body.is_empty() { "0\r\n\r\n" } else { "3\r\nabc\r\n0\r\n\r\n" };
        assert_eq!(in_time(peer.read_exactly(rest.len())).await.unwrap(), rest.as_bytes());
        peer.send("HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        in_time(sending).await.unwrap().unwrap();
        ask(&mut sender, &mut peer, "HTTP/1.1 204 No Content\r\n\r\n").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_announces_more_than_there_is_room_for_costs_nothing() {
    struct Boast;
    impl http_body::Body for Boast {
        type Data = Bytes;
        type Error = BoxError;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Pending
        }
        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(u64::MAX)
        }
    }
    let (mut sender, connection, mut peer) = connect().await;
    let sending = beside(sender.send_request(post("/", Body::wrap(Boast))));
    let head = String::from_utf8(in_time(peer.read_head()).await.unwrap()).unwrap();
    assert!(head.contains(&format!("content-length: {}\r\n", u64::MAX)), "{head}");
    peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\nabc", u64::MAX)).await.unwrap();
    let mut body = in_time(sending).await.unwrap().unwrap().into_body();
    assert_eq!(in_time(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "abc");
    assert_eq!(body.size_hint().exact(), Some(u64::MAX - 3));
    in_time(connection.close(CloseMode::now())).await;
}

// Interim responses.

type Told = Arc<Mutex<Vec<(u16, HeaderMap)>>>;

fn telling() -> (Builder, Told) {
    let told = Told::default();
    let tell = told.clone();
    let builder = Builder::new().on_interim(move |interim: &Response<()>| {
        tell.lock().unwrap().push((interim.status().as_u16(), interim.headers().clone()));
    });
    (builder, told)
}

#[tokio::test(start_paused = true)]
async fn interim_responses_are_told_in_order_and_before_the_final_one() {
    watch_for_hangs();
    let (builder, told) = telling();
    let (mut sender, connection, mut peer) = in_memory_with(&builder).await;
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
        HTTP/1.1 199 Whatever\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    let whole = ask(&mut sender, &mut peer, answer).await;
    let codes: Vec<_> = told.lock().unwrap().iter().map(|(code, _)| *code).collect();
    assert_eq!((codes, whole.status().as_u16()), (vec![103, 102, 199], 200));
    assert_eq!(told.lock().unwrap()[0].1, trailers(&[("link", "</a>")]));
    assert_eq!(read(whole).await.unwrap(), "hi");
    assert_eq!((connection.state(), connection.snapshot().done), (State::Idle, 1));

    // Byte by byte.
    told.lock().unwrap().clear();
    let sending = beside(sender.send_request(get("/")));
    peer.read_head().await.unwrap();
    for byte in answer.as_bytes() {
        peer.send([*byte]).await.unwrap();
        settle().await;
    }
    assert_eq!(read(in_time(sending).await.unwrap().unwrap()).await.unwrap(), "hi");
    assert_eq!(told.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_hook_may_look_at_its_connection_and_close_it() {
    watch_for_hangs();
    let slot: Arc<Mutex<Option<Connection>>> = Arc::default();
    let seen = slot.clone();
    let builder = Builder::new().on_interim(move |_: &Response<()>| {
        let connection = seen.lock().unwrap().clone().unwrap();
        assert_eq!(connection.state(), State::Active);
        assert!(!connection.snapshot().to_string().is_empty());
        drop(connection.close(CloseMode::now()));
    });
    let (mut sender, connection, mut peer) = in_memory_with(&builder).await;
    *slot.lock().unwrap() = Some(connection.clone());
    let sending = beside(sender.send_request(get("/")));
    peer.read_head().await.unwrap();
    peer.send("HTTP/1.1 103 Early Hints\r\n\r\n").await.unwrap();
    let error = in_time(sending).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), adieu::ErrorKind::Closed);
    drop(peer);
    in_time(connection.closed()).await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_harms_only_its_own_exchange() {
    watch_for_hangs();
    let builder = Builder::new().on_interim(|_: &Response<()>| panic!("the hook panics"));
    let (mut sender, connection, mut peer) = in_memory_with(&builder).await;
    let sending = beside(sender.send_request(get("/")));
    peer.read_head().await.unwrap();
    peer.send("HTTP/1.1 103 Early Hints\r\n\r\n").await.unwrap();
    assert!(in_time(sending).await.unwrap_err().is_panic());
    drop(peer);
    let report = tokio::time::timeout(Duration::from_secs(10), connection.closed()).await.unwrap();
    assert_eq!(report.reason, adieu::CloseReason::RequestCancelled, "{report}");
}
