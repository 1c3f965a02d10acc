//! Connecting in a way of your own.

use std::future::{Future, poll_fn};
use std::pin::Pin;

use http::Uri;
use tokio::io::{AsyncRead, AsyncWrite};

use super::target::Target;
use crate::error::{BoxError, Error, ErrorKind};
use crate::transport::{Transport, recognise};

/// Opens connections in a way of your own: a tunnel, a socket of the init system, a network of a test.
///
/// ```
/// use adieu::connect::{Connect, Connecting, Target};
/// use adieu::transport;
///
/// struct Here;
///
/// impl Connect for Here {
///     fn connect(&self, target: &Target) -> Connecting {
///         let port = target.port();
///         Box::pin(async move {
///             let socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
///             Ok(transport::from_io(socket))
///         })
///     }
/// }
/// ```
pub trait Connect: Send + Sync + 'static {
    /// The transport on which HTTP is spoken to `target`. For an `https` target that includes TLS, unless this is
    /// wrapped in `OverTls`.
    ///
    /// It has no time limit but its own. Dropping the future gives up. An error that is an [`Error`] is passed on as it
    /// is; any other becomes the source of an [`ErrorKind::Connect`].
    fn connect(&self, target: &Target) -> Connecting;
}

/// A transport to come.
pub type Connecting = Pin<Box<dyn Future<Output = Result<Box<dyn Transport>, BoxError>> + Send>>;

/// Makes a [`Connect`] of a `tower_service::Service` that takes the target as a URI (`https://example.com/`) and gives
/// something that reads and writes. Each connect has a clone of the service, which is waited for (`poll_ready`) and then
/// called once. What it gives is made a transport as by [`transport::from_io`](crate::transport::from_io).
#[derive(Clone, Debug)]
pub struct ServiceConnector<S>(S);

impl<S> ServiceConnector<S> {
    /// Connects by `service`.
    pub fn new(service: S) -> Self {
        Self(service)
    }
}

impl<S> Connect for ServiceConnector<S>
where
    S: tower_service::Service<Uri> + Clone + Send + Sync + 'static,
    S::Response: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn connect(&self, target: &Target) -> Connecting {
        let mut service = self.0.clone();
        let uri = format!("{target}/").parse::<Uri>();
        Box::pin(async move {
            let uri = uri?;
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
            let io = service.call(uri).await.map_err(Into::into)?;
            Ok(recognise(io))
        })
    }
}

/// An error of a [`Connect`], in adieu's words.
pub(super) fn failed(error: BoxError) -> Error {
    match error.downcast::<Error>() {
        Ok(ours) => *ours,
        Err(theirs) => Error::new(ErrorKind::Connect).with(theirs),
    }
}
