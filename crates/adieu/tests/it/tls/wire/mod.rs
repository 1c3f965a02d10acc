//! Bytes on the wire: bulk both ways, backpressure, where records end, how each side ends.

mod bulk;
mod chance;
mod records;
pub(crate) mod served;
mod stalls;
mod streams;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use adieu::transport::tls::TlsStream;
use adieu::transport::{ResetArmed, Transport};
use adieu_testkit::memory::{MemoryEnd, MemoryProbe, PairBuilder};
use adieu_testkit::peer::TlsVersion;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::served::Served;
use super::support::CONNECTOR;
use crate::support::{Memory, Shared, beside, in_time};

/// Bytes of which each says where it belongs.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

/// Whether a transport gathers writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gathers {
    Yes,
    No,
}

/// A stream and its server over a pair of memory ends, and a look at our end.
async fn joined(
    pair: PairBuilder,
    gathers: Gathers,
    version: TlsVersion,
) -> (TlsStream, Served<MemoryEnd>, MemoryProbe) {
    crate::support::watch_for_hangs();
    let (ours, theirs) = pair.build();
    let probe = ours.probe();
    let (stream, served) = match gathers {
        Gathers::Yes => shaken(Wire(Memory(ours)), theirs, version).await,
        Gathers::No => shaken(Wire(Shared::new(ours)), theirs, version).await,
    };
    (stream, served, probe)
}

async fn shaken<T>(ours: impl Transport, theirs: T, version: TlsVersion) -> (TlsStream, Served<T>)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let shaking = beside(CONNECTOR.connect_on("localhost", ours));
    let mut served = Served::shaken(theirs, version).await;
    let stream = in_time(served.during(shaking)).await.unwrap().unwrap();
    (stream, served)
}

/// A memory end that knows that it adds nothing to what is written, as a socket does.
struct Wire<T>(T);

impl<T: Transport> Transport for Wire<T> {
    fn arm_reset(&self) -> ResetArmed {
        self.0.arm_reset()
    }

    fn wire_end(&self, bytes: u64) -> Option<u64> {
        Some(bytes)
    }
}

impl<T: Transport> AsyncRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<T: Transport> AsyncWrite for Wire<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
