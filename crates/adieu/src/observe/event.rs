//! What happens to the connections of a client: one typed enum.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adieu_proto::fate::{Fate, Refusal};
use adieu_proto::lifecycle::{CloseReason, CloseReport, ConnectionId, Outcome, State, TlsSession};
use http::StatusCode;

/// Something that happened. Events of one connection come in the order in which they happened; those of different
/// connections may overtake each other. Prints as one line.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// When.
    pub at: Instant,
    /// To which connection; `None` where it is about a request that has none yet.
    pub connection: Option<ConnectionId>,
    /// Whom it serves, as `https://example.com`.
    pub origin: Arc<str>,
    /// What.
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Happening {
    /// A connection is being opened: it has a number from now on.
    Opening,
    /// A name is being resolved.
    Resolving {
        /// The name of the host, or of the proxy.
        host: Arc<str>,
    },
    /// A name was resolved.
    Resolved {
        /// In the order in which they will be tried.
        addresses: Arc<[SocketAddr]>,
        /// How long it took.
        took: Duration,
    },
    /// A connect to this address began.
    Connecting {
        /// The address.
        address: SocketAddr,
    },
    /// This address did not take the connection. Those that another address overtook are just let go of.
    ConnectFailed {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: Arc<str>,
    },
    /// This address took the connection.
    Connected {
        /// The address.
        address: SocketAddr,
        /// How long it took, from the first address tried.
        took: Duration,
    },
    /// The proxy has done its part: from here on the bytes are the origin's.
    ProxyDone {
        /// The proxy, without its credentials.
        proxy: Arc<str>,
        /// How long it took.
        took: Duration,
    },
    /// The TLS handshake is over.
    TlsDone {
        /// What was agreed upon.
        session: TlsSession,
        /// How long it took.
        took: Duration,
    },
    /// The connection can be used.
    Opened,
    /// It is in another state.
    StateChanged {
        /// Where it was.
        from: State,
        /// Where it is.
        to: State,
    },
    /// An exchange began.
    ExchangeBegan {
        /// Its number on this connection; the first has number 1.
        exchange: u64,
    },
    /// An exchange ended.
    ExchangeEnded {
        /// Its number on this connection.
        exchange: u64,
        /// How.
        outcome: Outcome,
    },
    /// No new exchange will begin on it.
    Retired {
        /// Why.
        reason: CloseReason,
    },
    /// The connection is gone.
    Closed {
        /// What is left of it.
        report: Arc<CloseReport>,
    },
    /// A request waits for a connection.
    Queued {
        /// The number of the waiting request, unique in its client.
        waiter: u64,
        /// How many wait before it for the same origin.
        ahead: usize,
    },
    /// A waiting request has its connection: the one that this event names.
    Served {
        /// The number of the waiting request.
        waiter: u64,
        /// How long it waited.
        waited: Duration,
    },
    /// A request is sent again. The connection that failed it may be gone by now.
    Replayed {
        /// The connection that failed it.
        failed_on: ConnectionId,
        /// The number of its exchange there.
        exchange: u64,
        /// What became of it there.
        fate: Fate,
        /// Why it is sent again.
        cause: ReplayCause,
        /// How often it was sent again, this time included.
        replays: u32,
    },
    /// A request failed and is not sent again.
    NotReplayed {
        /// The connection that failed it.
        failed_on: ConnectionId,
        /// The number of its exchange there.
        exchange: u64,
        /// What became of it.
        fate: Fate,
        /// Why not.
        refusal: Refusal,
    },
    /// Something that this version of the events has no word for.
    Other {
        /// What.
        what: Arc<str>,
    },
    /// A waiting request left without a connection: cancelled, timed out, or its connection could not be opened.
    GaveUp {
        /// The number of the waiting request.
        waiter: u64,
        /// How long it waited.
        waited: Duration,
    },
}

/// Why a request is sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayCause {
    /// Its connection ended, for this reason.
    Ended(CloseReason),
    /// Its response asks for it: 421 (Misdirected Request), 425 (Too Early), 408 (Request Timeout).
    Status(StatusCode),
}

impl fmt::Display for ReplayCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(reason) => write!(f, "{reason}"),
            Self::Status(status) => write!(f, "the response was {status}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(connection) = self.connection {
            write!(f, "{connection} ")?;
        }
        write!(f, "{}: {}", self.origin, self.what)
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => f.write_str("opening"),
            Self::Resolving { host } => write!(f, "resolving {host}"),
            Self::Resolved { addresses, took } => {
                write!(f, "resolved in {took:.1?}:")?;
                addresses.iter().try_for_each(|address| write!(f, " {address}"))
            }
            Self::Connecting { address } => write!(f, "connecting to {address}"),
            Self::ConnectFailed { address, error } => write!(f, "could not connect to {address}: {error}"),
            Self::Connected { address, took } => write!(f, "connected to {address} in {took:.1?}"),
            Self::ProxyDone { proxy, took } => write!(f, "through {proxy} in {took:.1?}"),
            Self::TlsDone { session, took } => write!(f, "{session} in {took:.1?}"),
            Self::Opened => f.write_str("open"),
            Self::StateChanged { from, to } => write!(f, "{from} to {to}"),
            Self::ExchangeBegan { exchange } => write!(f, "exchange {exchange} began"),
            Self::ExchangeEnded { exchange, outcome } => write!(f, "exchange {exchange} {outcome}"),
            Self::Retired { reason } => write!(f, "retired: {reason}"),
            Self::Closed { report } => write!(f, "closed: {report}"),
            Self::Queued { waiter, ahead } => write!(f, "request {waiter} waits, {ahead} before it"),
            Self::Served { waiter, waited } => write!(f, "request {waiter} served after {waited:.1?}"),
            Self::Replayed { failed_on, exchange, fate, cause, replays } => {
                write!(f, "exchange {exchange} of {failed_on} is sent again ({replays}): {fate}; {cause}")
            }
            Self::NotReplayed { failed_on, exchange, fate, refusal } => {
                write!(f, "exchange {exchange} of {failed_on} is not sent again: {fate}; {refusal}")
            }
            Self::Other { what } => f.write_str(what),
            Self::GaveUp { waiter, waited } => write!(f, "request {waiter} gave up after {waited:.1?}"),
        }
    }
}
