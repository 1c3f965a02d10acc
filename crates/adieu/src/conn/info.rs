//! How a response came: over which connection, after how long.

use std::time::{Duration, Instant};

use adieu_proto::lifecycle::ConnectionId;

use crate::observe::OpeningTimes;

/// How a response came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponseInfo {
    /// The connection over which it came.
    pub connection: ConnectionId,
    /// The number of its exchange on that connection; the first has number 1.
    pub exchange: u64,
    /// How often the request was sent again.
    pub replays: u32,
    /// How long each step of opening the connection took, if this was its first exchange.
    pub opening: Option<Box<OpeningTimes>>,
    pub(crate) begun: Instant,
    pub(crate) lent: Instant,
    pub(crate) answered: Instant,
}

impl ResponseInfo {
    /// How long the request waited for a connection: for an idle one next to nothing.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.lent.saturating_duration_since(self.begun)
    }

    /// From the first poll of the response future to the response head.
    #[must_use]
    pub fn head(&self) -> Duration {
        self.answered.saturating_duration_since(self.begun)
    }

    /// Whether the connection had done exchanges before.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        self.exchange > 1
    }
}
