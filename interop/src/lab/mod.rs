//! Two hosts and a slow wire between them, on one machine: what happens while something is on its way.
//!
//! On the loopback interface nothing takes time. A proxy that waits would end the TCP connections itself, so that no end
//! would see what the other one really did. Here each host is a network namespace with a kernel's TCP of its own, and
//! the wire carries IP packets: SYN, FIN, RST and acknowledgements are those of the two ends.
//!
//! ```text
//!   client 10.78.0.1                                        server 10.78.0.2
//!   (network namespace)                                     (network namespace)
//!        TUN device  ──►  way: each packet waits, in order  ──►  TUN device
//!        TUN device  ◄──  way: each packet waits, in order  ◄──  TUN device
//!                          one thread carries both
//! ```
//!
//! | file | what it is for |
//! |---|---|
//! | `config` | what the wire is like |
//! | `host` | one of the two: threads enter it |
//! | `unavailable` | why there is no lab here, and the skip that follows |
//! | `namespaces` | the two namespaces: made, set up, deleted, and what killed programs left |
//! | `tun` | the network device in a namespace; the one file with `unsafe` |
//! | `wire` | the thread that carries packets, and the wire cut and mended |
//! | `way` | one direction: when each packet arrives |
//! | `fin` | the FIN of a packet, taken away |
//! | `elsewhere` | the same where there is no Linux: there is no lab |
//!
//! A test that wants one:
//!
//! ```no_run
//! use std::io::Read;
//! use std::net::{TcpListener, TcpStream};
//! use std::time::Duration;
//!
//! use interop::{Lab, LabConfig, Unavailable};
//!
//! let config = LabConfig::new(Duration::from_millis(10));
//! let Ok(lab) = Lab::start(config).inspect_err(Unavailable::skip) else { return };
//! let listener = lab.in_server(|| TcpListener::bind((lab.server_address(), 80)).unwrap());
//! // The handshake takes 20 ms.
//! let mut client = lab.in_client(|| TcpStream::connect((lab.server_address(), 80)).unwrap());
//! // A socket stays in the host where it was made; who uses it may be anywhere.
//! let (server, _) = listener.accept().unwrap();
//! lab.cut();
//! drop(server);
//! // Nobody tells the client.
//! client.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
//! assert!(client.read(&mut [0]).is_err());
//! ```

#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "there is no lab, so much of it is never used")
)]

mod config;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod fin;
mod host;
#[cfg(target_os = "linux")]
mod namespaces;
#[cfg(target_os = "linux")]
mod tun;
mod unavailable;
#[cfg(target_os = "linux")]
mod way;
#[cfg(target_os = "linux")]
mod wire;

use std::net::Ipv4Addr;

#[cfg(not(target_os = "linux"))]
use self::elsewhere::{Namespace, Wire};
#[cfg(target_os = "linux")]
use self::{namespaces::Namespace, wire::Wire};

pub use self::config::LabConfig;
pub use self::host::Host;
pub use self::unavailable::Unavailable;

/// Two hosts and the wire between them. Dropped, it stops the wire and deletes the namespaces.
///
/// Several labs run side by side: each has the same two addresses, in namespaces of its own. What a program left that was
/// killed is deleted when the next lab starts.
///
/// Sockets belong to the host of the thread that made them, for good. So does a child process, to the host of the thread
/// that started it. A thread enters a host by [`Host::enter`], or works there by [`Host::run`]; a [`Host`] is cloned
/// cheaply, for the threads of a runtime:
///
/// ```no_run
/// # fn of(lab: &interop::Lab) -> std::io::Result<tokio::runtime::Runtime> {
/// let client = lab.client();
/// tokio::runtime::Builder::new_multi_thread().on_thread_start(move || client.enter()).build()
/// # }
/// ```
///
/// A runtime of one thread runs on the thread that calls `block_on`: that one is to enter.
pub struct Lab {
    // In the order in which they are dropped: the devices are gone before their namespaces.
    wire: Wire,
    client: Host,
    server: Host,
    _namespaces: [Namespace; 2],
}

impl Lab {
    /// Makes the two hosts and the wire.
    ///
    /// # Errors
    ///
    /// Where that cannot be: it takes Linux, root, `/dev/net/tun` and the program `ip`.
    pub fn start(config: LabConfig) -> Result<Self, Unavailable> {
        let namespaces = Namespace::pair(ADDRESSES)?;
        let wire = Wire::between(&namespaces, config)?;
        let [client, server] = [0, 1].map(|end| namespaces[end].host(ADDRESSES[end]));
        Ok(Self { wire, client, server, _namespaces: namespaces })
    }

    /// The host of those who connect.
    #[must_use]
    pub fn client(&self) -> Host {
        self.client.clone()
    }

    /// The host of those who listen.
    #[must_use]
    pub fn server(&self) -> Host {
        self.server.clone()
    }

    /// The client's address, 10.78.0.1.
    #[must_use]
    pub fn client_address(&self) -> Ipv4Addr {
        self.client.address()
    }

    /// The server's address, 10.78.0.2.
    #[must_use]
    pub fn server_address(&self) -> Ipv4Addr {
        self.server.address()
    }

    /// [`Host::enter`] of the client.
    pub fn enter_client(&self) {
        self.client.enter();
    }

    /// [`Host::enter`] of the server.
    pub fn enter_server(&self) {
        self.server.enter();
    }

    /// [`Host::run`] in the client.
    pub fn in_client<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.client.run(work)
    }

    /// [`Host::run`] in the server.
    pub fn in_server<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.server.run(work)
    }

    /// Cuts the wire. What is on its way is lost, and so is what is sent from now on; nobody is told.
    ///
    /// When this returns, nothing arrives any more.
    pub fn cut(&self) {
        self.wire.cut();
    }

    /// Mends the wire: what is sent from now on arrives again. What was lost stays lost; TCP sends it once more, in its
    /// own time.
    pub fn mend(&self) {
        self.wire.mend();
    }
}

const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 78, 0, 1), Ipv4Addr::new(10, 78, 0, 2)];
