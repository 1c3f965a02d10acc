//! Wake-ups that were lost once, and what outlived its use: one test for each, over a transport in our hands or real
//! sockets.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use adieu::conn::Upgraded;
use adieu::conn::http1::{self, Connection};
use adieu::transport::{Peek, Transport};
use adieu::{Body, Bytes, CloseMode, Ended, State};
use adieu_testkit::peer::{Peer, Script, Until};
use http::Request;
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{sleep, timeout};

use crate::support::{connect, get};

const SWITCH: &str = "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
const SECONDS: Duration = Duration::from_secs(5);

fn upgrade() -> Request<Body> {
    let request = Request::get("http://example.com/").header("connection", "upgrade").header("upgrade", "x");
    request.body(Body::empty()).unwrap()
}

/// A transport with one waker a direction, as a socket has.
#[derive(Clone, Default)]
struct ByHand(Arc<Mutex<Hand>>);

#[derive(Default)]
struct Hand {
    peek: Option<Peek>,
    incoming: Vec<u8>,
    fails: Option<io::ErrorKind>,
    ended: Option<()>,
    shuts: Option<()>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl ByHand {
    /// Changes something, and wakes whoever is registered.
    fn now(&self, change: impl FnOnce(&mut Hand)) {
        let mut hand = self.0.lock().unwrap();
        change(&mut hand);
        let wakers = [hand.reader.take(), hand.writer.take()];
        drop(hand);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Transport for ByHand {
    fn peek(&self) -> Peek {
        self.0.lock().unwrap().peek.unwrap_or(Peek::Nothing)
    }
}

impl AsyncRead for ByHand {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut hand = self.0.lock().unwrap();
        if !hand.incoming.is_empty() {
            let bytes = hand.incoming.len().min(buffer.remaining());
            buffer.put_slice(&hand.incoming[..bytes]);
            hand.incoming.drain(..bytes);
            return Poll::Ready(Ok(()));
        }
        if let Some(kind) = hand.fails.take() {
            return Poll::Ready(Err(kind.into()));
        }
        if hand.ended.is_some() {
            return Poll::Ready(Ok(()));
        }
        hand.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for ByHand {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut hand = self.0.lock().unwrap();
        if hand.shuts.is_some() {
            return Poll::Ready(Ok(()));
        }
        hand.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// One frame, then silence for ever; its drop is seen.
struct Silent(Option<Bytes>, Arc<AtomicBool>);

impl http_body::Body for Silent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.take().map_or(Poll::Pending, |bytes| Poll::Ready(Some(Ok(Frame::data(bytes)))))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.1.store(true, Ordering::SeqCst);
    }
}

/// The caller meets the end while the attendant sleeps over a silent upload: it must be told, and let go.
#[tokio::test(flavor = "multi_thread")]
async fn a_sleeping_attendant_is_told_that_the_connection_closed() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let peer = Peer::tcp(
        Script::new()
            .read_head()
            .send(head)
            .pause(Duration::from_millis(150))
            .send("garbage\r\n")
            .read_to_end(),
    );
    let peer = peer.unwrap();
    let (mut sender, connection) = connect(&peer).await;
    let dropped = Arc::new(AtomicBool::new(false));
    let body = Silent(Some(Bytes::from_static(b"hi")), dropped.clone());
    let response =
        sender.send_request(Request::post("http://example.com/").body(body).unwrap()).await.unwrap();
    sleep(Duration::from_millis(250)).await;
    assert!(response.into_body().frame().await.unwrap().is_err());
    timeout(SECONDS, connection.closed()).await.unwrap();
    timeout(SECONDS, async {
        while !dropped.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the upload is held for ever");
}

/// As tower's `oneshot` does it.
#[tokio::test]
async fn a_response_future_may_outlive_its_sender() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let peer = Peer::tcp(Script::new().read_head().send(answer).read_to_end()).unwrap();
    let (mut sender, connection) = connect(&peer).await;
    let response = sender.send_request(get("/"));
    drop((sender, connection));
    assert_eq!(response.await.unwrap().status(), 200);
    peer.finish_async().await.unwrap()[0].assert_fin();
}

/// While its first piece is polled, another driver takes a turn and with it the waker that the look registered.
struct Meddler(Option<Bytes>, Connection);

impl http_body::Body for Meddler {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = self.0.take();
        if piece.is_some() {
            let connection = self.1.clone();
            std::thread::spawn(move || drop(connection.close(CloseMode::graceful()))).join().unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(2)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_turn_of_the_attendant_between_look_and_write_loses_no_response() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let script = Script::new().read_request().pause(Duration::from_millis(200)).send(answer).read_to_end();
    let peer = Peer::tcp(script).unwrap();
    let (mut sender, connection) = connect(&peer).await;
    // Past the idle watch: no alarm is set that would wake anybody.
    sleep(Duration::from_millis(1_300)).await;
    let body = Meddler(Some(Bytes::from_static(b"hi")), connection.clone());
    let exchange =
        tokio::spawn(sender.send_request(Request::post("http://example.com/").body(body).unwrap()));
    let response = timeout(SECONDS, exchange).await.expect("the response is here, nobody was woken");
    assert_eq!(response.unwrap().unwrap().status(), 200);
    drop(peer);
}

/// The kernel has something that the runtime has not been told of; then the connection closes.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_after_a_peek_is_told_of_the_end() {
    let io = ByHand::default();
    let (mut sender, connection) = http1::handshake_on(io.clone()).await.unwrap();
    sleep(Duration::from_millis(150)).await;
    io.now(|hand| hand.peek = Some(Peek::Something));
    let exchange = tokio::spawn(sender.send_request(get("/")));
    sleep(Duration::from_millis(50)).await;
    assert_eq!(connection.state(), State::Idle);
    timeout(SECONDS, connection.close(CloseMode::abort())).await.unwrap();
    let error =
        timeout(SECONDS, exchange).await.expect("closed, and the request still waits").unwrap().unwrap_err();
    assert_eq!(error.kind(), adieu::ErrorKind::Closed);
}

async fn upgraded_by_hand(io: &ByHand) -> (Upgraded, Connection) {
    let (mut sender, connection) = http1::handshake_on(io.clone()).await.unwrap();
    let exchange = tokio::spawn(sender.send_request(upgrade()));
    sleep(Duration::from_millis(50)).await;
    io.now(|hand| hand.incoming = SWITCH.into());
    (exchange.await.unwrap().unwrap().into_body().into_upgraded().unwrap(), connection)
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_of_an_upgraded_connection_is_told_when_it_is_done() {
    let io = ByHand::default();
    let (mut upgraded, _connection) = upgraded_by_hand(&io).await;
    let shutdown = tokio::spawn(async move {
        upgraded.shutdown().await.unwrap();
        upgraded
    });
    sleep(Duration::from_millis(50)).await;
    io.now(|hand| hand.shuts = Some(()));
    timeout(SECONDS, shutdown).await.expect("our side ended, and shutdown was not told").unwrap();
}

#[tokio::test]
async fn the_end_of_an_upgraded_connection_can_be_read_again() {
    let peer = Peer::tcp(Script::new().read_head().send(SWITCH).send("bye").fin().read_to_end()).unwrap();
    let (mut sender, _connection) = connect(&peer).await;
    let mut upgraded = sender.send_request(upgrade()).await.unwrap().into_body().into_upgraded().unwrap();
    let mut all = String::new();
    upgraded.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "bye");
    upgraded.shutdown().await.unwrap();
    assert_eq!(upgraded.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn what_was_flushed_before_a_shutdown_survives_the_drop() {
    let script = Script::new().read_head().send(SWITCH).pause(Duration::from_millis(100)).read_to_end().fin();
    let peer = Peer::tcp(script).unwrap();
    let (mut sender, connection) = connect(&peer).await;
    let mut upgraded = sender.send_request(upgrade()).await.unwrap().into_body().into_upgraded().unwrap();
    upgraded.write_all(&vec![0; 200_000]).await.unwrap();
    upgraded.shutdown().await.unwrap();
    drop(upgraded);
    let report = timeout(SECONDS, connection.closed()).await.unwrap();
    assert_eq!(report.ended, Ended::Clean, "{report}");
    let seen = peer.finish_async().await.unwrap();
    seen[0].assert_fin();
    assert!(seen[0].received_len() > 200_000);
}

/// Read by the attendant together with the switch, and told by the transport only once.
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_behind_a_switch_is_no_end_in_order() {
    let io = ByHand::default();
    let (mut sender, connection) = http1::handshake_on(io.clone()).await.unwrap();
    let mut exchange = Box::pin(sender.send_request(upgrade()));
    poll_fn(|cx| Poll::Ready(exchange.as_mut().poll(cx).is_pending())).await;
    io.now(|hand| {
        hand.incoming = SWITCH.into();
        (hand.fails, hand.ended) = (Some(io::ErrorKind::ConnectionReset), Some(()));
    });
    drop(connection.close(CloseMode::graceful()));
    sleep(Duration::from_millis(100)).await;
    let mut upgraded = exchange.await.unwrap().into_body().into_upgraded().unwrap();
    let mut all = Vec::new();
    assert!(upgraded.read_to_end(&mut all).await.is_err(), "a reset passes for an end in order");
}

/// Each place that is granted to one that is gone goes on to the next, and not by way of the stack.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_goes_past_any_number_of_closes_that_are_over() {
    let builder = http1::Builder::new().max_departing(1);
    let io = ByHand::default();
    io.now(|hand| hand.shuts = Some(()));
    let (_sender, connection) = builder.handshake_on(io.clone()).await.unwrap();
    let first = connection.close(CloseMode::graceful().linger(Duration::from_secs(30)));
    sleep(Duration::from_millis(50)).await;
    let mut queued = Vec::new();
    for _ in 0..20_000 {
        let (sender, connection) = builder.handshake_on(ByHand::default()).await.unwrap();
        queued.push((connection.close(CloseMode::graceful()), connection, sender));
    }
    sleep(Duration::from_millis(200)).await;
    for (_, connection, _) in &queued {
        drop(connection.close(CloseMode::abort()));
    }
    for (closing, _, _) in &mut queued {
        timeout(SECONDS, closing).await.unwrap();
    }
    io.now(|hand| hand.ended = Some(()));
    assert_eq!(timeout(SECONDS, first).await.unwrap().ended, Ended::Clean);
}

#[tokio::test]
async fn a_future_that_is_dropped_takes_its_waker_back() {
    struct Nobody;
    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }
    let (_sender, connection) = http1::handshake_on(ByHand::default()).await.unwrap();
    let nobody = Arc::new(Nobody);
    let waker = Waker::from(nobody.clone());
    for _ in 0..100 {
        let mut closed = Box::pin(connection.closed());
        assert!(closed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    drop(waker);
    assert_eq!(Arc::strong_count(&nobody), 1);
}

/// A length of the peer's is no reason to reserve as much.
#[tokio::test]
async fn a_huge_content_length_reserves_nothing() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 9000000000000000000\r\n\r\nhello";
    let peer = Peer::tcp(Script::new().read_head().send(head).read_to_end()).unwrap();
    let io = tokio::net::TcpStream::connect(peer.address()).await.unwrap();
    let (mut sender, _connection) = http1::Builder::new().read_ahead(usize::MAX).handshake(io).await.unwrap();
    let mut body = sender.send_request(get("/")).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
    let _ = peer.wait_async(0, Until::Requests(1)).await;
    drop(peer);
}
