//! nginx with one server, one port and one worker.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Identity;
use crate::output::Output;
use crate::place::{DOCUMENTS, Place, Port};
use crate::program::Program;
use crate::skip::need;

/// What nginx is to do. In a directive `{dir}` becomes the server's directory, `{port}` its port.
#[derive(Clone, Debug, Default)]
pub struct NginxConfig {
    http: String,
    server: String,
    tls: Option<Identity>,
    files: Vec<(String, String)>,
    documents: Vec<(String, Vec<u8>)>,
}

impl NginxConfig {
    /// A server of `/hello`, which is `hello, world`; keep-alive as nginx has it, 75 s.
    #[must_use]
    pub fn new() -> Self {
        Self::default().document("hello", "hello, world\n")
    }

    /// More directives of the server.
    #[must_use]
    pub fn server(mut self, directives: &str) -> Self {
        self.server.push_str(directives);
        self
    }

    /// More directives beside the server.
    #[must_use]
    pub fn http(mut self, directives: &str) -> Self {
        self.http.push_str(directives);
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
        let user = if place.is_roots() { "user root;" } else { "" };
        let (ssl, pem) = match self.tls {
            Some(_) => (" ssl", "ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem;"),
            None => ("", ""),
        };
        let Self { http, server, .. } = self;
        format!(
            "daemon off; worker_processes 1; pid {{dir}}/nginx.pid; error_log stderr info; {user}
             events {{ worker_connections 1024; }}
             http {{
                 log_format short '{LOGGED} $request_method $uri $status, done: $request_completion, '
                     'connection $connection, request $connection_requests.';
                 access_log /dev/stdout short;
                 client_body_temp_path {{dir}}/body; proxy_temp_path {{dir}}/proxy;
                 fastcgi_temp_path {{dir}}/fastcgi; uwsgi_temp_path {{dir}}/uwsgi; scgi_temp_path {{dir}}/scgi;
                 {http}
                 server {{
                     listen {address}{ssl}; listen unix:{{dir}}/{SOCKET};
                     root {{dir}}/{DOCUMENTS};
                     {pem}
                     {server}
                 }}
             }}"
        )
        .replace("{port}", &address.port().to_string())
    }
}

/// Each line of the access log begins with this, so: `access: GET /hello 200, done: OK, connection 1, request 1.`
const LOGGED: &str = "access:";
const SOCKET: &str = "nginx.sock";

/// A running nginx.
pub struct Nginx {
    program: Program,
    binary: PathBuf,
    port: Port,
}

impl Nginx {
    /// Starts it, once it is ready; `None`: there is no nginx here, and the test is skipped.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start(config: NginxConfig) -> Option<Self> {
        let binary = need("nginx")?;
        let (place, port) = (Place::new(), Port::free());
        if let Some(identity) = &config.tls {
            place.identity(identity);
        }
        config.files.iter().for_each(|(name, text)| drop(place.write(name, text)));
        config.documents.iter().for_each(|(name, bytes)| place.document(name, bytes));
        place.write("nginx.conf", &config.text(port.address(), &place));
        let program = Program::start("nginx", command(&binary, place.path()), place);
        program.output().until("start worker process ").await;
        Some(Self { program, binary, port })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The Unix socket where it listens too, without TLS.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.program.path().join(SOCKET)
    }

    /// Its directory.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.program.path().to_owned()
    }

    /// What lies under `/`.
    #[must_use]
    pub fn documents(&self) -> PathBuf {
        self.program.path().join(DOCUMENTS)
    }

    /// Both of its logs.
    #[must_use]
    pub fn log(&self) -> &Output {
        self.program.output()
    }

    /// Waits until its access log says this of some request: `GET /hello 200, done: OK`.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub async fn logged(&self, what: &str) {
        self.log().until(&format!("{LOGGED} {what}")).await;
    }

    /// Has it read its configuration again (`nginx -s reload`), and waits until new workers have taken over. The old
    /// ones close idle connections and end when the last exchange has ended: see [`retired`](Self::retired).
    ///
    /// # Panics
    ///
    /// If nginx refuses.
    pub async fn reload(&self) {
        let before = self.log().count("gracefully shutting down");
        let mut reload = command(&self.binary, self.program.path());
        let told =
            reload.args(["-s", "reload"]).stderr(Stdio::null()).stdout(Stdio::null()).status().unwrap();
        assert!(told.success());
        self.log().until_times("gracefully shutting down", before + 1).await;
    }

    /// Has it stop at once (SIGTERM), whatever is in flight.
    pub fn stop(&self) {
        self.program.signal("TERM");
    }

    /// Waits until the workers from before a reload or a stop are gone.
    ///
    /// # Panics
    ///
    /// If they stay.
    pub async fn retired(&self) {
        self.log().until("exited with code 0").await;
    }
}

fn command(binary: &Path, folder: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .args(["-e", "stderr", "-c"])
        .arg(folder.join("nginx.conf"))
        .arg("-p")
        .arg(folder)
        .stdin(Stdio::null());
    command
}
