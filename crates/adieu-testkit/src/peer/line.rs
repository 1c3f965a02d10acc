//! One accepted socket, read and written in slices of time, so that its thread notices in between what the test wants.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use socket2::Socket;

/// The socket of one connection.
pub(super) struct Line {
    socket: Socket,
    family: Family,
    read_slice: Duration,
    write_slice: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Tcp,
    #[cfg_attr(not(unix), expect(dead_code, reason = "Unix sockets are for Unix"))]
    Unix,
}

/// What a slice of reading or writing gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slice {
    Bytes(usize),
    /// The slice passed without anything.
    Nothing,
    /// Reading only: the client's side has ended in order.
    Fin,
    /// The connection was reset. Linux tells it once, to a read or to a write, whichever comes first.
    Reset,
}

impl Line {
    pub(super) fn new(socket: Socket, family: Family) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        if family == Family::Tcp {
            socket.set_tcp_nodelay(true)?;
        }
        Ok(Self { socket, family, read_slice: Duration::ZERO, write_slice: Duration::ZERO })
    }

    /// Reads once, waiting at most [`SLICE`] and at most `left`.
    pub(super) fn read(&mut self, into: &mut [u8], left: Duration) -> io::Result<Slice> {
        let slice = slice_of(left);
        if self.read_slice != slice {
            self.socket.set_read_timeout(Some(slice))?;
            self.read_slice = slice;
        }
        match (&self.socket).read(into) {
            Ok(0) => Ok(Slice::Fin),
            outcome => read_as(outcome),
        }
    }

    /// Writes once, waiting at most [`SLICE`] and at most `left`.
    pub(super) fn write(&mut self, bytes: &[u8], left: Duration) -> io::Result<Slice> {
        let slice = slice_of(left);
        if self.write_slice != slice {
            self.socket.set_write_timeout(Some(slice))?;
            self.write_slice = slice;
        }
        read_as((&self.socket).write(bytes))
    }

    /// Ends this side; says whether the connection was still there to end.
    pub(super) fn fin(&mut self) -> io::Result<Slice> {
        read_as(self.socket.shutdown(Shutdown::Write).map(|()| 0))
    }

    /// Whether a reset came that no read can tell any more, because a FIN came before it.
    pub(super) fn was_reset(&self) -> bool {
        self.socket.take_error().ok().flatten().is_some_and(|error| is_reset(error.kind()))
    }

    /// Closes by RST where there is such a thing; says how it closed.
    pub(super) fn reset(self) -> io::Result<Family> {
        if self.family == Family::Tcp {
            self.socket.set_linger(Some(Duration::ZERO))?;
        }
        Ok(self.family)
    }
}

fn slice_of(left: Duration) -> Duration {
    left.clamp(Duration::from_millis(1), SLICE)
}

fn read_as(outcome: io::Result<usize>) -> io::Result<Slice> {
    match outcome {
        Ok(bytes) => Ok(Slice::Bytes(bytes)),
        Err(error) if is_reset(error.kind()) => Ok(Slice::Reset),
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(Slice::Nothing),
            _ => Err(error),
        },
    }
}

fn is_reset(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
    )
}

/// How long a thread sleeps in the kernel before it looks around again.
pub(super) const SLICE: Duration = Duration::from_millis(5);
