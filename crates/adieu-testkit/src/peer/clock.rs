//! The only place of the crate that reads a clock.

use std::time::Instant;

/// The time on the wall: a peer on real sockets lives in real time.
#[expect(clippy::disallowed_methods, reason = "the threads of a peer wait for real sockets, in real time")]
pub(super) fn now() -> Instant {
    Instant::now()
}
