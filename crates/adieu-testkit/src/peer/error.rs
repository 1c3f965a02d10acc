//! What went otherwise than a script said.

use std::fmt;

use super::seen::Seen;

/// The play went otherwise than its scripts said; it still holds everything that was seen.
///
/// It prints what went wrong and the timeline of each connection, also as `Debug`, so that a plain `unwrap()` in a
/// test tells the whole story.
///
/// ```
/// use adieu_testkit::peer::{Peer, Script};
///
/// let peer = Peer::tcp(Script::new().read_head())?;
/// // A client that connects and goes away.
/// drop(std::net::TcpStream::connect(peer.address())?);
///
/// let error = peer.finish().unwrap_err();
/// assert_eq!(
///     error.failures().collect::<Vec<_>>(),
///     ["connection 0, step 1 (read a head): the client ended with FIN, 0 bytes into it"]
/// );
/// error.seen()[0].assert_fin();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct PeerError {
    failures: Vec<String>,
    seen: Vec<Seen>,
}

impl PeerError {
    pub(super) fn new(failures: Vec<String>, seen: Vec<Seen>) -> Self {
        Self { failures, seen }
    }

    /// What went wrong, one sentence each, in the order it happened on each connection.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script};
    /// # use std::time::Duration;
    /// let peer = Peer::builder().script(Script::new()).patience(Duration::from_millis(10)).tcp()?;
    /// let error = peer.finish().unwrap_err();
    /// assert_eq!(error.failures().next(), Some("1 script was never played: 0 connections came"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn failures(&self) -> impl Iterator<Item = &str> {
        self.failures.iter().map(String::as_str)
    }

    /// What was seen on each connection, those without a failure included.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script};
    /// let peer = Peer::tcp(Script::new().read_exactly(5))?;
    /// drop(std::net::TcpStream::connect(peer.address())?);
    /// let error = peer.finish().unwrap_err();
    /// assert_eq!(error.seen().len(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn seen(&self) -> &[Seen] {
        &self.seen
    }

    /// The same as [`PeerError::seen`], owned: for tests in which the failure was expected.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script};
    /// let peer = Peer::tcp(Script::new().read_exactly(5))?;
    /// drop(std::net::TcpStream::connect(peer.address())?);
    /// let seen = peer.finish().unwrap_err().into_seen();
    /// assert!(seen[0].received().is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_seen(self) -> Vec<Seen> {
        self.seen
    }
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the play went otherwise than its script")?;
        for failure in &self.failures {
            write!(f, "\n - {failure}")?;
        }
        for seen in &self.seen {
            write!(f, "\n{seen}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for PeerError {}
