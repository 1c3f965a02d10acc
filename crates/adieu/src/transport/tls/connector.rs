//! Settings, roots, the handshake and its time limit.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use adieu_proto::lifecycle::Phase;
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConnection, RootCertStore, SupportedProtocolVersion};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OnceCell;

use super::anyone::Anyone;
use super::fault;
use super::stream::{HandshakeFailure, TlsStream};
use crate::error::{Error, ErrorKind};
use crate::rt::{self, Runtime};
use crate::transport::{Transport, recognise};

/// How long a handshake may take where nothing else was said.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the peer's end is waited for after a handshake that failed.
const FAREWELL: Duration = Duration::from_secs(2);

/// Makes TLS connections. Cheap to clone; clones share roots and sessions.
#[derive(Clone)]
pub struct TlsConnector {
    shared: Arc<Shared>,
    handshake: Option<Duration>,
}

struct Shared {
    plan: Plan,
    config: OnceCell<Arc<ClientConfig>>,
}

/// Sets up a [`TlsConnector`]. Everything has its default; each setter says which.
#[derive(Clone, Debug)]
pub struct TlsBuilder {
    plan: Plan,
    handshake: Option<Duration>,
}

/// Which versions of TLS are offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsVersions {
    /// TLS 1.3 and 1.2.
    #[default]
    All,
    /// TLS 1.2 alone.
    Only12,
    /// TLS 1.3 alone.
    Only13,
}

#[derive(Clone, Debug)]
struct Plan {
    ready: Option<Arc<ClientConfig>>,
    trust: Trust,
    /// PEM, as it was given.
    roots: Vec<Vec<u8>>,
    /// Certificates and key, PEM.
    client: Option<(Vec<u8>, Vec<u8>)>,
    alpn: Vec<Vec<u8>>,
    versions: TlsVersions,
    resumption: Resume,
}

/// Whose certificates are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// What the platform trusts, and the roots that were added.
    Platform,
    /// The roots that were added.
    Added,
    Anyone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resume {
    Yes,
    No,
}

impl TlsConnector {
    /// The defaults: the platform's roots, TLS 1.3 and 1.2, no ALPN, 10 s for the handshake.
    ///
    /// # Errors
    ///
    /// As [`TlsBuilder::build`].
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// Starts from the defaults.
    #[must_use]
    pub fn builder() -> TlsBuilder {
        TlsBuilder {
            plan: Plan {
                ready: None,
                trust: Trust::Platform,
                roots: Vec::new(),
                client: None,
                alpn: Vec::new(),
                versions: TlsVersions::All,
                resumption: Resume::Yes,
            },
            handshake: Some(HANDSHAKE),
        }
    }

    /// Shakes hands with `host` (a name, or an IP address) over `io`. `TcpStream`, `UnixStream`, [`TlsStream`] and an
    /// upgraded connection (a tunnel) are recognised; anything else is opaque, so that of it only bytes and error kinds
    /// are known.
    ///
    /// The platform's roots are loaded with the first handshake, off the runtime. Dropping the future drops `io`. A
    /// handshake that fails tells the peer so by an alert.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Certificate`]: the peer's certificate is not accepted. [`ErrorKind::Tls`]: the handshake failed in
    /// another way. [`ErrorKind::Timeout`] with [`Phase::TlsHandshake`]: it took too long.
    /// [`ErrorKind::TlsSetup`]: the platform's roots cannot be loaded.
    /// [`ErrorKind::InvalidRequest`]: `host` is neither a name nor an address.
    pub async fn connect<T>(&self, host: &str, io: T) -> Result<TlsStream, Error>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.shake_hands(host, recognise(io)).await
    }

    /// Shakes hands with `host` over a transport of your own.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_on(&self, host: &str, transport: impl Transport) -> Result<TlsStream, Error> {
        self.shake_hands(host, Box::new(transport)).await
    }

    /// The same without ALPN: for a proxy, with which HTTP/1.1 is spoken whatever the origin speaks. Sessions and loaded
    /// roots are its own.
    pub(crate) fn without_alpn(&self) -> Self {
        let mut plan = self.shared.plan.clone();
        plan.alpn.clear();
        if let Some(ready) = &mut plan.ready
            && !ready.alpn_protocols.is_empty()
        {
            Arc::make_mut(ready).alpn_protocols.clear();
        }
        let shared = Arc::new(Shared { plan, config: OnceCell::new() });
        Self { shared, handshake: self.handshake }
    }

    pub(crate) async fn shake_hands(&self, host: &str, io: Box<dyn Transport>) -> Result<TlsStream, Error> {
        let runtime = Runtime::current().ok_or_else(|| Error::new(ErrorKind::NoRuntime))?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| {
            Error::new(ErrorKind::InvalidRequest).with(format!("{host} is no host name and no address"))
        })?;
        let config = self.config(&runtime).await?;
        let tls = ClientConnection::new(config, name).map_err(|error| fault::handshake(error, host, &[]))?;
        let mut stream = TlsStream::new(io, tls);
        let mut first = Vec::new();
        let shaken = rt::within(self.handshake, poll_fn(|cx| stream.poll_handshake(cx, &mut first))).await;
        let error = match shaken {
            Some(Ok(())) => return Ok(stream),
            Some(Err(HandshakeFailure::Io(error))) => return Err(fault::ended(&error)),
            Some(Err(HandshakeFailure::Tls(error))) => error,
            None => return Err(Error::new(ErrorKind::Timeout(Phase::TlsHandshake))),
        };
        // The alert is on its way before the caller knows; what is left is to wait for the peer to have read it.
        let mut farewell = Box::pin(rt::within(Some(FAREWELL), poll_fn(move |cx| stream.poll_farewell(cx))));
        if poll_fn(|cx| std::task::Poll::Ready(farewell.as_mut().poll(cx))).await.is_pending() {
            let rest = async move { drop(farewell.await) };
            runtime.spawn(rest);
        }
        Err(fault::handshake(error, host, &first))
    }

    async fn config(&self, runtime: &Runtime) -> Result<Arc<ClientConfig>, Error> {
        let load = || async {
            if let Some(ready) = &self.shared.plan.ready {
                return Ok(ready.clone());
            }
            let shared = self.shared.clone();
            let made = runtime.block(move || {
                // The first use of randomness may take its time; here nobody waits for this thread.
                if let Some(provider) = provider() {
                    let _ = provider.secure_random.fill(&mut [0]);
                }
                shared.plan.config()
            });
            let made = made.await;
            made.unwrap_or_else(|| Err(fault::setup("the runtime was shut down")))
        };
        self.shared.config.get_or_try_init(load).await.cloned()
    }
}

impl TlsBuilder {
    /// Whether the platform's roots are trusted. Default: yes.
    #[must_use]
    pub fn platform_roots(mut self, trusted: bool) -> Self {
        self.plan.trust = if trusted { Trust::Platform } else { Trust::Added };
        self
    }

    /// Trusts these roots, PEM, one or several; with the platform's or, where those are off, alone.
    #[must_use]
    pub fn add_root_certificates(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.plan.roots.push(pem.as_ref().to_vec());
        self
    }

    /// Shows this certificate (PEM, its chain after it) to a peer that asks for one, with its key (PEM).
    #[must_use]
    pub fn client_certificate(mut self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.plan.client = Some((chain.as_ref().to_vec(), key.as_ref().to_vec()));
        self
    }

    /// Offers these protocols by ALPN (RFC 7301), most wanted first. Default: none.
    #[must_use]
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.plan.alpn = protocols.into_iter().map(|protocol| protocol.as_ref().to_vec()).collect();
        self
    }

    /// Offers these versions of TLS. Default: 1.3 and 1.2.
    #[must_use]
    pub fn versions(mut self, versions: TlsVersions) -> Self {
        self.plan.versions = versions;
        self
    }

    /// Whether sessions are resumed; they are kept in memory. Default: yes.
    #[must_use]
    pub fn resumption(mut self, resumed: bool) -> Self {
        self.plan.resumption = if resumed { Resume::Yes } else { Resume::No };
        self
    }

    /// How long a handshake may take; `None`: as long as it likes. Default 10 s.
    #[must_use]
    pub fn handshake_timeout(mut self, limit: Option<Duration>) -> Self {
        self.handshake = limit;
        self
    }

    /// Accepts any certificate of anyone: whoever is on the path can read and change everything. For tests.
    #[must_use]
    pub fn dangerously_accept_any_certificate(mut self) -> Self {
        self.plan.trust = Trust::Anyone;
        self
    }

    /// Uses this configuration of rustls as it is. All other settings but the time limit are ignored.
    #[must_use]
    pub fn rustls_config(mut self, config: Arc<ClientConfig>) -> Self {
        self.plan.ready = Some(config);
        self
    }

    /// The connector. The platform's roots are not loaded yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TlsSetup`]: a certificate or key that was given cannot be read, or adieu was built without a provider of
    /// cryptography.
    pub fn build(self) -> Result<TlsConnector, Error> {
        if self.plan.ready.is_none() {
            self.plan.check()?;
        }
        let shared = Arc::new(Shared { plan: self.plan, config: OnceCell::new() });
        Ok(TlsConnector { shared, handshake: self.handshake })
    }
}

impl Plan {
    /// Whether all that was given can be read: so that who gave it hears of it.
    fn check(&self) -> Result<(), Error> {
        self.store()?;
        let identified = Self { trust: Trust::Anyone, roots: Vec::new(), ..self.clone() };
        identified.config().map(drop)
    }

    /// Reads what is to be read; loads what is to be loaded. May block.
    fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        let provider = provider().ok_or_else(|| {
            fault::setup(
                "no cryptography: enable the feature aws-lc-rs or ring, or give a rustls configuration",
            )
        })?;
        let versions: &[&SupportedProtocolVersion] = match self.versions {
            TlsVersions::All => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersions::Only12 => &[&rustls::version::TLS12],
            TlsVersions::Only13 => &[&rustls::version::TLS13],
        };
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = builder.with_protocol_versions(versions).map_err(unusable)?;
        let builder = match self.trust {
            Trust::Platform => {
                let verifier = Verifier::new_with_extra_roots(self.roots()?, provider).map_err(unusable)?;
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
            Trust::Added => builder.with_root_certificates(self.store()?),
            Trust::Anyone => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))),
        };
        let mut config = match &self.client {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|error| fault::setup(format!("the key of the client's certificate: {error}")))?;
                builder
                    .with_client_auth_cert(certificates(chain, "the client's certificate")?, key)
                    .map_err(unusable)?
            }
        };
        config.alpn_protocols.clone_from(&self.alpn);
        if self.resumption == Resume::No {
            config.resumption = Resumption::disabled();
        }
        Ok(Arc::new(config))
    }

    fn store(&self) -> Result<RootCertStore, Error> {
        let mut store = RootCertStore::empty();
        for root in self.roots()? {
            store.add(root).map_err(|error| fault::setup(format!("the root certificates: {error}")))?;
        }
        Ok(store)
    }

    fn roots(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let mut roots = Vec::new();
        for pem in &self.roots {
            roots.append(&mut certificates(pem, "the root certificates")?);
        }
        Ok(roots)
    }
}

fn certificates(pem: &[u8], whose: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(read) if read.is_empty() => {
            Err(fault::setup(format!("{whose}: no certificate is in there (PEM)")))
        }
        Ok(read) => Ok(read),
        Err(error) => Err(fault::setup(format!("{whose}: {error}"))),
    }
}

fn unusable(error: impl fmt::Display) -> Error {
    fault::setup(error.to_string())
}

/// The provider of cryptography; aws-lc-rs goes first.
fn provider() -> Option<Arc<CryptoProvider>> {
    #[cfg(feature = "aws-lc-rs")]
    return Some(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    return Some(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
    None
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnector").field("handshake_timeout", &self.handshake).finish_non_exhaustive()
    }
}
