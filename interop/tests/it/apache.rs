//! Apache, plain and over TLS. It answers close_notify with close_notify, and a half-close with the response.

use std::time::Duration;

use adieu::{CloseMode, ErrorKind, State};
use interop::Apache;

use crate::door::{Door, Way, all_ways, each_way};
use crate::support::{ask, bytes, get, reaches, read, request, story, with};

macro_rules! apache {
    ($config:expr) => {
        match Apache::start($config).await {
            Some(apache) => apache,
            None => return,
        }
    };
}

/// Directives of a download that takes a third of a second.
const SLOWLY: &str = "SetOutputFilter RATE_LIMIT\nSetEnv rate-limit 200";

each_way!(
    idle_in_each_mode,
    a_half_close_is_borne,
    after_its_last_request_apache_ends_first,
    an_upload_that_is_refused_has_its_answer
);

all_ways!(idle_ends_are_noticed_without_traffic, a_reload_lets_what_is_in_flight_end);

async fn idle_in_each_mode(door: Door) {
    let apache = apache!(door.apache());
    let goodbye = door.goodbye();
    for (mode, name) in
        [(CloseMode::graceful(), "graceful"), (CloseMode::half(), "half"), (CloseMode::now(), "now")]
    {
        let (mut sender, connection) = door.connect(apache.address()).await;
        for _ in 0..3 {
            assert_eq!(ask(&mut sender, get("/hello")).await, (200, "hello, world\n".into()));
        }
        let report = connection.close(mode).await;
        assert_eq!(
            story(&report),
            format!("user_{name} by us: clean; sent {goodbye}, received {goodbye}; 3 done, 0 failed")
        );
    }
    let (mut sender, connection) = door.connect(apache.address()).await;
    assert_eq!(ask(&mut sender, get("/hello")).await.0, 200);
    apache.logged("GET /hello 200, request 2, +").await;
    let report = connection.close(CloseMode::abort()).await;
    assert_eq!(story(&report), "user_abort by us: aborted; sent RST, received nothing; 1 done, 0 failed");
}

async fn a_half_close_is_borne(door: Door) {
    let apache = apache!(door.apache().directives(SLOWLY).document("large", bytes(60_000)));
    let (mut sender, connection) = door.connect(apache.address()).await;
    let response = sender.send_request(get("/large")).await.unwrap();
    let closing = connection.close(CloseMode::half());
    reaches(&connection, |state| match door.way() {
        Way::Tls12 => matches!(state, State::Draining { .. }),
        _ => state == State::HalfClosed,
    })
    .await;
    assert_eq!(read(response).await.unwrap(), bytes(60_000));
    let (report, goodbye) = (closing.await, door.goodbye());
    apache.logged("GET /large 200, request 0, ").await;
    assert_eq!(
        story(&report),
        format!("user_half by us: clean; sent {goodbye}, received {goodbye}; 1 done, 0 failed")
    );
}

async fn after_its_last_request_apache_ends_first(door: Door) {
    let goodbye = door.goodbye();
    let asked = |done: u64| {
        format!(
            "peer_asked_close by the peer: clean; sent {goodbye}, received {goodbye}; {done} done, 0 failed"
        )
    };
    let never = apache!(door.apache().directives("KeepAlive Off"));
    let (mut sender, connection) = door.connect(never.address()).await;
    assert_eq!(ask(&mut sender, get("/hello")).await.0, 200);
    let report = connection.closed().await;
    assert_eq!((story(&report), report.lingering), (asked(1), Duration::ZERO));

    // The limit is on the requests after the first.
    let twice = apache!(door.apache().directives("MaxKeepAliveRequests 2"));
    let (mut sender, connection) = door.connect(twice.address()).await;
    for kept in ["timeout=5, max=2", "timeout=5, max=1"] {
        // It tells only whoever asks.
        let response = sender.send_request(with(get("/hello"), "connection", "keep-alive")).await.unwrap();
        assert_eq!(
            (&response.headers()["connection"], &response.headers()["keep-alive"]),
            (&"Keep-Alive".parse().unwrap(), &kept.parse().unwrap())
        );
        read(response).await.unwrap();
    }
    assert_eq!(ask(&mut sender, get("/hello")).await.0, 200);
    let report = connection.closed().await;
    assert_eq!((story(&report), report.lingering), (asked(3), Duration::ZERO));
}

async fn an_upload_that_is_refused_has_its_answer(door: Door) {
    let apache = apache!(door.apache().directives("LimitRequestBody 1000"));
    let (mut sender, connection) = door.connect(apache.address()).await;
    let upload = with(request("POST", "/hello", bytes(500_000)), "expect", "100-continue");
    let response = sender.send_request(upload).await.unwrap();
    assert_eq!(response.status(), 413);
    assert!(!read(response).await.unwrap().is_empty());
    let report = connection.closed().await;
    let story = story(&report);
    assert!(story.starts_with("upload_stopped by the peer: aborted; sent RST, received "), "{story}");
    assert!(report.bytes_sent < 1000, "{report}");
    let error = sender.send_request(get("/hello")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

/// Idle connections are looked at once a second: both wait at the same time.
async fn idle_ends_are_noticed_without_traffic(door: Door) {
    let short = apache!(door.apache().directives("KeepAliveTimeout 100ms"));
    let reloaded = apache!(door.apache());
    let after = async |apache: &Apache, reload: bool| {
        let (mut sender, connection) = door.connect(apache.address()).await;
        assert_eq!(ask(&mut sender, get("/hello")).await.0, 200);
        if reload {
            apache.reload().await;
        }
        story(&connection.closed().await)
    };
    let goodbye = door.goodbye();
    let expected =
        format!("peer_closed_idle by the peer: clean; sent {goodbye}, received {goodbye}; 1 done, 0 failed");
    assert_eq!(tokio::join!(after(&short, false), after(&reloaded, true)), (expected.clone(), expected));
}

async fn a_reload_lets_what_is_in_flight_end(door: Door) {
    let apache = apache!(door.apache().directives(SLOWLY).document("large", bytes(60_000)));
    let (mut sender, connection) = door.connect(apache.address()).await;
    let response = sender.send_request(get("/large")).await.unwrap();
    apache.reload().await;
    assert_eq!(read(response).await.unwrap(), bytes(60_000));
    let (report, goodbye) = (connection.closed().await, door.goodbye());
    assert_eq!(
        story(&report),
        format!("peer_closed_idle by the peer: clean; sent {goodbye}, received {goodbye}; 1 done, 0 failed")
    );
    let (mut sender, _connection) = door.connect(apache.address()).await;
    assert_eq!(ask(&mut sender, get("/hello")).await.0, 200);
}
