//! tinyproxy: an HTTP proxy that ends each connection after one request.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::output::Output;
use crate::place::{Place, Port};
use crate::program::Program;
use crate::skip::need;

/// A running tinyproxy.
pub struct Tinyproxy {
    program: Program,
    port: Port,
}

impl Tinyproxy {
    /// Starts it with these more lines of configuration, once it is ready; `None`: there is no tinyproxy here, and the
    /// test is skipped.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start(lines: &str) -> Option<Self> {
        let binary = need("tinyproxy")?;
        let (place, port) = (Place::new(), Port::free());
        let (ip, number) = (port.address().ip(), port.address().port());
        let text = format!("Port {number}\nListen {ip}\nTimeout 30\nLogLevel Info\n{lines}\n");
        let file = place.write("tinyproxy.conf", &text);
        let mut command = Command::new(binary);
        command.args(["-d", "-c"]).arg(file).stdin(Stdio::null());
        let program = Program::start("tinyproxy", command, place);
        program.output().until("Accepting connections").await;
        Some(Self { program, port })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Output {
        self.program.output()
    }
}
