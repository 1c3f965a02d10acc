//! A request on its way into the engine: its head, and its body boxed as the engine takes it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use adieu_proto::fate::{Repeat, Replay, Twice};
use adieu_proto::lifecycle::Timeouts;
use bytes::{Buf, Bytes};
use http::request;
use http_body::Body;
use http_body_util::{BodyExt, Full};

use crate::drive::{Lease, Upload};
use crate::error::BoxError;
use crate::transport::take;

/// A request taken apart.
pub(crate) struct Outgoing {
    pub(crate) head: request::Parts,
    /// What the body says of its length; `None`: not known.
    pub(crate) length: Option<u64>,
    /// `None`: there is no body.
    pub(crate) upload: Option<Upload>,
    /// How long each phase may take; `None`: what the connection says.
    pub(crate) timeouts: Option<Box<Timeouts>>,
    /// What is not begun yet keeps its connection, as it would if its sender were still there. `None`: a pool does, and
    /// the request is kept for it may have to be sent again.
    pub(crate) lease: Option<Arc<Lease>>,
    pub(crate) again: Again,
}

/// Whether and how a request can be sent again.
pub(crate) struct Again {
    pub(crate) body: AgainBody,
    pub(crate) rule: Replay,
    pub(crate) mark: Mark,
}

/// The body once more.
pub(crate) enum AgainBody {
    /// There is none.
    Empty,
    /// It comes from somewhere, and only once.
    Never,
    Bytes(Box<Bytes>),
    Made(Arc<dyn Fn() -> Upload + Send + Sync>),
}

/// Whether its caller said that it may be processed twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing was said.
    #[default]
    None,
    Repeatable,
}

impl Again {
    pub(crate) const NEVER: Self = Self { body: AgainBody::Never, rule: Replay::Never, mark: Mark::None };

    pub(crate) fn repeat(&self) -> Repeat {
        match self.body {
            AgainBody::Never => Repeat::Impossible,
            _ => Repeat::Possible,
        }
    }

    /// Whether it does harm if this request is processed twice.
    pub(crate) fn twice(&self, head: &request::Parts) -> Twice {
        let marked = self.mark == Mark::Repeatable && !matches!(self.rule, Replay::Never | Replay::Proven);
        if marked { Twice::Harmless } else { self.rule.twice(&head.method, &head.headers) }
    }

    /// Whether it could be sent again although it may have been processed.
    pub(crate) fn bears_doubt(&self, head: &request::Parts) -> bool {
        self.repeat() == Repeat::Possible && self.twice(head) == Twice::Harmless
    }
}

impl AgainBody {
    /// The body once more; `None`: there is none.
    pub(crate) fn make(&self) -> Option<Upload> {
        match self {
            Self::Empty | Self::Never => None,
            Self::Bytes(bytes) => Some(uniform(Full::new(Bytes::clone(bytes)))),
            Self::Made(make) => Some(make()),
        }
    }
}

impl Outgoing {
    #[inline]
    pub(crate) fn new<B>(request: http::Request<B>, lease: Option<Arc<Lease>>) -> Self
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        let (length, upload) = (length_of(&body), upload_of(body));
        Self { length, head, upload, timeouts: None, lease, again: Again::NEVER }
    }
}

/// A body taken apart: its length, itself, and itself once more. Text and bytes are recognised in whatever type they come.
pub(crate) fn apart<B>(body: B) -> (Option<u64>, Option<Upload>, AgainBody)
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    if body.is_end_stream() {
        return (Some(0), None, AgainBody::Empty);
    }
    let mut slot = Some(body);
    if let Some(text) = take::<String>(&mut slot) {
        return of_bytes(text.into());
    }
    if let Some(bytes) = take::<Bytes>(&mut slot) {
        return of_bytes(bytes);
    }
    if let Some(mut full) = take::<Full<Bytes>>(&mut slot) {
        return match Pin::new(&mut full).poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(frame))) => of_bytes(frame.into_data().unwrap_or_default()),
            _ => (Some(0), None, AgainBody::Empty),
        };
    }
    if let Some(ours) = take::<super::body::Body>(&mut slot) {
        let (length, again) = (length_of(&ours), ours.again());
        return (length, Some(uniform(ours)), again);
    }
    match slot {
        Some(body) => (length_of(&body), Some(uniform(body)), AgainBody::Never),
        None => (Some(0), None, AgainBody::Empty),
    }
}

fn of_bytes(bytes: Bytes) -> (Option<u64>, Option<Upload>, AgainBody) {
    let again = AgainBody::Bytes(Box::new(bytes.clone()));
    (Some(bytes.len() as u64), Some(uniform(Full::new(bytes))), again)
}

/// What a body says of its length; `None`: not known.
pub(crate) fn length_of(body: &impl Body) -> Option<u64> {
    if body.is_end_stream() { Some(0) } else { body.size_hint().exact() }
}

/// A body as the engine takes it; `None`: there is none.
pub(crate) fn upload_of<B>(body: B) -> Option<Upload>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    (!body.is_end_stream()).then(|| uniform(body))
}

/// Any body as the engine takes it; without a copy where its data is `Bytes` already.
pub(super) fn uniform<B>(body: B) -> Upload
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn bytes(mut data: impl Buf) -> Bytes {
        data.copy_to_bytes(data.remaining())
    }
    Box::pin(body.map_frame(|frame| frame.map_data(bytes)).map_err(Into::into))
}
