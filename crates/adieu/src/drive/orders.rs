//! The leaf lock of a connection: what `Drop` and `close` leave for its next driver, and who waits for news.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::Waker;
use std::time::Instant;

use adieu_proto::lifecycle::{CloseMode, CloseReason, CloseReport};
use bytes::Bytes;
use http_body::Body;

use super::departures::Departure;
use crate::error::BoxError;
use crate::observe::Happening;

/// A request body as the engine takes it.
pub(crate) type Upload = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

/// What was ordered and not yet carried out, and who waits.
#[derive(Default)]
pub(super) struct Orders {
    /// Close like this, the strictest of all that were ordered.
    pub(super) close: Option<CloseMode>,
    /// Abort: the set of departures was full.
    pub(super) shed: Option<Shed>,
    /// Take no new exchange, for this reason.
    pub(super) retire: Option<CloseReason>,
    /// The caller of this exchange is gone.
    pub(super) abandoned: Option<u64>,
    /// The holder of an upgraded connection is gone.
    pub(super) drop_upgraded: Option<UpgradedDropped>,
    /// An upload that outlives the response head.
    pub(super) upload: Option<Upload>,
    /// A place among the departures, granted while waiting for one.
    pub(super) granted: Option<Departure>,
    /// The task that drives when no caller does.
    pub(super) attendant: Attendance,
    /// What is left once the connection is gone.
    pub(super) report: Option<CloseReport>,
    pub(super) parted: Parted,
    /// Those who wait for the report.
    pub(super) closers: Vec<(u64, Waker)>,
    /// Those who wait for another state, and those who wait to begin an exchange.
    pub(super) watchers: Vec<Waker>,
    /// What happened and observers do not know yet, in order.
    pub(super) untold: VecDeque<(Instant, Happening)>,
    pub(super) telling: Telling,
}

/// Whether the keeper of a connection that is gone knows it, so that those who wait for the report may have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Parted {
    #[default]
    No,
    Yes,
}

/// Whether somebody is telling the observers right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Telling {
    #[default]
    Nobody,
    Somebody,
}

/// The oldest of too many departures must go.
pub(super) struct Shed;

/// Nobody holds the connection that another protocol had.
pub(super) struct UpgradedDropped;

/// Whether the attendant is there.
#[derive(Default)]
pub(super) enum Attendance {
    /// It is not.
    #[default]
    Absent,
    /// It was spawned, or is running, and will look at the orders before it sleeps.
    Awake,
    /// The same, and it was called again since: it takes another turn before it sleeps or leaves.
    Recalled,
    /// It sleeps; this wakes it.
    Asleep(Waker),
}

/// Keeps `waker` once.
pub(super) fn enlist(waiting: &mut Vec<Waker>, waker: &Waker) {
    if !waiting.iter().any(|known| known.will_wake(waker)) {
        waiting.push(waker.clone());
    }
}
