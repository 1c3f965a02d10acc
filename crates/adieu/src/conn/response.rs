//! The response to come: polling it sends the request and drives the connection.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use adieu_proto::h1::{BodySize, Event, NotOpen};
use http::Response;

use super::body::Body;
use super::incoming::{Early, Incoming, settle};
use super::request::Outgoing;
use super::upgraded::Upgraded;
use crate::drive::{Driver, Locked, Turned, Upload, Wire, give};
use crate::error::{Error, ErrorKind};
use crate::rt;

/// Called with each interim response (1xx), under no lock.
pub(super) type OnInterim = Arc<dyn Fn(&Response<()>) + Send + Sync>;

/// The response to come. Nothing is written before the first poll.
///
/// Dropped before that, the connection is as before. Dropped later, the connection is closed as by
/// `CloseMode::now()`: reset if the request was cut short by it.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture {
    wire: Arc<Wire>,
    on_interim: Option<OnInterim>,
    stage: Stage,
}

#[expect(clippy::large_enum_variant, reason = "a box would be an allocation for each request")]
enum Stage {
    /// Nothing was written.
    New(Outgoing),
    /// The exchange with this number is in flight.
    Sent(u64, Option<Upload>),
    /// It was told how it ended.
    Over,
}

impl ResponseFuture {
    pub(super) fn new(wire: Arc<Wire>, on_interim: Option<OnInterim>, outgoing: Outgoing) -> Self {
        Self { wire, on_interim, stage: Stage::New(outgoing) }
    }

    /// Begins the exchange; `Pending` while the one before is being cleared away.
    fn begin(
        &mut self,
        work: &mut Locked<'_>,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        let Stage::New(outgoing) = &mut self.stage else { return Poll::Ready(Ok(())) };
        if work.driver == Driver::Caller && work.look(now, cx).is_pending() {
            return Poll::Pending;
        }
        let error = match work.engine.begin(now, &outgoing.head, outgoing.length) {
            Ok(_) => {
                self.stage = Stage::Sent(work.engine.exchange(), outgoing.upload.take());
                return Poll::Ready(Ok(()));
            }
            Err(NotOpen::Busy) if work.is_clearing() => {
                self.wire.watch(cx.waker());
                return Poll::Pending;
            }
            Err(NotOpen::Unsendable(unsendable)) => Error::unsendable(unsendable),
            Err(NotOpen::Ending(reason)) => Error::closed(reason, self.wire.id()),
            Err(_) => Error::new(ErrorKind::NotReady).on(self.wire.id()),
        };
        self.stage = Stage::Over;
        Poll::Ready(Err(error))
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<Body>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let wire = this.wire.clone();
        let mut work = wire.lock();
        let now = rt::now();
        work.obey(now);
        let mut looked = matches!(this.stage, Stage::New(_));
        match this.begin(&mut work, now, cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
        // The body is polled until it is silent, and under no lock.
        let mut silent = false;
        loop {
            let Stage::Sent(_, upload) = &mut this.stage else { return Poll::Pending };
            while let Some(body) = upload
                && !silent
                && work.engine.wants_body()
            {
                drop(work);
                let frame = body.as_mut().poll_frame(cx);
                work = wire.lock();
                match frame {
                    Poll::Pending => silent = true,
                    Poll::Ready(frame) => {
                        if let Err(error) = give(&mut work.engine, now, frame) {
                            drop(work);
                            this.stage = Stage::Over;
                            return Poll::Ready(Err(error.on(wire.id())));
                        }
                        if !work.engine.wants_write() || work.driver == Driver::Attendant {
                            continue;
                        }
                        break;
                    }
                }
            }
            let turned = match work.driver {
                Driver::Caller if std::mem::take(&mut looked) => work.push(now, cx),
                Driver::Caller => work.turn(now, cx),
                Driver::Attendant => Turned::Parked,
            };
            let event = if work.engine.may_have_news() { work.engine.poll_event(now) } else { None };
            match event {
                Some(Event::Interim(head)) => {
                    if let Some(tell) = &this.on_interim {
                        drop(work);
                        tell(&head);
                        work = wire.lock();
                    }
                }
                Some(Event::Response(head, size)) => {
                    return Poll::Ready(Ok(this.answered(work, now, head, size)));
                }
                Some(Event::Failed(failure)) => {
                    drop(work);
                    this.stage = Stage::Over;
                    return Poll::Ready(Err(Error::failed(failure, wire.id())));
                }
                Some(_) => {}
                None if turned == Turned::Progress => {}
                None if upload.is_some() && !silent && work.engine.wants_body() => {}
                None => {
                    let attended = work.driver == Driver::Attendant && work.engine.wants_write();
                    work.read_by(cx.waker());
                    work.arm_soon_enough(now);
                    drop(work);
                    if attended {
                        wire.call_attendant();
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

impl ResponseFuture {
    /// The head is there; so may be all of its body.
    fn answered(
        &mut self,
        mut work: Locked<'_>,
        now: Instant,
        head: Response<()>,
        size: BodySize,
    ) -> Response<Body> {
        let Stage::Sent(exchange, upload) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return head.map(|()| Body::empty());
        };
        if size == BodySize::Upgrade {
            let leftover = work.engine.take_leftover();
            drop(work);
            return head.map(|()| Body::upgraded(Upgraded::new(self.wire.clone(), leftover)));
        }
        let mut early = Early::default();
        let mut trailers = None;
        let mut whole = work.engine.is_response_whole();
        while !whole {
            match work.engine.poll_event(now) {
                Some(Event::Data(data)) => early.push(data),
                Some(Event::Trailers(fields)) => trailers = Some(fields),
                _ => break,
            }
            whole = work.engine.is_response_whole();
        }
        whole |= work.engine.is_response_whole();
        if whole {
            settle(&mut work, now);
        }
        let goes_on = upload.filter(|_| work.engine.owes_body());
        let attended = work.driver == Driver::Attendant;
        drop(work);
        match goes_on {
            Some(upload) => self.wire.hand_over(upload),
            None if attended => self.wire.call_attendant(),
            None => {}
        }
        let body = match whole {
            true => Body::whole(early, trailers),
            false => Body::incoming(Incoming::new(self.wire.clone(), exchange, size, early)),
        };
        head.map(|()| body)
    }
}

impl Drop for ResponseFuture {
    fn drop(&mut self) {
        if let Stage::Sent(exchange, _) = self.stage {
            self.wire.order_abandon(exchange);
        }
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::New(_) => "new",
            Stage::Sent(..) => "sent",
            Stage::Over => "over",
        };
        f.debug_struct("ResponseFuture").field("connection", &self.wire.id()).field("stage", &stage).finish()
    }
}
