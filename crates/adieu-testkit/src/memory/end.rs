//! One end of the pair: the transport itself.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::builder::Chunks;
use super::deeds::Deeds;
use super::wire::{Index, Wire};

/// One end of an in-memory connection: tokio's `AsyncRead + AsyncWrite`, with FIN and reset.
///
/// `poll_shutdown` is a FIN: the other end reads what is left and then 0, and may go on writing. Dropping an end is a FIN
/// if everything sent to it was read, otherwise a reset. It reads and writes through `&mut`, and all else through `&`.
///
/// ```
/// use adieu_testkit::{Ended, memory};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let (mut client, mut server) = memory::pair();
/// client.write_all(b"last words").await?;
/// client.shutdown().await?;
/// assert_eq!(server.read_until_end().await?, (b"last words".to_vec(), Ended::Fin));
///
/// server.write_all(b"farewell").await?;
/// drop(server);
/// let mut answer = String::new();
/// client.read_to_string(&mut answer).await?;
/// assert_eq!(answer, "farewell");
/// # Ok(()) }
/// ```
pub struct MemoryEnd {
    wire: Arc<Wire>,
    index: Index,
}

/// Looks at an end that was given away, to the client under test for example.
///
/// ```
/// let (client, server) = adieu_testkit::memory::pair();
/// let probe = client.probe();
/// drop(client); // into the client under test
/// assert_eq!(probe.polls().total(), 0);
/// # drop(server);
/// ```
#[derive(Clone)]
pub struct MemoryProbe {
    wire: Arc<Wire>,
    index: Index,
}

/// How often an end was polled; a count that grows while nothing happens is a busy loop.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let (mut client, _server) = adieu_testkit::memory::pair();
/// client.send("hello").await?;
/// assert_eq!(client.polls().writes, 1);
/// assert_eq!(client.polls().total(), 1);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Polls {
    /// Calls of `poll_read`.
    pub reads: u64,
    /// Calls of `poll_write` and `poll_write_vectored`.
    pub writes: u64,
    /// Calls of `poll_flush`.
    pub flushes: u64,
    /// Calls of `poll_shutdown`.
    pub shutdowns: u64,
}

impl Polls {
    /// All calls together.
    ///
    /// ```
    /// assert_eq!(adieu_testkit::memory::Polls::default().total(), 0);
    /// ```
    pub fn total(self) -> u64 {
        self.reads + self.writes + self.flushes + self.shutdowns
    }
}

impl MemoryEnd {
    pub(super) fn new(wire: Arc<Wire>, index: Index) -> Self {
        Self { wire, index }
    }

    /// Resets the connection: the other end reads what had arrived (see [`InFlight`](super::InFlight)), then gets
    /// `ConnectionReset`. Here reads then give `NotConnected`, and writes `BrokenPipe`. Once either end has reset, this
    /// changes nothing.
    ///
    /// ```
    /// use adieu_testkit::{Ended, memory};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// let (client, mut server) = memory::pair();
    /// client.reset();
    /// assert_eq!(server.read_until_end().await?.1, Ended::Reset);
    /// # Ok(()) }
    /// ```
    pub fn reset(&self) {
        self.wire.reset(self.index);
    }

    /// Changes how many bytes that this end writes may wait for the other's reads. With 0 this end's writes stall, until
    /// it is raised again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> std::io::Result<()> {
    /// # use std::time::Duration;
    /// let (mut client, _server) = adieu_testkit::memory::pair();
    /// client.set_buffer(0);
    /// assert!(tokio::time::timeout(Duration::from_secs(3600), client.send("hello")).await.is_err());
    /// client.set_buffer(5);
    /// client.send("hello").await?;
    /// # Ok(()) }
    /// ```
    pub fn set_buffer(&self, bytes: usize) {
        self.wire.set_buffer(self.index, bytes);
    }

    /// Changes how the reads of this end are dealt the bytes that wait.
    ///
    /// ```
    /// use adieu_testkit::memory::{self, Chunks};
    /// use tokio::io::AsyncReadExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// let (mut client, mut server) = memory::pair();
    /// client.set_chunks(Chunks::AtMost(1));
    /// server.send("hello").await?;
    /// assert_eq!(client.read(&mut [0; 16]).await?, 1);
    /// # Ok(()) }
    /// ```
    pub fn set_chunks(&self, chunks: Chunks) {
        self.wire.set_chunks(self.index, chunks);
    }

    /// What both ends did so far, in order; as seen from here.
    ///
    /// ```
    /// # use adieu_testkit::Ended;
    /// let (client, server) = adieu_testkit::memory::pair();
    /// drop(client);
    /// assert_eq!(server.seen().ended(), Ended::Fin);
    /// ```
    pub fn seen(&self) -> Deeds {
        self.wire.deeds(self.index)
    }

    /// Writes a mark into the log, as a deed of this end.
    ///
    /// ```
    /// let (client, server) = adieu_testkit::memory::pair();
    /// server.mark("before the drop");
    /// drop(client);
    /// assert_eq!(server.seen().to_string(), "we    mark \"before the drop\"\nthey  sent FIN\nthey  dropped");
    /// ```
    pub fn mark(&self, name: &str) {
        self.wire.mark(self.index, name);
    }

    /// How often this end was polled.
    ///
    /// ```
    /// let (client, _server) = adieu_testkit::memory::pair();
    /// assert_eq!(client.polls().reads, 0);
    /// ```
    pub fn polls(&self) -> Polls {
        self.wire.polls(self.index)
    }

    /// Something to look at this end with, after it was given away.
    ///
    /// ```
    /// let (client, _server) = adieu_testkit::memory::pair();
    /// assert_eq!(client.probe().polls(), client.polls());
    /// ```
    pub fn probe(&self) -> MemoryProbe {
        MemoryProbe { wire: self.wire.clone(), index: self.index }
    }
}

impl MemoryProbe {
    /// How often the end was polled.
    ///
    /// ```
    /// let (client, _server) = adieu_testkit::memory::pair();
    /// assert_eq!(client.probe().polls().flushes, 0);
    /// ```
    pub fn polls(&self) -> Polls {
        self.wire.polls(self.index)
    }

    /// What both ends did so far, as seen from the end.
    ///
    /// ```
    /// # use adieu_testkit::memory::{self, Deed, Side};
    /// let (client, _server) = memory::pair();
    /// let probe = client.probe();
    /// drop(client);
    /// assert!(probe.seen().of(Side::Ours).eq([&Deed::Fin, &Deed::Dropped]));
    /// ```
    pub fn seen(&self) -> Deeds {
        self.wire.deeds(self.index)
    }
}

impl AsyncRead for MemoryEnd {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_read(self.index, cx, into)
    }
}

impl AsyncWrite for MemoryEnd {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.wire.poll_write(self.index, cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.wire.poll_write(self.index, cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.note_flush(self.index);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.wire.shutdown(self.index))
    }
}

impl Drop for MemoryEnd {
    fn drop(&mut self) {
        self.wire.drop_end(self.index);
    }
}

impl fmt::Debug for MemoryEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryEnd").field("polls", &self.polls()).field("seen", &self.seen()).finish()
    }
}

impl fmt::Debug for MemoryProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryProbe").field("polls", &self.polls()).field("seen", &self.seen()).finish()
    }
}
