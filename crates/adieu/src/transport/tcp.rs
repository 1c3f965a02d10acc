//! TCP, as the kernel shows it.

use std::time::Duration;

use adieu_proto::lifecycle::{Address, Layer, LayerReport};
use socket2::SockRef;
use tokio::net::TcpStream;

use super::{Peek, ResetArmed, Transport, kernel};

impl Transport for TcpStream {
    fn peer_address(&self) -> Option<Address> {
        self.peer_addr().ok().map(Address::Ip)
    }

    fn local_address(&self) -> Option<Address> {
        self.local_addr().ok().map(Address::Ip)
    }

    fn peek(&self) -> Peek {
        kernel::peek(SockRef::from(self))
    }

    fn unacknowledged(&self) -> Option<u64> {
        kernel::unacknowledged(self)
    }

    fn arm_reset(&self) -> ResetArmed {
        match SockRef::from(self).set_linger(Some(Duration::ZERO)) {
            Ok(()) => ResetArmed::Yes,
            Err(_) => ResetArmed::No,
        }
    }

    fn layers(&self) -> Vec<LayerReport> {
        vec![LayerReport::new(Layer::Tcp)]
    }

    fn wire_end(&self, bytes: u64) -> Option<u64> {
        Some(bytes)
    }
}
