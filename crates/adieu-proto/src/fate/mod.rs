//! What is known of a request that failed: the facts as the connection saw them, and the verdict that is drawn from these
//! facts alone ([`fate_of`]).
//!
//! | file | what it is for |
//! |---|---|
//! | `mod` | the facts and the verdict |
//! | `receipt` | what the kernel's acknowledgements say of a request that the peer may never have received |
//! | `replay` | which requests that failed are sent again |
//!
//! | fate | when |
//! |---|---|
//! | [`Fate::NotSent`] | no byte of it reached the transport |
//! | [`Fate::NotProcessed`] | something did, and there is a proof that the peer did not act on it |
//! | [`Fate::Unknown`] | something did; part of an answer may have come back; there is no proof |
//! | [`Fate::Answered`] | the head of its final response came |

mod receipt;
mod replay;

use std::fmt;

pub use receipt::{Receipt, Receipts, Sight, Socket, Span};
pub use replay::{Attempt, By, Connection, Cost, Ends, Next, Refusal, Repeat, Replay, Rules, Tries, Twice};

/// What is known of what became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fate {
    /// No byte of it reached the transport.
    NotSent,
    /// The peer did not act on it, and this proves it.
    NotProcessed(Proof),
    /// The peer may have acted on it, or not.
    Unknown,
    /// The peer answered it.
    Answered,
}

/// Why a request of which something was sent was certainly not processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Proof {
    /// The transport took less than its whole head: nobody can have read what it asks for.
    HeadIncomplete,
    /// The peer had closed its socket before the request arrived, and its kernel refused it.
    ClosedBeforeReceipt,
}

/// What came back for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the head of the final response came, something else did, or nothing did"
)]
pub enum Answer {
    /// Nothing.
    None,
    /// Part of a head, or interim responses.
    Part,
    /// The head of its final response.
    Head,
}

/// The verdict on a request that failed.
#[must_use]
pub fn fate_of(facts: &Facts, answer: Answer) -> Fate {
    match answer {
        Answer::Head => Fate::Answered,
        _ if facts.handed == 0 => Fate::NotSent,
        // An answer to what was not asked in full is no proof of anything.
        Answer::None if !facts.head_handed_over() => Fate::NotProcessed(Proof::HeadIncomplete),
        Answer::None if facts.sight == Sight::Refused && facts.may_be_refused() => {
            Fate::NotProcessed(Proof::ClosedBeforeReceipt)
        }
        Answer::None | Answer::Part => Fate::Unknown,
    }
}

impl Fate {
    /// A stable word in snake case, for logs and JSON.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::NotProcessed(_) => "not_processed",
            Self::Unknown => "unknown",
            Self::Answered => "answered",
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotSent => "nothing of it was sent",
            Self::NotProcessed(Proof::HeadIncomplete) => "not processed: its head was not sent whole",
            Self::NotProcessed(Proof::ClosedBeforeReceipt) => {
                "not processed: the peer had closed before it arrived"
            }
            Self::Unknown => "it may have been processed",
            Self::Answered => "it was answered",
        })
    }
}

/// What a connection knows of one request, recorded as it happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facts {
    /// Bytes of this request that the transport took.
    pub handed: u64,
    /// Bytes of its head.
    pub head: u64,
    /// Bytes that the transport took before this request.
    pub handed_before: u64,
    /// Bytes of an answer that came back, interim ones included.
    pub answered: u64,
    /// Interim responses (1xx) that came back.
    pub interim: u32,
    /// Whether exchanges were done on the connection before.
    pub reused: Use,
    /// How the read side ended.
    pub read_end: ReadEnd,
    /// How much of its head the wire took, where that is less than the transport did: under TLS, until the record that
    /// holds the last byte of it is out.
    pub wire: OnWire,
    /// Whether our side had ended.
    pub ours: Ours,
    /// What the kernel's acknowledgements showed after the peer's end.
    pub sight: Sight,
}

/// How much of a head the wire took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "all of it or a part")]
pub enum OnWire {
    /// As much as the transport.
    #[default]
    AsHanded,
    /// Less than the whole head.
    Part,
}

/// Our side of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it ended or it did not")]
pub enum Ours {
    /// More may be sent.
    #[default]
    Open,
    /// It ended, or was to end with this request.
    Ended,
}

/// Whether a connection was fresh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a connection was used before or not")]
pub enum Use {
    /// This was its first exchange.
    #[default]
    Fresh,
    /// There were exchanges before.
    Reused,
}

/// How the read side of a connection ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadEnd {
    /// It had not.
    #[default]
    None,
    /// The peer ended its side in order: a FIN where there is no TLS, or after close_notify.
    Fin,
    /// The peer said close_notify.
    CloseNotify,
    /// A FIN under TLS without close_notify: anyone on the path can forge it.
    BareFin,
    /// The peer's TLS ended in a fatal alert, or broke the protocol.
    TlsFailed,
    /// The peer reset the connection.
    Reset,
    /// The network failed otherwise.
    Failed,
}

impl Facts {
    /// Whether the transport took the whole head.
    #[must_use]
    pub fn head_handed_over(&self) -> bool {
        self.head > 0 && self.handed >= self.head && self.wire == OnWire::AsHanded
    }

    /// Whether the peer's kernel may have refused the request because the peer had closed before: it was used before,
    /// the peer ended in order (under TLS with close_notify, for anyone can forge a FIN) without any byte of an answer, and
    /// our side has not ended. Then the kernel is to be asked.
    #[must_use]
    pub fn may_be_refused(&self) -> bool {
        self.reused == Use::Reused
            && matches!(self.read_end, ReadEnd::Fin | ReadEnd::CloseNotify)
            && self.ours == Ours::Open
            && self.answered == 0
            && self.head_handed_over()
    }
}

#[cfg(test)]
mod tests;
