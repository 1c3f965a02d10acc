//! A connection that another protocol has: after 101 (Switching Protocols) or a 2xx to CONNECT.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use adieu_proto::h1::TransportEnd;
use adieu_proto::lifecycle::{CloseReason, ConnectionId, Side, Signal, State};
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::drive::{Driver, Locked, Wire};
use crate::rt;
use crate::transport::end_of;

/// A connection that another protocol has. Bytes that came with the switch are read first.
///
/// Its two sides end each for itself: `shutdown` ends ours (flush, then FIN) and reading goes on; a read of nothing
/// is the peer's end and writing goes on. When both ended, the connection is closed and its report is there.
/// Dropped after `shutdown`, what still comes is discarded and the peer's end awaited, bounded as after any goodbye.
/// Dropped before that, or cut by a close, it is reset: what was cut short must not look complete.
pub struct Upgraded {
    wire: Arc<Wire>,
    leftover: Bytes,
}

impl Upgraded {
    pub(super) fn new(wire: Arc<Wire>, leftover: Bytes) -> Self {
        Self { wire, leftover }
    }

    /// On which connection.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.wire.id()
    }

    /// Why nothing can be carried any more.
    fn gone(work: &Locked<'_>) -> io::Error {
        match work.engine.life().reason() {
            Some(CloseReason::Reset) => io::ErrorKind::ConnectionReset.into(),
            Some(reason) => io::Error::new(io::ErrorKind::ConnectionAborted, reason.to_string()),
            None => io::ErrorKind::ConnectionAborted.into(),
        }
    }
}

/// Whether that side of an upgraded connection is open.
fn is_open(state: State, side: fn(Side, Side) -> Side) -> bool {
    matches!(state, State::Upgraded { ours, theirs } if side(ours, theirs) == Side::Open)
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.leftover.is_empty() {
            let bytes = self.leftover.len().min(buffer.remaining());
            buffer.put_slice(&self.leftover[..bytes]);
            self.leftover.advance(bytes);
            return Poll::Ready(Ok(()));
        }
        let now = rt::now();
        let mut work = self.wire.lock();
        work.obey(now);
        let state = work.engine.state();
        if !is_open(state, |_, theirs| theirs) {
            // Their end was read; anything else cut the connection short.
            let ended = work.engine.life().signals().1.contains(Signal::Fin);
            return Poll::Ready(if ended { Ok(()) } else { Err(Self::gone(&work)) });
        }
        if let Some(end) = work.engine.read_end() {
            // Read together with the switch: the transport may not tell it twice.
            work.engine.handle_read_end(now, end);
            work.act(now, cx);
            return Poll::Ready(if end == TransportEnd::Fin { Ok(()) } else { Err(Self::gone(&work)) });
        }
        let Some((io, engine)) = work.carrier() else { return Poll::Ready(Err(Self::gone(&work))) };
        let before = buffer.filled().len();
        let read = io.poll_read(cx, buffer);
        let bytes = buffer.filled().len() - before;
        match &read {
            Poll::Pending => work.read_by(cx.waker()),
            Poll::Ready(Ok(())) if bytes == 0 && buffer.remaining() > 0 => {
                let end = work.end_of_input();
                work.engine.handle_read_end(now, end);
                work.act(now, cx);
                if end != TransportEnd::Fin {
                    return Poll::Ready(Err(Self::gone(&work)));
                }
            }
            Poll::Ready(Ok(())) => engine.handle_carried(0, bytes),
            Poll::Ready(Err(error)) => {
                engine.handle_read_end(now, end_of(error));
                work.act(now, cx);
            }
        }
        read
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.carry(cx, |io, cx| io.poll_write(cx, bytes), |bytes| *bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.carry(cx, |io, cx| io.poll_write_vectored(cx, slices), |bytes| *bytes)
    }

    fn is_write_vectored(&self) -> bool {
        let mut work = self.wire.lock();
        work.carrier().is_some_and(|(io, _)| io.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.carry(cx, |io, cx| io.poll_flush(cx), |()| 0)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now = rt::now();
        let mut work = self.wire.lock();
        work.obey(now);
        work.engine.end_ours(now);
        // A goodbye that takes time is the attendant's, with the transport's one waker for writes.
        if work.driver == Driver::Caller {
            work.act(now, cx);
        }
        if !work.owes_goodbye() {
            return Poll::Ready(Ok(()));
        }
        work.written_by(cx.waker());
        let attended = work.driver == Driver::Attendant;
        drop(work);
        if attended {
            self.wire.call_attendant();
        }
        Poll::Pending
    }
}

impl Upgraded {
    fn carry<T>(
        &self,
        cx: &mut Context<'_>,
        act: impl FnOnce(Pin<&mut dyn crate::transport::Transport>, &mut Context<'_>) -> Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        let now = rt::now();
        let mut work = self.wire.lock();
        work.obey(now);
        if !is_open(work.engine.state(), |ours, _| ours) {
            let ended = matches!(work.engine.state(), State::Upgraded { .. });
            let error = if ended { io::ErrorKind::BrokenPipe.into() } else { Self::gone(&work) };
            return Poll::Ready(Err(error));
        }
        let Some((io, engine)) = work.carrier() else { return Poll::Ready(Err(Self::gone(&work))) };
        let acted = act(io, cx);
        match &acted {
            Poll::Pending => work.written_by(cx.waker()),
            Poll::Ready(Ok(done)) => engine.handle_carried(bytes(done), 0),
            Poll::Ready(Err(error)) => {
                work.hear(error);
                work.engine.handle_write_end(now, end_of(error));
                work.act(now, cx);
            }
        }
        acted
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        self.wire.order_drop_upgraded();
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Upgraded");
        debug.field("connection", &self.wire.id()).field("leftover", &self.leftover.len()).finish()
    }
}
