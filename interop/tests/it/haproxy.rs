//! HAProxy, plain and with TLS ended by it. It answers close_notify with close_notify, and a half-close with the
//! response.

use std::time::Duration;

use adieu::{CloseMode, ErrorKind, State};
use adieu_testkit::peer::{Gate, Peer, Script, Until, response};
use interop::Haproxy;

use crate::door::{Door, Way, all_ways, each_way};
use crate::support::{ask, beside, get, reaches, read, story};

macro_rules! haproxy {
    ($config:expr) => {
        match Haproxy::start($config).await {
            Some(haproxy) => haproxy,
            None => return,
        }
    };
}

/// A server that answers everything.
fn answering() -> Peer {
    Peer::tcp(Script::new().answer_all(response(200, "ok")).repeat()).unwrap()
}

/// A server that answers late.
fn late(gate: &Gate) -> Peer {
    Peer::tcp(Script::new().read_request().gate(gate).send(response(200, "late"))).unwrap()
}

each_way!(
    idle_in_each_mode,
    a_half_close_is_borne,
    closing_after_each_request_it_ends_first,
    a_reload_lets_what_is_in_flight_end_and_announces_the_close,
    a_server_behind_that_ends_early_ends_us_early,
    what_it_answers_itself_keeps_the_connection
);

all_ways!(idle_ends_are_noticed_without_traffic);

async fn idle_in_each_mode(door: Door) {
    let behind = answering();
    let haproxy = haproxy!(door.haproxy(&behind));
    let goodbye = door.goodbye();
    for (mode, name) in
        [(CloseMode::graceful(), "graceful"), (CloseMode::half(), "half"), (CloseMode::now(), "now")]
    {
        let (mut sender, connection) = door.connect(haproxy.address()).await;
        for _ in 0..3 {
            assert_eq!(ask(&mut sender, get("/hello")).await, (200, "ok".into()));
        }
        let report = connection.close(mode).await;
        assert_eq!(
            story(&report),
            format!("user_{name} by us: clean; sent {goodbye}, received {goodbye}; 3 done, 0 failed")
        );
    }
    let (mut sender, connection) = door.connect(haproxy.address()).await;
    assert_eq!(ask(&mut sender, get("/hello")).await.0, 200);
    let report = connection.close(CloseMode::abort()).await;
    assert_eq!(story(&report), "user_abort by us: aborted; sent RST, received nothing; 1 done, 0 failed");
    haproxy.log().until_times("GET /hello 200 --.", 10).await;
}

async fn a_half_close_is_borne(door: Door) {
    let gate = Gate::new();
    let behind = late(&gate);
    let haproxy = haproxy!(door.haproxy(&behind));
    let (mut sender, connection) = door.connect(haproxy.address()).await;
    let exchange = beside(sender.send_request(get("/")));
    behind.wait_async(0, Until::Requests(1)).await.unwrap();
    let closing = connection.close(CloseMode::half());
    reaches(&connection, |state| match door.way() {
        Way::Tls12 => matches!(state, State::Draining { .. }),
        _ => state == State::HalfClosed,
    })
    .await;
    gate.open();
    assert_eq!(read(exchange.await.unwrap().unwrap()).await.unwrap(), "late");
    let (report, goodbye) = (closing.await, door.goodbye());
    assert_eq!(
        story(&report),
        format!("user_half by us: clean; sent {goodbye}, received {goodbye}; 1 done, 0 failed")
    );
    haproxy.logged("GET / 200 --.").await;
}

async fn closing_after_each_request_it_ends_first(door: Door) {
    let behind = answering();
    let haproxy = haproxy!(door.haproxy(&behind).front("option httpclose"));
    let (mut sender, connection) = door.connect(haproxy.address()).await;
    assert_eq!(ask(&mut sender, get("/")).await.0, 200);
    let (report, goodbye) = (connection.closed().await, door.goodbye());
    assert_eq!(
        story(&report),
        format!("peer_asked_close by the peer: clean; sent {goodbye}, received {goodbye}; 1 done, 0 failed")
    );
    assert_eq!(report.lingering, Duration::ZERO);
}

async fn a_reload_lets_what_is_in_flight_end_and_announces_the_close(door: Door) {
    let gate = Gate::new();
    let behind = late(&gate);
    let haproxy = haproxy!(door.haproxy(&behind));
    let (mut sender, connection) = door.connect(haproxy.address()).await;
    let exchange = beside(sender.send_request(get("/")));
    behind.wait_async(0, Until::Requests(1)).await.unwrap();
    haproxy.reload().await;
    gate.open();
    let response = exchange.await.unwrap().unwrap();
    assert_eq!(response.headers()["connection"], "close");
    assert_eq!(read(response).await.unwrap(), "late");
    let (report, goodbye) = (connection.closed().await, door.goodbye());
    assert_eq!(
        story(&report),
        format!("peer_asked_close by the peer: clean; sent {goodbye}, received {goodbye}; 1 done, 0 failed")
    );
}

async fn a_server_behind_that_ends_early_ends_us_early(door: Door) {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    let behind = Peer::tcp(Script::new().read_request().send(cut).fin()).unwrap();
    let haproxy = haproxy!(door.haproxy(&behind));
    let (mut sender, connection) = door.connect(haproxy.address()).await;
    let response = sender.send_request(get("/")).await.unwrap();
    assert_eq!(read(response).await.unwrap_err().kind(), ErrorKind::IncompleteBody);
    let report = connection.closed().await;
    assert_eq!(story(&report), door.cut(&report));
}

async fn what_it_answers_itself_keeps_the_connection(door: Door) {
    let behind = answering();
    let haproxy = haproxy!(door.haproxy(&behind).front("http-request deny if { path /no }"));
    let (mut sender, connection) = door.connect(haproxy.address()).await;
    assert_eq!(ask(&mut sender, get("/")).await.0, 200);
    assert_eq!(ask(&mut sender, get("/no")).await.0, 403);
    haproxy.logged("GET /no 403 PR.").await;
    let (report, goodbye) = (connection.close(CloseMode::graceful()).await, door.goodbye());
    assert_eq!(
        story(&report),
        format!("user_graceful by us: clean; sent {goodbye}, received {goodbye}; 2 done, 0 failed")
    );
}

/// Idle connections are looked at once a second: all wait at the same time.
async fn idle_ends_are_noticed_without_traffic(door: Door) {
    let behind = answering();
    let short = haproxy!(door.haproxy(&behind).front("timeout http-keep-alive 100ms"));
    let reloaded = haproxy!(door.haproxy(&behind));
    let stopped = haproxy!(door.haproxy(&behind));
    let after = async |haproxy: &Haproxy, deed: &str| {
        let (mut sender, connection) = door.connect(haproxy.address()).await;
        assert_eq!(ask(&mut sender, get("/")).await.0, 200);
        match deed {
            "reload" => haproxy.reload().await,
            "stop" => haproxy.soft_stop(),
            _ => {}
        }
        story(&connection.closed().await)
    };
    let goodbye = door.goodbye();
    let expected =
        format!("peer_closed_idle by the peer: clean; sent {goodbye}, received {goodbye}; 1 done, 0 failed");
    let all: [_; 3] =
        tokio::join!(after(&short, ""), after(&reloaded, "reload"), after(&stopped, "stop")).into();
    assert_eq!(all, [expected.clone(), expected.clone(), expected]);
    stopped.log().until("All workers exited").await;
}
