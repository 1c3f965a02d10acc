//! What belongs to one origin: its counts, its idle connections, its queue.

use std::collections::BTreeMap;
use std::time::Instant;

use slotmap::SlotMap;

use super::ages::Ages;
use super::budget::Budget;
use super::list::{Ends, Kept};
use super::{Slot, Ticket, Wanted};

/// One origin on the shelf.
#[derive(Debug)]
pub(super) struct Place<W> {
    pub(super) opening: usize,
    pub(super) idle: usize,
    pub(super) lent: usize,
    /// Idle ones, longest idle first.
    pub(super) ends: Ends,
    /// Where the round is: the connection that was taken last.
    turn: u64,
    any: BTreeMap<Ticket, Waiter<W>>,
    fresh: BTreeMap<Ticket, Waiter<W>>,
    pub(super) budget: Budget,
    pub(super) ages: Ages,
}

/// A request that waits.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by the request itself")]
pub struct Waiter<W> {
    /// Since when.
    pub since: Instant,
    /// Until when; `None`: as long as it takes. The request looks at its clock itself.
    pub deadline: Option<Instant>,
    /// What wakes it.
    pub waker: W,
}

/// How many connections and requests an origin has, or all have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Connections being opened.
    pub opening: usize,
    /// Connections that wait for a request.
    pub idle: usize,
    /// Connections that some request has.
    pub lent: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
}

/// A request that waits, as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// Its number.
    pub ticket: Ticket,
    /// Since when.
    pub since: Instant,
    /// Until when; `None`: as long as it takes.
    pub deadline: Option<Instant>,
}

impl Counts {
    /// Connections that hold a place.
    #[must_use]
    pub fn connections(self) -> usize {
        self.opening + self.idle + self.lent
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            opening: self.opening + other.opening,
            idle: self.idle + other.idle,
            lent: self.lent + other.lent,
            waiting: self.waiting + other.waiting,
        }
    }
}

impl<W> Place<W> {
    pub(super) fn counts(&self) -> Counts {
        Counts { opening: self.opening, idle: self.idle, lent: self.lent, waiting: self.waiting() }
    }

    pub(super) fn waiting(&self) -> usize {
        self.any.len() + self.fresh.len()
    }

    pub(super) fn waits_any(&self) -> bool {
        !self.any.is_empty()
    }

    pub(super) fn is_unused(&self) -> bool {
        self.counts() == Counts::default()
    }

    /// Whether more wait than openings could serve.
    pub(super) fn wants_opening(&self) -> bool {
        self.waiting() > self.opening
    }

    pub(super) fn enqueue(&mut self, ticket: Ticket, wanted: Wanted, waiter: Waiter<W>) {
        match wanted {
            Wanted::Any => self.any.insert(ticket, waiter),
            Wanted::Fresh => self.fresh.insert(ticket, waiter),
        };
    }

    /// Takes a request out of the queue; what wakes it.
    pub(super) fn dequeue(&mut self, ticket: Ticket) -> Option<W> {
        let waiter = self.any.remove(&ticket).or_else(|| self.fresh.remove(&ticket))?;
        Some(waiter.waker)
    }

    pub(super) fn waiter(&mut self, ticket: Ticket) -> Option<&mut Waiter<W>> {
        match self.any.get_mut(&ticket) {
            Some(waiter) => Some(waiter),
            None => self.fresh.get_mut(&ticket),
        }
    }

    /// The request that waits longest of those that take a used connection.
    pub(super) fn oldest_any(&self) -> Option<Ticket> {
        self.any.keys().next().copied()
    }

    /// The request that waits longest.
    pub(super) fn oldest(&self) -> Option<Ticket> {
        let (any, fresh) = (self.any.keys().next(), self.fresh.keys().next());
        any.into_iter().chain(fresh).min().copied()
    }

    pub(super) fn ahead(&self, ticket: Ticket) -> Option<usize> {
        if !self.any.contains_key(&ticket) && !self.fresh.contains_key(&ticket) {
            return None;
        }
        Some(self.any.range(..ticket).count() + self.fresh.range(..ticket).count())
    }

    pub(super) fn queue(&self) -> Vec<Waiting> {
        let all = self.any.iter().chain(&self.fresh);
        let mut queue: Vec<_> = all
            .map(|(&ticket, waiter)| Waiting { ticket, since: waiter.since, deadline: waiter.deadline })
            .collect();
        queue.sort_unstable_by_key(|waiting| waiting.ticket);
        queue
    }

    /// The idle connection whose turn it is.
    pub(super) fn next_in_turn<C>(&mut self, kept: &SlotMap<Slot, Kept<C>>) -> Option<Slot> {
        let mut slots = Vec::with_capacity(self.idle);
        let mut next = self.ends.first();
        while let Some(slot) = next {
            slots.extend(kept.get(slot).map(|kept| (kept.born, slot)));
            next = Ends::after(kept, slot);
        }
        let later = slots.iter().filter(|(born, _)| *born > self.turn).min_by_key(|(born, _)| *born);
        let &(born, slot) = later.or_else(|| slots.iter().min_by_key(|(born, _)| *born))?;
        self.turn = born;
        Some(slot)
    }
}

impl<W> Default for Place<W> {
    fn default() -> Self {
        Self {
            opening: 0,
            idle: 0,
            lent: 0,
            ends: Ends::default(),
            turn: 0,
            any: BTreeMap::new(),
            fresh: BTreeMap::new(),
            budget: Budget::default(),
            ages: Ages::default(),
        }
    }
}
