//! An in-memory transport with the manners of a TCP socket: for tests that need no port and a paused clock.
//!
//! [`pair`] gives two [`MemoryEnd`]s; what one writes the other reads. Both are tokio's `AsyncRead + AsyncWrite`. Unlike
//! `tokio::io::duplex` they tell a FIN from a reset, keep one direction open after the other has ended, and write down
//! what happened:
//!
//! ```text
//!            write ──> [ bounded buffer ] ──> read, in chunks
//!  MemoryEnd                                            MemoryEnd
//!            read  <── [ bounded buffer ] <── write
//! ```
//!
//! | the other end | a read gives | a write gives |
//! |---|---|---|
//! | shut down its side (FIN) | the rest, then 0 | success |
//! | was dropped, everything read (FIN) | the rest, then 0 | `BrokenPipe`; see [`LateWrites`] |
//! | was dropped with unread bytes (RST) | the rest, see [`InFlight`]; then once `ConnectionReset`, then 0 | once `ConnectionReset`, unless a read had it; then `BrokenPipe` |
//! | called [`MemoryEnd::reset`] (RST) | the same | the same |
//!
//! This is what Linux does, but for the first write after the other end was dropped, which a kernel takes and loses;
//! ask for it with [`LateWrites::FirstVanishes`].
//!
//! # Example
//!
//! A test plays the server on one end, with the client under test on the other:
//!
//! ```
//! use adieu_testkit::{Ended, memory};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> std::io::Result<()> {
//! let (mut client, mut server) = memory::pair();
//!
//! let client = tokio::spawn(async move {
//!     client.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
//!     let mut answer = Vec::new();
//!     client.read_to_end(&mut answer).await?;
//!     std::io::Result::Ok(answer)
//! });
//! assert_eq!(server.read_head().await?, b"GET / HTTP/1.1\r\n\r\n");
//! server.send("HTTP/1.1 200 OK\r\n\r\nhello").await?;
//! server.fin().await?;
//! assert_eq!(server.read_until_end().await?, (Vec::new(), Ended::Fin));
//! assert!(client.await??.ends_with(b"hello"));
//! println!("{}", server.seen());
//! # Ok(()) }
//! ```

mod builder;
mod deeds;
mod end;
mod talk;
mod wire;

pub use builder::{Chunks, InFlight, LateWrites, PairBuilder, pair};
pub use deeds::{Deed, Deeds, Side};
pub use end::{MemoryEnd, MemoryProbe, Polls};
