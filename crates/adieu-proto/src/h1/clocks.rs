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
    /// The upgraded connection carried something.
    pub(super) carried: Option<Instant>,
}

/// What a clock that ran out means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// Send the body that was held back.
    Continue,
    /// The small rest of an unread body did not come in time.
    Discard,
    /// The exchange failed.
    TimedOut(Phase),
}

impl Clocks {
    /// When the next clock runs out.
    pub(super) fn next(&self, limits: &Timeouts) -> Option<Instant> {
        let mut next = None;
        self.visit(limits, |at, _| next = Some(next.map_or(at, |next: Instant| next.min(at))));
        next
    }

    /// The clock that ran out first, if any did.
    pub(super) fn ran_out(&self, limits: &Timeouts, now: Instant) -> Option<Alarm> {
        let mut first: Option<(Instant, Alarm)> = None;
        self.visit(limits, |at, alarm| {
            if at <= now && first.is_none_or(|(first, _)| at < first) {
                first = Some((at, alarm));
            }
        });
        first.map(|(_, alarm)| alarm)
    }

    /// Each clock that runs, with the moment at which it runs out.
    fn visit(&self, limits: &Timeouts, mut each: impl FnMut(Instant, Alarm)) {
        let mut see = |since: Option<Instant>, limit, alarm| {
            // A limit beyond the end of time is none.
            if let (Some(since), Some(limit)) = (since, limit)
                && let Some(at) = since.checked_add(limit)
            {
                each(at, alarm);
            }
        };
        see(self.exchange, limits.exchange, Alarm::TimedOut(Phase::Exchange));
        see(self.stalled, limits.write_stall, Alarm::TimedOut(Phase::WriteStall));
        see(self.continue_wait, limits.continue_wait, Alarm::Continue);
        see(self.head, limits.response_head, Alarm::TimedOut(Phase::ResponseHead));
        see(self.gap, limits.body_gap, Alarm::TimedOut(Phase::BodyGap));
        see(self.discard, Some(limits.discard), Alarm::Discard);
    }
}
