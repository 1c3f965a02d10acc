//! The close report: what a connection was, why and how it ended, and what each side said.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{CloseReason, Layer, LayerReport, Lifecycle, Party, TlsSession};

/// What is left of a connection that is gone. Prints as one line; serialises with the feature `serde`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseReport {
    /// Which connection; unique in this process.
    pub id: ConnectionId,
    /// Whom it served (`http://example.com`), where that was told.
    pub origin: Option<String>,
    /// The peer's address, where the transport knows it.
    pub peer: Option<Address>,
    /// The protocol spoken.
    pub protocol: Protocol,
    /// What its TLS handshake agreed upon, where there was one.
    pub tls: Option<TlsSession>,
    /// Why it ended: the first cause.
    pub reason: CloseReason,
    /// Who began the end.
    pub began_by: Party,
    /// How it ended.
    pub ended: Ended,
    /// What we said.
    pub sent: Signals,
    /// What the peer said.
    pub received: Signals,
    /// What was said on each layer, from the top down.
    pub layers: Vec<LayerReport>,
    /// Exchanges that ended well.
    pub exchanges: u64,
    /// Exchanges that failed.
    pub failed: u64,
    /// Bytes that the transport took from us.
    pub bytes_sent: u64,
    /// Bytes that the transport gave us.
    pub bytes_received: u64,
    /// Of those, bytes that nobody wanted: an unread body, or what came after our goodbye.
    pub bytes_discarded: u64,
    /// How long it had been idle when the peer ended it, where it did so without a word and that is known.
    pub ended_idle: Option<Duration>,
    /// How long a round trip took at its end, where that was looked at: the kernel's own estimate.
    pub round_trip: Option<Duration>,
    /// From the first handshake to the end.
    pub age: Duration,
    /// Time spent waiting for exchanges in flight.
    pub draining: Duration,
    /// Time spent writing our goodbye.
    pub closing: Duration,
    /// Time spent waiting for the peer's.
    pub lingering: Duration,
}

/// The number of a connection, unique in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ConnectionId(u64);

/// Where the peer is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// IPv4 or IPv6.
    Ip(SocketAddr),
    /// A Unix socket; `None`: it has no name.
    Unix(Option<PathBuf>),
}

/// The protocol spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP/1.0 or 1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Ended {
    /// Both sides said goodbye.
    Clean,
    /// We said goodbye; the peer did not answer in time.
    PeerSilent,
    /// The peer ended in the middle of a response.
    Truncated,
    /// The peer reset it.
    Reset,
    /// The network failed in another way, or TLS did: a fatal alert, a violation.
    Broken,
    /// We dropped it without a goodbye: on purpose, or because something was cut short.
    Aborted,
}

/// One thing that a side can say at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// HTTP/2 GOAWAY.
    GoAway,
    /// TLS close_notify.
    CloseNotify,
    /// TCP FIN, or the end of another transport's stream.
    Fin,
    /// TCP RST.
    Rst,
}

/// What a side said, as a set.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Signals(u8);

impl CloseReport {
    /// The report of a life that has ended (or ends by being dropped at `now`).
    #[must_use]
    pub fn new(id: ConnectionId, protocol: Protocol, life: &Lifecycle, now: Instant) -> Self {
        let reason = life.reason().cloned().unwrap_or(CloseReason::RuntimeGone);
        let ((exchanges, failed), (sent, received), spent) =
            (life.exchanges(), life.signals(), life.spent(now));
        Self {
            id,
            origin: None,
            peer: None,
            protocol,
            tls: None,
            began_by: reason.began_by(),
            reason,
            ended: life.ended().unwrap_or(Ended::Aborted),
            sent,
            received,
            layers: Vec::new(),
            exchanges,
            failed,
            bytes_sent: 0,
            bytes_received: 0,
            bytes_discarded: 0,
            ended_idle: None,
            round_trip: None,
            age: now.saturating_duration_since(life.born()),
            draining: spent.draining,
            closing: spent.closing,
            lingering: spent.lingering,
        }
    }
}

impl ConnectionId {
    /// The connection with this number.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

impl Signals {
    const ALL: [(Signal, &'static str); 4] = [
        (Signal::GoAway, "GOAWAY"),
        (Signal::CloseNotify, "close_notify"),
        (Signal::Fin, "FIN"),
        (Signal::Rst, "RST"),
    ];

    /// Whether the side said this.
    #[must_use]
    pub fn contains(self, signal: Signal) -> bool {
        self.0 & Self::bit(signal) != 0
    }

    /// Whether the side said nothing.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds one.
    pub fn insert(&mut self, signal: Signal) {
        self.0 |= Self::bit(signal);
    }

    /// Takes one away.
    pub fn remove(&mut self, signal: Signal) {
        self.0 &= !Self::bit(signal);
    }

    fn bit(signal: Signal) -> u8 {
        1 << signal as u8
    }
}

impl FromIterator<Signal> for Signals {
    fn from_iter<I: IntoIterator<Item = Signal>>(signals: I) -> Self {
        let mut set = Self::default();
        signals.into_iter().for_each(|signal| set.insert(signal));
        set
    }
}

impl fmt::Display for CloseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.protocol)?;
        if let Some(origin) = &self.origin {
            write!(f, " {origin}")?;
        }
        if let Some(peer) = &self.peer {
            write!(f, " ({peer})")?;
        }
        write!(f, ": {}; ended {}; sent {}, received {}", self.reason, self.ended, self.sent, self.received)?;
        write!(f, "; {} done", self.exchanges)?;
        if self.failed > 0 {
            write!(f, ", {} failed", self.failed)?;
        }
        write!(f, "; {} B out, {} B in", self.bytes_sent, self.bytes_received)?;
        if self.bytes_discarded > 0 {
            write!(f, " ({} B discarded)", self.bytes_discarded)?;
        }
        if let Some(idle) = self.ended_idle {
            write!(f, "; ended after {idle:.1?} idle")?;
        }
        write!(f, "; {:.1?} old", self.age)?;
        if let Some(tls) = &self.tls {
            write!(f, "; {tls}")?;
        }
        if self.layers.iter().any(|layer| layer.layer == Layer::Tunnel) {
            for layer in &self.layers {
                write!(f, "; {layer}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Self::Unix(None) => f.write_str("unix:"),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
        })
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Clean => "clean",
            Self::PeerSilent => "peer silent",
            Self::Truncated => "truncated",
            Self::Reset => "reset",
            Self::Broken => "broken",
            Self::Aborted => "aborted",
        })
    }
}

impl fmt::Display for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.pad("nothing");
        }
        let words: Vec<_> =
            Self::ALL.iter().filter(|(signal, _)| self.contains(*signal)).map(|(_, word)| *word).collect();
        f.pad(&words.join("+"))
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(feature = "serde")]
mod serialize {
    //! The field names of `--report`: stable, flat, times in milliseconds.

    use serde::ser::{Serialize, SerializeStruct, Serializer};
    use std::time::Duration;

    use super::{Address, CloseReport, Protocol, Signal, Signals};

    impl Serialize for CloseReport {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
            let mut line = serializer.serialize_struct("CloseReport", 23)?;
            line.serialize_field("id", &self.id)?;
            line.serialize_field("origin", &self.origin)?;
            line.serialize_field("peer", &self.peer)?;
            line.serialize_field("protocol", &self.protocol)?;
            line.serialize_field("tls", &self.tls)?;
            line.serialize_field("reason", &self.reason)?;
            line.serialize_field("explanation", &self.reason.to_string())?;
            line.serialize_field("began_by", &self.began_by)?;
            line.serialize_field("ended", &self.ended)?;
            line.serialize_field("sent", &self.sent)?;
            line.serialize_field("received", &self.received)?;
            line.serialize_field("layers", &self.layers)?;
            line.serialize_field("exchanges", &self.exchanges)?;
            line.serialize_field("failed", &self.failed)?;
            line.serialize_field("bytes_sent", &self.bytes_sent)?;
            line.serialize_field("bytes_received", &self.bytes_received)?;
            line.serialize_field("bytes_discarded", &self.bytes_discarded)?;
            line.serialize_field("ended_idle_ms", &self.ended_idle.map(ms))?;
            line.serialize_field("round_trip_ms", &self.round_trip.map(ms))?;
            line.serialize_field("age_ms", &ms(self.age))?;
            line.serialize_field("draining_ms", &ms(self.draining))?;
            line.serialize_field("closing_ms", &ms(self.closing))?;
            line.serialize_field("lingering_ms", &ms(self.lingering))?;
            line.end()
        }
    }

    impl Serialize for Signals {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut set = serializer.serialize_struct("Signals", 4)?;
            set.serialize_field("goaway", &self.contains(Signal::GoAway))?;
            set.serialize_field("close_notify", &self.contains(Signal::CloseNotify))?;
            set.serialize_field("fin", &self.contains(Signal::Fin))?;
            set.serialize_field("rst", &self.contains(Signal::Rst))?;
            set.end()
        }
    }

    impl Serialize for Address {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }

    impl Serialize for Protocol {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }
}
