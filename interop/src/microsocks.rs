//! microsocks: a SOCKS5 proxy.

use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::output::{Output, PATIENCE};
use crate::place::{Place, Port};
use crate::program::Program;
use crate::skip::need;

/// A running microsocks.
pub struct Microsocks {
    program: Program,
    port: Port,
}

impl Microsocks {
    /// Starts it with these more flags, once it is ready; `None`: there is no microsocks here, and the test is skipped.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start(flags: &[&str]) -> Option<Self> {
        let binary = need("microsocks")?;
        let (place, port) = (Place::new(), Port::free());
        let (ip, number) = (port.address().ip().to_string(), port.address().port().to_string());
        let mut command = Command::new(binary);
        command.args(["-i", &ip, "-p", &number]).args(flags).stdin(Stdio::null());
        let program = Program::start("microsocks", command, place);
        // It does not tell when it is ready.
        let listens = async {
            while TcpStream::connect(port.address()).is_err() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let came = tokio::time::timeout(PATIENCE, listens).await;
        assert!(came.is_ok(), "microsocks does not listen: {}", program.output().text());
        Some(Self { program, port })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// What it says: `client[4] 127.0.0.1: connected to localhost:443`.
    #[must_use]
    pub fn log(&self) -> &Output {
        self.program.output()
    }
}
