//! Uploads, whole and cut short.

use std::sync::{Arc, Mutex};

use adieu::conn::http1::Builder;
use adieu::{Bytes, CloseMode, ErrorKind};

use super::{HELLO, nginx};
use crate::door::{Door, each_way};
use crate::support::{ask, bytes, get, handed_body, read, request, story, with};

/// `/up/..` takes uploads, `/small/..` those of at most 1 KiB, `/slow/..` waits a tenth of a second for each piece.
const UPLOADS: &str = "
    location /up/ { alias {dir}/www/; dav_methods PUT; client_max_body_size 64m; }
    location /small/ { alias {dir}/www/; dav_methods PUT; client_max_body_size 1k; }
    location /unread/ { alias {dir}/www/; dav_methods PUT; client_max_body_size 1k; lingering_close off; }
    location /slow/ { alias {dir}/www/; dav_methods PUT; client_body_timeout 100ms; }
    location /reset/ { alias {dir}/www/; dav_methods PUT; client_body_timeout 100ms; reset_timedout_connection on; }
";

each_way!(
    a_large_upload_arrives_whole,
    the_answer_413_to_a_whole_upload_ends_in_order,
    the_answer_413_in_the_middle_of_an_upload_is_delivered_and_the_rest_reset,
    a_body_held_back_is_sent_after_100_and_not_after_413,
    a_silent_upload_is_given_up_by_nginx,
    an_upload_cut_short_never_looks_whole
);

async fn a_large_upload_arrives_whole(door: Door) {
    let large = bytes(8 << 20);
    let nginx = nginx!(door.nginx().server(UPLOADS));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    assert_eq!(ask(&mut sender, request("PUT", "/up/one", large.clone())).await, (201, "".into()));
    let (hand, body) = handed_body();
    large.chunks(100_000).for_each(|piece| hand.send(Bytes::copy_from_slice(piece)).unwrap());
    drop(hand);
    assert_eq!(ask(&mut sender, request("PUT", "/up/two", body)).await, (201, "".into()));
    for name in ["one", "two"] {
        assert!(std::fs::read(nginx.documents().join(name)).unwrap() == large, "{name}");
    }
    let (report, goodbye) = (connection.close(CloseMode::graceful()).await, door.goodbye());
    assert_eq!(
        story(&report),
        format!("user_graceful by us: clean; sent {goodbye}, received FIN; 2 done, 0 failed")
    );
}

async fn the_answer_413_to_a_whole_upload_ends_in_order(door: Door) {
    let nginx = nginx!(door.nginx().server(UPLOADS));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    assert_eq!(ask(&mut sender, request("PUT", "/small/it", bytes(4096))).await.0, 413);
    let (report, goodbye) = (connection.closed().await, door.goodbye());
    assert_eq!(
        story(&report),
        format!("peer_asked_close by the peer: clean; sent {goodbye}, received {goodbye}; 1 done, 0 failed")
    );
}

/// What nginx says of its end comes right behind its answer, before our reset or after it.
async fn the_answer_413_in_the_middle_of_an_upload_is_delivered_and_the_rest_reset(door: Door) {
    let nginx = nginx!(door.nginx().server(UPLOADS));
    for path in ["/small/it", "/unread/it"] {
        let (mut sender, connection) = door.connect(nginx.address()).await;
        // It never ends: the hand holds it open.
        let (hand, body) = handed_body();
        let pieces = if path == "/small/it" { 1 } else { 200 };
        let piece = Bytes::from(bytes(40_000));
        (0..pieces).for_each(|_| hand.send(piece.clone()).unwrap());
        let response = sender.send_request(request("PUT", path, body)).await.unwrap();
        assert_eq!(response.status(), 413);
        assert!(read(response).await.unwrap().starts_with(b"<html>"));
        let report = connection.closed().await;
        assert_eq!((report.exchanges, report.failed), (1, 0), "{report}");
        let story = story(&report);
        let ours = story.starts_with("upload_stopped by the peer: aborted; sent RST, received ");
        // What is not read when nginx lets go is answered with a reset, which may come before ours.
        let theirs = path == "/unread/it" && story.starts_with("reset by the peer: reset; ");
        assert!(ours || theirs, "{path}: {story}");
        nginx.logged(&format!("PUT {path} 413, done: OK")).await;
    }
}

async fn a_body_held_back_is_sent_after_100_and_not_after_413(door: Door) {
    let nginx = nginx!(door.nginx().server(UPLOADS));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let builder = Builder::new()
        .continue_timeout(None)
        .on_interim(move |interim| sink.lock().unwrap().push(interim.status()));
    let (mut sender, connection) = door.connect_with(nginx.address(), &builder).await;
    let upload = |path| with(request("PUT", path, bytes(50_000)), "expect", "100-continue");
    assert_eq!(ask(&mut sender, upload("/up/it")).await, (201, "".into()));
    assert_eq!(*seen.lock().unwrap(), [100]);
    assert!(std::fs::read(nginx.documents().join("it")).unwrap() == bytes(50_000));
    assert_eq!(ask(&mut sender, upload("/small/it")).await.0, 413);
    assert_eq!(*seen.lock().unwrap(), [100]);
    let report = connection.closed().await;
    let story = story(&report);
    assert!(story.starts_with("upload_stopped by the peer: aborted; sent RST, received "), "{story}");
    assert_eq!((report.exchanges, report.failed), (2, 0));
    assert!(report.bytes_sent < 60_000, "{report}");
}

async fn a_silent_upload_is_given_up_by_nginx(door: Door) {
    let nginx = nginx!(door.nginx().server(UPLOADS));
    for (path, kind, expected) in [
        (
            "/slow/it",
            ErrorKind::NoResponse,
            "peer_ended_early by the peer: aborted; sent RST, received FIN; 0 done, 1 failed",
        ),
        (
            "/reset/it",
            ErrorKind::Reset,
            "reset by the peer: reset; sent nothing, received RST; 0 done, 1 failed",
        ),
    ] {
        let (mut sender, connection) = door.connect(nginx.address()).await;
        let (hand, body) = handed_body();
        hand.send("begun".into()).unwrap();
        let error = sender.send_request(request("PUT", path, body)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert_eq!(story(&connection.closed().await), expected);
        nginx.logged(&format!("PUT {path} 408, done: ,")).await;
    }
}

async fn an_upload_cut_short_never_looks_whole(door: Door) {
    let nginx = nginx!(door.nginx().server(UPLOADS));
    for (mode, name) in [(CloseMode::now(), "now"), (CloseMode::abort(), "abort")] {
        let (mut sender, connection) = door.connect(nginx.address()).await;
        assert_eq!(ask(&mut sender, get("/hello")).await, (200, HELLO.into()));
        let (hand, body) = handed_body();
        hand.send(bytes(50_000).into()).unwrap();
        let exchange = crate::support::beside(sender.send_request(request("PUT", "/up/cut", body)));
        while connection.snapshot().bytes_sent < 50_000 {
            tokio::task::yield_now().await;
        }
        let report = connection.close(mode).await;
        assert_eq!(
            story(&report),
            format!("user_{name} by us: aborted; sent RST, received nothing; 1 done, 1 failed")
        );
        assert_eq!(exchange.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
        drop(hand);
    }
    nginx.log().until_times("PUT /up/cut 400, done: ,", 2).await;
    assert!(!nginx.documents().join("cut").exists());
}
