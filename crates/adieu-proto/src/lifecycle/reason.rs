//! Why a connection ended: one variant per cause that somebody can act on, and who is to blame.

use std::fmt;

use super::CloseKind;

/// Why a connection ended or is about to. The first cause is kept, never replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// `close(..)` was called.
    User(CloseKind),
    /// The sender and every handle were dropped.
    HandlesDropped,
    /// A policy said so; its name.
    Policy(&'static str),
    /// Nothing was in flight for longer than the idle limit.
    IdleLimit,
    /// The connection reached its maximum age.
    MaxAge,
    /// The connection did its maximum number of exchanges.
    MaxExchanges,
    /// The pool needed its place for another; which of its limits was reached.
    PoolLimit(&'static str),
    /// Too many dropped connections were on their way out; this was the oldest. Told in place of the first cause.
    Shed,
    /// The runtime that drove the connection is gone.
    RuntimeGone,

    /// It never opened; which step failed: `resolve`, `connect`, `proxy`, `TLS`, `certificate`; or `setup`, on this side.
    NotOpened(&'static str),

    /// Our request said `Connection: close`.
    RequestAskedClose,
    /// The caller dropped the response future or the unread response body.
    RequestCancelled,
    /// The request body ended early or gave an error.
    RequestBodyFailed,
    /// A final response came before the request was whole, and the upload was given up.
    UploadStopped,

    /// The peer ended an idle connection.
    PeerClosedIdle,
    /// The response said `Connection: close`, or was HTTP/1.0 without `keep-alive`.
    PeerAskedClose,
    /// The response body had no other end than the connection's.
    BodyUntilClose,
    /// The peer ended its side before the response was whole.
    PeerEndedEarly,
    /// The peer ended without a whole response after we had ended our side.
    HalfCloseRefused,
    /// The peer sent bytes that answer no request.
    UnexpectedData,
    /// HTTP/2 GOAWAY.
    GoAway(Box<GoAway>),
    /// The peer reset the connection.
    Reset,
    /// TLS ended without close_notify where only that could have told the end.
    TlsTruncated,
    /// The peer sent a fatal TLS alert.
    TlsAlert(TlsAlert),
    /// The peer broke TLS and was told so by an alert; what exactly.
    TlsBroken(&'static str),
    /// The peer broke the protocol; what exactly.
    ProtocolError(&'static str),
    /// The peer sent more than a limit allows; which limit.
    LimitExceeded(&'static str),

    /// A deadline passed.
    TimedOut(Phase),
    /// The network failed in another way than by a reset.
    Network(std::io::ErrorKind),
    /// Another protocol took the connection over and it ended.
    Upgraded,
}

/// What a GOAWAY said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GoAway {
    /// The error code; 0 is NO_ERROR.
    pub code: u32,
    /// The highest stream that the peer may have processed.
    pub last_stream_id: u32,
    /// What else the peer said, for people.
    pub debug_data: String,
}

/// The description of a TLS alert (RFC 8446 section 6). Prints as its name there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "one byte on the wire")]
pub struct TlsAlert(pub u8);

/// Which wait was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Phase {
    /// Resolving, connecting, and all handshakes.
    Opening,
    /// Resolving the name of the host, or of a proxy.
    Resolve,
    /// Connecting, over all addresses.
    Connect,
    /// The proxy's part: SOCKS, or its answer to CONNECT.
    ProxyHandshake,
    /// The TLS handshake.
    TlsHandshake,
    /// Waiting for a connection of the pool.
    PoolWait,
    /// The transport took no bytes of ours.
    WriteStall,
    /// From the last byte of the request to the response head.
    ResponseHead,
    /// Between two pieces of the response body.
    BodyGap,
    /// The whole exchange.
    Exchange,
    /// What a close gave the exchanges in flight.
    Drain,
    /// An upgraded connection carried no byte in either direction.
    UpgradeIdle,
    /// One side of an upgraded connection had ended; the other did not follow.
    UpgradeHalfClosed,
}

/// One of the three that can end a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[expect(clippy::exhaustive_enums, reason = "two ends and what is between them")]
pub enum Party {
    /// This side: the user, a policy, a limit.
    Local,
    /// The other side.
    Peer,
    /// What lies between.
    Network,
}

/// Who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Blame {
    /// The other side broke a promise or said no.
    Peer,
    /// What lies between.
    Network,
    /// A limit or a rule of this side.
    Policy,
    /// The code that called adieu.
    Caller,
}

impl CloseReason {
    /// Who began the end.
    #[must_use]
    pub fn began_by(&self) -> Party {
        match self {
            Self::PeerClosedIdle
            | Self::PeerAskedClose
            | Self::BodyUntilClose
            | Self::PeerEndedEarly
            | Self::UnexpectedData
            | Self::GoAway(_)
            | Self::Reset
            | Self::TlsTruncated
            | Self::TlsAlert(_)
            | Self::TlsBroken(_)
            | Self::ProtocolError(_)
            | Self::LimitExceeded(_)
            | Self::UploadStopped => Party::Peer,
            Self::Network(_) | Self::NotOpened("resolve" | "connect") => Party::Network,
            Self::NotOpened("setup") => Party::Local,
            Self::NotOpened(_) => Party::Peer,
            _ => Party::Local,
        }
    }

    /// Who can mend it.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::User(_)
            | Self::HandlesDropped
            | Self::RequestAskedClose
            | Self::RequestCancelled
            | Self::RequestBodyFailed
            | Self::RuntimeGone
            | Self::NotOpened("setup")
            | Self::Upgraded => Blame::Caller,
            Self::Policy(_)
            | Self::IdleLimit
            | Self::MaxAge
            | Self::MaxExchanges
            | Self::PoolLimit(_)
            | Self::Shed
            | Self::TimedOut(
                Phase::Drain
                | Phase::Exchange
                | Phase::PoolWait
                | Phase::UpgradeIdle
                | Phase::UpgradeHalfClosed,
            ) => Blame::Policy,
            Self::TimedOut(Phase::Opening | Phase::Resolve | Phase::Connect | Phase::WriteStall)
            | Self::NotOpened("resolve" | "connect")
            | Self::Network(_) => Blame::Network,
            _ => Blame::Peer,
        }
    }

    /// A stable word in snake case, for logs and JSON.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::User(CloseKind::Graceful) => "user_graceful",
            Self::User(CloseKind::Half) => "user_half",
            Self::User(CloseKind::Now) => "user_now",
            Self::User(CloseKind::Abort) => "user_abort",
            Self::HandlesDropped => "handles_dropped",
            Self::Policy(_) => "policy",
            Self::IdleLimit => "idle_limit",
            Self::MaxAge => "max_age",
            Self::MaxExchanges => "max_exchanges",
            Self::PoolLimit(_) => "pool_limit",
            Self::NotOpened(_) => "not_opened",
            Self::Shed => "shed",
            Self::RuntimeGone => "runtime_gone",
            Self::RequestAskedClose => "request_asked_close",
            Self::RequestCancelled => "request_cancelled",
            Self::RequestBodyFailed => "request_body_failed",
            Self::UploadStopped => "upload_stopped",
            Self::PeerClosedIdle => "peer_closed_idle",
            Self::PeerAskedClose => "peer_asked_close",
            Self::BodyUntilClose => "body_until_close",
            Self::PeerEndedEarly => "peer_ended_early",
            Self::HalfCloseRefused => "half_close_refused",
            Self::UnexpectedData => "unexpected_data",
            Self::GoAway(_) => "goaway",
            Self::Reset => "reset",
            Self::TlsTruncated => "tls_truncated",
            Self::TlsAlert(_) => "tls_alert",
            Self::TlsBroken(_) => "tls_broken",
            Self::ProtocolError(_) => "protocol_error",
            Self::LimitExceeded(_) => "limit_exceeded",
            Self::TimedOut(phase) => match phase {
                Phase::Opening => "timeout_opening",
                Phase::Resolve => "timeout_resolve",
                Phase::Connect => "timeout_connect",
                Phase::ProxyHandshake => "timeout_proxy_handshake",
                Phase::TlsHandshake => "timeout_tls_handshake",
                Phase::PoolWait => "timeout_pool_wait",
                Phase::WriteStall => "timeout_write_stall",
                Phase::ResponseHead => "timeout_response_head",
                Phase::BodyGap => "timeout_body_gap",
                Phase::Exchange => "timeout_exchange",
                Phase::Drain => "timeout_drain",
                Phase::UpgradeIdle => "timeout_upgrade_idle",
                Phase::UpgradeHalfClosed => "timeout_upgrade_half_closed",
            },
            Self::Network(_) => "network",
            Self::Upgraded => "upgraded",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::User(kind) => return write!(f, "closed by the user ({kind})"),
            Self::Policy(name) => return write!(f, "closed by the policy {name}"),
            Self::GoAway(goaway) => {
                write!(
                    f,
                    "the peer sent GOAWAY (code {}, last stream {})",
                    goaway.code, goaway.last_stream_id
                )?;
                return if goaway.debug_data.is_empty() {
                    Ok(())
                } else {
                    write!(f, ": {}", goaway.debug_data)
                };
            }
            Self::TlsAlert(alert) => return write!(f, "the peer sent the TLS alert {alert}"),
            Self::TlsBroken(what) => return write!(f, "the peer broke TLS: {what}"),
            Self::ProtocolError(what) => return write!(f, "the peer broke the protocol: {what}"),
            Self::LimitExceeded(limit) => return write!(f, "the peer exceeded the limit on {limit}"),
            Self::TimedOut(phase) => return write!(f, "timed out: {phase}"),
            Self::NotOpened(step) => return write!(f, "it never opened: {step} failed"),
            Self::PoolLimit(limit) => return write!(f, "the pool's limit on {limit} was reached"),
            Self::Network(kind) => return write!(f, "the network failed: {kind}"),
            Self::HandlesDropped => "the sender and every handle were dropped",
            Self::IdleLimit => "idle for longer than its limit",
            Self::MaxAge => "reached its maximum age",
            Self::MaxExchanges => "did its maximum number of exchanges",
            Self::Shed => "too many dropped connections were on their way out",
            Self::RuntimeGone => "the runtime that drove it is gone",
            Self::RequestAskedClose => "the request asked for close",
            Self::RequestCancelled => "the request was cancelled",
            Self::RequestBodyFailed => "the request body ended early or failed",
            Self::UploadStopped => "the response came before the upload was whole",
            Self::PeerClosedIdle => "the peer closed it while idle",
            Self::PeerAskedClose => "the peer asked for close",
            Self::BodyUntilClose => "the response body ended with the connection",
            Self::PeerEndedEarly => "the peer ended before the response was whole",
            Self::HalfCloseRefused => "the peer took our half-close for a cancellation",
            Self::UnexpectedData => "the peer sent bytes that answer no request",
            Self::Reset => "the peer reset it",
            Self::TlsTruncated => "TLS ended without close_notify",
            Self::Upgraded => "it was upgraded and ended",
        };
        f.write_str(words)
    }
}

impl fmt::Display for TlsAlert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            21 => "decryption_failed",
            22 => "record_overflow",
            40 => "handshake_failure",
            41 => "no_certificate",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            109 => "missing_extension",
            110 => "unsupported_extension",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            120 => "no_application_protocol",
            other => return write!(f, "{other}"),
        })
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opening => "opening the connection",
            Self::Resolve => "resolving the name",
            Self::Connect => "connecting",
            Self::ProxyHandshake => "the proxy's handshake",
            Self::PoolWait => "waiting for a connection of the pool",
            Self::TlsHandshake => "the TLS handshake",
            Self::WriteStall => "the transport took no bytes",
            Self::ResponseHead => "waiting for the response head",
            Self::BodyGap => "waiting for more of the response body",
            Self::Exchange => "the whole exchange",
            Self::Drain => "draining before a close",
            Self::UpgradeIdle => "the upgraded connection carried nothing",
            Self::UpgradeHalfClosed => "waiting for the other end of the upgraded connection",
        })
    }
}

impl fmt::Display for CloseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Graceful => "graceful",
            Self::Half => "half",
            Self::Now => "now",
            Self::Abort => "abort",
        })
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Local => "us",
            Self::Peer => "the peer",
            Self::Network => "the network",
        })
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for CloseReason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}
