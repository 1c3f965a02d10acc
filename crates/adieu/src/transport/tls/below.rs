//! The layer below TLS, as rustls reads and writes it: calls that do not wait.

use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use super::records::Records;
use crate::transport::{PeerEnd, Transport};

/// So many bytes tell what a peer speaks.
const FIRST: usize = 8;

/// The layer below, as rustls reads and writes it.
pub(super) struct Below<'a, 'c> {
    pub(super) io: &'a mut dyn Transport,
    pub(super) cx: &'a mut Context<'c>,
}

/// Reads from the layer below. Where that is TLS too, its close_notify is not yet its end.
pub(super) fn poll_below(
    io: &mut dyn Transport,
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let before = buffer.filled().len();
    ready!(Pin::new(&mut *io).poll_read(cx, buffer))?;
    if buffer.filled().len() == before && io.peer_end() == PeerEnd::CloseNotify {
        return Pin::new(io).poll_read(cx, buffer);
    }
    Poll::Ready(Ok(()))
}

/// What waits as a system call would say it.
fn now_or_never<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Read for Below<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        now_or_never(poll_below(self.io, self.cx, &mut buffer))?;
        Ok(buffer.filled().len())
    }
}

impl Write for Below<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        now_or_never(Pin::new(&mut *self.io).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [only] => self.write(only),
            [first, ..] if !self.io.is_write_vectored() => self.write(first),
            _ => now_or_never(Pin::new(&mut *self.io).poll_write_vectored(self.cx, slices)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Notes where the records end that are handed over for the first time.
pub(super) struct Counting<'a, 'b, 'c> {
    pub(super) below: Below<'b, 'c>,
    pub(super) records: &'a mut Records,
    pub(super) plain: usize,
}

impl Write for Counting<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.records.sealed(self.plain, slices);
        self.below.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the first bytes of the peer: they tell what it speaks, should it not be TLS.
pub(super) struct Noting<'a, 'b, 'c> {
    pub(super) below: Below<'b, 'c>,
    pub(super) first: &'a mut Vec<u8>,
}

impl Read for Noting<'_, '_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.below.read(bytes)?;
        if self.first.len() < FIRST {
            self.first.extend(&bytes[..read.min(FIRST)]);
        }
        Ok(read)
    }
}
