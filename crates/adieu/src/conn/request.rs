//! A request on its way into the engine: its head, and its body boxed as the engine takes it.

use std::sync::Arc;

use adieu_proto::lifecycle::Timeouts;
use bytes::{Buf, Bytes};
use http::request;
use http_body::Body;
use http_body_util::BodyExt;

use crate::drive::{Lease, Upload};
use crate::error::BoxError;

/// A request taken apart.
pub(crate) struct Outgoing {
    pub(crate) head: request::Parts,
    /// What the body says of its length; `None`: not known.
    pub(crate) length: Option<u64>,
    /// `None`: there is no body.
    pub(crate) upload: Option<Upload>,
    /// How long each phase may take; `None`: what the connection says.
    pub(crate) timeouts: Option<Box<Timeouts>>,
    /// What is not begun yet keeps its connection, as it would if its sender were still there. `None`: a pool does.
    #[expect(dead_code, reason = "it is held, not read")]
    pub(crate) lease: Option<Arc<Lease>>,
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
        Self { length: length_of(&body), head, upload: upload_of(body), timeouts: None, lease }
    }
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
