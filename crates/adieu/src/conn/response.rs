//! The response to come: polling it sends the request and drives the connection.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use adieu_proto::h1::{BodySize, Event, NotOpen};
use adieu_proto::lifecycle::{State, Timeouts};
use http::{Response, request};

use super::body::Body;
use super::incoming::{Early, Incoming, settle};
use super::request::Outgoing;
use super::upgraded::Upgraded;
use crate::drive::{Driver, Locked, Turned, Upload, Wire, give};
use crate::error::{Error, ErrorKind};
use crate::rt;

/// Called with each interim response (1xx), under no lock.
pub(crate) type OnInterim = Arc<dyn Fn(&Response<()>) + Send + Sync>;

/// The response to come. Nothing is written before the first poll.
///
/// Dropped before that, the connection is as before. Dropped later, the connection is closed as by
/// `CloseMode::now()`: reset if the request was cut short by it.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture {
    wire: Arc<Wire>,
    on_interim: Option<OnInterim>,
    sending: Sending,
}

/// A request on its way, on whichever connection.
pub(crate) struct Sending {
    /// The request, as long as it is needed, which may be to the end; whatever of the caller's is in it is dropped under no lock.
    pub(crate) outgoing: Option<Outgoing>,
    pub(crate) stage: Stage,
}

/// How far a request is on its connection.
pub(crate) enum Stage {
    /// Nothing was written.
    New,
    /// The exchange with this number is in flight.
    Sent(u64, Option<Upload>),
    /// The response head of the exchange with this number came then.
    Answered(u64, Instant),
    /// It could not be begun on its connection.
    NotBegun,
    /// The exchange with this number failed.
    Failed(u64),
}

impl ResponseFuture {
    pub(crate) fn new(wire: Arc<Wire>, on_interim: Option<OnInterim>, outgoing: Outgoing) -> Self {
        Self { wire, on_interim, sending: Sending::new(outgoing) }
    }

    /// The future of an exchange that was begun.
    pub(super) fn begun(
        wire: Arc<Wire>,
        on_interim: Option<OnInterim>,
        exchange: u64,
        upload: Option<Upload>,
    ) -> Self {
        let sending = Sending { outgoing: None, stage: Stage::Sent(exchange, upload) };
        Self { wire, on_interim, sending }
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<Body>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { wire, on_interim, sending } = &mut *self;
        sending.poll(wire, on_interim.as_ref(), rt::now(), cx)
    }
}

impl Sending {
    #[inline]
    pub(crate) fn new(outgoing: Outgoing) -> Self {
        Self { outgoing: Some(outgoing), stage: Stage::New }
    }

    /// Whether nothing was begun yet, and nothing failed.
    pub(crate) fn is_new(&self) -> bool {
        matches!(self.stage, Stage::New)
    }

    /// Whether it could not be begun on its connection: then nothing was written, and it can be begun on another.
    pub(crate) fn may_start_anew(&mut self) -> bool {
        let unsent = matches!(self.stage, Stage::NotBegun);
        if unsent {
            self.stage = Stage::New;
        }
        unsent
    }

    /// It is sent once more, on another connection.
    pub(crate) fn start_over(&mut self) {
        if let Some(outgoing) = &mut self.outgoing {
            outgoing.upload = outgoing.again.body.make();
            self.stage = Stage::New;
        }
    }

    /// The number of its exchange, once it was begun.
    pub(crate) fn exchange(&self) -> Option<u64> {
        match self.stage {
            Stage::New | Stage::NotBegun => None,
            Stage::Sent(exchange, _) | Stage::Answered(exchange, _) | Stage::Failed(exchange) => {
                Some(exchange)
            }
        }
    }

    /// The number of the exchange, and when its response head came.
    pub(crate) fn answered(&self) -> Option<(u64, Instant)> {
        match self.stage {
            Stage::Answered(exchange, at) => Some((exchange, at)),
            _ => None,
        }
    }

    /// Its caller is gone.
    pub(crate) fn abandon(&self, wire: &Arc<Wire>) {
        if let Stage::Sent(exchange, _) = self.stage {
            wire.order_abandon(exchange);
        }
    }
}

/// Begins an exchange, and gives its number; `Pending` while the one before is being cleared away.
pub(super) fn begin(
    wire: &Arc<Wire>,
    work: &mut Locked<'_>,
    now: Instant,
    cx: &mut Context<'_>,
    head: &request::Parts,
    length: Option<u64>,
    timeouts: Option<&Timeouts>,
) -> Poll<Result<u64, Error>> {
    let looked = match work.driver {
        Driver::Caller => work.look(now, cx),
        Driver::Attendant => Poll::Ready(()),
    };
    let begun = match looked {
        Poll::Pending => {
            // Whoever drives in the meantime takes what came, and this future must look again.
            wire.watch(cx.waker());
            // The one before is not the last hold on its task: it watches too.
            drop(work.read_by(cx.waker()));
            Poll::Pending
        }
        Poll::Ready(()) => match work.engine.begin(now, head, length) {
            Ok(_) => {
                work.lent();
                work.limit(timeouts);
                return Poll::Ready(Ok(work.engine.exchange()));
            }
            Err(NotOpen::Busy) if work.is_clearing() => {
                wire.watch(cx.waker());
                Poll::Pending
            }
            Err(NotOpen::Unsendable(unsendable)) => Poll::Ready(Err(Error::unsendable(unsendable))),
            Err(NotOpen::Ending(reason)) => Poll::Ready(Err(Error::closed(reason, wire.id()))),
            Err(_) => Poll::Ready(Err(Error::new(ErrorKind::NotReady).on(wire.id()))),
        },
    };
    if work.engine.state() == State::Idle {
        // The look has replaced what watched the idle connection.
        work.note_look(now);
        work.arm_soon_enough(now);
    }
    begun
}

impl Sending {
    /// Begins the exchange, or goes on with it: the response, once its head is there.
    pub(crate) fn poll(
        &mut self,
        wire: &Arc<Wire>,
        on_interim: Option<&OnInterim>,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<Body>, Error>> {
        let Self { outgoing, stage } = self;
        let mut work = wire.lock();
        work.obey(now);
        let mut looked = false;
        if let (Stage::New, Some(outgoing)) = (&*stage, &mut *outgoing) {
            let Outgoing { head, length, timeouts, again, .. } = &*outgoing;
            *stage = match ready!(begin(wire, &mut work, now, cx, head, *length, timeouts.as_deref())) {
                Ok(exchange) => {
                    work.bear(again.bears_doubt(head));
                    Stage::Sent(exchange, outgoing.upload.take())
                }
                Err(error) => {
                    *stage = Stage::NotBegun;
                    return Poll::Ready(Err(error));
                }
            };
            looked = true;
        }
        // The body is polled until it is silent, and under no lock.
        let mut silent = false;
        loop {
            let Stage::Sent(exchange, upload) = &mut *stage else { return Poll::Pending };
            while let Some(body) = upload
                && !silent
                && work.engine.wants_body()
            {
                drop(work);
                let frame = body.as_mut().poll_frame(cx);
                work = wire.lock();
                // Another driver may have had its turn: what the look registered is not to be relied on.
                looked = false;
                match frame {
                    Poll::Pending => silent = true,
                    Poll::Ready(frame) => {
                        if let Err(error) = give(&mut work.engine, now, frame) {
                            let (facts, answer) = work.engine.evidence();
                            drop(work);
                            *stage = Stage::Failed(*exchange);
                            return Poll::Ready(Err(error.of_request(facts, answer).on(wire.id())));
                        }
                        if !work.engine.wants_write() || work.driver == Driver::Attendant {
                            continue;
                        }
                        break;
                    }
                }
            }
            match (&upload, work.engine.owes_body()) {
                (Some(_), false) => {
                    // Nothing more is asked of it, however long the response takes.
                    drop(work);
                    *upload = None;
                    work = wire.lock();
                    looked = false;
                }
                // A coding, but no body: its end is all there is.
                (None, true) => drop(work.engine.end_body(now, None)),
                _ => {}
            }
            let wanted = work.engine.wants_read();
            let turned = match work.driver {
                Driver::Caller if std::mem::take(&mut looked) => work.push(now, cx),
                Driver::Caller => work.turn(now, cx),
                Driver::Attendant => Turned::Parked,
            };
            let event = if work.engine.may_have_news() { work.engine.poll_event(now) } else { None };
            match event {
                Some(Event::Interim(head)) => {
                    if let Some(tell) = on_interim {
                        drop(work);
                        tell(&head);
                        work = wire.lock();
                    }
                }
                Some(Event::Response(head, size)) => {
                    let (exchange, upload) = (*exchange, upload.take());
                    *stage = Stage::Answered(exchange, now);
                    return Poll::Ready(Ok(answered(wire, work, now, exchange, upload, head, size)));
                }
                Some(Event::Failed(failure)) => {
                    drop(work);
                    *stage = Stage::Failed(*exchange);
                    return Poll::Ready(Err(Error::failed(failure, wire.id())));
                }
                Some(_) => {}
                None if turned == Turned::Progress => {}
                // What is there turned out to be too little.
                None if !wanted && work.engine.wants_read() && work.driver == Driver::Caller => {}
                None if upload.is_some() && !silent && work.engine.wants_body() => {}
                None => {
                    let attended = work.driver == Driver::Attendant && work.engine.wants_write();
                    let before = work.read_by(cx.waker());
                    work.arm_soon_enough(now);
                    drop(work);
                    drop(before);
                    if outgoing.as_ref().is_some_and(|outgoing| outgoing.lease.is_some()) {
                        *outgoing = None;
                    }
                    if attended {
                        wire.call_attendant();
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

/// The head is there; so may be all of its body.
fn answered(
    wire: &Arc<Wire>,
    mut work: Locked<'_>,
    now: Instant,
    exchange: u64,
    upload: Option<Upload>,
    head: Response<()>,
    size: BodySize,
) -> Response<Body> {
    if size == BodySize::Upgrade {
        let leftover = work.engine.take_leftover();
        work.arm(now);
        drop(work);
        return head.map(|()| Body::upgraded(Upgraded::new(wire.clone(), leftover)));
    }
    let body = early_body(wire, &mut work, now, exchange, size);
    match work.engine.is_response_whole() {
        true => settle(&mut work, now),
        // Nobody may ever poll its body.
        false => work.arm_soon_enough(now),
    }
    let owed = upload.is_some() && work.engine.owes_body();
    let attended = work.driver == Driver::Attendant;
    drop(work);
    match upload {
        Some(upload) if owed => wire.hand_over(upload),
        _ if attended => wire.call_attendant(),
        _ => {}
    }
    head.map(|()| body)
}

/// The body as far as it came with its head: mostly all of it, in one piece or none.
fn early_body(wire: &Arc<Wire>, work: &mut Locked<'_>, now: Instant, exchange: u64, size: BodySize) -> Body {
    if work.engine.is_response_whole() {
        return Body::empty();
    }
    let mut early = Early::default();
    loop {
        let event = work.engine.poll_event(now);
        match (event, work.engine.is_response_whole()) {
            (Some(Event::Data(data)), true) if early.is_empty() => return Body::from(data),
            (Some(Event::Data(data)), false) => early.push(data),
            (Some(Event::Data(data)), true) => {
                early.push(data);
                return Body::whole(early, None);
            }
            (Some(Event::Trailers(trailers)), _) => return Body::whole(early, Some(trailers)),
            (_, true) => return Body::whole(early, None),
            // The rest is to come, or a failure that the body will tell.
            (_, false) => return Body::incoming(Incoming::new(wire.clone(), exchange, size, early)),
        }
    }
}

impl Drop for ResponseFuture {
    fn drop(&mut self) {
        self.sending.abandon(&self.wire);
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.sending.stage {
            Stage::New => "new",
            Stage::Sent(..) => "sent",
            Stage::Answered(..) => "answered",
            Stage::NotBegun | Stage::Failed(_) => "failed",
        };
        f.debug_struct("ResponseFuture").field("connection", &self.wire.id()).field("stage", &stage).finish()
    }
}
