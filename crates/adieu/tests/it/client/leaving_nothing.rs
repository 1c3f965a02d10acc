//! Nothing of a client is left once everything of it was dropped, in whatever order, its runtime included.

use std::sync::{Arc, Weak};
use std::time::Duration;

use adieu::observe::{Event, Told};
use adieu::{Client, CloseReason};
use tokio::runtime::{Builder, Runtime};

use super::wires::{Net, Plan, exchange};
use crate::support::{pass, poll_once, settle, watch_for_hangs};

const URL: &str = "http://host/";

fn runtime() -> Runtime {
    watch_for_hangs();
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// A client, and what lives as long as its pool.
fn probed(net: &Net) -> (Client, Weak<()>) {
    let probe = Arc::new(());
    let lives = Arc::downgrade(&probe);
    let client = net.client().max_connections(2).observer(move |_: &Event| _ = &probe).build().unwrap();
    (client, lives)
}

#[test]
fn the_client_before_its_runtime() {
    let runtime = runtime();
    let lives = runtime.block_on(async {
        let (client, lives) = probed(&Net::polite());
        exchange(&client, URL).await;
        client.prewarm(URL, 2).await.unwrap();
        drop(client);
        settle().await;
        pass(Duration::from_secs(5)).await;
        lives
    });
    assert_eq!(lives.strong_count(), 0);
}

#[test]
fn the_runtime_before_its_client() {
    let runtime = runtime();
    let (client, lives, mut events) = runtime.block_on(async {
        let (client, lives) = probed(&Net::polite());
        let events = client.events();
        exchange(&client, URL).await;
        client.prewarm(URL, 2).await.unwrap();
        (client, lives, events)
    });
    drop(runtime);
    assert!(client.connections().is_empty(), "{:?}", client.connections());
    assert_eq!(
        client.stats().total.closed.get(CloseReason::RuntimeGone.code()),
        Some(&2),
        "{}",
        client.stats()
    );
    drop(client);
    assert_eq!(lives.strong_count(), 0);
    let mut told = 0;
    while let Some(Told::Event(_)) = events.try_next() {
        told += 1;
    }
    assert!(told > 0);
}

/// Requests at every stage: one that is being opened, one that is sent, one whose body is half read, one that waits.
#[test]
fn the_runtime_before_the_requests_that_it_was_to_serve() {
    let runtime = runtime();
    let (net, mut accepts) = Net::planned(|number| Plan {
        takes: Duration::from_secs(if number == 1 { 3_600 } else { 0 }),
        fails: None,
    });
    let (client, lives) = probed(&net);
    let (peer, response, requests) = runtime.block_on(async {
        let mut sent = client.get(URL).send();
        assert!(poll_once(&mut sent).await.is_pending());
        let mut peer = accepts.next().await;
        settle().await;
        assert!(poll_once(&mut sent).await.is_pending());
        peer.read_head().await.unwrap();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nok").await.unwrap();
        let response = sent.await.unwrap();
        let mut requests: Vec<_> = (0..3).map(|_| client.get(URL).send()).collect();
        for request in &mut requests {
            assert!(poll_once(request).await.is_pending());
        }
        settle().await;
        (peer, response, requests)
    });
    drop(runtime);
    assert!(client.connections().is_empty(), "{:?}", client.connections());
    drop((response, requests));
    drop(client);
    assert_eq!(lives.strong_count(), 0);
    drop(peer);
}
