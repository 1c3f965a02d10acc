//! A connection that another protocol has: after 101 (Switching Protocols) or a 2xx to CONNECT.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use adieu_proto::h1::TransportEnd;
use adieu_proto::lifecycle::{
    Address, CloseReason, ConnectionId, Layer, LayerReport, Side, Signal, State, Timeouts,
};
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::drive::{Driver, Locked, Wire};
use crate::rt;
use crate::transport::{HalfClose, ResetArmed, Transport, end_of, recognise_tunnels, take};

/// A connection that another protocol has. Bytes that came with the switch are read first.
///
/// Its two sides end each for itself: `shutdown` ends ours (flush, then FIN) and reading goes on; a read of nothing
/// is the peer's end and writing goes on. When both ended, the connection is closed and its report is there.
/// Dropped after `shutdown`, what still comes is discarded and the peer's end awaited, bounded as after any goodbye.
/// Dropped before that, or cut by a close, it is reset: what was cut short must not look complete. Over TLS `shutdown`
/// sends close_notify before the FIN, and a FIN without close_notify is an error of a read (`UnexpectedEof`). TLS 1.2 has
/// no half-close: there a peer answers our end with its own (RFC 5246 section 7.2.1).
///
/// It is a [`Transport`]: TLS or another connection can speak over it, and their reports have its layers.
pub struct Upgraded {
    wire: Arc<Wire>,
    leftover: Bytes,
}

impl Upgraded {
    pub(super) fn new(wire: Arc<Wire>, leftover: Bytes) -> Self {
        recognise_tunnels(|slot| take::<Self>(slot).map(|tunnel| Box::new(tunnel) as _));
        Self { wire, leftover }
    }

    /// How long it may carry no byte in either direction; then it is reset, or just lingers where our side has ended.
    /// `None`: as long as it likes. Default: what [`Builder`](super::http1::Builder) said.
    pub fn set_idle_timeout(&mut self, limit: Option<Duration>) {
        self.limit(|limits| limits.upgrade_idle = limit);
    }

    /// How long one side may go on after the other has ended. `None`: as long as it likes. Default: what
    /// [`Builder`](super::http1::Builder) said.
    pub fn set_half_closed_timeout(&mut self, limit: Option<Duration>) {
        self.limit(|limits| limits.upgrade_half_closed = limit);
    }

    fn limit(&self, change: impl FnOnce(&mut Timeouts)) {
        let mut work = self.wire.lock();
        change(work.engine.timeouts());
        work.arm(rt::now());
    }

    /// On which connection.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.wire.id()
    }

    /// What a reader is told once the peer's side has ended like this.
    fn after(end: Option<TransportEnd>, work: &Locked<'_>) -> io::Result<()> {
        match end {
            Some(end) if end.is_orderly() => Ok(()),
            Some(TransportEnd::BareFin) => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the peer ended without close_notify: what it sent may be cut short",
            )),
            _ => Err(Self::gone(work)),
        }
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
            // Their end was read, or something else cut the connection short.
            return Poll::Ready(Self::after(work.engine.peer_end(), &work));
        }
        if let Some(end) = work.engine.read_end() {
            // Read together with the switch: the transport may not tell it twice.
            work.engine.handle_read_end(now, end);
            work.act(now, cx);
            return Poll::Ready(Self::after(Some(end), &work));
        }
        let Some((io, engine)) = work.carrier() else { return Poll::Ready(Err(Self::gone(&work))) };
        let before = buffer.filled().len();
        let read = io.poll_read(cx, buffer);
        let bytes = buffer.filled().len() - before;
        match &read {
            Poll::Pending => {
                let before = work.read_by(cx.waker());
                drop(work);
                drop(before);
            }
            Poll::Ready(Ok(())) if bytes == 0 && buffer.remaining() > 0 => {
                let end = work.end_of_input();
                work.engine.handle_read_end(now, end);
                work.act(now, cx);
                work.arm(now);
                return Poll::Ready(Self::after(Some(end), &work));
            }
            Poll::Ready(Ok(())) => engine.handle_carried(now, 0, bytes),
            Poll::Ready(Err(error)) => {
                let end = work.end_of_read(error);
                work.engine.handle_read_end(now, end);
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
        work.arm(now);
        if !work.owes_goodbye() {
            // Said, or never to be said: something else has ended the connection.
            let said = work.engine.life().signals().0.contains(Signal::Fin);
            return Poll::Ready(if said { Ok(()) } else { Err(Self::gone(&work)) });
        }
        let before = work.written_by(cx.waker());
        let attended = work.driver == Driver::Attendant;
        drop(work);
        drop(before);
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
        act: impl FnOnce(Pin<&mut dyn Transport>, &mut Context<'_>) -> Poll<io::Result<T>>,
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
            Poll::Pending => {
                let before = work.written_by(cx.waker());
                drop(work);
                drop(before);
            }
            Poll::Ready(Ok(done)) => engine.handle_carried(now, bytes(done), 0),
            Poll::Ready(Err(error)) => {
                work.hear(error);
                work.engine.handle_write_end(now, end_of(error));
                work.act(now, cx);
            }
        }
        acted
    }
}

impl Transport for Upgraded {
    fn peer_address(&self) -> Option<Address> {
        self.wire.peer().cloned()
    }

    fn local_address(&self) -> Option<Address> {
        self.wire.local().cloned()
    }

    /// Resets the connection at once, whatever it carries.
    fn arm_reset(&self) -> ResetArmed {
        self.wire.abort_upgraded()
    }

    fn half_close(&self) -> HalfClose {
        self.wire.half_close()
    }

    fn wire_taken(&self) -> Option<u64> {
        self.wire.wire_taken()
    }

    fn layers(&self) -> Vec<LayerReport> {
        let mut tunnel = LayerReport::new(Layer::Tunnel);
        tunnel.connection = Some(self.wire.id());
        let mut layers = self.wire.layers();
        layers.insert(0, tunnel);
        layers
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
