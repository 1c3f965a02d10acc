//! One line of the log: what happened, when and where.

use std::fmt;
use std::time::Duration;

use super::super::alert::Alert;
use super::super::handshake::Handshake;

/// One line of the log.
///
/// ```
/// # use adieu_testkit::peer::{Event, Peer, Script};
/// let peer = Peer::tcp(Script::new())?;
/// drop(std::net::TcpStream::connect(peer.address())?);
/// let seen = peer.finish()?.remove(0);
/// assert_eq!(seen.entries()[0].event, Event::Fin);
/// assert!(seen.entries()[0].at <= seen.entries()[1].at);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// When, since the connection was accepted.
    pub at: Duration,
    /// Where: 0 is the socket itself, 1 the TLS session over it, 2 the TLS session inside of that.
    pub depth: usize,
    /// What.
    pub event: Event,
}

/// What happened on a connection. The peer's own deeds have `Sent` in their names. What is about TLS comes with the
/// feature `tls` only.
///
/// ```
/// use adieu_testkit::peer::Event;
///
/// assert_eq!(Event::Received { bytes: 5 }.to_string(), "received 5 bytes");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Bytes came. Those of one step are one entry, unless the client made a pause of some milliseconds in between: on a
    /// busy machine that happens, so count with [`Seen::received_before`](super::Seen::received_before) rather than by
    /// entries.
    Received {
        /// How many.
        bytes: u64,
    },
    /// The client ended its side in order.
    Fin,
    /// The client, or its kernel, reset the connection.
    Reset,
    /// The peer gave bytes to its kernel.
    Sent {
        /// How many.
        bytes: u64,
        /// In how many pieces.
        pieces: u64,
    },
    /// The peer ended its side.
    SentFin,
    /// The peer reset the connection.
    SentReset,
    /// The peer gave its socket back.
    Closed,
    /// A [`Script::mark`](crate::peer::Script::mark) or a [`Peer::mark`](crate::peer::Peer::mark).
    Mark(String),
    /// The script was over, and the client did not end in the time it was given.
    StillOpen,
    /// A step went otherwise than the script said.
    Failed(String),
    /// A TLS handshake is done, tickets included.
    Handshake(Handshake),
    /// A TLS handshake did not succeed; why.
    HandshakeFailed(String),
    /// The client ended its side of TLS in order.
    CloseNotify,
    /// The client sent a fatal alert.
    Alert(Alert),
    /// The client changed its keys.
    KeyUpdate,
    /// Bytes came after the client's close_notify or alert, or after TLS failed.
    Stray {
        /// How many.
        bytes: u64,
    },
    /// The peer ended its side of TLS in order.
    SentCloseNotify,
    /// The peer sent a fatal alert, of its script or because the client broke TLS.
    SentAlert(Alert),
    /// The peer changed its keys and asked the client to do so too.
    SentKeyUpdate,
    /// The peer sent a session ticket after the handshake.
    SentTicket,
    /// The peer sent bytes below TLS.
    SentRaw {
        /// How many.
        bytes: u64,
    },
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10} ms  {}", Millis(self.at).to_string(), self.event)?;
        if self.depth > 1 { f.write_str(" (inner TLS)") } else { Ok(()) }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Received { bytes } => write!(f, "received {bytes} bytes"),
            Self::Fin => f.write_str("client sent FIN"),
            Self::Reset => f.write_str("client sent RST"),
            Self::Sent { bytes, pieces: 1 } => write!(f, "sent {bytes} bytes"),
            Self::Sent { bytes, pieces } => write!(f, "sent {bytes} bytes in {pieces} pieces"),
            Self::SentFin => f.write_str("sent FIN"),
            Self::SentReset => f.write_str("sent RST"),
            Self::Closed => f.write_str("closed"),
            Self::Mark(name) => write!(f, "mark {name:?}"),
            Self::StillOpen => f.write_str("client still open"),
            Self::Failed(what) => write!(f, "FAILED: {what}"),
            Self::Handshake(handshake) => write!(f, "TLS handshake done: {handshake}"),
            Self::HandshakeFailed(why) => write!(f, "TLS handshake failed: {why}"),
            Self::CloseNotify => f.write_str("client sent close_notify"),
            Self::Alert(alert) => write!(f, "client sent alert {alert}"),
            Self::KeyUpdate => f.write_str("client changed its keys"),
            Self::Stray { bytes } => write!(f, "received {bytes} bytes after the end of TLS"),
            Self::SentCloseNotify => f.write_str("sent close_notify"),
            Self::SentAlert(alert) => write!(f, "sent alert {alert}"),
            Self::SentKeyUpdate => f.write_str("changed keys, asked the client for the same"),
            Self::SentTicket => f.write_str("sent a session ticket"),
            Self::SentRaw { bytes } => write!(f, "sent {bytes} bytes below TLS"),
        }
    }
}

/// A time in milliseconds, with microseconds behind the point.
pub(super) struct Millis(pub(super) Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0.as_secs_f64() * 1e3)
    }
}
