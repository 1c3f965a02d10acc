//! The handle of a connection: ask, watch, close.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use adieu_proto::lifecycle::{CloseMode, CloseReport, ConnectionId, Snapshot, State};

use crate::drive::{Lease, Wire};

/// A handle of one connection. Cheap to clone, usable from any thread, in or out of the runtime.
///
/// When the sender and every handle are dropped the connection retires: an exchange in flight ends by itself,
/// then it says goodbye. Keep a handle to know how it ended.
#[derive(Clone)]
pub struct Connection {
    lease: Arc<Lease>,
}

/// The end of a connection to come; resolves to its report once the transport is gone. See [`Connection::close`].
#[must_use = "only awaiting tells that the connection is gone"]
pub struct Closing {
    wire: Arc<Wire>,
    place: Option<u64>,
    shedding: Shedding,
}

/// Whether the connection may be shed while its end is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shedding {
    Allowed,
    Forbidden,
}

/// The latest state of a connection, as it changes. See [`Connection::watch`].
pub struct Watch {
    wire: Arc<Wire>,
    seen: State,
}

impl Connection {
    pub(super) fn new(lease: Arc<Lease>) -> Self {
        Self { lease }
    }

    fn wire(&self) -> &Arc<Wire> {
        &self.lease.0
    }

    /// Its number, unique in this process.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.wire().id()
    }

    /// Where it is in its life.
    #[must_use]
    pub fn state(&self) -> State {
        self.wire().state()
    }

    /// All that is known of it at this moment. Prints as one line.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.wire().snapshot()
    }

    /// The report, once the connection is gone.
    #[must_use]
    pub fn report(&self) -> Option<CloseReport> {
        self.wire().report()
    }

    /// Watches its state. The end of an idle connection is noticed within about a second of idling.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch { seen: self.state(), wire: self.wire().clone() }
    }

    /// Closes the connection, now or as soon as `mode` lets it. The closing begins with this call, not with the
    /// first poll, and dropping the returned future does not stop it.
    ///
    /// Calling it again is fine: a stricter mode escalates, a laxer one only waits. Each call gets the report.
    /// A close that is awaited is never shed, however many connections are on their way out.
    ///
    /// ```no_run
    /// # async fn example(connection: adieu::conn::Connection) {
    /// use adieu::CloseMode;
    /// use std::time::Duration;
    ///
    /// let report = connection.close(CloseMode::graceful().drain(Duration::from_secs(5))).await;
    /// println!("{report}");
    /// # }
    /// ```
    pub fn close(&self, mode: CloseMode) -> Closing {
        self.wire().awaiting().fetch_add(1, Ordering::Relaxed);
        self.wire().order_close(mode);
        Closing { wire: self.wire().clone(), place: None, shedding: Shedding::Forbidden }
    }

    /// Waits until the connection is gone, without closing it. Unlike an awaited close it does not keep a connection
    /// that was dropped from being shed.
    pub fn closed(&self) -> Closing {
        Closing { wire: self.wire().clone(), place: None, shedding: Shedding::Allowed }
    }
}

impl Future for Closing {
    type Output = CloseReport;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReport> {
        let Self { wire, place, .. } = &mut *self;
        wire.poll_report(cx, place)
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.wire.leave_report(place);
        }
        if self.shedding == Shedding::Forbidden {
            self.wire.awaiting().fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Watch {
    /// The state at this moment; marks it as seen.
    pub fn state(&mut self) -> State {
        self.seen = self.wire.state();
        self.seen
    }

    /// Waits for a state other than the one last seen. Only the latest is told: states that came and went in
    /// between are not. Once [`State::Closed`] was seen nothing changes any more, and it answers at once. Cancel
    /// safe.
    pub async fn changed(&mut self) -> State {
        if self.seen == State::Closed {
            return State::Closed;
        }
        let state = poll_fn(|cx| self.wire.poll_state(cx, self.seen)).await;
        self.seen = state;
        state
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("id", &self.id()).field("state", &self.state()).finish()
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

impl fmt::Debug for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closing").field("id", &self.wire.id()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("id", &self.wire.id()).field("seen", &self.seen).finish()
    }
}
