//! The events of a client under storm: replayed, they give what the client and its server have counted.

use std::time::Duration;

use adieu::{Client, CloseMode, ResponseExt, Stats};

use super::{Log, Replay};
use crate::client::counting::{Counting, Manners};
use crate::support::{pass, watch_for_hangs};

/// Numbers that look random; the same each time.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// So many requests one after the other, some of them cancelled at any moment.
async fn churn(client: Client, url: String, seed: u64) {
    let mut dice = Dice(seed);
    for _ in 0..40 {
        let request = client.get(&*url);
        let request = match dice.roll(8) {
            0 => request.close_afterwards(),
            1 => request.fresh_connection(),
            _ => request,
        };
        let exchange = async {
            let response = request.send().await?;
            if response.info().is_some_and(|info| info.exchange % 5 == 0) {
                return Ok(String::new());
            }
            response.text().await
        };
        let patience = if dice.roll(6) == 0 { dice.roll(2_000) } else { 20_000_000 };
        let _ = tokio::time::timeout(Duration::from_micros(patience), exchange).await;
        if dice.roll(10) == 0 {
            drop(client.close_idle());
        }
    }
}

/// Waits until nothing is on its way, and nothing happens between two looks.
pub(super) async fn quiet(client: &Client, log: &Log) -> Stats {
    for _ in 0..2_000 {
        let (stats, events) = (client.stats(), log.events().len());
        pass(Duration::from_millis(2)).await;
        let total = &stats.total;
        let settled = (total.opening, total.active, total.draining, total.closing) == (0, 0, 0, 0);
        if settled && stats == client.stats() && events == log.events().len() {
            return stats;
        }
    }
    panic!("it does not come to rest: {}", client.stats());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn events_replayed_are_what_the_client_and_the_server_have_counted() {
    watch_for_hangs();
    let server =
        Counting::start(Manners { pause: Duration::from_micros(300), ends_one_in: 5, slow_one_in: 0 });
    let log = Log::default();
    let builder = Client::builder().no_proxies().max_connections_per_origin(8).max_idle_per_origin(6);
    let client = log.watch(builder).build().unwrap();
    let tasks = (0..30).map(|seed| tokio::spawn(churn(client.clone(), server.url("/"), seed)));
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }

    let stats = quiet(&client, &log).await.total;
    let replay = Replay::of(&log.events());
    let alive: Vec<_> = replay.alive().map(|(id, _)| *id).collect();
    assert_eq!(alive, client.connections().iter().map(|connection| connection.id).collect::<Vec<_>>());
    assert!(replay.alive().all(|(_, life)| life.state == Some(adieu::State::Idle)));
    assert_eq!((stats.idle, stats.alive()), (alive.len() as u64, alive.len() as u64), "{stats}");
    assert_eq!(stats.closed, replay.closed());
    assert_eq!(stats.opened, replay.0.len() as u64);
    assert_eq!((stats.waiting, stats.not_opened), (0, 0), "{stats}");

    let total = client.close(CloseMode::graceful()).await.total;
    let replay = Replay::of(&log.events());
    assert_eq!(replay.alive().count(), 0);
    assert_eq!((total.alive(), &total.closed), (0, &replay.closed()), "{total}");
    let sum = |of: fn(&super::Life) -> u64| replay.0.values().map(of).sum::<u64>();
    assert_eq!((total.exchanges, total.failed), (sum(|life| life.done), sum(|life| life.failed)), "{total}");
    assert_eq!(total.reused, sum(|life| (life.done + life.failed).saturating_sub(1)), "{total}");
    for _ in 0..1_000 {
        if server.accepted() as u64 == total.opened && server.open() == 0 {
            break;
        }
        pass(Duration::from_millis(2)).await;
    }
    assert_eq!((server.accepted() as u64, server.open()), (total.opened, 0), "{total}");
    assert!(server.requests() as u64 >= total.exchanges, "{} requests, {total}", server.requests());
    for code in ["request_asked_close", "peer_asked_close", "peer_closed_idle", "request_cancelled", "reset"]
    {
        assert!(total.closed.contains_key(code), "a storm without {code}: {total}");
    }
}
