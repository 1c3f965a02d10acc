//! Tells of one connection that is being opened, and keeps how long each step took.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use adieu_proto::lifecycle::ConnectionId;

use super::event::{Event, Happening};
use super::observers::Observers;

/// Tells of one connection that is being opened.
#[derive(Clone)]
pub(crate) struct Teller {
    pub(crate) observers: Observers,
    connection: ConnectionId,
    origin: Arc<str>,
    took: Arc<Mutex<OpeningTimes>>,
}

/// How long each step of opening a connection took; `None`: there was no such step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct OpeningTimes {
    /// Resolving the name of the host, or of the proxy.
    pub resolve: Option<Duration>,
    /// Connecting, from the first address tried.
    pub connect: Option<Duration>,
    /// The proxy's part.
    pub proxy: Option<Duration>,
    /// The TLS handshake with the origin.
    pub tls: Option<Duration>,
}

impl Teller {
    pub(crate) fn new(observers: Observers, connection: ConnectionId, origin: Arc<str>) -> Self {
        Self { observers, connection, origin, took: Arc::default() }
    }

    /// Tells at once, and keeps how long it took.
    pub(crate) fn tell(&self, at: Instant, what: impl FnOnce() -> Happening) {
        let what = what();
        self.took.lock().unwrap_or_else(PoisonError::into_inner).note(&what);
        if self.observers.anybody() {
            let connection = Some(self.connection);
            self.observers.tell(&Event { at, connection, origin: self.origin.clone(), what });
        }
    }

    /// How long each step took.
    pub(crate) fn took(&self) -> OpeningTimes {
        *self.took.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpeningTimes {
    fn note(&mut self, what: &Happening) {
        match what {
            Happening::Resolved { took, .. } => self.resolve = Some(*took),
            Happening::Connected { took, .. } => self.connect = Some(*took),
            Happening::ProxyDone { took, .. } => self.proxy = Some(*took),
            Happening::TlsDone { took, .. } => self.tls = Some(*took),
            _ => {}
        }
    }
}
