//! Who keeps a connection between its exchanges, and what it is told: the pool, as its connections see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use adieu_proto::lifecycle::CloseReport;
use http::HeaderValue;

use super::wire::Wire;
use crate::observe::{Observers, OpeningTimes};

/// Keeps connections between their exchanges. Called under no lock of the connection.
pub(crate) trait Keeper: Send + Sync {
    /// It was lent, and is idle again.
    fn returned(&self, wire: &Arc<Wire>);
    /// It takes no new exchange any more. Told once.
    fn left(&self, wire: &Arc<Wire>);
    /// It is gone. Told once, and last.
    fn closed(&self, wire: &Arc<Wire>, report: &CloseReport);
}

/// What a connection knows of its keeper.
pub(crate) struct Kept {
    pub(crate) keeper: Arc<dyn Keeper>,
    pub(crate) observers: Observers,
    /// What a proxy wants to see in each request.
    pub(crate) authorization: Option<HeaderValue>,
    /// How long each step of its opening took.
    pub(crate) opening: OpeningTimes,
    /// How long it may be idle, by what others of its origin have taught.
    pub(crate) learned: Arc<LearnedIdle>,
    /// The keeper's own name for it; 0 until it has one.
    mark: AtomicU64,
}

/// How long connections of one origin may be idle, by what the peer's ends have taught: one look costs no lock.
#[derive(Debug, Default)]
pub(crate) struct LearnedIdle(AtomicU64);

/// Where a connection stands with its keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No exchange was begun since it was last idle: it is on the shelf, or was lent just now.
    Shelf,
    /// The exchange of a request was begun.
    Lent,
    /// It takes no new exchange; or nobody keeps it.
    Left,
}

/// What a keeper must be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    None,
    Returned,
    Left,
}

impl Kept {
    pub(crate) fn new(keeper: Arc<dyn Keeper>, observers: Observers, learned: Arc<LearnedIdle>) -> Self {
        let (authorization, opening) = (None, OpeningTimes::default());
        Self { keeper, observers, authorization, opening, learned, mark: AtomicU64::new(0) }
    }

    /// The keeper's own name for the connection.
    pub(crate) fn mark(&self) -> u64 {
        self.mark.load(Ordering::Acquire)
    }

    pub(crate) fn set_mark(&self, mark: u64) {
        self.mark.store(mark, Ordering::Release);
    }
}

impl LearnedIdle {
    /// In microseconds; 0: nothing is known.
    pub(crate) fn micros(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, limit: Option<Duration>) {
        let micros = limit.map_or(0, |limit| u64::try_from(limit.as_micros()).unwrap_or(u64::MAX).max(1));
        self.0.store(micros, Ordering::Relaxed);
    }
}

impl Standing {
    /// What follows from the connection being open and idle, open, or on its way out.
    pub(super) fn moves(&mut self, is_idle: bool, is_open: bool) -> Move {
        match self {
            Self::Left => Move::None,
            _ if !is_open => {
                *self = Self::Left;
                Move::Left
            }
            Self::Lent if is_idle => {
                *self = Self::Shelf;
                Move::Returned
            }
            _ => Move::None,
        }
    }
}
