//! The bounded set of connections on their way out: from the start of the goodbye to the end of the transport.
//!
//! It is never in the way of a request. When it is full, it sheds those that nobody awaits, oldest first; a close
//! that somebody awaits is never shed but waits for its turn, first come first served.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

/// A connection that wants to leave.
pub(super) trait Leaver: Send + Sync {
    /// How many wait for its end. One that somebody waits for is never shed.
    fn awaiting(&self) -> &Arc<AtomicUsize>;
    /// Its place is given to another: it must go at once.
    fn shed(self: Arc<Self>);
    /// It waited for a place; this is it.
    /// Given back where it is gone already.
    fn grant(self: Arc<Self>, departure: Departure) -> Result<(), Departure>;
}

/// A set of connections on their way out; cheap to clone.
#[derive(Clone)]
pub(crate) struct Departures(Arc<Gate>);

struct Gate {
    capacity: usize,
    set: Mutex<Set>,
}

#[derive(Default)]
struct Set {
    /// By the order in which they came; each with the count of those who await it.
    leaving: BTreeMap<u64, (Weak<dyn Leaver>, Arc<AtomicUsize>)>,
    waiting: VecDeque<Weak<dyn Leaver>>,
    next: u64,
}

/// One place in the set; given back when dropped.
pub(crate) struct Departure {
    /// `None` once the place was given back.
    gate: Option<Arc<Gate>>,
    place: u64,
}

/// What a connection that wants to leave is told.
pub(super) enum Admission {
    /// Say goodbye.
    Granted(Departure),
    /// Wait: the place comes as an order.
    Later,
    /// There is no place, and nobody waits for this one.
    Shed,
}

/// So many connections may be on their way out at once.
pub(crate) const DEFAULT_CAPACITY: usize = 1024;

impl Departures {
    /// The set of connections that were told of no other.
    pub(crate) fn common() -> Self {
        static COMMON: LazyLock<Departures> = LazyLock::new(|| Departures::new(DEFAULT_CAPACITY));
        COMMON.clone()
    }

    pub(crate) fn new(capacity: usize) -> Self {
        Self(Arc::new(Gate { capacity: capacity.max(1), set: Mutex::default() }))
    }

    /// Asks for a place. Called with the work lock of the leaver held, so it touches none of its locks; those that
    /// are shed are told by the caller, after it let go of its locks.
    pub(super) fn enter(&self, leaver: &Arc<dyn Leaver>) -> (Admission, Option<Arc<dyn Leaver>>) {
        let mut set = self.0.lock();
        let mut shed = None;
        if set.leaving.len() >= self.0.capacity {
            let unawaited = |(place, (_, awaiting)): (&u64, &(_, Arc<AtomicUsize>))| {
                (awaiting.load(Ordering::Relaxed) == 0).then_some(*place)
            };
            let Some(oldest) = set.leaving.iter().find_map(unawaited) else {
                if leaver.awaiting().load(Ordering::Relaxed) == 0 {
                    return (Admission::Shed, None);
                }
                set.waiting.push_back(Arc::downgrade(leaver));
                return (Admission::Later, None);
            };
            shed = set.leaving.remove(&oldest).and_then(|(leaver, _)| leaver.upgrade());
        }
        (Admission::Granted(set.admit(&self.0, leaver)), shed)
    }
}

impl Set {
    fn admit(&mut self, gate: &Arc<Gate>, leaver: &Arc<dyn Leaver>) -> Departure {
        let place = self.next;
        self.next += 1;
        self.leaving.insert(place, (Arc::downgrade(leaver), leaver.awaiting().clone()));
        Departure { gate: Some(gate.clone()), place }
    }
}

impl Gate {
    /// Frees a place, and makes one for whoever waits longest.
    fn pass_on(self: &Arc<Self>, place: u64) -> Option<(Arc<dyn Leaver>, Departure)> {
        let mut set = self.lock();
        set.leaving.remove(&place)?;
        loop {
            if let Some(leaver) = set.waiting.pop_front()?.upgrade() {
                let departure = set.admit(self, &leaver);
                return Some((leaver, departure));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Set> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Departure {
    /// Hands the place to the one that waits longest and is still there. A shed place was given away already.
    fn drop(&mut self) {
        let Some(gate) = self.gate.take() else { return };
        let mut place = self.place;
        while let Some((leaver, departure)) = gate.pass_on(place) {
            match leaver.grant(departure) {
                Ok(()) => return,
                // A loop, not a drop in a drop: many may be gone already.
                Err(mut refused) => {
                    refused.gate = None;
                    place = refused.place;
                }
            }
        }
    }
}
