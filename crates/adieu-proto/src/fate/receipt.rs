//! What the kernel's acknowledgements say of a request that the peer may never have received.
//!
//! In the keep-alive race the peer has closed its socket before the request arrives. Its FIN comes first and acknowledges
//! nothing of the request; then its kernel refuses the request with RST. So the kernel is looked at twice: when the end is
//! read, and once the RST is here or was awaited for long enough. A socket in state CLOSE with the head not acknowledged is
//! the proof.

use std::time::Duration;

/// What a kernel tells of the sending side of a socket at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Bytes that the peer's kernel acknowledged since the beginning, as the kernel counts them: the SYN may be one of
    /// them. It is not taken off, so that the error is on the safe side.
    pub acknowledged: u64,
    /// Where the socket is.
    pub socket: Socket,
    /// How long a round trip takes.
    pub round_trip: Duration,
    /// For how long nothing has come from the peer, not even an acknowledgement.
    pub silence: Duration,
}

/// Where a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it is gone or it is not")]
pub enum Socket {
    /// It lives.
    Alive,
    /// In state CLOSE: after the end of the peer's side, a RST came.
    Closed,
}

/// Where a request lies on the wire, in bytes since the beginning of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a beginning and an end")]
pub struct Span {
    /// What was sent before it.
    pub before: u64,
    /// Where its head ends: under TLS, the record that holds the last byte of it.
    pub head_end: u64,
}

/// Whether a transport can be asked for [receipts](Receipt).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "not, only end to end, or always")]
pub enum Receipts {
    /// It cannot.
    #[default]
    None,
    /// It can, but they are those of a proxy: they count only under TLS with the origin, whose close_notify vouches for
    /// the end.
    Relayed,
    /// It can, and they are the peer's.
    Kernel,
}

/// What the looks showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "nothing, or one of three things")]
pub enum Sight {
    /// There was no look, or nothing can be told from it.
    #[default]
    None,
    /// The head was not acknowledged, and no RST had come: it may still.
    Pending,
    /// The head was acknowledged: the peer may have read it.
    Acknowledged,
    /// The head was never acknowledged, and RST came.
    Refused,
}

/// A peer that only half-closed acknowledges within this, at the latest, beside the round trips.
const DELAYED: Duration = Duration::from_millis(50);

impl Receipt {
    /// What a kernel told.
    #[must_use]
    pub fn new(acknowledged: u64, socket: Socket, round_trip: Duration, silence: Duration) -> Self {
        Self { acknowledged, socket, round_trip, silence }
    }

    /// What it says of the request that lies there.
    #[must_use]
    pub fn sight(&self, span: Span) -> Sight {
        // What was answered was received: a counter that does not know it is broken.
        if self.acknowledged < span.before || span.head_end <= span.before {
            return Sight::None;
        }
        match self.socket {
            _ if self.acknowledged >= span.head_end => Sight::Acknowledged,
            Socket::Alive => Sight::Pending,
            Socket::Closed => Sight::Refused,
        }
    }

    /// How long a RST is awaited after the first look.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.round_trip.saturating_mul(2).saturating_add(DELAYED)
    }
}
