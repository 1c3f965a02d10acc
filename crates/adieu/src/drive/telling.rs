//! How observers are told what happened to a connection: in order, whoever drives, and under no lock.

use std::sync::Arc;

use adieu_proto::lifecycle::{CloseReport, Entry, State};

use super::keeper::Kept;
use super::orders::Telling;
use super::wire::Wire;
use crate::observe::{Event, Happening};
use crate::rt;

impl Kept {
    /// The connection is gone.
    pub(super) fn closed(&self, wire: &Arc<Wire>, report: Box<CloseReport>) {
        self.keeper.closed(wire, &report);
        if self.observers.anybody() {
            let closed = Happening::Closed { report: Arc::new(*report) };
            wire.orders().untold.push_back((rt::now(), closed));
            self.tell_on(wire);
        }
    }

    /// Tells what is untold, one teller at a time: so nothing overtakes anything, whoever drives.
    pub(super) fn tell_on(&self, wire: &Arc<Wire>) {
        if !self.observers.anybody() {
            // Whoever comes later is not told of what was before.
            let untold = std::mem::take(&mut wire.orders().untold);
            return drop(untold);
        }
        loop {
            let mut orders = wire.orders();
            if orders.untold.is_empty() || orders.telling == Telling::Somebody {
                return;
            }
            let untold = std::mem::take(&mut orders.untold);
            orders.telling = Telling::Somebody;
            drop(orders);
            let teller = StopsTelling(wire);
            for (at, what) in untold {
                let origin = wire.origin().cloned().unwrap_or_default();
                self.observers.tell(&Event { at, connection: Some(wire.id()), origin, what });
            }
            drop(teller);
        }
    }
}

/// A hook that panics must not silence those that come later.
struct StopsTelling<'w>(&'w Arc<Wire>);

impl Drop for StopsTelling<'_> {
    fn drop(&mut self) {
        self.0.orders().telling = Telling::Nobody;
    }
}

/// A step of a life, as it is told.
pub(super) fn told(entry: Entry) -> Happening {
    match entry {
        Entry::State { from: State::Opening, to: State::Idle } => Happening::Opened,
        Entry::State { from, to } => Happening::StateChanged { from, to },
        Entry::Retired(reason) => Happening::Retired { reason },
        Entry::Began(exchange) => Happening::ExchangeBegan { exchange },
        Entry::Ended(exchange, outcome) => Happening::ExchangeEnded { exchange, outcome },
        entry => Happening::Other { what: format!("{entry:?}").into() },
    }
}
