//! How a response came: over which connection, after how long.

use std::time::Duration;

use adieu_proto::lifecycle::ConnectionId;

use crate::observe::OpeningTimes;

/// How a response came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ResponseInfo {
    /// The connection over which it came.
    pub connection: ConnectionId,
    /// The number of its exchange on that connection; the first has number 1.
    pub exchange: u64,
    /// How often the request was sent again.
    pub replays: u32,
    /// How long the request waited for a connection: for an idle one next to nothing.
    pub waited: Duration,
    /// From the first poll of the response future to the response head.
    pub head: Duration,
    /// How long each step of opening the connection took, if it was opened for its first exchange, this one.
    pub opening: Option<OpeningTimes>,
}

impl ResponseInfo {
    /// Whether the connection had done exchanges before.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        self.exchange > 1
    }
}
