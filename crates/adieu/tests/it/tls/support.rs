//! What the scenes of TLS share: an authority that signs for everyone, one connector, and connections over them.

use std::sync::LazyLock;
use std::time::Duration;

use adieu::conn::http1::{Builder, Connection, SendRequest};
use adieu::transport::tls::{TlsConnector, TlsStream};
use adieu::{CloseReport, Ended, Error, Layer, Signal, Signals, Snapshot, State};
use adieu_testkit::peer::{Peer, Script, TlsVersion, response};
use adieu_testkit::tls::{Authority, TlsServer};
use http_body_util::BodyExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::props::{at_each_cut, pause, play, seen};
use crate::support::get;

/// Signs for every peer here.
pub(crate) static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::new().unwrap());

/// What every peer here is, unless a scene says otherwise; its clones share one identity.
static SERVER: LazyLock<TlsServer> =
    LazyLock::new(|| TlsServer::new(AUTHORITY.issue(["localhost", "127.0.0.1"]).unwrap()));

/// Trusts the authority, and nobody else; resumes nothing, so that scenes do not depend on each other.
pub(crate) static CONNECTOR: LazyLock<TlsConnector> = LazyLock::new(|| {
    let builder = TlsConnector::builder().platform_roots(false).add_root_certificates(AUTHORITY.pem());
    builder.resumption(false).build().unwrap()
});

/// Both versions.
pub(crate) const BOTH: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];

/// The server's side of this version alone, with the tickets that servers send.
pub(crate) fn server(version: TlsVersion) -> TlsServer {
    match version {
        TlsVersion::Tls12 => SERVER.clone().only_tls12(),
        _ => SERVER.clone().only_tls13(),
    }
}

/// A peer that speaks this version of TLS from the start.
pub(crate) fn peer(version: TlsVersion, script: Script) -> Peer {
    Peer::builder().tls(&server(version)).script(script).tcp().unwrap()
}

/// A socket to a peer, before any TLS.
pub(crate) async fn socket(peer: &Peer) -> TcpStream {
    let io = TcpStream::connect(peer.address()).await.unwrap();
    io.set_nodelay(true).unwrap();
    io
}

/// A peer and a TLS stream to it between which little fits: what is not read is soon held back by rustls.
pub(crate) async fn narrow(version: TlsVersion, script: Script) -> (Peer, TlsStream) {
    let peer = Peer::builder().tls(&server(version)).receive_buffer(8192).script(script).tcp().unwrap();
    let stream = CONNECTOR.connect("localhost", narrow_socket(&peer).await).await.unwrap();
    (peer, stream)
}

/// A socket to a peer that holds little.
pub(crate) async fn narrow_socket(peer: &Peer) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(8192).unwrap();
    let io = socket.connect(peer.address()).await.unwrap();
    io.set_nodelay(true).unwrap();
    io
}

/// A TLS stream to a peer.
pub(crate) async fn stream(peer: &Peer) -> TlsStream {
    CONNECTOR.connect("localhost", socket(peer).await).await.unwrap()
}

/// A connection over TLS to a peer.
pub(crate) async fn connect(peer: &Peer) -> (SendRequest, Connection) {
    connect_with(peer, &Builder::new()).await
}

/// A connection over TLS to a peer, with settings.
pub(crate) async fn connect_with(peer: &Peer, builder: &Builder) -> (SendRequest, Connection) {
    builder.handshake_on(stream(peer).await).await.unwrap()
}

/// What a peer does not wait longer for.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// A peer that answers one request, and then does the rest.
pub(crate) fn answers_then(version: TlsVersion, rest: impl FnOnce(Script) -> Script) -> Peer {
    peer(version, rest(Script::new().read_request().send(response(200, "ok"))))
}

/// One exchange with a peer that answers `ok`.
pub(crate) async fn exchange(sender: &mut SendRequest) {
    assert_eq!(fetch(sender).await.unwrap(), "ok");
}

/// A connection that is idle after one exchange.
pub(crate) async fn idle(peer: &Peer) -> (SendRequest, Connection) {
    let (mut sender, connection) = connect(peer).await;
    exchange(&mut sender).await;
    assert_eq!(connection.state(), State::Idle);
    (sender, connection)
}

/// A whole response, or what came instead.
pub(crate) async fn fetch(sender: &mut SendRequest) -> Result<String, Error> {
    let (bytes, outcome) = fetch_what_comes(sender).await;
    outcome.map(|()| bytes)
}

/// The bytes of a response's body as far as they came, and how it ended.
pub(crate) async fn fetch_what_comes(sender: &mut SendRequest) -> (String, Result<(), Error>) {
    let mut bytes = Vec::new();
    let mut body = match sender.send_request(get("/")).await {
        Ok(response) => response.into_body(),
        Err(error) => return (String::new(), Err(error)),
    };
    let outcome = loop {
        match body.frame().await {
            Some(Ok(frame)) => bytes.extend(frame.into_data().unwrap_or_default()),
            Some(Err(error)) => break Err(error),
            None => break Ok(()),
        }
    };
    (String::from_utf8(bytes).unwrap(), outcome)
}

/// Waits until a snapshot shows something, which must be so within a few seconds.
pub(crate) async fn shows(connection: &Connection, wanted: impl Fn(&Snapshot) -> bool) -> Snapshot {
    for _ in 0..2000 {
        let snapshot = connection.snapshot();
        if wanted(&snapshot) {
            return snapshot;
        }
        pause(2).await;
    }
    panic!("still {:?}", connection.snapshot());
}

/// Plays scenes that block their thread, each on one of its own, side by side.
pub(crate) fn each_on_its_thread<S: Send + 'static>(
    scenes: impl IntoIterator<Item = S>,
    play_one: impl AsyncFn(S) + Copy + Send + 'static,
) {
    let scenes = scenes.into_iter();
    let threads: Vec<_> =
        scenes.map(|scene| std::thread::spawn(move || play(async move || play_one(scene).await))).collect();
    for thread in threads {
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// The peer saw a reset, and nothing that could pass for an end of the data.
pub(crate) async fn saw_no_end(peer: Peer) {
    let seen = seen(peer).await;
    seen.assert_reset();
    assert!(!seen.saw_close_notify() && !seen.saw_fin() && seen.alert().is_none(), "{seen}");
}

/// Plays a scene with the answer cut at each place, and for TLS 1.2, which cuts it into the same records, whole.
pub(crate) async fn cut_anywhere(answer: &str, scene: impl AsyncFn(TlsVersion, &dyn Fn(Script) -> Script)) {
    scene(TlsVersion::Tls12, &|script| script.send(answer)).await;
    at_each_cut(answer, async |cut| scene(TlsVersion::Tls13, &|script| cut.after(script)).await).await;
}

/// Our whole goodbye, or the peer's.
pub(crate) fn goodbye() -> Signals {
    signals([Signal::CloseNotify, Signal::Fin])
}

/// A set of signals.
pub(crate) fn signals<const N: usize>(signals: [Signal; N]) -> Signals {
    signals.into_iter().collect()
}

/// What every report of TLS over TCP must agree with, whatever happened.
#[track_caller]
pub(crate) fn check(report: &CloseReport) {
    use Signal::{CloseNotify, Fin, Rst};
    assert!(report.tls.is_some(), "{report}");
    let [tls, tcp] = &report.layers[..] else { panic!("{report:?}") };
    assert_eq!((tls.layer, tcp.layer), (Layer::Tls, Layer::Tcp), "{report:?}");
    // The layers tell, each for itself, what the whole report says.
    for (all, tls, tcp) in [(report.sent, tls.sent, tcp.sent), (report.received, tls.received, tcp.received)]
    {
        let upper = [CloseNotify].into_iter().filter(|signal| all.contains(*signal)).collect::<Signals>();
        let lower = [Fin, Rst].into_iter().filter(|signal| all.contains(*signal)).collect::<Signals>();
        assert_eq!((tls, tcp), (upper, lower), "{report:?}");
    }
    assert_eq!(report.began_by, report.reason.began_by(), "{report}");
    assert!(report.draining + report.closing + report.lingering <= report.age, "{report:?}");
    assert!(report.bytes_discarded <= report.bytes_received, "{report}");
    let ended_orderly = report.received.contains(Fin) || report.received.contains(CloseNotify);
    match report.ended {
        Ended::Clean => assert!(ended_orderly && !report.sent.contains(Rst), "{report}"),
        Ended::PeerSilent => assert!(!ended_orderly, "{report}"),
        Ended::Aborted => assert!(report.sent.contains(Rst), "{report}"),
        _ => {}
    }
    let line = report.to_string();
    assert!(!line.contains('\n') && line.contains("TLSv1."), "{line}");
}
