//! How one side of a connection ended, as the other side could see it.

use std::fmt;

/// How the other side ended its half of the connection.
///
/// ```
/// use adieu_testkit::Ended;
///
/// assert_eq!(Ended::Fin.to_string(), "FIN");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a stream ends in order, by force, or not at all; tests match all three"
)]
pub enum Ended {
    /// In order: a read returned 0.
    Fin,
    /// By force: a read or a write told that the connection was reset. A reset after a FIN counts as a reset.
    Reset,
    /// Not at all, as long as anyone looked.
    StillOpen,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fin => "FIN",
            Self::Reset => "RST",
            Self::StillOpen => "still open",
        })
    }
}
