//! A third witness: what the kernel knows of the TCP connections to a server.

use std::net::SocketAddr;
use std::time::Duration;

use crate::output::PATIENCE;
use crate::skip::skip;

/// The TCP sockets of a server's connections, on both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sockets {
    /// Those that are not gone, in whichever state.
    pub open: usize,
    /// Clients' ends in TIME_WAIT: they ended first (RFC 9293 section 3.6).
    pub clients_waiting: usize,
    /// The server's ends in TIME_WAIT.
    pub servers_waiting: usize,
}

impl Sockets {
    /// Those of the server at this address; `None`: this machine's kernel does not tell, and the test is skipped.
    #[must_use]
    pub fn of(server: SocketAddr) -> Option<Self> {
        match std::fs::read_to_string(TABLE) {
            Ok(table) => Some(Self::read(&table, server)),
            Err(error) => {
                skip(&format!("no {TABLE}: {error}"));
                None
            }
        }
    }

    /// The same once none of them is open any more.
    ///
    /// # Panics
    ///
    /// If some stay.
    pub async fn once_gone(server: SocketAddr) -> Option<Self> {
        let gone = async {
            loop {
                match Self::of(server) {
                    Some(sockets) if sockets.open > 0 => tokio::time::sleep(Duration::from_millis(2)).await,
                    gone => return gone,
                }
            }
        };
        let gone = tokio::time::timeout(PATIENCE, gone).await;
        gone.unwrap_or_else(|_| panic!("they stay at {server}: {:?}", Self::of(server)))
    }

    fn read(table: &str, server: SocketAddr) -> Self {
        let mut sockets = Self::default();
        for line in table.lines().skip(1) {
            let mut fields = line.split_whitespace().skip(1);
            let (local, peer, state) = (fields.next(), fields.next(), fields.next());
            let (ours, theirs) = (is(peer, server), is(local, server));
            match state {
                Some(LISTEN) => {}
                Some(TIME_WAIT) => {
                    sockets.clients_waiting += usize::from(ours);
                    sockets.servers_waiting += usize::from(theirs);
                }
                _ => sockets.open += usize::from(ours || theirs),
            }
        }
        sockets
    }
}

const TABLE: &str = "/proc/net/tcp";
const TIME_WAIT: &str = "06";
const LISTEN: &str = "0A";

/// Whether a field of the table is this address: `0100007F:1F90`, the address as this machine has it in memory.
fn is(field: Option<&str>, address: SocketAddr) -> bool {
    let SocketAddr::V4(address) = address else { return false };
    let number = u32::from_ne_bytes(address.ip().octets());
    field == Some(&format!("{number:08X}:{:04X}", address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn a_table_is_read_for_both_sides() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue
           0: 0100007F:1F90 00000000:0000 0A 00000000:00000000
           1: 0100007F:C001 0100007F:1F90 01 00000000:00000000
           2: 0100007F:1F90 0100007F:C001 08 00000000:00000000
           3: 0100007F:C002 0100007F:1F90 06 00000000:00000000
           4: 0100007F:1F90 0100007F:C003 06 00000000:00000000
           5: 0100007F:C004 0100007F:1F91 01 00000000:00000000\n";
        let expected = Sockets { open: 2, clients_waiting: 1, servers_waiting: 1 };
        assert_eq!(Sockets::read(table, SocketAddr::from(([127, 0, 0, 1], 8080))), expected);
    }
}
