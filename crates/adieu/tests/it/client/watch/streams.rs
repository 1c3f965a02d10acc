//! Streams of events: bounded, honest about what was missed, ended with the client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use adieu::observe::{Events, Told};
use adieu::{Client, CloseMode, ResponseExt};

use super::{URL, exchange, polite_client, words};
use crate::client::net::{Net, SMALL};
use crate::support::{beside, in_time, pass, settle, watch_for_hangs};

/// What is there to be read.
fn read(events: &mut Events) -> Vec<String> {
    std::iter::from_fn(|| events.try_next())
        .map(|told| match told {
            Told::Event(event) => words(&event.what),
            Told::Missed(missed) => format!("missed {missed}"),
            other => panic!("{other:?}"),
        })
        .collect()
}

const EXCHANGE_2: [&str; 4] = ["idle to active", "exchange 2 began", "exchange 2 done", "active to idle"];

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_told_how_many_it_missed_and_then_goes_on() {
    let (client, log) = polite_client(|builder| builder);
    let mut events = client.events_up_to(3);
    exchange(&client).await;
    exchange(&client).await;
    let all = log.words();
    let missed = format!("missed {}", all.len() - 3);
    assert_eq!(read(&mut events), [&all[..3], &[missed]].concat());
    exchange(&client).await;
    assert_eq!(read(&mut events), ["idle to active", "exchange 3 began", "exchange 3 done", "missed 1"]);
    assert!(events.try_next().is_none());
    // One that was told of what it missed in between reads on.
    let reading = beside(async move { (in_time(events.next()).await.unwrap(), events) });
    exchange(&client).await;
    let (Told::Event(event), _) = in_time(reading).await.unwrap() else { panic!("an event") };
    assert_eq!(words(&event.what), "idle to active");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_keeps_up_misses_nothing_however_small_its_box() {
    let (client, log) = polite_client(|builder| builder);
    let mut events = client.events_up_to(0);
    let reading = beside(async move {
        let mut read = Vec::new();
        while let Some(told) = events.next().await {
            match told {
                Told::Event(event) => read.push((1, words(&event.what))),
                Told::Missed(missed) => read.push((missed, String::new())),
                _ => {}
            }
        }
        read
    });
    exchange(&client).await;
    in_time(client.close(CloseMode::graceful())).await;
    drop(client);
    let read = in_time(reading).await.unwrap();
    let all = log.words();
    // Each event in its order, or counted.
    assert_eq!(read.iter().map(|(count, _)| count).sum::<u64>(), all.len() as u64);
    let mut at = 0;
    for (count, word) in read {
        assert!(word.is_empty() || word == all[at], "{word} instead of {}", all[at]);
        at += count as usize;
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_the_client_and_its_connections_are_gone() {
    watch_for_hangs();
    let (net, mut arrivals) = Net::new();
    let client = net.client(|builder| builder);
    let mut events = client.events();
    let sending = beside(client.get(URL).send());
    let mut peer = arrivals.next().await;
    drop(client);
    drop(net);
    let reading = beside(async move {
        let mut last = None;
        while let Some(told) = events.next().await {
            last = Some(told);
        }
        (last, events.next().await.is_none())
    });
    peer.read_head().await.unwrap();
    pass(Duration::from_secs(5)).await;
    assert!(!reading.is_finished(), "an exchange is in flight");
    peer.send(SMALL).await.unwrap();
    let response = in_time(sending).await.unwrap().unwrap();
    assert_eq!(in_time(response.text()).await.unwrap(), "ok");
    pass(Duration::from_secs(1)).await;
    assert!(!reading.is_finished(), "the peer's end is waited for");
    drop(peer);
    let (last, ended) = in_time(reading).await.unwrap();
    let Some(Told::Event(last)) = last else { panic!("{last:?}") };
    assert_eq!(
        (words(&last.what).as_str(), ended),
        ("closed: the sender and every handle were dropped", true)
    );
}

#[tokio::test(start_paused = true)]
async fn who_comes_late_is_told_from_there_on() {
    watch_for_hangs();
    let (net, arrivals) = Net::new();
    arrivals.each(super::polite);
    let client = net.client(|builder| builder);
    exchange(&client).await;
    let mut events = client.events();
    assert!(read(&mut events).is_empty());
    exchange(&client).await;
    assert_eq!(read(&mut events), EXCHANGE_2);
    // One that comes later still, beside the first.
    let mut later = client.events();
    in_time(client.close(CloseMode::graceful())).await;
    let told = read(&mut events);
    assert_eq!(told.last().unwrap(), "closed: closed by the user (graceful)");
    assert_eq!(told, read(&mut later));
}

#[tokio::test(start_paused = true)]
async fn who_comes_in_mid_exchange_or_mid_opening_hears_its_end() {
    watch_for_hangs();
    let (net, mut arrivals) = Net::new();
    let client = net.delay(Duration::from_secs(3)).client(|builder| builder);
    let sending = beside(client.get(URL).send());
    settle().await;
    let mut early = client.events();
    let mut peer = arrivals.next().await;
    peer.read_head().await.unwrap();
    let mut events = client.events();
    peer.send(SMALL).await.unwrap();
    in_time(in_time(sending).await.unwrap().unwrap().text()).await.unwrap();
    assert_eq!(read(&mut events), ["exchange 1 done", "active to idle"]);
    let early = read(&mut early);
    assert_eq!(early[..2], ["open", "served"]);
    assert_eq!(early[4..], ["exchange 1 done", "active to idle"]);
}

/// What was written down for a reader that left is not kept for the next.
#[tokio::test(start_paused = true)]
async fn nobody_is_told_of_what_happened_while_nobody_listened() {
    watch_for_hangs();
    let (net, arrivals) = Net::new();
    arrivals.each(super::polite);
    let client = net.client(|builder| builder);
    exchange(&client).await;
    for _ in 0..3 {
        drop(client.events());
        for _ in 0..20 {
            exchange(&client).await;
        }
        let mut events = client.events();
        exchange(&client).await;
        let told = read(&mut events);
        assert_eq!(told.len(), 4, "{told:?}");
    }
}

/// A waker that asks the client for another stream: it is called under no lock.
struct Subscribes {
    client: Client,
    woken: AtomicUsize,
}

impl Wake for Subscribes {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::SeqCst);
        drop(self.client.events());
    }
}

#[tokio::test(start_paused = true)]
async fn readers_are_woken_under_no_lock() {
    let (client, _log) = polite_client(|builder| builder);
    let mut events = client.events();
    let waker = Arc::new(Subscribes { client: client.clone(), woken: AtomicUsize::new(0) });
    let mut polls = Vec::new();
    for _ in 0..3 {
        polls.push(events.poll_next(&mut Context::from_waker(&Waker::from(waker.clone()))).map(|_| ()));
        exchange(&client).await;
    }
    assert_eq!(polls[0], Poll::Pending);
    assert!(waker.woken.load(Ordering::SeqCst) > 0);
}
