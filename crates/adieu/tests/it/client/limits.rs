//! How many connections there may be, which of them is taken, and for how long.

use std::collections::BTreeSet;
use std::time::Duration;

use adieu::{CloseMode, CloseReason, Ended, ErrorKind, Order, ResponseExt};

use super::counting::{Counting, Manners};
use super::reports::Reports;
use super::wires::{Net, OK, answer, answer_all, ask, exchange};
use crate::support::{beside, clock, in_time, pass, settle};

const URL: &str = "http://host/";

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_of_another_origin_makes_room() {
    let net = Net::polite();
    let (reports, client) = Reports::of(net.client().max_connections(2));
    for host in ["a", "b", "a", "c"] {
        exchange(&client, &format!("http://{host}/")).await;
    }
    settle().await;
    let [report] = &reports.all()[..] else { panic!("{:?}", reports.all()) };
    assert_eq!(report.origin.as_deref(), Some("http://b"), "it was idle for longest");
    assert_eq!(report.reason, CloseReason::PoolLimit("connections in all"));
    assert_eq!(report.ended, Ended::Clean);
    assert_eq!((net.connects(), net.most(), client.connections().len()), (3, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_busy_connection_of_another_origin_is_waited_for() {
    let (net, mut accepts) = Net::by_hand();
    let (reports, client) = Reports::of(net.client().max_connections(1));
    let first = ask(&client, "http://a/");
    let mut peer = accepts.next().await;
    in_time(peer.read_head()).await.unwrap();
    let second = ask(&client, "http://b/");
    pass(secs(5.0)).await;
    assert_eq!(net.connects(), 1);
    peer.send(OK).await.unwrap();
    beside(answer_all(peer));
    beside(answer_all(accepts.next().await));
    in_time(first).await.unwrap().unwrap();
    in_time(second).await.unwrap().unwrap();
    assert_eq!((reports.all().len(), net.most()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_is_as_good_as_one() {
    let net = Net::polite();
    let client = net.client().max_connections(0).max_connections_per_origin(0).build().unwrap();
    assert_eq!((exchange(&client, URL).await, exchange(&client, URL).await), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn no_idle_connection_is_kept_where_none_may_be() {
    for builder in [|net: &Net| net.client().max_idle(0), |net: &Net| net.client().max_idle_per_origin(0)] {
        let net = Net::polite();
        let (reports, client) = Reports::of(builder(&net).max_connections_per_origin(3));
        // Without anybody who waits each is closed, and with somebody each is used again.
        for _ in 0..3 {
            assert_eq!(exchange(&client, URL).await, 1);
        }
        let asked: Vec<_> = (0..9).map(|_| ask(&client, URL)).collect();
        for task in asked {
            in_time(task).await.unwrap().unwrap();
        }
        settle().await;
        assert_eq!((net.connects(), reports.all().len(), net.alive()), (6, 6, 0));
        assert!(reports.all().iter().all(|report| matches!(report.reason, CloseReason::PoolLimit(_))));
        assert_eq!(client.prewarm(URL, 2).await.unwrap(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn one_idle_connection_too_many_closes_the_one_that_was_idle_longest() {
    let net = Net::polite();
    let (reports, client) = Reports::of(net.client().max_idle_per_origin(2).max_idle(3));
    let asked: Vec<_> = (0..4).map(|_| ask(&client, "http://a/")).collect();
    for task in asked {
        in_time(task).await.unwrap().unwrap();
    }
    settle().await;
    assert_eq!((client.stats().total.idle, reports.all().len()), (2, 2));
    assert_eq!(reports.all()[0].reason, CloseReason::PoolLimit("idle connections of one origin"));
    exchange(&client, "http://b/").await;
    exchange(&client, "http://c/").await;
    settle().await;
    assert_eq!((client.stats().total.idle, reports.all().len()), (3, 3));
    assert_eq!(reports.all()[2].reason, CloseReason::PoolLimit("idle connections in all"));
    assert_eq!(reports.all()[2].origin.as_deref(), Some("http://a"));
}

#[tokio::test(start_paused = true)]
async fn the_order_in_which_idle_connections_are_taken() {
    for (order, pattern) in
        [(Order::Lifo, [2, 2, 2, 2]), (Order::Fifo, [0, 1, 2, 0]), (Order::RoundRobin, [0, 1, 2, 0])]
    {
        let net = Net::polite();
        let client = net.client().order(order).build().unwrap();
        client.prewarm(URL, 3).await.unwrap();
        let mut ids: Vec<_> = client.connections().iter().map(|connection| connection.id).collect();
        ids.sort_unstable();
        for at in pattern {
            let response = client.get(URL).send().await.unwrap();
            assert_eq!(response.connection(), Some(ids[at]), "{order:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_does_so_many_exchanges_and_no_more() {
    let net = Net::polite();
    let (reports, client) = Reports::of(net.client().max_exchanges(2).max_connections(1));
    for number in [1, 2, 1, 2, 1] {
        assert_eq!(exchange(&client, URL).await, number);
    }
    settle().await;
    let [first, second] = &reports.all()[..] else { panic!("{:?}", reports.all()) };
    assert_eq!((&first.reason, first.exchanges, second.exchanges), (&CloseReason::MaxExchanges, 2, 2));
    assert_eq!(net.most(), 1);
}

#[tokio::test(start_paused = true)]
async fn connections_of_one_age_end_at_different_times() {
    let net = Net::polite();
    let (reports, client) =
        Reports::of(net.client().max_age(secs(100.0)).max_age_jitter(0.5).idle_timeout(None));
    client.prewarm(URL, 40).await.unwrap();
    pass(secs(49.9)).await;
    assert_eq!(reports.all().len(), 0);
    pass(secs(51.0)).await;
    let reports = reports.all();
    assert_eq!(reports.len(), 40);
    assert!(reports.iter().all(|report| report.reason == CloseReason::MaxAge));
    let ages: BTreeSet<_> = reports.iter().map(|report| report.age.as_secs() / 10).collect();
    assert!(ages.len() > 2, "{ages:?}");
}

#[tokio::test(start_paused = true)]
async fn an_exchange_in_flight_may_outlive_its_connections_age_by_the_grace() {
    for (grace, waits) in [(None, 1_000.0), (Some(secs(5.0)), 15.0)] {
        let (net, mut accepts) = Net::by_hand();
        let (reports, client) =
            Reports::of(net.client().max_age(secs(10.0)).max_age_jitter(0.0).max_age_grace(grace));
        let (began, asked) = (clock(), ask(&client, URL));
        let mut peer = accepts.next().await;
        in_time(peer.read_head()).await.unwrap();
        if grace.is_some() {
            let error = in_time(asked).await.unwrap().unwrap_err();
            assert_eq!(began.elapsed(), secs(waits));
            assert!(matches!(error.kind(), ErrorKind::Timeout(adieu::Phase::Drain)), "{error}");
        } else {
            beside(async move {
                pass(secs(1_000.0) - Duration::from_millis(1)).await;
                pass(Duration::from_millis(1)).await;
                peer.send(OK).await.unwrap();
            });
            assert!(client.connections()[0].state.is_open());
            // Its head may take 300 s, so this one is shorter.
            let error = in_time(asked).await.unwrap().unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Timeout(adieu::Phase::ResponseHead)), "{error}");
        }
        settle().await;
        pass(secs(3.0)).await;
        assert_eq!(reports.all()[0].reason, CloseReason::MaxAge);
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_after_its_time_to_the_millisecond() {
    for idle in [0.05, 0.3, 1.0, 2.5, 60.0] {
        let (net, mut accepts) = Net::by_hand();
        let (reports, client) = Reports::of(net.client().idle_timeout(secs(idle)));
        let asked = ask(&client, URL);
        let mut peer = accepts.next().await;
        answer(&mut peer, OK).await.unwrap();
        in_time(asked).await.unwrap().unwrap();
        let began = clock();
        in_time(peer.read_until_end()).await.unwrap();
        let took = began.elapsed();
        assert!(took >= secs(idle) && took <= secs(idle) + Duration::from_millis(2), "{took:?}");
        drop(peer);
        settle().await;
        assert_eq!((&reports.all()[0].reason, net.alive()), (&CloseReason::IdleLimit, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_shared_among_partitions() {
    let net = Net::polite();
    let client = net.client().build().unwrap();
    let asks = async |partition: Option<&str>| {
        let request = client.get(URL);
        let request = match partition {
            Some(partition) => request.partition(partition),
            None => request,
        };
        let response = request.send().await.unwrap();
        (response.connection().unwrap(), response.info().unwrap().exchange)
    };
    let (none, one, two) = (asks(None).await, asks(Some("1")).await, asks(Some("2")).await);
    assert_eq!((none.1, one.1, two.1), (1, 1, 1));
    assert_eq!(asks(Some("1")).await, (one.0, 2));
    assert_eq!(asks(None).await, (none.0, 2));
    let stats = client.stats();
    let partitions: Vec<_> = stats.origins.iter().map(|origin| origin.partition.as_deref()).collect();
    assert_eq!(partitions, [None, Some("1"), Some("2")]);
    // One that the client has is everybody's who names no other.
    let client = net.client().partition("1").build().unwrap();
    let first = client.get(URL).send().await.unwrap().connection();
    assert_eq!(client.get(URL).partition("1").send().await.unwrap().connection(), first);
}

#[tokio::test(start_paused = true)]
async fn a_request_may_want_a_fresh_connection() {
    let net = Net::polite();
    let (reports, client) = Reports::of(net.client().max_connections_per_origin(2));
    exchange(&client, URL).await;
    let fresh = || client.get(URL).fresh_connection().send();
    for _ in 0..3 {
        assert_eq!(in_time(fresh()).await.unwrap().info().unwrap().exchange, 1);
    }
    settle().await;
    assert_eq!((net.connects(), net.most(), reports.all().len()), (4, 2, 2), "idle ones made room");
    assert_eq!(reports.all()[0].reason, CloseReason::PoolLimit("connections of one origin"));
}

/// Under load at the limit no connection is ever idle; still it gets its own.
#[tokio::test(start_paused = true)]
async fn a_request_for_a_fresh_connection_is_served_in_its_turn_under_load() {
    let (net, mut accepts) = Net::by_hand();
    beside(async move {
        loop {
            let mut peer = accepts.next().await;
            beside(async move {
                while peer.read_head().await.is_ok() {
                    pass(secs(0.1)).await;
                    if peer.send(OK).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let client = net.client().max_connections_per_origin(2).build().unwrap();
    let load: Vec<_> = (0..10).map(|_| ask(&client, URL)).collect();
    settle().await;
    let began = clock();
    let fresh = client.get(URL).fresh_connection().send();
    let fresh = beside(async move { in_time(fresh).await.unwrap().info().unwrap().exchange });
    settle().await;
    let more: Vec<_> = (0..100).map(|_| ask(&client, URL)).collect();
    assert_eq!(in_time(fresh).await.unwrap(), 1);
    assert!(began.elapsed() <= secs(0.8), "{:?}", began.elapsed());
    for task in load.into_iter().chain(more) {
        in_time(task).await.unwrap().unwrap();
    }
    assert_eq!((net.connects(), net.most()), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_request_may_close_its_connection_afterwards() {
    let (net, mut accepts) = Net::by_hand();
    let (reports, client) = Reports::of(net.client());
    let asked = client.get(URL).close_afterwards().send();
    let asked = beside(super::wires::text(asked));
    let mut peer = accepts.next().await;
    let head = String::from_utf8(in_time(peer.read_head()).await.unwrap()).unwrap();
    assert!(head.to_ascii_lowercase().contains("connection: close\r\n"), "{head}");
    peer.send(OK).await.unwrap();
    in_time(asked).await.unwrap().unwrap();
    assert_eq!(in_time(peer.read_until_end()).await.unwrap(), (Vec::new(), adieu_testkit::Ended::Fin));
    drop(peer);
    settle().await;
    assert_eq!(reports.all()[0].reason, CloseReason::RequestAskedClose);
}

/// A connection belongs to its runtime: on another it is not lent, and neither is in the way of the other.
#[test]
fn a_connection_is_lent_on_its_own_runtime_only() {
    let server = Counting::start(Manners::POLITE);
    let client = adieu::Client::builder().no_proxies().build().unwrap();
    let runtimes = [(); 2].map(|()| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    });
    for round in 1..=3 {
        for runtime in &runtimes {
            assert_eq!(runtime.block_on(exchange(&client, &server.url("/"))), round);
        }
    }
    assert_eq!(server.accepted(), 2);
    assert_eq!(client.connections().len(), 2);
    let report = runtimes[0].block_on(in_time(client.close(CloseMode::graceful())));
    assert_eq!((report.connections.len(), report.ended(Ended::Clean)), (2, 2), "{report}");
}
