//! Upgraded connections: leftover bytes first, two sides that end each for itself, and what is cut short is reset.

use adieu::{Body, CloseMode, CloseReason, Ended, Signal, State};
use adieu_testkit::peer::{Peer, Script};
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::connect;

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nleft";

fn upgrade() -> Request<Body> {
    let request =
        Request::get("http://example.com/").header("connection", "upgrade").header("upgrade", "echo");
    request.body(Body::empty()).unwrap()
}

async fn upgraded(script: Script) -> (adieu::conn::Upgraded, adieu::conn::Connection, Peer) {
    let peer = Peer::tcp(script).unwrap();
    let (mut sender, connection) = connect(&peer).await;
    let response = sender.send_request(upgrade()).await.unwrap();
    assert_eq!(response.status(), 101);
    (response.into_body().into_upgraded().unwrap(), connection, peer)
}

#[tokio::test]
async fn upgrade_leftover_bytes_come_first_and_each_side_ends_for_itself() {
    let script =
        Script::new().read_head().send(SWITCH).send("over").read_exactly(5).read_to_end().send("bye").fin();
    let (mut io, connection, peer) = upgraded(script).await;
    let mut start = [0; 8];
    io.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"leftover");
    io.write_all(b"hello").await.unwrap();
    io.shutdown().await.unwrap();
    assert!(matches!(connection.state(), State::Upgraded { .. }));
    let mut rest = Vec::new();
    io.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"bye");
    let report = connection.closed().await;
    assert_eq!((report.reason.clone(), report.ended), (CloseReason::Upgraded, Ended::Clean), "{report}");
    assert!(report.sent.contains(Signal::Fin) && report.received.contains(Signal::Fin), "{report}");
    assert!(report.bytes_sent > 5, "{report}");
    peer.finish_async().await.unwrap()[0].assert_fin();
}

#[tokio::test]
async fn the_peers_end_does_not_close_our_side() {
    let script = Script::new().read_head().send(SWITCH).fin().read_exactly(5).read_to_end();
    let (mut io, connection, peer) = upgraded(script).await;
    let mut all = Vec::new();
    io.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"left");
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    io.write_all(b"still").await.unwrap();
    io.shutdown().await.unwrap();
    let report = connection.closed().await;
    assert_eq!(report.ended, Ended::Clean, "{report}");
    peer.finish_async().await.unwrap()[0].assert_fin();
}

#[tokio::test]
async fn an_upgrade_that_is_dropped_is_reset() {
    let (io, connection, peer) = upgraded(Script::new().read_head().send(SWITCH).read_to_end()).await;
    drop(io);
    let report = connection.closed().await;
    assert_eq!(report.ended, Ended::Aborted, "{report}");
    assert!(report.sent.contains(Signal::Rst) && !report.sent.contains(Signal::Fin), "{report}");
    peer.finish_async().await.unwrap()[0].assert_reset();
}

#[tokio::test]
async fn a_close_now_cuts_an_upgrade_and_wakes_its_holder() {
    let (mut io, connection, peer) = upgraded(Script::new().read_head().send(SWITCH).read_to_end()).await;
    let holder = tokio::spawn(async move {
        let mut all = Vec::new();
        (io.read_to_end(&mut all).await.unwrap_err(), all)
    });
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let report = connection.close(CloseMode::now()).await;
    let (error, all) = holder.await.unwrap();
    assert_eq!((error.kind(), all.as_slice()), (std::io::ErrorKind::ConnectionAborted, &b"left"[..]));
    assert!(report.sent.contains(Signal::Rst), "{report}");
    peer.finish_async().await.unwrap()[0].assert_reset();
}

#[tokio::test]
async fn connect_opens_a_tunnel_and_a_refusal_is_a_response() {
    let script = Script::new().read_head().send("HTTP/1.1 407 Auth\r\nContent-Length: 2\r\n\r\nno");
    let script =
        script.read_head().send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").read_to_end().fin();
    let peer = Peer::tcp(script).unwrap();
    let (mut sender, connection) = connect(&peer).await;
    let tunnel = || Request::connect("inner.example:443").body(Body::empty()).unwrap();
    let refused = sender.send_request(tunnel()).await.unwrap();
    assert_eq!(crate::support::read(refused).await.unwrap(), "no");
    let response = sender.send_request(tunnel()).await.unwrap();
    let mut io = response.into_body().into_upgraded().unwrap();
    let mut start = [0; 5];
    io.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"hello");
    io.shutdown().await.unwrap();
    assert_eq!(io.read(&mut start).await.unwrap(), 0);
    assert_eq!(connection.closed().await.ended, Ended::Clean);
    assert!(sender.ready().await.is_err());
    peer.finish_async().await.unwrap();
}
