//! Setting up a pair of ends.

use std::sync::Arc;

use super::end::MemoryEnd;
use super::wire::{Index, Wire};

/// Two connected ends with the default settings: buffers of 64 KiB, reads as large as the reader likes.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let (mut one, mut other) = adieu_testkit::memory::pair();
/// one.send("hello").await?;
/// assert_eq!(other.read_exactly(5).await?, b"hello");
/// # Ok(()) }
/// ```
pub fn pair() -> (MemoryEnd, MemoryEnd) {
    PairBuilder::new().build()
}

/// Sets up a pair of [`MemoryEnd`]s; the settings hold for both of them.
///
/// ```
/// use adieu_testkit::memory::{Chunks, PairBuilder};
///
/// let (client, server) = PairBuilder::new().buffer(16).chunks(Chunks::AtMost(1)).build();
/// # drop((client, server));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct PairBuilder {
    buffer: usize,
    chunks: Chunks,
    in_flight: InFlight,
    late_writes: LateWrites,
}

/// How the bytes that wait are dealt out to reads.
///
/// ```
/// use adieu_testkit::memory::{Chunks, PairBuilder};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// use tokio::io::AsyncReadExt;
///
/// let (mut one, mut other) = PairBuilder::new().chunks(Chunks::Cut(vec![1, 4])).build();
/// one.send("abcdef").await?;
/// let mut buffer = [0; 16];
/// assert_eq!(other.read(&mut buffer).await?, 1);
/// assert_eq!(other.read(&mut buffer).await?, 3);
/// assert_eq!(other.read(&mut buffer).await?, 2);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Chunks {
    /// As many as the reader has room for.
    #[default]
    Whole,
    /// At most this many at a time; 0 counts as 1.
    AtMost(usize),
    /// A read ends at each of these offsets, counted from the first byte of the connection.
    Cut(Vec<u64>),
}

/// What becomes of bytes on their way when a connection is reset.
///
/// ```
/// use adieu_testkit::memory::{InFlight, PairBuilder};
/// use tokio::io::AsyncReadExt;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// for (in_flight, expected) in [(InFlight::Delivered, 5), (InFlight::Lost, 0)] {
///     let (mut client, mut server) = PairBuilder::new().in_flight(in_flight).build();
///     server.send("hello").await?;
///     server.reset();
///     let mut answer = Vec::new();
///     assert!(client.read_to_end(&mut answer).await.is_err());
///     assert_eq!(answer.len(), expected);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "bytes arrive or they do not")]
pub enum InFlight {
    /// They are read before the error, as Linux does with what had arrived.
    #[default]
    Delivered,
    /// They are gone: the reset overtook them.
    Lost,
}

/// What a write gives after the other end was dropped without unread bytes.
///
/// ```
/// use adieu_testkit::memory::{LateWrites, PairBuilder};
/// use tokio::io::AsyncWriteExt;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let (mut client, server) = PairBuilder::new().late_writes(LateWrites::FirstVanishes).build();
/// drop(server);
/// assert!(client.write_all(b"too late").await.is_ok());
/// assert!(client.write_all(b"and again").await.is_err());
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LateWrites {
    /// `BrokenPipe`.
    #[default]
    Refused,
    /// The first write succeeds and is lost, as on a TCP socket whose peer has closed; then `BrokenPipe`.
    FirstVanishes,
}

impl PairBuilder {
    /// The default settings.
    ///
    /// ```
    /// let (client, server) = adieu_testkit::memory::PairBuilder::new().build();
    /// # drop((client, server));
    /// ```
    pub fn new() -> Self {
        Self {
            buffer: DEFAULT_BUFFER,
            chunks: Chunks::default(),
            in_flight: InFlight::default(),
            late_writes: LateWrites::default(),
        }
    }

    /// How many bytes wait for the reader in each direction, before writes have to wait. Default 64 KiB. With 0 no
    /// write gets through; [`MemoryEnd::set_buffer`] changes it later, for one direction.
    ///
    /// ```
    /// use tokio::io::AsyncWriteExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// let (mut client, _server) = adieu_testkit::memory::PairBuilder::new().buffer(3).build();
    /// assert_eq!(client.write(b"hello").await?, 3);
    /// # Ok(()) }
    /// ```
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.buffer = bytes;
        self
    }

    /// How reads are dealt the bytes that wait. Default [`Chunks::Whole`].
    ///
    /// ```
    /// use adieu_testkit::memory::{Chunks, PairBuilder};
    ///
    /// let (client, server) = PairBuilder::new().chunks(Chunks::AtMost(1)).build();
    /// # drop((client, server));
    /// ```
    pub fn chunks(mut self, chunks: Chunks) -> Self {
        self.chunks = chunks;
        self
    }

    /// What becomes of bytes on their way at a reset. Default [`InFlight::Delivered`].
    ///
    /// ```
    /// use adieu_testkit::memory::{InFlight, PairBuilder};
    ///
    /// let (client, server) = PairBuilder::new().in_flight(InFlight::Lost).build();
    /// # drop((client, server));
    /// ```
    pub fn in_flight(mut self, in_flight: InFlight) -> Self {
        self.in_flight = in_flight;
        self
    }

    /// What a write gives after the other end was dropped. Default [`LateWrites::Refused`].
    ///
    /// ```
    /// use adieu_testkit::memory::{LateWrites, PairBuilder};
    ///
    /// let (client, server) = PairBuilder::new().late_writes(LateWrites::FirstVanishes).build();
    /// # drop((client, server));
    /// ```
    pub fn late_writes(mut self, late_writes: LateWrites) -> Self {
        self.late_writes = late_writes;
        self
    }

    /// The two ends; which is the client's and which the server's is up to the test.
    ///
    /// ```
    /// let (client, server) = adieu_testkit::memory::PairBuilder::new().build();
    /// # drop((client, server));
    /// ```
    pub fn build(self) -> (MemoryEnd, MemoryEnd) {
        let wire = Arc::new(Wire::new(self.buffer, &self.chunks, self.in_flight, self.late_writes));
        (MemoryEnd::new(wire.clone(), Index::One), MemoryEnd::new(wire, Index::Two))
    }
}

impl Default for PairBuilder {
    fn default() -> Self {
        Self::new()
    }
}

const DEFAULT_BUFFER: usize = 64 * 1024;
