//! The pure part of the pool: which connection serves which request, and who waits.
//!
//! | file | what it is for |
//! |---|---|
//! | `mod` | the shelf: take, put back, wait, open, leave, close |
//! | `place` | what belongs to one origin: its counts, its idle connections, its queue |
//! | `list` | idle connections in the order in which they became idle |
//! | `ages` | at which idle age peers end connections, learned from those that they ended |
//! | `budget` | how many requests may be sent again |
//! | `limits` | how many of each there may be, and in which order idle ones are taken |
//!
//! A connection is *opening*, then *idle* or *lent*; then it leaves, and the shelf knows it no more: one that drains
//! or says goodbye holds no place here. What waits is served first come, first served, each origin for itself; where the
//! limit on all connections is what they wait for, the oldest of all goes first.
//!
//! One rule gives whatever comes of an opening, a connection or a failure, to whoever waits longest. So a request
//! whose opening is late may be served by a connection that came back, the opening serves the next, and an opening
//! whose request was cancelled is finished and kept for others.
//!
//! There is no clock, no lock and no I/O: each call says in its [`Effects`] what is to be done, after whatever lock
//! there is was let go of. The world around it is checked by a walk at random in `tests`.

mod ages;
mod budget;
mod limits;
mod list;
mod place;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use slotmap::SlotMap;

pub use budget::Leave;
pub use limits::{Limits, Order};
pub use place::{Counts, Waiter, Waiting};

use list::{Kept, Standing};
use place::Place;

use crate::lifecycle::CloseReason;

slotmap::new_key_type! {
    /// An origin that the shelf knows.
    pub struct Origin;
    /// A connection that the shelf knows.
    pub struct Slot;
    /// A connection that is being opened.
    pub struct Opening;
}

/// The number of a request that waits; unique on its shelf, and in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// What a request asks of the shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a used connection will do or it will not")]
pub enum Wanted {
    /// Any connection.
    Any,
    /// One that carried no exchange yet.
    Fresh,
}

/// Which of several idle connections a request is lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the usual one or the youngest")]
pub enum Pick {
    /// As the [limits](Limits::order) say.
    Usual,
    /// The one that has been idle for the shortest time.
    Youngest,
}

/// What became of a request that waited.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "one of these, or it still waits")]
pub enum Grant<C, E> {
    /// This connection is lent to it.
    Connection(Slot, C),
    /// The connection that was opened for it did not open.
    Failed(E),
    /// The shelf was closed.
    Closed,
}

/// What is left of a request that waited and does no more: to be dropped once every lock was let go of.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "it waited, or had an answer")]
pub enum Leftover<C, W, E> {
    /// What would have woken it.
    Waker(W),
    /// What it was granted, of no use to anybody else.
    Grant(Grant<C, E>),
}

/// What is to be done once every lock was let go of.
#[derive(Debug)]
#[must_use = "what is not done is forgotten"]
#[expect(clippy::exhaustive_structs, reason = "it is taken apart by its only reader")]
pub struct Effects<C, W> {
    /// Connections to open.
    pub open: Vec<(Opening, Origin)>,
    /// Connections that the shelf let go of, to be closed for this reason.
    pub close: Vec<(C, CloseReason)>,
    /// Those that wait for something which is here now.
    pub wake: Vec<W>,
}

/// The shelf. `C` is a connection, `W` wakes a request that waits, `E` tells why a connection did not open.
#[derive(Debug)]
pub struct Shelf<C, W, E> {
    limits: Limits,
    places: SlotMap<Origin, Place<W>>,
    kept: SlotMap<Slot, Kept<C>>,
    openings: SlotMap<Opening, Origin>,
    /// All idle ones, longest idle first.
    idle: list::Ends,
    idle_count: usize,
    /// Origins at which somebody waits.
    waiting: BTreeSet<Origin>,
    granted: BTreeMap<Ticket, Grant<C, E>>,
    next_ticket: u64,
    doors: Doors,
}

#[derive(Debug)]
enum Doors {
    Open,
    /// What comes back is closed for this reason.
    Closed(CloseReason),
}

/// The reasons for which a connection must make room.
const IDLE_OF_ORIGIN: CloseReason = CloseReason::PoolLimit("idle connections of one origin");
const IDLE_IN_ALL: CloseReason = CloseReason::PoolLimit("idle connections in all");
const OF_ORIGIN: CloseReason = CloseReason::PoolLimit("connections of one origin");
const IN_ALL: CloseReason = CloseReason::PoolLimit("connections in all");

impl<C, W, E> Shelf<C, W, E> {
    /// An empty shelf.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            places: SlotMap::with_key(),
            kept: SlotMap::with_key(),
            openings: SlotMap::with_key(),
            idle: list::Ends::default(),
            idle_count: 0,
            waiting: BTreeSet::new(),
            granted: BTreeMap::new(),
            next_ticket: 1,
            doors: Doors::Open,
        }
    }

    // Getters.

    /// Whether it was closed: it lends nothing any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.doors, Doors::Closed(_))
    }

    /// How many of each an origin has.
    #[must_use]
    pub fn counts(&self, origin: Origin) -> Counts {
        self.places.get(origin).map_or_else(Counts::default, Place::counts)
    }

    /// How many there are in all.
    #[must_use]
    pub fn total(&self) -> Counts {
        self.places.values().map(Place::counts).fold(Counts::default(), Counts::plus)
    }

    /// Those that wait for a connection to this origin, first come first.
    pub fn waiting(&self, origin: Origin) -> Vec<Waiting> {
        self.places.get(origin).map(Place::queue).unwrap_or_default()
    }

    /// How many wait before this request; `None`: it does not wait.
    #[must_use]
    pub fn ahead(&self, origin: Origin, ticket: Ticket) -> Option<usize> {
        self.places.get(origin)?.ahead(ticket)
    }

    /// Whether nothing would be lost by forgetting this origin.
    #[must_use]
    pub fn is_unused(&self, origin: Origin) -> bool {
        self.places.get(origin).is_none_or(Place::is_unused)
    }

    // Commands.

    /// Makes a place for an origin.
    pub fn add_origin(&mut self) -> Origin {
        self.places.insert(Place::default())
    }

    /// Forgets an origin that is unused.
    pub fn remove_origin(&mut self, origin: Origin) {
        if self.is_unused(origin) {
            self.places.remove(origin);
        }
    }

    /// A request came that takes no idle connection.
    pub fn note_request(&mut self, origin: Origin) {
        if let Some(place) = self.places.get_mut(origin) {
            place.budget.note_request();
        }
    }

    /// A request came. Lends an idle connection at once, where there is one and nobody waits before.
    pub fn take(&mut self, origin: Origin, pick: Pick) -> Option<(Slot, C)> {
        let place = self.places.get_mut(origin)?;
        place.budget.note_request();
        let order = if pick == Pick::Youngest { Order::Lifo } else { self.limits.order };
        let slot = place.pick(&self.kept, order)?;
        self.lend(slot)
    }

    /// The number for a request that is about to wait. It keeps it as long as it has no answer, so that one whose
    /// connection died before it could be used waits again at its place.
    pub fn draw(&mut self) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        ticket
    }

    /// Queues a request. What it gets is told by [`poll`](Self::poll), after its waker was among those to wake. Where the
    /// origin is not known any more, that is [`Grant::Closed`].
    pub fn wait(
        &mut self,
        origin: Origin,
        ticket: Ticket,
        wanted: Wanted,
        waiter: Waiter<W>,
        effects: &mut Effects<C, W>,
    ) {
        if self.is_closed() || !self.places.contains_key(origin) {
            self.granted.insert(ticket, Grant::Closed);
            return;
        }
        // One may have come back since the request found none.
        if wanted == Wanted::Any
            && let Some(slot) =
                self.places.get_mut(origin).and_then(|place| place.pick(&self.kept, self.limits.order))
            && let Some((slot, connection)) = self.lend(slot)
        {
            self.granted.insert(ticket, Grant::Connection(slot, connection));
            return effects.wake.push(waiter.waker);
        }
        let Some(place) = self.places.get_mut(origin) else { return };
        place.enqueue(ticket, wanted, waiter);
        self.waiting.insert(origin);
        self.open_for(origin, effects);
    }

    /// What became of a request that waits; `None`: it still does, and `waker` will be called. In its place is then what
    /// would have been called before.
    pub fn poll(&mut self, origin: Origin, ticket: Ticket, waker: &mut W) -> Option<Grant<C, E>> {
        if let Some(grant) = self.granted.remove(&ticket) {
            return Some(grant);
        }
        if let Some(waiter) = self.places.get_mut(origin).and_then(|place| place.waiter(ticket)) {
            std::mem::swap(&mut waiter.waker, waker);
        }
        None
    }

    /// A request waits no more. A connection that it was granted and did not take goes to the next. What is left of it is
    /// given back.
    pub fn cancel(
        &mut self,
        origin: Origin,
        ticket: Ticket,
        effects: &mut Effects<C, W>,
    ) -> Option<Leftover<C, W, E>> {
        match self.granted.remove(&ticket) {
            Some(Grant::Connection(slot, connection)) if self.kept.contains_key(slot) => {
                self.put_back(slot, connection, effects);
                None
            }
            Some(grant) => Some(Leftover::Grant(grant)),
            None => {
                let waker = self.places.get_mut(origin)?.dequeue(ticket);
                self.note_waiting(origin);
                waker.map(Leftover::Waker)
            }
        }
    }

    /// An opening ended well: whoever waits longest gets the connection, or else it is idle.
    pub fn opened(&mut self, opening: Opening, connection: C, effects: &mut Effects<C, W>) -> Option<Slot> {
        let origin = self.openings.remove(opening)?;
        let place = self.places.get_mut(origin)?;
        place.opening -= 1;
        if let Doors::Closed(reason) = &self.doors {
            effects.close.push((connection, reason.clone()));
            return None;
        }
        place.lent += 1;
        let slot = self.kept.insert(Kept::lent(origin, self.next_ticket));
        match self.places.get(origin)?.oldest() {
            Some(ticket) => self.grant(origin, ticket, Grant::Connection(slot, connection), effects),
            None => self.put_back(slot, connection, effects),
        }
        Some(slot)
    }

    /// An opening failed: whoever waits longest is told. Where nobody waits, the error is given back.
    pub fn open_failed(&mut self, opening: Opening, error: E, effects: &mut Effects<C, W>) -> Option<E> {
        let Some(origin) = self.openings.remove(opening) else { return Some(error) };
        let Some(place) = self.places.get_mut(origin) else { return Some(error) };
        place.opening -= 1;
        let untold = match place.oldest() {
            Some(ticket) => {
                self.grant(origin, ticket, Grant::Failed(error), effects);
                None
            }
            None => Some(error),
        };
        self.room_was_made(origin, effects);
        untold
    }

    /// A lent connection is idle again.
    pub fn put_back(&mut self, slot: Slot, connection: C, effects: &mut Effects<C, W>) {
        let Some(kept) = self.kept.get(slot).filter(|kept| kept.is_lent()) else { return };
        let origin = kept.origin;
        if let Doors::Closed(reason) = &self.doors {
            effects.close.push((connection, reason.clone()));
            self.drop_slot(slot);
            return;
        }
        // Mostly nobody waits anywhere.
        let next =
            if self.waiting.is_empty() { None } else { self.places.get(origin).and_then(Place::oldest_any) };
        // Somebody has waited longer for a place than the next one for any connection.
        let starves = match () {
            () if self.waiting.is_empty() => None,
            () if self.starves_elsewhere(origin, next) => Some(IN_ALL),
            () if self.starves_for_fresh(origin, next) => Some(self.limit_of(origin)),
            () => None,
        };
        if let Some(reason) = starves {
            self.drop_slot(slot);
            effects.close.push((connection, reason));
            return self.room_was_made(origin, effects);
        }
        if let Some(ticket) = next {
            return self.grant(origin, ticket, Grant::Connection(slot, connection), effects);
        }
        if self.ranks_all() {
            self.idle.push(&mut self.kept, list::IN_ALL, slot);
        }
        let Some(place) = self.places.get_mut(origin) else { return };
        place.lent -= 1;
        place.idle += 1;
        self.idle_count += 1;
        if let Some(kept) = self.kept.get_mut(slot) {
            kept.standing = Standing::Idle(connection);
        }
        place.ends.push(&mut self.kept, list::OF_ORIGIN, slot);
        let over = self.limits.idle_per_origin.is_some_and(|limit| place.idle > limit);
        if let Some(oldest) = place.ends.first().filter(|_| over) {
            self.evict(oldest, IDLE_OF_ORIGIN, effects);
        }
        if self.limits.idle_in_all.is_some_and(|limit| self.idle_count > limit)
            && let Some(oldest) = self.idle.first()
        {
            self.evict(oldest, IDLE_IN_ALL, effects);
        }
        // Who wants a fresh one may be waiting for the place that an idle one holds.
        if !self.waiting.is_empty() && self.waiting.contains(&origin) {
            self.open_for(origin, effects);
        }
    }

    /// A connection takes no new exchange any more: it holds no place from now on. Harmless when said twice.
    pub fn leave(&mut self, slot: Slot, effects: &mut Effects<C, W>) -> Option<C> {
        let origin = self.kept.get(slot)?.origin;
        let connection = self.drop_slot(slot);
        self.room_was_made(origin, effects);
        connection
    }

    /// Lets go of the idle connections of one origin, or of all.
    pub fn clear_idle(&mut self, of: Option<Origin>, effects: &mut Effects<C, W>) -> Vec<C> {
        let mut gone = Vec::new();
        let slots: Vec<Slot> = self
            .kept
            .iter()
            .filter(|(_, kept)| !kept.is_lent() && of.is_none_or(|origin| kept.origin == origin))
            .map(|(slot, _)| slot)
            .collect();
        for slot in slots {
            gone.extend(self.leave(slot, effects));
        }
        gone
    }

    /// Lends nothing any more: all that wait are told, and the idle connections are given back. What comes back later is
    /// closed for this reason; the first one given counts.
    pub fn close(&mut self, reason: CloseReason, effects: &mut Effects<C, W>) -> Vec<C> {
        if !self.is_closed() {
            self.doors = Doors::Closed(reason);
        }
        for origin in std::mem::take(&mut self.waiting) {
            while let Some(ticket) = self.places.get(origin).and_then(Place::oldest) {
                self.grant(origin, ticket, Grant::Closed, effects);
            }
        }
        self.clear_idle(None, effects)
    }

    // What is remembered of an origin.

    /// A request to this origin is to be sent again.
    pub fn spend_replay(&mut self, origin: Origin, now: Instant) -> Leave {
        self.places.get_mut(origin).map_or(Leave::Refused, |place| place.budget.spend(now))
    }

    /// A peer ended a connection that had been idle for so long, without having said so.
    pub fn note_idle_end(&mut self, origin: Origin, now: Instant, age: Duration, round_trip: Duration) {
        if let Some(place) = self.places.get_mut(origin) {
            place.ages.note(now, age, round_trip);
        }
    }

    /// How long a connection to this origin may be idle, by what its peers have taught.
    pub fn learned_idle(&mut self, origin: Origin, now: Instant) -> Option<Duration> {
        self.places.get_mut(origin)?.ages.limit(now)
    }

    // What follows.

    fn lend(&mut self, slot: Slot) -> Option<(Slot, C)> {
        let kept = self.kept.get_mut(slot)?;
        let Standing::Idle(connection) = std::mem::replace(&mut kept.standing, Standing::Lent) else {
            return None;
        };
        let origin = kept.origin;
        self.unlist(origin, slot);
        if let Some(place) = self.places.get_mut(origin) {
            place.lent += 1;
        }
        Some((slot, connection))
    }

    /// Whoever waits with this number has its answer.
    fn grant(&mut self, origin: Origin, ticket: Ticket, grant: Grant<C, E>, effects: &mut Effects<C, W>) {
        effects.wake.extend(self.places.get_mut(origin).and_then(|place| place.dequeue(ticket)));
        self.note_waiting(origin);
        self.granted.insert(ticket, grant);
    }

    fn note_waiting(&mut self, origin: Origin) {
        if self.places.get(origin).is_none_or(|place| place.waiting() == 0) {
            self.waiting.remove(&origin);
        }
    }

    /// Takes an idle connection out of both lists.
    fn unlist(&mut self, origin: Origin, slot: Slot) {
        self.idle_count -= 1;
        if self.ranks_all() {
            self.idle.unlink(&mut self.kept, list::IN_ALL, slot);
        }
        if let Some(place) = self.places.get_mut(origin) {
            place.idle -= 1;
            place.ends.unlink(&mut self.kept, list::OF_ORIGIN, slot);
        }
    }

    /// The shelf knows this connection no more.
    fn drop_slot(&mut self, slot: Slot) -> Option<C> {
        let origin = self.kept.get(slot)?.origin;
        if self.kept.get(slot).is_some_and(Kept::is_lent) {
            if let Some(place) = self.places.get_mut(origin) {
                place.lent -= 1;
            }
        } else {
            self.unlist(origin, slot);
        }
        match self.kept.remove(slot)?.standing {
            Standing::Idle(connection) => Some(connection),
            Standing::Lent => None,
        }
    }

    fn evict(&mut self, slot: Slot, reason: CloseReason, effects: &mut Effects<C, W>) {
        effects.close.extend(self.drop_slot(slot).map(|connection| (connection, reason)));
    }

    /// Whether it matters which connection of all has been idle for longest.
    fn ranks_all(&self) -> bool {
        self.limits.in_all.is_some() || self.limits.idle_in_all.is_some()
    }

    /// How many connections count towards the limit on all.
    fn in_all(&self) -> usize {
        self.kept.len() + self.openings.len()
    }

    /// Opens as many connections for an origin as its queue asks for and the limits allow.
    fn open_for(&mut self, origin: Origin, effects: &mut Effects<C, W>) {
        while let Some(place) = self.places.get(origin).filter(|place| place.wants_opening()) {
            let full = self.limits.per_origin.is_some_and(|limit| place.counts().connections() >= limit);
            if full {
                // Idle, and yet somebody waits: for a fresh one.
                let Some(idle) = place.ends.first() else { return };
                self.evict(idle, OF_ORIGIN, effects);
                continue;
            }
            if self.limits.in_all.is_some_and(|limit| self.in_all() >= limit) {
                let Some(idle) = self.idle.first() else { return };
                self.evict(idle, IN_ALL, effects);
                continue;
            }
            let opening = self.openings.insert(origin);
            if let Some(place) = self.places.get_mut(origin) {
                place.opening += 1;
            }
            effects.open.push((opening, origin));
        }
    }

    /// A place is free: the origin that had it goes first, but for one that has waited longer for a place in all.
    fn room_was_made(&mut self, origin: Origin, effects: &mut Effects<C, W>) {
        if self.is_closed() {
            return;
        }
        if self.limits.in_all.is_none() {
            return self.open_for(origin, effects);
        }
        let mut hungry: Vec<(Ticket, Origin)> = self.hungry().collect();
        hungry.sort_unstable();
        for (_, origin) in hungry {
            self.open_for(origin, effects);
        }
    }

    /// Origins that could open a connection if there were a place in all, each with its oldest request.
    fn hungry(&self) -> impl Iterator<Item = (Ticket, Origin)> + '_ {
        self.waiting.iter().filter_map(|&origin| {
            let place = self.places.get(origin)?;
            let room = self.limits.per_origin.is_none_or(|limit| place.counts().connections() < limit);
            (place.wants_opening() && room).then_some((place.oldest()?, origin))
        })
    }

    /// Whether another origin has waited longer for a place in all than this one's next request.
    fn starves_elsewhere(&self, origin: Origin, mine: Option<Ticket>) -> bool {
        if self.waiting.is_empty() || self.limits.in_all.is_none_or(|limit| self.in_all() < limit) {
            return false;
        }
        let longer = |ticket: Ticket| mine.is_none_or(|mine| ticket < mine);
        self.idle_count == 0 && self.hungry().any(|(ticket, other)| other != origin && longer(ticket))
    }

    /// Whether a request that takes none but a fresh connection has waited longer than this origin's next, and no opening is
    /// under way that will be its own.
    fn starves_for_fresh(&self, origin: Origin, mine: Option<Ticket>) -> bool {
        let Some((place, mine)) = self.places.get(origin).zip(mine) else { return false };
        place.opening == 0 && place.oldest().is_some_and(|oldest| oldest < mine)
    }

    /// Which limit keeps an origin from opening another connection.
    fn limit_of(&self, origin: Origin) -> CloseReason {
        let full = |limit| self.places.get(origin).is_some_and(|place| place.counts().connections() >= limit);
        if self.limits.per_origin.is_some_and(full) { OF_ORIGIN } else { IN_ALL }
    }
}

impl<C, W> Default for Effects<C, W> {
    fn default() -> Self {
        Self { open: Vec::new(), close: Vec::new(), wake: Vec::new() }
    }
}

impl<C, W> Effects<C, W> {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.close.is_empty() && self.wake.is_empty()
    }
}

impl Ticket {
    /// The number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}
