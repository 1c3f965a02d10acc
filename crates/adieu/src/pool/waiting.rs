//! A request that waits for a connection: first come, first served, until its deadline.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use adieu_proto::lifecycle::Phase;
use adieu_proto::shelf::{Effects, Grant, Origin, Ticket, Waiter, Wanted};

use super::Pool;
use super::counter::Stand;
use crate::drive::Wire;
use crate::error::{Error, ErrorKind};
use crate::observe::Happening;
use crate::rt::{self, Pause};

/// A request that waits. Dropped, it leaves the queue, and what it was granted goes to the next.
pub(crate) struct Waiting {
    pool: Arc<Pool>,
    stand: Stand,
    since: Instant,
    /// When it has waited for too long; put off while a connection is being opened for it.
    patience: Option<Instant>,
    /// When the whole exchange must be over.
    deadline: Option<Instant>,
    pause: Option<Pause>,
}

/// What a request got by waiting.
pub(crate) struct Waited {
    pub(crate) wire: Arc<Wire>,
    pub(crate) ticket: Ticket,
}

/// A request that waits for a connection, as [`Client::waiting`](crate::Client::waiting) lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitingRequest {
    /// For whom, as `https://example.com`.
    pub origin: String,
    /// Its number, unique in its client, as events name it.
    pub number: u64,
    /// How many wait before it for the same origin.
    pub ahead: usize,
    /// How long it has waited.
    pub waited: Duration,
    /// How much longer it will; `None`: as long as it takes. Zero: its time is over, but a connection is being opened for it,
    /// whose limits count.
    pub left: Option<Duration>,
}

/// While a connection is being opened for a request, the limits of opening count; so often it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Waiting {
    /// Waits with a number of its own, or at the place that its number gives it.
    pub(crate) fn new(
        pool: Arc<Pool>,
        now: Instant,
        origin: Origin,
        wanted: Wanted,
        ticket: Option<Ticket>,
        deadline: Option<Instant>,
    ) -> Self {
        let stand = Stand::new(&pool.counter, origin, wanted, ticket);
        let patience = pool.settings.wait.and_then(|wait| now.checked_add(wait));
        Self { pool, stand, since: now, patience, deadline, pause: None }
    }

    /// When it gives up, or looks again.
    fn limit(&self) -> Option<Instant> {
        [self.patience, self.deadline].into_iter().flatten().min()
    }

    fn enqueue(&mut self, cx: &Context<'_>) {
        let mut todo = Effects::default();
        let waiter = Waiter { since: self.since, deadline: self.limit(), waker: cx.waker().clone() };
        let ahead = self.stand.queue(&self.pool.counter, waiter, &mut todo);
        let waiter = self.stand.ticket.number();
        self.pool.tell(None, self.stand.origin, || Happening::Queued { waiter, ahead });
        self.pool.carry_out(todo);
    }

    /// The connection, or why there is none.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Waited, Error>> {
        if self.stand.is_new() {
            self.enqueue(cx);
        }
        let grant = self.stand.poll(&self.pool.counter, cx.waker());
        let Some(grant) = grant else { return self.poll_limit(cx).map(Err) };
        let Stand { origin, ticket, .. } = self.stand;
        let (waiter, waited) = (ticket.number(), rt::now().saturating_duration_since(self.since));
        let (connection, answer) = match grant {
            Grant::Connection(_, wire) => (Some(wire.id()), Ok(Waited { wire, ticket })),
            Grant::Failed(error) => (None, Err(error)),
            Grant::Closed => (None, Err(Error::new(ErrorKind::ClientClosed))),
        };
        self.pool.tell(connection, origin, || match connection {
            Some(_) => Happening::Served { waiter, waited },
            None => Happening::GaveUp { waiter, waited },
        });
        Poll::Ready(answer)
    }

    fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        loop {
            let Some(at) = self.limit() else { return Poll::Pending };
            let pause = self.pause.get_or_insert_with(|| Pause::until(at));
            if Pin::new(pause).poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.pause = None;
            let now = rt::now();
            let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            let phase = match () {
                () if is_over(self.deadline) => Phase::Exchange,
                () if is_over(self.patience) && !self.is_being_served() => Phase::PoolWait,
                () => {
                    self.patience = now.checked_add(LOOK_AGAIN);
                    continue;
                }
            };
            let waited = now.saturating_duration_since(self.since);
            return Poll::Ready(self.pool.gave_up(&self.stand, phase, waited));
        }
    }

    /// Whether a connection is being opened that will be its own.
    fn is_being_served(&self) -> bool {
        let desk = self.pool.desk();
        let Stand { origin, ticket, .. } = self.stand;
        let opening = desk.shelf.counts(origin).opening;
        desk.shelf.ahead(origin, ticket).is_some_and(|ahead| ahead < opening)
    }
}

impl Pool {
    /// The error of a request that waited for too long; it says for what.
    fn gave_up(&self, &Stand { origin, ticket, .. }: &Stand, phase: Phase, waited: Duration) -> Error {
        let desk = self.desk();
        let (counts, ahead) =
            (desk.shelf.counts(origin), desk.shelf.ahead(origin, ticket).unwrap_or_default());
        let text = desk.entry(origin).map(|entry| entry.text.clone()).unwrap_or_default();
        drop(desk);
        Error::new(ErrorKind::Timeout(phase)).with(format!(
            "{text} after {waited:.1?}, {ahead} requests before it; {} connections in use, {} being opened",
            counts.lent, counts.opening
        ))
    }

    /// The requests that wait for a connection.
    pub(crate) fn waiting(&self) -> Vec<WaitingRequest> {
        let now = rt::now();
        let desk = self.desk();
        let mut waiting = Vec::new();
        for (origin, entry) in desk.entries() {
            let queue = desk.shelf.waiting(origin).into_iter().enumerate();
            waiting.extend(queue.map(|(ahead, waiter)| WaitingRequest {
                origin: entry.text.to_string(),
                number: waiter.ticket.number(),
                ahead,
                waited: now.saturating_duration_since(waiter.since),
                left: waiter.deadline.map(|at| at.saturating_duration_since(now)),
            }));
        }
        waiting
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(todo) = self.stand.leave(&self.pool.counter) else { return };
        let (waiter, waited) = (self.stand.ticket.number(), rt::now().saturating_duration_since(self.since));
        self.pool.tell(None, self.stand.origin, || Happening::GaveUp { waiter, waited });
        self.pool.carry_out(todo);
    }
}
