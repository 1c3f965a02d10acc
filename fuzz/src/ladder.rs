//! The rungs that a connection goes down.

use adieu_proto::lifecycle::{Side, State};

/// The rungs of the ladder, finer than the states' names: every step leads to a higher number.
pub fn rank(state: State) -> u8 {
    use Side::{Ended, Open};
    match state {
        State::Opening => 0,
        State::Idle => 1,
        State::Active => 2,
        State::Draining { theirs: Open } => 3,
        State::HalfClosing => 4,
        State::Draining { theirs: Ended } | State::HalfClosed => 5,
        State::Muted => 6,
        State::Upgraded { ours: Open, theirs: Open } => 7,
        State::Upgraded { .. } => 8,
        State::Yielding => 9,
        State::Closing { theirs: Open } => 10,
        State::Closing { theirs: Ended } | State::Lingering => 11,
        State::Closed => 12,
        other => panic!("an unknown state: {other:?}"),
    }
}
