//! The built program against scripted peers on loopback.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]
#![expect(clippy::disallowed_methods, reason = "tests look at the clock")]

mod bodies;
mod closing;
mod demo;
mod exits;
mod program;
mod proxies;
mod queue;
mod redirects;
mod replay;
mod report;
mod requests;
mod responses;
mod reuse;
mod tls;
