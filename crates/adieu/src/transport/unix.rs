//! Unix sockets. They have no RST: a peer sees a reset only if it had sent what we did not read.

use adieu_proto::lifecycle::{Address, Layer, LayerReport};
use socket2::SockRef;
use tokio::net::UnixStream;

use super::{Peek, Transport, kernel};

impl Transport for UnixStream {
    fn peer_address(&self) -> Option<Address> {
        self.peer_addr().ok().map(|address| Address::Unix(address.as_pathname().map(Into::into)))
    }

    fn local_address(&self) -> Option<Address> {
        self.local_addr().ok().map(|address| Address::Unix(address.as_pathname().map(Into::into)))
    }

    fn peek(&self) -> Peek {
        kernel::peek(SockRef::from(self))
    }

    fn layers(&self) -> Vec<LayerReport> {
        vec![LayerReport::new(Layer::Unix)]
    }

    fn wire_end(&self, bytes: u64) -> Option<u64> {
        Some(bytes)
    }
}
