//! The connections of a client that are alive: opening, open, or on their way out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use adieu_proto::lifecycle::{
    CloseMode, CloseReason, CloseReport, ConnectionId, Lifecycle, Protocol, Snapshot,
};
use adieu_proto::shelf::Origin;

use crate::drive::Wire;
use crate::rt;

/// All that are alive. The lock is a leaf.
#[derive(Default)]
pub(super) struct Registry(Mutex<Roll>);

#[derive(Default)]
struct Roll {
    alive: BTreeMap<ConnectionId, (Origin, Live)>,
    /// Set once the client was closed: what is added later is closed alike.
    closed: Option<Farewell>,
}

/// How the client was closed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Farewell {
    /// By a call.
    Closed(CloseMode),
    /// All of its handles were dropped.
    Dropped,
}

/// A connection that is alive.
#[derive(Clone)]
pub(super) enum Live {
    Opening(Arc<Birth>),
    Open(Arc<Wire>),
}

/// A connection that is being opened.
pub(super) struct Birth {
    pub(super) id: ConnectionId,
    pub(super) origin: Arc<str>,
    stage: Mutex<Stage>,
}

enum Stage {
    /// It goes on, unless it was called off.
    Running { life: Box<Lifecycle>, off: Option<Farewell>, wakers: Vec<Waker> },
    /// It became this connection.
    Open(Arc<Wire>),
    /// It failed, or was called off.
    Over(Box<CloseReport>),
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Roll> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds or replaces a connection; tells how it must be closed, if the client was.
    pub(super) fn add(&self, id: ConnectionId, origin: Origin, live: Live) -> Option<Farewell> {
        let mut roll = self.lock();
        roll.alive.insert(id, (origin, live));
        roll.closed
    }

    /// It is gone. What is left of it is to be dropped under no lock.
    pub(super) fn remove(&self, id: ConnectionId) -> Option<(Origin, Live)> {
        self.lock().alive.remove(&id)
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<Live> {
        self.lock().alive.get(&id).map(|(_, live)| live.clone())
    }

    /// All of them, oldest first.
    pub(super) fn all(&self) -> Vec<(Origin, Live)> {
        self.lock().alive.values().cloned().collect()
    }

    /// From now on what is added is closed like this; all that are there.
    pub(super) fn close(&self, farewell: Farewell) -> Vec<(Origin, Live)> {
        let mut roll = self.lock();
        roll.closed = Some(farewell.or_stricter(roll.closed));
        roll.alive.values().cloned().collect()
    }
}

impl Live {
    /// Whom it serves, as `https://example.com`.
    pub(super) fn origin(&self) -> Option<&str> {
        match self {
            Self::Opening(birth) => Some(&birth.origin),
            Self::Open(wire) => wire.origin().map(|origin| &**origin),
        }
    }
}

impl Farewell {
    /// This, or what was said before if that is stricter.
    fn or_stricter(self, before: Option<Self>) -> Self {
        match (before, self) {
            (Some(Self::Closed(before)), Self::Closed(mode)) => Self::Closed(before.stricter(mode)),
            (Some(before), Self::Dropped) => before,
            (_, farewell) => farewell,
        }
    }

    /// Closes a connection like this.
    pub(super) fn bid(self, wire: &Arc<Wire>) {
        match self {
            Self::Closed(mode) => wire.order_close(mode),
            Self::Dropped => wire.order_retire(CloseReason::HandlesDropped),
        }
    }

    fn reason(self) -> CloseReason {
        match self {
            Self::Closed(mode) => CloseReason::User(mode.kind()),
            Self::Dropped => CloseReason::HandlesDropped,
        }
    }
}

impl Birth {
    pub(super) fn new(id: ConnectionId, origin: Arc<str>, life: Lifecycle) -> Arc<Self> {
        let stage = Stage::Running { life: Box::new(life), off: None, wakers: Vec::new() };
        Arc::new(Self { id, origin, stage: Mutex::new(stage) })
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls it off; what has become a connection meanwhile is closed alike.
    ///
    /// Race window: whoever opens it may be past its last look. Then [`became`](Self::became) finds the order.
    pub(super) fn call_off(&self, farewell: Farewell) {
        let mut stage = self.lock();
        match &mut *stage {
            Stage::Running { off, wakers, .. } => {
                *off = Some(farewell.or_stricter(*off));
                let wakers = std::mem::take(wakers);
                drop(stage);
                wakers.into_iter().for_each(Waker::wake);
            }
            Stage::Open(wire) => {
                let wire = wire.clone();
                drop(stage);
                farewell.bid(&wire);
            }
            Stage::Over(_) => {}
        }
    }

    /// Why it was called off, or a call when it is.
    pub(super) fn poll_off(&self, cx: &Context<'_>) -> Poll<CloseReason> {
        match &mut *self.lock() {
            Stage::Running { off: Some(farewell), .. } => Poll::Ready(farewell.reason()),
            Stage::Running { wakers, .. } => {
                enlist(wakers, cx);
                Poll::Pending
            }
            _ => Poll::Pending,
        }
    }

    /// Takes its life, for the connection that it becomes.
    pub(super) fn take_life(&self) -> Option<Lifecycle> {
        match &mut *self.lock() {
            Stage::Running { life, .. } => {
                let nobody = Lifecycle::new(life.born(), Default::default());
                Some(std::mem::replace(&mut **life, nobody))
            }
            _ => None,
        }
    }

    /// It became this connection; tells how that must be closed, if the opening was called off too late.
    pub(super) fn became(&self, wire: &Arc<Wire>) -> Option<Farewell> {
        self.end(Stage::Open(wire.clone()))
    }

    /// It failed, or was called off.
    pub(super) fn failed(&self, report: CloseReport) {
        self.end(Stage::Over(Box::new(report)));
    }

    fn end(&self, end: Stage) -> Option<Farewell> {
        let before = std::mem::replace(&mut *self.lock(), end);
        let Stage::Running { wakers, off, .. } = before else { return None };
        wakers.into_iter().for_each(Waker::wake);
        off
    }

    /// How it ended.
    pub(super) fn poll_end(&self, cx: &Context<'_>) -> Poll<Result<Arc<Wire>, CloseReport>> {
        match &mut *self.lock() {
            Stage::Running { wakers, .. } => {
                enlist(wakers, cx);
                Poll::Pending
            }
            Stage::Open(wire) => Poll::Ready(Ok(wire.clone())),
            Stage::Over(report) => Poll::Ready(Err((**report).clone())),
        }
    }

    pub(super) fn snapshot(&self) -> Option<Snapshot> {
        let now = rt::now();
        let mut snapshot = match &*self.lock() {
            Stage::Running { life, .. } => Snapshot::of_life(now, self.id, Protocol::Http1, life),
            _ => return None,
        };
        snapshot.origin = Some(self.origin.to_string());
        Some(snapshot)
    }
}

fn enlist(wakers: &mut Vec<Waker>, cx: &Context<'_>) {
    if !wakers.iter().any(|known| known.will_wake(cx.waker())) {
        wakers.push(cx.waker().clone());
    }
}
