//! The tests of `adieu` from outside, in one binary.
//!
//! Real sockets (`adieu_testkit::peer`) show what only a kernel can show, with short real limits. Everything that
//! is about time runs on a paused clock over the in-memory transport (`support`).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "the rule is for the crate, not for its users")]

mod body;
mod client;
mod close_modes;
mod connect;
mod dropping;
mod fate;
mod floors;
mod hard_cases;
mod limits;
mod many_closes;
mod props;
mod races;
mod sender;
mod smoke;
mod support;
mod timeouts;
#[cfg(feature = "tls")]
mod tls;
mod upgrades;
