//! The test's handle on a running peer.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::builder::PeerBuilder;
use super::error::PeerError;
use super::in_thread::in_thread;
use super::script::Script;
use super::seen::{Event, Over, Seen};
use super::stage::{Phase, Stage};
use crate::ended::Ended;

/// A scripted server that is listening, and plays one [`Script`] per connection.
///
/// [`Peer::finish`] hands out what it saw. A peer that is dropped without it lets go of everything at once: its threads
/// close their connections and leave within milliseconds, and what went wrong is not told.
///
/// ```
/// use std::io::{Read, Write};
/// use adieu_testkit::peer::{Peer, Script};
///
/// let peer = Peer::tcp(Script::new().read_head().send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").fin())?;
///
/// let mut client = std::net::TcpStream::connect(peer.address())?;
/// client.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
/// let mut answer = Vec::new();
/// client.read_to_end(&mut answer)?;
/// drop(client);
///
/// assert!(answer.ends_with(b"half"));
/// assert_eq!(peer.finish()?.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Peer {
    stage: Arc<Stage>,
    address: Address,
    scheme: &'static str,
    patience: Duration,
}

/// Where a peer listens.
#[derive(Debug)]
pub(super) enum Address {
    Tcp(SocketAddr),
    #[cfg_attr(not(unix), expect(dead_code, reason = "Unix sockets are for Unix"))]
    Unix(PathBuf),
}

/// What [`Peer::wait`] waits for on a connection.
///
/// ```
/// use adieu_testkit::peer::{Peer, Script, Until};
///
/// let peer = Peer::tcp(Script::new().mark("here"))?;
/// let client = std::net::TcpStream::connect(peer.address())?;
/// peer.wait(0, Until::Mark("here"))?;
/// drop(client);
/// peer.wait(0, Until::End)?.assert_fin();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Until {
    /// It was accepted.
    Accepted,
    /// A mark of this name is in its log.
    Mark(&'static str),
    /// At least this many bytes were received.
    Received(u64),
    /// At least this many request heads were read.
    Requests(u64),
    /// A TLS handshake was done.
    Handshake,
    /// The client has sent close_notify.
    CloseNotify,
    /// The client has sent a fatal alert.
    Alert,
    /// The client has ended, by FIN or RST.
    End,
    /// Its script is over and its socket closed.
    Over,
}

impl Until {
    fn holds(self, seen: &Seen) -> bool {
        match self {
            Self::Accepted => true,
            Self::Mark(name) => {
                seen.time_of(|event| matches!(event, Event::Mark(mark) if mark == name)).is_some()
            }
            Self::Received(bytes) => seen.received_len() >= bytes,
            Self::Requests(count) => seen.requests_len() >= count,
            Self::Handshake => seen.time_of(|event| matches!(event, Event::Handshake(_))).is_some(),
            Self::CloseNotify => seen.time_of(|event| *event == Event::CloseNotify).is_some(),
            Self::Alert => seen.time_of(|event| matches!(event, Event::Alert(_))).is_some(),
            Self::End => seen.ended() != Ended::StillOpen,
            Self::Over => seen.over == Over::Yes,
        }
    }
}

impl Peer {
    /// A peer on a TCP port of 127.0.0.1 with a single script; for more of them use [`Peer::builder`].
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script, response};
    /// let peer = Peer::tcp(Script::new().answer_all(response(200, "ok")).repeat())?;
    /// println!("listening on {}", peer.address());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn tcp(script: Script) -> io::Result<Self> {
        Self::builder().script(script).tcp()
    }

    /// A peer on a Unix socket with a single script, at a new path in the directory for temporary files.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script};
    /// let peer = Peer::unix(Script::new())?;
    /// drop(std::os::unix::net::UnixStream::connect(peer.path().unwrap())?);
    /// peer.finish().unwrap()[0].assert_fin();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    #[cfg(unix)]
    pub fn unix(script: Script) -> io::Result<Self> {
        use std::sync::atomic::{AtomicU64, Ordering};
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("peer-{}-{}.sock", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self::builder().script(script).unix(std::env::temp_dir().join(name))
    }

    /// Sets up a peer with several scripts, or other settings than the defaults.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script};
    /// let peer = Peer::builder().script(Script::new().reset()).script(Script::new().repeat()).tcp()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn builder() -> PeerBuilder {
        PeerBuilder::new()
    }

    pub(super) fn new(stage: Arc<Stage>, address: Address, scheme: &'static str, patience: Duration) -> Self {
        Self { stage, address, scheme, patience }
    }

    /// The address to connect to.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script};
    /// let peer = Peer::tcp(Script::new())?;
    /// let client = std::net::TcpStream::connect(peer.address())?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If the peer listens on a Unix socket.
    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        match &self.address {
            Address::Tcp(address) => *address,
            Address::Unix(path) => panic!("the peer listens on the Unix socket {}", path.display()),
        }
    }

    /// The path of the Unix socket; `None` with TCP.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script};
    /// assert_eq!(Peer::tcp(Script::new())?.path(), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn path(&self) -> Option<&Path> {
        match &self.address {
            Address::Tcp(_) => None,
            Address::Unix(path) => Some(path),
        }
    }

    /// The URL of `target`, which begins with a slash: `https` if the peer speaks TLS from the start, else `http`. With a
    /// Unix socket its host is `localhost`.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script};
    /// let peer = Peer::tcp(Script::new())?;
    /// assert_eq!(peer.url("/a?b"), format!("http://{}/a?b", peer.address()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn url(&self, target: &str) -> String {
        match &self.address {
            Address::Tcp(address) => format!("{}://{address}{target}", self.scheme),
            Address::Unix(_) => format!("{}://localhost{target}", self.scheme),
        }
    }

    /// How many connections were accepted so far.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script};
    /// assert_eq!(Peer::tcp(Script::new())?.connections(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connections(&self) -> usize {
        self.stage.accepted()
    }

    /// How many of them the peer has not closed yet.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script, Until};
    /// let peer = Peer::tcp(Script::new())?;
    /// let client = std::net::TcpStream::connect(peer.address())?;
    /// peer.wait(0, Until::Accepted)?;
    /// assert_eq!(peer.open_connections(), 1);
    /// drop(client);
    /// peer.wait(0, Until::Over)?;
    /// assert_eq!(peer.open_connections(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_connections(&self) -> usize {
        self.stage.open()
    }

    /// What was seen so far on a connection, by its number from 0; `None` if it was not accepted yet.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script};
    /// assert!(Peer::tcp(Script::new())?.seen(0).is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn seen(&self, connection: usize) -> Option<Seen> {
        self.stage.seen(connection)
    }

    /// Writes a mark into the log of every open connection: for the deeds of the test and its client.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script, Until};
    /// let peer = Peer::tcp(Script::new())?;
    /// let client = std::net::TcpStream::connect(peer.address())?;
    /// peer.wait(0, Until::Accepted)?;
    /// peer.mark("dropping the client");
    /// drop(client);
    /// assert!(!peer.finish()?[0].saw_fin_before("dropping the client"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mark(&self, name: &str) {
        self.stage.mark(name);
    }

    /// Ends every [`Script::stall`], now and in the future.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script, Until};
    /// let peer = Peer::tcp(Script::new().stall().mark("on"))?;
    /// let client = std::net::TcpStream::connect(peer.address())?;
    /// peer.release();
    /// peer.wait(0, Until::Mark("on"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn release(&self) {
        self.stage.advance(Phase::Released);
    }

    /// Blocks until something is so on a connection, by its number from 0, and returns what was seen by then.
    ///
    /// ```
    /// # use std::io::Write;
    /// # use adieu_testkit::peer::{Peer, Script, Until};
    /// let peer = Peer::tcp(Script::new())?;
    /// let mut client = std::net::TcpStream::connect(peer.address())?;
    /// client.write_all(b"hello")?;
    /// peer.wait(0, Until::Received(5))?.assert_received("hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If it does not come within [`PeerBuilder::patience`], or the connection is over without it.
    pub fn wait(&self, connection: usize, until: Until) -> Result<Seen, PeerError> {
        wait(&self.stage, self.patience, connection, until)
    }

    /// The same as [`Peer::wait`], awaited; on any runtime.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script, Until};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let peer = Peer::tcp(Script::new())?;
    /// let client = tokio::net::TcpStream::connect(peer.address()).await?;
    /// peer.wait_async(0, Until::Accepted).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Peer::wait`].
    pub fn wait_async(
        &self,
        connection: usize,
        until: Until,
    ) -> impl Future<Output = Result<Seen, PeerError>> + Send + use<> {
        let (stage, patience) = (self.stage.clone(), self.patience);
        async move { awaited(move || wait(&stage, patience, connection, until)).await }
    }

    /// Blocks until every script was played and every connection is over; returns what was seen, one [`Seen`] per
    /// connection, in the order of accepting.
    ///
    /// It releases stalls, lets in who has connected already, waits [`PeerBuilder::patience`] for scripts that were not
    /// played yet, and closes the listening socket.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script};
    /// let peer = Peer::tcp(Script::new().stall())?;
    /// drop(std::net::TcpStream::connect(peer.address())?);
    /// for seen in peer.finish()? {
    ///     println!("{seen}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If a step went otherwise than its script says, a script was never played, or a connection came for which there
    /// was none. The error holds everything that was seen.
    pub fn finish(self) -> Result<Vec<Seen>, PeerError> {
        self.stage.advance(Phase::Finishing);
        let (seen, beside) = self.stage.wait_for_all();
        let on_connections = seen.iter().filter_map(|seen| {
            seen.failure().map(|failure| format!("connection {}, {failure}", seen.connection()))
        });
        let failures: Vec<_> = on_connections.chain(beside).collect();
        if failures.is_empty() { Ok(seen) } else { Err(PeerError::new(failures, seen)) }
    }

    /// The same as [`Peer::finish`], awaited; on any runtime.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let peer = Peer::tcp(Script::new())?;
    /// drop(tokio::net::TcpStream::connect(peer.address()).await?);
    /// peer.finish_async().await?[0].assert_fin();
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Peer::finish`].
    pub async fn finish_async(self) -> Result<Vec<Seen>, PeerError> {
        awaited(move || self.finish()).await
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stage.advance(Phase::Dropped);
        if let Address::Unix(path) = &self.address {
            // Whoever removed it before us did our work.
            let _gone = std::fs::remove_file(path);
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("address", &self.address)
            .field("connections", &self.connections())
            .field("open_connections", &self.open_connections())
            .finish()
    }
}

fn wait(stage: &Stage, patience: Duration, connection: usize, until: Until) -> Result<Seen, PeerError> {
    let found = stage.wait_for(connection, patience, |seen| {
        if until.holds(seen) { Some(Ok(seen.clone())) } else { (seen.over == Over::Yes).then_some(Err(())) }
    });
    let why = match found {
        Some(Ok(seen)) => return Ok(seen),
        Some(Err(())) => "the connection was over without it".to_owned(),
        None => format!("not within {patience:?}"),
    };
    let failure = format!("connection {connection}, waiting for {until:?}: {why}");
    Err(PeerError::new(vec![failure], stage.all_seen()))
}

async fn awaited<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, PeerError> + Send + 'static,
) -> Result<T, PeerError> {
    match in_thread(call) {
        Ok(outcome) => outcome.await,
        Err(error) => Err(PeerError::new(vec![format!("no thread to wait in: {error}")], Vec::new())),
    }
}
