//! One accepted socket, read and written in slices of time.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use socket2::Socket;

use super::line::{End, Line, SLICE, Slice, TlsMessage};
use super::seen::Event;

/// The socket of one connection.
pub(super) struct Wire {
    socket: Socket,
    family: Family,
    read_slice: Duration,
    write_slice: Duration,
    traffic: Traffic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Tcp,
    #[cfg_attr(not(unix), expect(dead_code, reason = "Unix sockets are for Unix"))]
    Unix,
}

/// How many bytes went over a socket, by direction.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) received: u64,
    pub(super) sent: u64,
}

impl Wire {
    pub(super) fn new(socket: Socket, family: Family) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        if family == Family::Tcp {
            socket.set_tcp_nodelay(true)?;
        }
        Ok(Self {
            socket,
            family,
            read_slice: Duration::ZERO,
            write_slice: Duration::ZERO,
            traffic: Traffic::default(),
        })
    }

    pub(super) fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Ends this side; says whether the connection was still there to end.
    pub(super) fn fin(&mut self) -> io::Result<Slice> {
        slice_from(self.socket.shutdown(Shutdown::Write).map(|()| 0))
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

/// A socket has no TLS: nothing is queued, nothing happens inside.
impl Line for Wire {
    fn depth(&self) -> usize {
        0
    }

    fn read(&mut self, into: &mut [u8], left: Duration) -> io::Result<Slice> {
        let slice = slice_of(left);
        if self.read_slice != slice {
            self.socket.set_read_timeout(Some(slice))?;
            self.read_slice = slice;
        }
        match (&self.socket).read(into) {
            Ok(0) => Ok(Slice::End(End::Fin)),
            outcome => {
                let slice = slice_from(outcome)?;
                self.traffic.received += slice.len();
                Ok(slice)
            }
        }
    }

    fn read_on(&mut self, into: &mut [u8], left: Duration) -> io::Result<Slice> {
        self.read(into, left)
    }

    fn write(&mut self, bytes: &[u8], left: Duration) -> io::Result<Slice> {
        let slice = slice_of(left);
        if self.write_slice != slice {
            self.socket.set_write_timeout(Some(slice))?;
            self.write_slice = slice;
        }
        let slice = slice_from((&self.socket).write(bytes))?;
        self.traffic.sent += slice.len();
        Ok(slice)
    }

    fn flush(&mut self, _left: Duration) -> io::Result<Slice> {
        Ok(Slice::Bytes(0))
    }

    fn news(&mut self) -> Option<(usize, Event)> {
        None
    }

    fn is_handshaking(&self) -> bool {
        false
    }

    fn close_notify(&mut self) -> Option<usize> {
        None
    }

    fn queue(&mut self, _message: TlsMessage) -> Result<(), String> {
        Err("there is no TLS here".to_owned())
    }

    fn below(&mut self) -> &mut dyn Line {
        self
    }

    fn wire(&mut self) -> &mut Wire {
        self
    }

    fn into_wire(self: Box<Self>) -> Wire {
        *self
    }
}

impl Slice {
    fn len(self) -> u64 {
        if let Self::Bytes(bytes) = self { bytes as u64 } else { 0 }
    }
}

fn slice_of(left: Duration) -> Duration {
    left.clamp(Duration::from_millis(1), SLICE)
}

fn slice_from(outcome: io::Result<usize>) -> io::Result<Slice> {
    match outcome {
        Ok(bytes) => Ok(Slice::Bytes(bytes)),
        Err(error) if is_reset(error.kind()) => Ok(Slice::End(End::Reset)),
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
