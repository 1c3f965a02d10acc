//! How many of each there may be, and in which order idle connections are taken.

/// The limits of a shelf; `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections of one origin: opening, idle and lent. Zero is as good as one.
    pub per_origin: Option<usize>,
    /// Connections in all. Zero is as good as one.
    pub in_all: Option<usize>,
    /// Idle connections of one origin; zero: none is kept.
    pub idle_per_origin: Option<usize>,
    /// Idle connections in all; zero: none is kept.
    pub idle_in_all: Option<usize>,
    /// Which idle connection is taken.
    pub order: Order,
}

/// Which idle connection is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Order {
    /// The one that was used last: it is the least likely to be ended by the peer, and the others may age away.
    #[default]
    Lifo,
    /// The one that has been idle for longest: all are used alike.
    Fifo,
    /// One after the other, in the order in which they were opened.
    RoundRobin,
}
