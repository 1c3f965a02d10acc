//! The server's side of TLS: what it presents, and what it asks for.

use std::fmt;
use std::sync::Arc;

use rustls::server::{
    NoServerSessionStorage, ServerSessionMemoryCache, StoresServerSessions, WebPkiClientVerifier,
};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::identity::{Authority, Identity};
use super::tap;

/// The server's side of TLS on a connection of a scripted peer.
///
/// A clone shares the identity and the sessions that can be resumed.
///
/// ```
/// use adieu_testkit::peer::{Peer, Script, response};
/// use adieu_testkit::tls::{Authority, TlsServer};
///
/// let authority = Authority::new()?;
/// let server = TlsServer::new(authority.issue(["localhost", "127.0.0.1"])?).only_tls12().alpn(["http/1.1"]);
/// let peer = Peer::builder().tls(&server).script(Script::new().answer_all(response(200, "ok")).repeat()).tcp()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct TlsServer {
    identity: Arc<Identity>,
    versions: &'static [&'static SupportedProtocolVersion],
    alpn: Vec<Vec<u8>>,
    tickets: usize,
    sessions: Arc<dyn StoresServerSessions>,
    clients: Clients,
}

/// Whether clients show a certificate.
#[derive(Clone)]
enum Clients {
    NotAsked,
    Asked(Arc<RootCertStore>),
    Required(Arc<RootCertStore>),
}

impl TlsServer {
    /// A server of TLS 1.2 and 1.3 that presents `identity`, resumes sessions, and asks the client for nothing.
    ///
    /// ```
    /// # use adieu_testkit::tls::{Identity, TlsServer};
    /// let server = TlsServer::new(Identity::self_signed(["localhost"])?);
    /// # drop(server);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(identity: Identity) -> Self {
        Self {
            identity: Arc::new(identity),
            versions: rustls::ALL_VERSIONS,
            alpn: Vec::new(),
            tickets: DEFAULT_TICKETS,
            sessions: ServerSessionMemoryCache::new(MAX_SESSIONS),
            clients: Clients::NotAsked,
        }
    }

    /// Speaks TLS 1.2 only.
    ///
    /// ```
    /// # use adieu_testkit::tls::{Identity, TlsServer};
    /// let server = TlsServer::new(Identity::self_signed(["localhost"])?).only_tls12();
    /// # drop(server);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn only_tls12(mut self) -> Self {
        self.versions = ONLY_TLS12;
        self
    }

    /// Speaks TLS 1.3 only.
    ///
    /// ```
    /// # use adieu_testkit::tls::{Identity, TlsServer};
    /// let server = TlsServer::new(Identity::self_signed(["localhost"])?).only_tls13();
    /// # drop(server);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn only_tls13(mut self) -> Self {
        self.versions = ONLY_TLS13;
        self
    }

    /// Accepts these protocols by ALPN, the first one liked best. A client that offers others only is refused with the
    /// alert no_application_protocol; one that offers none is served. Default: ALPN is ignored.
    ///
    /// ```
    /// # use adieu_testkit::tls::{Identity, TlsServer};
    /// let server = TlsServer::new(Identity::self_signed(["localhost"])?).alpn(["h2", "http/1.1"]);
    /// # drop(server);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(|protocol| protocol.as_ref().to_vec()).collect();
        self
    }

    /// How many session tickets follow a TLS 1.3 handshake. Default 2. They are sent before the handshake counts as done,
    /// so that they lie before a client that goes idle then; for more of them later there is
    /// [`Script::ticket`](crate::peer::Script::ticket).
    ///
    /// ```
    /// # use adieu_testkit::tls::{Identity, TlsServer};
    /// let server = TlsServer::new(Identity::self_signed(["localhost"])?).tickets(0);
    /// # drop(server);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn tickets(mut self, count: usize) -> Self {
        self.tickets = count;
        self
    }

    /// Resumes no session: every handshake is a full one, and no tickets are sent.
    ///
    /// ```
    /// # use adieu_testkit::tls::{Identity, TlsServer};
    /// let server = TlsServer::new(Identity::self_signed(["localhost"])?).no_resumption();
    /// # drop(server);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn no_resumption(mut self) -> Self {
        self.sessions = Arc::new(NoServerSessionStorage {});
        self
    }

    /// Refuses a client that has no certificate of this authority.
    ///
    /// ```
    /// # use adieu_testkit::tls::{Authority, TlsServer};
    /// let authority = Authority::new()?;
    /// let server = TlsServer::new(authority.issue(["localhost"])?).require_client_certificate(&authority);
    /// let client = authority.issue(["user"])?;
    /// # drop((server, client));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn require_client_certificate(mut self, authority: &Authority) -> Self {
        self.clients = Clients::Required(roots(authority));
        self
    }

    /// Asks the client for a certificate of this authority, and takes none for an answer.
    ///
    /// ```
    /// # use adieu_testkit::tls::{Authority, TlsServer};
    /// let authority = Authority::new()?;
    /// let server = TlsServer::new(authority.issue(["localhost"])?).request_client_certificate(&authority);
    /// # drop(server);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn request_client_certificate(mut self, authority: &Authority) -> Self {
        self.clients = Clients::Asked(roots(authority));
        self
    }

    /// The same for rustls, with ciphers that can be tapped.
    pub(crate) fn config(&self) -> Result<ServerConfig, rustls::Error> {
        let provider = tap::provider();
        let verifier = |roots: &Arc<RootCertStore>| {
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
        };
        let verifier = match &self.clients {
            Clients::NotAsked => Ok(WebPkiClientVerifier::no_client_auth()),
            Clients::Asked(roots) => verifier(roots).allow_unauthenticated().build(),
            Clients::Required(roots) => verifier(roots).build(),
        };
        let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.identity.chain(), self.identity.key())?;
        config.alpn_protocols.clone_from(&self.alpn);
        config.send_tls13_tickets = self.tickets;
        config.session_storage = self.sessions.clone();
        Ok(config)
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer").field("versions", &self.versions).finish_non_exhaustive()
    }
}

fn roots(authority: &Authority) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates([authority.der().clone()]);
    Arc::new(roots)
}

static ONLY_TLS12: &[&SupportedProtocolVersion] = &[&TLS12];
static ONLY_TLS13: &[&SupportedProtocolVersion] = &[&TLS13];
const DEFAULT_TICKETS: usize = 2;
const MAX_SESSIONS: usize = 1024;
