//! What is under the pool's one lock: the shelf, what is known of each origin, and the books.

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use adieu_proto::lifecycle::CloseReport;
use adieu_proto::shelf::{Effects, Limits, Opening, Origin, Pick, Shelf, Slot};
use slotmap::{Key, KeyData, SecondaryMap};

use super::counter::Stock;
use super::route::{Names, Partition, Route};
use super::stale::Clocks;
use super::stats::Books;
use crate::connect::Target;
use crate::drive::{LearnedIdle, Wire};
use crate::error::Error;
use crate::rt::{Runtime, RuntimeId};

/// What is to be done once the lock was let go of.
pub(super) type Todo = Effects<Arc<Wire>, Waker>;

/// What is under the pool's one lock. No waker, hook or connection is touched under it.
pub(super) struct Desk {
    pub(super) shelf: Shelf<Arc<Wire>, Waker, Error>,
    names: Names,
    origins: SecondaryMap<Origin, Entry>,
    /// Of origins that were forgotten.
    pub(super) forgotten: Books,
    pub(super) clocks: Clocks,
    /// What follows from a connection that came back: mostly nothing.
    todo: Todo,
}

impl Stock for Desk {
    type Connection = Arc<Wire>;
    type Failure = Error;

    fn shelf(&mut self) -> &mut Shelf<Arc<Wire>, Waker, Error> {
        &mut self.shelf
    }
}

/// What is known of an origin.
pub(super) struct Entry {
    pub(super) target: Arc<Target>,
    pub(super) text: Arc<str>,
    pub(super) partition: Option<Partition>,
    pub(super) runtime: Runtime,
    runtime_id: RuntimeId,
    pub(super) books: Books,
    /// How long its connections may be idle, by what its peers have taught.
    pub(super) learned: Arc<LearnedIdle>,
    /// When its name was last resolved, should that matter.
    pub(super) resolved: Option<Instant>,
}

/// So many origins are known before the unused ones are forgotten.
const KNOWN: usize = 1_024;

impl Desk {
    pub(super) fn new(limits: Limits, clocks: Clocks) -> Self {
        Self {
            shelf: Shelf::new(limits),
            names: Names::default(),
            origins: SecondaryMap::new(),
            forgotten: Books::default(),
            clocks,
            todo: Todo::default(),
        }
    }

    pub(super) fn find(&self, route: &Route<'_>) -> Option<Origin> {
        self.names.find(route)
    }

    /// The origin that a request names in words that were not heard before.
    pub(super) fn learn(&mut self, route: &Route<'_>, target: Target, runtime: Runtime) -> Origin {
        let known = self.origins.iter().find(|(_, entry)| {
            *entry.target == target
                && entry.runtime_id == route.runtime
                && entry.partition.as_ref() == route.partition
        });
        let origin = match known {
            Some((origin, _)) => origin,
            None => self.add(route, target, runtime),
        };
        self.names.add(route, origin);
        origin
    }

    fn add(&mut self, route: &Route<'_>, target: Target, runtime: Runtime) -> Origin {
        if self.origins.len() >= KNOWN {
            self.forget_unused();
        }
        let origin = self.shelf.add_origin();
        let entry = Entry {
            text: target.to_string().into(),
            target: Arc::new(target),
            partition: route.partition.cloned(),
            runtime,
            runtime_id: route.runtime,
            books: Books::default(),
            learned: Arc::default(),
            resolved: None,
        };
        self.origins.insert(origin, entry);
        origin
    }

    fn forget_unused(&mut self) {
        let unused: Vec<Origin> =
            self.origins.keys().filter(|&origin| self.shelf.is_unused(origin)).collect();
        for origin in unused {
            self.shelf.remove_origin(origin);
            self.names.remove(origin);
            if let Some(entry) = self.origins.remove(origin) {
                self.forgotten.add(&entry.books);
            }
        }
    }

    pub(super) fn entry(&self, origin: Origin) -> Option<&Entry> {
        self.origins.get(origin)
    }

    pub(super) fn entry_mut(&mut self, origin: Origin) -> Option<&mut Entry> {
        self.origins.get_mut(origin)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (Origin, &Entry)> {
        self.origins.iter()
    }

    /// The books of an origin, or those of the forgotten.
    pub(super) fn books(&mut self, origin: Origin) -> &mut Books {
        match self.origins.get_mut(origin) {
            Some(entry) => &mut entry.books,
            None => &mut self.forgotten,
        }
    }

    /// Lends an idle connection at once, if there is one.
    pub(super) fn take(&mut self, origin: Origin, pick: Pick) -> Option<Arc<Wire>> {
        self.shelf.take(origin, pick).map(|(_, wire)| wire)
    }

    /// What was learned by now counts, and what was learned long ago is forgotten.
    pub(super) fn review(&mut self, origin: Origin, now: Instant) {
        if let Some(entry) = self.origins.get(origin) {
            entry.learned.set(self.shelf.learned_idle(origin, now));
        }
    }

    /// A peer ended a connection that had been idle for so long.
    pub(super) fn note_idle_end(
        &mut self,
        origin: Origin,
        now: Instant,
        age: Duration,
        round_trip: Duration,
    ) {
        self.shelf.note_idle_end(origin, now, age, round_trip);
        self.review(origin, now);
    }

    /// An opening ended well.
    pub(super) fn opened(&mut self, opening: Opening, origin: Origin, wire: &Arc<Wire>, todo: &mut Todo) {
        self.books(origin).opened += 1;
        if let Some(slot) = self.shelf.opened(opening, wire.clone(), todo)
            && let Some(kept) = wire.kept()
        {
            // Under the lock still: who is lent it finds its mark.
            kept.set_mark(slot.data().as_ffi());
        }
    }

    /// A connection came back; what follows from that, if anything does.
    pub(super) fn put_back(&mut self, wire: &Arc<Wire>) -> Option<Todo> {
        self.shelf.put_back(slot_of(wire)?, wire.clone(), &mut self.todo);
        if self.todo.is_empty() { None } else { Some(std::mem::take(&mut self.todo)) }
    }

    pub(super) fn leave(&mut self, wire: &Arc<Wire>, todo: &mut Todo) -> Option<Arc<Wire>> {
        self.shelf.leave(slot_of(wire)?, todo)
    }

    pub(super) fn closed(&mut self, origin: Origin, report: &CloseReport) {
        self.books(origin).close(report);
    }
}

/// The shelf's name for a connection.
fn slot_of(wire: &Wire) -> Option<Slot> {
    let mark = wire.kept()?.mark();
    (mark != 0).then(|| Slot::from(KeyData::from_ffi(mark)))
}
