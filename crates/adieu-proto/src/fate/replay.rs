//! Which requests that failed are sent again, how often, and on what connection: one pure function,
//! [`Tries::next`].

use std::fmt;

use http::header::HeaderName;
use http::{HeaderMap, Method, StatusCode};

use super::{Facts, Fate, Proof, Use};

/// Which requests that failed are sent again.
///
/// Whatever it says, only what the peer or the network ended is sent again, nothing of which a byte of a response came, and
/// nothing whose body cannot be produced once more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Replay {
    /// None.
    Never,
    /// Those that were certainly not processed.
    Proven,
    /// Those too that may have been processed, once, where twice does no harm: a safe method (RFC 9110 section 9.2.1),
    /// an `Idempotency-Key`, or a request that its caller marked. The default.
    #[default]
    Safe,
    /// The same for every idempotent method (RFC 9110 section 9.2.2): PUT and DELETE too. A PUT or DELETE that is
    /// conditional may be answered 412 (Precondition Failed) although it succeeded.
    Idempotent,
}

/// Whether it does harm if a request is processed twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it does or it does not")]
pub enum Twice {
    /// It does none.
    Harmless,
    /// It may.
    Harmful,
}

/// Whether a request can be produced once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it can or it cannot")]
pub enum Repeat {
    /// Its body is empty, in memory, or made by a factory.
    Possible,
    /// Its body comes only once.
    Impossible,
}

/// Who ended an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "they did or we did")]
pub enum By {
    /// The peer or the network: end of stream, reset, failed write.
    Them,
    /// A deadline, a cancellation, a close, a violation that we found.
    Us,
}

/// Whether a connection ends with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it does or it does not")]
pub enum Ends {
    /// It does.
    Yes,
    /// It goes on.
    No,
}

/// One attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what the rules look at")]
pub struct Attempt {
    /// What became of it.
    pub fate: Fate,
    /// Who ended it.
    pub by: By,
    /// Bytes of an answer that came.
    pub answered: u64,
    /// Whether its connection was used before.
    pub reused: Use,
}

/// By what a request may be sent again, whatever becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what its caller allows, what it bears, what it can")]
pub struct Rules {
    /// What is allowed.
    pub replay: Replay,
    /// Whether it may be processed twice.
    pub twice: Twice,
    /// Whether it can be produced once more.
    pub repeat: Repeat,
}

/// The attempts of one request so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// Pooled connections that turned out to be gone.
    used_up: u8,
    /// Replays that count.
    counted: u8,
    /// Replays of what may have been processed.
    unknown: u8,
    /// Replays of what was answered by "not here" or "not yet".
    turned_away: u8,
    fresh: Fresh,
}

/// Whether the next attempt takes none but a fresh connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fresh {
    #[default]
    Any,
    Only,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "again or not")]
pub enum Next {
    /// The request is sent again.
    Again(Connection, Cost),
    /// It is not.
    No(Refusal),
}

/// On which connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "any or a fresh one")]
pub enum Connection {
    /// Any that is idle.
    Any,
    /// One that carried no exchange.
    Fresh,
}

/// What a replay costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it counts or it does not")]
pub enum Cost {
    /// Nothing: it used up a pooled connection, and there are not so many.
    Free,
    /// One of the few that a request has, and of those that the traffic allows.
    Counted,
}

/// Why a request is not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Replay is switched off, or not allowed for this fate.
    Off,
    /// It was answered, or part of an answer came.
    Answered,
    /// We ended it ourselves.
    EndedByUs,
    /// Its body comes only once.
    BodyGone,
    /// It may have been processed, and twice may do harm.
    MayBeProcessed,
    /// It may have been processed, and its connection was fresh: no race explains the end.
    FreshConnection,
    /// It was sent as often as it may be.
    Cap,
    /// Too many requests to its origin were sent again of late.
    Budget,
    /// The time for the whole exchange is over.
    Deadline,
}

/// After so many pooled connections that were gone a fresh one is taken: the others may be gone as well.
const USED_UP: u8 = 2;
/// So many replays count at most.
const COUNTED: u8 = 2;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

impl Replay {
    /// Whether a request that may have been processed can be sent again, by its method and fields; a caller's own mark
    /// is another matter.
    #[must_use]
    pub fn twice(self, method: &Method, headers: &HeaderMap) -> Twice {
        let allowed = match self {
            Self::Never | Self::Proven => false,
            Self::Safe => method.is_safe() || headers.contains_key(IDEMPOTENCY_KEY),
            Self::Idempotent => method.is_idempotent() || headers.contains_key(IDEMPOTENCY_KEY),
        };
        if allowed { Twice::Harmless } else { Twice::Harmful }
    }
}

impl Refusal {
    /// A stable word in snake case, for logs and JSON.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Answered => "answered",
            Self::EndedByUs => "ended_by_us",
            Self::BodyGone => "body_gone",
            Self::MayBeProcessed => "may_be_processed",
            Self::FreshConnection => "fresh_connection",
            Self::Cap => "cap",
            Self::Budget => "budget",
            Self::Deadline => "deadline",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "sending again is switched off for this",
            Self::Answered => "it was answered",
            Self::EndedByUs => "this side ended it",
            Self::BodyGone => "its body comes only once",
            Self::MayBeProcessed => "twice may do harm",
            Self::FreshConnection => "its connection was fresh, so that no race explains its end",
            Self::Cap => "it was sent as often as it may be",
            Self::Budget => "too many requests were sent again of late",
            Self::Deadline => "its time is over",
        })
    }
}

impl Tries {
    /// What comes after this attempt, which is noted. A replay that is [`Cost::Counted`] needs the traffic's leave too.
    pub fn next(&mut self, attempt: &Attempt, rules: Rules) -> Next {
        let Rules { replay, twice, repeat } = rules;
        if replay == Replay::Never {
            return Next::No(Refusal::Off);
        }
        if attempt.fate == Fate::Answered || attempt.answered > 0 {
            return Next::No(Refusal::Answered);
        }
        if attempt.by == By::Us {
            return Next::No(Refusal::EndedByUs);
        }
        if repeat == Repeat::Impossible {
            return Next::No(Refusal::BodyGone);
        }
        match (attempt.fate, attempt.reused) {
            (Fate::NotSent | Fate::NotProcessed(Proof::ClosedBeforeReceipt), Use::Reused)
                if self.used_up < USED_UP =>
            {
                self.note_used_up();
                Next::Again(self.connection(), Cost::Free)
            }
            (Fate::NotSent | Fate::NotProcessed(_), _) => self.count(),
            (Fate::Unknown | Fate::Answered, _) if replay == Replay::Proven => Next::No(Refusal::Off),
            (Fate::Unknown | Fate::Answered, _) if twice == Twice::Harmful => {
                Next::No(Refusal::MayBeProcessed)
            }
            (Fate::Unknown | Fate::Answered, Use::Fresh) => Next::No(Refusal::FreshConnection),
            (Fate::Unknown | Fate::Answered, Use::Reused) if self.unknown > 0 => Next::No(Refusal::Cap),
            (Fate::Unknown | Fate::Answered, Use::Reused) => {
                self.unknown += 1;
                self.fresh = Fresh::Only;
                self.count()
            }
        }
    }

    /// What comes after a response with this status, if that is a reason to ask again: `None` mostly.
    ///
    /// 421 (Misdirected Request) and 425 (Too Early) were not processed and are asked again once, the former on a
    /// connection of its own (RFC 9110 section 15.5.20, RFC 8470 section 5.2). A 408 (Request Timeout) by which a peer ends
    /// a connection that was used before is how it ends an idle one (RFC 9110 section 15.5.9): the request may have
    /// been processed.
    pub fn next_after(
        &mut self,
        status: StatusCode,
        ends: Ends,
        facts: &Facts,
        rules: Rules,
    ) -> Option<Next> {
        match (status, ends, facts.reused) {
            (StatusCode::MISDIRECTED_REQUEST | StatusCode::TOO_EARLY, ..) => {
                let once_more = rules.replay != Replay::Never && rules.repeat == Repeat::Possible;
                if !once_more || self.turned_away > 0 {
                    return None;
                }
                self.turned_away += 1;
                if status == StatusCode::MISDIRECTED_REQUEST {
                    self.fresh = Fresh::Only;
                }
                Some(self.count())
            }
            (StatusCode::REQUEST_TIMEOUT, Ends::Yes, reused @ Use::Reused) => {
                // The 408 itself is none of the answer, but an interim response is.
                let answered = facts.interim.into();
                let attempt = Attempt { fate: Fate::Unknown, by: By::Them, answered, reused };
                Some(self.next(&attempt, rules))
            }
            _ => None,
        }
    }

    fn count(&mut self) -> Next {
        if self.counted >= COUNTED {
            return Next::No(Refusal::Cap);
        }
        self.counted += 1;
        if self.counted == COUNTED {
            self.fresh = Fresh::Only;
        }
        Next::Again(self.connection(), Cost::Counted)
    }

    /// A pooled connection turned out to be gone.
    pub fn note_used_up(&mut self) {
        self.used_up = self.used_up.saturating_add(1);
        if self.used_up >= USED_UP {
            self.fresh = Fresh::Only;
        }
    }

    /// The next attempt takes none but a fresh connection.
    pub fn insist_on_fresh(&mut self) {
        self.fresh = Fresh::Only;
    }

    /// On what connection the next attempt goes.
    #[must_use]
    pub fn connection(&self) -> Connection {
        match self.fresh {
            Fresh::Any => Connection::Any,
            Fresh::Only => Connection::Fresh,
        }
    }

    /// Whether an attempt may have been processed and was followed by another.
    #[must_use]
    pub fn may_have_been_processed(&self) -> bool {
        self.unknown > 0
    }
}
