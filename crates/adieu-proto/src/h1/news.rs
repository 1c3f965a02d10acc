//! What the engine is told and what it tells: settings, events, failures, ends.

use std::io::ErrorKind;

use bytes::Bytes;
use http::{HeaderMap, Response};

use crate::codec::limits::Limits;
use crate::codec::request::{TargetForm, Unsendable};
use crate::fate::{Answer, Facts, Receipts};
use crate::lifecycle::{CloseReason, ExchangePhase, LifecycleLimits, Timeouts, TlsAlert};

/// What one engine may be told. Everything has its default.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Config {
    /// The bounds on what the peer may send.
    pub limits: Limits,
    /// How long each phase may take.
    pub timeouts: Timeouts,
    /// How long the connection may stay in a state.
    pub life: LifecycleLimits,
    /// What becomes of an upload when the final response comes before it is whole.
    pub early_response: EarlyResponse,
    /// Whether our side can end while the peer's goes on.
    pub half_close: HalfClose,
    /// Whether a server is asked, or a proxy.
    pub target: TargetForm,
    /// Whether the kernel can be asked what it knows of a request that was not answered.
    pub receipts: Receipts,
}

/// Whether one side of the transport can end while the other goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it can or it cannot")]
pub enum HalfClose {
    /// It can.
    #[default]
    Possible,
    /// It cannot: a close of mode half acts as graceful. So it is in TLS 1.2 (RFC 5246 section 7.2.1).
    Impossible,
}

/// What becomes of an upload when the final response comes before it is whole (RFC 9112 section 9.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EarlyResponse {
    /// Stop it if the response is no success or asks for close, else finish it.
    #[default]
    StopUnlessSuccess,
    /// Stop it whatever the response says. The connection is reset once the response is read.
    Stop,
    /// Finish it whatever the response says, unless the transport breaks.
    Finish,
}

/// News for the caller of the exchange in flight.
///
/// Ask [`Engine::is_response_whole`](super::Engine::is_response_whole) after each: where the last piece of a body, its trailers or a head without a
/// body make the response whole, no `End` follows.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// An interim response (1xx); any number of them may come.
    Interim(Response<()>),
    /// The final response head.
    Response(Response<()>, BodySize),
    /// A piece of its body.
    Data(Bytes),
    /// Its trailers.
    Trailers(HeaderMap),
    /// The response is whole, and nothing told it before.
    End,
    /// The exchange failed; nothing more comes. The same failure comes again at each look.
    Failed(Failure),
}

/// What is known of the length of a response body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodySize {
    /// So many bytes; 0 where there is none.
    Known(u64),
    /// It ends when it ends.
    Unknown,
    /// There is no body: another protocol follows.
    Upgrade,
}

/// Why an exchange failed, where it was, and what is known of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// Why.
    pub reason: CloseReason,
    /// How far it was.
    pub at: ExchangePhase,
    /// What is known of the request.
    pub facts: Facts,
    /// What came back for it.
    pub answer: Answer,
}

/// How one direction of the transport ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportEnd {
    /// In order: FIN, or the transport's like; under TLS after close_notify.
    Fin,
    /// TLS close_notify: nothing more comes, the FIN is still to be read.
    CloseNotify,
    /// A FIN under TLS without close_notify: nobody vouches for it.
    BareFin,
    /// A fatal TLS alert.
    Alert(TlsAlert),
    /// The peer broke TLS, and was told so by an alert; its FIN is still to be read.
    Broken(&'static str),
    /// By a reset.
    Reset,
    /// By another failure of the network.
    Failed(ErrorKind),
}

impl TransportEnd {
    /// Whether the peer ended in order, and nobody else can have.
    #[must_use]
    pub fn is_orderly(self) -> bool {
        matches!(self, Self::Fin | Self::CloseNotify)
    }
}

/// No exchange can begin: the connection is busy or on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotOpen {
    /// The exchange before is not over.
    Busy,
    /// The connection is on its way out or gone.
    Ending(CloseReason),
    /// The request cannot be sent as it is; the connection is as before.
    Unsendable(Unsendable),
}
