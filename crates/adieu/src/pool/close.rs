//! Closing: one connection, one origin's, the idle ones, all of a client.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use adieu_proto::lifecycle::{CloseKind, CloseMode, CloseReason, CloseReport, ConnectionId, Ended};
use adieu_proto::shelf::Effects;

use super::desk::Todo;
use super::registry::{Birth, Farewell, Live};
use super::{Pool, Tally};
use crate::drive::Wire;
use crate::rt;

/// What is left of a client that was closed, or of a part of it. Prints as a summary and one line a connection.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ClientReport {
    /// The report of each connection that was alive when the close began, oldest first.
    pub connections: Vec<CloseReport>,
    /// What the client has done in all its life, those connections included.
    pub total: Tally,
    /// How long it took.
    pub took: Duration,
}

/// Connections that are closing; resolves once all of them are gone.
pub(crate) struct ClosingAll {
    pool: Arc<Pool>,
    since: Instant,
    leaving: Vec<Leaving>,
    gone: Vec<CloseReport>,
}

/// One of them. While it is awaited it is never shed.
enum Leaving {
    Opening(Arc<Birth>, Farewell),
    Open(Awaited, Option<u64>),
}

/// A connection whose end is awaited.
struct Awaited(Arc<Wire>);

/// Retires everything when the last handle of a client is gone.
pub(crate) struct WhenDropped(pub(crate) Arc<Pool>);

impl Pool {
    /// Closes everything; nothing can begin any more.
    pub(crate) fn close(self: &Arc<Self>, mode: CloseMode) -> ClosingAll {
        let mut todo = Effects::default();
        let idle = self.desk().shelf.close(CloseReason::User(mode.kind()), &mut todo);
        let alive = self.registry.close(Farewell::Closed(mode));
        drop(idle);
        self.carry_out(todo);
        self.closing(alive.into_iter().map(|(_, live)| live), mode)
    }

    /// Closes the idle connections.
    pub(crate) fn close_idle(self: &Arc<Self>, mode: CloseMode) -> ClosingAll {
        let mut todo = Effects::default();
        let idle = self.desk().shelf.clear_idle(None, &mut todo);
        self.carry_out(todo);
        self.closing(idle.into_iter().map(Live::Open), mode)
    }

    /// Closes the idle connections of one origin, in all partitions and runtimes.
    pub(crate) fn close_idle_of(self: &Arc<Self>, origin: &str, mode: CloseMode) -> ClosingAll {
        let mut todo = Effects::default();
        let idle = self.clear_idle_of(origin, &mut todo);
        self.carry_out(todo);
        self.closing(idle.into_iter().map(Live::Open), mode)
    }

    /// Takes the idle connections of one origin off the shelf.
    fn clear_idle_of(&self, origin: &str, todo: &mut Todo) -> Vec<Arc<Wire>> {
        let mut desk = self.desk();
        let ours: Vec<_> =
            desk.entries().filter(|(_, entry)| &*entry.text == origin).map(|(origin, _)| origin).collect();
        ours.into_iter().flat_map(|origin| desk.shelf.clear_idle(Some(origin), todo)).collect()
    }

    /// Closes the connections of one origin, in all partitions and runtimes. What is being opened is left to the requests that
    /// wait for it, unless they shall fail at once.
    pub(crate) fn close_origin(self: &Arc<Self>, origin: &str, mode: CloseMode) -> ClosingAll {
        let mut todo = Effects::default();
        let idle = self.clear_idle_of(origin, &mut todo);
        drop(idle);
        let at_once = mode.kind() > CloseKind::Half;
        // By name: the pool may have forgotten the origin since it lent what drains now.
        let alive = self.registry.all().into_iter().filter(|(_, live)| live.origin() == Some(origin));
        let alive = alive.map(|(_, live)| live).filter(|live| at_once || matches!(live, Live::Open(_)));
        let closing = self.closing(alive, mode);
        self.carry_out(todo);
        closing
    }

    /// Closes one connection, if it is alive.
    pub(crate) fn close_connection(
        self: &Arc<Self>,
        id: ConnectionId,
        mode: CloseMode,
    ) -> Option<ClosingAll> {
        let live = self.registry.get(id)?;
        Some(self.closing([live], mode))
    }

    fn closing(self: &Arc<Self>, alive: impl IntoIterator<Item = Live>, mode: CloseMode) -> ClosingAll {
        let leaving = alive.into_iter().map(|live| match live {
            Live::Opening(birth) => {
                birth.call_off(Farewell::Closed(mode));
                Leaving::Opening(birth, Farewell::Closed(mode))
            }
            Live::Open(wire) => {
                let awaited = Awaited::new(wire);
                awaited.0.order_close(mode);
                Leaving::Open(awaited, None)
            }
        });
        ClosingAll { since: rt::now(), leaving: leaving.collect(), gone: Vec::new(), pool: self.clone() }
    }
}

impl Drop for WhenDropped {
    fn drop(&mut self) {
        let mut todo = Effects::default();
        let idle = self.0.desk().shelf.close(CloseReason::HandlesDropped, &mut todo);
        let alive = self.0.registry.close(Farewell::Dropped);
        drop(idle);
        self.0.carry_out(todo);
        for (_, live) in alive {
            match live {
                Live::Opening(birth) => birth.call_off(Farewell::Dropped),
                Live::Open(wire) => Farewell::Dropped.bid(&wire),
            }
        }
    }
}

impl Awaited {
    fn new(wire: Arc<Wire>) -> Self {
        wire.awaiting().fetch_add(1, Ordering::Relaxed);
        Self(wire)
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.awaiting().fetch_sub(1, Ordering::Relaxed);
    }
}

impl Leaving {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<CloseReport> {
        loop {
            match self {
                Self::Open(Awaited(wire), place) => return wire.poll_report(cx, place),
                Self::Opening(birth, farewell) => match std::task::ready!(birth.poll_end(cx)) {
                    Err(report) => return Poll::Ready(report),
                    Ok(wire) => {
                        // It was open before it heard of the close.
                        let awaited = Awaited::new(wire);
                        farewell.bid(&awaited.0);
                        *self = Self::Open(awaited, None);
                    }
                },
            }
        }
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Self::Open(Awaited(wire), Some(place)) = self {
            wire.leave_report(*place);
        }
    }
}

impl Future for ClosingAll {
    type Output = ClientReport;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ClientReport> {
        let Self { leaving, gone, .. } = &mut *self;
        leaving.retain_mut(|one| match one.poll(cx) {
            Poll::Ready(report) => {
                gone.push(report);
                false
            }
            Poll::Pending => true,
        });
        if !leaving.is_empty() {
            return Poll::Pending;
        }
        let mut connections = std::mem::take(gone);
        connections.sort_by_key(|report| report.id);
        let total = self.pool.stats().total;
        Poll::Ready(ClientReport {
            connections,
            total,
            took: rt::now().saturating_duration_since(self.since),
        })
    }
}

impl ClientReport {
    /// How many of these connections ended so.
    #[must_use]
    pub fn ended(&self, how: Ended) -> usize {
        self.connections.iter().filter(|report| report.ended == how).count()
    }

    /// Exchanges that failed on these connections.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.connections.iter().map(|report| report.failed).sum()
    }
}

impl fmt::Display for ClientReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} connections closed in {:.1?}", self.connections.len(), self.took)?;
        for (how, word) in [
            (Ended::Clean, "clean"),
            (Ended::PeerSilent, "with a silent peer"),
            (Ended::Truncated, "truncated"),
            (Ended::Reset, "reset by the peer"),
            (Ended::Broken, "broken"),
            (Ended::Aborted, "aborted"),
        ] {
            match self.ended(how) {
                0 => {}
                count => write!(f, ", {count} {word}")?,
            }
        }
        match self.failed() {
            0 => {}
            failed => write!(f, "; {failed} exchanges lost")?,
        }
        self.connections.iter().try_for_each(|report| write!(f, "\n{report}"))
    }
}
