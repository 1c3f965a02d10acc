//! A body, of a request or of a response.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::io::AsyncRead;

use super::incoming::{Early, Incoming};
use super::info::ResponseInfo;
use super::reader::Reader;
use super::request::{AgainBody, uniform};
use super::upgraded::Upgraded;
use crate::drive::Upload;
use crate::error::{BoxError, Error};

/// A body: empty, bytes, another `http_body::Body`, what a reader gives, or what comes over a connection.
///
/// | to send | make it by |
/// |---|---|
/// | nothing | [`Body::empty`] |
/// | bytes, text | `Body::from` |
/// | a file, any reader | [`Body::sized_reader`], [`Body::reader`] |
/// | a stream | [`Body::wrap`] over `http_body_util::StreamBody` |
/// | something that can be made anew, should the request have to be sent again | [`Body::factory`] |
///
/// Dropping the body of a response before its end: a rest that is known and small (64 KiB by default), or
/// already here, is discarded within 50 ms and the connection stays; otherwise, or while the request is still being
/// uploaded, the connection is closed as by `CloseMode::now()`.
#[derive(Default)]
pub struct Body {
    kind: Kind,
    /// How it came, if it is a client's response.
    info: Option<ResponseInfo>,
}

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Bytes(Bytes),
    Trailers(Box<HeaderMap>),
    /// Several pieces, then perhaps trailers.
    Pieces(Box<Early>, Option<Box<HeaderMap>>),
    Incoming(Box<Incoming>),
    /// None, but a connection that another protocol has.
    Upgraded(Box<Upgraded>),
    Other(Other),
    Made(Box<Made>),
}

/// A body that can be made anew.
struct Made {
    body: Other,
    make: Arc<dyn Fn() -> Other + Send + Sync>,
}

/// Somebody else's body.
struct Other {
    /// The lock is never taken, only gone around: it makes any body `Sync`.
    body: Mutex<Upload>,
    /// What it said of its length when it was wrapped, less what it gave since.
    left: Option<u64>,
}

impl Body {
    /// No body.
    #[must_use]
    pub const fn empty() -> Self {
        Self { kind: Kind::Empty, info: None }
    }

    const fn of(kind: Kind) -> Self {
        Self { kind, info: None }
    }

    /// Any other body, streamed as it comes; a stream by way of `http_body_util::StreamBody`:
    ///
    /// ```
    /// use adieu::{Body, Bytes};
    /// use futures_util::{TryStreamExt, stream};
    /// use http_body::Frame;
    /// use http_body_util::StreamBody;
    ///
    /// let pieces = stream::iter([Ok("one"), Ok("two"), Err(std::io::Error::other("no third"))]);
    /// let frames = pieces.map_ok(|piece| Frame::data(Bytes::from_static(piece.as_bytes())));
    /// let body = Body::wrap(StreamBody::new(frames));
    /// ```
    ///
    /// Its length is what it says exactly, and else unknown: then it is sent chunked. It can be polled only once, so a
    /// request with it is not sent again: see [`factory`](Self::factory).
    pub fn wrap<B>(body: B) -> Self
    where
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        Self::of(Kind::Other(Other::new(body)))
    }

    /// A body that `make` makes, now, and again whenever it is needed once more ([`try_clone`](Self::try_clone)).
    ///
    /// ```
    /// use adieu::Body;
    ///
    /// let body = Body::factory(|| Body::from("the same each time"));
    /// assert!(body.try_clone().is_some());
    /// ```
    pub fn factory<B>(make: impl Fn() -> B + Send + Sync + 'static) -> Self
    where
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        Self::made_by(Arc::new(move || Other::new(make())))
    }

    fn made_by(make: Arc<dyn Fn() -> Other + Send + Sync>) -> Self {
        Self::of(Kind::Made(Box::new(Made { body: make(), make })))
    }

    /// What `reader` gives, until it ends: a `tokio::fs::File`, a pipe. Sent chunked, for its length is not known.
    pub fn reader(reader: impl AsyncRead + Send + 'static) -> Self {
        Self::wrap(Reader::new(reader, None))
    }

    /// The next `length` bytes of `reader`, with `Content-Length`. What comes after them is not read; fewer are an
    /// [`ErrorKind::RequestBody`](crate::ErrorKind::RequestBody).
    pub fn sized_reader(reader: impl AsyncRead + Send + 'static, length: u64) -> Self {
        Self::wrap(Reader::new(reader, Some(length)))
    }

    /// The same body once more: one that is empty, bytes or made by a [`factory`](Self::factory), which makes it anew.
    /// `None`: it comes from somewhere and only once.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        match &self.kind {
            Kind::Empty => Some(Self::empty()),
            Kind::Bytes(bytes) => Some(Self::of(Kind::Bytes(bytes.clone()))),
            Kind::Made(made) => Some(Self::made_by(made.make.clone())),
            _ => None,
        }
    }

    /// What it takes to send it once more.
    pub(super) fn again(&self) -> AgainBody {
        match &self.kind {
            Kind::Empty => AgainBody::Empty,
            Kind::Bytes(bytes) => AgainBody::Bytes(Box::new(bytes.clone())),
            Kind::Made(made) => {
                let make = made.make.clone();
                AgainBody::Made(Arc::new(move || uniform(Self::of(Kind::Other(make())))))
            }
            _ => AgainBody::Never,
        }
    }

    /// All of a response body, in as many pieces as it came.
    pub(super) fn whole(mut pieces: Early, trailers: Option<HeaderMap>) -> Self {
        let first = pieces.pop();
        Self::of(match (first, pieces.is_empty(), trailers) {
            (None, _, None) => Kind::Empty,
            (None, _, Some(trailers)) => Kind::Trailers(Box::new(trailers)),
            (Some(only), true, None) => Kind::Bytes(only),
            (Some(first), _, trailers) => {
                pieces.put_back(first);
                Kind::Pieces(Box::new(pieces), trailers.map(Box::new))
            }
        })
    }

    /// The connection itself, where the response switched protocols (101) or opened a tunnel (2xx to CONNECT).
    /// Otherwise the body comes back.
    ///
    /// # Errors
    ///
    /// The body of any other response.
    pub fn into_upgraded(self) -> Result<Upgraded, Self> {
        match self.kind {
            Kind::Upgraded(upgraded) => Ok(*upgraded),
            other => Err(Self { kind: other, info: self.info }),
        }
    }

    /// How the response came whose body this is; `None`: it is no response of a [`Client`](crate::Client).
    #[must_use]
    pub fn info(&self) -> Option<&ResponseInfo> {
        self.info.as_ref()
    }

    pub(crate) fn set_info(&mut self, info: ResponseInfo) {
        self.info = Some(info);
    }

    pub(super) fn upgraded(upgraded: Upgraded) -> Self {
        Self::of(Kind::Upgraded(Box::new(upgraded)))
    }

    pub(super) fn incoming(incoming: Incoming) -> Self {
        Self::of(Kind::Incoming(Box::new(incoming)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = match &mut self.kind {
            Kind::Empty | Kind::Upgraded(_) => return Poll::Ready(None),
            Kind::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            Kind::Incoming(incoming) => return incoming.poll_frame(cx),
            Kind::Other(other) => return other.poll_frame(cx),
            Kind::Made(made) => return made.body.poll_frame(cx),
            held => std::mem::take(held),
        };
        Poll::Ready(match frame {
            Kind::Trailers(trailers) => Some(Ok(Frame::trailers(*trailers))),
            Kind::Pieces(mut pieces, trailers) => {
                let piece = pieces.pop().unwrap_or_default();
                self.kind = match (pieces.is_empty(), trailers) {
                    (true, None) => Kind::Empty,
                    (true, Some(trailers)) => Kind::Trailers(trailers),
                    (false, trailers) => Kind::Pieces(pieces, trailers),
                };
                Some(Ok(Frame::data(piece)))
            }
            _ => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty | Kind::Upgraded(_) => true,
            Kind::Bytes(_) | Kind::Trailers(_) | Kind::Pieces(..) => false,
            Kind::Incoming(incoming) => incoming.is_end_stream(),
            // Nobody but a holder of `&mut self` could tell.
            Kind::Other(_) | Kind::Made(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty | Kind::Trailers(_) | Kind::Upgraded(_) => SizeHint::with_exact(0),
            Kind::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Pieces(pieces, _) => SizeHint::with_exact(pieces.bytes()),
            Kind::Incoming(incoming) => incoming.size_hint(),
            Kind::Other(other) => other.size_hint(),
            Kind::Made(made) => made.body.size_hint(),
        }
    }
}

impl Other {
    fn new<B>(body: B) -> Self
    where
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let left = body.size_hint().exact();
        Self { body: Mutex::new(uniform(body)), left }
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let body = self.body.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let frame = std::task::ready!(body.as_mut().poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            let given = frame.data_ref().map_or(0, Bytes::len) as u64;
            self.left = self.left.map(|left| left.saturating_sub(given));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Error::request_body)))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::empty() } else { Self::of(Kind::Bytes(bytes)) }
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_tuple("Body");
        match &self.kind {
            Kind::Empty => debug.field(&"empty"),
            Kind::Bytes(bytes) => debug.field(&format_args!("{} bytes", bytes.len())),
            Kind::Pieces(pieces, _) => debug.field(&format_args!("{} bytes", pieces.bytes())),
            Kind::Trailers(_) => debug.field(&"trailers"),
            Kind::Incoming(_) => debug.field(&"incoming"),
            Kind::Upgraded(_) => debug.field(&"upgraded"),
            Kind::Other(_) => debug.field(&"streamed"),
            Kind::Made(_) => debug.field(&"made anew"),
        };
        debug.finish()
    }
}
