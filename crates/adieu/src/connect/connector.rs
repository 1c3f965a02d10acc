//! The connector: from a target to the transport on which HTTP is spoken to it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adieu_proto::codec::request::TargetForm;
use adieu_proto::fate::Receipts;
use adieu_proto::lifecycle::ConnectionId;
use http::HeaderValue;

use super::builder::ConnectorBuilder;
use super::opening::{Opening, Plain};
use super::options::TcpOptions;
use super::proxies::Proxies;
use super::resolve::Book;
use super::target::Target;
use super::tls::Tls;
use super::user::{Connect, Connecting};
use crate::error::Error;
use crate::observe::{Observers, Teller};
use crate::transport::Transport;

/// Opens connections: resolves, connects, goes through proxies, sets up TLS. Cheap to clone.
///
/// As a [`Connect`] it gives the transport alone, so that it can be wrapped in another; a plain target behind an HTTP
/// proxy is then reached through a tunnel (CONNECT).
#[derive(Clone)]
pub struct Connector(Arc<Settings>);

pub(super) struct Settings {
    pub(super) book: Book,
    pub(super) tcp: TcpOptions,
    pub(super) limits: Limits,
    pub(super) way: Way,
    pub(super) tls: Tls,
    pub(super) proxy_tls: Tls,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) head_start: Duration,
    pub(super) connect: Option<Duration>,
    pub(super) proxy: Option<Duration>,
}

/// By which way targets are reached.
pub(super) enum Way {
    /// Over TCP, perhaps through a proxy.
    Network(Proxies),
    #[cfg(unix)]
    Unix(std::path::PathBuf),
    User(Arc<dyn Connect>),
}

/// What was opened.
pub(crate) struct Opened {
    /// Whatever HTTP is spoken on.
    pub(crate) transport: Box<dyn Transport>,
    /// How a request names its target here: in full to a proxy that forwards.
    pub(crate) form: TargetForm,
    /// The `Proxy-Authorization` of each request that a proxy forwards.
    pub(crate) authorization: Option<HeaderValue>,
    /// Whether the kernel can be asked what the server received.
    pub(crate) receipts: Receipts,
}

impl Connector {
    /// The defaults: see [`ConnectorBuilder`].
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Starts from the defaults.
    pub fn builder() -> ConnectorBuilder {
        ConnectorBuilder::new()
    }

    pub(super) fn with(settings: Settings) -> Self {
        Self(Arc::new(settings))
    }

    /// Opens a connection to `target`. Each step is told. Dropping the future gives up and leaves nothing behind.
    pub(crate) async fn open(&self, target: &Target, teller: &Teller) -> Result<Opened, Error> {
        Opening { settings: &self.0, target, teller }.open(Plain::Forward).await
    }

    /// To which addresses `target` would be connected now: its own, or those of its proxy. None: it is reached in another
    /// way.
    pub(crate) async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, Error> {
        let teller = silent();
        Opening { settings: &self.0, target, teller: &teller }.addresses().await
    }
}

impl Default for Connector {
    fn default() -> Self {
        Self::new()
    }
}

impl Connect for Connector {
    fn connect(&self, target: &Target) -> Connecting {
        let (connector, target) = (self.clone(), target.clone());
        Box::pin(async move {
            let opening = Opening { settings: &connector.0, target: &target, teller: &silent() };
            Ok(opening.open(Plain::Tunnel).await?.transport)
        })
    }
}

impl Opened {
    /// What a server is asked on.
    pub(super) fn direct(transport: Box<dyn Transport>) -> Self {
        let receipts = transport.receipts();
        Self { transport, form: TargetForm::Origin, authorization: None, receipts }
    }
}

/// Tells nobody.
fn silent() -> Teller {
    Teller::new(Observers::default(), ConnectionId::new(0), "".into())
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(proxies) => f.debug_tuple("Network").field(proxies).finish(),
            #[cfg(unix)]
            Self::Unix(path) => f.debug_tuple("Unix").field(path).finish(),
            Self::User(_) => f.write_str("User"),
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Connector");
        debug.field("way", &self.0.way).field("limits", &self.0.limits).finish_non_exhaustive()
    }
}
