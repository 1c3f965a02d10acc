//! How a connection shall be closed: four modes, each with its deadlines.

use std::time::Duration;

/// How to close: [`graceful`](Self::graceful), [`half`](Self::half), [`now`](Self::now) or
/// [`abort`](Self::abort), with the time given to exchanges ([`drain`](Self::drain), 30 s by default) and to
/// the peer's own end ([`linger`](Self::linger), 2 s by default).
///
/// Of two closes of one connection the stricter wins; a laxer one only waits.
///
/// ```
/// use adieu_proto::lifecycle::CloseMode;
/// use std::time::Duration;
///
/// let mode = CloseMode::graceful().drain(Duration::from_secs(5)).linger(Duration::from_millis(500));
/// assert!(mode.kind() < CloseMode::abort().kind());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseMode {
    kind: CloseKind,
    drain: Option<Duration>,
    linger: Duration,
}

/// The four ways to close, laxest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum CloseKind {
    /// Exchanges in flight end by themselves, then goodbye.
    Graceful,
    /// The request is finished, our side ends at once, the response is still read.
    Half,
    /// Exchanges fail at once, then goodbye, or RST where a request was cut short.
    Now,
    /// RST, nothing else.
    Abort,
}

impl CloseMode {
    /// No new exchange; those in flight end by themselves within `drain`; then goodbye, and a wait of at most
    /// `linger` for the peer's end. Past `drain` as [`now`](Self::now). An upgraded connection goes on until its
    /// holder ends it, or is reset past `drain`.
    #[must_use]
    pub fn graceful() -> Self {
        Self { kind: CloseKind::Graceful, drain: Some(DRAIN), linger: LINGER }
    }

    /// Finish sending the request, then end our side at once (FIN) and go on reading the response until its end
    /// or the peer's. An idle connection closes as with [`graceful`](Self::graceful).
    ///
    /// Many servers take a FIN for a cancellation; a peer that then ends without a whole response leads to the
    /// reason `HalfCloseRefused`. Use it for upgrades, CONNECT and servers known to bear it.
    ///
    /// On TLS 1.2 it acts as [`graceful`](Self::graceful): there a close_notify obliges the peer to end at once
    /// (RFC 5246 section 7.2.1).
    #[must_use]
    pub fn half() -> Self {
        Self { kind: CloseKind::Half, ..Self::graceful() }
    }

    /// Exchanges in flight fail at once. A connection whose request was cut short is reset; another says
    /// goodbye and lingers.
    #[must_use]
    pub fn now() -> Self {
        Self { kind: CloseKind::Now, ..Self::graceful() }
    }

    /// RST (zero linger) and nothing else. On a transport that cannot reset, the transport is dropped and the
    /// report says so.
    #[must_use]
    pub fn abort() -> Self {
        Self { kind: CloseKind::Abort, ..Self::graceful() }
    }

    /// How long exchanges in flight may take to end by themselves. Default 30 s; `None`: as long as they like.
    /// Zero is as good as [`now`](Self::now).
    #[must_use]
    pub fn drain(self, limit: impl Into<Option<Duration>>) -> Self {
        Self { drain: limit.into(), ..self }
    }

    /// How long to wait, from the start of our goodbye, for the peer's end. Default 2 s.
    #[must_use]
    pub fn linger(self, limit: Duration) -> Self {
        Self { linger: limit, ..self }
    }

    /// Graceful, with the same limits.
    #[must_use]
    pub fn as_graceful(self) -> Self {
        Self { kind: CloseKind::Graceful, ..self }
    }

    /// Which of the four modes this is.
    #[must_use]
    pub fn kind(&self) -> CloseKind {
        self.kind
    }

    /// The limit set by [`drain`](Self::drain).
    #[must_use]
    pub fn drain_limit(&self) -> Option<Duration> {
        self.drain
    }

    /// The limit set by [`linger`](Self::linger).
    #[must_use]
    pub fn linger_limit(&self) -> Duration {
        self.linger
    }

    /// Both at once: the stricter kind, the shorter limits.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        let drain = match (self.drain, other.drain) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self { kind: self.kind.max(other.kind), drain, linger: self.linger.min(other.linger) }
    }
}

impl Default for CloseMode {
    fn default() -> Self {
        Self::graceful()
    }
}

const DRAIN: Duration = Duration::from_secs(30);
pub(super) const LINGER: Duration = Duration::from_secs(2);
