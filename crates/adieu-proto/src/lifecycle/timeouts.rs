//! How long each phase of an exchange may take.

use std::time::Duration;

/// One limit a phase; `None`: no limit. Every timeout names its [`Phase`](super::Phase) in the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// While the transport takes no bytes of ours, but not while the caller's body is silent. Default 60 s.
    pub write_stall: Option<Duration>,
    /// How long a body held back by `Expect: 100-continue` waits for an answer before it is sent all the same.
    /// Default 1 s; `None`: until there is an answer.
    pub continue_wait: Option<Duration>,
    /// From the last byte of the request to the final response head; a 1xx restarts it. Default 300 s.
    pub response_head: Option<Duration>,
    /// Between two pieces of the response body, only while the reader waits. Default 300 s. Never applied to
    /// `text/event-stream`, gRPC and upgraded connections, which are silent by nature.
    pub body_gap: Option<Duration>,
    /// From the first byte of the request to the last of the response. Default: no limit.
    pub exchange: Option<Duration>,
    /// How long an upgraded connection may carry no byte in either direction. Default: no limit.
    pub upgrade_idle: Option<Duration>,
    /// How long the other side of an upgraded connection may go on after one has ended. Default: no limit.
    pub upgrade_half_closed: Option<Duration>,
    /// For discarding the small rest of a body that its reader dropped. Default 50 ms.
    pub discard: Duration,
}

impl Timeouts {
    /// The shortest wait of an exchange that somebody reads; `None`: none is limited. Whatever wait begins at some
    /// moment cannot run out sooner than this after it.
    #[must_use]
    pub fn shortest(&self) -> Option<Duration> {
        [self.write_stall, self.continue_wait, self.response_head, self.body_gap, self.exchange]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            write_stall: Some(Duration::from_secs(60)),
            continue_wait: Some(Duration::from_secs(1)),
            response_head: Some(Duration::from_secs(300)),
            body_gap: Some(Duration::from_secs(300)),
            exchange: None,
            upgrade_idle: None,
            upgrade_half_closed: None,
            discard: Duration::from_millis(50),
        }
    }
}
