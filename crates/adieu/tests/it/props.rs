//! What the scenes of `hard_cases` and `close_modes` are played with: a stage that cannot hang, a request body that
//! the test holds in its hand, and transports that count or misbehave.

use std::collections::VecDeque;
use std::error::Error;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use adieu::conn::http1::{Builder, Connection, SendRequest};
use adieu::transport::{Peek, ResetArmed, Transport};
use adieu::{Body, BoxError, Bytes, CloseMode, CloseReason, CloseReport, Ended, State};
use adieu_testkit::peer::{Peer, Script, Seen};
use http::Request;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

/// No scene takes longer than this, not even one that never yields.
const CURTAIN: Duration = Duration::from_secs(20);

/// Plays a scene on a runtime of one thread; a scene that hangs or spins fails.
pub(crate) fn play(scene: impl AsyncFnOnce() + Send + 'static) {
    play_on(tokio::runtime::Builder::new_current_thread(), scene);
}

/// Plays a scene on a runtime of this kind; a scene that hangs or spins fails.
pub(crate) fn play_on(mut kind: tokio::runtime::Builder, scene: impl AsyncFnOnce() + Send + 'static) {
    let (over, curtain) = mpsc::channel();
    let name = std::thread::current().name().unwrap_or("a scene").to_owned();
    let stage = std::thread::Builder::new().name(name).spawn(move || {
        let runtime = kind.enable_all().build().unwrap();
        runtime.block_on(scene());
        over.send(()).unwrap();
    });
    match curtain.recv_timeout(CURTAIN) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the scene hangs"),
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
            if let Err(panic) = stage.unwrap().join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// Something that goes on beside the scene.
pub(crate) fn beside<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::runtime::Handle::current().spawn(task)
}

/// Lets whatever can go on go on for so long.
pub(crate) async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// Polls once.
pub(crate) async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// A stopwatch.
pub(crate) fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test measures")]
    Instant::now()
}

/// So many milliseconds.
pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// One way in which the bytes of an answer arrive.
pub(crate) struct Cut<'a> {
    answer: &'a [u8],
    /// Where it is cut.
    at: Vec<usize>,
}

impl Cut<'_> {
    /// The script, and then the answer cut like this.
    pub(crate) fn after(&self, script: Script) -> Script {
        script.send_cut(self.answer, self.at.iter().copied())
    }
}

/// Plays a scene with the answer whole, cut at each place, and byte by byte.
pub(crate) async fn at_each_cut(answer: impl AsRef<[u8]>, scene: impl AsyncFn(Cut<'_>)) {
    let answer = answer.as_ref();
    let cuts = (0..answer.len()).map(|cut| vec![cut]).chain([(1..answer.len()).collect()]);
    side_by_side(cuts.map(|at| scene(Cut { answer, at }))).await;
}

/// Plays many scenes, some at a time.
pub(crate) async fn side_by_side<F: Future<Output = ()>>(scenes: impl IntoIterator<Item = F>) {
    const AT_A_TIME: usize = 12;
    let mut scenes: Vec<_> = scenes.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        // Those in front play; one that is over makes room for the next.
        let mut at = 0;
        while at < scenes.len().min(AT_A_TIME) {
            match scenes[at].as_mut().poll(cx) {
                Poll::Ready(()) => drop(scenes.remove(at)),
                Poll::Pending => at += 1,
            }
        }
        if scenes.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// The one connection that a peer saw; panics if a step of its script went wrong.
pub(crate) async fn seen(peer: Peer) -> Seen {
    let mut all = peer.finish_async().await.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(all.len(), 1, "one connection");
    all.remove(0)
}

/// The connection is on its way out or gone: it takes no request, and writes nothing of it.
pub(crate) async fn refuses(sender: &mut SendRequest) -> CloseReason {
    let error = sender.send_request(super::support::get("/refused")).await.unwrap_err();
    assert_eq!(error.kind(), adieu::ErrorKind::Closed, "{error:?}");
    assert!(error.facts().is_none_or(|facts| facts.handed == 0), "{error:?}");
    error.close_reason().unwrap().clone()
}

/// Waits for a state, which must come within a few seconds.
pub(crate) async fn reaches(connection: &Connection, wanted: impl Fn(State) -> bool) {
    let mut watch = connection.watch();
    let mut state = watch.state();
    while !wanted(state) {
        state = tokio::time::timeout(ms(5000), watch.changed())
            .await
            .unwrap_or_else(|_| panic!("still {}", connection.snapshot()));
    }
}

/// Short limits for a close: nobody here waits for seconds.
pub(crate) fn short(mode: CloseMode) -> CloseMode {
    mode.drain(ms(150)).linger(ms(150))
}

/// What every report must agree with, whatever happened.
pub(crate) fn check(report: &CloseReport) {
    use adieu::Signal::{CloseNotify, Fin, GoAway, Rst};
    assert_eq!(report.began_by, report.reason.began_by(), "{report}");
    assert!(!report.sent.contains(CloseNotify) && !report.sent.contains(GoAway), "{report}");
    assert!(report.draining + report.closing + report.lingering <= report.age, "{report:?}");
    assert!(report.bytes_discarded <= report.bytes_received, "{report}");
    let line = report.to_string();
    assert!(!line.contains('\n') && line.contains(&report.id.to_string()), "{line}");
    match report.ended {
        Ended::Clean => assert!(report.received.contains(Fin) && !report.sent.contains(Rst), "{report}"),
        Ended::PeerSilent => assert!(!report.received.contains(Fin), "{report}"),
        _ => {}
    }
}

/// A request whose body the test holds in its hand.
pub(crate) fn upload(method: &str, length: Option<u64>) -> (Request<Body>, Hand) {
    let (body, hand) = held(length);
    let request = Request::builder().method(method).uri("http://example.com/upload");
    (request.body(Body::wrap(body)).unwrap(), hand)
}

/// A body of a length that is known or not, and the hand that holds it.
pub(crate) fn held(length: Option<u64>) -> (Held, Hand) {
    let shared = Arc::new(Shared::default());
    (Held { shared: shared.clone(), length }, Hand(shared))
}

/// A request body that gives what its [`Hand`] puts into it.
pub(crate) struct Held {
    shared: Arc<Shared>,
    length: Option<u64>,
}

/// Puts pieces into a [`Held`] body, and knows what became of it.
pub(crate) struct Hand(Arc<Shared>);

#[derive(Default)]
struct Shared {
    pieces: Mutex<(VecDeque<Piece>, Option<Waker>)>,
    polls: AtomicUsize,
    dropped: AtomicBool,
}

enum Piece {
    Data(Bytes),
    /// For ever this.
    Endless(Bytes),
    Error,
    End,
}

impl Hand {
    fn put(&self, piece: Piece) {
        let mut pieces = self.0.pieces.lock().unwrap();
        pieces.0.push_back(piece);
        let waker = pieces.1.take();
        drop(pieces);
        waker.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn give(&self, data: impl Into<Bytes>) {
        self.put(Piece::Data(data.into()));
    }

    /// From here on there is always another piece.
    pub(crate) fn give_for_ever(&self) {
        self.put(Piece::Endless(Bytes::from_static(&[b'u'; 16 * 1024])));
    }

    pub(crate) fn end(&self) {
        self.put(Piece::End);
    }

    pub(crate) fn fail(&self) {
        self.put(Piece::Error);
    }

    /// How often it was asked for more.
    pub(crate) fn polls(&self) -> usize {
        self.0.polls.load(Ordering::SeqCst)
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.0.dropped.load(Ordering::SeqCst)
    }

    /// Nobody keeps the body any more, at the latest in a moment.
    pub(crate) async fn assert_dropped(&self) {
        for _ in 0..200 {
            if self.is_dropped() {
                return;
            }
            pause(5).await;
        }
        panic!("the upload leaks");
    }
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.shared.polls.fetch_add(1, Ordering::SeqCst);
        let mut pieces = self.shared.pieces.lock().unwrap();
        match pieces.0.front() {
            None => {
                pieces.1 = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Some(Piece::Endless(data)) => return Poll::Ready(Some(Ok(Frame::data(data.clone())))),
            Some(_) => {}
        }
        Poll::Ready(match pieces.0.pop_front() {
            Some(Piece::Data(data)) => Some(Ok(Frame::data(data))),
            Some(Piece::Error) => Some(Err("the hand let go".into())),
            _ => None,
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.dropped.store(true, Ordering::SeqCst);
    }
}

/// A transport around another: it notes every call, and misbehaves as told. Given to `handshake` it is opaque;
/// given to `handshake_on` it passes on what the other knows.
pub(crate) struct Noted<T> {
    io: T,
    notes: Notes,
    /// Bytes that were written and not flushed, where it hoards.
    hoard: Option<Vec<u8>>,
}

/// What was called on a [`Noted`] transport, and how it shall misbehave. A clone is the same.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    calls: Vec<Call>,
    faults: Faults,
    /// Woken when a fault is lifted.
    waiting: Vec<Waker>,
}

/// One call on a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Read,
    Write,
    Flush,
    Shutdown,
    Dropped,
}

/// What a [`Noted`] transport does wrong; by default nothing.
#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    /// Every write fails like this.
    pub(crate) write: Option<ErrorKind>,
    /// Every read fails like this.
    pub(crate) read: Option<ErrorKind>,
    /// A flush waits until this is lifted.
    pub(crate) flush_waits: bool,
    /// A shutdown waits until this is lifted.
    pub(crate) shutdown_waits: bool,
    /// A shutdown fails like this.
    pub(crate) shutdown: Option<ErrorKind>,
}

impl<T> Noted<T> {
    pub(crate) fn new(io: T) -> (Self, Notes) {
        let notes = Notes::default();
        (Self { io, notes: notes.clone(), hoard: None }, notes)
    }

    /// Keeps what is written until it is flushed; a shutdown without a flush loses it.
    pub(crate) fn hoarding(mut self) -> Self {
        self.hoard = Some(Vec::new());
        self
    }
}

impl Notes {
    /// From now on it misbehaves like this.
    pub(crate) fn set(&self, faults: Faults) {
        let mut book = self.0.lock().unwrap();
        book.faults = faults;
        let waiting = std::mem::take(&mut book.waiting);
        drop(book);
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.0.lock().unwrap().calls.clone()
    }

    pub(crate) fn count(&self, call: Call) -> usize {
        self.calls().iter().filter(|&&noted| noted == call).count()
    }

    fn note(&self, call: Call) -> Faults {
        let mut book = self.0.lock().unwrap();
        book.calls.push(call);
        book.faults
    }

    fn wait<T>(&self, cx: &Context<'_>) -> Poll<T> {
        self.0.lock().unwrap().waiting.push(cx.waker().clone());
        Poll::Pending
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Noted<T> {
    fn pour(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(hoard) = self.hoard.as_mut().filter(|hoard| !hoard.is_empty()) {
            let poured = std::task::ready!(Pin::new(&mut self.io).poll_write(cx, hoard))?;
            hoard.drain(..poured);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Noted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let faults = self.notes.note(Call::Read);
        if let Some(kind) = faults.read {
            return Poll::Ready(Err(kind.into()));
        }
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Noted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let faults = self.notes.note(Call::Write);
        if let Some(kind) = faults.write {
            return Poll::Ready(Err(kind.into()));
        }
        match &mut self.hoard {
            Some(hoard) => {
                hoard.extend_from_slice(bytes);
                Poll::Ready(Ok(bytes.len()))
            }
            None => Pin::new(&mut self.io).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
        self.poll_write(cx, first)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let faults = self.notes.note(Call::Flush);
        if faults.flush_waits {
            return self.notes.wait(cx);
        }
        std::task::ready!(self.pour(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let faults = self.notes.note(Call::Shutdown);
        if faults.shutdown_waits {
            return self.notes.wait(cx);
        }
        match faults.shutdown {
            Some(kind) => Poll::Ready(Err(kind.into())),
            None => Pin::new(&mut self.io).poll_shutdown(cx),
        }
    }
}

impl<T: Transport> Transport for Noted<T> {
    fn peek(&self) -> Peek {
        self.io.peek()
    }

    fn arm_reset(&self) -> ResetArmed {
        self.io.arm_reset()
    }
}

impl<T> Drop for Noted<T> {
    fn drop(&mut self) {
        self.notes.note(Call::Dropped);
    }
}

/// A connection over a [`Noted`] TCP socket that is known as one.
pub(crate) async fn connect_noted(peer: &Peer, builder: &Builder) -> (SendRequest, Connection, Notes) {
    let (io, notes) = Noted::new(TcpStream::connect(peer.address()).await.unwrap());
    let (sender, connection) = builder.handshake_on(io).await.unwrap();
    (sender, connection, notes)
}

/// A connection over a TCP socket that nobody recognises.
pub(crate) async fn connect_opaque(peer: &Peer, builder: &Builder) -> (SendRequest, Connection, Notes) {
    let (io, notes) = Noted::new(TcpStream::connect(peer.address()).await.unwrap());
    let (sender, connection) = builder.handshake(io).await.unwrap();
    (sender, connection, notes)
}

/// A connection over a Unix socket.
pub(crate) async fn connect_unix(peer: &Peer, builder: &Builder) -> (SendRequest, Connection) {
    let io = UnixStream::connect(peer.path().unwrap()).await.unwrap();
    builder.handshake(io).await.unwrap()
}

/// The innermost cause.
pub(crate) fn root(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
