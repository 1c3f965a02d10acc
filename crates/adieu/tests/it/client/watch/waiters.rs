//! Requests that wait: their events and `client.waiting()` tell the same.

use std::collections::BTreeMap;
use std::time::Duration;

use adieu::observe::{Event, Happening};
use adieu::{Phase, ResponseExt};

use super::{Log, URL};
use crate::client::net::{Net, SMALL};
use crate::support::{beside, in_time, pass, settle, watch_for_hangs};

/// What became of each request that waited.
fn ends(events: &[Event]) -> BTreeMap<u64, Vec<String>> {
    let mut ends = BTreeMap::<u64, Vec<String>>::new();
    for event in events {
        let (waiter, word) = match &event.what {
            Happening::Queued { waiter, ahead } => (waiter, format!("queued behind {ahead}")),
            Happening::Served { waiter, .. } => {
                assert!(event.connection.is_some());
                (waiter, "served".to_owned())
            }
            Happening::GaveUp { waiter, .. } => (waiter, "gave up".to_owned()),
            _ => continue,
        };
        assert_eq!(&*event.origin, "http://example.com");
        ends.entry(*waiter).or_default().push(word);
    }
    ends
}

#[tokio::test(start_paused = true)]
async fn queued_served_and_gave_up_have_the_numbers_of_those_that_wait() {
    watch_for_hangs();
    let (net, mut arrivals) = Net::new();
    let log = Log::default();
    let client = net.client(|builder| log.watch(builder.max_connections_per_origin(1)));
    let first = beside(client.get(URL).send());
    let mut peer = arrivals.next().await;
    peer.read_head().await.unwrap();

    let cancelled = beside(client.get(URL).send());
    settle().await;
    let served = beside(client.get(URL).send());
    settle().await;
    let late = beside(client.get(URL).timeout(Duration::from_secs(4)).send());
    settle().await;
    let waiting = client.waiting();
    let numbers: Vec<u64> = waiting.iter().map(|waiting| waiting.number).collect();
    let queued: Vec<u64> = ends(&log.events()).keys().copied().collect();
    assert_eq!(queued[1..], numbers, "the first was served at once");
    for (place, waiting) in waiting.iter().enumerate() {
        assert_eq!(waiting.ahead, place);
        assert_eq!(ends(&log.events())[&waiting.number], [format!("queued behind {place}")]);
    }

    pass(Duration::from_secs(1)).await;
    cancelled.abort();
    settle().await;
    assert_eq!(client.waiting().iter().map(|waiting| waiting.ahead).collect::<Vec<_>>(), [0, 1]);
    let error = in_time(late).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), adieu::ErrorKind::Timeout(Phase::Exchange));
    peer.send(SMALL).await.unwrap();
    in_time(in_time(first).await.unwrap().unwrap().text()).await.unwrap();
    peer.read_head().await.unwrap();
    peer.send(SMALL).await.unwrap();
    let response = in_time(served).await.unwrap().unwrap();
    assert!(response.info().unwrap().waited() >= Duration::from_secs(4));

    let ends = ends(&log.events());
    let of = |place: usize| ends[&numbers[place]].clone();
    assert_eq!(ends.values().next().unwrap()[..], ["queued behind 0", "served"]);
    assert_eq!(of(0), ["queued behind 0", "gave up"]);
    assert_eq!(of(1), ["queued behind 1", "served"]);
    assert_eq!(of(2), ["queued behind 2", "gave up"]);
    assert!(client.waiting().is_empty());
    for event in log.events() {
        match event.what {
            Happening::Served { waiter, waited } if waiter == numbers[1] => {
                assert!(waited >= Duration::from_secs(4), "{waited:?}");
                assert_eq!(event.connection, response.connection());
            }
            Happening::GaveUp { waiter, waited } if waiter == numbers[0] => {
                assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(2), "{waited:?}");
            }
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_sends_all_that_wait_away() {
    watch_for_hangs();
    let (net, mut arrivals) = Net::new();
    let log = Log::default();
    let client = net.client(|builder| log.watch(builder.max_connections_per_origin(1)));
    let first = beside(client.get(URL).send());
    let mut peer = arrivals.next().await;
    peer.read_head().await.unwrap();
    let waiting: Vec<_> = (0..3).map(|_| beside(client.get(URL).send())).collect();
    settle().await;
    let closing = client.close(adieu::CloseMode::abort());
    for waiting in waiting {
        let error = in_time(waiting).await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the client is closed");
    }
    in_time(first).await.unwrap().unwrap_err();
    in_time(closing).await;
    let ends = ends(&log.events());
    assert_eq!(ends.len(), 4);
    assert!(ends.values().skip(1).all(|ends| ends[1..] == ["gave up"]), "{ends:?}");
}
