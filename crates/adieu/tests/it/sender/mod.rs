//! The sender and the handle: readiness, requests given back, targets, errors as people and programs see them, reports
//! and snapshots, and everything at once on many threads.

mod errors;
mod handle;
mod looking;
mod readiness;
mod storm;
mod targets;
mod wakers;

use adieu::conn::http1::{Connection, SendRequest};
use adieu_testkit::memory::{MemoryEnd, Side};

use crate::support::{in_memory, watch_for_hangs};

const NOTHING: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const LONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";

async fn connect() -> (SendRequest, Connection, MemoryEnd) {
    watch_for_hangs();
    in_memory().await
}

fn written(peer: &MemoryEnd) -> u64 {
    peer.seen().sent(Side::Theirs)
}
