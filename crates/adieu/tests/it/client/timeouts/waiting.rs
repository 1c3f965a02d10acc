//! The wait for a connection of the pool, and the whole exchange, of which that wait is a part.

use adieu::{Blame, Client, Phase, RequestOptions, ResponseExt, Timeouts};

use super::{assert_after, assert_timed_out, client, secs, unlimited};
use crate::client::net::{Net, SMALL};
use crate::support::{beside, clock, in_time, pass, settle, watch_for_hangs};

const URL: &str = "http://example.com/";

/// One connection at most, and it is taken for good.
async fn taken(timeouts: Timeouts) -> Client {
    watch_for_hangs();
    let (net, arrivals) = Net::new();
    let client = net.client(|builder| builder.timeouts(timeouts).max_connections_per_origin(1));
    arrivals.each(|mut peer| async move { while peer.read_head().await.is_ok() {} });
    beside(client.get(URL).send());
    settle().await;
    client
}

#[tokio::test(start_paused = true)]
async fn pool_wait() {
    for (timeouts, limit) in [(Timeouts::new(), 30), (unlimited().pool(secs(4)), 4)] {
        let client = taken(timeouts).await;
        let began = clock();
        let error = in_time(client.get(URL).send()).await.unwrap_err();
        assert_after(began, secs(limit));
        assert_timed_out(&error, Phase::PoolWait);
        assert_eq!(error.blame(), Blame::Policy);
        let text = error.to_string();
        assert!(text.contains("http://example.com after") && text.contains("0 requests before it"), "{text}");
        assert!(text.contains("1 connections in use, 0 being opened"), "{text}");
        assert!(client.waiting().is_empty());
        assert!(error.connection().is_none() && error.facts().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_listed_with_what_is_left() {
    let client = taken(Timeouts::new()).await;
    let waiting = [10, 60].map(|limit| beside(client.get(URL).timeout(secs(limit)).send()));
    settle().await;
    pass(secs(3)).await;
    let [first, second] = &client.waiting()[..] else { panic!("two wait") };
    assert_eq!((first.ahead, second.ahead), (0, 1));
    assert_eq!((&*first.origin, first.number + 1), ("http://example.com", second.number));
    assert!(first.waited >= secs(3) && first.left.unwrap() <= secs(7), "{first:?}");
    assert!(second.left.unwrap() <= secs(27) && second.left.unwrap() > secs(26), "{second:?}");
    assert_eq!(client.stats().total.waiting, 2);
    let [first, second] = waiting;
    assert_timed_out(&in_time(first).await.unwrap().unwrap_err(), Phase::Exchange);
    assert_timed_out(&in_time(second).await.unwrap().unwrap_err(), Phase::PoolWait);
}

#[tokio::test(start_paused = true)]
async fn no_limit_waits_as_long_as_it_takes() {
    watch_for_hangs();
    let (net, mut arrivals) = Net::new();
    let client = net.client(|builder| builder.timeouts(unlimited()).max_connections_per_origin(1));
    let first = beside(client.get(URL).send());
    let mut peer = arrivals.next().await;
    peer.read_head().await.unwrap();
    let second = beside(client.get(URL).send());
    pass(secs(80_000)).await;
    peer.send(SMALL).await.unwrap();
    in_time(first).await.unwrap().unwrap();
    peer.read_head().await.unwrap();
    peer.send(SMALL).await.unwrap();
    let response = in_time(second).await.unwrap().unwrap();
    assert!(response.info().unwrap().waited() >= secs(80_000));
}

#[tokio::test(start_paused = true)]
async fn while_a_connection_is_being_opened_for_it_the_limits_of_opening_count() {
    watch_for_hangs();
    let (net, arrivals) = Net::new();
    let net = net.delay(secs(100));
    let timeouts = unlimited().pool(secs(5));
    let client = net.client(|builder| builder.timeouts(timeouts).max_connections_per_origin(1));
    arrivals.serve(SMALL);
    let began = clock();
    let mut served = Box::pin(client.get(URL).send());
    assert!(crate::support::poll_once(&mut served).await.is_pending());
    // Nothing is being opened for the second.
    let error = in_time(client.get(URL).send()).await.unwrap_err();
    assert_timed_out(&error, Phase::PoolWait);
    assert_after(began, secs(5));
    assert!(
        error.to_string().contains("1 requests before it; 0 connections in use, 1 being opened"),
        "{error}"
    );
    in_time(served).await.unwrap();
    assert_after(began, secs(100));
}

// The whole.

#[tokio::test(start_paused = true)]
async fn what_was_spent_waiting_is_not_left_for_the_rest() {
    watch_for_hangs();
    let (net, mut arrivals) = Net::new();
    let client = net.delay(secs(6)).client(|builder| builder.timeouts(unlimited()).timeout(secs(10)));
    let began = clock();
    let sending = beside(client.get(URL).send());
    let mut peer = arrivals.next().await;
    peer.read_head().await.unwrap();
    let error = in_time(sending).await.unwrap().unwrap_err();
    assert_after(began, secs(10));
    assert_timed_out(&error, Phase::Exchange);
    assert_eq!(error.blame(), Blame::Policy);
    assert!(error.connection().is_some(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_whole_lasts_until_the_body_has_ended() {
    let (client, mut arrivals) = client(unlimited().exchange(secs(10)));
    let began = clock();
    let sending = beside(client.get(URL).send());
    let mut peer = arrivals.next().await;
    peer.read_head().await.unwrap();
    pass(secs(4)).await;
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome").await.unwrap();
    let response = in_time(sending).await.unwrap().unwrap();
    let error = in_time(response.bytes()).await.unwrap_err();
    assert_after(began, secs(10));
    assert_timed_out(&error, Phase::Exchange);
}

#[tokio::test(start_paused = true)]
async fn a_request_has_its_own_whole_or_none() {
    let (client, arrivals) = client(unlimited().exchange(secs(10)));
    arrivals.each(|mut peer| async move {
        while peer.read_head().await.is_ok() {
            pass(secs(60)).await;
            if peer.send(SMALL).await.is_err() {
                return;
            }
        }
    });
    for (limit, request) in [
        (Some(10), client.get(URL)),
        (Some(3), client.get(URL).timeout(secs(3))),
        (Some(4), client.get(URL).timeouts(unlimited().exchange(secs(4)))),
        (Some(5), client.get(URL).timeouts(unlimited().exchange(secs(4))).timeout(secs(5))),
        (None, client.get(URL).timeout(None)),
        (None, client.get(URL).timeouts(unlimited())),
    ] {
        let began = clock();
        let answered = in_time(request.send()).await;
        assert_after(began, secs(limit.unwrap_or(60)));
        match limit {
            Some(_) => assert_timed_out(&answered.unwrap_err(), Phase::Exchange),
            None => assert_eq!(in_time(answered.unwrap().text()).await.unwrap(), "ok"),
        }
    }
    // The extension says the same.
    let request = http::Request::get(URL).extension(RequestOptions::new().timeout(secs(2)));
    let began = clock();
    let error = in_time(client.request(request.body(adieu::Body::empty()).unwrap())).await.unwrap_err();
    assert_after(began, secs(2));
    assert_timed_out(&error, Phase::Exchange);
}

#[tokio::test(start_paused = true)]
async fn the_limits_of_one_request_are_not_those_of_the_next_on_its_connection() {
    let (client, arrivals) = client(unlimited());
    arrivals.each(|mut peer| async move {
        while peer.read_head().await.is_ok() {
            pass(secs(60)).await;
            peer.send(SMALL).await.unwrap();
        }
    });
    let limited = client.get(URL).timeout(secs(70)).send();
    in_time(in_time(limited).await.unwrap().text()).await.unwrap();
    let response = in_time(client.get(URL).send()).await.unwrap();
    assert!(response.info().unwrap().is_reused());
    pass(secs(1_000)).await;
    assert_eq!(in_time(response.text()).await.unwrap(), "ok");
}
