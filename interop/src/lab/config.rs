//! What the wire of a lab is like.

use std::time::Duration;

/// What the wire is like.
#[derive(Clone, Copy, Debug)]
pub struct LabConfig {
    pub(super) one_way: Duration,
    pub(super) jitter: Duration,
    pub(super) server_fins: Fins,
}

/// What becomes of one end's FINs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fins {
    Carried,
    Dropped,
}

impl LabConfig {
    /// Each packet takes so long to the other end, exactly; a round trip takes twice as long.
    #[must_use]
    pub const fn new(one_way: Duration) -> Self {
        Self { one_way, jitter: Duration::ZERO, server_fins: Fins::Carried }
    }

    /// Each packet takes up to so much longer, by chance. None overtakes another. Without this, nothing is added.
    #[must_use]
    pub const fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// Each FIN of the server is lost, however often it is sent. What was sent in one packet with it arrives.
    #[must_use]
    pub const fn drop_server_fins(mut self) -> Self {
        self.server_fins = Fins::Dropped;
        self
    }
}
