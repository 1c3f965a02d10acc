//! The scripted peer against plain `std::net`, rustls and tokio clients, and the in-memory transport against itself.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]
#![expect(clippy::disallowed_methods, reason = "tests spawn on their own runtime, and look at the clock")]

mod client;
mod memory_ends;
mod memory_flow;
mod peer_async;
mod peer_ends;
mod peer_limits;
mod peer_many;
mod peer_order;
mod peer_reads;
mod peer_sends;
#[cfg(feature = "tls")]
mod peer_tls;
#[cfg(feature = "tls")]
mod peer_tls_ends;
#[cfg(unix)]
mod peer_unix;
#[cfg(feature = "tls")]
mod tls_client;
#[cfg(feature = "world")]
mod world;
