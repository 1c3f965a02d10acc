//! Many requests over few connections of nginx.

use adieu::CloseMode;
use interop::{NginxConfig, Sockets};

use super::{ask, hello, up_to, visits};
use crate::door::{Door, Way};
use crate::nginx::nginx;
use crate::support::{beside, play, play_on_threads, story};

const TASKS: usize = 50;
const EACH: usize = 20;
const CONNECTIONS: usize = 8;

#[test]
fn a_thousand_requests_of_fifty_tasks_take_eight_connections() {
    play_on_threads(async || {
        for way in [Way::Plain, Way::Tls12, Way::Tls13] {
            a_thousand(Door::new(way)).await;
        }
    });
}

async fn a_thousand(door: Door) {
    let status = "location /status { stub_status; access_log off; }";
    let nginx = nginx!(door.nginx().server(status));
    let client = door.client().max_connections_per_origin(CONNECTIONS).build().unwrap();
    let (url, status) = (door.url(nginx.address(), "/hello"), door.url(nginx.address(), "/status"));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (client, url) = (client.clone(), url.clone());
            beside(async move {
                for _ in 0..EACH {
                    hello(&client, &url).await;
                }
            })
        })
        .collect();
    // nginx's own count, while it lasts.
    let counting = door.client().build().unwrap();
    while !tasks.iter().all(|task| task.is_finished()) {
        let (_, text) = ask(&counting, &status).await;
        let active = text.strip_prefix("Active connections: ").unwrap().lines().next().unwrap();
        let active: usize = active.trim().parse().unwrap();
        assert!(active <= CONNECTIONS + 1, "{text}");
    }
    for task in tasks {
        task.await.unwrap();
    }
    nginx.log().until_times("access: GET /hello 200, done: OK", TASKS * EACH).await;

    let visits = visits(nginx.log());
    assert!(visits.len() <= CONNECTIONS, "{visits:?}");
    assert_eq!(visits.values().map(Vec::len).sum::<usize>(), TASKS * EACH);
    for requests in visits.values() {
        assert!(requests.len() > 1 && *requests == up_to(requests.len()), "{requests:?}");
    }
    let total = client.stats().total;
    // One that came late may have found nothing left to do.
    assert!((visits.len()..=CONNECTIONS).contains(&(total.opened as usize)), "{total}");
    assert_eq!(total.waiting, 0);
    assert_eq!(
        (total.exchanges, total.failed, total.reused),
        ((TASKS * EACH) as u64, 0, (TASKS * EACH - visits.len()) as u64)
    );
    let report = client.close(CloseMode::graceful()).await;
    let mut done: Vec<_> =
        report.connections.iter().map(|report| report.exchanges).filter(|done| *done > 0).collect();
    let mut logged: Vec<_> = visits.values().map(|requests| requests.len() as u64).collect();
    done.sort();
    logged.sort();
    assert_eq!(done, logged);
}

/// nginx says `Connection: close` with each tenth answer.
#[test]
fn where_each_connection_bears_ten_requests_none_fails() {
    play_on_threads(async || {
        for way in [Way::Plain, Way::Tls13] {
            ten_each(Door::new(way)).await;
        }
    });
}

async fn ten_each(door: Door) {
    let nginx = nginx!(door.nginx().server("keepalive_requests 10;"));
    let client = door.client().max_connections_per_origin(4).build().unwrap();
    let mut events = client.events_up_to(100_000);
    let url = door.url(nginx.address(), "/hello");
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let (client, url) = (client.clone(), url.clone());
            beside(async move {
                for _ in 0..24 {
                    hello(&client, &url).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    nginx.log().until_times("access: GET /hello 200, done: OK", 240).await;
    let visits = visits(nginx.log());
    let full = visits.values().filter(|requests| **requests == up_to(10)).count();
    assert!(visits.values().all(|requests| *requests == up_to(requests.len())), "{visits:?}");
    // Four may be in the middle of theirs.
    assert!((20..=24).contains(&full) && visits.len() <= full + 4, "{visits:?}");

    let report = client.close(CloseMode::graceful()).await;
    assert_eq!((report.total.failed, report.total.exchanges), (0, 240));
    assert_eq!(report.total.closed["peer_asked_close"], full as u64);
    let goodbye = door.goodbye();
    let asked =
        format!("peer_asked_close by the peer: clean; sent {goodbye}, received {goodbye}; 10 done, 0 failed");
    let told = super::all_gone(&mut events);
    assert_eq!(told.iter().filter(|report| story(report) == asked).count(), full, "{told:#?}");
    // It was left to nginx to end first: TIME_WAIT is its. Over TLS it is nobody's: nginx lets go of its socket behind its
    // FIN, and our close_notify is answered with a reset.
    let Some(sockets) = Sockets::once_gone(nginx.address()).await else { return };
    let expected = if door.way() == Way::Plain { full } else { 0 };
    assert!(sockets.servers_waiting >= expected, "{sockets:?}");
}

#[test]
fn over_a_unix_socket_too() {
    play(async || {
        let nginx = nginx!(NginxConfig::new());
        let client = adieu::Client::builder().unix_socket(nginx.socket()).build().unwrap();
        for _ in 0..5 {
            hello(&client, "http://anything.example/hello").await;
        }
        nginx.log().until_times("access: GET /hello 200, done: OK", 5).await;
        assert_eq!(visits(nginx.log()).into_values().collect::<Vec<_>>(), [up_to(5)]);
        let report = client.close(CloseMode::graceful()).await.connections.remove(0);
        assert_eq!(story(&report), "user_graceful by us: clean; sent FIN, received FIN; 5 done, 0 failed");
        assert_eq!(report.origin.as_deref(), Some("http://anything.example"));
        assert_eq!(report.peer, Some(adieu::Address::Unix(Some(nginx.socket()))));
    });
}
