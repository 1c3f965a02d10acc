//! HAProxy with one front, one port and one server behind it.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Identity;
use crate::output::{Output, PATIENCE};
use crate::place::{Place, Port};
use crate::program::Program;
use crate::skip::need;

/// What HAProxy is to do. In a line `{dir}` becomes its directory, `{port}` its port.
#[derive(Clone, Debug)]
pub struct HaproxyConfig {
    behind: SocketAddr,
    front: String,
    back: String,
    bind: String,
    tls: Option<Identity>,
}

impl HaproxyConfig {
    /// A proxy of the HTTP server at this address.
    #[must_use]
    pub fn to(behind: SocketAddr) -> Self {
        Self { behind, front: String::new(), back: String::new(), bind: String::new(), tls: None }
    }

    /// One more line of the front.
    #[must_use]
    pub fn front(mut self, line: &str) -> Self {
        self.front.push_str("    ");
        self.front.push_str(line);
        self.front.push('\n');
        self
    }

    /// One more line of the back.
    #[must_use]
    pub fn back(mut self, line: &str) -> Self {
        self.back.push_str("    ");
        self.back.push_str(line);
        self.back.push('\n');
        self
    }

    /// The port speaks TLS, with these more words of `bind`.
    #[must_use]
    pub fn tls(mut self, identity: Identity, words: &str) -> Self {
        self.tls = Some(identity);
        self.bind = format!("ssl crt {{dir}}/both.pem {words}");
        self
    }

    fn text(&self, address: SocketAddr) -> String {
        let Self { behind, front, back, bind, .. } = self;
        format!(
            "global
    log stdout format raw local0
    hard-stop-after 30s
defaults
    mode http
    log global
    log-format \"{LOGGED} %HM %HU %ST %ts.\"
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend front
    bind {address} {bind}
{front}    default_backend behind
backend behind
{back}    server one {behind}
"
        )
        .replace("{port}", &address.port().to_string())
    }
}

const LOGGED: &str = "access:";

/// A running HAProxy.
pub struct Haproxy {
    program: Program,
    port: Port,
}

impl Haproxy {
    /// Starts it, once it is ready; `None`: there is no HAProxy here, and the test is skipped.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start(config: HaproxyConfig) -> Option<Self> {
        let binary = need("haproxy")?;
        let (place, port) = (Place::new(), Port::free());
        if let Some(identity) = &config.tls {
            place.identity(identity);
        }
        let file = place.write("haproxy.conf", &config.text(port.address()));
        let mut command = Command::new(binary);
        command.args(["-W", "-db", "-S"]).arg(place.file(MASTER)).arg("-f").arg(file).stdin(Stdio::null());
        let program = Program::start("HAProxy", command, place);
        program.output().until(READY).await;
        let haproxy = Self { program, port };
        haproxy.mastered().await;
        Some(haproxy)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// All that it logs.
    #[must_use]
    pub fn log(&self) -> &Output {
        self.program.output()
    }

    /// Waits until its log says this of some request: `GET /hello 200 --`.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub async fn logged(&self, what: &str) {
        self.log().until(&format!("{LOGGED} {what}")).await;
    }

    /// Has it read its configuration again (SIGUSR2), and waits until a new worker has taken over.
    ///
    /// # Panics
    ///
    /// If HAProxy refuses.
    pub async fn reload(&self) {
        let before = self.log().count(READY);
        self.program.signal("USR2");
        self.log().until_times(READY, before + 1).await;
        self.mastered().await;
    }

    /// Waits until its master is in command. Until then, which nothing tells, it loses signals.
    async fn mastered(&self) {
        let answers = || {
            let mut master = UnixStream::connect(self.program.path().join(MASTER))?;
            master.set_read_timeout(Some(PATIENCE))?;
            master.write_all(b"show proc\n")?;
            master.read(&mut [0; 64])
        };
        let wait = async {
            while !matches!(answers(), Ok(1..)) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let came = tokio::time::timeout(PATIENCE, wait).await;
        assert!(came.is_ok(), "the master of HAProxy does not answer:\n{}", self.log().text());
    }

    /// Has it stop as soon as its connections have ended (SIGUSR1).
    pub fn soft_stop(&self) {
        self.program.signal("USR1");
    }
}

const READY: &str = "Loading success";
const MASTER: &str = "master.sock";
