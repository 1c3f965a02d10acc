//! How a connection is driven: one turn over its engine and its transport, by one driver at a time.
//!
//! | driver | when |
//! |---|---|
//! | nobody | nothing is in flight; the bell watches |
//! | the caller | its response future or body is polled |
//! | an attendant | the caller cannot be relied on: an upload that outlives the response head, a close, a deadline, a drop in mid-exchange, the goodbye |
//!
//! | file | what it is for |
//! |---|---|
//! | `wire` | one connection: what is shared, its two locks, its bell |
//! | `work` | the part under the work lock: engine, transport, alarm; one turn; in `work/goodbye` how it is left, in `work/doubt` what the kernel knows of a failure |
//! | `orders` | the leaf lock: what `Drop` and `close` leave for the next driver |
//! | `attendant` | the task that drives when no caller does |
//! | `keeper` | who keeps the connection between exchanges, and what it is told |
//! | `telling` | how observers are told: in order, whoever drives |
//! | `departures` | the bounded set of connections on their way out |
//!
//! Locks: `work` before `orders`, and `orders` is a leaf; the set of departures has a lock of its own under
//! which no other is taken. No waker, hook or body is touched under any of them.

mod attendant;
mod departures;
mod keeper;
mod orders;
mod telling;
mod wire;
mod work;

use std::time::Instant;

use adieu_proto::h1::Engine;
use bytes::Bytes;
use http_body::Frame;

use crate::error::{BoxError, Error};

pub(crate) use departures::Departures;
pub(crate) use keeper::{Keeper, Kept, LearnedIdle};
pub(crate) use orders::Upload;
pub(crate) use wire::{Lease, Locked, Parts, Wire, next_id};
pub(crate) use work::{Driver, Turned};

/// Gives the engine the next frame of a request's body.
pub(crate) fn give(
    engine: &mut Engine,
    now: Instant,
    frame: Option<Result<Frame<Bytes>, BoxError>>,
) -> Result<(), Error> {
    if !engine.owes_body() {
        return Ok(());
    }
    match frame {
        Some(Ok(frame)) => match frame.into_data() {
            Ok(data) => engine.send_data(now, data).map_err(Error::misfit),
            Err(frame) => engine.end_body(now, frame.into_trailers().ok()).map_err(Error::misfit),
        },
        Some(Err(source)) => {
            engine.fail_body(now);
            Err(Error::request_body(source))
        }
        None => engine.end_body(now, None).map_err(Error::misfit),
    }
}
