//! The counter: the shelf behind its lock, and how a request stands in line at it. It knows no runtime and no connection,
//! so that `loom` can try every order in which threads may come (see `counter/loom.rs`).

#[cfg(test)]
#[cfg(adieu_loom)]
mod loom;

use std::sync::PoisonError;
use std::task::Waker;

use adieu_proto::shelf::{Effects, Grant, Origin, Shelf, Ticket, Waiter, Wanted};

#[cfg(all(test, adieu_loom))]
use ::loom::sync::Mutex;
#[cfg(all(test, adieu_loom))]
pub(super) use ::loom::sync::MutexGuard;
#[cfg(not(all(test, adieu_loom)))]
use std::sync::Mutex;
#[cfg(not(all(test, adieu_loom)))]
pub(super) use std::sync::MutexGuard;

/// What is behind the counter: a shelf, and whatever else is under its lock.
pub(super) trait Stock {
    type Connection;
    type Failure;

    fn shelf(&mut self) -> &mut Shelf<Self::Connection, Waker, Self::Failure>;
}

/// The one lock. It is held for a few steps over memory; what follows from them is done after it was let go of.
pub(super) struct Counter<S>(Mutex<S>);

/// The place of a request in line.
#[derive(Debug)]
pub(super) struct Stand {
    pub(super) origin: Origin,
    pub(super) ticket: Ticket,
    pub(super) wanted: Wanted,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not in line yet.
    New,
    InLine,
    /// It has its answer, or left.
    Over,
}

type Todo<S> = Effects<<S as Stock>::Connection, Waker>;

impl<S> Counter<S> {
    pub(super) fn new(stock: S) -> Self {
        Self(Mutex::new(stock))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, S> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stand {
    /// With a number of its own, or at the place that its number gives it.
    pub(super) fn new<S: Stock>(
        counter: &Counter<S>,
        origin: Origin,
        wanted: Wanted,
        ticket: Option<Ticket>,
    ) -> Self {
        let ticket = ticket.unwrap_or_else(|| counter.lock().shelf().draw());
        Self { origin, ticket, wanted, stage: Stage::New }
    }

    /// Whether it has not queued yet.
    pub(super) fn is_new(&self) -> bool {
        self.stage == Stage::New
    }

    /// Queues. Tells how many are before it.
    pub(super) fn queue<S: Stock>(
        &mut self,
        counter: &Counter<S>,
        waiter: Waiter<Waker>,
        todo: &mut Todo<S>,
    ) -> usize {
        let mut stock = counter.lock();
        let shelf = stock.shelf();
        shelf.wait(self.origin, self.ticket, self.wanted, waiter, todo);
        self.stage = Stage::InLine;
        shelf.ahead(self.origin, self.ticket).unwrap_or_default()
    }

    /// Its answer, once it is there; `None`: `waker` will be called.
    pub(super) fn poll<S: Stock>(
        &mut self,
        counter: &Counter<S>,
        waker: &Waker,
    ) -> Option<Grant<S::Connection, S::Failure>> {
        // Cloned before and dropped after: under no lock. The one before may be the last hold on its task.
        let mut waker = waker.clone();
        let grant = counter.lock().shelf().poll(self.origin, self.ticket, &mut waker)?;
        self.stage = Stage::Over;
        Some(grant)
    }

    /// Leaves the line, if it is in it; what it was granted and did not take goes to the next.
    pub(super) fn leave<S: Stock>(&mut self, counter: &Counter<S>) -> Option<Todo<S>> {
        if std::mem::replace(&mut self.stage, Stage::Over) != Stage::InLine {
            return None;
        }
        let mut todo = Effects::default();
        let left = counter.lock().shelf().cancel(self.origin, self.ticket, &mut todo);
        // Under no lock: a waker may be the last hold on its task, and an error may be the caller's.
        drop(left);
        Some(todo)
    }
}
