//! How long each phase may take: every phase its own knob, in one place.

use std::time::Duration;

use adieu_proto::lifecycle::Timeouts as ExchangeTimeouts;

/// How long each phase of a request and of a connection may take; `None`: as long as it likes.
///
/// A phase that takes too long ends in [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) with its
/// [`Phase`](crate::Phase). What is left of [`exchange`](Self::exchange) is handed from phase to phase. A response
/// future that nobody polls meets its deadlines in the background once it has its connection; while it waits for one, when
/// it is polled next.
///
/// ```
/// use adieu::Timeouts;
/// use std::time::Duration;
///
/// let timeouts = Timeouts::new().connect(Duration::from_secs(3)).response_head(Duration::from_secs(20)).body_gap(None);
/// assert_eq!(timeouts.limit_of_body_gap(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub(crate) phases: ExchangeTimeouts,
    pub(crate) resolve: Option<Duration>,
    pub(crate) head_start: Duration,
    pub(crate) connect: Option<Duration>,
    pub(crate) proxy: Option<Duration>,
    pub(crate) tls: Option<Duration>,
    pub(crate) pool: Option<Duration>,
    pub(crate) idle: Option<Duration>,
    pub(crate) age: Option<Duration>,
    pub(crate) linger: Duration,
}

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident, $getter:ident => $($field:ident).+;)*) => {
        impl Timeouts {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(mut self, limit: impl Into<Option<Duration>>) -> Self {
                    self.$($field).+ = limit.into();
                    self
                }

                #[doc = concat!("The limit set by [`", stringify!($name), "`](Self::", stringify!($name), ").")]
                #[must_use]
                pub fn $getter(&self) -> Option<Duration> {
                    self.$($field).+
                }
            )*
        }
    };
}

limits! {
    /// Resolving the name of the host, or of a proxy. Default 15 s.
    resolve, limit_of_resolve => resolve;
    /// Connecting, over all addresses. Default 10 s.
    connect, limit_of_connect => connect;
    /// The proxy's part: SOCKS, or its answer to CONNECT. Default 10 s.
    proxy, limit_of_proxy => proxy;
    /// The TLS handshake. Default 10 s. A TLS connector of your own brings its own limit.
    tls, limit_of_tls => tls;
    /// Waiting for a connection of the pool. While a connection is being opened for the request, the limits of opening
    /// count instead. Default 30 s.
    pool, limit_of_pool => pool;
    /// While the transport takes no bytes of ours; a request body that is silent by itself does not count. Default 60 s.
    write_stall, limit_of_write_stall => phases.write_stall;
    /// How long a body held back by `Expect: 100-continue` waits before it is sent all the same. Default 1 s.
    continue_wait, limit_of_continue_wait => phases.continue_wait;
    /// From the last byte of the request to the final response head; a 1xx restarts it. Default 300 s.
    response_head, limit_of_response_head => phases.response_head;
    /// Between two pieces of the response body, while the reader waits; never applied to `text/event-stream` and gRPC.
    /// Default 300 s.
    body_gap, limit_of_body_gap => phases.body_gap;
    /// The whole exchange: from the first poll of the response future to the end of the response body, waiting for a
    /// connection included. Default none.
    exchange, limit_of_exchange => phases.exchange;
    /// How long a connection may be idle; less where the peer said so, and a second at least before its first exchange.
    /// Default 55 s.
    idle, limit_of_idle => idle;
    /// How old a connection may become; see also `max_age_jitter` and `max_age_grace` of the builder. Default none.
    age, limit_of_age => age;
    /// How long an upgraded connection may carry no byte in either direction. Default none.
    upgrade_idle, limit_of_upgrade_idle => phases.upgrade_idle;
    /// How long one side of an upgraded connection may go on after the other has ended. Default none.
    upgrade_half_closed, limit_of_upgrade_half_closed => phases.upgrade_half_closed;
}

impl Timeouts {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            phases: ExchangeTimeouts::default(),
            resolve: Some(Duration::from_secs(15)),
            head_start: Duration::from_millis(250),
            connect: Some(Duration::from_secs(10)),
            proxy: Some(Duration::from_secs(10)),
            tls: Some(Duration::from_secs(10)),
            pool: Some(Duration::from_secs(30)),
            idle: Some(Duration::from_secs(55)),
            age: None,
            linger: Duration::from_secs(2),
        }
    }

    /// How long an address is waited for before the next is tried beside it (RFC 8305). Default 250 ms.
    #[must_use]
    pub fn head_start(mut self, time: Duration) -> Self {
        self.head_start = time;
        self
    }

    /// The time set by [`head_start`](Self::head_start).
    #[must_use]
    pub fn time_of_head_start(&self) -> Duration {
        self.head_start
    }

    /// How long the small rest of a response body that was dropped may take to come, so that its connection is kept.
    /// Default 50 ms.
    #[must_use]
    pub fn discard(mut self, time: Duration) -> Self {
        self.phases.discard = time;
        self
    }

    /// The time set by [`discard`](Self::discard).
    #[must_use]
    pub fn time_of_discard(&self) -> Duration {
        self.phases.discard
    }

    /// How long the peer's end is waited for after our goodbye, where no close mode says otherwise. Default 2 s.
    #[must_use]
    pub fn linger(mut self, time: Duration) -> Self {
        self.linger = time;
        self
    }

    /// The time set by [`linger`](Self::linger).
    #[must_use]
    pub fn time_of_linger(&self) -> Duration {
        self.linger
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::new()
    }
}
