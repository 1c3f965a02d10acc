//! What the steps of a script read from and write to: a socket, or TLS over one, or TLS within TLS.
//!
//! Everything is done in slices of time, so that the thread notices in between what the test wants.

use std::fmt;
use std::io;
use std::time::Duration;

use super::alert::Alert;
use super::seen::Event;
use super::wire::Wire;
use crate::ended::Ended;

/// One connection as the steps see it.
pub(super) trait Line: Send {
    /// How many TLS sessions lie between the steps and the socket.
    fn depth(&self) -> usize;

    /// Reads once, waiting at most a slice of time and at most `left`. An end is told again each time.
    fn read(&mut self, into: &mut [u8], left: Duration) -> io::Result<Slice>;

    /// As [`Line::read`], but once TLS has ended, goes on with what lies below it.
    fn read_on(&mut self, into: &mut [u8], left: Duration) -> io::Result<Slice>;

    /// Writes once, waiting at most a slice of time and at most `left`. Unless it took bytes or met an end, the next call
    /// must come with the same bytes.
    fn write(&mut self, bytes: &[u8], left: Duration) -> io::Result<Slice>;

    /// Passes on what was queued; [`Slice::Bytes`] when nothing is left of it.
    fn flush(&mut self, left: Duration) -> io::Result<Slice>;

    /// What happened inside since it was last asked, each with the depth at which it did.
    fn news(&mut self) -> Option<(usize, Event)>;

    /// Whether the TLS handshake of this line is still to be done; reading goes on with it.
    fn is_handshaking(&self) -> bool;

    /// Queues the close_notify of the innermost TLS session that can still send one, and says at which depth.
    fn close_notify(&mut self) -> Option<usize>;

    /// Queues what only TLS has.
    fn queue(&mut self, message: TlsMessage) -> Result<(), String>;

    /// The line that this one runs over; without one, this one.
    fn below(&mut self) -> &mut dyn Line;

    /// The socket at the bottom.
    fn wire(&mut self) -> &mut Wire;

    /// The socket at the bottom, alone.
    fn into_wire(self: Box<Self>) -> Wire;
}

/// What is put over a line: TLS, as far as this module can know.
pub(super) trait Layer: fmt::Debug + Send + Sync {
    /// The server's side of a session over `below`, its handshake to be done.
    fn over(&self, below: Box<dyn Line>) -> Result<Box<dyn Line>, String>;
}

/// What only TLS has to send, close_notify and the data aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "for TLS only"))]
pub(super) enum TlsMessage {
    /// A fatal alert.
    Alert(Alert),
    /// New keys for what follows, and a wish that the client renews its own too.
    KeyUpdate,
    /// One more session ticket.
    Ticket,
}

/// What a slice of reading or writing gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slice {
    Bytes(usize),
    /// Something moved, but nothing that the steps could see yet: a part of a record, a ticket.
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "for TLS only"))]
    Underway,
    /// The slice passed without anything.
    Nothing,
    End(End),
}

/// How the client's side of a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// In order, by the socket. Reading only.
    Fin,
    /// The connection was reset. Linux tells it once, to a read or to a write, whichever comes first.
    Reset,
    /// In order, by TLS.
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "for TLS only"))]
    CloseNotify,
    /// By a fatal alert.
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "for TLS only"))]
    Alert(Alert),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fin => Ended::Fin.fmt(f),
            Self::Reset => Ended::Reset.fmt(f),
            Self::CloseNotify => f.write_str("close_notify"),
            Self::Alert(alert) => write!(f, "alert {alert}"),
        }
    }
}

/// How long a thread sleeps in the kernel before it looks around again.
pub(super) const SLICE: Duration = Duration::from_millis(5);
