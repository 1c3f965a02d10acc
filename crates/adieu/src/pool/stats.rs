//! What is counted: connections and exchanges, by origin and in all.

use std::collections::BTreeMap;
use std::fmt;

use adieu_proto::lifecycle::{CloseReport, State};

/// How many connections of a client are where, and what they have done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Over all origins, those that were forgotten included.
    pub total: Tally,
    /// By origin.
    pub origins: Vec<OriginStats>,
}

/// The counts of one origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct OriginStats {
    /// Whom it is about, as `https://example.com`.
    pub origin: String,
    /// Its partition, if it is in one.
    pub partition: Option<String>,
    /// The counts.
    pub tally: Tally,
}

/// Counts. The first six are of this moment, the rest since the client was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Tally {
    /// Connections being opened.
    pub opening: u64,
    /// Open connections without an exchange.
    pub idle: u64,
    /// Open connections with an exchange in flight.
    pub active: u64,
    /// Connections that take no new exchange and have one in flight; upgraded ones among them.
    pub draining: u64,
    /// Connections that say goodbye or wait for the peer's.
    pub closing: u64,
    /// Requests that wait for a connection.
    pub waiting: u64,
    /// Connections that were opened.
    pub opened: u64,
    /// Connections that could not be opened.
    pub not_opened: u64,
    /// Connections that are gone, by [`CloseReason::code`](crate::CloseReason::code); those that never opened are not
    /// among them.
    pub closed: BTreeMap<&'static str, u64>,
    /// Exchanges on a connection that had done another before.
    pub reused: u64,
    /// Requests that were sent again.
    pub replayed: u64,
    /// Exchanges that ended well.
    pub exchanges: u64,
    /// Exchanges that failed.
    pub failed: u64,
}

/// What is counted of an origin over time.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    pub(super) opened: u64,
    pub(super) not_opened: u64,
    pub(super) replayed: u64,
    reused: u64,
    closed: BTreeMap<&'static str, u64>,
    exchanges: u64,
    failed: u64,
}

impl Books {
    pub(super) fn close(&mut self, report: &CloseReport) {
        *self.closed.entry(report.reason.code()).or_default() += 1;
        self.exchanges += report.exchanges;
        self.failed += report.failed;
        self.reused += (report.exchanges + report.failed).saturating_sub(1);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.opened += other.opened;
        self.not_opened += other.not_opened;
        self.replayed += other.replayed;
        self.reused += other.reused;
        self.exchanges += other.exchanges;
        self.failed += other.failed;
        for (code, count) in &other.closed {
            *self.closed.entry(code).or_default() += count;
        }
    }
}

impl Tally {
    pub(super) fn of(books: &Books) -> Self {
        Self {
            opened: books.opened,
            not_opened: books.not_opened,
            replayed: books.replayed,
            reused: books.reused,
            closed: books.closed.clone(),
            exchanges: books.exchanges,
            failed: books.failed,
            ..Self::default()
        }
    }

    /// A connection that is alive.
    pub(super) fn count(&mut self, state: State, (exchanges, failed): (u64, u64)) {
        *match state {
            State::Opening => &mut self.opening,
            State::Idle => &mut self.idle,
            State::Active => &mut self.active,
            State::Draining { .. }
            | State::HalfClosing
            | State::HalfClosed
            | State::Muted
            | State::Upgraded { .. } => &mut self.draining,
            State::Closed => return,
            _ => &mut self.closing,
        } += 1;
        self.exchanges += exchanges;
        self.failed += failed;
        self.reused += (exchanges + failed).saturating_sub(1);
    }

    /// A connection that is gone and not in the books yet.
    pub(super) fn count_closed(&mut self, report: &CloseReport) {
        let mut books = Books::default();
        books.close(report);
        self.add(&Self::of(&books));
    }

    pub(super) fn add(&mut self, other: &Self) {
        let Self { opening, idle, active, draining, closing, waiting, .. } = self;
        for (mine, theirs) in [
            (opening, other.opening),
            (idle, other.idle),
            (active, other.active),
            (draining, other.draining),
            (closing, other.closing),
            (waiting, other.waiting),
        ] {
            *mine += theirs;
        }
        self.opened += other.opened;
        self.not_opened += other.not_opened;
        self.reused += other.reused;
        self.replayed += other.replayed;
        self.exchanges += other.exchanges;
        self.failed += other.failed;
        for (code, count) in &other.closed {
            *self.closed.entry(code).or_default() += count;
        }
    }

    /// Connections that are alive: opening, open or on their way out.
    #[must_use]
    pub fn alive(&self) -> u64 {
        self.opening + self.idle + self.active + self.draining + self.closing
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { opening, idle, active, draining, closing, waiting, .. } = self;
        write!(
            f,
            "{opening} opening, {idle} idle, {active} active, {draining} draining, {closing} closing, "
        )?;
        write!(f, "{waiting} waiting; {} opened, {} reused", self.opened, self.reused)?;
        write!(f, "; {} done, {} failed", self.exchanges, self.failed)?;
        if self.replayed > 0 {
            write!(f, "; {} sent again", self.replayed)?;
        }
        for (code, count) in &self.closed {
            write!(f, "; {count} {code}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "all: {}", self.total)?;
        for OriginStats { origin, partition, tally } in &self.origins {
            write!(f, "\n{origin}")?;
            if let Some(partition) = partition {
                write!(f, " [{partition}]")?;
            }
            write!(f, ": {tally}")?;
        }
        Ok(())
    }
}
