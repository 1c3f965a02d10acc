//! What is dropped at which stage, and what becomes of its connection.

use std::time::Duration;

use adieu::{Body, Bytes, CloseReason, Ended};
use adieu_testkit::Ended as End;
use http_body_util::BodyExt;

use super::reports::Reports;
use super::wires::{Net, OK, Plan, answer, answer_all, ask, exchange};
use crate::support::{beside, handed_body, in_time, pass, poll_once, settle};

const URL: &str = "http://host/";

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_response_future_that_was_never_polled_did_nothing() {
    let net = Net::polite();
    let client = net.client().build().unwrap();
    drop(client.get(URL).send());
    settle().await;
    assert_eq!((net.connects(), client.stats().origins.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_opening_whose_request_was_dropped_is_finished_and_kept() {
    let (net, mut accepts) = Net::planned(|_| Plan { takes: secs(1.0), fails: None });
    let client = net.client().build().unwrap();
    let mut asked = client.get(URL).send();
    assert!(poll_once(&mut asked).await.is_pending());
    drop(asked);
    assert!(client.waiting().is_empty());
    beside(async move { answer_all(accepts.next().await).await });
    pass(secs(1.5)).await;
    assert_eq!(client.stats().total.idle, 1);
    assert_eq!((exchange(&client, URL).await, net.connects()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_in_line_leaves_it() {
    let (net, mut accepts) = Net::by_hand();
    let client = net.client().max_connections(1).build().unwrap();
    let first = ask(&client, URL);
    let mut peer = accepts.next().await;
    in_time(peer.read_head()).await.unwrap();
    let mut second = client.get(URL).send();
    assert!(poll_once(&mut second).await.is_pending());
    let third = ask(&client, URL);
    settle().await;
    drop(second);
    assert_eq!(client.waiting().iter().map(|request| request.ahead).collect::<Vec<_>>(), [0]);
    peer.send(OK).await.unwrap();
    beside(answer_all(peer));
    in_time(first).await.unwrap().unwrap();
    in_time(third).await.unwrap().unwrap();
    assert_eq!((net.connects(), client.stats().total.exchanges), (1, 2));
}

/// One that was given its connection in the poll in which it found that it must wait for what came to it.
#[tokio::test(start_paused = true)]
async fn one_that_was_sent_closes_its_connection_and_frees_its_place() {
    let (net, mut accepts) = Net::by_hand();
    let (reports, client) = Reports::of(net.client().max_connections(1));
    let mut asked = client.get(URL).send();
    assert!(poll_once(&mut asked).await.is_pending());
    settle().await;
    assert!(poll_once(&mut asked).await.is_pending());
    let mut peer = accepts.next().await;
    in_time(peer.read_head()).await.unwrap();
    let next = ask(&client, URL);
    settle().await;
    assert_eq!(client.waiting().len(), 1);
    drop(asked);
    beside(answer_all(accepts.next().await));
    in_time(next).await.unwrap().unwrap();
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, End::Fin, "the request was whole");
    drop(peer);
    settle().await;
    assert_eq!((&reports.all()[0].reason, reports.all()[0].failed), (&CloseReason::RequestCancelled, 1));
    assert_eq!(net.most(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_whose_upload_was_cut_short_resets_its_connection() {
    let (net, mut accepts) = Net::by_hand();
    let (reports, client) = Reports::of(net.client().max_connections(1));
    let (_frames, body) = handed_body();
    let mut asked = client.post(URL).body(Body::wrap(body)).send();
    assert!(poll_once(&mut asked).await.is_pending());
    settle().await;
    assert!(poll_once(&mut asked).await.is_pending());
    let mut peer = accepts.next().await;
    in_time(peer.read_head()).await.unwrap();
    drop(asked);
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, End::Reset);
    settle().await;
    assert_eq!(reports.all()[0].ended, Ended::Aborted);
    beside(async move { answer_all(accepts.next().await).await });
    assert_eq!(exchange(&client, URL).await, 1, "its place is free");
}

#[tokio::test(start_paused = true)]
async fn a_body_with_a_small_rest_is_cleared_away_and_its_connection_goes_to_the_next() {
    let (net, mut accepts) = Net::by_hand();
    let client = net.client().max_connections(1).build().unwrap();
    let mut asked = beside(client.get(URL).send());
    let mut peer = accepts.next().await;
    answer(&mut peer, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234").await.unwrap();
    let response = in_time(&mut asked).await.unwrap().unwrap();
    let next = ask(&client, URL);
    settle().await;
    drop(response);
    settle().await;
    peer.send("56789").await.unwrap();
    answer(&mut peer, OK).await.unwrap();
    in_time(next).await.unwrap().unwrap();
    assert_eq!((net.connects(), client.stats().total.exchanges), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_body_with_a_large_rest_closes_its_connection_and_frees_its_place() {
    let (net, mut accepts) = Net::by_hand();
    let client = net.client().max_connections(1).build().unwrap();
    let mut asked = beside(client.get(URL).send());
    let mut peer = accepts.next().await;
    answer(&mut peer, "HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n01234").await.unwrap();
    let response = in_time(&mut asked).await.unwrap().unwrap();
    let next = ask(&client, URL);
    settle().await;
    drop(response);
    beside(answer_all(accepts.next().await));
    in_time(next).await.unwrap().unwrap();
    assert_eq!((net.connects(), net.most()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_dropped_says_goodbye_on_its_idle_connections() {
    let (net, mut accepts) = Net::by_hand();
    let (reports, client) = Reports::of(net.client());
    client.prewarm(URL, 3).await.unwrap();
    let clone = client.clone();
    drop(client);
    settle().await;
    assert_eq!((reports.all().len(), net.alive()), (0, 3), "a clone is left");
    drop(clone);
    for _ in 0..3 {
        let mut peer = accepts.try_next().unwrap();
        assert_eq!(in_time(peer.read_until_end()).await.unwrap(), (Vec::new(), End::Fin));
    }
    settle().await;
    let reports = reports.all();
    assert_eq!((reports.len(), net.alive()), (3, 0));
    assert!(reports.iter().all(|report| report.reason == CloseReason::HandlesDropped));
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_outlives_its_client() {
    let (net, mut accepts) = Net::by_hand();
    let (reports, client) = Reports::of(net.client());
    let asked = beside(client.get(URL).send());
    drop(client);
    let mut peer = accepts.next().await;
    pass(secs(5.0)).await;
    answer(&mut peer, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234").await.unwrap();
    // From here on only the body is left.
    let response = in_time(asked).await.unwrap().unwrap();
    pass(secs(100.0)).await;
    assert_eq!(reports.all().len(), 0);
    peer.send("56789").await.unwrap();
    assert_eq!(in_time(response.into_body().collect()).await.unwrap().to_bytes(), Bytes::from("0123456789"));
    assert_eq!(in_time(peer.read_until_end()).await.unwrap(), (Vec::new(), End::Fin));
    drop(peer);
    settle().await;
    let [report] = &reports.all()[..] else { panic!("{:?}", reports.all()) };
    assert_eq!(
        (&report.reason, report.ended, report.exchanges),
        (&CloseReason::HandlesDropped, Ended::Clean, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn an_opening_outlives_neither_its_client_nor_the_last_request() {
    let (net, _accepts) = Net::planned(|_| Plan { takes: secs(3_600.0), fails: None });
    let (reports, client) = Reports::of(net.client());
    let mut asked = Box::pin(client.get(URL).send());
    drop(client);
    assert!(poll_once(&mut asked).await.is_pending());
    settle().await;
    assert_eq!(reports.all().len(), 0, "somebody waits for it");
    drop(asked);
    settle().await;
    assert_eq!(reports.all()[0].reason, CloseReason::HandlesDropped);
}

#[tokio::test(start_paused = true)]
async fn a_prewarm_that_is_dropped_keeps_nothing_for_itself() {
    let (net, mut accepts) = Net::planned(|number| Plan { takes: secs(number as f64 * 10.0), fails: None });
    beside(async move {
        loop {
            beside(answer_all(accepts.next().await));
        }
    });
    let client = net.client().max_connections(2).build().unwrap();
    let warming = tokio::time::timeout(secs(5.0), client.prewarm(URL, 2));
    assert!(warming.await.is_err(), "the second takes longer");
    let first = tokio::time::timeout(secs(1.0), exchange(&client, URL)).await;
    assert_eq!(first.expect("the first is here"), 1);
    pass(secs(10.0)).await;
    assert_eq!(client.stats().total.idle, 2, "what was being opened was finished");
    let both = [ask(&client, URL), ask(&client, URL)];
    for task in both {
        tokio::time::timeout(secs(1.0), task).await.unwrap().unwrap().unwrap();
    }
    assert_eq!(net.connects(), 2);
}
