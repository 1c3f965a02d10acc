//! The only place of the program that reads the clock.

use std::time::{Duration, Instant};

/// The time on the wall: the program talks to real peers.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// In milliseconds, with microseconds behind the point, as reports have it.
pub(crate) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
