//! nginx ends the connection, announced or not.
//!
//! It says close_notify then, but for `return 444`, which ends without a word.

use std::time::Duration;

use adieu::{CloseReason, ErrorKind, Signal, State};
use interop::Nginx;

use super::{HELLO, nginx};
use crate::door::{Door, all_ways, each_way};
use crate::support::{ask, get, story};

each_way!(
    close_announced_by_a_field_leaves_the_first_end_to_nginx,
    the_last_request_allowed_is_the_one_that_announces_it,
    an_end_without_an_answer_is_no_response,
    a_reset_instead_of_an_answer_is_a_reset
);

all_ways!(idle_ends_are_noticed_without_traffic, an_idle_end_after_a_while_is_noticed_when_it_comes);

async fn close_announced_by_a_field_leaves_the_first_end_to_nginx(door: Door) {
    for how in [
        "keepalive_requests 1;",
        "keepalive_timeout 0;",
        "keepalive_requests 1; lingering_close always;",
        "keepalive_requests 1; lingering_close off;",
    ] {
        let nginx = nginx!(door.nginx().server(how));
        let (mut sender, connection) = door.connect(nginx.address()).await;
        let response = sender.send_request(get("/hello")).await.unwrap();
        assert_eq!(response.headers()["connection"], "close");
        let report = connection.closed().await;
        let goodbye = door.goodbye();
        assert_eq!(
            story(&report),
            format!(
                "peer_asked_close by the peer: clean; sent {goodbye}, received {goodbye}; 1 done, 0 failed"
            ),
            "{how}"
        );
        // Its end came while it was yielded to: after ours there was nothing to wait for, and TIME_WAIT is nginx's.
        assert_eq!(report.lingering, Duration::ZERO, "{how}: {report:?}");
        let error = sender.send_request(get("/hello")).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.close_reason()),
            (ErrorKind::Closed, Some(&CloseReason::PeerAskedClose))
        );
    }
}

async fn the_last_request_allowed_is_the_one_that_announces_it(door: Door) {
    let nginx = nginx!(door.nginx().server("keepalive_requests 3;"));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    for _ in 0..3 {
        assert_eq!(ask(&mut sender, get("/hello")).await, (200, HELLO.into()));
    }
    let (report, goodbye) = (connection.closed().await, door.goodbye());
    assert_eq!(
        story(&report),
        format!("peer_asked_close by the peer: clean; sent {goodbye}, received {goodbye}; 3 done, 0 failed")
    );
}

/// By then the connection is registered, and its end wakes: nobody looks once a second any more.
async fn an_idle_end_after_a_while_is_noticed_when_it_comes(door: Door) {
    let nginx = nginx!(door.nginx().server("keepalive_timeout 1200ms;"));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    assert_eq!(ask(&mut sender, get("/hello")).await, (200, HELLO.into()));
    let (report, goodbye) = (connection.closed().await, door.goodbye());
    let story = story(&report);
    let clean = format!("clean; sent {goodbye}, received {goodbye}");
    // nginx lets go of its socket behind its FIN. Our close_notify may overtake that FIN, and is answered with a reset.
    let crossed = "clean; sent close_notify+FIN, received close_notify+RST";
    let how = if story.contains(crossed) { crossed } else { &clean };
    assert_eq!(story, format!("peer_closed_idle by the peer: {how}; 1 done, 0 failed"));
}

async fn an_end_without_an_answer_is_no_response(door: Door) {
    let nginx = nginx!(door.nginx().server("location /none { return 444; }"));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    assert_eq!(ask(&mut sender, get("/hello")).await.0, 200);
    let error = sender.send_request(get("/none")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoResponse, "{error:?}");
    let (report, goodbye) = (connection.closed().await, door.goodbye());
    assert_eq!(
        story(&report),
        format!("peer_ended_early by the peer: truncated; sent {goodbye}, received FIN; 1 done, 1 failed")
    );
    nginx.logged("GET /none 444").await;
}

async fn a_reset_instead_of_an_answer_is_a_reset(door: Door) {
    let nginx = nginx!(door.nginx().server("location /none { return 444; } reset_timedout_connection on;"));
    let (mut sender, connection) = door.connect(nginx.address()).await;
    assert_eq!(ask(&mut sender, get("/hello")).await.0, 200);
    let error = sender.send_request(get("/none")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Reset, "{error:?}");
    let report = connection.closed().await;
    assert_eq!(story(&report), "reset by the peer: reset; sent nothing, received RST; 1 done, 1 failed");
    assert!(!report.sent.contains(Signal::Rst));
    nginx.logged("GET /none 444").await;
}

/// Idle connections are looked at once a second: all wait at the same time.
async fn idle_ends_are_noticed_without_traffic(door: Door) {
    let short = nginx!(door.nginx().server("keepalive_timeout 100ms;"));
    let linger = nginx!(door.nginx().server("keepalive_timeout 100ms; lingering_close always;"));
    let reset = nginx!(door.nginx().server("keepalive_timeout 100ms; reset_timedout_connection on;"));
    let fresh = nginx!(door.nginx().http("client_header_timeout 500ms;"));
    let reloaded = nginx!(door.nginx());
    let stopped = nginx!(door.nginx());
    let kept = nginx!(door.nginx());
    let (mut sender, connection) = door.connect(kept.address()).await;
    let after = async |nginx: &Nginx, done: u64, deed: &str| {
        let (mut sender, connection) = door.connect(nginx.address()).await;
        if done > 0 {
            assert_eq!(ask(&mut sender, get("/hello")).await, (200, HELLO.into()));
        }
        match deed {
            "reload" => nginx.reload().await,
            "stop" => nginx.stop(),
            _ => {}
        }
        let report = connection.closed().await;
        let error = sender.send_request(get("/hello")).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.close_reason()),
            (ErrorKind::Closed, Some(&CloseReason::PeerClosedIdle))
        );
        story(&report)
    };
    let goodbye = door.goodbye();
    let story = |received: &str, done: u64| {
        format!(
            "peer_closed_idle by the peer: clean; sent {goodbye}, received {received}; {done} done, 0 failed"
        )
    };
    let all = tokio::join!(
        after(&short, 1, ""),
        after(&linger, 1, ""),
        after(&reset, 1, ""),
        after(&fresh, 0, ""),
        after(&reloaded, 1, "reload"),
        after(&stopped, 1, "stop"),
    );
    assert_eq!(all.0, story(goodbye, 1));
    assert_eq!(all.1, story(goodbye, 1));
    assert_eq!(all.2, story(goodbye, 1));
    assert_eq!(all.3, story(goodbye, 0));
    assert_eq!(all.4, story(goodbye, 1));
    assert_eq!(all.5, story("FIN", 1));

    // And no end is noticed where there is none, not even by the tickets that TLS 1.3 has after its handshake.
    assert_eq!(connection.state(), State::Idle);
    assert_eq!(ask(&mut sender, get("/hello")).await, (200, HELLO.into()));
}
