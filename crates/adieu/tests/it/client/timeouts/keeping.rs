//! The limits of connections: idle, age; and of their ends: linger, discard.

use adieu::{Client, CloseReason, CloseReport, Ended, Phase, ResponseExt, Timeouts};
use adieu_testkit::memory::MemoryEnd;

use super::{Gone, assert_after, assert_timed_out, ms, secs, unlimited};
use crate::client::net::{Arrivals, Net, SMALL};
use crate::support::{beside, clock, in_time, pass, settle, watch_for_hangs};

const URL: &str = "http://example.com/";

fn watched(timeouts: Timeouts) -> (Client, Arrivals, Gone) {
    watch_for_hangs();
    let (gone, (net, arrivals)) = (Gone::default(), Net::new());
    let client = net.client(|builder| gone.watch(builder.timeouts(timeouts).max_age_jitter(0.0)));
    (client, arrivals, gone)
}

/// One exchange that ends well.
async fn exchange(client: &Client) {
    assert_eq!(in_time(in_time(client.get(URL).send()).await.unwrap().text()).await.unwrap(), "ok");
}

/// Answers until the client ends, then ends too.
async fn polite(mut peer: MemoryEnd) {
    while peer.read_head().await.is_ok() && peer.send(SMALL).await.is_ok() {}
}

#[tokio::test(start_paused = true)]
async fn idle() {
    for (timeouts, limit) in [
        (Timeouts::new(), secs(55)),
        (unlimited().idle(ms(300)), ms(300)),
        (unlimited().idle(ms(20)), ms(20)),
        (unlimited().idle(secs(3_000)), secs(3_000)),
    ] {
        let (client, arrivals, gone) = watched(timeouts);
        arrivals.each(polite);
        for _ in 0..3 {
            exchange(&client).await;
            pass(limit - ms(10)).await;
        }
        assert_eq!(client.stats().total.idle, 1, "it begins anew with each exchange");
        exchange(&client).await;
        let began = clock();
        let report = in_time(gone.next()).await;
        assert_after(began, limit);
        assert_eq!(
            (report.reason, report.ended, report.exchanges),
            (CloseReason::IdleLimit, Ended::Clean, 4)
        );
        assert_eq!(client.stats().total.alive(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn idle_of_a_connection_that_nobody_ever_used() {
    let (client, arrivals, gone) = watched(unlimited().idle(ms(1_400)));
    arrivals.each(polite);
    assert_eq!(in_time(client.prewarm(URL, 1)).await.unwrap(), 1);
    let began = clock();
    let report = in_time(gone.next()).await;
    assert_after(began, ms(1_400));
    assert_eq!((report.reason, report.exchanges), (CloseReason::IdleLimit, 0));
}

/// However short, it does not count before the first exchange; from then on it does.
#[tokio::test(start_paused = true)]
async fn age_of_less_than_a_second() {
    for (unused, limit) in [(ms(0), ms(300)), (ms(0), ms(950)), (ms(500), ms(300)), (ms(980), ms(990))] {
        let (client, arrivals, gone) = watched(unlimited().age(limit));
        arrivals.each(polite);
        let began = clock();
        assert_eq!(in_time(client.prewarm(URL, 1)).await.unwrap(), 1);
        pass(unused).await;
        exchange(&client).await;
        let report = in_time(gone.next()).await;
        assert_after(began, limit.max(unused));
        assert_eq!((report.reason, report.ended, report.exchanges), (CloseReason::MaxAge, Ended::Clean, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn age_ends_an_idle_connection() {
    let (client, arrivals, gone) = watched(unlimited().age(secs(20)));
    arrivals.each(polite);
    let began = clock();
    for _ in 0..4 {
        exchange(&client).await;
        pass(secs(4)).await;
    }
    let report = in_time(gone.next()).await;
    assert_after(began, secs(20));
    assert_eq!((report.reason, report.exchanges), (CloseReason::MaxAge, 4));
}

#[tokio::test(start_paused = true)]
async fn age_lets_the_exchange_in_flight_end_by_itself() {
    let (client, mut arrivals, gone) = watched(unlimited().age(secs(20)));
    let sending = beside(client.get(URL).send());
    let mut peer = arrivals.next().await;
    peer.read_head().await.unwrap();
    pass(secs(21)).await;
    assert_eq!(client.stats().total.draining, 1);
    assert_eq!(client.connections()[0].reason, Some(CloseReason::MaxAge));
    pass(secs(5_000)).await;
    peer.send(SMALL).await.unwrap();
    in_time(sending).await.unwrap().unwrap();
    drop(peer);
    let report = in_time(gone.next()).await;
    assert_eq!((report.reason, report.exchanges, report.failed), (CloseReason::MaxAge, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn age_with_grace_fails_the_exchange_after_it() {
    watch_for_hangs();
    let (gone, (net, mut arrivals)) = (Gone::default(), Net::new());
    let client = net.client(|builder| {
        let builder = builder.timeouts(unlimited()).max_age(secs(20)).max_age_grace(secs(5));
        gone.watch(builder.max_age_jitter(0.0))
    });
    let began = clock();
    let sending = beside(client.get(URL).send());
    let mut peer = arrivals.next().await;
    peer.read_head().await.unwrap();
    let error = in_time(sending).await.unwrap().unwrap_err();
    assert_after(began, secs(25));
    assert_timed_out(&error, Phase::Drain);
    drop(peer);
    assert_eq!(in_time(gone.next()).await.reason, CloseReason::MaxAge);
}

#[tokio::test(start_paused = true)]
async fn linger() {
    for (timeouts, limit) in [(Timeouts::new(), secs(2)), (unlimited().linger(ms(700)), ms(700))] {
        let (client, mut arrivals, gone) = watched(timeouts);
        let exchange = beside({
            let client = client.clone();
            async move { client.get(URL).close_afterwards().send().await?.text().await }
        });
        let mut peer = arrivals.next().await;
        peer.read_head().await.unwrap();
        peer.send(SMALL).await.unwrap();
        in_time(exchange).await.unwrap().unwrap();
        assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
        let began = clock();
        let report = in_time(gone.next()).await;
        assert_after(began, limit);
        assert_eq!((report.reason, report.ended), (CloseReason::RequestAskedClose, Ended::PeerSilent));
    }
}

#[tokio::test(start_paused = true)]
async fn discard() {
    for (timeouts, limit) in [(Timeouts::new(), ms(50)), (unlimited().discard(ms(600)), ms(600))] {
        let (report, took) = dropped_body(timeouts, None).await;
        assert!(took >= limit && took <= limit + ms(5), "{took:?}");
        assert_eq!(report.unwrap().reason, CloseReason::RequestCancelled);
        // What comes in time keeps the connection.
        let (report, _) = dropped_body(timeouts, Some(limit - ms(5))).await;
        assert!(report.is_none(), "{report:?}");
    }
}

/// A body is dropped whose rest comes after so long, or never: the report of its connection, if that ended, and after how
/// long it began to.
async fn dropped_body(
    timeouts: Timeouts,
    rest_after: Option<std::time::Duration>,
) -> (Option<CloseReport>, std::time::Duration) {
    let (client, mut arrivals, gone) = watched(timeouts);
    let sending = beside(client.get(URL).send());
    let mut peer = arrivals.next().await;
    peer.read_head().await.unwrap();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive.").await.unwrap();
    drop(in_time(sending).await.unwrap().unwrap());
    let began = clock();
    match rest_after {
        None => {
            in_time(peer.read_until_end()).await.unwrap();
            let took = clock().duration_since(began);
            drop(peer);
            (Some(in_time(gone.next()).await), took)
        }
        Some(after) => {
            pass(after).await;
            peer.send("more.").await.unwrap();
            settle().await;
            assert_eq!(client.stats().total.idle, 1);
            (gone.take(), clock().duration_since(began))
        }
    }
}

#[tokio::test(start_paused = true)]
async fn limits_of_nothing_still_let_each_connection_do_one_exchange() {
    for timeouts in [
        unlimited().idle(std::time::Duration::ZERO),
        unlimited().idle(std::time::Duration::from_nanos(1)),
        unlimited().age(std::time::Duration::ZERO),
        unlimited().age(ms(2)),
        unlimited().linger(std::time::Duration::ZERO).discard(std::time::Duration::ZERO),
    ] {
        let (client, arrivals, _gone) = watched(timeouts);
        arrivals.each(polite);
        for _ in 0..3 {
            exchange(&client).await;
            pass(ms(5)).await;
        }
        let total = client.stats().total;
        assert_eq!((total.exchanges, total.failed), (3, 0), "{timeouts:?}: {total}");
    }
}
