//! The settings of a client.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use adieu_proto::fate::Replay;
use adieu_proto::h1::Config;
use adieu_proto::shelf::{Limits, Order};
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue, Response};

use super::timeouts::Timeouts;
use super::{Client, Shared, invalid};
use crate::conn::OnInterim;
use crate::conn::http1;
use crate::connect::{
    Connect, Connector, ConnectorBuilder, Family, Overrides, Place, Proxies, Resolve, TcpOptions,
};
use crate::drive::Departures;
use crate::error::{Error, ErrorKind};
use crate::observe::{Observer, Observers};
use crate::pool::{Learn, Partition, Pool, Settings, WhenDropped};
use crate::rt::WallClock;
#[cfg(feature = "tls")]
use crate::transport::tls::{TlsBuilder, TlsConnector};

/// Sets up a [`Client`]. Everything has its default; each setter says which. What is wrong is told by
/// [`build`](Self::build).
#[must_use]
pub struct ClientBuilder {
    connector: ConnectorBuilder,
    ready: Option<Connector>,
    proxies: Option<Proxies>,
    #[cfg(unix)]
    unix_socket: Option<std::path::PathBuf>,
    overrides: Overrides,
    #[cfg(feature = "tls")]
    tls: TlsBuilder,
    #[cfg(feature = "tls")]
    tls_ready: Option<TlsConnector>,
    http1: http1::Builder,
    limits: Limits,
    timeouts: Timeouts,
    max_age_jitter: f64,
    max_age_grace: Option<Duration>,
    max_exchanges: Option<u64>,
    max_departing: Option<usize>,
    refresh: Option<Duration>,
    partition: Option<Partition>,
    headers: HeaderMap,
    observers: Vec<Arc<dyn Observer>>,
    on_interim: Option<OnInterim>,
    wall: WallClock,
    replay: Replay,
    learn: Learn,
    wrong: Option<Error>,
}

impl ClientBuilder {
    pub(super) fn new() -> Self {
        Self {
            connector: Connector::builder(),
            ready: None,
            proxies: None,
            #[cfg(unix)]
            unix_socket: None,
            overrides: Overrides::new(),
            #[cfg(feature = "tls")]
            tls: TlsConnector::builder(),
            #[cfg(feature = "tls")]
            tls_ready: None,
            http1: http1::Builder::new(),
            limits: Limits::default(),
            timeouts: Timeouts::new(),
            max_age_jitter: 0.1,
            max_age_grace: None,
            max_exchanges: None,
            max_departing: None,
            refresh: None,
            partition: None,
            headers: HeaderMap::new(),
            observers: Vec::new(),
            on_interim: None,
            wall: WallClock::default(),
            replay: Replay::default(),
            learn: Learn::Yes,
            wrong: None,
        }
    }

    // How many.

    /// The most connections of one origin (in one partition, on one runtime): opening, idle or in use. Requests beyond it
    /// wait, first come first served. One that drains or says goodbye does not count. Default: no limit.
    pub fn max_connections_per_origin(mut self, connections: impl Into<Option<usize>>) -> Self {
        self.limits.per_origin = connections.into();
        self
    }

    /// The most connections in all. An idle one of another origin makes room. Default: no limit.
    pub fn max_connections(mut self, connections: impl Into<Option<usize>>) -> Self {
        self.limits.in_all = connections.into();
        self
    }

    /// The most idle connections of one origin; one too many closes the one that has been idle longest. 0 keeps none.
    /// Default: no limit.
    pub fn max_idle_per_origin(mut self, connections: impl Into<Option<usize>>) -> Self {
        self.limits.idle_per_origin = connections.into();
        self
    }

    /// The most idle connections in all. 0 keeps none. Default: no limit.
    pub fn max_idle(mut self, connections: impl Into<Option<usize>>) -> Self {
        self.limits.idle_in_all = connections.into();
        self
    }

    /// Which idle connection is taken. Default: the one that was used last.
    pub fn order(mut self, order: Order) -> Self {
        self.limits.order = order;
        self
    }

    /// The most exchanges of one connection; less where the peer said so. Default: no limit.
    pub fn max_exchanges(mut self, exchanges: impl Into<Option<u64>>) -> Self {
        self.max_exchanges = exchanges.into();
        self
    }

    /// How many connections may be saying goodbye at once. A dropped one beyond that is aborted, oldest first; one whose
    /// close is awaited waits for its turn. Default 1,024 among all clients that were not given a bound of their own.
    pub fn max_departing(mut self, connections: usize) -> Self {
        self.max_departing = Some(connections);
        self
    }

    // How long.

    /// How long each phase may take. Default: [`Timeouts::new`].
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The whole exchange: [`Timeouts::exchange`]. Default: no limit.
    pub fn timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.timeouts = self.timeouts.exchange(limit);
        self
    }

    /// Connecting, over all addresses: [`Timeouts::connect`]. Default 10 s.
    pub fn connect_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.timeouts = self.timeouts.connect(limit);
        self
    }

    /// Waiting for a connection of the pool: [`Timeouts::pool`]. Default 30 s.
    pub fn pool_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.timeouts = self.timeouts.pool(limit);
        self
    }

    /// How long a connection may be idle: [`Timeouts::idle`]. Default 55 s.
    pub fn idle_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.timeouts = self.timeouts.idle(limit);
        self
    }

    /// How old a connection may become: [`Timeouts::age`]. Then it takes no new exchange; the one in flight ends by itself,
    /// or within [`max_age_grace`](Self::max_age_grace). Default: no limit.
    pub fn max_age(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.timeouts = self.timeouts.age(limit);
        self
    }

    /// How much of the maximum age is left to chance, so that connections that were opened together do not end together:
    /// with 0.1 each becomes 90 % to 100 % as old. Default 0.1; 0 to 1.
    pub fn max_age_jitter(mut self, part: f64) -> Self {
        self.max_age_jitter = part;
        self
    }

    /// How much longer than its maximum age an exchange in flight may take; `None`: as long as it likes. Default: `None`.
    pub fn max_age_grace(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.max_age_grace = limit.into();
        self
    }

    // What becomes of requests that fail.

    /// Which requests that failed are sent again. Default [`Replay::Safe`]: those that were certainly not processed, and
    /// once those that may have been where twice does no harm. See `docs/fate.md`.
    ///
    /// A request with a body is sent again if that is in memory or made by a [factory](crate::Body::factory). Two replays
    /// count at most, and no more than a fifth of what is sent to an origin, though ten a second always; what used up a pooled
    /// connection that was gone does not count. What is left of the time for the whole exchange is handed on.
    ///
    /// ```
    /// # fn example() -> Result<(), adieu::Error> {
    /// use adieu::{Client, Replay};
    ///
    /// // Nothing but what was certainly not processed.
    /// let client = Client::builder().replay(Replay::Proven).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn replay(mut self, rule: Replay) -> Self {
        self.replay = rule;
        self
    }

    /// Whether it is learned at which idle age the peers of an origin end connections, so that idle ones are retired before
    /// that. Default: yes. An age is learned from three ends at separate times that agree; it is forgotten ten minutes after
    /// the last of them.
    pub fn learn_idle(mut self, learn: bool) -> Self {
        self.learn = if learn { Learn::Yes } else { Learn::No };
        self
    }

    // Where to.

    /// Connects in a way of your own, TLS included: see [`Connect`]. What is said of names, addresses, proxies and TLS
    /// does not count then.
    pub fn connector(mut self, connect: impl Connect) -> Self {
        self.ready = Some(Connector::builder().connect(connect).build());
        self
    }

    /// Resolves names in a way of your own. Default: the system's.
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.connector = self.connector.resolver(resolver);
        self
    }

    /// This host is at these places, whatever a resolver says: addresses, with a port or without. `*` stands for every
    /// host.
    pub fn resolve<P: Into<Place>>(mut self, host: &str, places: impl IntoIterator<Item = P>) -> Self {
        self.overrides = self.overrides.host(host, places);
        self
    }

    /// The same for one port of the host alone; this goes before what is said of the host as such.
    pub fn resolve_port<P: Into<Place>>(
        mut self,
        host: &str,
        port: u16,
        places: impl IntoIterator<Item = P>,
    ) -> Self {
        self.overrides = self.overrides.host_port(host, port, places);
        self
    }

    /// Connects to addresses of this family alone; a host that has none was not found. Default: all.
    pub fn family(mut self, family: Family) -> Self {
        self.connector = self.connector.family(family);
        self
    }

    /// The options of TCP sockets.
    pub fn tcp(mut self, options: TcpOptions) -> Self {
        self.connector = self.connector.tcp(options);
        self
    }

    /// Reaches every origin over this Unix socket.
    #[cfg(unix)]
    pub fn unix_socket(mut self, path: impl Into<std::path::PathBuf>) -> Self {
        self.unix_socket = Some(path.into());
        self
    }

    /// Goes through these proxies. Default: those of the environment ([`Proxies::from_env`]).
    pub fn proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = Some(proxies);
        self
    }

    /// Goes through no proxy, whatever the environment says.
    pub fn no_proxies(self) -> Self {
        self.proxies(Proxies::new())
    }

    /// Resolves the name of an origin anew at its next request after so long, and retires connections to addresses that it
    /// does not mean any more. Default: never. Not for names that give other addresses each time they are asked.
    pub fn refresh_names(mut self, every: impl Into<Option<Duration>>) -> Self {
        self.refresh = every.into();
        self
    }

    /// Sets up TLS: roots, client certificates, versions. Its time limit is [`Timeouts::tls`].
    ///
    /// ```no_run
    /// # fn example(pem: Vec<u8>) -> Result<(), adieu::Error> {
    /// let client = adieu::Client::builder().tls(|tls| tls.add_root_certificates(pem)).build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tls")]
    pub fn tls(mut self, set: impl FnOnce(TlsBuilder) -> TlsBuilder) -> Self {
        self.tls = set(self.tls);
        self
    }

    /// Sets up TLS with a connector that is ready, its time limit included. What [`tls`](Self::tls) was told does not count
    /// then.
    #[cfg(feature = "tls")]
    pub fn tls_connector(mut self, connector: TlsConnector) -> Self {
        self.tls_ready = Some(connector);
        self
    }

    /// Uses this configuration of rustls as it is.
    #[cfg(feature = "tls")]
    pub fn rustls_config(self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls(|tls| tls.rustls_config(config))
    }

    // What is said and heard.

    /// What a peer may send, early responses, unread bodies: the settings of one HTTP/1.1 connection. Its timeouts,
    /// linger, origin and bound on departures do not count here: they are the client's.
    pub fn http1(mut self, builder: http1::Builder) -> Self {
        self.http1 = builder;
        self
    }

    /// Shares connections only within this partition, unless a request names another. Default: none.
    pub fn partition(mut self, partition: impl Into<Arc<str>>) -> Self {
        self.partition = Some(partition.into());
        self
    }

    /// Adds these fields to every request that has none of the same name. Default: none.
    pub fn default_headers(mut self, headers: HeaderMap) -> Self {
        self.headers.extend(headers);
        self
    }

    /// The `User-Agent` of every request that has none. Default: none.
    pub fn user_agent<V>(mut self, value: V) -> Self
    where
        V: TryInto<HeaderValue>,
        V::Error: Into<http::Error>,
    {
        match value.try_into() {
            Ok(value) => drop(self.headers.insert(USER_AGENT, value)),
            Err(error) => self.wrong = Some(invalid(error.into())),
        }
        self
    }

    /// Tells this hook of everything that happens, as it happens. Several may be added.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Called with each interim response (1xx, 101 excepted), under no lock. Default: they are skipped.
    pub fn on_interim(mut self, tell: impl Fn(&Response<()>) + Send + Sync + 'static) -> Self {
        self.on_interim = Some(Arc::new(tell));
        self
    }

    /// The clock by which it is noticed that the machine slept, for tests. Default: the system's.
    #[doc(hidden)]
    pub fn wall_clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.wall = WallClock::told(clock);
        self
    }

    /// The client. Nothing is connected, resolved or loaded yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`]: a setting makes no sense, or a proxy of the environment cannot be read.
    /// [`ErrorKind::TlsSetup`]: a certificate or key cannot be read.
    pub fn build(mut self) -> Result<Client, Error> {
        if let Some(wrong) = self.wrong.take() {
            return Err(wrong);
        }
        if !(0.0..=1.0).contains(&self.max_age_jitter) {
            return Err(Error::new(ErrorKind::InvalidRequest).with("the jitter of the maximum age is 0 to 1"));
        }
        for limit in [&mut self.limits.per_origin, &mut self.limits.in_all] {
            *limit = limit.map(|limit| limit.max(1));
        }
        let config = self.config();
        let connector = match self.ready.take() {
            Some(ready) => ready,
            None => self.make_connector()?,
        };
        let pool = Pool::new(Settings {
            limits: self.limits,
            config,
            age_jitter: self.max_age_jitter,
            wait: self.timeouts.pool,
            refresh: self.refresh,
            connector,
            departures: self.max_departing.map_or_else(Departures::common, Departures::new),
            observers: Observers::new(self.observers),
            wall: self.wall,
            learn: self.learn,
        });
        let shared = Shared {
            _when_dropped: WhenDropped(pool.clone()),
            pool,
            timeouts: self.timeouts,
            headers: self.headers,
            partition: self.partition,
            on_interim: self.on_interim,
            replay: self.replay,
        };
        Ok(Client { shared: Arc::new(shared) })
    }

    /// What each connection is told.
    fn config(&self) -> Config {
        let mut config = self.http1.config();
        config.timeouts = self.timeouts.phases;
        // The whole is handed on by each request, less what it has waited.
        config.timeouts.exchange = None;
        config.life.idle = self.timeouts.idle;
        config.life.age = self.timeouts.age;
        config.life.age_grace = self.max_age_grace;
        config.life.exchanges = self.max_exchanges;
        config.life.linger = self.timeouts.linger;
        config
    }

    fn make_connector(&mut self) -> Result<Connector, Error> {
        let timeouts = self.timeouts;
        let builder = std::mem::take(&mut self.connector)
            .overrides(std::mem::take(&mut self.overrides))
            .resolve_timeout(timeouts.resolve)
            .head_start(timeouts.head_start)
            .connect_timeout(timeouts.connect)
            .proxy_timeout(timeouts.proxy);
        #[cfg(feature = "tls")]
        let builder = builder.tls(match self.tls_ready.take() {
            Some(ready) => ready,
            None => self.tls.clone().handshake_timeout(timeouts.tls).build()?,
        });
        #[cfg(unix)]
        if let Some(path) = self.unix_socket.take() {
            return Ok(builder.unix_socket(path).build());
        }
        let proxies = self.proxies.take().map_or_else(Proxies::from_env, Ok)?;
        Ok(builder.proxies(proxies).build())
    }
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ClientBuilder");
        debug.field("limits", &self.limits).field("timeouts", &self.timeouts).finish_non_exhaustive()
    }
}
