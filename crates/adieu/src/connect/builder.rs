//! The settings of a [`Connector`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::connector::{Connector, Limits, Settings, Way};
use super::options::TcpOptions;
use super::proxies::Proxies;
use super::resolve::{Book, Family, Overrides, Resolve, SystemResolver};
use super::tls::Tls;
use super::user::Connect;
#[cfg(feature = "tls")]
use crate::transport::tls::TlsConnector;

/// Sets up a [`Connector`]. Everything has its default; each setter says which.
#[must_use]
pub struct ConnectorBuilder {
    resolver: Arc<dyn Resolve>,
    overrides: Overrides,
    family: Family,
    resolve: Option<Duration>,
    tcp: TcpOptions,
    limits: Limits,
    way: Way,
    tls: Tls,
    proxy_tls: Tls,
}

impl ConnectorBuilder {
    pub(super) fn new() -> Self {
        Self {
            resolver: Arc::new(SystemResolver),
            overrides: Overrides::new(),
            family: Family::Any,
            resolve: Some(RESOLVE),
            tcp: TcpOptions::new(),
            limits: Limits { head_start: HEAD_START, connect: Some(CONNECT), proxy: Some(PROXY) },
            way: Way::Network(Proxies::new()),
            tls: Tls::default(),
            proxy_tls: Tls::default(),
        }
    }

    /// Whom to ask for the addresses of names. Default: [`SystemResolver`].
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// Names whose addresses are known beforehand. Default: none.
    pub fn overrides(mut self, overrides: Overrides) -> Self {
        self.overrides = overrides;
        self
    }

    /// Which addresses are connected to, of targets and of proxies. Default: those of both families.
    pub fn family(mut self, family: Family) -> Self {
        self.family = family;
        self
    }

    /// How TCP sockets are set up. Default: [`TcpOptions::new`].
    pub fn tcp(mut self, options: TcpOptions) -> Self {
        self.tcp = options;
        self
    }

    /// How long one name may take; `None`: as long as it likes. Default 15 s.
    pub fn resolve_timeout(mut self, limit: Option<Duration>) -> Self {
        self.resolve = limit;
        self
    }

    /// How long an address is tried alone before the next one is tried beside it (RFC 8305); at least 10 ms. Default
    /// 250 ms. Less costs servers connections that are given up, more costs time where an address is dead.
    pub fn head_start(mut self, time: Duration) -> Self {
        self.limits.head_start = time;
        self
    }

    /// How long connecting may take, over all addresses; `None`: as long as the system tries. Default 10 s.
    pub fn connect_timeout(mut self, limit: Option<Duration>) -> Self {
        self.limits.connect = limit;
        self
    }

    /// How long a proxy may take for its part, after it was connected to (and TLS with it was set up); `None`: as long as
    /// it likes. Default 10 s.
    pub fn proxy_timeout(mut self, limit: Option<Duration>) -> Self {
        self.limits.proxy = limit;
        self
    }

    /// Through which proxies to go. Default: none; [`Proxies::from_env`] takes them from the environment.
    ///
    /// It replaces a Unix socket and a [`Connect`] given before, as these replace it.
    pub fn proxies(mut self, proxies: Proxies) -> Self {
        self.way = Way::Network(proxies);
        self
    }

    /// Reaches every target over this Unix socket; no name is resolved, and no proxy used. Default: none.
    #[cfg(unix)]
    pub fn unix_socket(mut self, path: impl Into<std::path::PathBuf>) -> Self {
        self.way = Way::Unix(path.into());
        self
    }

    /// Connects by a [`Connect`] of your own, which does everything: nothing else that is set here counts. Default: none.
    pub fn connect(mut self, connect: impl Connect) -> Self {
        self.way = Way::User(Arc::new(connect));
        self
    }

    /// TLS for `https` targets; ALPN is the connector's: offer what will be spoken. Default: [`TlsConnector::new`], which
    /// offers nothing.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, connector: TlsConnector) -> Self {
        self.tls = Tls::new(connector);
        self
    }

    /// TLS with `https` proxies. It must not offer h2 by ALPN. Default: as with `https` targets (roots and client's
    /// certificate too), without ALPN.
    #[cfg(feature = "tls")]
    pub fn proxy_tls(mut self, connector: TlsConnector) -> Self {
        self.proxy_tls = Tls::new(connector);
        self
    }

    /// The connector. Nothing is opened, asked or loaded yet.
    #[must_use]
    pub fn build(self) -> Connector {
        let tls = self.tls.or_default();
        Connector::with(Settings {
            book: Book {
                resolver: self.resolver,
                overrides: self.overrides,
                family: self.family,
                limit: self.resolve,
            },
            tcp: self.tcp,
            limits: self.limits,
            way: self.way,
            proxy_tls: self.proxy_tls.or_as_for_origins(&tls),
            tls,
        })
    }
}

impl Default for ConnectorBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ConnectorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ConnectorBuilder");
        debug.field("way", &self.way).field("limits", &self.limits).finish_non_exhaustive()
    }
}

const RESOLVE: Duration = Duration::from_secs(15);
/// RFC 8305 section 5 recommends 250 ms.
const HEAD_START: Duration = Duration::from_millis(250);
const CONNECT: Duration = Duration::from_secs(10);
const PROXY: Duration = Duration::from_secs(10);
