//! One HTTP/1.1 (or 1.0) connection over any transport.
//!
//! ```no_run
//! # async fn example(io: tokio::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
//! let (mut sender, connection) = adieu::conn::http1::handshake(io).await?;
//! let request = http::Request::get("http://example.com/").body(adieu::Body::empty())?;
//! let response = sender.send_request(request).await?;       // nothing to spawn
//! let report = connection.close(adieu::CloseMode::graceful()).await;
//! # Ok(())
//! # }
//! ```
//!
//! Absolute URIs become origin-form and give the `Host` field; a `Host` that is there is kept. A request of
//! version HTTP/1.0 is sent as such. One exchange at a time: the next may begin when the response before it was
//! read to its end or dropped.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use adieu_proto::h1::{Config, EarlyResponse, Engine};
use adieu_proto::lifecycle::State;
use http::{Request, Response, request};
use http_body::Body as HttpBody;
use tokio::io::{AsyncRead, AsyncWrite};

use super::body::Body;
pub use super::handle::Connection;
use super::request::{Outgoing, length_of, upload_of};
pub use super::response::ResponseFuture;
use super::response::{OnInterim, begin};
use crate::drive::{Departures, Lease, Parts, Wire, next_id};
use crate::error::{BoxError, Error, ErrorKind};
use crate::rt::{self, Runtime};
use crate::transport::{self, Transport};

/// Speaks HTTP/1.1 over `io` with the defaults. `TcpStream`, `UnixStream`, `TlsStream` and
/// [`Upgraded`](super::Upgraded) are recognised; anything else is opaque, so that of it only bytes and error kinds are
/// known.
///
/// # Errors
///
/// Outside of a tokio runtime.
pub async fn handshake<T>(io: T) -> Result<(SendRequest, Connection), Error>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    Builder::new().handshake(io).await
}

/// Speaks HTTP/1.1 over a transport of your own, with the defaults.
///
/// # Errors
///
/// Outside of a tokio runtime.
pub async fn handshake_on(transport: impl Transport) -> Result<(SendRequest, Connection), Error> {
    Builder::new().handshake_on(transport).await
}

/// Sets up a connection. Everything has its default; each setter says which.
#[derive(Clone, Default)]
pub struct Builder {
    config: Config,
    origin: Option<Arc<str>>,
    on_interim: Option<OnInterim>,
    departures: Option<Departures>,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident($value:ident: $type:ty) => $($field:ident).+;)*) => {
        $($(#[$doc])* #[must_use] pub fn $name(mut self, $value: $type) -> Self {
            self.config.$($field).+ = $value;
            self
        })*
    };
}

impl Builder {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// The most bytes of one response head. Default 64 KiB.
        max_head_size(bytes: usize) => limits.head;
        /// The most header fields of one response, and the most trailer fields. Default 128.
        max_header_fields(fields: usize) => limits.fields;
        /// The most bytes of one chunk-size line, extensions included. Default 4 KiB.
        max_chunk_line(bytes: usize) => limits.chunk_line;
        /// The most bytes of chunk extensions in one body. Default 16 KiB.
        max_chunk_extensions(bytes: usize) => limits.chunk_extensions;
        /// The most bytes of one trailer section. Default 16 KiB.
        max_trailers_size(bytes: usize) => limits.trailers;
        /// The most interim responses (1xx) before a final one. Default 32.
        max_interim_responses(number: usize) => limits.interim;
        /// The most bytes that are read and thrown away after our goodbye; more leads to a reset. Default 256 KiB.
        max_discard(bytes: u64) => limits.discard;
        /// The most bytes of a dropped response body that are read and thrown away to keep the connection.
        /// Default 64 KiB; 0 closes the connection unless the rest is already here.
        max_unread_body(bytes: u64) => limits.unread;
        /// How many bytes are read ahead of the caller. Default 64 KiB. Less costs system calls, more costs memory.
        read_ahead(bytes: usize) => limits.read_ahead;
        /// How long the transport may take no bytes of ours. Default 60 s. A request body that is silent by itself
        /// does not count.
        write_stall_timeout(limit: Option<Duration>) => timeouts.write_stall;
        /// How long a body held back by `Expect: 100-continue` waits before it is sent all the same. Default 1 s.
        continue_timeout(limit: Option<Duration>) => timeouts.continue_wait;
        /// From the last byte of the request to the final response head; a 1xx restarts it. Default 300 s.
        response_head_timeout(limit: Option<Duration>) => timeouts.response_head;
        /// Between two pieces of the response body, while the reader waits. Default 300 s; never applied to
        /// `text/event-stream` and gRPC.
        body_gap_timeout(limit: Option<Duration>) => timeouts.body_gap;
        /// From the first byte of a request to the last of its response. Default none.
        exchange_timeout(limit: Option<Duration>) => timeouts.exchange;
        /// How long an upgraded connection may carry no byte in either direction. Default none.
        upgrade_idle_timeout(limit: Option<Duration>) => timeouts.upgrade_idle;
        /// How long one side of an upgraded connection may go on after the other has ended. Default none.
        upgrade_half_closed_timeout(limit: Option<Duration>) => timeouts.upgrade_half_closed;
        /// For discarding the small rest of a dropped response body. Default 50 ms.
        discard_timeout(limit: Duration) => timeouts.discard;
        /// How long to wait for the peer's end after our goodbye, where no close mode says otherwise. Default 2 s.
        linger(limit: Duration) => life.linger;
        /// What becomes of an upload when the final response comes before it is whole. Default: it stops unless
        /// the response is a success that keeps the connection.
        early_response(policy: EarlyResponse) => early_response;
    }

    /// Whom the connection serves (`http://example.com`), as reports and snapshots name it. Default: nothing.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<Arc<str>>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Called with each interim response (1xx, 101 excepted), under no lock. Default: they are skipped.
    #[must_use]
    pub fn on_interim(mut self, tell: impl Fn(&Response<()>) + Send + Sync + 'static) -> Self {
        self.on_interim = Some(Arc::new(tell));
        self
    }

    /// How many connections built with this builder (and its clones) may be saying goodbye at once. A dropped
    /// connection beyond that is aborted, oldest first; one whose close is awaited waits for its turn. Default: 1,024
    /// among all connections that were not given a bound of their own.
    #[must_use]
    pub fn max_departing(mut self, connections: usize) -> Self {
        self.departures = Some(Departures::new(connections));
        self
    }

    /// Speaks HTTP/1.1 over `io`. See [`handshake`].
    ///
    /// # Errors
    ///
    /// Outside of a tokio runtime.
    pub async fn handshake<T>(&self, io: T) -> Result<(SendRequest, Connection), Error>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.start(transport::recognise(io))
    }

    /// Speaks HTTP/1.1 over a transport of your own. See [`handshake_on`].
    ///
    /// # Errors
    ///
    /// Outside of a tokio runtime.
    pub async fn handshake_on(&self, transport: impl Transport) -> Result<(SendRequest, Connection), Error> {
        self.start(Box::new(transport))
    }

    /// What a connection is told.
    pub(crate) fn config(&self) -> Config {
        self.config
    }

    fn start(&self, io: Box<dyn Transport>) -> Result<(SendRequest, Connection), Error> {
        let runtime = Runtime::current().ok_or_else(|| Error::new(ErrorKind::NoRuntime))?;
        let now = rt::now();
        let mut config = self.config;
        (config.half_close, config.receipts) = (io.half_close(), io.receipts());
        let engine = Engine::new(now, config);
        let departures = self.departures.clone().unwrap_or_else(Departures::common);
        let parts =
            Parts { id: next_id(), io, engine, origin: self.origin.clone(), runtime, departures, kept: None };
        let wire = Wire::new(now, parts);
        wire.begin(now);
        let lease = Arc::new(Lease(wire.clone()));
        let sender = SendRequest { wire, on_interim: self.on_interim.clone(), lease: lease.clone() };
        Ok((sender, Connection::new(lease)))
    }
}

/// Sends requests, one at a time.
///
/// When it and every [`Connection`] handle are dropped the connection retires: an exchange in flight ends by
/// itself, then the connection says goodbye.
pub struct SendRequest {
    wire: Arc<Wire>,
    on_interim: Option<OnInterim>,
    lease: Arc<Lease>,
}

impl SendRequest {
    /// Sends a request. Nothing is written before the future is polled.
    ///
    /// While the response before it is being cleared away (its body was dropped) it waits; while that response is
    /// still held by somebody it fails with [`ErrorKind::NotReady`].
    pub fn send_request<B>(&mut self, request: Request<B>) -> ResponseFuture
    where
        B: HttpBody + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        ResponseFuture::new(
            self.wire.clone(),
            self.on_interim.clone(),
            Outgoing::new(request, Some(self.lease.clone())),
        )
    }

    /// Sends a request, and gives it back if it could not be begun on this connection: then nothing was written.
    pub fn try_send_request<B>(
        &mut self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<Body>, TrySendError<Request<B>>>> + Send + 'static
    where
        B: HttpBody + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let mut sender =
            Self { wire: self.wire.clone(), on_interim: self.on_interim.clone(), lease: self.lease.clone() };
        async move {
            if let Err(error) = sender.ready().await {
                return Err(TrySendError { error, message: Some(request) });
            }
            let (head, body) = request.into_parts();
            let length = length_of(&body);
            let exchange = match poll_fn(|cx| sender.poll_begin(cx, &head, length)).await {
                Ok(exchange) => exchange,
                Err(error) => {
                    let message = Some(Request::from_parts(head, body));
                    return Err(TrySendError { error, message });
                }
            };
            let upload = upload_of(body);
            let Self { wire, on_interim, lease } = sender;
            // In flight by now, it outlives the sender.
            drop(lease);
            let response = ResponseFuture::begun(wire, on_interim, exchange, upload);
            response.await.map_err(|error| TrySendError { error, message: None })
        }
    }

    fn poll_begin(
        &self,
        cx: &mut Context<'_>,
        head: &request::Parts,
        length: Option<u64>,
    ) -> Poll<Result<u64, Error>> {
        let now = rt::now();
        let mut work = self.wire.lock();
        work.obey(now);
        begin(&self.wire, &mut work, now, cx, head, length, None)
    }

    /// Waits until the next request can be sent: the response before it was read or cleared away. A task that holds
    /// that response itself waits for ever.
    ///
    /// # Errors
    ///
    /// The connection is on its way out or gone; [`Error::close_reason`] tells why.
    pub async fn ready(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// The same, as a poll.
    ///
    /// # Errors
    ///
    /// As [`ready`](Self::ready).
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.is_ready() {
            return Poll::Ready(Ok(()));
        }
        // Enlisted before the look: a change in between wakes.
        self.wire.watch(cx.waker());
        let now = rt::now();
        let mut work = self.wire.lock();
        work.obey(now);
        match work.engine.state() {
            State::Idle => Poll::Ready(Ok(())),
            State::Active => Poll::Pending,
            _ => Poll::Ready(Err(Error::closed(work.ending(), self.wire.id()))),
        }
    }

    /// Whether a request can be sent right now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.wire.state() == State::Idle && !self.wire.is_close_ordered()
    }

    /// Whether no request can ever be sent again.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.wire.is_close_ordered() || !self.wire.state().is_open()
    }
}

/// A request that failed, given back if it could not be begun: then nothing of it was written.
pub struct TrySendError<T> {
    error: Error,
    message: Option<T>,
}

impl<T> TrySendError<T> {
    /// Why it failed.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Why it failed.
    pub fn into_error(self) -> Error {
        self.error
    }

    /// The request, if it could not be begun.
    pub fn take_message(&mut self) -> Option<T> {
        self.message.take()
    }
}

impl<B> tower_service::Service<Request<B>> for SendRequest
where
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Self::poll_ready(self, cx)
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        self.send_request(request)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SendRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendRequest").field("connection", &self.wire.id()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrySendError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T> std::error::Error for TrySendError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}

const _: () = {
    const fn assert<T: Send + Sync + Unpin>() {}
    assert::<SendRequest>();
    assert::<Connection>();
    assert::<Body>();
    const fn assert_send<T: Send + 'static>() {}
    assert_send::<ResponseFuture>();
    let _ = Pin::<&mut Body>::new;
};
