//! Opening connections: beforehand, in vain, and to names that mean other addresses by now.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use adieu::connect::{Resolve, Resolving};
use adieu::{Address, CloseReason, ErrorKind, ResponseExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::reports::Reports;
use super::wires::{AT_ONCE, Net, OK, Plan, answer_all, ask, exchange};
use crate::support::{beside, in_time, pass, settle};

const URL: &str = "http://host/";

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[tokio::test(start_paused = true)]
async fn connections_can_be_opened_before_they_are_needed() {
    let net = Net::polite();
    let client = net.client().max_connections_per_origin(4).build().unwrap();
    assert_eq!(client.prewarm(URL, 3).await.unwrap(), 3);
    assert_eq!(client.prewarm(URL, 2).await.unwrap(), 3, "there are enough");
    assert_eq!(client.prewarm(URL, 10).await.unwrap(), 4, "as far as the limits allow");
    assert_eq!((net.connects(), client.stats().total.idle), (4, 4));
    assert_eq!(exchange(&client, URL).await, 1);
    assert_eq!(net.connects(), 4);
    assert_eq!(client.prewarm("nowhere", 1).await.unwrap_err().kind(), ErrorKind::InvalidRequest);
}

/// Those that are in use are not idle, and what the limits do not allow is neither opened nor waited for.
#[tokio::test(start_paused = true)]
async fn so_many_are_idle_as_were_asked_for() {
    let (net, mut accepts) = Net::by_hand();
    let client = net.client().max_connections_per_origin(4).max_connections(5).build().unwrap();
    let busy = [ask(&client, URL), ask(&client, URL), ask(&client, "http://other/")];
    let mut peers = Vec::new();
    for _ in 0..3 {
        let mut peer = accepts.next().await;
        in_time(peer.read_head()).await.unwrap();
        peers.push(peer);
    }
    assert_eq!(client.prewarm(URL, 1).await.unwrap(), 1);
    assert_eq!(client.prewarm(URL, 9).await.unwrap(), 2, "four of one origin");
    assert_eq!(client.prewarm("http://other/", 9).await.unwrap(), 2, "two of another make room");
    assert_eq!((net.connects(), net.most()), (7, 5));
    for mut peer in peers {
        peer.send(OK).await.unwrap();
    }
    for task in busy {
        in_time(task).await.unwrap().unwrap();
    }
    let client = net.client().max_idle_per_origin(2).build().unwrap();
    assert_eq!((client.prewarm(URL, 9).await.unwrap(), net.connects()), (2, 9), "no more than may be idle");
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_is_told_and_the_others_are_kept() {
    let (net, _accepts) =
        Net::planned(|number| Plan { fails: (number == 1).then_some("no route"), ..AT_ONCE });
    let client = net.client().build().unwrap();
    let error = client.prewarm(URL, 3).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    settle().await;
    let stats = client.stats().total;
    assert_eq!((stats.idle, stats.not_opened, stats.opening), (2, 1, 0));
    assert_eq!(client.prewarm(URL, 2).await.unwrap(), 2, "both were put back");
    assert_eq!(net.connects(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_to_the_request_that_waits_longest() {
    let (net, mut accepts) =
        Net::planned(|number| Plan { takes: secs(1.0), fails: (number == 0).then_some("no route") });
    let (reports, client) = Reports::of(net.client().max_connections(1));
    let (first, second) = (ask(&client, URL), ask(&client, URL));
    let error = in_time(first).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    beside(answer_all(accepts.next().await));
    in_time(second).await.unwrap().unwrap();
    let [report] = &reports.all()[..] else { panic!("{:?}", reports.all()) };
    assert_eq!(report.reason, CloseReason::NotOpened("connect"));
    let stats = client.stats().total;
    assert_eq!((stats.not_opened, stats.opened, net.connects()), (1, 1, 2));
}

/// A connector that panics fails the opening, and no more.
#[tokio::test(start_paused = true)]
async fn a_connector_that_panics_is_a_failure_to_connect() {
    let (net, mut accepts) = Net::planned(|number| if number == 0 { panic!("on purpose") } else { AT_ONCE });
    let client = net.client().max_connections(1).build().unwrap();
    let (first, second) = (ask(&client, URL), ask(&client, URL));
    assert_eq!(in_time(first).await.unwrap().unwrap_err().kind(), ErrorKind::Connect);
    beside(answer_all(accepts.next().await));
    in_time(second).await.unwrap().unwrap();
    assert_eq!(client.connections().len(), 1);
}

/// While a connection is being opened for it, the limits of opening count, not that of the pool.
#[tokio::test(start_paused = true)]
async fn a_slow_opening_is_not_mistaken_for_a_full_pool() {
    let (net, mut accepts) = Net::planned(|_| Plan { takes: secs(20.0), fails: None });
    let client = net.client().max_connections(1).pool_timeout(secs(5.0)).build().unwrap();
    let (first, second) = (ask(&client, URL), ask(&client, URL));
    let error = in_time(second).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(adieu::Phase::PoolWait));
    beside(async move { answer_all(accepts.next().await).await });
    in_time(first).await.unwrap().unwrap();
}

/// Far more origins than are remembered: those that are unused are forgotten, and learned anew.
#[tokio::test(start_paused = true)]
async fn origins_that_are_not_used_are_forgotten_and_nothing_is_lost() {
    let net = Net::polite();
    let client = net.client().max_idle(3).build().unwrap();
    for number in 0..1_500 {
        exchange(&client, &format!("http://host{number}/")).await;
    }
    exchange(&client, "http://host0/").await;
    settle().await;
    let stats = client.stats();
    assert!(stats.origins.len() <= 1_024, "{} are remembered", stats.origins.len());
    assert_eq!((stats.total.exchanges, stats.total.opened, stats.total.idle), (1_501, 1_501, 3));
}

/// A name that leads to another address when it is told to.
struct Moves(Arc<AtomicU8>);

impl Resolve for Moves {
    fn resolve(&self, _: &str) -> Resolving {
        let last = self.0.load(Ordering::Relaxed);
        Box::pin(async move {
            match last {
                0 => Err("no such name".into()),
                last => Ok(vec![IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))]),
            }
        })
    }
}

#[tokio::test]
async fn connections_to_addresses_that_left_their_name_retire() {
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let url = format!("http://example.test:{}/", listener.local_addr().unwrap().port());
    let server = beside(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            beside(async move {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {
                    stream.write_all(OK.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let last = Arc::new(AtomicU8::new(1));
    let refresh = Duration::from_millis(20);
    let builder = adieu::Client::builder().no_proxies().resolver(Moves(last.clone())).refresh_names(refresh);
    let (reports, client) = Reports::of(builder);
    assert_eq!(exchange(&client, &url).await, 1);
    for (address, after) in [(1, 0), (0, 0), (2, 1)] {
        last.store(address, Ordering::Relaxed);
        pass(refresh * 2).await;
        // This one is sent on what is there, and has the name looked up again.
        assert!(exchange(&client, &url).await > 1);
        pass(refresh).await;
        assert_eq!(reports.all().len(), after, "a name that is not found says nothing");
    }
    assert_eq!(reports.all()[0].reason, CloseReason::Policy("its address left the name"));
    let response = client.get(&url).send().await.unwrap();
    let connection = client.connection(response.connection().unwrap()).unwrap();
    let Some(Address::Ip(peer)) = connection.peer else { panic!("{connection}") };
    assert_eq!(peer.ip(), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)));
    server.abort();
}

/// A connector of one's own has no addresses: nothing retires for that.
#[tokio::test]
async fn a_refresh_of_names_says_nothing_of_a_connector_of_ones_own() {
    let server = super::counting::Counting::start(super::counting::Manners::POLITE);
    let address = server.address;
    let connector = adieu::connect::Connector::builder().resolver(Moves(Arc::new(AtomicU8::new(1)))).build();
    let refresh = Duration::from_millis(5);
    let client = adieu::Client::builder().connector(connector).refresh_names(refresh).build().unwrap();
    let url = format!("http://example.test:{}/", address.port());
    for number in 1..=4 {
        assert_eq!(exchange(&client, &url).await, number);
        pass(refresh * 3).await;
    }
    assert_eq!(server.accepted(), 1);
}
