//! Apache httpd with one server and one port.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Identity;
use crate::output::Output;
use crate::place::{DOCUMENTS, Place, Port};
use crate::program::Program;
use crate::skip::need;

/// What Apache is to do. In a directive `{dir}` becomes the server's directory, `{port}` its port.
#[derive(Clone, Debug, Default)]
pub struct ApacheConfig {
    directives: String,
    access_log: Option<String>,
    tls: Option<Identity>,
    files: Vec<(String, String)>,
    documents: Vec<(String, Vec<u8>)>,
}

impl ApacheConfig {
    /// A server of `/hello`, which is `hello, world`; keep-alive as Apache has it, 5 s.
    #[must_use]
    pub fn new() -> Self {
        Self::default().document("hello", "hello, world\n")
    }

    /// More directives.
    #[must_use]
    pub fn directives(mut self, directives: &str) -> Self {
        self.directives.push_str(directives);
        self.directives.push('\n');
        self
    }

    /// Has the access log go elsewhere (what `CustomLog` is told: a file and a format), instead of to
    /// [`log`](Apache::log).
    #[must_use]
    pub fn access_log(mut self, to: &str) -> Self {
        self.access_log = Some(to.to_owned());
        self
    }

    /// The port speaks TLS.
    #[must_use]
    pub fn tls(mut self, identity: Identity) -> Self {
        self.tls = Some(identity);
        self
    }

    /// A file in the server's directory, for directives to name.
    #[must_use]
    pub fn file(mut self, name: &str, text: impl Into<String>) -> Self {
        self.files.push((name.to_owned(), text.into()));
        self
    }

    /// A document to be served.
    #[must_use]
    pub fn document(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.documents.push((name.to_owned(), bytes.into()));
        self
    }

    fn text(&self, address: SocketAddr, place: &Place) -> String {
        let load =
            LOADED.map(|module| format!("LoadModule {module}_module {MODULES}/mod_{module}.so\n")).concat();
        let user = if place.is_roots() { "User www-data\nGroup www-data\n" } else { "" };
        let tls = match self.tls {
            Some(_) => {
                "SSLEngine on\nSSLCertificateFile {dir}/cert.pem\nSSLCertificateKeyFile {dir}/key.pem\n"
            }
            None => "",
        };
        let directives = &self.directives;
        let access_log = self.access_log.as_deref().unwrap_or("/dev/stdout short");
        format!(
            r#"{load}{user}{tls}
ServerRoot {{dir}}
DefaultRuntimeDir {{dir}}
PidFile {{dir}}/apache.pid
ServerName localhost
Listen {address}
DocumentRoot {{dir}}/{DOCUMENTS}
TypesConfig /dev/null
ErrorLog /dev/stderr
LogLevel info
LogFormat "{LOGGED} %m %U %>s, request %k, %X" short
CustomLog {access_log}
# Enough threads: where all are busy, Apache ends idle connections without a word.
StartServers 1
ServerLimit 2
ThreadsPerChild 32
ThreadLimit 32
MaxRequestWorkers 64
MinSpareThreads 1
MaxSpareThreads 64
<Directory {{dir}}/{DOCUMENTS}>
    Require all granted
</Directory>
{directives}"#
        )
        .replace("{port}", &address.port().to_string())
    }
}

/// What tests need of it.
const LOADED: [&str; 13] = [
    "mpm_event",
    "auth_basic",
    "authn_core",
    "authn_file",
    "authz_core",
    "authz_user",
    "env",
    "mime",
    "proxy",
    "proxy_connect",
    "proxy_http",
    "ratelimit",
    "ssl",
];
/// Where Debian has its modules.
const MODULES: &str = "/usr/lib/apache2/modules";
/// Each line of the access log begins with this, so: `access: GET /hello 200, request 0, +`. The last is `+` where the
/// connection is kept, `-` where it is not, `X` where it broke.
const LOGGED: &str = "access:";

/// A running Apache.
pub struct Apache {
    program: Program,
    binary: PathBuf,
    port: Port,
}

impl Apache {
    /// Starts it, once it is ready; `None`: there is no Apache here, and the test is skipped.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start(config: ApacheConfig) -> Option<Self> {
        let binary = need("apache2")?;
        let (place, port) = (Place::new(), Port::free());
        if let Some(identity) = &config.tls {
            place.identity(identity);
        }
        config.files.iter().for_each(|(name, text)| drop(place.write(name, text)));
        config.documents.iter().for_each(|(name, bytes)| place.document(name, bytes));
        place.write("apache.conf", &config.text(port.address(), &place));
        let mut command = command(&binary, place.path());
        command.args(["-D", "FOREGROUND"]);
        let program = Program::start("Apache", command, place);
        program.output().until(READY).await;
        Some(Self { program, binary, port })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Its directory.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.program.path().to_owned()
    }

    /// Both of its logs.
    #[must_use]
    pub fn log(&self) -> &Output {
        self.program.output()
    }

    /// Waits until its access log says this of some request: `GET /hello 200, request 0, +`.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub async fn logged(&self, what: &str) {
        self.log().until(&format!("{LOGGED} {what}")).await;
    }

    /// Has it read its configuration again (`apache2 -k graceful`), and waits until it has.
    ///
    /// # Panics
    ///
    /// If Apache refuses.
    pub async fn reload(&self) {
        let before = self.log().count(READY);
        let mut reload = command(&self.binary, self.program.path());
        let told =
            reload.args(["-k", "graceful"]).stderr(Stdio::null()).stdout(Stdio::null()).status().unwrap();
        assert!(told.success());
        self.log().until_times(READY, before + 1).await;
    }
}

const READY: &str = "resuming normal operations";

fn command(binary: &Path, folder: &Path) -> Command {
    let mut command = Command::new(binary);
    command.arg("-f").arg(folder.join("apache.conf")).stdin(Stdio::null());
    command
}
