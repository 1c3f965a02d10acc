//! What the tests share: a stage that cannot hang, requests, and what a close report must say.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::time::Duration;

use adieu::conn::http1::{Connection, SendRequest};
use adieu::{Body, BoxError, Bytes, CloseReport, Ended, Signal, Signals, State};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::net::TcpStream;
use tokio::runtime;

/// No scene takes longer than this, not even one that never yields.
const CURTAIN: Duration = Duration::from_secs(30);

/// Plays a scene on a runtime of one thread; a scene that hangs or spins fails.
pub(crate) fn play(scene: impl AsyncFnOnce() + Send + 'static) {
    play_on(runtime::Builder::new_current_thread(), scene);
}

/// The same on a runtime of several threads.
pub(crate) fn play_on_threads(scene: impl AsyncFnOnce() + Send + 'static) {
    let mut runtime = runtime::Builder::new_multi_thread();
    runtime.worker_threads(4);
    play_on(runtime, scene);
}

fn play_on(mut runtime: runtime::Builder, scene: impl AsyncFnOnce() + Send + 'static) {
    let (over, curtain) = mpsc::channel();
    // A skip is told with the name of the thread.
    let name = std::thread::current().name().unwrap_or("a scene").to_owned();
    let stage = std::thread::Builder::new().name(name).spawn(move || {
        runtime.enable_all().build().unwrap().block_on(scene());
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

pub(crate) async fn tcp(address: SocketAddr) -> TcpStream {
    let io = TcpStream::connect(address).await.unwrap();
    io.set_nodelay(true).unwrap();
    io
}

pub(crate) fn get(path: &str) -> Request<Body> {
    request("GET", path, Body::empty())
}

pub(crate) fn request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder().method(method).uri(format!("http://localhost{path}")).body(body.into()).unwrap()
}

/// The same request with one more field.
pub(crate) fn with(mut request: Request<Body>, field: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().insert(field, value.parse().unwrap());
    request
}

/// The whole body.
pub(crate) async fn read(response: Response<Body>) -> Result<Bytes, adieu::Error> {
    Ok(response.into_body().collect().await?.to_bytes())
}

/// One exchange: the status and the whole body.
pub(crate) async fn ask(sender: &mut SendRequest, request: Request<Body>) -> (u16, Bytes) {
    let response = sender.send_request(request).await.unwrap();
    (response.status().as_u16(), read(response).await.unwrap())
}

/// Waits until it is in that state, which must come.
pub(crate) async fn reaches(connection: &Connection, wanted: impl Fn(State) -> bool) {
    let mut watch = connection.watch();
    let mut state = watch.state();
    while !wanted(state) {
        state = watch.changed().await;
        assert!(wanted(state) || state != State::Closed, "{:?}", connection.report());
    }
}

/// So many bytes, none like its neighbours.
pub(crate) fn bytes(number: usize) -> Vec<u8> {
    (0..number).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

/// How a connection ended, in one line: reason and beginner, end, signals, exchanges.
#[track_caller]
pub(crate) fn story(report: &CloseReport) -> String {
    check(report);
    let CloseReport { reason, began_by, ended, sent, received, exchanges, failed, .. } = report;
    let code = reason.code();
    format!(
        "{code} by {began_by}: {ended}; sent {sent}, received {received}; {exchanges} done, {failed} failed"
    )
}

/// The story of one exchange over TLS after which the peer ended as it had announced.
pub(crate) const ANNOUNCED: &str =
    "peer_asked_close by the peer: clean; sent close_notify+FIN, received close_notify+FIN; 1 done, 0 failed";

/// What every report must agree with, whatever happened.
#[track_caller]
fn check(report: &CloseReport) {
    assert_eq!(report.began_by, report.reason.began_by(), "{report}");
    assert!(report.draining + report.closing + report.lingering <= report.age, "{report:?}");
    assert!(report.bytes_discarded <= report.bytes_received, "{report}");
    assert!(!report.to_string().contains('\n'), "{report}");
    let all = |side: fn(&adieu::LayerReport) -> Signals| {
        let said = |signal| report.layers.iter().any(|layer| side(layer).contains(signal));
        [Signal::CloseNotify, Signal::Fin, Signal::Rst]
            .into_iter()
            .filter(|signal| said(*signal))
            .collect::<Signals>()
    };
    assert_eq!(
        (all(|layer| layer.sent), all(|layer| layer.received)),
        (report.sent, report.received),
        "{report:?}"
    );
    match report.ended {
        Ended::Clean => {
            assert!(!report.received.is_empty() && !report.sent.contains(Signal::Rst), "{report}")
        }
        Ended::Reset => assert!(report.received.contains(Signal::Rst), "reset by nobody: {report}"),
        Ended::PeerSilent => assert!(report.received.is_empty(), "{report}"),
        _ => {}
    }
}

/// A request body whose pieces come through a channel; it ends when the channel is closed.
pub(crate) struct HandedBody(tokio::sync::mpsc::UnboundedReceiver<Bytes>);

/// See [`HandedBody`].
pub(crate) fn handed_body() -> (tokio::sync::mpsc::UnboundedSender<Bytes>, Body) {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    (sender, Body::wrap(HandedBody(receiver)))
}

impl http_body::Body for HandedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// Runs beside the scene.
pub(crate) fn beside<F>(task: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    runtime::Handle::current().spawn(task)
}
