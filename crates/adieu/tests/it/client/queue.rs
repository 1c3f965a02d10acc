//! A thousand tasks over ten connections: first come, first served, and nobody forgotten.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use adieu::observe::{Event, Happening};
use adieu::{Client, ClientBuilder, CloseMode};

use super::counting::{Counting, Manners};
use super::wires::{AT_ONCE, Net, OK, answer_all, text};
use crate::support::{beside, in_time, watch_for_hangs};

const TASKS: u64 = 1_000;
const LIMIT: usize = 10;

/// The numbers of those who queued and of those who were served, in the order of events.
#[derive(Clone, Default)]
struct Order(Arc<Mutex<(Vec<u64>, Vec<u64>)>>);

impl Order {
    fn watched(&self, builder: ClientBuilder) -> Client {
        let order = self.clone();
        let note = move |event: &Event| {
            let mut order = order.0.lock().unwrap();
            match event.what {
                Happening::Queued { waiter, .. } => order.0.push(waiter),
                Happening::Served { waiter, .. } => order.1.push(waiter),
                _ => {}
            }
        };
        builder.max_connections_per_origin(LIMIT).observer(note).build().unwrap()
    }

    fn assert_first_come_first_served(&self) {
        let order = self.0.lock().unwrap();
        assert!(order.0.len() >= TASKS as usize - LIMIT, "{} waited", order.0.len());
        assert!(order.0.is_sorted(), "numbers are drawn in the order of coming");
        assert_eq!(order.0, order.1);
    }
}

#[tokio::test]
async fn a_thousand_tasks_are_served_in_the_order_in_which_they_came() {
    watch_for_hangs();
    let server = Counting::start(Manners { pause: Duration::from_micros(100), ..Manners::POLITE });
    let order = Order::default();
    let client = order.watched(Client::builder().no_proxies());
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        let (client, url) = (client.clone(), server.url("/"));
        tasks.push(beside(async move { text(client.get(url).send()).await }));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), "ok");
    }
    order.assert_first_come_first_served();
    assert_eq!((server.accepted(), server.most()), (LIMIT, LIMIT));
    let stats = client.stats().total;
    assert_eq!((stats.exchanges, stats.reused, stats.idle), (TASKS, TASKS - LIMIT as u64, LIMIT as u64));
    let report = client.close(CloseMode::graceful()).await;
    assert_eq!((report.connections.len(), report.total.alive(), server.open()), (LIMIT, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn in_virtual_time_too_where_openings_take_longer_than_answers() {
    watch_for_hangs();
    let (net, mut accepts) = Net::planned(|number| super::wires::Plan {
        takes: Duration::from_millis(number as u64 * 7),
        ..AT_ONCE
    });
    beside(async move {
        loop {
            beside(answer_all(accepts.next().await));
        }
    });
    let order = Order::default();
    let client = order.watched(net.client());
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        let client = client.clone();
        tasks.push(beside(async move { text(client.get("http://host/").send()).await }));
    }
    for task in tasks {
        assert_eq!(in_time(task).await.unwrap().unwrap(), "ok");
    }
    order.assert_first_come_first_served();
    assert!(net.most() <= LIMIT);
}

#[tokio::test(start_paused = true)]
async fn the_place_in_line_is_told() {
    let (net, mut accepts) = Net::by_hand();
    let client = net.client().max_connections_per_origin(1).build().unwrap();
    let ask = || {
        let client = client.clone();
        beside(async move { text(client.get("http://host/").send()).await })
    };
    let asked = [ask(), ask(), ask()];
    let mut peer = accepts.next().await;
    in_time(peer.read_head()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let waiting = client.waiting();
    assert_eq!(waiting.iter().map(|request| request.ahead).collect::<Vec<_>>(), [0, 1]);
    for request in &waiting {
        assert_eq!((&*request.origin, request.waited), ("http://host", Duration::from_secs(1)));
        assert_eq!(request.left, Some(Duration::from_secs(29)), "30 s are the default");
    }
    assert_eq!(client.stats().total.waiting, 2);
    peer.send(OK).await.unwrap();
    beside(answer_all(peer));
    for task in asked {
        assert_eq!(in_time(task).await.unwrap().unwrap(), "ok");
    }
    assert!(client.waiting().is_empty());
}

/// What is waited for in vain is told: for whom, how many were before it, and what is in use.
#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_told_for_what() {
    let (net, mut accepts) = Net::by_hand();
    let client =
        net.client().max_connections_per_origin(1).pool_timeout(Duration::from_secs(3)).build().unwrap();
    let first = client.clone();
    let first = beside(async move { text(first.get("http://host/").send()).await });
    let mut peer = accepts.next().await;
    in_time(peer.read_head()).await.unwrap();
    let began = crate::support::clock();
    let error = in_time(client.get("http://host/").send()).await.unwrap_err();
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    assert_eq!(error.kind(), adieu::ErrorKind::Timeout(adieu::Phase::PoolWait));
    let told = format!("{:#}", std::error::Error::source(&error).unwrap());
    assert!(told.contains("http://host") && told.contains("1 connections in use"), "{told}");
    peer.send(OK).await.unwrap();
    assert_eq!(in_time(first).await.unwrap().unwrap(), "ok");
    assert_eq!(net.connects(), 1, "the one that gave up left nothing behind");
}
