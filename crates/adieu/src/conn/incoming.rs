//! The body of a response as it comes: polling it drives the connection.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use adieu_proto::h1::{BodySize, Event};
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::drive::{Driver, Locked, Turned, Wire};
use crate::error::{Error, ErrorKind};
use crate::rt;

/// What comes over a connection.
pub(super) struct Incoming {
    wire: Arc<Wire>,
    exchange: u64,
    /// What came with the head.
    early: Early,
    left: Option<u64>,
    stage: Stage,
}

/// The pieces of a body that came with its head: mostly one, for which nothing is allocated.
#[derive(Debug, Default)]
pub(super) struct Early {
    first: Bytes,
    more: VecDeque<Bytes>,
}

impl Early {
    pub(super) fn push(&mut self, piece: Bytes) {
        if self.is_empty() {
            self.first = piece;
        } else {
            self.more.push_back(piece);
        }
    }

    /// Undoes a [`pop`](Self::pop).
    pub(super) fn put_back(&mut self, piece: Bytes) {
        debug_assert!(self.first.is_empty(), "put back what was not taken");
        self.first = piece;
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        match std::mem::take(&mut self.first) {
            first if first.is_empty() => self.more.pop_front(),
            first => Some(first),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.more.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        (self.first.len() + self.more.iter().map(Bytes::len).sum::<usize>()) as u64
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// More comes.
    Open,
    /// Nothing more comes.
    Over,
}

impl Incoming {
    pub(super) fn new(wire: Arc<Wire>, exchange: u64, size: BodySize, early: Early) -> Self {
        let left = match size {
            BodySize::Known(length) => Some(length),
            _ => None,
        };
        Self { wire, exchange, early, left, stage: Stage::Open }
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(data) = self.early.pop() {
            return Poll::Ready(Some(Ok(self.data(data))));
        }
        if self.stage == Stage::Over {
            return Poll::Ready(None);
        }
        let wire = self.wire.clone();
        let mut work = wire.lock();
        let now = rt::now();
        work.obey(now);
        if work.engine.exchange() != self.exchange {
            // Not to be: its exchange ends before another begins. If it were, this body would not be whole.
            self.stage = Stage::Over;
            return Poll::Ready(Some(Err(Error::new(ErrorKind::IncompleteBody).on(wire.id()))));
        }
        let mut turned = Turned::Progress;
        loop {
            if let Some(event) = work.engine.poll_event(now) {
                let whole = work.engine.is_response_whole();
                let attended = work.driver == Driver::Attendant;
                if whole {
                    self.stage = Stage::Over;
                    settle(&mut work, now);
                }
                drop(work);
                if attended {
                    // What was taken makes room for more.
                    wire.call_attendant();
                }
                return Poll::Ready(self.told(event));
            }
            if work.engine.is_response_whole() {
                self.stage = Stage::Over;
                settle(&mut work, now);
                return Poll::Ready(None);
            }
            if turned == Turned::Parked || work.driver == Driver::Attendant {
                work.engine.handle_reader_waiting(now);
                let before = work.read_by(cx.waker());
                work.arm_soon_enough(now);
                drop(work);
                drop(before);
                return Poll::Pending;
            }
            turned = work.turn(now, cx);
        }
    }

    fn told(&mut self, event: Event) -> Option<Result<Frame<Bytes>, Error>> {
        match event {
            Event::Data(data) => Some(Ok(self.data(data))),
            Event::Trailers(trailers) => Some(Ok(Frame::trailers(trailers))),
            Event::Failed(failure) => {
                self.stage = Stage::Over;
                Some(Err(Error::failed(failure, self.wire.id())))
            }
            _ => None,
        }
    }

    fn data(&mut self, data: Bytes) -> Frame<Bytes> {
        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
        Frame::data(data)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.stage == Stage::Over && self.early.is_empty()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self.left {
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::default(),
        }
    }
}

/// The response was taken whole: the connection may be idle from now on.
#[inline]
pub(super) fn settle(work: &mut Locked<'_>, now: std::time::Instant) {
    work.note_use(now);
    work.arm_soon_enough(now);
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if self.stage == Stage::Open {
            self.wire.order_abandon(self.exchange);
        }
    }
}

impl Unpin for Incoming {}

const _: () = {
    const fn assert<T: Send + Sync>() {}
    assert::<Incoming>();
    let _ = Pin::<&mut Incoming>::new;
};
