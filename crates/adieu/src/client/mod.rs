//! The client: requests to any origin, over connections that are kept, bounded, watched and closed on purpose.
//!
//! | file | what it is for |
//! |---|---|
//! | `mod` | the client: send, ask, watch, close |
//! | `builder` | its settings |
//! | `timeouts` | how long each phase may take |
//! | `options` | what one request may want otherwise |
//! | `request` | building a request |
//! | `response` | the response to come |
//! | `replay` | what is sent again, and what not |
//! | `reading` | taking a response: bytes, text, JSON, and how it came |

mod builder;
mod options;
mod reading;
mod replay;
mod request;
mod response;
mod timeouts;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use adieu_proto::fate::Replay;
use adieu_proto::lifecycle::{CloseMode, CloseReport, ConnectionId, Snapshot};
use http::header::Entry;
use http::{HeaderMap, Method, Request, Response, Uri, request as head};
use http_body::Body as HttpBody;

use crate::conn::OnInterim;
use crate::conn::body::Body;
use crate::connect::Target;
use crate::error::{BoxError, Error};
use crate::observe::Events;
use crate::pool::{ClientReport, ClosingAll, Partition, Pool, Stats, WaitingRequest, WhenDropped};

pub use builder::ClientBuilder;
pub use options::RequestOptions;
pub use reading::{Reading, ResponseExt};
pub use request::RequestBuilder;
pub use response::ResponseFuture;
pub use timeouts::Timeouts;

/// An HTTP client with a pool of connections. Cheap to clone; clones share everything.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use adieu::{CloseMode, ResponseExt};
///
/// let client = adieu::Client::new()?;
/// let text = client.get("https://example.com/").send().await?.text().await?;
/// for connection in client.connections() {
///     println!("{connection}");
/// }
/// let report = client.close(CloseMode::graceful()).await;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
///
/// It works on any tokio runtime, and from several: a connection belongs to the runtime on which it was opened, and is
/// lent only there. Limits on the connections of one origin count for each runtime.
///
/// When the last clone is dropped, and no response future is left, idle connections say goodbye; those with an exchange in
/// flight retire: it ends by itself, then they say goodbye. If the runtime ends before that, they are only dropped, so
/// `client.close(..).await` before the end of the program.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

/// What clones and response futures share.
pub(crate) struct Shared {
    pub(crate) pool: Arc<Pool>,
    timeouts: Timeouts,
    headers: HeaderMap,
    partition: Option<Partition>,
    on_interim: Option<OnInterim>,
    replay: Replay,
    _when_dropped: WhenDropped,
}

/// The end of connections to come; resolves to their reports once all of them are gone. See [`Client::close`].
#[must_use = "only awaiting tells that the connections are gone"]
pub struct ClientClosing(ClosingAll);

/// The end of one connection to come. See [`Client::close_connection`].
#[must_use = "only awaiting tells that the connection is gone"]
pub struct ConnectionClosing(ClosingAll);

impl Client {
    /// A client with the defaults: see [`ClientBuilder`]. Proxies are those of the environment.
    ///
    /// # Errors
    ///
    /// As [`ClientBuilder::build`].
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// Starts from the defaults.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    // Requests.

    /// Sends a request to the origin that its URI names. What it wants otherwise than the client is said by an extension,
    /// [`RequestOptions`].
    ///
    /// Any body will do; one that can be polled only once is lost when a request must be sent again, so that such a request
    /// is not: see [`Body::factory`].
    #[inline]
    pub fn request<B>(&self, request: Request<B>) -> ResponseFuture
    where
        B: HttpBody + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        ResponseFuture::new(&self.shared, request)
    }

    /// Starts a request. What is wrong with the URI is told by the response future.
    pub fn build_request<U>(&self, method: Method, uri: U) -> RequestBuilder
    where
        U: TryInto<Uri>,
        U::Error: Into<http::Error>,
    {
        RequestBuilder::new(self.clone(), method, uri.try_into().map_err(Into::into))
    }
}

macro_rules! methods {
    ($($name:ident $method:ident;)*) => {
        impl Client {
            $(
                #[doc = concat!("Starts a ", stringify!($method), " request; `send` sends it.")]
                pub fn $name<U>(&self, uri: U) -> RequestBuilder
                where
                    U: TryInto<Uri>,
                    U::Error: Into<http::Error>,
                {
                    self.build_request(Method::$method, uri)
                }
            )*
        }
    };
}

methods! {
    get GET;
    post POST;
    put PUT;
    patch PATCH;
    delete DELETE;
    head HEAD;
}

impl Client {
    /// Opens connections before they are needed, so that the origin of `uri` has `connections` of them idle, as far as the
    /// limits allow. Resolves to how many it has then. Dropped, what is being opened is finished all the same.
    ///
    /// # Errors
    ///
    /// `uri` names no origin, the client is closed, or a connection could not be opened.
    pub async fn prewarm<U>(&self, uri: U, connections: usize) -> Result<usize, Error>
    where
        U: TryInto<Uri>,
        U::Error: Into<http::Error>,
    {
        let uri = uri.try_into().map_err(|error| invalid(error.into()))?;
        self.shared.pool.prewarm(&uri, self.shared.partition.as_ref(), connections).await
    }

    // Questions.

    /// A snapshot of each connection that is alive: opening, open or on its way out. Oldest first.
    #[must_use]
    pub fn connections(&self) -> Vec<Snapshot> {
        self.shared.pool.snapshots()
    }

    /// A snapshot of one connection; `None`: it is gone, or was never this client's.
    #[must_use]
    pub fn connection(&self, id: ConnectionId) -> Option<Snapshot> {
        self.shared.pool.snapshot(id)
    }

    /// How many connections are where and what they have done, in all and by origin.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.pool.stats()
    }

    /// The requests that wait for a connection, each with its place in the queue of its origin.
    #[must_use]
    pub fn waiting(&self) -> Vec<WaitingRequest> {
        self.shared.pool.waiting()
    }

    /// What happens from now on, 1,024 events at most between two reads; what a slow reader missed is counted. A connection
    /// that was open before is told of from here on: what it was doing, [`connections`](Self::connections) says.
    #[must_use]
    pub fn events(&self) -> Events {
        self.events_up_to(1_024)
    }

    /// The same, with so many events at most between two reads.
    #[must_use]
    pub fn events_up_to(&self, capacity: usize) -> Events {
        self.shared.pool.subscribe(capacity)
    }

    // Closing.

    /// Closes every connection, now or as soon as `mode` lets it, and the client: requests that wait for a connection, and
    /// all that come later, fail with [`ErrorKind::ClientClosed`](crate::ErrorKind::ClientClosed).
    ///
    /// The closing begins with this call, and dropping the future does not stop it. Calling it again is fine: a stricter
    /// mode escalates, a laxer one only waits.
    pub fn close(&self, mode: CloseMode) -> ClientClosing {
        ClientClosing(self.shared.pool.close(mode))
    }

    /// Closes the idle connections gracefully; the client stays usable. After a change of network, say.
    pub fn close_idle(&self) -> ClientClosing {
        ClientClosing(self.shared.pool.close_idle(CloseMode::graceful()))
    }

    /// Closes the idle connections to the origin of `uri` gracefully, in all partitions; those in use stay.
    ///
    /// # Errors
    ///
    /// `uri` names no origin.
    pub fn close_idle_of<U>(&self, uri: U) -> Result<ClientClosing, Error>
    where
        U: TryInto<Uri>,
        U::Error: Into<http::Error>,
    {
        let origin = origin_of(uri)?;
        Ok(ClientClosing(self.shared.pool.close_idle_of(&origin, CloseMode::graceful())))
    }

    /// Closes the connections to the origin of `uri`, in all partitions; the client stays usable, for this origin too. A
    /// connection that is being opened is left to the requests that wait for it, but for the modes `now` and `abort`.
    ///
    /// # Errors
    ///
    /// `uri` names no origin.
    pub fn close_origin<U>(&self, uri: U, mode: CloseMode) -> Result<ClientClosing, Error>
    where
        U: TryInto<Uri>,
        U::Error: Into<http::Error>,
    {
        let origin = origin_of(uri)?;
        Ok(ClientClosing(self.shared.pool.close_origin(&origin, mode)))
    }

    /// Closes one connection; `None`: it is gone, or was never this client's.
    pub fn close_connection(&self, id: ConnectionId, mode: CloseMode) -> Option<ConnectionClosing> {
        self.shared.pool.close_connection(id, mode).map(ConnectionClosing)
    }
}

/// The origin of a URI, as it is named everywhere.
fn origin_of<U>(uri: U) -> Result<String, Error>
where
    U: TryInto<Uri>,
    U::Error: Into<http::Error>,
{
    let uri = uri.try_into().map_err(|error| invalid(error.into()))?;
    Ok(Target::of(&uri)?.to_string())
}

/// What is wrong with a URI.
pub(crate) fn invalid(error: http::Error) -> Error {
    Error::new(crate::error::ErrorKind::InvalidRequest).with(error)
}

impl Shared {
    /// Adds the fields that every request has, unless it has them.
    fn complete(&self, head: &mut head::Parts) {
        for name in self.headers.keys() {
            if let Entry::Vacant(place) = head.headers.entry(name) {
                let mut values = self.headers.get_all(name).iter();
                let Some(first) = values.next() else { continue };
                let mut place = place.insert_entry(first.clone());
                values.for_each(|value| place.append(value.clone()));
            }
        }
    }
}

impl Future for ClientClosing {
    type Output = ClientReport;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ClientReport> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl Future for ConnectionClosing {
    type Output = CloseReport;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReport> {
        match Pin::new(&mut self.0).poll(cx) {
            Poll::Ready(mut report) => match report.connections.pop() {
                Some(report) => Poll::Ready(report),
                None => Poll::Pending,
            },
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<B> tower_service::Service<Request<B>> for Client
where
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    /// Always ready: a request waits for its connection in its future.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        self.request(request)
    }
}

impl<B> tower_service::Service<Request<B>> for &Client
where
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    /// Always ready: a request waits for its connection in its future.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        self.request(request)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("stats", &self.stats().total).finish()
    }
}

impl fmt::Debug for ClientClosing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientClosing").finish_non_exhaustive()
    }
}

impl fmt::Debug for ConnectionClosing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionClosing").finish_non_exhaustive()
    }
}

const _: () = {
    const fn assert<T: Send + Sync + 'static>() {}
    assert::<Client>();
    const fn assert_send<T: Send + Unpin + 'static>() {}
    assert_send::<ResponseFuture>();
    assert_send::<ClientClosing>();
};
