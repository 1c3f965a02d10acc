//! The whole life of one connection, HTTP/1.1 or HTTP/2, plain or TLS.
//!
//! Read [`next`] first: it is the only place where a connection changes state. Facts ([`Input`]) come in,
//! orders ([`Action`]) go out; there is no clock, no socket and no lock. [`Lifecycle`] adds the memory that
//! the table needs: since when, why, until when. One step is its own: while an end of our side is ordered
//! and not said, what would linger or close is still [`State::Closing`].
//!
//! `docs/lifecycle.md` is generated from this table by a walk over every world that it can reach (`walk.rs`), which
//! also proves the rules stated there.
//!
//! Down the ladder only, but for `Active` to `Idle`:
//!
//! ```text
//!  Opening -> Idle <-> Active -> Draining -> HalfClosing -> HalfClosed | Muted | Upgraded | Yielding
//!                                                      `-> Closing -> Lingering -> Closed
//! ```

#[cfg(test)]
mod aging;
mod journal;
mod layers;
mod machine;
mod mode;
mod reason;
mod report;
mod snapshot;
#[cfg(test)]
pub(crate) mod tests;
mod timeouts;
#[cfg(test)]
mod walk;

pub use journal::{Entry, Journal, Outcome, Readers};
pub use layers::{Layer, LayerReport, TlsSession};
pub use machine::{Lifecycle, LifecycleLimits};
pub use mode::{CloseKind, CloseMode};
pub use reason::{Blame, CloseReason, GoAway, Party, Phase, TlsAlert};
pub use report::{Address, CloseReport, ConnectionId, Ended, Protocol, Signal, Signals};
pub use snapshot::{ExchangePhase, Snapshot};
pub use timeouts::Timeouts;

use std::time::Instant;

/// Where a connection is. Declared in order of age: only `Active` to `Idle` goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// DNS, TCP, proxy or TLS handshake under way.
    Opening,
    /// Open, nothing in flight.
    Idle,
    /// Open, at least one exchange in flight.
    Active,
    /// Retired: no new exchange, those in flight run to their end.
    Draining {
        /// Whether the peer has ended its side.
        theirs: Side,
    },
    /// Retired: our side ends as soon as the request in flight is whole.
    HalfClosing,
    /// Our goodbye is said; the response is still being read.
    HalfClosed,
    /// Our side broke, nothing more can be said; what the peer has for us is still being read.
    Muted,
    /// Another protocol has the connection; it ends when both sides ended.
    Upgraded {
        /// Whether we have ended our side.
        ours: Side,
        /// Whether the peer has ended its side.
        theirs: Side,
    },
    /// The peer announced its end: it gets a moment to say it first, so that TIME_WAIT falls to it.
    Yielding,
    /// Our goodbye (GOAWAY, close_notify, FIN) is being written.
    Closing {
        /// Whether the peer has ended its side.
        theirs: Side,
    },
    /// Our goodbye is out; we wait, bounded, for the peer's.
    Lingering,
    /// The transport is gone. Final.
    Closed,
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a direction is open or has ended; there is no third")]
pub enum Side {
    /// More may come.
    Open,
    /// Nothing more comes.
    Ended,
}

/// A fact that the engine, the driver, the pool or the user reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Input {
    /// The last handshake ended well.
    Opened,
    /// The first exchange began (0 to 1 in flight).
    Busy,
    /// The last exchange ended, its requests whole (1 to 0 in flight).
    Quiet(First),
    /// Whoever it was (header, GOAWAY, policy, user): no new exchange from now on. Only a close or a policy
    /// sets `until`, the moment at which exchanges still in flight are failed.
    Retire {
        /// When draining is over; `None`: exchanges end by themselves.
        until: Option<Instant>,
    },
    /// As `Retire`, and our side shall end once the request is whole.
    HalfClose,
    /// The last byte of the request in flight reached the transport.
    RequestSent,
    /// Stop exchanges, but say goodbye if no request is cut short by it.
    CloseNow(Request),
    /// Drop the transport without a word.
    Abort,
    /// The peer switched protocols as asked (101, or 2xx to CONNECT).
    Upgrade,
    /// The holder of an upgraded connection ends our side.
    EndOurs,
    /// The peer ended its side in order, and everything it sent before was delivered.
    PeerDone(Vouched),
    /// Our side is gone; the peer's may still have something for us.
    WriteBroken,
    /// Both directions are gone, and everything readable was delivered.
    Broken,
    /// The peer broke the protocol: goodbye with this code (HTTP/2 error, TLS alert; 0 where there is none).
    Violation(u32, Request),
    /// Every byte of our goodbye reached the transport.
    GoodbyeSent,
    /// The one deadline of this state passed.
    Deadline(Request),
}

/// Who should end its side first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "there are two ends")]
pub enum First {
    /// We do.
    Us,
    /// The peer said that it closes; let it.
    Peer,
}

/// Whether what is in flight was handed over whole. What was cut short must never look complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a request is whole or it is not")]
pub enum Request {
    /// Nothing is in flight, or all of it reached the transport.
    Whole,
    /// A part of it did not.
    Cut,
}

/// Whether the peer's end can be trusted to be the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "an end is vouched for or it is not")]
pub enum Vouched {
    /// A FIN after close_notify, or where there is no TLS.
    Yes,
    /// A FIN on TLS without close_notify: anyone on the path can forge it.
    No,
}

/// An order to the driver or the pool, in the order in which it must be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// New exchanges may come.
    JoinPool,
    /// No new exchange may come.
    LeavePool,
    /// Whatever is in flight fails now.
    FailExchanges,
    /// Flush, then GOAWAY, close_notify and FIN, each only if that layer is there.
    SayGoodbye(Goodbye),
    /// Let go of the transport.
    DropTransport(Parting),
}

/// What our goodbye says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Goodbye {
    /// All is well.
    Clean,
    /// The peer broke the protocol.
    Error(u32),
    /// Our side has ended; we go on reading.
    HalfOnly,
}

/// How the transport is let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a socket is closed or reset")]
pub enum Parting {
    /// Nothing is left to say.
    Plain,
    /// With RST: the peer must see that something was cut short.
    Reset,
}

/// Up to four orders, in the order in which they must be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actions {
    list: [Action; 4],
    len: usize,
}

/// The two steps of the table that every exchange takes, and that order nothing. A shortcut, tested to be no more.
#[must_use]
pub(crate) fn next_of_exchange(state: State, input: Input) -> Option<State> {
    match (state, input) {
        (State::Idle, Input::Busy) => Some(State::Active),
        (State::Active, Input::Quiet(_)) => Some(State::Idle),
        _ => None,
    }
}

/// The transition table. `None`: the fact changes nothing in this state (always safe).
#[rustfmt::skip]
pub fn next(state: State, input: Input) -> Option<(State, Actions)> {
    use {Action::*, Goodbye::*, Input::*, Parting::*, Request::*, Side::*, State::*};
    let to = |state, actions: &[Action]| Some((state, Actions::of(actions)));
    match (state, input) {
        // Opening: nothing to say goodbye to yet, but a violation has its answer.
        (Opening, Opened) => to(Idle, &[JoinPool]),
        (Opening, Violation(code, _)) => to(Closing { theirs: Open }, &[FailExchanges, SayGoodbye(Error(code))]),
        (Opening, Abort) => to(Closed, &[FailExchanges, DropTransport(Reset)]),
        (Opening, Retire { .. } | HalfClose | CloseNow(_) | PeerDone(_) | WriteBroken | Broken | Deadline(_)) => to(Closed, &[FailExchanges, DropTransport(Plain)]),

        // Open.
        (Idle, Busy) => to(Active, &[]),
        (Active, Quiet(_)) => to(Idle, &[]),
        (Idle, Retire { .. } | HalfClose | CloseNow(_) | Deadline(_)) => to(Closing { theirs: Open }, &[LeavePool, SayGoodbye(Clean)]),
        (Idle, PeerDone(_)) => to(Closing { theirs: Ended }, &[LeavePool, SayGoodbye(Clean)]),
        (Idle, Violation(code, _)) => to(Closing { theirs: Open }, &[LeavePool, SayGoodbye(Error(code))]),
        (Idle, Abort) => to(Closed, &[LeavePool, DropTransport(Reset)]),
        (Idle, WriteBroken | Broken) => to(Closed, &[LeavePool, DropTransport(Plain)]),
        (Active, Retire { .. }) => to(Draining { theirs: Open }, &[LeavePool]),
        (Active, PeerDone(_)) => to(Draining { theirs: Ended }, &[LeavePool]),
        (Active, HalfClose) => to(HalfClosing, &[LeavePool]),
        (Active, WriteBroken) => to(Muted, &[LeavePool]),
        (Active, Upgrade) => to(Upgraded { ours: Open, theirs: Open }, &[LeavePool]),
        (Active, CloseNow(Whole)) => to(Closing { theirs: Open }, &[LeavePool, FailExchanges, SayGoodbye(Clean)]),
        (Active, Violation(code, Whole)) => to(Closing { theirs: Open }, &[LeavePool, FailExchanges, SayGoodbye(Error(code))]),
        (Active, Abort | CloseNow(Cut) | Violation(_, Cut)) => to(Closed, &[LeavePool, FailExchanges, DropTransport(Reset)]),
        (Active, Broken) => to(Closed, &[LeavePool, FailExchanges, DropTransport(Plain)]),

        // Retired, in flight. A half-close is moot once the peer ended its side.
        (Draining { theirs: Open } | HalfClosing, PeerDone(_)) => to(Draining { theirs: Ended }, &[]),
        (Draining { theirs: Open }, HalfClose) => to(HalfClosing, &[]),
        (Draining { theirs: Open } | HalfClosing, WriteBroken) => to(Muted, &[]),
        (Draining { theirs: Open } | HalfClosing, Upgrade) => to(Upgraded { ours: Open, theirs: Open }, &[]),
        (Draining { theirs: Ended }, Upgrade) => to(Upgraded { ours: Open, theirs: Ended }, &[]),
        (Draining { theirs: Open }, Quiet(First::Peer)) => to(Yielding, &[]),
        (Draining { theirs }, Quiet(_)) => to(Closing { theirs }, &[SayGoodbye(Clean)]),
        (Draining { theirs }, CloseNow(Whole) | Deadline(Whole)) => to(Closing { theirs }, &[FailExchanges, SayGoodbye(Clean)]),
        (Draining { theirs }, Violation(code, Whole)) => to(Closing { theirs }, &[FailExchanges, SayGoodbye(Error(code))]),
        (HalfClosing, RequestSent) => to(HalfClosed, &[SayGoodbye(HalfOnly)]),
        (HalfClosing, Quiet(_)) => to(Closing { theirs: Open }, &[SayGoodbye(Clean)]),
        (HalfClosing, CloseNow(Whole) | Deadline(Whole)) => to(Closing { theirs: Open }, &[FailExchanges, SayGoodbye(Clean)]),
        (HalfClosing, Violation(code, Whole)) => to(Closing { theirs: Open }, &[FailExchanges, SayGoodbye(Error(code))]),
        (Draining { .. } | HalfClosing, Abort | CloseNow(Cut) | Deadline(Cut) | Violation(_, Cut)) => to(Closed, &[FailExchanges, DropTransport(Reset)]),
        (Draining { .. }, WriteBroken | Broken) | (HalfClosing, Broken) => to(Closed, &[FailExchanges, DropTransport(Plain)]),

        // Our side has ended, theirs is still being read.
        (HalfClosed, Upgrade) => to(Upgraded { ours: Ended, theirs: Open }, &[]),
        (HalfClosed, WriteBroken) => to(Muted, &[]),
        (HalfClosed, Quiet(_)) => to(Lingering, &[]),
        (HalfClosed, CloseNow(_) | Deadline(_) | Violation(..)) => to(Lingering, &[FailExchanges]),
        (HalfClosed, PeerDone(_) | Broken) => to(Closed, &[FailExchanges, DropTransport(Plain)]),
        (HalfClosed, Abort) => to(Closed, &[FailExchanges, DropTransport(Reset)]),
        (Muted, Quiet(_)) => to(Closed, &[DropTransport(Reset)]),
        (Muted, Upgrade | CloseNow(_) | Abort | PeerDone(_) | Broken | Violation(..) | Deadline(_)) => to(Closed, &[FailExchanges, DropTransport(Reset)]),

        // Upgraded: two sides, each with its own end; cut short, it is reset.
        (Upgraded { ours: Open, theirs: Open }, EndOurs | HalfClose) => to(Upgraded { ours: Ended, theirs: Open }, &[SayGoodbye(HalfOnly)]),
        (Upgraded { ours: Open, theirs: Ended }, EndOurs | HalfClose) => to(Closing { theirs: Ended }, &[SayGoodbye(Clean)]),
        (Upgraded { ours: Open, theirs: Open }, PeerDone(_)) => to(Upgraded { ours: Open, theirs: Ended }, &[]),
        (Upgraded { ours: Ended, theirs: Open }, PeerDone(_)) => to(Closed, &[DropTransport(Plain)]),
        (Upgraded { ours: Open, theirs: Open }, WriteBroken) => to(Upgraded { ours: Ended, theirs: Open }, &[]),
        (Upgraded { ours: Ended, theirs: Open }, CloseNow(Whole) | Deadline(Whole)) => to(Lingering, &[]),
        (Upgraded { .. }, Broken) => to(Closed, &[DropTransport(Plain)]),
        (Upgraded { theirs: Ended, .. }, WriteBroken) | (Upgraded { .. }, CloseNow(_) | Abort | Violation(..) | Deadline(_)) => to(Closed, &[DropTransport(Reset)]),

        // Going.
        (Yielding, PeerDone(_)) => to(Closing { theirs: Ended }, &[SayGoodbye(Clean)]),
        (Yielding, HalfClose | CloseNow(_) | Deadline(_)) => to(Closing { theirs: Open }, &[SayGoodbye(Clean)]),
        (Yielding, Violation(code, _)) => to(Closing { theirs: Open }, &[SayGoodbye(Error(code))]),
        (Yielding, WriteBroken | Broken) => to(Closed, &[DropTransport(Plain)]),
        (Closing { theirs: Open }, PeerDone(_)) => to(Closing { theirs: Ended }, &[]),
        (Closing { theirs: Open }, GoodbyeSent) => to(Lingering, &[]),
        (Closing { theirs: Ended }, GoodbyeSent) => to(Closed, &[DropTransport(Plain)]),
        (Closing { .. }, WriteBroken | Broken) => to(Closed, &[DropTransport(Plain)]),
        (Yielding | Closing { .. } | Lingering, Abort) | (Closing { .. }, Deadline(_)) => to(Closed, &[DropTransport(Reset)]),
        (Lingering, PeerDone(_) | WriteBroken | Broken | Deadline(_)) => to(Closed, &[DropTransport(Plain)]),

        _ => None,
    }
}

impl State {
    /// Whether new exchanges may begin.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Idle | Self::Active)
    }

    /// Whether nothing is in flight any more and only the goodbye remains.
    #[must_use]
    pub fn is_leaving(self) -> bool {
        matches!(self, Self::Yielding | Self::Closing { .. } | Self::Lingering)
    }

    /// Whether an exchange can be in flight.
    #[must_use]
    pub fn is_busy(self) -> bool {
        matches!(
            self,
            Self::Active | Self::Draining { .. } | Self::HalfClosing | Self::HalfClosed | Self::Muted
        )
    }

    /// One lower-case word, as reports and listings print it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Idle => "idle",
            Self::Active => "active",
            Self::Draining { .. } => "draining",
            Self::HalfClosing => "half-closing",
            Self::HalfClosed => "half-closed",
            Self::Muted => "muted",
            Self::Upgraded { .. } => "upgraded",
            Self::Yielding => "yielding",
            Self::Closing { .. } => "closing",
            Self::Lingering => "lingering",
            Self::Closed => "closed",
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for State {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Actions {
    fn of(actions: &[Action]) -> Self {
        // Padded with an order that is never carried out: `len` cuts it off.
        let mut list = [Action::FailExchanges; 4];
        let len = actions.len().min(list.len());
        list[..len].copy_from_slice(&actions[..len]);
        Self { list, len }
    }

    /// The orders, first to last.
    #[must_use]
    pub fn as_slice(&self) -> &[Action] {
        &self.list[..self.len]
    }
}
