//! The deadlines of one exchange: what runs, since when, and which passes next.

use std::time::Instant;

use crate::lifecycle::{Phase, Timeouts};

/// Since when each wait of the exchange in flight runs; `None`: it does not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clocks {
    /// The exchange itself.
    pub(super) exchange: Option<Instant>,
    /// The transport takes nothing.
    pub(super) stalled: Option<Instant>,
    /// The body waits for 100 (Continue).
    pub(super) continue_wait: Option<Instant>,
    /// The request is out, the response head is not there.
    pub(super) head: Option<Instant>,
    /// The reader waits for more of the body.
    pub(super) gap: Option<Instant>,
    /// An unread body is being discarded.
    pub(super) discard: Option<Instant>,
}

/// What a clock that ran out means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// Send the body that was held back.
    Continue,
    /// The exchange failed.
    TimedOut(Phase),
}

impl Clocks {
    /// When the next clock runs out.
    pub(super) fn next(&self, limits: &Timeouts) -> Option<Instant> {
        self.alarms(limits).into_iter().filter_map(|(at, _)| at).min()
    }

    /// The clock that ran out first, if any did.
    pub(super) fn ran_out(&self, limits: &Timeouts, now: Instant) -> Option<Alarm> {
        let passed = self.alarms(limits).into_iter().filter_map(|(at, alarm)| Some((at?, alarm)));
        passed.filter(|(at, _)| *at <= now).min_by_key(|(at, _)| *at).map(|(_, alarm)| alarm)
    }

    fn alarms(&self, limits: &Timeouts) -> [(Option<Instant>, Alarm); 6] {
        let at =
            |since: Option<Instant>, limit: Option<_>| since.zip(limit).and_then(|(a, b)| a.checked_add(b));
        [
            (at(self.exchange, limits.exchange), Alarm::TimedOut(Phase::Exchange)),
            (at(self.stalled, limits.write_stall), Alarm::TimedOut(Phase::WriteStall)),
            (at(self.continue_wait, limits.continue_wait), Alarm::Continue),
            (at(self.head, limits.response_head), Alarm::TimedOut(Phase::ResponseHead)),
            (at(self.gap, limits.body_gap), Alarm::TimedOut(Phase::BodyGap)),
            (at(self.discard, Some(limits.discard)), Alarm::TimedOut(Phase::Discard)),
        ]
    }
}
