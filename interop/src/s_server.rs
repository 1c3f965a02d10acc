//! `openssl s_server`: TLS with a keyboard.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::Identity;
use crate::output::Output;
use crate::place::{DOCUMENTS, Place, Port};
use crate::program::Program;
use crate::skip::need;

/// What the server is to do.
#[derive(Clone, Debug)]
pub struct OpensslConfig {
    identity: Identity,
    flags: Vec<String>,
    documents: Vec<(String, Vec<u8>)>,
}

impl OpensslConfig {
    /// A server that shows this certificate, with these more flags. Without `-www`, `-WWW` or `-HTTP` what is typed
    /// goes to the client, and what the client sends is in its output.
    #[must_use]
    pub fn new(identity: Identity, flags: &[&str]) -> Self {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Self { identity, flags, documents: Vec::new() }
    }

    /// A document to be served.
    #[must_use]
    pub fn document(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.documents.push((name.to_owned(), bytes.into()));
        self
    }
}

/// A running `openssl s_server`.
pub struct OpensslServer {
    program: Program,
    port: Port,
}

impl OpensslServer {
    /// Starts it, once it is ready; `None`: there is no openssl here, and the test is skipped.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start(config: OpensslConfig) -> Option<Self> {
        let binary = need("openssl")?;
        let (place, port) = (Place::new(), Port::free());
        place.identity(&config.identity);
        config.documents.iter().for_each(|(name, bytes)| place.document(name, bytes));
        let mut command = Command::new(binary);
        command.arg("s_server").arg("-accept").arg(port.address().to_string());
        command.arg("-cert").arg(place.file("cert.pem")).arg("-key").arg(place.file("key.pem"));
        command.args(&config.flags).current_dir(place.file(DOCUMENTS)).stdin(Stdio::piped());
        let program = Program::start("openssl s_server", command, place);
        program.output().until("ACCEPT\n").await;
        Some(Self { program, port })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// What it says, and what the client sent.
    #[must_use]
    pub fn output(&self) -> &Output {
        self.program.output()
    }

    /// Types something: for the client, or a command (`Q`, `k`, `K`, `P`) where that is its first letter.
    ///
    /// # Panics
    ///
    /// If it is gone.
    pub fn write(&mut self, text: &str) {
        self.program.write(text.as_bytes());
    }
}
