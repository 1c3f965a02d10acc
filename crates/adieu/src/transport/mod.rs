//! What carries the bytes of a connection.
//!
//! A [`Transport`] is `AsyncRead + AsyncWrite` and, where it can, tells more: addresses, a look at what has
//! come without taking it, what the peer's kernel has not acknowledged, and a true reset. Every such method has
//! a default that says "not known". `TcpStream` and `UnixStream` are transports; [`Opaque`] makes one of any
//! other I/O; [`tls`] puts TLS on top of any.

mod kernel;
mod opaque;
mod own;
mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(unix)]
mod unix;

use std::any::Any;
use std::io;
use std::sync::OnceLock;
use std::task::{Context, Poll};

use adieu_proto::fate::{Receipt, Receipts};
use adieu_proto::h1::TransportEnd;
use adieu_proto::lifecycle::{Address, Layer, LayerReport, TlsSession};
use tokio::io::{AsyncRead, AsyncWrite};

pub use adieu_proto::h1::HalfClose;
pub use opaque::Opaque;
pub(crate) use own::{LeadsTo, OwnTcp};

/// What carries the bytes of a connection.
///
/// A read of no bytes means that the peer ended its side in order; `poll_shutdown` ends ours. What a transport
/// does not implement beyond that is not known, and nothing is ever claimed from it.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Where the peer is.
    fn peer_address(&self) -> Option<Address> {
        None
    }

    /// Where we are.
    fn local_address(&self) -> Option<Address> {
        None
    }

    /// Looks at what has come without taking it, now, without waiting.
    fn peek(&self) -> Peek {
        Peek::Unknown
    }

    /// How the peer's side ended, after a read that gave nothing.
    ///
    /// After [`PeerEnd::CloseNotify`] it is read once more, for the FIN.
    fn peer_end(&self) -> PeerEnd {
        PeerEnd::Fin
    }

    /// Bytes that were handed over and that the peer's kernel has not acknowledged.
    fn unacknowledged(&self) -> Option<u64> {
        None
    }

    /// Makes the following drop a reset (RST), so that nothing that was cut short looks complete.
    fn arm_reset(&self) -> ResetArmed {
        ResetArmed::No
    }

    /// Whether our side can end while the peer's goes on.
    fn half_close(&self) -> HalfClose {
        HalfClose::Possible
    }

    /// What a TLS handshake agreed upon, where this is TLS.
    fn tls(&self) -> Option<&TlsSession> {
        None
    }

    /// What it is made of, from the top down, and what was said there of the end. FIN and RST of the uppermost layer
    /// below TLS are the driver's to add.
    fn layers(&self) -> Vec<LayerReport> {
        vec![LayerReport::new(Layer::Other)]
    }

    /// How many bytes the wire took for what was written here: all framing included, that of the layers below too where
    /// they tell. `None`: not known.
    fn wire_taken(&self) -> Option<u64> {
        None
    }

    /// Where on the wire the first `bytes` bytes written here end: under TLS, the end of the record that holds the
    /// last of them. Of use for a request that was just sent; `None`: not known, or not any more.
    fn wire_end(&self, bytes: u64) -> Option<u64> {
        let _ = bytes;
        None
    }

    /// Where on the wire that begins which was written after the first `bytes` bytes. Of use as
    /// [`wire_end`](Self::wire_end) is.
    fn wire_begin(&self, bytes: u64) -> Option<u64> {
        let _ = bytes;
        None
    }

    /// Whether it can tell what the peer's kernel received of all that was written, in bytes of the
    /// [wire](Self::wire_end). Only sockets that adieu opened itself can, and what hands them on as they are.
    #[doc(hidden)]
    fn receipts(&self) -> Receipts {
        Receipts::None
    }

    /// What the peer's kernel received.
    #[doc(hidden)]
    fn receipt(&self) -> Option<Receipt> {
        None
    }

    /// Waits for the socket to be gone (RST), after the peer's end was read.
    #[doc(hidden)]
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Pending
    }
}

/// How a peer's side ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerEnd {
    /// By FIN, in order: after close_notify, or where there is no TLS.
    Fin,
    /// By TLS close_notify; the FIN is still to come.
    CloseNotify,
    /// By FIN under TLS without close_notify.
    BareFin,
}

/// What a look at a transport showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peek {
    /// It cannot look.
    Unknown,
    /// Nothing has come.
    Nothing,
    /// Bytes: a read would not wait.
    Something,
    /// The peer's end: a read would give nothing.
    End,
    /// An error, such as a reset. Some kernels tell it once, so that a read after this look gives a mere end.
    Broken(io::ErrorKind),
}

impl Peek {
    /// Whether a read would not wait.
    pub(crate) fn is_something(self) -> bool {
        matches!(self, Self::Something | Self::End)
    }
}

/// Whether a transport can reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetArmed {
    /// The drop that follows is a reset.
    Yes,
    /// It is only a drop; the peer may take it for an end in order.
    No,
}

/// Takes what is in a slot if it is of that type.
pub(crate) fn take<T: 'static>(slot: &mut dyn Any) -> Option<T> {
    slot.downcast_mut::<Option<T>>().and_then(Option::take)
}

/// Takes a transport of a floor above out of a slot, if that is what is in there.
pub(crate) type Recognise = fn(&mut dyn Any) -> Option<Box<dyn Transport>>;

/// Tunnels, which this floor does not know; set before there is one.
static TUNNELS: OnceLock<Recognise> = OnceLock::new();

/// Has tunnels recognised from now on.
pub(crate) fn recognise_tunnels(recognise: Recognise) {
    TUNNELS.get_or_init(|| recognise);
}

/// The transport that `io` is: `TcpStream`, `UnixStream`, `TlsStream`, an upgraded connection and a boxed transport are
/// recognised; anything else becomes [`Opaque`], so that of it only bytes and error kinds are known.
///
/// For a `Connect` of your own:
///
/// ```
/// # fn example(io: tokio::net::TcpStream) {
/// let transport = adieu::transport::from_io(io);
/// assert!(transport.peer_address().is_some());
/// # }
/// ```
pub fn from_io<T>(io: T) -> Box<dyn Transport>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    recognise(io)
}

/// As [`from_io`].
pub(crate) fn recognise<T>(io: T) -> Box<dyn Transport>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut slot = Some(io);
    if let Some(tunnel) = TUNNELS.get().and_then(|recognise| recognise(&mut slot)) {
        return tunnel;
    }
    if let Some(known) = take::<Box<dyn Transport>>(&mut slot) {
        return known;
    }
    if let Some(tcp) = take::<tokio::net::TcpStream>(&mut slot) {
        return Box::new(tcp);
    }
    #[cfg(unix)]
    if let Some(unix) = take::<tokio::net::UnixStream>(&mut slot) {
        return Box::new(unix);
    }
    #[cfg(feature = "tls")]
    if let Some(tls) = take::<tls::TlsStream>(&mut slot) {
        return Box::new(tls);
    }
    match slot {
        Some(io) => Box::new(Opaque::new(io)),
        None => unreachable!("only a recognised type is taken out of its slot"),
    }
}

/// What an error of a read or a write says of that direction.
pub(crate) fn end_of(error: &io::Error) -> TransportEnd {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof, WriteZero,
    };
    #[cfg(feature = "tls")]
    if let Some(fault) = error.get_ref().and_then(|source| source.downcast_ref::<tls::Fault>()) {
        return fault.end();
    }
    match error.kind() {
        BrokenPipe | ConnectionReset | ConnectionAborted | NotConnected | WriteZero => TransportEnd::Reset,
        // So a TLS of its own says that close_notify is missing.
        UnexpectedEof => TransportEnd::BareFin,
        kind => TransportEnd::Failed(kind),
    }
}
