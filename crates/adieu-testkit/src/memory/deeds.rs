//! What the two ends of a pair did, in order.

use std::fmt;

use crate::ended::Ended;

/// What the two ends of a pair did, in order, from the point of view of one of them.
///
/// It prints one line per deed.
///
/// ```
/// use adieu_testkit::{Ended, memory::{self, Deed, Side}};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let (client, mut server) = memory::pair();
/// server.send("bye").await?;
/// server.fin().await?;
/// client.reset();
///
/// let seen = server.seen();
/// assert_eq!(
///     seen.entries(),
///     [(Side::Ours, Deed::Sent { bytes: 3 }), (Side::Ours, Deed::Fin), (Side::Theirs, Deed::Reset)]
/// );
/// assert_eq!(seen.ended(), Ended::Reset);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deeds {
    pub(super) entries: Vec<(Side, Deed)>,
}

/// Whose deed it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a connection has two ends")]
pub enum Side {
    /// The end that was asked.
    Ours,
    /// The other end.
    Theirs,
}

/// Something that an end did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deed {
    /// It wrote bytes; writes in a row are one deed.
    Sent {
        /// How many.
        bytes: u64,
    },
    /// It wrote bytes to an end that was gone, and was told that all was well.
    Vanished {
        /// How many.
        bytes: u64,
    },
    /// It ended its side, by a shutdown or by being dropped.
    Fin,
    /// It reset the connection, or was dropped with bytes unread.
    Reset,
    /// It was dropped; that comes after the FIN or reset of the drop.
    Dropped,
    /// A [`MemoryEnd::mark`](super::MemoryEnd::mark).
    Mark(String),
}

impl Deeds {
    /// All deeds of both sides, in order. After 4,096 of them, further bytes are added to the side's last count.
    ///
    /// ```
    /// let (client, server) = adieu_testkit::memory::pair();
    /// drop(client);
    /// assert_eq!(server.seen().entries().len(), 2); // its FIN, its drop
    /// ```
    pub fn entries(&self) -> &[(Side, Deed)] {
        &self.entries
    }

    /// The deeds of one side, in order.
    ///
    /// ```
    /// # use adieu_testkit::memory::{self, Deed, Side};
    /// let (client, server) = memory::pair();
    /// drop(client);
    /// assert!(server.seen().of(Side::Theirs).eq([&Deed::Fin, &Deed::Dropped]));
    /// ```
    pub fn of(&self, side: Side) -> impl Iterator<Item = &Deed> {
        self.entries.iter().filter(move |(whose, _)| *whose == side).map(|(_, deed)| deed)
    }

    /// How the other end ended its side. A reset after a FIN counts as a reset.
    ///
    /// ```
    /// # use adieu_testkit::Ended;
    /// let (client, server) = adieu_testkit::memory::pair();
    /// assert_eq!(server.seen().ended(), Ended::StillOpen);
    /// drop(client);
    /// assert_eq!(server.seen().ended(), Ended::Fin);
    /// ```
    pub fn ended(&self) -> Ended {
        if self.of(Side::Theirs).any(|deed| *deed == Deed::Reset) {
            Ended::Reset
        } else if self.of(Side::Theirs).any(|deed| *deed == Deed::Fin) {
            Ended::Fin
        } else {
            Ended::StillOpen
        }
    }

    /// How many bytes that side gave on their way.
    ///
    /// ```
    /// # use adieu_testkit::memory::{self, Side};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// let (mut client, server) = memory::pair();
    /// client.send("hello").await?;
    /// assert_eq!(server.seen().sent(Side::Theirs), 5);
    /// # Ok(()) }
    /// ```
    pub fn sent(&self, side: Side) -> u64 {
        self.of(side).map(|deed| if let Deed::Sent { bytes } = deed { *bytes } else { 0 }).sum()
    }

    /// Whether `first` stands before `second`, each for the first time; false if either is missing.
    ///
    /// ```
    /// # use adieu_testkit::memory::{self, Deed, Side};
    /// let (client, server) = memory::pair();
    /// drop(client);
    /// server.mark("looked");
    /// assert!(server.seen().in_order((Side::Theirs, Deed::Fin), (Side::Ours, Deed::Mark("looked".into()))));
    /// ```
    pub fn in_order(&self, first: (Side, Deed), second: (Side, Deed)) -> bool {
        let position = |wanted: &(Side, Deed)| self.entries.iter().position(|entry| entry == wanted);
        position(&first).zip(position(&second)).is_some_and(|(first, second)| first < second)
    }
}

impl fmt::Display for Deeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (side, deed)) in self.entries.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            let whose = if *side == Side::Ours { "we  " } else { "they" };
            write!(f, "{newline}{whose}  {deed}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent { bytes } => write!(f, "sent {bytes} bytes"),
            Self::Vanished { bytes } => write!(f, "sent {bytes} bytes to nobody"),
            Self::Fin => f.write_str("sent FIN"),
            Self::Reset => f.write_str("reset"),
            Self::Dropped => f.write_str("dropped"),
            Self::Mark(name) => write!(f, "mark {name:?}"),
        }
    }
}
