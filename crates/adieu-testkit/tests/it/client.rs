//! The plainest client there is.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use adieu_testkit::Ended;
use adieu_testkit::peer::Peer;
use socket2::SockRef;

pub(crate) const GET: &[u8] = b"GET /path HTTP/1.1\r\nHost: example.org\r\n\r\n";

pub(crate) fn connect(peer: &Peer) -> TcpStream {
    connect_to(peer.address())
}

pub(crate) fn connect_to(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

/// Connects and sends.
pub(crate) fn connect_and_send(peer: &Peer, bytes: &[u8]) -> TcpStream {
    let mut stream = connect(peer);
    stream.write_all(bytes).unwrap();
    stream
}

/// Closes by RST.
pub(crate) fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Reads to the server's end: the bytes, and how it ended.
pub(crate) fn read_to_end(mut stream: &TcpStream) -> (Vec<u8>, Ended) {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => (all, Ended::Fin),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => (all, Ended::Reset),
        Err(error) if is_timeout(&error) => (all, Ended::StillOpen),
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn read_exactly(mut stream: &TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
