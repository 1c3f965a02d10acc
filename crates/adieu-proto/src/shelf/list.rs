//! Idle connections in the order in which they became idle: two lists, one of each origin and one of all, woven into
//! the connections themselves, so that any can be taken out at once.

use slotmap::{Key, SlotMap};

use super::{Origin, Slot};

/// A connection on the shelf.
#[derive(Debug)]
pub(super) struct Kept<C> {
    pub(super) origin: Origin,
    /// In the order in which they were opened.
    pub(super) born: u64,
    pub(super) standing: Standing<C>,
    /// Its neighbours in each list; null where there is none.
    links: [Link; 2],
}

#[derive(Debug)]
pub(super) enum Standing<C> {
    Idle(C),
    /// Some request has it.
    Lent,
}

#[derive(Clone, Copy, Debug, Default)]
struct Link {
    before: Slot,
    after: Slot,
}

/// Which of the two lists.
pub(super) type Which = usize;
pub(super) const OF_ORIGIN: Which = 0;
pub(super) const IN_ALL: Which = 1;

/// The two ends of a list; null where it is empty.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ends {
    first: Slot,
    last: Slot,
}

impl<C> Kept<C> {
    pub(super) fn lent(origin: Origin, born: u64) -> Self {
        Self { origin, born, standing: Standing::Lent, links: [Link::default(); 2] }
    }

    pub(super) fn is_lent(&self) -> bool {
        matches!(self.standing, Standing::Lent)
    }
}

impl Ends {
    /// The one that has been idle for longest.
    pub(super) fn first(&self) -> Option<Slot> {
        (!self.first.is_null()).then_some(self.first)
    }

    /// The one that became idle last.
    pub(super) fn last(&self) -> Option<Slot> {
        (!self.last.is_null()).then_some(self.last)
    }

    pub(super) fn after<C>(kept: &SlotMap<Slot, Kept<C>>, slot: Slot) -> Option<Slot> {
        kept.get(slot).map(|kept| kept.links[OF_ORIGIN].after).filter(|after| !after.is_null())
    }

    pub(super) fn push<C>(&mut self, kept: &mut SlotMap<Slot, Kept<C>>, which: Which, slot: Slot) {
        let before = self.last;
        if let Some(entry) = kept.get_mut(slot) {
            entry.links[which] = Link { before, after: Slot::null() };
        }
        match kept.get_mut(before) {
            Some(entry) => entry.links[which].after = slot,
            None => self.first = slot,
        }
        self.last = slot;
    }

    pub(super) fn unlink<C>(&mut self, kept: &mut SlotMap<Slot, Kept<C>>, which: Which, slot: Slot) {
        let Some(entry) = kept.get_mut(slot) else { return };
        let Link { before, after } = std::mem::take(&mut entry.links[which]);
        match kept.get_mut(before) {
            Some(entry) => entry.links[which].after = after,
            None => self.first = after,
        }
        match kept.get_mut(after) {
            Some(entry) => entry.links[which].before = before,
            None => self.last = before,
        }
    }
}
