//! How many requests to one origin may be sent again: a part of the traffic, so that a server in trouble does not get
//! more of it.

use std::time::{Duration, Instant};

/// The replays of one origin, second by second. Requests are counted as they come; the clock is looked at only when
/// something is to be sent again.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// Requests since `began`.
    requests: u64,
    /// The second that is being counted, once there was a replay.
    began: Option<Instant>,
    spent: u64,
    /// What the traffic before allows in this second.
    allowed: u64,
}

/// Whether a replay may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it may or it may not")]
pub enum Leave {
    /// It may.
    Granted,
    /// There were too many.
    Refused,
}

const SECOND: Duration = Duration::from_secs(1);
/// So many a second may always be.
const ALWAYS: u64 = 10;
/// One of so many requests.
const SHARE: u64 = 5;

impl Budget {
    /// A request came.
    pub(super) fn note_request(&mut self) {
        self.requests += 1;
    }

    /// A request is to be sent again.
    pub(super) fn spend(&mut self, now: Instant) -> Leave {
        let began = *self.began.get_or_insert(now);
        let passed = now.saturating_duration_since(began);
        if passed >= SECOND {
            // Requests a second, over however long nothing was sent again.
            let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
            self.allowed = self.requests.saturating_mul(1000) / millis / SHARE;
            (self.requests, self.spent, self.began) = (0, 0, Some(now));
        }
        if self.spent >= self.allowed.max(self.requests / SHARE).max(ALWAYS) {
            return Leave::Refused;
        }
        self.spent += 1;
        Leave::Granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::tests::start;

    fn granted(budget: &mut Budget, now: Instant, tries: usize) -> usize {
        (0..tries).filter(|_| budget.spend(now) == Leave::Granted).count()
    }

    #[test]
    fn ten_a_second_may_always_be() {
        let (mut budget, start) = (Budget::default(), start());
        assert_eq!(granted(&mut budget, start, 50), 10);
        assert_eq!(granted(&mut budget, start + SECOND / 2, 50), 0);
        assert_eq!(granted(&mut budget, start + SECOND, 50), 10);
        assert_eq!(granted(&mut budget, start + SECOND * 100, 50), 10);
    }

    #[test]
    fn a_fifth_of_the_traffic_may_be() {
        let (mut budget, start) = (Budget::default(), start());
        assert_eq!(granted(&mut budget, start, 1), 1);
        for _ in 0..1_000 {
            budget.note_request();
        }
        // Of this second, and of the one before.
        assert_eq!(granted(&mut budget, start + SECOND / 2, 1_000), 199);
        assert_eq!(granted(&mut budget, start + SECOND, 1_000), 200);
        assert_eq!(granted(&mut budget, start + SECOND * 2, 1_000), 10);
    }

    #[test]
    fn traffic_of_long_ago_is_spread_over_the_time_since() {
        let (mut budget, start) = (Budget::default(), start());
        assert_eq!(granted(&mut budget, start, 1), 1);
        for _ in 0..1_000 {
            budget.note_request();
        }
        assert_eq!(granted(&mut budget, start + SECOND * 10, 1_000), 20);
    }
}
