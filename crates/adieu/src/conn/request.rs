//! A request on its way into the engine: its head, and its body boxed as the engine takes it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use adieu_proto::fate::{Repeat, Replay, Rules, Twice};
use adieu_proto::lifecycle::Timeouts;
use bytes::{Buf, Bytes};
use http::request;
use http_body::Body;
use http_body_util::{BodyExt, Full};

use crate::drive::{Doubt, Lease, Upload};
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
    pub(crate) body: Copies,
    pub(crate) rule: Replay,
    pub(crate) mark: Mark,
}

/// What it takes to produce a body once more.
pub(crate) struct Copies {
    /// `None`: there is no body, or none that comes again.
    source: Option<Box<Source>>,
    comes: Comes,
}

/// How often a body comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comes {
    Once,
    Again,
}

/// What a body is made of, again and again.
pub(crate) enum Source {
    Bytes(Bytes),
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
    pub(crate) const NEVER: Self = Self { body: Copies::ONCE, rule: Replay::Never, mark: Mark::None };

    /// By which rules this request may be sent again.
    pub(crate) fn rules(&self, head: &request::Parts) -> Rules {
        let repeat = match self.body.comes {
            Comes::Once => Repeat::Impossible,
            Comes::Again => Repeat::Possible,
        };
        Rules { replay: self.rule, twice: self.twice(head), repeat }
    }

    /// Whether it does harm if this request is processed twice.
    fn twice(&self, head: &request::Parts) -> Twice {
        let marked = self.mark == Mark::Repeatable && !matches!(self.rule, Replay::Never | Replay::Proven);
        if marked { Twice::Harmless } else { self.rule.twice(&head.method, &head.headers) }
    }

    /// Whether it could be sent again although it may have been processed.
    #[inline]
    pub(crate) fn bears_doubt(&self, head: &request::Parts) -> Doubt {
        let comes = self.body.comes == Comes::Again && !matches!(self.rule, Replay::Never | Replay::Proven);
        match comes {
            true if head.method.is_safe() => Doubt::Borne,
            true => self.looks_closer(head),
            false => Doubt::Unbearable,
        }
    }

    #[cold]
    fn looks_closer(&self, head: &request::Parts) -> Doubt {
        if self.twice(head) == Twice::Harmless { Doubt::Borne } else { Doubt::Unbearable }
    }
}

impl Copies {
    /// It comes from somewhere, and only once.
    pub(crate) const ONCE: Self = Self { source: None, comes: Comes::Once };
    /// There is none.
    pub(crate) const EMPTY: Self = Self { source: None, comes: Comes::Again };

    pub(crate) fn of(source: Source) -> Self {
        Self { source: Some(Box::new(source)), comes: Comes::Again }
    }

    /// The body once more; `None`: there is none.
    pub(crate) fn make(&self) -> Option<Upload> {
        Some(match &**self.source.as_ref()? {
            Source::Bytes(bytes) => uniform(Full::new(bytes.clone())),
            Source::Made(make) => make(),
        })
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
pub(crate) fn apart<B>(body: B) -> (Option<u64>, Option<Upload>, Copies)
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    if body.is_end_stream() {
        return (Some(0), None, Copies::EMPTY);
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
            _ => (Some(0), None, Copies::EMPTY),
        };
    }
    if let Some(ours) = take::<super::body::Body>(&mut slot) {
        let (length, again) = (length_of(&ours), ours.again());
        return (length, Some(uniform(ours)), again);
    }
    match slot {
        Some(body) => (length_of(&body), Some(uniform(body)), Copies::ONCE),
        None => (Some(0), None, Copies::EMPTY),
    }
}

fn of_bytes(bytes: Bytes) -> (Option<u64>, Option<Upload>, Copies) {
    let again = Copies::of(Source::Bytes(bytes.clone()));
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
