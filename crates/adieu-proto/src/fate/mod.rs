//! What is known of a request: the facts as the connection saw them. The verdict on a request's fate is drawn
//! from these facts alone.

/// What a connection knows of one request, recorded as it happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facts {
    /// Bytes of this request that the transport took.
    pub handed: u64,
    /// Bytes of its head.
    pub head: u64,
    /// Bytes that the transport took before this request.
    pub handed_before: u64,
    /// Bytes of an answer that came back, interim ones included.
    pub answered: u64,
    /// Whether exchanges were done on the connection before.
    pub reused: Use,
    /// How the read side ended.
    pub read_end: ReadEnd,
}

/// Whether a connection was fresh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a connection was used before or not")]
pub enum Use {
    /// This was its first exchange.
    #[default]
    Fresh,
    /// There were exchanges before.
    Reused,
}

/// How the read side of a connection ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadEnd {
    /// It had not.
    #[default]
    None,
    /// The peer ended its side in order: a FIN where there is no TLS, or after close_notify.
    Fin,
    /// The peer said close_notify.
    CloseNotify,
    /// A FIN under TLS without close_notify: anyone on the path can forge it.
    BareFin,
    /// The peer's TLS ended in a fatal alert, or broke the protocol.
    TlsFailed,
    /// The peer reset the connection.
    Reset,
    /// The network failed otherwise.
    Failed,
}

impl Facts {
    /// Whether the transport took the whole head.
    #[must_use]
    pub fn head_handed_over(&self) -> bool {
        self.head > 0 && self.handed >= self.head
    }
}
