//! What carries the bytes of a connection.
//!
//! A [`Transport`] is `AsyncRead + AsyncWrite` and, where it can, tells more: addresses, a look at what has
//! come without taking it, what the peer's kernel has not acknowledged, and a true reset. Every such method has
//! a default that says "not known". `TcpStream` and `UnixStream` are transports; [`Opaque`] makes one of any
//! other I/O.

mod kernel;
mod opaque;
mod tcp;
#[cfg(unix)]
mod unix;

use std::any::Any;
use std::io;

use adieu_proto::h1::TransportEnd;
use adieu_proto::lifecycle::Address;
use tokio::io::{AsyncRead, AsyncWrite};

pub use opaque::Opaque;

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

    /// Bytes that were handed over and that the peer's kernel has not acknowledged.
    fn unacknowledged(&self) -> Option<u64> {
        None
    }

    /// Makes the following drop a reset (RST), so that nothing that was cut short looks complete.
    fn arm_reset(&self) -> ResetArmed {
        ResetArmed::No
    }
}

/// What a look at a transport showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peek {
    /// It cannot look.
    Unknown,
    /// Nothing has come.
    Nothing,
    /// Bytes, or the peer's end: a read would not wait.
    Something,
    /// An error, such as a reset. Some kernels tell it once, so that a read after this look gives a mere end.
    Broken(io::ErrorKind),
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

/// Recognises `TcpStream` and `UnixStream`; anything else is opaque.
pub(crate) fn recognise<T>(io: T) -> Box<dyn Transport>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    fn take<T: 'static>(slot: &mut dyn Any) -> Option<T> {
        slot.downcast_mut::<Option<T>>().and_then(Option::take)
    }
    let mut slot = Some(io);
    if let Some(tcp) = take::<tokio::net::TcpStream>(&mut slot) {
        return Box::new(tcp);
    }
    #[cfg(unix)]
    if let Some(unix) = take::<tokio::net::UnixStream>(&mut slot) {
        return Box::new(unix);
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
    match error.kind() {
        BrokenPipe | ConnectionReset | ConnectionAborted | NotConnected | WriteZero => TransportEnd::Reset,
        UnexpectedEof => TransportEnd::Fin,
        kind => TransportEnd::Failed(kind),
    }
}
