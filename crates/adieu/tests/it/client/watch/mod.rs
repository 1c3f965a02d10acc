//! Watching a client: events, hooks, streams, snapshots, counts.

mod asking;
mod chaos;
mod hooks;
mod order;
mod streams;
#[cfg(feature = "tracing")]
mod traced;
mod waiters;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use adieu::observe::{Event, Happening, Outcome};
use adieu::{Client, ClientBuilder, CloseReport, ConnectionId, ResponseExt, State};
use adieu_testkit::memory::MemoryEnd;

use super::net::{Net, SMALL};
use crate::support::{in_time, watch_for_hangs};

const URL: &str = "http://example.com/";

/// All that an observer was told.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Event>>>);

impl Log {
    fn watch(&self, builder: ClientBuilder) -> ClientBuilder {
        let log = self.0.clone();
        builder.observer(move |event: &Event| log.lock().unwrap().push(event.clone()))
    }

    fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    /// What was told, each as it prints without what varies.
    fn words(&self) -> Vec<String> {
        self.events().iter().map(|event| words(&event.what)).collect()
    }
}

/// What happened, without times and reports.
fn words(what: &Happening) -> String {
    match what {
        Happening::Closed { report } => format!("closed: {}", report.reason),
        Happening::Queued { ahead, .. } => format!("queued behind {ahead}"),
        Happening::Served { .. } => "served".to_owned(),
        Happening::GaveUp { .. } => "gave up".to_owned(),
        other => other.to_string(),
    }
}

/// A client over memory whose peers answer politely, and what its observer is told.
fn polite_client(set: impl FnOnce(ClientBuilder) -> ClientBuilder) -> (Client, Log) {
    watch_for_hangs();
    let (net, arrivals) = Net::new();
    let log = Log::default();
    arrivals.each(polite);
    (net.client(|builder| log.watch(set(builder))), log)
}

/// Answers until the client ends, then ends too.
async fn polite(mut peer: MemoryEnd) {
    while peer.read_head().await.is_ok() && peer.send(SMALL).await.is_ok() {}
}

/// One exchange that ends well.
async fn exchange(client: &Client) {
    assert_eq!(in_time(in_time(client.get(URL).send()).await.unwrap().text()).await.unwrap(), "ok");
}

/// The lives of connections as their events tell them. What breaks the order of a life panics.
#[derive(Default)]
struct Replay(BTreeMap<ConnectionId, Life>);

/// One of them.
#[derive(Default)]
struct Life {
    /// `None` before it was open.
    state: Option<State>,
    retired: Option<String>,
    begun: u64,
    running: bool,
    done: u64,
    failed: u64,
    report: Option<Arc<CloseReport>>,
    events: u64,
}

impl Replay {
    fn of<'e>(events: impl IntoIterator<Item = &'e Event>) -> Self {
        let mut replay = Self::default();
        for event in events {
            let waiter = matches!(
                event.what,
                Happening::Queued { .. } | Happening::Served { .. } | Happening::GaveUp { .. }
            );
            if let Some(connection) = event.connection.filter(|_| !waiter) {
                replay.0.entry(connection).or_default().live(event);
            }
        }
        replay
    }

    fn alive(&self) -> impl Iterator<Item = (&ConnectionId, &Life)> {
        self.0.iter().filter(|(_, life)| life.report.is_none())
    }

    /// Connections that were open and are gone, by reason.
    fn closed(&self) -> BTreeMap<&'static str, u64> {
        let mut closed = BTreeMap::new();
        for life in self.0.values().filter(|life| life.state.is_some()) {
            if let Some(report) = &life.report {
                *closed.entry(report.reason.code()).or_default() += 1;
            }
        }
        closed
    }
}

impl Life {
    fn live(&mut self, event: &Event) {
        use Happening as H;
        self.events += 1;
        assert!(self.report.is_none(), "{event} after it was closed");
        match &event.what {
            H::Opening => assert_eq!(self.events, 1, "{event}"),
            H::Opened => {
                assert!(self.state.is_none() && self.events > 1, "{event}");
                self.state = Some(State::Idle);
            }
            H::StateChanged { from, to } => {
                assert_eq!(self.state, Some(*from), "{event}");
                self.state = Some(*to);
            }
            H::ExchangeBegan { exchange } => {
                assert!(!self.running && self.retired.is_none(), "{event}");
                assert_eq!(*exchange, self.begun + 1, "{event}");
                (self.begun, self.running) = (*exchange, true);
            }
            H::ExchangeEnded { exchange, outcome } => {
                assert!(self.running && *exchange == self.begun, "{event}");
                self.running = false;
                self.done += u64::from(*outcome == Outcome::Done);
                self.failed += u64::from(*outcome == Outcome::Failed);
            }
            H::Retired { reason } => {
                assert!(self.retired.is_none() && self.state.is_some(), "{event}");
                self.retired = Some(reason.to_string());
            }
            H::Closed { report } => {
                assert_eq!(event.connection, Some(report.id), "{event}");
                assert!(!self.running, "{event}: an exchange has no end");
                if self.state.is_some() {
                    assert_eq!(self.state, Some(State::Closed), "{event}");
                    assert!(self.retired.is_some(), "{event}: it did not retire before");
                    assert_eq!((report.exchanges, report.failed), (self.done, self.failed), "{event}");
                }
                self.report = Some(report.clone());
            }
            step => {
                assert!(self.state.is_none() && self.events > 1, "{event}: a step of opening");
                assert!(!matches!(step, H::Other { .. }), "{event}");
            }
        }
    }
}
