//! Playing the server on an end, a line of code per deed.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::end::MemoryEnd;
use crate::ended::Ended;

/// A server in a few lines. None of these has a limit of time: under a paused clock, `tokio::time::timeout` costs nothing.
impl MemoryEnd {
    /// Reads a head, up to and with its empty line, and no byte further.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// let (mut client, mut server) = adieu_testkit::memory::pair();
    /// client.send("GET / HTTP/1.1\r\n\r\nrest").await?;
    /// assert_eq!(server.read_head().await?, b"GET / HTTP/1.1\r\n\r\n");
    /// assert_eq!(server.read_exactly(4).await?, b"rest");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the other end ends before, `ConnectionReset` if it resets.
    pub async fn read_head(&mut self) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if self.read_some(&mut byte).await? == 0 {
                return Err(cut_short("a head", head.len()));
            }
            head.extend_from_slice(&byte);
        }
        Ok(head)
    }

    /// Reads exactly `count` bytes.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// let (mut client, mut server) = adieu_testkit::memory::pair();
    /// client.send("hello").await?;
    /// assert_eq!(server.read_exactly(2).await?, b"he");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the other end ends before, `ConnectionReset` if it resets.
    pub async fn read_exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while filled < count {
            match self.read_some(&mut bytes[filled..]).await? {
                0 => return Err(cut_short("bytes", filled)),
                more => filled += more,
            }
        }
        Ok(bytes)
    }

    /// Reads until the other end ends, and tells how it did.
    ///
    /// ```
    /// use adieu_testkit::Ended;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// let (mut client, mut server) = adieu_testkit::memory::pair();
    /// client.send("hello").await?;
    /// client.reset();
    /// assert_eq!(server.read_until_end().await?, (b"hello".to_vec(), Ended::Reset));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// `NotConnected` if this end has reset the connection itself.
    pub async fn read_until_end(&mut self) -> io::Result<(Vec<u8>, Ended)> {
        let mut all = Vec::new();
        let mut some = [0; 4096];
        loop {
            match self.read_some(&mut some).await {
                Ok(0) => return Ok((all, Ended::Fin)),
                Ok(count) => all.extend(some.iter().take(count)),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok((all, Ended::Reset)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes all of `bytes`, waiting for room as often as it takes.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// let (mut client, mut server) = adieu_testkit::memory::pair();
    /// server.send("HTTP/1.1 204 No Content\r\n\r\n").await?;
    /// assert!(client.read_head().await?.starts_with(b"HTTP/1.1 204"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// `ConnectionReset` or `BrokenPipe`, as any write.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let mut left = bytes.as_ref();
        while !left.is_empty() {
            let count = poll_fn(|cx| Pin::new(&mut *self).poll_write(cx, left)).await?;
            left = left.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Ends this side and leaves the other open.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// let (mut client, mut server) = adieu_testkit::memory::pair();
    /// server.fin().await?;
    /// client.send("still here").await?;
    /// assert_eq!(server.read_exactly(10).await?, b"still here");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// `NotConnected` after a reset by either end.
    pub async fn fin(&mut self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *self).poll_shutdown(cx)).await
    }

    async fn read_some(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut into = ReadBuf::new(into);
        poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, &mut into)).await?;
        Ok(into.filled().len())
    }
}

fn cut_short(what: &str, count: usize) -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, format!("FIN instead of {what}, after {count} bytes"))
}
