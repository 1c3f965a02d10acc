//! The response to come: waits for a connection, sends, and takes another connection where that one was gone.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use adieu_proto::fate::Rules;
use adieu_proto::lifecycle::Timeouts as ExchangeTimeouts;
use adieu_proto::shelf::{Pick, Ticket, Wanted};
use http::header::{CONNECTION, PROXY_AUTHORIZATION};
use http::{HeaderValue, Request, Response};
use http_body::Body as HttpBody;

use super::Shared;
use super::options::{Afterwards, Fresh, RequestOptions};
use super::replay::Replays;
use crate::conn::body::Body;
use crate::conn::info::ResponseInfo;
use crate::conn::{Again, Mark, Outgoing, Sending, SendingStage, apart};
use crate::drive::{Doubt, Wire};
use crate::error::{BoxError, Error, ErrorKind};
use crate::pool::{Pool, Route, Waited, Waiting};
use crate::rt::{self, RuntimeId};

/// The response to come. Nothing happens before the first poll.
///
/// Dropped while it waits for a connection, it leaves the queue; a connection that is being opened for it is finished and
/// kept for others. Dropped later, its exchange is cancelled: its connection is closed as by
/// [`CloseMode::now`](crate::CloseMode::now), reset if the request was cut short.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture {
    client: Arc<Shared>,
    sending: Option<Sending>,
    /// The connection that it was lent.
    wire: Option<Arc<Wire>>,
    options: Option<Box<RequestOptions>>,
    stage: Stage,
    /// When it was polled first.
    begun: Option<Instant>,
    /// When it had its connection.
    lent: Option<Instant>,
    /// Its place in the queue, once it had one.
    ticket: Option<Ticket>,
    /// Where its connection came from.
    source: Source,
    pub(super) replays: Replays,
    /// Fresh connections that were gone before they could be used.
    still_born: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// It was idle.
    Shelf,
    /// It was waited for.
    Queue,
}

enum Stage {
    New,
    Waiting(Box<Waiting>),
    /// On the connection that it was lent.
    Sending,
    /// It can only fail.
    Refused(Error),
    Over,
}

/// So many fresh connections may be gone before they could be used; then the peer is at fault, not the moment.
const STILL_BORN: u8 = 2;

impl ResponseFuture {
    /// Made in one piece: what is large is moved as little as can be.
    #[inline]
    pub(super) fn new<B>(client: &Arc<Shared>, request: Request<B>) -> Self
    where
        B: HttpBody + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        let (length, upload, body) = apart(body);
        let again = Again { body, rule: client.replay, mark: Mark::None };
        let outgoing = Outgoing { head, length, upload, timeouts: None, lease: None, again };
        let mut response = Self {
            client: client.clone(),
            sending: Some(Sending { outgoing: Some(outgoing), stage: SendingStage::New }),
            wire: None,
            options: None,
            stage: Stage::New,
            begun: None,
            lent: None,
            ticket: None,
            source: Source::Shelf,
            replays: Replays::default(),
            still_born: 0,
        };
        if !response.client.headers.is_empty() || response.has_extensions() {
            response.prepare();
        }
        response
    }

    fn has_extensions(&self) -> bool {
        let outgoing = self.sending.as_ref().and_then(|sending| sending.outgoing.as_ref());
        outgoing.is_some_and(|outgoing| !outgoing.head.extensions.is_empty())
    }

    /// Does what client and options say of the head.
    fn prepare(&mut self) {
        let Some(outgoing) = self.sending.as_mut().and_then(|sending| sending.outgoing.as_mut()) else {
            return;
        };
        self.options = outgoing.head.extensions.remove::<RequestOptions>().map(Box::new);
        self.client.complete(&mut outgoing.head);
        if let Some(options) = &self.options {
            outgoing.again.mark = options.mark;
            outgoing.again.rule = options.replay.unwrap_or(outgoing.again.rule);
        }
        if self.options.as_ref().is_some_and(|options| options.afterwards == Afterwards::Close) {
            outgoing.head.headers.append(CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// A request that can only fail.
    pub(super) fn refused(client: Arc<Shared>, error: Error) -> Self {
        Self {
            client,
            sending: None,
            wire: None,
            options: None,
            stage: Stage::Refused(error),
            begun: None,
            lent: None,
            ticket: None,
            source: Source::Shelf,
            replays: Replays::default(),
            still_born: 0,
        }
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.client.pool
    }

    pub(super) fn wire(&self) -> Option<&Arc<Wire>> {
        self.wire.as_ref()
    }

    /// The number of the last exchange on its connection.
    pub(super) fn exchange(&self) -> Option<u64> {
        self.sending.as_ref()?.exchange()
    }

    /// By which rules it may be sent again.
    pub(super) fn rules(&self) -> Option<Rules> {
        let Outgoing { head, again, .. } = self.sending.as_ref()?.outgoing.as_ref()?;
        Some(again.rules(head))
    }

    /// Sends it once more, on another connection.
    pub(super) fn start_over(&mut self) {
        if let Some(sending) = &mut self.sending {
            sending.start_over();
        }
        (self.wire, self.stage) = (None, Stage::New);
    }

    /// Whether the time for the whole exchange is over.
    pub(super) fn is_out_of_time(&self, now: Instant) -> bool {
        let spent = now.saturating_duration_since(self.begun.unwrap_or(now));
        self.limit().is_some_and(|limit| spent >= limit)
    }

    fn partition(&self) -> Option<&crate::pool::Partition> {
        self.options
            .as_ref()
            .and_then(|options| options.partition.as_ref())
            .or(self.client.partition.as_ref())
    }

    fn wanted(&self) -> Wanted {
        match &self.options {
            Some(options) if options.fresh == Fresh::Only => Wanted::Fresh,
            _ if self.replays.wants_fresh() => Wanted::Fresh,
            _ => Wanted::Any,
        }
    }

    /// The limit on the whole exchange.
    fn limit(&self) -> Option<Duration> {
        let options = self.options.as_deref();
        options
            .and_then(|options| options.timeout.or_else(|| Some(options.timeouts?.phases.exchange)))
            .unwrap_or(self.client.timeouts.phases.exchange)
    }

    /// Finds a connection, or queues for one.
    fn start(&mut self, now: Instant) -> Result<(), Error> {
        let Some(outgoing) = self.sending.as_ref().and_then(|sending| sending.outgoing.as_ref()) else {
            return Err(Error::new(ErrorKind::NotReady));
        };
        let runtime = RuntimeId::current().ok_or_else(|| Error::new(ErrorKind::NoRuntime))?;
        let route = Route { uri: &outgoing.head.uri, partition: self.partition(), runtime };
        // What could not be sent again takes no chances.
        let careful = !outgoing.head.method.is_safe()
            && outgoing.again.bears_doubt(&outgoing.head) == Doubt::Unbearable;
        let pick = if careful { Pick::Youngest } else { Pick::Usual };
        let mut wanted = self.wanted();
        let (origin, mut taken) = match wanted {
            Wanted::Any => self.pool().take(now, &route, pick)?,
            Wanted::Fresh => (self.pool().origin_of(&route)?, None),
        };
        if careful
            && let Some(wire) = &taken
            && self.leaves_alone(wire, now)
        {
            (taken, wanted) = (None, Wanted::Fresh);
        }
        self.replays.origin = Some(origin);
        let begun = *self.begun.get_or_insert(now);
        match taken {
            Some(wire) => self.send_on(wire, Source::Shelf, now),
            None => {
                let deadline = self.limit().and_then(|limit| begun.checked_add(limit));
                let pool = self.pool().clone();
                let waiting = Waiting::new(pool, now, origin, wanted, self.ticket, deadline);
                self.stage = Stage::Waiting(Box::new(waiting));
            }
        }
        Ok(())
    }

    /// Whether the peer may be about to end this connection: then it is put back, and none but a fresh one will do.
    #[cold]
    fn leaves_alone(&mut self, wire: &Arc<Wire>, now: Instant) -> bool {
        let mut work = wire.lock();
        let near = work.is_near_its_end(now);
        if near {
            // It may have learned of its limit just now.
            work.arm(now);
        }
        drop(work);
        if near {
            self.pool().put_back(wire);
            self.replays.insist_on_fresh();
        }
        near
    }

    /// Sends the request on this connection.
    fn send_on(&mut self, wire: Arc<Wire>, source: Source, now: Instant) {
        let timeouts = self.timeouts(now);
        (self.source, self.lent) = (source, Some(now));
        self.stage = Stage::Sending;
        if let Some(outgoing) = self.sending.as_mut().and_then(|sending| sending.outgoing.as_mut()) {
            outgoing.timeouts = timeouts;
            if let Some(authorization) = wire.kept().and_then(|kept| kept.authorization.as_ref())
                && !outgoing.head.headers.contains_key(PROXY_AUTHORIZATION)
            {
                outgoing.head.headers.insert(PROXY_AUTHORIZATION, authorization.clone());
            }
        }
        self.wire = Some(wire);
    }

    /// How long each phase may take, where that is not what the connection says: what is left of the whole is handed on.
    fn timeouts(&self, now: Instant) -> Option<Box<ExchangeTimeouts>> {
        let own = self.options.as_ref().and_then(|options| options.timeouts);
        let limit = self.limit();
        if own.is_none() && limit.is_none() {
            return None;
        }
        let mut phases = own.unwrap_or(self.client.timeouts).phases;
        let spent = now.saturating_duration_since(self.begun.unwrap_or(now));
        phases.exchange = limit.map(|limit| limit.saturating_sub(spent));
        Some(Box::new(phases))
    }

    /// The connection was gone before anything was written: whether to try another.
    fn try_another(&mut self, error: &Error) -> bool {
        let (Some(sending), Some(wire)) = (&mut self.sending, self.wire.take()) else { return false };
        if !sending.may_start_anew() {
            return false;
        }
        // Where it is not gone after all, others can use it.
        self.client.pool.put_back(&wire);
        if error.kind() != ErrorKind::Closed {
            return false;
        }
        // One that nobody has used may have been idle for long all the same.
        if self.source == Source::Queue && wire.lock().engine.exchange() == 0 {
            self.still_born += 1;
        } else {
            self.replays.note_stale();
        }
        self.still_born <= STILL_BORN
    }

    fn sending_began(&self) -> bool {
        self.sending.as_ref().is_some_and(|sending| sending.exchange().is_some())
    }

    fn info(&self) -> Option<ResponseInfo> {
        let (wire, (exchange, answered)) = (self.wire.as_ref()?, self.sending.as_ref()?.answered()?);
        Some(ResponseInfo {
            connection: wire.id(),
            exchange,
            replays: self.replays.done.into(),
            opening: wire.kept().filter(|_| exchange == 1).map(|kept| Box::new(kept.opening)),
            begun: self.begun?,
            lent: self.lent?,
            answered,
        })
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<Body>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let now = rt::now();
        loop {
            let mut error = match &mut this.stage {
                Stage::New => match this.start(now) {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Stage::Waiting(waiting) => match ready!(waiting.poll(cx)) {
                    Ok(Waited { wire, ticket }) => {
                        this.ticket = Some(ticket);
                        this.send_on(wire, Source::Queue, now);
                        continue;
                    }
                    // Its origin was forgotten, as unused, before it could queue there.
                    Err(error) if error.kind() == ErrorKind::ClientClosed && !this.pool().is_closed() => {
                        this.stage = Stage::New;
                        continue;
                    }
                    Err(error) => error,
                },
                Stage::Sending => {
                    let (Some(sending), Some(wire)) = (&mut this.sending, &this.wire) else {
                        return Poll::Pending;
                    };
                    let mut polled = sending.poll(wire, this.client.on_interim.as_ref(), now, cx);
                    match &mut polled {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Ok(response)) => {
                            if response.status().as_u16() >= 400 && this.ask_again(now, response) {
                                continue;
                            }
                            if let Some(info) = this.info() {
                                response.body_mut().set_info(info);
                            }
                            this.stage = Stage::Over;
                        }
                        Poll::Ready(Err(error)) => {
                            if this.sending_began() {
                                if this.send_again(now, error) {
                                    continue;
                                }
                            } else if this.try_another(error) {
                                this.stage = Stage::New;
                                continue;
                            } else {
                                this.note_attempts(error, None);
                            }
                            this.stage = Stage::Over;
                        }
                    }
                    // Moved no more than that: it is large.
                    return polled;
                }
                Stage::Refused(_) => match std::mem::replace(&mut this.stage, Stage::Over) {
                    Stage::Refused(error) => error,
                    _ => continue,
                },
                Stage::Over => return Poll::Pending,
            };
            this.stage = Stage::Over;
            this.note_attempts(&mut error, None);
            return Poll::Ready(Err(error));
        }
    }
}

impl Drop for ResponseFuture {
    fn drop(&mut self) {
        let (Stage::Sending, Some(sending), Some(wire)) = (&self.stage, &self.sending, &self.wire) else {
            return;
        };
        if sending.is_new() {
            self.client.pool.put_back(wire);
        } else {
            sending.abandon(wire);
        }
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::New => "new",
            Stage::Waiting(_) => "waiting",
            Stage::Sending => "sending",
            Stage::Refused(_) => "refused",
            Stage::Over => "over",
        };
        f.debug_struct("ResponseFuture").field("stage", &stage).finish_non_exhaustive()
    }
}
