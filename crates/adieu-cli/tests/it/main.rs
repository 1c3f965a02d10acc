//! The built program against scripted peers on loopback.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod bodies;
mod closing;
mod demo;
mod exits;
mod program;
mod redirects;
mod report;
mod requests;
mod responses;
mod reuse;
