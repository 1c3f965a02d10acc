//! The core of adieu: what a connection's life is and what HTTP/1.1 says, without I/O.
//!
//! Nothing here reads a clock, opens a socket, takes a lock or starts a task. Time comes in as an argument,
//! bytes come in and go out through buffers, and a seed replays any failure. The floors, bottom to top:
//!
//! | floor | folder | what it is for |
//! |---|---|---|
//! | 1 | [`lifecycle`] | the states of a connection and the one function that changes them; close modes, reasons, reports, snapshots |
//! | 1 | [`codec`] | bytes to HTTP/1.1 values and back, one message at a time |
//! | 2 | [`fate`] | what is known of a request that failed |
//! | 2 | [`shelf`] | the pure part of the pool: which connection serves which request, and who waits |
//! | 3 | [`h1`] | the HTTP/1.1 engine: send half, receive half, reuse verdict |
//!
//! A module imports from the floors below it or from its own folder. The public face for users is the crate
//! `adieu`; this one promises nothing beyond what `adieu` re-exports.

#![forbid(unsafe_code)]

pub mod codec;
pub mod fate;
pub mod h1;
pub mod lifecycle;
pub mod shelf;
