//! adieu against real servers, in one binary.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "the rule is for the crate, not for its users")]

mod apache;
mod capture;
mod client;
mod comparison;
mod door;
mod fate;
mod haproxy;
mod lab;
mod nginx;
mod s_server;
mod support;
mod tunnel;
