//! Opening connections: names, addresses, sockets, proxies. All of it over loopback.

mod eyes;
mod names;
mod proxies;
mod sockets;
mod socks;
#[cfg(feature = "tls")]
mod tls;
mod tunnels;
mod users;

use std::future::Future;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;

use adieu::connect::{Connect, Connector, ConnectorBuilder, Proxies, Proxy, Target};
use adieu::transport::Transport;
use adieu::{Error, ErrorKind};
use adieu_testkit::peer::{Peer, Script};
use socket2::{Domain, Socket, Type};

/// What a transport is, or why there is none.
type Opened = Result<Box<dyn Transport>, Error>;

fn target(uri: &str) -> Target {
    Target::of(&uri.parse().unwrap()).unwrap()
}

/// Opens a connection; what fails is one of adieu's errors.
async fn open(connector: &Connector, uri: &str) -> Opened {
    connector.connect(&target(uri)).await.map_err(|error| *error.downcast::<Error>().unwrap())
}

/// Why it cannot be opened.
async fn refused(connector: &Connector, uri: &str) -> Error {
    match open(connector, uri).await {
        Ok(transport) => panic!("it was opened: {:?}", transport.peer_address()),
        Err(error) => error,
    }
}

/// A connector whose every target lies behind this proxy.
fn behind(scheme: &str, login: &str, peer: &Peer) -> ConnectorBuilder {
    let proxy = Proxy::parse(&format!("{scheme}://{login}{}", peer.address())).unwrap();
    Connector::builder().proxies(Proxies::new().all(proxy))
}

fn kind_and_text(error: &Error) -> (ErrorKind, String) {
    (error.kind(), error.to_string())
}

/// An address of loopback whose kernel answers no SYN: its queue is full.
struct Dead {
    listener: TcpListener,
    address: SocketAddr,
    /// What fills the queue.
    filling: Vec<TcpStream>,
}

impl Dead {
    fn new() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap())
    }

    fn at(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&address.into()).unwrap();
        socket.listen(0).unwrap();
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().unwrap();
        // Linux takes one more than it was told.
        let filling = vec![TcpStream::connect(address).unwrap()];
        Self { listener, address, filling }
    }

    /// Takes what is in the queue, so that whoever still knocks is let in.
    fn revive(&mut self) -> &TcpListener {
        for filling in self.filling.drain(..) {
            drop(self.listener.accept().unwrap());
            drop(filling);
        }
        self.listener.set_nonblocking(true).unwrap();
        &self.listener
    }
}

/// An address of loopback at which nobody listens.
fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Reads exactly so many bytes.
async fn read(io: &mut Box<dyn Transport>, bytes: usize) -> Vec<u8> {
    let mut taken = vec![0; bytes];
    tokio::io::AsyncReadExt::read_exact(io, &mut taken).await.unwrap();
    taken
}

async fn write(io: &mut Box<dyn Transport>, bytes: &[u8]) {
    tokio::io::AsyncWriteExt::write_all(io, bytes).await.unwrap();
}

/// A peer that plays these scripts, one a connection.
fn peer(scripts: impl IntoIterator<Item = Script>) -> Peer {
    scripts.into_iter().fold(Peer::builder(), |builder, script| builder.script(script)).tcp().unwrap()
}

/// An answer of a resolver that never comes, or any other future in a box.
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
