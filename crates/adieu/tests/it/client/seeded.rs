//! The pool as a whole in virtual time, by seed: servers that end at random, callers that change their minds, connects that
//! are slow or fail. Nobody waits for ever, nobody is overtaken, and everything is closed at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adieu::observe::{Event, Happening};
use adieu::{CloseMode, ConnectionId, Order};
use adieu_testkit::memory::MemoryEnd;
use adieu_testkit::world::Chance;
use proptest::prelude::*;

use super::wires::{Net, Plan, text};
use crate::support::{beside, in_time, watch_for_hangs};

/// What a run is like.
#[derive(Clone, Copy, Debug)]
struct Weather {
    seed: u64,
    requests: u64,
    origins: u64,
    per_origin: Option<usize>,
    in_all: Option<usize>,
    idle: Option<usize>,
    order: Order,
    patience: Patience,
    announces: Announces,
    closes: Closes,
}

/// Whether callers change their minds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    Endless,
    Mixed,
}

/// Whether servers say that they will close: such a connection holds no place from then on, however long it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Announces {
    Sometimes,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closes {
    /// The client is closed when all is done.
    Last,
    /// In the middle of it.
    Midway,
}

fn weather() -> impl Strategy<Value = Weather> {
    let limit = |most: usize| proptest::option::of(1..most);
    let order = prop_oneof![Just(Order::Lifo), Just(Order::Fifo), Just(Order::RoundRobin)];
    let closes = prop_oneof![3 => Just(Closes::Last), 1 => Just(Closes::Midway)];
    let patience = prop_oneof![Just(Patience::Endless), Just(Patience::Mixed)];
    let announces = prop_oneof![Just(Announces::Never), Just(Announces::Sometimes)];
    let few = proptest::option::of(0..3usize);
    let limits = (limit(5), limit(7), few, order);
    let world = (patience, announces, closes);
    (any::<u64>(), 1..80u64, 1..4u64, limits, world).prop_map(
        |(seed, requests, origins, (per_origin, in_all, idle, order), (patience, announces, closes))| {
            Weather { seed, requests, origins, per_origin, in_all, idle, order, patience, announces, closes }
        },
    )
}

/// A server of one connection: it is slow, says that it will close, ends behind its answer, resets or falls silent.
async fn serve(mut end: MemoryEnd, mut chance: Chance, announces: Announces) {
    loop {
        if end.read_head().await.is_err() {
            return;
        }
        tokio::time::sleep(chance.up_to(Duration::from_millis(30))).await;
        let close = announces == Announces::Sometimes && chance.once_in(9);
        let hint = if chance.once_in(9) { "Keep-Alive: max=2, timeout=2\r\n" } else { "" };
        let close_field = if close { "Connection: close\r\n" } else { "" };
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{hint}{close_field}\r\nok");
        if end.send(text).await.is_err() || close {
            return;
        }
        match chance.within(0..20) {
            0 => return,
            1 => {
                tokio::time::sleep(chance.up_to(Duration::from_millis(5))).await;
                return end.reset();
            }
            // Its FIN is sent, ours is awaited.
            2 => {
                let _ = end.fin().await;
                let _ = end.read_until_end().await;
                return;
            }
            _ => {}
        }
    }
}

/// Who was told what.
#[derive(Default)]
struct Line {
    /// Those that wait, by origin.
    waiting: BTreeMap<Arc<str>, BTreeSet<u64>>,
    /// Connections being opened, by origin: the oldest request, which takes no other, may wait for one of them.
    opening: BTreeMap<Arc<str>, BTreeSet<ConnectionId>>,
    queued: BTreeSet<u64>,
    again: BTreeSet<u64>,
    overtaken: Vec<String>,
}

impl Line {
    fn note(&mut self, event: &Event) {
        let line = self.waiting.entry(event.origin.clone()).or_default();
        let opening = self.opening.entry(event.origin.clone()).or_default();
        match event.what {
            Happening::Opening => opening.extend(event.connection),
            Happening::Opened | Happening::Closed { .. } => {
                opening.retain(|opening| Some(*opening) != event.connection);
            }
            Happening::Queued { waiter, .. } => {
                line.insert(waiter);
                // Its connection was gone when it was looked at; others may have been served in the meantime.
                if !self.queued.insert(waiter) {
                    self.again.insert(waiter);
                }
            }
            Happening::GaveUp { waiter, .. } => drop(line.remove(&waiter)),
            Happening::Served { waiter, .. } => {
                let older = line.range(..waiter).any(|older| !self.again.contains(older));
                if older && opening.is_empty() {
                    self.overtaken.push(format!("{waiter} of {} before {line:?}", event.origin));
                }
                line.remove(&waiter);
            }
            _ => {}
        }
    }
}

async fn run(weather: Weather) {
    let mut chance = Chance::new(weather.seed);
    let connects = Mutex::new(Chance::new(chance.number()));
    let (net, mut accepts) = Net::planned(move |_| {
        let mut chance = connects.lock().unwrap();
        let takes = chance.up_to(Duration::from_millis(20));
        Plan { takes, fails: chance.once_in(15).then_some("no route") }
    });
    let seed = chance.number();
    let servers = beside(async move {
        let mut chance = Chance::new(seed);
        loop {
            beside(serve(accepts.next().await, Chance::new(chance.number()), weather.announces));
        }
    });
    let line = Arc::new(Mutex::new(Line::default()));
    let told = line.clone();
    let client = net
        .client()
        .max_connections_per_origin(weather.per_origin)
        .max_connections(weather.in_all)
        .max_idle_per_origin(weather.idle)
        .order(weather.order)
        .pool_timeout(None)
        .observer(move |event: &Event| told.lock().unwrap().note(event))
        .build()
        .unwrap();
    let mut tasks = Vec::new();
    for number in 0..weather.requests {
        let client = client.clone();
        let url = format!("http://host{}/{number}", chance.within(0..weather.origins));
        let starts = chance.up_to(Duration::from_millis(100));
        let patience = (weather.patience == Patience::Mixed && chance.once_in(3))
            .then(|| chance.up_to(Duration::from_millis(80)));
        tasks.push(beside(async move {
            tokio::time::sleep(starts).await;
            let asked = text(client.get(url).send());
            match patience {
                Some(patience) => drop(tokio::time::timeout(patience, asked).await),
                None => drop(in_time(asked).await),
            }
        }));
    }
    if weather.closes == Closes::Midway {
        tokio::time::sleep(chance.up_to(Duration::from_millis(150))).await;
        drop(client.close(CloseMode::graceful()));
    }
    for task in tasks {
        in_time(task).await.unwrap();
    }
    assert!(client.waiting().is_empty(), "{:?}", client.waiting());
    let stats = client.stats().total;
    assert_eq!(stats.waiting, 0);
    let limit = match (weather.in_all, weather.per_origin) {
        (Some(all), Some(each)) => all.min(each * weather.origins as usize),
        (Some(all), None) => all,
        (None, Some(each)) => each * weather.origins as usize,
        (None, None) => usize::MAX,
    };
    if weather.announces == Announces::Never {
        assert!(net.most() <= limit, "{} alive with a limit of {limit}", net.most());
    }
    let report = in_time(client.close(CloseMode::graceful())).await;
    assert_eq!((report.total.alive(), net.alive()), (0, 0), "{report}");
    assert!(client.connections().is_empty(), "{:?}", client.connections());
    let closed: u64 = report.total.closed.values().sum();
    assert_eq!(closed, report.total.opened, "each that was opened has its report");
    // Who gives up at the very moment may be told of before one that was served first.
    if weather.patience == Patience::Endless {
        let overtaken = &line.lock().unwrap().overtaken;
        assert!(overtaken.is_empty(), "{overtaken:?}");
    }
    servers.abort();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_waits_for_ever_whatever_happens(weather in weather()) {
        watch_for_hangs();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(weather));
    }
}
