//! We end the connection: every mode, idle and in the middle of a download.
//!
//! nginx answers our close_notify with a FIN and no close_notify of its own. A FIN in the middle of a response cancels
//! the request; under TLS it then closes with our close_notify unread, which is an RST.

use adieu::{CloseMode, ErrorKind, Layer};
use interop::NginxConfig;

use super::{HELLO, SLOWLY, nginx};
use crate::door::{Door, Way, each_way};
use crate::support::{ask, bytes, get, play, read, story};

each_way!(
    several_requests_then_a_graceful_close,
    idle_in_each_mode,
    graceful_in_a_download_waits_for_its_end,
    half_in_a_download_is_a_cancellation_to_nginx,
    now_in_a_download_says_goodbye_and_cuts_it,
    abort_in_a_download_resets,
    a_dropped_download_is_closed_as_now,
    dropped_handles_are_a_goodbye_too
);

async fn several_requests_then_a_graceful_close(door: Door) {
    let nginx = nginx!(door.nginx());
    let (mut sender, connection) = door.connect(nginx.address()).await;
    for _ in 0..3 {
        assert_eq!(ask(&mut sender, get("/hello")).await, (200, HELLO.into()));
    }
    let report = connection.close(CloseMode::graceful()).await;
    let goodbye = door.goodbye();
    assert_eq!(
        story(&report),
        format!("user_graceful by us: clean; sent {goodbye}, received FIN; 3 done, 0 failed")
    );
    nginx.logged("GET /hello 200, done: OK, connection 1, request 3.").await;
    nginx.log().until("closed keepalive connection\n").await;
}

async fn idle_in_each_mode(door: Door) {
    let nginx = nginx!(door.nginx());
    let goodbye = door.goodbye();
    for (mode, name) in
        [(CloseMode::graceful(), "graceful"), (CloseMode::half(), "half"), (CloseMode::now(), "now")]
    {
        let (mut sender, connection) = door.connect(nginx.address()).await;
        assert_eq!(ask(&mut sender, get("/hello")).await.0, 200);
        let report = connection.close(mode).await;
        assert_eq!(
            story(&report),
            format!("user_{name} by us: clean; sent {goodbye}, received FIN; 1 done, 0 failed")
        );
    }
    let (mut sender, connection) = door.connect(nginx.address()).await;
    assert_eq!(ask(&mut sender, get("/hello")).await.0, 200);
    let report = connection.close(CloseMode::abort()).await;
    assert_eq!(story(&report), "user_abort by us: aborted; sent RST, received nothing; 1 done, 0 failed");
    // It was heard, and of this connection alone.
    nginx.log().until("closed keepalive connection (104: Connection reset by peer)").await;
    assert_eq!(nginx.log().count("Connection reset by peer"), 1, "{}", nginx.log().text());
}

async fn graceful_in_a_download_waits_for_its_end(door: Door) {
    let nginx = nginx!(door.nginx().server(SLOWLY).document("large", bytes(200_000)));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    let response = sender.send_request(get("/large")).await.unwrap();
    let closing = connection.close(CloseMode::graceful());
    assert_eq!(read(response).await.unwrap(), bytes(200_000));
    let goodbye = door.goodbye();
    assert_eq!(
        story(&closing.await),
        format!("user_graceful by us: clean; sent {goodbye}, received FIN; 1 done, 0 failed")
    );
    nginx.logged("GET /large 200, done: OK").await;
}

async fn half_in_a_download_is_a_cancellation_to_nginx(door: Door) {
    let nginx = nginx!(door.nginx().server(SLOWLY).document("large", bytes(200_000)));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    let response = sender.send_request(get("/large")).await.unwrap();
    let closing = connection.close(CloseMode::half());
    let body = read(response).await.map_err(|error| error.kind());
    let story = story(&closing.await);
    let refused = match door.way() {
        // A close_notify would oblige nginx to end: it is held back until the response is whole.
        Way::Tls12 => {
            assert_eq!(body.unwrap(), bytes(200_000));
            assert_eq!(
                story,
                "user_half by us: clean; sent close_notify+FIN, received FIN; 1 done, 0 failed"
            );
            return;
        }
        Way::Plain => "truncated; sent FIN, received FIN",
        Way::Tls13 => "reset; sent close_notify+FIN, received RST",
    };
    assert_eq!(body, Err(ErrorKind::HalfCloseRefused));
    assert_eq!(story, format!("half_close_refused by us: {refused}; 0 done, 1 failed"));
    nginx.log().until("client prematurely closed connection").await;
}

async fn now_in_a_download_says_goodbye_and_cuts_it(door: Door) {
    let nginx = nginx!(door.nginx().server(SLOWLY).document("large", bytes(200_000)));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    let response = sender.send_request(get("/large")).await.unwrap();
    let closing = connection.close(CloseMode::now());
    assert_eq!(read(response).await.unwrap_err().kind(), ErrorKind::Closed);
    let answer = match door.way() {
        Way::Plain => "clean; sent FIN, received FIN",
        _ => "reset; sent close_notify+FIN, received RST",
    };
    assert_eq!(story(&closing.await), format!("user_now by us: {answer}; 0 done, 1 failed"));
    nginx.log().until("client prematurely closed connection while").await;
}

async fn abort_in_a_download_resets(door: Door) {
    let nginx = nginx!(door.nginx().server(SLOWLY).document("large", bytes(200_000)));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    let response = sender.send_request(get("/large")).await.unwrap();
    let closing = connection.close(CloseMode::abort());
    assert_eq!(read(response).await.unwrap_err().kind(), ErrorKind::Closed);
    let report = closing.await;
    assert_eq!(story(&report), "user_abort by us: aborted; sent RST, received nothing; 0 done, 1 failed");
    nginx.log().until("(104: Connection reset by peer) while sending response to client").await;
}

async fn a_dropped_download_is_closed_as_now(door: Door) {
    let nginx = nginx!(door.nginx().server(SLOWLY).document("large", bytes(200_000)));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    drop(sender.send_request(get("/large")).await.unwrap());
    let answer = match door.way() {
        Way::Plain => "clean; sent FIN, received FIN",
        _ => "reset; sent close_notify+FIN, received RST",
    };
    let report = connection.closed().await;
    assert_eq!(story(&report), format!("request_cancelled by us: {answer}; 0 done, 1 failed"));
}

async fn dropped_handles_are_a_goodbye_too(door: Door) {
    let nginx = nginx!(door.nginx());
    let (mut sender, connection) = door.connect(nginx.address()).await;
    assert_eq!(ask(&mut sender, get("/hello")).await.0, 200);
    let closed = connection.closed();
    drop((sender, connection));
    let (report, goodbye) = (closed.await, door.goodbye());
    assert_eq!(
        story(&report),
        format!("handles_dropped by us: clean; sent {goodbye}, received FIN; 1 done, 0 failed")
    );
}

#[test]
fn over_a_unix_socket_there_are_two_ends_and_no_reset() {
    play(async || {
        let nginx = nginx!(NginxConfig::new());
        for (mode, expected) in [
            (CloseMode::graceful(), "user_graceful by us: clean; sent FIN, received FIN; 1 done, 0 failed"),
            (
                CloseMode::abort(),
                "user_abort by us: aborted; sent nothing, received nothing; 1 done, 0 failed",
            ),
        ] {
            let io = tokio::net::UnixStream::connect(nginx.socket()).await.unwrap();
            let (mut sender, connection) = adieu::conn::http1::handshake(io).await.unwrap();
            assert_eq!(ask(&mut sender, get("/hello")).await, (200, HELLO.into()));
            let report = connection.close(mode).await;
            assert_eq!(story(&report), expected);
            assert_eq!(report.layers.iter().map(|layer| layer.layer).collect::<Vec<_>>(), [Layer::Unix]);
            assert_eq!(report.peer, Some(adieu::Address::Unix(Some(nginx.socket()))));
        }
    });
}
