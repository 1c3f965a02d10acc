//! The pool: proto's shelf, with a lock and tasks around it.
//!
//! | file | what it is for |
//! |---|---|
//! | `mod` | take a connection, put it back, what a connection tells its keeper |
//! | `counter` | the one lock, and how a request stands in line at it |
//! | `desk` | what is under the one lock: the shelf, what is known of each origin, the books |
//! | `route` | where a request belongs, found without building anything |
//! | `waiting` | a request that waits for a connection |
//! | `open` | the task that opens a connection |
//! | `prewarm` | connections that are opened before they are needed |
//! | `stale` | what is done when the clock jumped, or a name means other addresses |
//! | `registry` | all connections that are alive |
//! | `close` | closing one, one origin's, the idle ones, all |
//! | `stats` | what is counted |
//!
//! The lock is held for a few steps over memory; what follows from them (wakers, connections to open or to close) is
//! done after it was let go of. Whoever gets a connection while it waits finds it under that same lock, so a wake-up
//! cannot be lost: a request that is dropped puts back what it was granted. The roll of the living has a lock of its own, a
//! leaf, taken under the first where the books must agree with it.

mod close;
mod counter;
mod desk;
mod open;
mod prewarm;
mod registry;
mod route;
mod stale;
mod stats;
mod waiting;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use adieu_proto::fate::Cost;
use adieu_proto::h1::Config;
use adieu_proto::lifecycle::{CloseReason, CloseReport, ConnectionId, Snapshot, State};
use adieu_proto::shelf::{Effects, Leave, Limits, Origin, Pick};

use crate::connect::{Connector, Target};
use crate::drive::{Departures, Keeper, Wire};
use crate::error::{Error, ErrorKind};
use crate::observe::{Event, Events, Happening, Observers};
use crate::rt::{self, Runtime, WallClock};

pub use close::ClientReport;
pub(crate) use close::{ClosingAll, WhenDropped};
use counter::{Counter, MutexGuard};
use desk::{Desk, Todo};
use registry::{Live, Registry};
pub(crate) use route::{Partition, Route};
use stale::Clocks;
pub use stats::{OriginStats, Stats, Tally};
pub use waiting::WaitingRequest;
pub(crate) use waiting::{Waited, Waiting};

/// The connections of a client.
pub(crate) struct Pool {
    counter: Counter<Desk>,
    registry: Registry,
    settings: Settings,
}

/// What a pool is told once.
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) config: Config,
    /// How much of the maximum age is left to chance: 0.1 is a tenth less at most.
    pub(crate) age_jitter: f64,
    /// How long a request waits for a connection.
    pub(crate) wait: Option<Duration>,
    /// How often names are resolved anew for connections that are open.
    pub(crate) refresh: Option<Duration>,
    pub(crate) connector: Connector,
    pub(crate) departures: Departures,
    pub(crate) observers: Observers,
    pub(crate) wall: WallClock,
    pub(crate) learn: Learn,
}

/// Whether the ends of idle connections teach how long others may be idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learn {
    Yes,
    No,
}

impl Pool {
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        let clocks = Clocks::new(settings.wall.clone());
        Arc::new(Self {
            counter: Counter::new(Desk::new(settings.limits, clocks)),
            registry: Registry::default(),
            settings,
        })
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.counter.lock()
    }

    /// The origin to which a request belongs, and an idle connection if there is one.
    ///
    /// # Errors
    ///
    /// The URI names no origin, or the client is closed.
    #[inline]
    pub(crate) fn take(
        self: &Arc<Self>,
        now: Instant,
        route: &Route<'_>,
        pick: Pick,
    ) -> Result<(Origin, Option<Arc<Wire>>), Error> {
        let (mut desk, origin) = self.locate(route)?;
        if desk.clocks.is_due(now)
            && let Some(jump) = desk.clocks.jumped(now)
        {
            drop(desk);
            self.distrust(now, jump);
            desk = self.desk();
        }
        let taken = desk.take(origin, pick);
        if let Some(every) = self.settings.refresh {
            self.refresh(desk, now, origin, every);
        }
        Ok((origin, taken))
    }

    /// The origin to which a request belongs that wants none of the idle connections.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub(crate) fn origin_of(&self, route: &Route<'_>) -> Result<Origin, Error> {
        let (mut desk, origin) = self.locate(route)?;
        desk.shelf.note_request(origin);
        Ok(origin)
    }

    #[inline]
    fn locate(&self, route: &Route<'_>) -> Result<(MutexGuard<'_, Desk>, Origin), Error> {
        let mut desk = self.desk();
        let origin = match desk.find(route) {
            Some(origin) => origin,
            None => {
                drop(desk);
                let target = Target::of(route.uri)?;
                let runtime = Runtime::current().ok_or_else(|| Error::new(ErrorKind::NoRuntime))?;
                desk = self.desk();
                desk.learn(route, target, runtime)
            }
        };
        if desk.shelf.is_closed() {
            return Err(Error::new(ErrorKind::ClientClosed));
        }
        Ok((desk, origin))
    }

    /// A request to this origin is to be sent again: whether the traffic allows it, and then it is counted.
    pub(crate) fn spend_replay(&self, origin: Origin, now: Instant, cost: Cost) -> Leave {
        let mut desk = self.desk();
        let leave = match cost {
            Cost::Free => Leave::Granted,
            Cost::Counted => desk.shelf.spend_replay(origin, now),
        };
        if leave == Leave::Granted {
            desk.books(origin).replayed += 1;
        }
        leave
    }

    /// What happens from now on.
    pub(crate) fn subscribe(&self, capacity: usize) -> Events {
        let events = self.settings.observers.subscribe(capacity);
        for (_, live) in self.registry.all() {
            if let Live::Open(wire) = live {
                wire.keep_journal();
            }
        }
        events
    }

    /// A request that was lent this connection did not use it.
    pub(crate) fn put_back(self: &Arc<Self>, wire: &Arc<Wire>) {
        let todo = self.desk().put_back(wire);
        if let Some(todo) = todo {
            self.carry_out(todo);
        }
    }

    /// A connection takes no new exchange any more. Harmless when said twice.
    fn left(self: &Arc<Self>, wire: &Arc<Wire>) {
        let mut todo = Effects::default();
        let idle = self.desk().leave(wire, &mut todo);
        drop(idle);
        self.carry_out(todo);
    }

    /// Does what follows from a step on the shelf. Called under no lock.
    fn carry_out(self: &Arc<Self>, todo: Todo) {
        if todo.is_empty() {
            return;
        }
        let mut rounds = VecDeque::from([todo]);
        while let Some(todo) = rounds.pop_front() {
            for (wire, reason) in todo.close {
                wire.order_retire(reason);
            }
            todo.wake.into_iter().for_each(Waker::wake);
            // An opening that fails as it begins orders the next: one after the other, never one within the other.
            rounds.extend(todo.open.into_iter().filter_map(|(opening, origin)| self.open(opening, origin)));
        }
    }

    pub(crate) fn tell(
        &self,
        connection: Option<ConnectionId>,
        origin: Origin,
        what: impl FnOnce() -> Happening,
    ) {
        if !self.settings.observers.anybody() {
            return;
        }
        let text = self.desk().entry(origin).map(|entry| entry.text.clone()).unwrap_or_default();
        self.settings.observers.tell(&Event { at: rt::now(), connection, origin: text, what: what() });
    }

    // Questions.

    /// Whether it was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.desk().shelf.is_closed()
    }

    /// Every connection that is alive, oldest first.
    pub(crate) fn snapshots(&self) -> Vec<Snapshot> {
        let alive = self.registry.all();
        alive.into_iter().filter_map(|(_, live)| live.snapshot()).collect()
    }

    pub(crate) fn snapshot(&self, id: ConnectionId) -> Option<Snapshot> {
        self.registry.get(id)?.snapshot()
    }

    /// The counts of each origin, and of all.
    pub(crate) fn stats(&self) -> Stats {
        let desk = self.desk();
        // Under that lock still: so each connection is either among the living or in the books.
        let alive = self.registry.all();
        let mut stats = Stats { total: Tally::of(&desk.forgotten), origins: Vec::new() };
        let mut by_origin: Vec<(Origin, OriginStats)> = desk
            .entries()
            .map(|(origin, entry)| {
                let mut tally = Tally::of(&entry.books);
                tally.waiting = desk.shelf.counts(origin).waiting as u64;
                let partition = entry.partition.as_deref().map(ToOwned::to_owned);
                (origin, OriginStats { origin: entry.text.to_string(), partition, tally })
            })
            .collect();
        drop(desk);
        for (origin, live) in alive {
            let known = by_origin.iter_mut().find(|(known, _)| *known == origin);
            live.count(known.map_or(&mut stats.total, |(_, stats)| &mut stats.tally));
        }
        for (_, origin) in by_origin {
            stats.total.add(&origin.tally);
            stats.origins.push(origin);
        }
        stats.origins.sort_by(|a, b| (&a.origin, &a.partition).cmp(&(&b.origin, &b.partition)));
        stats
    }
}

impl Live {
    fn snapshot(&self) -> Option<Snapshot> {
        match self {
            Self::Opening(birth) => birth.snapshot(),
            // One that is gone may be on the roll for a moment more.
            Self::Open(wire) => Some(wire.snapshot()).filter(|snapshot| snapshot.state != State::Closed),
        }
    }

    fn count(&self, tally: &mut Tally) {
        match self {
            Self::Opening(_) => tally.opening += 1,
            Self::Open(wire) => {
                let work = wire.lock();
                let (state, exchanges) = (work.engine.state(), work.engine.life().exchanges());
                drop(work);
                match wire.report().filter(|_| state == State::Closed) {
                    Some(report) => tally.count_closed(&report),
                    None => tally.count(state, exchanges),
                }
            }
        }
    }
}

/// What a connection tells the pool.
pub(super) struct Shelved {
    pool: Arc<Pool>,
    origin: Origin,
}

impl Keeper for Shelved {
    fn returned(&self, wire: &Arc<Wire>) {
        self.pool.put_back(wire);
    }

    fn left(&self, wire: &Arc<Wire>) {
        self.pool.left(wire);
    }

    fn closed(&self, wire: &Arc<Wire>, report: &CloseReport) {
        let now = rt::now();
        let mut desk = self.pool.desk();
        desk.closed(self.origin, report);
        if let (Some(age), Learn::Yes) = (report.ended_idle, self.pool.settings.learn)
            && matches!(report.reason, CloseReason::PeerClosedIdle | CloseReason::PeerEndedEarly)
        {
            desk.note_idle_end(self.origin, now, age, report.round_trip.unwrap_or_default());
        }
        let gone = self.pool.registry.remove(wire.id());
        drop(desk);
        drop(gone);
    }
}
