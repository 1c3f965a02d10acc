//! What is known of a request that failed: the facts as the connection saw them, and the verdict that is drawn from these
//! facts alone ([`fate_of`]).
//!
//! | fate | when |
//! |---|---|
//! | [`Fate::NotSent`] | no byte of it reached the transport |
//! | [`Fate::NotProcessed`] | something did, and there is a proof that the peer did not act on it |
//! | [`Fate::Unknown`] | something did; part of an answer may have come back; there is no proof |
//! | [`Fate::Answered`] | the head of its final response came |

use std::fmt;

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
    /// Whether exchanges were done on the connection before.
    pub reused: Use,
    /// How the read side ended.
    pub read_end: ReadEnd,
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
        self.head > 0 && self.handed >= self.head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every combination: nothing is claimed of a request whose head the transport took whole, or that was answered in part.
    #[test]
    fn the_whole_table() {
        let (mut all, mut proven) = (0, 0);
        for head in 0..=3 {
            for handed in 0..=5 {
                for answered in [0, 1] {
                    for answer in [Answer::None, Answer::Part, Answer::Head] {
                        for read_end in [ReadEnd::None, ReadEnd::Fin, ReadEnd::Reset, ReadEnd::BareFin] {
                            for reused in [Use::Fresh, Use::Reused] {
                                let facts =
                                    Facts { head, handed, answered, read_end, reused, ..Facts::default() };
                                let fate = fate_of(&facts, answer);
                                all += 1;
                                let whole = head > 0 && handed >= head;
                                match fate {
                                    Fate::Answered => assert_eq!(answer, Answer::Head),
                                    Fate::NotSent => assert!(handed == 0 && answer != Answer::Head),
                                    Fate::NotProcessed(Proof::HeadIncomplete) => {
                                        proven += 1;
                                        assert!(handed > 0 && !whole && answer == Answer::None, "{facts:?}");
                                    }
                                    Fate::Unknown => {
                                        assert!(handed > 0 && (whole || answer == Answer::Part), "{facts:?}");
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        assert_eq!((all, proven), (1_152, 128));
    }
}
