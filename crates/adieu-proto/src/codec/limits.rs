//! The bounds on everything a peer can send, with their defaults in one place.

/// How much a peer may send of each thing. Whatever exceeds a limit ends the connection with
/// `CloseReason::LimitExceeded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one response head, interim ones included. Default 64 KiB.
    pub head: usize,
    /// Header fields of one response head, or of one trailer section. Default 128.
    pub fields: usize,
    /// Bytes of one chunk-size line, its extensions included. Default 4 KiB.
    pub chunk_line: usize,
    /// Bytes of chunk extensions in one body. Default 16 KiB.
    pub chunk_extensions: usize,
    /// Bytes of one trailer section. Default 16 KiB.
    pub trailers: usize,
    /// Interim responses (1xx) before a final one. Default 32.
    pub interim: usize,
    /// Bytes read and thrown away after our goodbye. Default 256 KiB.
    pub discard: u64,
    /// Bytes of an unread response body that are read and thrown away to keep the connection. Default 64 KiB.
    pub unread: u64,
    /// Bytes read ahead of the caller, but for the last read, which may bring a few times as much; and the most
    /// that one piece of a body holds. Default 64 KiB.
    pub read_ahead: usize,
}

impl Limits {
    /// The most that one piece of a body holds.
    pub(crate) fn piece(&self) -> usize {
        self.read_ahead.max(1)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 64 * 1024,
            fields: 128,
            chunk_line: 4 * 1024,
            chunk_extensions: 16 * 1024,
            trailers: 16 * 1024,
            interim: 32,
            discard: 256 * 1024,
            unread: 64 * 1024,
            read_ahead: 64 * 1024,
        }
    }
}
