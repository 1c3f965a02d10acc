//! How connections of the pool end: by nginx, by us in time, by their age, and all at once.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use adieu::{Client, CloseMode, ErrorKind, ResponseExt};
use interop::Sockets;

use super::{all_gone, hello, next_gone, up_to, visits};
use crate::door::{Door, Way, all_ways, each_way};
use crate::nginx::nginx;
use crate::support::{beside, bytes, story};

all_ways!(
    an_idle_connection_that_nginx_ends_is_gone_without_traffic,
    a_hint_of_nginx_lets_us_end_first,
    at_its_maximum_age_a_busy_connection_is_replaced
);

each_way!(a_graceful_close_lets_slow_responses_end_and_leaves_nothing);

/// Nothing is left of the connections to nginx but TIME_WAIT, which is ours. Over TLS it may be nginx's: it ends when it
/// sees our close_notify, which may be before it sees our FIN.
async fn assert_we_ended_first(door: &Door, nginx: SocketAddr, connections: usize) {
    let Some(sockets) = Sockets::once_gone(nginx).await else { return };
    // An earlier server may have had this port.
    let waiting = match door.way() {
        Way::Plain => sockets.clients_waiting,
        _ => sockets.clients_waiting + sockets.servers_waiting,
    };
    assert!(waiting >= connections, "{sockets:?}");
}

/// How long it takes until the client lists no connection any more.
async fn until_none(client: &Client) -> Duration {
    let since = Instant::now();
    assert_eq!(client.connections().len(), 1);
    while !client.connections().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    since.elapsed()
}

async fn an_idle_connection_that_nginx_ends_is_gone_without_traffic(door: Door) {
    let nginx = nginx!(door.nginx().server("keepalive_timeout 1s;"));
    let client = door.client().build().unwrap();
    let mut events = client.events();
    hello(&client, &door.url(nginx.address(), "/hello")).await;
    let took = until_none(&client).await;
    assert!(took > Duration::from_millis(900) && took < Duration::from_millis(2_200), "{took:?}");

    let report = next_gone(&mut events).await;
    let (story, goodbye) = (story(&report), door.goodbye());
    let clean = format!("clean; sent {goodbye}, received {goodbye}");
    // nginx lets go of its socket behind its FIN. Our close_notify may overtake that FIN, and is answered with a reset.
    let crossed = "clean; sent close_notify+FIN, received close_notify+RST";
    let how = if story.contains(crossed) { crossed } else { &clean };
    assert_eq!(story, format!("peer_closed_idle by the peer: {how}; 1 done, 0 failed"));

    // The client goes on with another.
    hello(&client, &door.url(nginx.address(), "/hello")).await;
    let total = client.stats().total;
    assert_eq!((total.opened, total.failed, total.closed["peer_closed_idle"]), (2, 0, 1));
}

/// nginx would wait for 65 s, and tells of 3: a second less is our limit.
async fn a_hint_of_nginx_lets_us_end_first(door: Door) {
    let nginx = nginx!(door.nginx().server("keepalive_timeout 65s 3s;"));
    let client = door.client().build().unwrap();
    let mut events = client.events();
    let response = client.get(door.url(nginx.address(), "/hello")).send().await.unwrap();
    assert_eq!(response.headers()["keep-alive"], "timeout=3");
    assert_eq!(response.text().await.unwrap(), super::HELLO);
    let took = until_none(&client).await;
    assert!(took > Duration::from_millis(1_900) && took < Duration::from_millis(2_800), "{took:?}");
    let (report, goodbye) = (next_gone(&mut events).await, door.goodbye());
    assert_eq!(
        story(&report),
        format!("idle_limit by us: clean; sent {goodbye}, received FIN; 1 done, 0 failed")
    );
    nginx.log().until("closed keepalive connection").await;
    assert_we_ended_first(&door, nginx.address(), 1).await;
}

async fn at_its_maximum_age_a_busy_connection_is_replaced(door: Door) {
    let nginx = nginx!(door.nginx());
    let age = Duration::from_millis(200);
    let client =
        door.client().max_connections_per_origin(2).max_age(age).max_age_jitter(0.5).build().unwrap();
    let mut events = client.events_up_to(100_000);
    let (since, mut asked) = (Instant::now(), 0);
    let url = door.url(nginx.address(), "/hello");
    while since.elapsed() < Duration::from_secs(1) {
        hello(&client, &url).await;
        asked += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let report = client.close(CloseMode::graceful()).await;
    assert_eq!((report.total.exchanges, report.total.failed), (asked, 0));

    let goodbye = door.goodbye();
    let aged: Vec<_> = all_gone(&mut events)
        .into_iter()
        .filter(|report| report.reason == adieu::CloseReason::MaxAge)
        .collect();
    assert!(aged.len() >= 3, "{report}");
    for one in aged {
        let how =
            format!("max_age by us: clean; sent {goodbye}, received FIN; {} done, 0 failed", one.exchanges);
        assert_eq!(story(&one), how);
        assert!(one.age >= age / 2 && one.age < 3 * age, "{one}");
    }
    nginx.log().until_times("access: GET /hello 200, done: OK", asked as usize).await;
    let visits = visits(nginx.log());
    assert!(visits.len() >= 4, "{visits:?}");
    assert!(visits.values().all(|requests| *requests == up_to(requests.len())), "{visits:?}");
}

async fn a_graceful_close_lets_slow_responses_end_and_leaves_nothing(door: Door) {
    let slowly = "location /large { limit_rate_after 100k; limit_rate 500k; }";
    let nginx = nginx!(door.nginx().server(slowly).document("large", bytes(200_000)));
    let client = door.client().build().unwrap();
    let url = door.url(nginx.address(), "/large");
    // Opened beforehand, so that none ends before the last has begun.
    assert_eq!(client.prewarm(&url, 7).await.unwrap(), 7);
    let mut reading = Vec::new();
    for _ in 0..6 {
        let response = client.get(&url).send().await.unwrap();
        reading.push(beside(response.bytes()));
    }
    // On the seventh, which is idle then.
    hello(&client, &door.url(nginx.address(), "/hello")).await;
    let closing = client.close(CloseMode::graceful());
    let late = client.get(&url).send().await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::ClientClosed);
    let report = closing.await;
    for one in reading {
        assert_eq!(one.await.unwrap().unwrap(), bytes(200_000));
    }
    assert_eq!((report.connections.len(), report.failed()), (7, 0), "{report}");
    assert_eq!((report.total.exchanges, report.total.failed), (7, 0));
    let goodbye = door.goodbye();
    for one in &report.connections {
        assert_eq!(
            story(one),
            format!("user_graceful by us: clean; sent {goodbye}, received FIN; 1 done, 0 failed")
        );
    }
    assert!(client.connections().is_empty());
    nginx.log().until_times("access: GET /large 200, done: OK", 6).await;
    assert_we_ended_first(&door, nginx.address(), 7).await;
}
