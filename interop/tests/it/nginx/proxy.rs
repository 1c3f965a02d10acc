//! nginx in front of another server: a half-close is a cancellation, an upgrade has one end for both sides.

use std::io;

use adieu::{CloseMode, ErrorKind, State};
use adieu_testkit::peer::{Gate, Peer, Script, Until, response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::nginx;
use crate::door::{Door, Way, each_way};
use crate::support::{ask, beside, get, reaches, read, story, with};

each_way!(
    a_half_close_is_a_cancellation,
    told_to_bear_it_nginx_answers_after_a_half_close,
    a_cancelled_request_is_seen_as_one,
    a_server_that_is_gone_is_an_answer_that_keeps_the_connection,
    a_server_behind_that_ends_early_ends_us_early,
    an_upgrade_goes_through_and_one_end_is_the_end_of_both
);

async fn a_half_close_is_a_cancellation(door: Door) {
    let gate = Gate::new();
    let behind = Peer::tcp(Script::new().read_request().gate(&gate).send(response(200, "late"))).unwrap();
    let nginx =
        nginx!(door.nginx().server(&format!("location / {{ proxy_pass http://{}; }}", behind.address())));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    let exchange = beside(sender.send_request(get("/")));
    behind.wait_async(0, Until::Requests(1)).await.unwrap();
    let closing = connection.close(CloseMode::half());
    if door.way() == Way::Tls12 {
        reaches(&connection, |state| matches!(state, State::Draining { .. })).await;
        gate.open();
        assert_eq!(read(exchange.await.unwrap().unwrap()).await.unwrap(), "late");
        assert_eq!(
            story(&closing.await),
            "user_half by us: clean; sent close_notify+FIN, received FIN; 1 done, 0 failed"
        );
        return;
    }
    assert_eq!(exchange.await.unwrap().unwrap_err().kind(), ErrorKind::HalfCloseRefused);
    let answer = match door.way() {
        Way::Plain => "truncated; sent FIN, received FIN",
        _ => "reset; sent close_notify+FIN, received RST",
    };
    assert_eq!(story(&closing.await), format!("half_close_refused by us: {answer}; 0 done, 1 failed"));
    nginx.logged("GET / 499").await;
    gate.open();
}

async fn told_to_bear_it_nginx_answers_after_a_half_close(door: Door) {
    let gate = Gate::new();
    let behind = Peer::tcp(Script::new().read_request().gate(&gate).send(response(200, "late"))).unwrap();
    let location =
        format!("location / {{ proxy_pass http://{}; proxy_ignore_client_abort on; }}", behind.address());
    let nginx = nginx!(door.nginx().server(&location));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    let exchange = beside(sender.send_request(get("/")));
    behind.wait_async(0, Until::Requests(1)).await.unwrap();
    let closing = connection.close(CloseMode::half());
    reaches(&connection, |state| matches!(state, State::HalfClosed | State::Draining { .. })).await;
    gate.open();
    assert_eq!(read(exchange.await.unwrap().unwrap()).await.unwrap(), "late");
    let goodbye = door.goodbye();
    assert_eq!(
        story(&closing.await),
        format!("user_half by us: clean; sent {goodbye}, received FIN; 1 done, 0 failed")
    );
    nginx.logged("GET / 200, done: OK").await;
}

async fn a_cancelled_request_is_seen_as_one(door: Door) {
    let gate = Gate::new();
    let behind = Peer::tcp(Script::new().read_request().gate(&gate).send(response(200, "late"))).unwrap();
    let nginx =
        nginx!(door.nginx().server(&format!("location / {{ proxy_pass http://{}; }}", behind.address())));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    let exchange = beside(sender.send_request(get("/")));
    behind.wait_async(0, Until::Requests(1)).await.unwrap();
    exchange.abort();
    let answer = match door.way() {
        Way::Plain => "clean; sent FIN, received FIN",
        _ => "reset; sent close_notify+FIN, received RST",
    };
    let report = connection.closed().await;
    assert_eq!(story(&report), format!("request_cancelled by us: {answer}; 0 done, 1 failed"));
    nginx.logged("GET / 499").await;
    gate.open();
}

async fn a_server_that_is_gone_is_an_answer_that_keeps_the_connection(door: Door) {
    let nginx = nginx!(door.nginx().server("location / { proxy_pass http://127.0.0.1:1; }"));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    for _ in 0..2 {
        assert_eq!(ask(&mut sender, get("/")).await.0, 502);
    }
    let (report, goodbye) = (connection.close(CloseMode::graceful()).await, door.goodbye());
    assert_eq!(
        story(&report),
        format!("user_graceful by us: clean; sent {goodbye}, received FIN; 2 done, 0 failed")
    );
}

async fn a_server_behind_that_ends_early_ends_us_early(door: Door) {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    let behind = Peer::tcp(Script::new().read_request().send(cut).fin()).unwrap();
    let nginx =
        nginx!(door.nginx().server(&format!("location / {{ proxy_pass http://{}; }}", behind.address())));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    let response = sender.send_request(get("/")).await.unwrap();
    assert_eq!(read(response).await.unwrap_err().kind(), ErrorKind::IncompleteBody);
    let report = connection.closed().await;
    assert_eq!(story(&report), door.cut(&report));
}

async fn an_upgrade_goes_through_and_one_end_is_the_end_of_both(door: Door) {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nleft";
    let script =
        Script::new().read_head().send(switch).send("over").read_exactly(5).send("world").read_to_end();
    let behind = Peer::tcp(script).unwrap();
    let location = format!(
        "location / {{ proxy_pass http://{}; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
         proxy_set_header Connection upgrade; }}",
        behind.address()
    );
    let nginx = nginx!(door.nginx().server(&location));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    let response =
        sender.send_request(with(with(get("/"), "connection", "upgrade"), "upgrade", "echo")).await.unwrap();
    assert_eq!(response.status(), 101);
    let mut io = response.into_body().into_upgraded().unwrap();
    let mut bytes = [0; 8];
    io.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"leftover");
    io.write_all(b"hello").await.unwrap();
    io.read_exact(&mut bytes[..5]).await.unwrap();
    assert_eq!(&bytes[..5], b"world");
    io.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let read = io.read_to_end(&mut rest).await.map_err(|error| error.kind());
    let story = story(&connection.closed().await);
    match door.way() {
        Way::Plain => {
            assert_eq!(read, Ok(0));
            assert_eq!(story, "upgraded by us: clean; sent FIN, received FIN; 1 done, 0 failed");
        }
        // nginx answers our close_notify with a mere FIN: whether more was to come cannot be known.
        _ => {
            assert_eq!(read, Err(io::ErrorKind::UnexpectedEof));
            assert_eq!(
                story,
                "tls_truncated by the peer: truncated; sent close_notify+FIN, received FIN; 1 done, 0 failed"
            );
        }
    }
    nginx.logged("GET / 101, done: OK").await;
    behind.finish_async().await.unwrap()[0].assert_fin();
}
