//! Setting up a peer.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::handle::{Address, Peer};
use super::line::Layer;
use super::listen::{Cast, Listen};
use super::script::Script;
use super::stage::Stage;
use super::wire::Family;

/// Sets up a [`Peer`]: its scripts, and what must be decided before the first connection.
///
/// ```
/// use adieu_testkit::peer::{Peer, Script, response};
///
/// // The first connection is reset, every further one is served.
/// let peer = Peer::builder()
///     .script(Script::new().read_head().reset())
///     .script(Script::new().answer_all(response(200, "ok")).repeat())
///     .tcp()?;
/// # use std::io::Write;
/// # std::net::TcpStream::connect(peer.address())?.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
/// # peer.finish().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct PeerBuilder {
    scripts: Vec<Script>,
    layer: Option<Arc<dyn Layer>>,
    receive_buffer: Option<usize>,
    patience: Duration,
    max_connections: usize,
}

impl PeerBuilder {
    pub(super) fn new() -> Self {
        Self {
            scripts: Vec::new(),
            layer: None,
            receive_buffer: None,
            patience: DEFAULT_PATIENCE,
            max_connections: DEFAULT_MAX_CONNECTIONS,
        }
    }

    /// Adds the script of the next connection. Each must be played, but for a last one with [`Script::repeat`]; a
    /// connection for which no script is left is reset, and an error.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script};
    /// let error = Peer::builder().script(Script::new().repeat()).script(Script::new()).tcp().unwrap_err();
    /// assert_eq!(error.to_string(), "only the last script can be repeated");
    /// ```
    pub fn script(mut self, script: Script) -> Self {
        self.scripts.push(script);
        self
    }

    /// Speaks TLS: the peer handshakes before the script of each connection begins, and the steps read and send inside.
    /// To begin in plain text, or to do something before the handshake, use [`Script::start_tls`].
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script};
    /// # use adieu_testkit::tls::{Authority, TlsServer};
    /// let server = TlsServer::new(Authority::new()?.issue(["localhost"])?);
    /// let peer = Peer::builder().tls(&server).script(Script::new().repeat()).tcp()?;
    /// assert!(peer.url("/").starts_with("https://"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "tls")]
    pub fn tls(mut self, server: &crate::tls::TlsServer) -> Self {
        self.layer = Some(Arc::new(server.clone()));
        self
    }

    /// Asks the kernel for receive buffers of this size, so that a client gets stuck soon when the script does not read.
    /// Kernels round it, and Linux doubles it; the client's own send buffer comes on top.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script};
    /// let peer = Peer::builder().receive_buffer(4096).script(Script::new().never_read()).tcp()?;
    /// # drop(std::net::TcpStream::connect(peer.address())?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// How long [`Peer::wait`] waits, and how long [`Peer::finish`] waits for connections whose scripts were not played
    /// yet. Default 10 s.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use adieu_testkit::peer::{Peer, Script, Until};
    /// let peer = Peer::builder().patience(Duration::from_millis(10)).script(Script::new()).tcp()?;
    /// assert!(peer.wait(0, Until::Accepted).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// How many connections are accepted at all; those beyond are reset, and an error. Default 1,024.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script};
    /// let peer = Peer::builder().max_connections(1).script(Script::new().repeat()).tcp()?;
    /// drop(std::net::TcpStream::connect(peer.address())?);
    /// drop(std::net::TcpStream::connect(peer.address())?);
    /// assert!(peer.finish().is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn max_connections(mut self, count: usize) -> Self {
        self.max_connections = count;
        self
    }

    /// Listens on a port of 127.0.0.1 that the kernel picks.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script};
    /// let peer = Peer::builder().script(Script::new().repeat()).tcp()?;
    /// assert!(peer.address().ip().is_loopback());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Without a script, with a repeated script that is not the last, or if the kernel refuses.
    pub fn tcp(self) -> io::Result<Peer> {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        let listener = self.listen(listener, &any_port.into())?;
        let Some(address) = listener.local_addr()?.as_socket() else {
            return Err(io::Error::other("a TCP socket without an address"));
        };
        self.start(listener, Family::Tcp, Address::Tcp(address))
    }

    /// Listens on a Unix socket at `path`, where no file may be yet; it is removed when the peer is dropped.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script};
    /// let path = std::env::temp_dir().join(format!("example-{}.sock", std::process::id()));
    /// let peer = Peer::builder().script(Script::new()).unix(&path)?;
    /// drop(std::os::unix::net::UnixStream::connect(&path)?);
    /// peer.finish().unwrap()[0].assert_fin();
    /// assert!(!path.exists());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Without a script, with a repeated script that is not the last, or if the kernel refuses.
    #[cfg(unix)]
    pub fn unix(self, path: impl AsRef<std::path::Path>) -> io::Result<Peer> {
        let path = path.as_ref();
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        let listener = self.listen(listener, &SockAddr::unix(path)?)?;
        self.start(listener, Family::Unix, Address::Unix(path.to_owned()))
    }

    fn listen(&self, listener: Socket, address: &SockAddr) -> io::Result<Socket> {
        // Accepted sockets inherit it, and their windows were announced before accept returns.
        if let Some(bytes) = self.receive_buffer {
            listener.set_recv_buffer_size(bytes)?;
        }
        listener.bind(address)?;
        listener.listen(BACKLOG)?;
        Listen::prepare(&listener)?;
        Ok(listener)
    }

    fn start(self, listener: Socket, family: Family, address: Address) -> io::Result<Peer> {
        let stage = Arc::new(Stage::new());
        let scheme = if self.layer.is_some() { "https" } else { "http" };
        let peer = Peer::new(stage.clone(), address, scheme, self.patience);
        let cast = Cast::new(self.scripts)?;
        let (patience, max_connections) = (self.patience, self.max_connections);
        let layer = self.layer;
        let listen = Listen { listener, family, layer, cast, stage, patience, max_connections };
        thread::Builder::new().name("peer accept".into()).spawn(move || listen.run())?;
        Ok(peer)
    }
}

const DEFAULT_PATIENCE: Duration = Duration::from_secs(10);
const DEFAULT_MAX_CONNECTIONS: usize = 1024;
const BACKLOG: i32 = 1024;
