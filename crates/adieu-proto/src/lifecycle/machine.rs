//! The machine with its memory: since when, why, until when, which orders wait, what was said by whom.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::journal::{Entry, Journal, Outcome};
use super::mode::LINGER;
use super::{
    Action, CloseKind, CloseMode, CloseReason, Ended, First, Goodbye, Input, Parting, Phase, Request, Side,
    Signal, Signals, State, next, next_of_exchange,
};

/// The life of one connection.
///
/// Methods come in four families, called in this order by a driver:
/// getters (`&self`); `handle_*` for facts; commands ([`retire`](Self::retire), [`close`](Self::close),
/// [`begin_exchange`](Self::begin_exchange), [`end_exchange`](Self::end_exchange)); and
/// [`poll_action`](Self::poll_action) until `None`, then [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Lifecycle {
    state: State,
    born: Instant,
    since: Instant,
    changes: u32,
    reason: Option<CloseReason>,
    /// Why exchanges failed, where that is another cause than the first.
    failed_by: Option<CloseReason>,
    ended: Option<Ended>,
    limits: LifecycleLimits,
    /// How long nothing may be in flight, by what others of its kind have taught.
    learned_idle: Option<Duration>,
    /// Set by a close: how long to linger, instead of what `limits` says.
    linger: Option<Duration>,
    /// Set by a close or a policy only: when exchanges still in flight are failed.
    until: Option<Instant>,
    /// Whether the end of our side alone was ordered and is not said yet.
    half: Half,
    /// When the driver began to carry out the goodbye; `linger` runs from here.
    goodbye_begun: Option<Instant>,
    in_flight: u32,
    begun: u64,
    done: u64,
    failed: u64,
    sent: Signals,
    received: Signals,
    spent: Spent,
    actions: VecDeque<Action>,
    journal: Journal,
}

/// How long a connection may stay in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LifecycleLimits {
    /// All handshakes together. Default: no limit (each has its own).
    pub opening: Option<Duration>,
    /// Nothing in flight; before the first exchange a second at least. Default: no limit (the pool sets one).
    pub idle: Option<Duration>,
    /// From the first handshake; then no new exchange begins. Default: no limit.
    pub age: Option<Duration>,
    /// How much longer than `age` an exchange in flight may take; `None`: as long as it likes. Default: `None`.
    pub age_grace: Option<Duration>,
    /// Exchanges in all. Default: no limit.
    pub exchanges: Option<u64>,
    /// From the start of our goodbye to the peer's end, where no close says otherwise. Default 2 s.
    pub linger: Duration,
    /// The moment a peer gets to end first when it announced its end. Default 100 ms.
    pub yielding: Duration,
}

/// So long at least an open connection waits for its first exchange.
const FIRST_USE: Duration = Duration::from_secs(1);

/// Whether the end of our side alone was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    /// It was ordered, and the transport has not taken all of it.
    Owed,
    /// It was, or was never ordered.
    Said,
}

/// Time spent on the way out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    pub(super) draining: Duration,
    pub(super) closing: Duration,
    pub(super) lingering: Duration,
}

impl Lifecycle {
    /// A connection whose first handshake begins at `now`.
    #[must_use]
    pub fn new(now: Instant, limits: LifecycleLimits) -> Self {
        Self {
            state: State::Opening,
            born: now,
            since: now,
            changes: 0,
            reason: None,
            failed_by: None,
            ended: None,
            limits,
            learned_idle: None,
            linger: None,
            until: None,
            half: Half::Said,
            goodbye_begun: None,
            in_flight: 0,
            begun: 0,
            done: 0,
            failed: 0,
            sent: Signals::default(),
            received: Signals::default(),
            spent: Spent::default(),
            actions: VecDeque::new(),
            journal: Journal::default(),
        }
    }

    /// What happened since it was last taken, where somebody wants to know.
    pub fn journal(&mut self) -> &mut Journal {
        &mut self.journal
    }

    /// Where the connection is.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    fn enter(&mut self, now: Instant, state: State) {
        (self.state, self.since) = (state, now);
        self.changes = self.changes.wrapping_add(1);
    }

    /// How often the state changed: another number means that it did since.
    #[must_use]
    pub fn changes(&self) -> u32 {
        self.changes
    }

    /// Since when it is there.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// When its first handshake began.
    #[must_use]
    pub fn born(&self) -> Instant {
        self.born
    }

    /// Why it ends or ended: the first cause, never replaced.
    #[must_use]
    pub fn reason(&self) -> Option<&CloseReason> {
        self.reason.as_ref()
    }

    /// How it ended; `None` before `Closed`.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Exchanges that ended well and those that failed.
    #[must_use]
    pub fn exchanges(&self) -> (u64, u64) {
        (self.done, self.failed)
    }

    /// Exchanges in flight.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// What each side said: ours, the peer's.
    #[must_use]
    pub fn signals(&self) -> (Signals, Signals) {
        (self.sent, self.received)
    }

    pub(super) fn spent(&self, now: Instant) -> Spent {
        let mut spent = self.spent;
        spent.add(self.state, self.since, now);
        spent
    }

    /// Reports a fact that ends nothing: `Opened`, `RequestSent`, `GoodbyeSent`, `Upgrade`, `EndOurs`.
    pub fn handle(&mut self, now: Instant, input: Input) {
        if let Some(to) = next_of_exchange(self.state, input) {
            self.journal.note(now, || Entry::State { from: self.state, to });
            self.enter(now, to);
            return;
        }
        if matches!(input, Input::GoodbyeSent | Input::WriteBroken | Input::Broken) {
            self.half = Half::Said;
        }
        let Some((to, actions)) = next(self.state, input) else { return };
        // A side counts as ended once its end is ordered. Until that is said, the way out is that of a goodbye: bounded,
        // and a reset if it cannot be said.
        let state = match (to, input) {
            (State::Lingering, _) if self.half == Half::Owed => State::Closing { theirs: Side::Open },
            (State::Closed, Input::PeerDone(_)) if self.half == Half::Owed => {
                State::Closing { theirs: Side::Ended }
            }
            (to, _) => to,
        };
        if state != to {
            self.goodbye_begun = Some(now);
        }
        if state != self.state {
            self.spent.add(self.state, self.since, now);
            self.note_end(input, state);
            if state == State::Lingering && !matches!(self.state, State::Closing { .. }) {
                // Our FIN may have been said long ago: the wait for theirs runs from now.
                self.goodbye_begun = Some(now);
            }
            self.journal.note(now, || Entry::State { from: self.state, to: state });
            self.enter(now, state);
        }
        for &action in actions.as_slice() {
            match action {
                Action::DropTransport(Parting::Plain) if state != to => continue,
                Action::SayGoodbye(Goodbye::HalfOnly) => self.half = Half::Owed,
                Action::LeavePool => self
                    .journal
                    .note(now, || Entry::Retired(self.reason.clone().unwrap_or(CloseReason::RuntimeGone))),
                Action::FailExchanges => {
                    if self.in_flight > 0 {
                        self.journal.note(now, || Entry::Ended(self.begun, Outcome::Failed));
                    }
                    self.failed += u64::from(self.in_flight);
                    self.in_flight = 0;
                }
                // After the peer's reset there is nothing left to reset.
                Action::DropTransport(Parting::Reset) if !self.received.contains(Signal::Rst) => {
                    self.sent.insert(Signal::Rst);
                }
                _ => {}
            }
            self.actions.push_back(action);
        }
    }

    /// Reports a fact that ends the connection or will. The first reason given is the one that is kept.
    pub fn handle_end(&mut self, now: Instant, input: Input, reason: CloseReason) {
        if let Some((_, actions)) = next(self.state, input) {
            let fails = actions.as_slice().contains(&Action::FailExchanges) && self.in_flight > 0;
            if fails {
                self.failed_by.get_or_insert_with(|| reason.clone());
            }
            // The ends that say more than the first cause.
            let says_more = match &self.reason {
                // Our half-close, and what the peer made of it.
                Some(CloseReason::User(CloseKind::Half)) => reason == CloseReason::HalfCloseRefused,
                // The body was to end with the connection, and something else ended both.
                Some(CloseReason::BodyUntilClose) => fails,
                Some(CloseReason::PeerAskedClose | CloseReason::RequestAskedClose) => {
                    reason == CloseReason::TlsTruncated
                }
                // One side of it ended in order, the other otherwise.
                Some(CloseReason::Upgraded) => matches!(
                    reason,
                    CloseReason::TlsTruncated
                        | CloseReason::TlsAlert(_)
                        | CloseReason::TlsBroken(_)
                        | CloseReason::Reset
                        | CloseReason::Network(_)
                        | CloseReason::TimedOut(Phase::UpgradeIdle | Phase::UpgradeHalfClosed)
                ),
                _ => false,
            };
            // And whatever brought a connection on its way out, it had to go at once.
            if says_more || reason == CloseReason::Shed {
                self.reason = None;
            }
            self.reason.get_or_insert(reason);
        }
        self.handle(now, input);
    }

    /// Reports that the peer's end was read: what it said, and why that ends the connection if nothing did yet.
    pub fn handle_peer_end(&mut self, now: Instant, input: Input, signal: Signal, reason: CloseReason) {
        self.received.insert(signal);
        self.handle_end(now, input, reason);
    }

    /// Notes what we said, as the driver said it.
    pub fn handle_said(&mut self, signal: Signal) {
        self.sent.insert(signal);
    }

    /// Notes what the peer said, where that is not the fact to report.
    pub fn handle_heard(&mut self, signal: Signal) {
        self.received.insert(signal);
    }

    /// Notes that the driver begins to carry out the goodbye: `linger` runs from now.
    pub fn handle_goodbye_begun(&mut self, now: Instant) {
        self.goodbye_begun.get_or_insert(now);
    }

    /// Notes that the reset that was ordered could not be made: the transport was only dropped.
    pub fn handle_reset_unable(&mut self) {
        self.sent.remove(Signal::Rst);
    }

    /// Looks at the clock. `request` tells whether what is in flight would be cut short. Harmless when early.
    pub fn handle_timeout(&mut self, now: Instant, request: Request) {
        // A deadline leads down the ladder, to a state whose own deadline may have passed as well.
        while self.poll_timeout().is_some_and(|at| at <= now) {
            let old = self.age_at().is_some_and(|at| at <= now);
            let reason = match self.state {
                State::Active => {
                    let until = self.limits.age_grace.and_then(|grace| now.checked_add(grace));
                    self.retire(now, until, CloseReason::MaxAge);
                    continue;
                }
                State::Opening => CloseReason::TimedOut(Phase::Opening),
                State::Idle if old => CloseReason::MaxAge,
                State::Idle => CloseReason::IdleLimit,
                _ => CloseReason::TimedOut(Phase::Drain),
            };
            self.handle_end(now, Input::Deadline(request), reason);
        }
    }

    /// The peer said how long it keeps an idle connection; less than what is allowed here counts.
    pub fn limit_idle(&mut self, limit: Duration) {
        self.limits.idle = Some(self.limits.idle.map_or(limit, |own| own.min(limit)));
    }

    /// The peer said how many more exchanges it will do; fewer than what is allowed here count.
    pub fn limit_exchanges(&mut self, more: u64) {
        let limit = self.ended_or_in_flight().saturating_add(more);
        self.limits.exchanges = Some(self.limits.exchanges.map_or(limit, |own| own.min(limit)));
    }

    /// Peers were seen to end idle connections after a little more than this; less than what is allowed here counts.
    /// `None`: nothing is known of them any more.
    pub fn learn_idle(&mut self, limit: Option<Duration>) {
        self.learned_idle = limit;
    }

    /// How long nothing may be in flight, by what others of its kind have taught.
    #[must_use]
    pub fn learned_idle(&self) -> Option<Duration> {
        self.learned_idle
    }

    /// How long nothing may be in flight.
    #[must_use]
    pub fn idle_limit(&self) -> Option<Duration> {
        match (self.limits.idle, self.learned_idle) {
            (Some(own), Some(learned)) => Some(own.min(learned)),
            (own, learned) => own.or(learned),
        }
    }

    /// No wait of an idle connection, or for the end of its age, runs out sooner than this after it began. An age that may
    /// pass before the first use counts from then on, all at once.
    #[must_use]
    pub fn shortest_wait(&self) -> Option<Duration> {
        match self.limits.age {
            Some(age) if age < FIRST_USE => Some(Duration::ZERO),
            _ => self.idle_limit(),
        }
    }

    fn age_at(&self) -> Option<Instant> {
        self.born.checked_add(self.limits.age?)
    }

    /// No new exchange from now on. Only a close or a policy gives `until`; an earlier one shortens.
    pub fn retire(&mut self, now: Instant, until: Option<Instant>, reason: CloseReason) {
        self.shorten(until);
        if until.is_some() && matches!(self.state, State::Upgraded { .. }) {
            // It goes on until its holder or the deadline ends it, but this is why it will.
            self.reason.get_or_insert_with(|| reason.clone());
        }
        self.handle_end(now, Input::Retire { until }, reason);
    }

    /// Closes on purpose. A stricter mode escalates, a laxer one changes nothing but shortens what is left.
    pub fn close(&mut self, now: Instant, mode: CloseMode, request: Request, reason: CloseReason) {
        // The first close says how long to linger; a later one, or one after the goodbye began, only shortens.
        let longest = if self.goodbye_begun.is_some() { Some(self.linger_limit()) } else { self.linger };
        let linger = mode.linger_limit();
        self.linger = Some(longest.map_or(linger, |longest| longest.min(linger)));
        let until = mode.drain_limit().and_then(|limit| now.checked_add(limit));
        match mode.kind() {
            CloseKind::Graceful => self.retire(now, until, reason),
            CloseKind::Half => {
                self.shorten(until);
                self.handle_end(now, Input::HalfClose, reason);
            }
            CloseKind::Now => self.handle_end(now, Input::CloseNow(request), reason),
            CloseKind::Abort => self.handle_end(now, Input::Abort, reason),
        }
    }

    /// An exchange begins. To be asked only while [`State::is_open`].
    pub fn begin_exchange(&mut self, now: Instant) {
        debug_assert!(self.state.is_open(), "an exchange began on a connection that is {}", self.state);
        self.in_flight += 1;
        self.begun += 1;
        if self.in_flight == 1 {
            self.handle(now, Input::Busy);
        }
        self.journal.note(now, || Entry::Began(self.begun));
    }

    /// An exchange ended well, its request whole.
    pub fn end_exchange(&mut self, now: Instant, first: First) {
        debug_assert!(self.in_flight > 0, "an exchange ended that never began");
        self.note_done(now);
        if self.limits.exchanges.is_some_and(|limit| self.ended_or_in_flight() >= limit) {
            self.handle_end(now, Input::Retire { until: None }, CloseReason::MaxExchanges);
        }
        if self.in_flight == 0 {
            self.handle(now, Input::Quiet(first));
        }
    }

    fn ended_or_in_flight(&self) -> u64 {
        self.done + self.failed + u64::from(self.in_flight)
    }

    fn note_done(&mut self, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.done += 1;
        self.journal.note(now, || Entry::Ended(self.begun, Outcome::Done));
    }

    /// An exchange was taken back before anything of it reached the transport: it counts neither way.
    pub fn withdraw_exchange(&mut self, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.journal.note(now, || Entry::Ended(self.begun, Outcome::Withdrawn));
        if self.in_flight == 0 {
            self.handle(now, Input::Quiet(First::Us));
        }
    }

    /// The last exchange ended, its response whole, but its request cut short. `input` tells whether the peer can
    /// still be shown that by a reset: `Abort`, or `Broken`.
    pub fn end_exchange_cut(&mut self, now: Instant, input: Input, reason: CloseReason) {
        self.note_done(now);
        self.handle_end(now, input, reason);
    }

    /// An exchange became an upgraded connection: it counts as done.
    pub fn upgrade(&mut self, now: Instant) {
        self.note_done(now);
        self.handle(now, Input::Upgrade);
    }

    /// Whether an order waits to be carried out.
    #[must_use]
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// The next order, first in first out.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) would do something; `None`: never by itself.
    ///
    /// In `Closing` the clock starts with [`handle_goodbye_begun`](Self::handle_goodbye_begun): before that, an
    /// order waits for the driver, which may have to wait for its turn to leave.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (since, linger) = (self.since, self.linger_limit());
        match self.state {
            State::Opening => self.limits.opening.and_then(|limit| since.checked_add(limit)),
            State::Idle => {
                let idle = self.idle_limit().and_then(|limit| since.checked_add(limit));
                let at = [idle, self.age_at()].into_iter().flatten().min()?;
                // However short the limits are, whoever had it opened gets to use it.
                if self.begun == 0 { Some(at.max(since.checked_add(FIRST_USE)?)) } else { Some(at) }
            }
            State::Yielding => since.checked_add(self.limits.yielding),
            State::Draining { .. }
            | State::HalfClosing
            | State::HalfClosed
            | State::Muted
            | State::Upgraded { .. } => self.until,
            State::Closing { .. } => self.goodbye_begun?.checked_add(linger),
            State::Lingering => self.goodbye_begun.unwrap_or(since).checked_add(linger),
            State::Active => self.age_at(),
            State::Closed => None,
        }
    }

    /// How long the peer's end is waited for, from the start of our goodbye.
    fn linger_limit(&self) -> Duration {
        self.linger.unwrap_or(self.limits.linger)
    }

    fn shorten(&mut self, until: Option<Instant>) {
        self.until = match (self.until, until) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    /// Keeps how the connection ended, at the moment it does.
    fn note_end(&mut self, input: Input, to: State) {
        if to != State::Closed {
            return;
        }
        let truncated = [&self.reason, &self.failed_by].into_iter().flatten().any(|reason| {
            use CloseReason::{HalfCloseRefused, PeerEndedEarly, TlsTruncated};
            matches!(reason, PeerEndedEarly | TlsTruncated | HalfCloseRefused)
        });
        let reset = self.received.contains(Signal::Rst) || self.reason == Some(CloseReason::Reset);
        self.ended = Some(match (self.state, input) {
            (State::Muted, _) if reset => Ended::Reset,
            (State::Muted, _) => Ended::Broken,
            // It did say goodbye, be it too early; what TCP made of ours is no more than that.
            (State::Lingering, Input::Deadline(_) | Input::WriteBroken | Input::Broken)
            | (State::Closing { .. }, Input::WriteBroken | Input::Broken)
                if self.received.contains(Signal::CloseNotify) =>
            {
                if truncated {
                    Ended::Truncated
                } else {
                    Ended::Clean
                }
            }
            // Our goodbye found nobody: an ending, not an error.
            (State::Closing { theirs: Side::Ended }, Input::WriteBroken) => Ended::Clean,
            (State::Closing { .. } | State::Lingering, Input::WriteBroken) => Ended::Reset,
            (_, Input::Abort)
            | (State::Upgraded { .. }, Input::CloseNow(_) | Input::Deadline(_) | Input::Violation(..)) => {
                Ended::Aborted
            }
            (
                _,
                Input::CloseNow(Request::Cut)
                | Input::Deadline(Request::Cut)
                | Input::Violation(_, Request::Cut),
            ) => Ended::Aborted,
            (State::Closing { .. } | State::Lingering, Input::Deadline(_)) => Ended::PeerSilent,
            _ if reset => Ended::Reset,
            (_, Input::Broken | Input::WriteBroken) => Ended::Broken,
            _ if truncated => Ended::Truncated,
            (State::Opening, _) => Ended::Aborted,
            _ => Ended::Clean,
        });
    }
}

impl Default for LifecycleLimits {
    fn default() -> Self {
        Self {
            opening: None,
            idle: None,
            age: None,
            age_grace: None,
            exchanges: None,
            linger: LINGER,
            yielding: Duration::from_millis(100),
        }
    }
}

impl Spent {
    fn add(&mut self, state: State, since: Instant, now: Instant) {
        let spent = match state {
            State::Draining { .. } | State::HalfClosing | State::HalfClosed | State::Muted => {
                &mut self.draining
            }
            State::Yielding | State::Closing { .. } => &mut self.closing,
            State::Lingering => &mut self.lingering,
            _ => return,
        };
        *spent += now.saturating_duration_since(since);
    }
}
