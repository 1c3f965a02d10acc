//! A live connection, looked at once.

use std::fmt;
use std::time::{Duration, Instant};

use super::{Address, CloseReason, ConnectionId, Lifecycle, Protocol, Side, Signals, State, TlsSession};

/// What a live connection looked like at one moment. Prints as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// Which connection; unique in this process.
    pub id: ConnectionId,
    /// Whom it serves, where that was told.
    pub origin: Option<String>,
    /// The peer's address, where the transport knows it.
    pub peer: Option<Address>,
    /// Our address, where the transport knows it.
    pub local: Option<Address>,
    /// The protocol spoken.
    pub protocol: Protocol,
    /// What its TLS handshake agreed upon, where there was one.
    pub tls: Option<TlsSession>,
    /// Where it is.
    pub state: State,
    /// For how long.
    pub in_state: Duration,
    /// Our side.
    pub ours: Side,
    /// The peer's side.
    pub theirs: Side,
    /// What we said of our end so far.
    pub sent: Signals,
    /// What the peer said of its end so far.
    pub received: Signals,
    /// Why it is on its way out, if it is.
    pub reason: Option<CloseReason>,
    /// How far the exchange in flight is.
    pub phase: ExchangePhase,
    /// Exchanges in flight.
    pub in_flight: u32,
    /// Exchanges that ended well.
    pub done: u64,
    /// Exchanges that failed.
    pub failed: u64,
    /// Bytes that the transport took from us.
    pub bytes_sent: u64,
    /// Bytes that the transport gave us.
    pub bytes_received: u64,
    /// Bytes that the peer's kernel has not acknowledged, where ours can tell.
    pub unacknowledged: Option<u64>,
    /// Since the first handshake began.
    pub age: Duration,
    /// For how long nothing has been in flight.
    pub idle: Option<Duration>,
    /// How long it may be idle by what others of its origin have taught: peers end them a little later.
    pub learned_idle: Option<Duration>,
    /// In how long the next deadline passes.
    pub deadline: Option<Duration>,
}

impl Snapshot {
    /// What a life alone can tell; the rest is the engine's and the driver's to add.
    #[must_use]
    pub fn of_life(now: Instant, id: ConnectionId, protocol: Protocol, life: &Lifecycle) -> Self {
        let (state, (sent, received), (done, failed)) = (life.state(), life.signals(), life.exchanges());
        let in_state = now.saturating_duration_since(life.since());
        let side = if state == State::Closed { Side::Ended } else { Side::Open };
        Self {
            id,
            origin: None,
            peer: None,
            learned_idle: life.learned_idle(),
            local: None,
            protocol,
            tls: None,
            state,
            in_state,
            ours: side,
            theirs: side,
            sent,
            received,
            reason: life.reason().cloned(),
            phase: ExchangePhase::None,
            in_flight: life.in_flight(),
            done,
            failed,
            bytes_sent: 0,
            bytes_received: 0,
            unacknowledged: None,
            age: now.saturating_duration_since(life.born()),
            idle: (state == State::Idle).then_some(in_state),
            deadline: life.poll_timeout().map(|at| at.saturating_duration_since(now)),
        }
    }
}

/// How far the exchange in flight is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ExchangePhase {
    /// Nothing is in flight.
    None,
    /// The request head is being written.
    SendingHead,
    /// The request body waits for 100 (Continue), a final response or its time limit.
    AwaitingContinue,
    /// The request body is being written.
    SendingBody,
    /// The request is out; the response head has not come.
    AwaitingResponse,
    /// The response body is being read.
    ReceivingBody,
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.protocol)?;
        if let Some(origin) = &self.origin {
            write!(f, " {origin}")?;
        }
        if let Some(peer) = &self.peer {
            write!(f, " ({peer})")?;
        }
        if let Some(tls) = &self.tls {
            write!(f, " {}", tls.version)?;
        }
        write!(f, ": {} for {:.1?}", self.state, self.in_state)?;
        if self.phase != ExchangePhase::None {
            write!(f, ", {}", self.phase)?;
        }
        if let Some(reason) = &self.reason {
            write!(f, ", {reason}")?;
        }
        write!(f, "; {} done", self.done)?;
        if self.failed > 0 {
            write!(f, ", {} failed", self.failed)?;
        }
        write!(f, "; {} B out, {} B in; {:.1?} old", self.bytes_sent, self.bytes_received, self.age)
    }
}

impl fmt::Display for ExchangePhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "nothing in flight",
            Self::SendingHead => "sending head",
            Self::AwaitingContinue => "awaiting 100",
            Self::SendingBody => "sending body",
            Self::AwaitingResponse => "awaiting response",
            Self::ReceivingBody => "receiving body",
        })
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Side {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Open => "open",
            Self::Ended => "ended",
        })
    }
}
