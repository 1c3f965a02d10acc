//! What happened in a life, step by step, where somebody wants to know.

use std::fmt;
use std::time::Instant;

use super::{CloseReason, State};

/// A step of a life.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// It is in another state.
    State {
        /// Where it was.
        from: State,
        /// Where it is.
        to: State,
    },
    /// No new exchange begins from now on.
    Retired(CloseReason),
    /// The exchange with this number began; the first has number 1.
    Began(u64),
    /// The exchange with this number ended.
    Ended(u64, Outcome),
}

/// How an exchange ended, as its connection saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Well: the response came whole.
    Done,
    /// It failed.
    Failed,
    /// It was taken back before anything of it was written: it counts neither way.
    Withdrawn,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Withdrawn => "withdrawn",
        })
    }
}

/// The steps since they were last taken. Written only while somebody reads.
#[derive(Debug, Default)]
pub struct Journal {
    entries: Vec<(Instant, Entry)>,
    readers: Readers,
}

/// Whether anybody wants to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "somebody does or nobody does")]
pub enum Readers {
    /// Nobody: nothing is written.
    #[default]
    None,
    /// Somebody.
    Some,
}

impl Journal {
    /// Writes from now on, or no more.
    pub fn keep_for(&mut self, readers: Readers) {
        self.readers = readers;
    }

    /// Whether there is something to take.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The steps since they were last taken, in order.
    #[must_use]
    pub fn take(&mut self) -> Vec<(Instant, Entry)> {
        std::mem::take(&mut self.entries)
    }

    pub(super) fn note(&mut self, now: Instant, entry: impl FnOnce() -> Entry) {
        if self.readers == Readers::Some {
            self.entries.push((now, entry()));
        }
    }
}
