//! What is set on a TCP socket before and after it connects.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};

/// How TCP sockets are set up. Everything has its default; each setter says which. An option that this platform
/// lacks makes every connect fail and say so.
#[derive(Clone, Debug)]
pub struct TcpOptions {
    nodelay: Choice,
    keepalive: Option<Duration>,
    user_timeout: Option<Duration>,
    local_v4: Option<Ipv4Addr>,
    local_v6: Option<Ipv6Addr>,
    interface: Option<String>,
    send_buffer: Option<u32>,
    receive_buffer: Option<u32>,
    reuse_address: Choice,
}

/// Whether something is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Yes,
    No,
}

impl TcpOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether small pieces are sent at once (TCP_NODELAY) rather than held back for more. Default: yes.
    #[must_use]
    pub fn nodelay(mut self, at_once: bool) -> Self {
        self.nodelay = choice(at_once);
        self
    }

    /// After how much silence the kernel asks whether the peer is still there, and how often it asks again
    /// (SO_KEEPALIVE); whole seconds, at least 1. `None`: never. Default 15 s.
    #[must_use]
    pub fn keepalive(mut self, after: Option<Duration>) -> Self {
        self.keepalive = after;
        self
    }

    /// How long what was sent may go unacknowledged before the kernel ends the connection (TCP_USER_TIMEOUT); Linux
    /// and Android only; milliseconds. Default: the kernel's, about a quarter of an hour.
    #[must_use]
    pub fn user_timeout(mut self, limit: Option<Duration>) -> Self {
        self.user_timeout = limit;
        self
    }

    /// From which address of ours to connect. One of each family can be given; where only one is, addresses of the
    /// other family are not connected to. Default: the kernel chooses.
    #[must_use]
    pub fn local_address(mut self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.local_v4 = Some(address),
            IpAddr::V6(address) => self.local_v6 = Some(address),
        }
        self
    }

    /// Through which interface, by name, as `eth0` (SO_BINDTODEVICE); Linux and Android only. Default: the kernel
    /// chooses.
    #[must_use]
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.interface = Some(name.into());
        self
    }

    /// The size of the kernel's send buffer (SO_SNDBUF), bytes; Linux doubles it. Default: the kernel's, which adapts.
    #[must_use]
    pub fn send_buffer(mut self, bytes: u32) -> Self {
        self.send_buffer = Some(bytes);
        self
    }

    /// The size of the kernel's receive buffer (SO_RCVBUF), bytes; Linux doubles it. Default: the kernel's, which adapts.
    #[must_use]
    pub fn receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Whether a local address may be used that is still in TIME_WAIT (SO_REUSEADDR). Default: no. Of use with
    /// [`local_address`](Self::local_address) alone.
    #[must_use]
    pub fn reuse_address(mut self, reused: bool) -> Self {
        self.reuse_address = choice(reused);
        self
    }

    /// Connects to one address. Dropping the future closes the socket.
    pub(super) async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        self.prepare(&socket)?;
        if let Some(local) = self.local(address)? {
            socket.bind(local)?;
        }
        socket.connect(address).await
    }

    fn prepare(&self, socket: &TcpSocket) -> io::Result<()> {
        if self.reuse_address == Choice::Yes {
            socket.set_reuseaddr(true)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(name) = &self.interface {
            through(socket, name)?;
        }
        if let Some(limit) = self.user_timeout {
            give_up_after(socket, limit)?;
        }
        if let Some(after) = self.keepalive {
            SockRef::from(socket).set_tcp_keepalive(&every(after))?;
        }
        socket.set_nodelay(self.nodelay == Choice::Yes)
    }

    /// From where to connect to `address`.
    fn local(&self, address: SocketAddr) -> io::Result<Option<SocketAddr>> {
        let local = match address {
            SocketAddr::V4(_) => self.local_v4.map(IpAddr::V4),
            SocketAddr::V6(_) => self.local_v6.map(IpAddr::V6),
        };
        match local {
            Some(local) => Ok(Some(SocketAddr::new(local, 0))),
            None if self.local_v4.is_none() && self.local_v6.is_none() => Ok(None),
            None => Err(io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                "the local address that was chosen is of the other family",
            )),
        }
    }
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            nodelay: Choice::Yes,
            keepalive: Some(KEEPALIVE),
            user_timeout: None,
            local_v4: None,
            local_v6: None,
            interface: None,
            send_buffer: None,
            receive_buffer: None,
            reuse_address: Choice::No,
        }
    }
}

fn choice(wanted: bool) -> Choice {
    if wanted { Choice::Yes } else { Choice::No }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn through(socket: &TcpSocket, interface: &str) -> io::Result<()> {
    socket
        .bind_device(Some(interface.as_bytes()))
        .map_err(|error| io::Error::new(error.kind(), format!("the interface {interface}: {error}")))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn through(_: &TcpSocket, _: &str) -> io::Result<()> {
    Err(lacking("the interface to connect through cannot be chosen on this platform"))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn give_up_after(socket: &TcpSocket, limit: Duration) -> io::Result<()> {
    SockRef::from(socket).set_tcp_user_timeout(Some(limit))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn give_up_after(_: &TcpSocket, _: Duration) -> io::Result<()> {
    Err(lacking("TCP_USER_TIMEOUT is not known on this platform"))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn lacking(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, what)
}

fn every(after: Duration) -> TcpKeepalive {
    let after = after.max(SHORTEST_KEEPALIVE);
    again(TcpKeepalive::new().with_time(after), after)
}

#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "ios",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "illumos",
    target_os = "windows"
))]
fn again(keepalive: TcpKeepalive, after: Duration) -> TcpKeepalive {
    keepalive.with_interval(after)
}

/// Elsewhere the interval is the system's.
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "ios",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "illumos",
    target_os = "windows"
)))]
fn again(keepalive: TcpKeepalive, _: Duration) -> TcpKeepalive {
    keepalive
}

/// Notices a peer that is gone within a few minutes, and keeps the state of most middleboxes alive.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// The kernel counts whole seconds, and takes none for a mistake.
const SHORTEST_KEEPALIVE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Looks at a socket that was connected with these options.
    async fn connected(options: TcpOptions, look: impl FnOnce(SockRef<'_>)) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = options.connect(listener.local_addr().unwrap()).await.unwrap();
        look(SockRef::from(&socket));
    }

    #[tokio::test]
    async fn by_default_nothing_is_held_back_and_the_peer_is_asked_after_15_seconds() {
        connected(TcpOptions::new(), |socket| {
            assert!(socket.tcp_nodelay().unwrap());
            assert!(socket.keepalive().unwrap());
            #[cfg(target_os = "linux")]
            {
                assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE);
                assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE);
            }
        })
        .await;
    }

    #[tokio::test]
    async fn options_are_seen_on_the_socket() {
        let local = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5));
        let options = TcpOptions::new()
            .nodelay(false)
            .keepalive(None)
            .send_buffer(32 * 1024)
            .receive_buffer(48 * 1024)
            .reuse_address(true)
            .local_address(local);
        connected(options, |socket| {
            assert!(!socket.tcp_nodelay().unwrap());
            assert!(!socket.keepalive().unwrap());
            assert!(socket.reuse_address().unwrap());
            assert!(socket.send_buffer_size().unwrap() >= 32 * 1024);
            assert!((48 * 1024..=96 * 1024).contains(&socket.recv_buffer_size().unwrap()));
            assert_eq!(socket.local_addr().unwrap().as_socket().unwrap().ip(), local);
        })
        .await;
    }

    #[tokio::test]
    async fn less_than_a_second_of_keepalive_is_a_second() {
        let options = TcpOptions::new().keepalive(Some(Duration::ZERO));
        connected(options, |socket| assert!(socket.keepalive().unwrap())).await;
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn the_user_timeout_is_seen_on_the_socket() {
        let limit = Some(Duration::from_millis(12_345));
        let options = TcpOptions::new().user_timeout(limit);
        connected(options, |socket| assert_eq!(socket.tcp_user_timeout().unwrap(), limit)).await;
    }
}
