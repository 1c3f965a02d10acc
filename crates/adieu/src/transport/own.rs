//! A TCP socket that adieu opened itself, so that all that was ever sent on it is known: its kernel can be asked whether a
//! request was received.

use std::cell::OnceCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use adieu_proto::fate::{Receipt, Receipts, Socket};
use adieu_proto::lifecycle::{Address, LayerReport};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::{Peek, ResetArmed, Transport, kernel};

/// A TCP socket of our own.
pub(crate) struct OwnTcp {
    io: TcpStream,
    leads_to: LeadsTo,
    /// Whether it is TCP that the kernel speaks; asked once, when it first matters.
    is_tcp: OnceCell<bool>,
    /// Rung when the socket is gone; there only while that is awaited.
    #[cfg(target_os = "linux")]
    bell: Option<Bell>,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeadsTo {
    Origin,
    /// A proxy, which acknowledges for itself.
    Proxy,
}

/// A second registration of the socket. Its end of reading has been told, and its being writable is no news, so that only a
/// RST makes it ready; the socket's own readiness stays as it is.
#[cfg(target_os = "linux")]
type Bell = tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>;

impl OwnTcp {
    pub(crate) fn new(io: TcpStream, leads_to: LeadsTo) -> Self {
        Self {
            io,
            leads_to,
            is_tcp: OnceCell::new(),
            #[cfg(target_os = "linux")]
            bell: None,
        }
    }

    #[cfg(target_os = "linux")]
    #[allow(
        deprecated,
        reason = "an `OwnedFd` is safe there, and what took its place needs the newest tokio"
    )]
    fn bell(&self) -> io::Result<Bell> {
        use std::os::fd::AsFd;
        Bell::with_interest(self.io.as_fd().try_clone_to_owned()?, tokio::io::Interest::WRITABLE)
    }
}

impl AsyncRead for OwnTcp {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for OwnTcp {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl Transport for OwnTcp {
    fn peer_address(&self) -> Option<Address> {
        self.io.peer_address()
    }

    fn local_address(&self) -> Option<Address> {
        self.io.local_address()
    }

    fn peek(&self) -> Peek {
        kernel::peek(SockRef::from(&self.io))
    }

    fn unacknowledged(&self) -> Option<u64> {
        self.io.unacknowledged()
    }

    fn arm_reset(&self) -> ResetArmed {
        self.io.arm_reset()
    }

    fn layers(&self) -> Vec<LayerReport> {
        self.io.layers()
    }

    fn wire_begin(&self, bytes: u64) -> Option<u64> {
        Some(bytes)
    }

    fn wire_end(&self, bytes: u64) -> Option<u64> {
        Some(bytes)
    }

    fn receipts(&self) -> Receipts {
        match self.leads_to {
            _ if !cfg!(target_os = "linux") => Receipts::None,
            LeadsTo::Origin => Receipts::Kernel,
            LeadsTo::Proxy => Receipts::Relayed,
        }
    }

    fn receipt(&self) -> Option<Receipt> {
        let is_tcp = *self.is_tcp.get_or_init(|| kernel::is_tcp(&SockRef::from(&self.io)));
        let receipt = if is_tcp { kernel::receipt(&self.io)? } else { return None };
        // After the peer's FIN, a RST leaves EPIPE behind, which a write may have been told; a socket that is gone for
        // another reason, such as one that was given up for want of acknowledgements, proves nothing.
        let refused =
            |error: Option<io::Error>| error.is_none_or(|error| error.kind() == io::ErrorKind::BrokenPipe);
        match receipt.socket {
            Socket::Closed if !self.io.take_error().is_ok_and(refused) => None,
            _ => Some(receipt),
        }
    }

    #[cfg(target_os = "linux")]
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.bell.is_none() {
            self.bell = self.bell().ok();
        }
        // Without one, the second look comes when its time is over.
        let Some(bell) = &self.bell else { return Poll::Pending };
        loop {
            match std::task::ready!(bell.poll_write_ready(cx)) {
                Ok(guard) if guard.ready().is_write_closed() => break,
                Ok(mut guard) => guard.clear_ready(),
                Err(_) => break,
            }
        }
        self.bell = None;
        Poll::Ready(())
    }
}
