//! What must be true after each operation, and at the end.

use std::time::{Duration, Instant};

use adieu_fuzz::ladder::rank;
use adieu_fuzz::wire::{Extent, extent};
use adieu_proto::h1::Engine;
use adieu_proto::lifecycle::{
    CloseKind, CloseMode, CloseReason, CloseReport, ConnectionId, ExchangePhase, Parting, Phase, State,
};

use crate::world::{Farewell, Peer, Told, Transport, World};

/// What one look shows that may only go one way.
pub struct Seen {
    state: State,
    counts: [u64; 6],
    reason: Option<CloseReason>,
    report: CloseReport,
}

impl Seen {
    pub fn of(engine: &Engine, now: Instant) -> Self {
        let report = engine.report(now, ConnectionId::new(1));
        Self {
            state: engine.state(),
            counts: [
                report.exchanges,
                report.failed,
                report.bytes_sent,
                report.bytes_received,
                report.bytes_discarded,
                engine.exchange(),
            ],
            reason: engine.life().reason().cloned(),
            report,
        }
    }
}

impl World {
    /// After each operation.
    pub fn check(&mut self) {
        let seen = Seen::of(&self.engine, self.now);
        self.check_order(&seen);
        self.check_counts(&seen);
        self.check_bounds();
        let engine = &self.engine;
        assert_eq!(engine.phase() == ExchangePhase::None, engine.life().in_flight() == 0);
        assert_eq!(engine.life().ended().is_some(), engine.state() == State::Closed);
        assert!(!engine.is_abandoned() || self.caller.abandoned, "abandoned by nobody");
        let silent = engine.state().is_open() || matches!(engine.state(), State::Upgraded { .. });
        assert!(silent || seen.reason.is_some(), "{} without a reason", engine.state());
        assert!(!engine.state().is_open() || seen.reason.is_none(), "a reason without an end");
        if engine.state() == State::Closed {
            assert!(!engine.wants_read() && !engine.wants_write() && !engine.wants_body());
            assert_eq!(engine.poll_timeout(), None);
        }
        let snapshot = engine.snapshot(self.now, self.id());
        assert_eq!((snapshot.done, snapshot.failed), engine.life().exchanges());
        assert!(snapshot.in_state <= snapshot.age);
        self.seen = seen;
    }

    /// Down the ladder only; the first reason is kept but for those that say more; after the end nothing changes.
    fn check_order(&self, seen: &Seen) {
        let (from, to) = (self.seen.state, seen.state);
        assert!(
            rank(from) <= rank(to) || (from, to) == (State::Active, State::Idle),
            "from {from:?} to {to:?}"
        );
        for (before, after) in self.seen.counts.iter().zip(&seen.counts) {
            assert!(before <= after, "a count went down: {:?} {:?}", self.seen.counts, seen.counts);
        }
        match (&self.seen.reason, &seen.reason) {
            (None, _) | (Some(_), Some(CloseReason::Shed)) => {}
            (Some(before), Some(after)) if before == after => {}
            (Some(CloseReason::User(CloseKind::Half)), Some(CloseReason::HalfCloseRefused)) => {}
            (Some(CloseReason::BodyUntilClose), Some(_)) => {}
            (
                Some(CloseReason::PeerAskedClose | CloseReason::RequestAskedClose),
                Some(CloseReason::TlsTruncated),
            ) => {}
            // One side of it ended in order, the other otherwise; but a goodbye that is not answered is no such end.
            (Some(CloseReason::Upgraded), Some(after)) => {
                assert_ne!(*after, CloseReason::TimedOut(Phase::Drain), "in place of Upgraded");
            }
            (before, after) => panic!("{after:?} in place of {before:?}"),
        }
        if from == State::Closed {
            let (before, after) = (&self.seen.report, &seen.report);
            assert_eq!((&before.reason, before.ended), (&after.reason, after.ended));
            assert_eq!(self.seen.counts[..5], seen.counts[..5]);
        }
    }

    /// Every exchange that began ends exactly once, and the bytes are counted.
    fn check_counts(&self, seen: &Seen) {
        let [done, failed, sent, received, discarded, exchange] = seen.counts;
        let flying = u64::from(self.engine.life().in_flight());
        assert_eq!(self.caller.begun, exchange);
        assert_eq!(self.caller.begun, done + failed + flying + self.caller.withdrawn);
        assert_eq!((sent, received), (self.transport.sent, self.transport.received));
        assert!(discarded <= received && self.caller.data <= received);
        if done > self.seen.counts[0] && !self.caller.abandoned {
            let until_close =
                self.caller.told == (Told::Head { left: None }) && self.transport.peer != Peer::Talks;
            assert!(
                self.caller.told == Told::Over || (until_close && self.engine.is_response_whole()),
                "done, but its caller was told {:?}",
                self.caller.told
            );
        }
    }

    /// What is kept in memory.
    fn check_bounds(&mut self) {
        let limits = self.config.limits;
        let kept = self.engine.room().len();
        assert!(kept <= limits.head + limits.read_ahead + 300, "{kept} bytes are kept");
    }

    /// Closes it and lets nothing but time pass: it must be gone soon, and its caller must know.
    pub fn outlive(mut self, mode: CloseMode) {
        self.engine.close(self.now, mode);
        self.check();
        for _ in 0..16 {
            self.obey();
            if let Farewell::Ordered(goodbye) = self.driver.goodbye {
                self.driver.goodbye = Farewell::Begun(goodbye);
                self.engine.handle_goodbye_begun(self.now);
            }
            let Some(at) = self.engine.poll_timeout() else { break };
            assert!(at <= self.now + Duration::from_secs(30), "{} for too long", self.engine.state());
            self.now = self.now.max(at);
            self.look_at_the_clock();
            self.check();
        }
        self.obey();
        assert_eq!(self.engine.state(), State::Closed, "an immortal connection");
        while self.look() {}
        self.check();
        let known = self.caller.abandoned
            || matches!(self.caller.told, Told::Never | Told::Over | Told::Failed)
            || self.engine.is_response_whole();
        assert!(known, "its caller was left with {:?}", self.caller.told);
        self.after_the_end();
    }

    /// Whatever is still asked of it, nothing comes.
    fn after_the_end(mut self) {
        let now = self.now + Duration::from_secs(1);
        self.engine.close(now, CloseMode::abort());
        self.engine.retire(now, None, CloseReason::HandlesDropped);
        self.engine.handle_timeout(now);
        self.engine.abandon(now);
        self.engine.fail_body(now);
        assert_eq!(self.engine.poll_action(), None);
        self.check();
        let report = self.engine.report(now, self.id());
        assert!(!report.to_string().is_empty());
        assert!(!self.engine.snapshot(now, self.id()).to_string().is_empty());
        assert!(report.draining + report.closing + report.lingering <= report.age);
    }
}

impl Transport {
    /// A request that was cut short is never followed by a goodbye: the peer must not take it for whole.
    pub fn check_goodbye(&self) {
        assert_ne!(extent(&self.taken), Extent::Part, "a goodbye after a request that was cut short");
    }

    /// What was cut short ends in a reset, unless both directions are gone.
    pub fn check_parting(&self, parting: Parting) {
        let gone = self.broken || (!self.writable && self.peer != Peer::Talks);
        if extent(&self.taken) == Extent::Part && !gone {
            assert_eq!(parting, Parting::Reset, "a request that was cut short looks whole");
        }
    }
}
