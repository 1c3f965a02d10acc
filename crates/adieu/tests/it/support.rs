//! What the tests share: a connection to a scripted peer, and one over the in-memory transport.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::conn::http1::{self, Connection, SendRequest};
use adieu::transport::{ResetArmed, Transport};
use adieu::{Body, Bytes};
use adieu_testkit::memory::{MemoryEnd, PairBuilder};
use adieu_testkit::peer::Peer;
use http::Request;
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// An in-memory end as a transport that can reset.
#[derive(Debug)]
pub(crate) struct Memory(pub(crate) MemoryEnd);

impl Transport for Memory {
    fn arm_reset(&self) -> ResetArmed {
        self.0.reset();
        ResetArmed::Yes
    }
}

impl AsyncRead for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Memory {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Connects to a scripted peer.
pub(crate) async fn connect(peer: &Peer) -> (SendRequest, Connection) {
    connect_with(peer, &http1::Builder::new()).await
}

/// Connects to a scripted peer with settings.
pub(crate) async fn connect_with(peer: &Peer, builder: &http1::Builder) -> (SendRequest, Connection) {
    let io = tokio::net::TcpStream::connect(peer.address()).await.unwrap();
    io.set_nodelay(true).unwrap();
    builder.handshake(io).await.unwrap()
}

/// A connection over memory, with settings; and the peer's end.
pub(crate) async fn in_memory_with(builder: &http1::Builder) -> (SendRequest, Connection, MemoryEnd) {
    in_memory_over(PairBuilder::new(), builder).await
}

/// A connection over memory; and the peer's end.
pub(crate) async fn in_memory() -> (SendRequest, Connection, MemoryEnd) {
    in_memory_with(&http1::Builder::new()).await
}

/// A connection over a pair of your own making; and the peer's end.
pub(crate) async fn in_memory_over(
    pair: PairBuilder,
    builder: &http1::Builder,
) -> (SendRequest, Connection, MemoryEnd) {
    let (ours, theirs) = pair.build();
    let (sender, connection) = builder.handshake_on(Memory(ours)).await.unwrap();
    (sender, connection, theirs)
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(format!("http://example.com{path}")).body(Body::empty()).unwrap()
}

pub(crate) fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(format!("http://example.com{path}")).body(body.into()).unwrap()
}

/// The whole body.
pub(crate) async fn read(response: http::Response<Body>) -> Result<Bytes, adieu::Error> {
    Ok(response.into_body().collect().await?.to_bytes())
}

/// Ends the process, naming the test, if the test hangs or spins: a paused clock helps against neither.
pub(crate) fn watch_for_hangs() {
    thread_local!(static WATCH: RefCell<Option<mpsc::Sender<()>>> = const { RefCell::new(None) });
    let (watch, over) = mpsc::channel::<()>();
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    std::thread::spawn(move || {
        if over.recv_timeout(HANGS_AFTER) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{test} hangs");
            std::process::abort();
        }
    });
    // The one before, of a test on the same thread, is over.
    WATCH.set(Some(watch));
}

/// Real time after which a test hangs.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// The time of the test's clock.
#[expect(clippy::disallowed_methods, reason = "a test looks at the clock from outside")]
pub(crate) fn clock() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Lets so much time pass.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Lets everything happen that can happen at once.
pub(crate) async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// Runs beside the test.
pub(crate) fn beside<F>(task: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::runtime::Handle::current().spawn(task)
}

/// Awaits what must come within so much (mostly virtual) time, and tells where it did not.
#[track_caller]
pub(crate) fn within<F: Future>(limit: Duration, what: F) -> impl Future<Output = F::Output> {
    let here = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(limit, what).await {
            Ok(came) => came,
            Err(_) => panic!("nothing came within {limit:?}: {here}"),
        }
    }
}

/// Awaits what must come some day.
#[track_caller]
pub(crate) fn in_time<F: Future>(what: F) -> impl Future<Output = F::Output> {
    within(Duration::from_secs(86_400), what)
}

/// A request whose body is polled piece by piece, and chunked unless a length is given.
pub(crate) fn upload<B>(body: B, length: Option<u64>) -> Request<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<adieu::BoxError>,
{
    let mut request = Request::put("http://example.com/up");
    if let Some(length) = length {
        request = request.header("content-length", length);
    }
    request.body(Body::wrap(body)).unwrap()
}

/// A body whose frames come through a channel: silent while nothing is sent, at its end when the sender is dropped.
pub(crate) fn handed_body() -> (tokio::sync::mpsc::UnboundedSender<BodyFrame>, HandedBody) {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    (sender, HandedBody { receiver, token: Arc::new(()) })
}

/// A frame of a [`HandedBody`], or its error.
pub(crate) type BodyFrame = Result<http_body::Frame<Bytes>, adieu::BoxError>;

/// See [`handed_body`].
pub(crate) struct HandedBody {
    receiver: tokio::sync::mpsc::UnboundedReceiver<BodyFrame>,
    token: Arc<()>,
}

impl HandedBody {
    /// Dies with the body.
    pub(crate) fn token(&self) -> Weak<()> {
        Arc::downgrade(&self.token)
    }
}

impl http_body::Body for HandedBody {
    type Data = Bytes;
    type Error = adieu::BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        self.receiver.poll_recv(cx)
    }
}

/// A data frame of [`handed_body`].
pub(crate) fn piece(data: impl Into<Bytes>) -> BodyFrame {
    Ok(http_body::Frame::data(data.into()))
}

/// One exchange: the request is sent, the peer reads its head and sends `answer`. The body, if any, is not read.
pub(crate) async fn ask(
    sender: &mut SendRequest,
    peer: &mut MemoryEnd,
    answer: impl AsRef<[u8]>,
) -> http::Response<Body> {
    let (response, ()) = tokio::join!(in_time(sender.send_request(get("/"))), async {
        in_time(peer.read_head()).await.unwrap();
        peer.send(answer).await.unwrap();
    });
    response.unwrap()
}

/// Polls a future once.
pub(crate) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// An in-memory end that the test keeps a hand on, for [`MemoryEnd::set_buffer`] and the like.
#[derive(Clone, Debug)]
pub(crate) struct Shared(pub(crate) Arc<Mutex<MemoryEnd>>);

impl Shared {
    pub(crate) fn new(end: MemoryEnd) -> Self {
        Self(Arc::new(Mutex::new(end)))
    }

    /// Does something to the end.
    pub(crate) fn with<T>(&self, deed: impl FnOnce(&mut MemoryEnd) -> T) -> T {
        deed(&mut self.0.lock().unwrap())
    }
}

impl Transport for Shared {
    fn arm_reset(&self) -> ResetArmed {
        self.with(|end| end.reset());
        ResetArmed::Yes
    }
}

impl AsyncRead for Shared {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|end| Pin::new(end).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Shared {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|end| Pin::new(end).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|end| Pin::new(end).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|end| Pin::new(end).poll_shutdown(cx))
    }
}
