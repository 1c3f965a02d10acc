//! The response to come: waits for a connection, sends, and takes another connection where that one was gone.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use adieu_proto::lifecycle::Timeouts as ExchangeTimeouts;
use adieu_proto::shelf::{Ticket, Wanted};
use http::header::{CONNECTION, PROXY_AUTHORIZATION};
use http::{HeaderValue, Response};

use super::Shared;
use super::options::{Afterwards, Fresh, RequestOptions};
use crate::conn::body::Body;
use crate::conn::info::ResponseInfo;
use crate::conn::{Outgoing, http1};
use crate::drive::Wire;
use crate::error::{Error, ErrorKind};
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
    outgoing: Option<Outgoing>,
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
    /// Connections of the shelf that were gone when they were looked at.
    stale: u8,
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

#[expect(clippy::large_enum_variant, reason = "the large one is what mostly happens")]
enum Stage {
    New,
    Waiting(Box<Waiting>),
    Sending(http1::ResponseFuture),
    /// It can only fail.
    Refused(Option<Error>),
    Over,
}

/// After so many connections of the shelf that were gone a fresh one is taken: the others may be gone as well.
const STALE: u8 = 2;
/// So many fresh connections may be gone before they could be used; then the peer is at fault, not the moment.
const STILL_BORN: u8 = 2;

impl ResponseFuture {
    pub(super) fn new(client: Arc<Shared>, mut outgoing: Outgoing) -> Self {
        let options = outgoing.head.extensions.remove::<RequestOptions>().map(Box::new);
        client.complete(&mut outgoing.head);
        if options.as_ref().is_some_and(|options| options.afterwards == Afterwards::Close) {
            outgoing.head.headers.append(CONNECTION, HeaderValue::from_static("close"));
        }
        let mut response = Self::with(client, Some(outgoing), Stage::New);
        response.options = options;
        response
    }

    /// A request that can only fail.
    pub(super) fn refused(client: Arc<Shared>, error: Error) -> Self {
        Self::with(client, None, Stage::Refused(Some(error)))
    }

    fn with(client: Arc<Shared>, outgoing: Option<Outgoing>, stage: Stage) -> Self {
        Self {
            client,
            outgoing,
            options: None,
            stage,
            begun: None,
            lent: None,
            ticket: None,
            source: Source::Shelf,
            stale: 0,
            still_born: 0,
        }
    }

    fn pool(&self) -> &Arc<Pool> {
        &self.client.pool
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
            _ if self.stale >= STALE => Wanted::Fresh,
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
        let Some(outgoing) = &self.outgoing else { return Err(Error::new(ErrorKind::NotReady)) };
        let runtime = RuntimeId::current().ok_or_else(|| Error::new(ErrorKind::NoRuntime))?;
        let route = Route { uri: &outgoing.head.uri, partition: self.partition(), runtime };
        let wanted = self.wanted();
        let (origin, taken) = match wanted {
            Wanted::Any => self.pool().take(now, &route)?,
            Wanted::Fresh => (self.pool().origin_of(&route)?, None),
        };
        let begun = *self.begun.get_or_insert(now);
        match taken {
            Some(wire) => self.send(wire, Source::Shelf, now),
            None => {
                let deadline = self.limit().and_then(|limit| begun.checked_add(limit));
                let pool = self.pool().clone();
                let waiting = Waiting::new(pool, now, origin, wanted, self.ticket, deadline);
                self.stage = Stage::Waiting(Box::new(waiting));
            }
        }
        Ok(())
    }

    /// Sends the request on this connection.
    fn send(&mut self, wire: Arc<Wire>, source: Source, now: Instant) {
        let Some(mut outgoing) = self.outgoing.take() else { return };
        outgoing.timeouts = self.timeouts(now);
        (self.source, self.lent) = (source, Some(now));
        if let Some(authorization) = wire.kept().and_then(|kept| kept.authorization.as_ref())
            && !outgoing.head.headers.contains_key(PROXY_AUTHORIZATION)
        {
            outgoing.head.headers.insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        let on_interim = self.client.on_interim.clone();
        self.stage = Stage::Sending(http1::ResponseFuture::new(wire, on_interim, outgoing));
    }

    /// How long each phase may take, where that is not what the connection says: what is left of the whole is handed on.
    fn timeouts(&self, now: Instant) -> Option<ExchangeTimeouts> {
        let own = self.options.as_ref().and_then(|options| options.timeouts);
        let limit = self.limit();
        if own.is_none() && limit.is_none() {
            return None;
        }
        let mut phases = own.unwrap_or(self.client.timeouts).phases;
        let spent = now.saturating_duration_since(self.begun.unwrap_or(now));
        phases.exchange = limit.map(|limit| limit.saturating_sub(spent));
        Some(phases)
    }

    /// The connection was gone before anything was written: whether to try another.
    fn again(&mut self, wire: &Arc<Wire>, unsent: Outgoing, error: &Error) -> bool {
        if error.kind() != ErrorKind::Closed {
            return false;
        }
        // One that nobody has used may have been idle for long all the same.
        if self.source == Source::Queue && wire.lock().engine.exchange() == 0 {
            self.still_born += 1;
        } else {
            self.stale = self.stale.saturating_add(1);
        }
        self.outgoing = Some(unsent);
        self.still_born <= STILL_BORN
    }

    fn info(&self) -> Option<ResponseInfo> {
        let Stage::Sending(sent) = &self.stage else { return None };
        let (answered, exchange) = sent.answered()?;
        let (begun, lent) = (self.begun?, self.lent?);
        let wire = sent.wire();
        Some(ResponseInfo {
            connection: wire.id(),
            exchange,
            replays: 0,
            waited: lent.saturating_duration_since(begun),
            head: answered.saturating_duration_since(begun),
            opening: wire.kept().filter(|_| exchange == 1).map(|kept| kept.opening),
        })
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<Body>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let error = match &mut this.stage {
                Stage::New => match this.start(rt::now()) {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Stage::Waiting(waiting) => match ready!(waiting.poll(cx)) {
                    Ok(Waited { wire, ticket }) => {
                        this.ticket = Some(ticket);
                        this.send(wire, Source::Queue, rt::now());
                        continue;
                    }
                    // Its origin was forgotten between two steps, for it was not in use: it is learned anew.
                    Err(error) if error.kind() == ErrorKind::ClientClosed && !this.pool().is_closed() => {
                        this.stage = Stage::New;
                        continue;
                    }
                    Err(error) => error,
                },
                Stage::Sending(sent) => match ready!(Pin::new(&mut *sent).poll(cx)) {
                    Ok(mut response) => {
                        if let Some(info) = this.info() {
                            response.body_mut().set_info(info);
                        }
                        this.stage = Stage::Over;
                        return Poll::Ready(Ok(response));
                    }
                    Err(error) => {
                        let (unsent, wire) = (sent.take_unsent(), sent.wire().clone());
                        this.stage = Stage::Over;
                        if let Some(unsent) = unsent {
                            this.pool().put_back(&wire);
                            if this.again(&wire, unsent, &error) {
                                this.stage = Stage::New;
                                continue;
                            }
                        }
                        error
                    }
                },
                Stage::Refused(error) => error.take().unwrap_or_else(|| Error::new(ErrorKind::NotReady)),
                Stage::Over => return Poll::Pending,
            };
            this.stage = Stage::Over;
            return Poll::Ready(Err(error));
        }
    }
}

impl Drop for ResponseFuture {
    fn drop(&mut self) {
        if let Stage::Sending(sent) = &self.stage
            && sent.is_new()
        {
            let wire = sent.wire().clone();
            self.pool().put_back(&wire);
        }
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::New => "new",
            Stage::Waiting(_) => "waiting",
            Stage::Sending(_) => "sending",
            Stage::Refused(_) => "refused",
            Stage::Over => "over",
        };
        f.debug_struct("ResponseFuture").field("stage", &stage).finish_non_exhaustive()
    }
}
