//! The steps of a script, as they are played.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::super::gate::Gate;
use super::super::line::{Layer, TlsMessage};

/// A step and what a client's end in the middle of it means.
#[derive(Debug, Clone)]
pub(in crate::peer) struct Planned {
    pub(in crate::peer) step: Step,
    pub(in crate::peer) on_end: OnEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) enum OnEnd {
    Fail,
    FinishScript,
}

/// One thing that the peer does.
#[derive(Debug, Clone)]
pub(in crate::peer) enum Step {
    ReadHead,
    ReadBody,
    ReadRequest,
    ReadExactly(u64),
    ReadToEnd,
    AnswerAll(Arc<[u8]>),
    Send(Arc<[u8]>),
    SendPieces {
        bytes: Arc<[u8]>,
        cuts: Arc<[usize]>,
    },
    SendFiller(u64),
    Pause(Duration),
    Gate(Gate),
    Mark(Arc<str>),
    Fin,
    Reset,
    Close,
    Stall,
    ExpectFin(Duration),
    ExpectReset(Duration),
    Quiet(Duration),
    Goodbye,
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "for TLS only"))]
    Tls(TlsStep),
}

/// What can be done with TLS only, or is done for its sake.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "for TLS only"))]
pub(in crate::peer) enum TlsStep {
    Start(Arc<dyn Layer>),
    CloseNotify,
    Send(TlsMessage),
    /// Bytes below TLS.
    SendRaw(Arc<[u8]>),
    ReadRecord,
    ExpectCloseNotify(Duration),
    ExpectAlert(Duration),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadHead => f.write_str("read a head"),
            Self::ReadBody => f.write_str("read a body"),
            Self::ReadRequest => f.write_str("read a request"),
            Self::ReadExactly(bytes) => write!(f, "read exactly {bytes} bytes"),
            Self::ReadToEnd => f.write_str("read to the client's end"),
            Self::AnswerAll(_) => f.write_str("answer all requests"),
            Self::Send(bytes) => write!(f, "send {} bytes", bytes.len()),
            Self::SendPieces { bytes, cuts } => {
                write!(f, "send {} bytes in {} pieces", bytes.len(), cuts.len() + 1)
            }
            Self::SendFiller(bytes) => write!(f, "send {bytes} bytes of filler"),
            Self::Pause(time) => write!(f, "pause for {time:?}"),
            Self::Gate(_) => f.write_str("wait for the gate"),
            Self::Mark(name) => write!(f, "mark {name:?}"),
            Self::Fin => f.write_str("send FIN"),
            Self::Reset => f.write_str("reset"),
            Self::Close => f.write_str("close"),
            Self::Stall => f.write_str("stall"),
            Self::ExpectFin(within) => write!(f, "expect FIN within {within:?}"),
            Self::ExpectReset(within) => write!(f, "expect RST within {within:?}"),
            Self::Quiet(time) => write!(f, "expect nothing for {time:?}"),
            Self::Goodbye => f.write_str("say goodbye"),
            Self::Tls(step) => step.fmt(f),
        }
    }
}

impl fmt::Display for TlsStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(_) => f.write_str("start TLS"),
            Self::CloseNotify => f.write_str("send close_notify"),
            Self::Send(TlsMessage::Alert(alert)) => write!(f, "send alert {alert}"),
            Self::Send(TlsMessage::KeyUpdate) => f.write_str("update keys"),
            Self::Send(TlsMessage::Ticket) => f.write_str("send a ticket"),
            Self::SendRaw(bytes) => write!(f, "send {} bytes below TLS", bytes.len()),
            Self::ReadRecord => f.write_str("read a record"),
            Self::ExpectCloseNotify(within) => write!(f, "expect close_notify within {within:?}"),
            Self::ExpectAlert(within) => write!(f, "expect an alert within {within:?}"),
        }
    }
}
