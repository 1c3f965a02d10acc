//! The plainest TLS client there is: rustls over a socket, or over another TLS client.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use adieu_testkit::peer::{Alert, Peer};
use adieu_testkit::tls::{Authority, Identity, TlsServer};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

pub(crate) static TLS12: &SupportedProtocolVersion = &rustls::version::TLS12;
pub(crate) static TLS13: &SupportedProtocolVersion = &rustls::version::TLS13;

/// An authority, and a server for `localhost` of it.
pub(crate) fn authority() -> (Authority, TlsServer) {
    let authority = Authority::new().unwrap();
    let server = TlsServer::new(authority.issue(["localhost"]).unwrap());
    (authority, server)
}

/// Trusts this authority, and has no certificate.
pub(crate) fn config(authority: &Authority, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    builder(authority, versions).with_no_client_auth()
}

/// Trusts this authority, and is somebody.
pub(crate) fn config_as(
    identity: &Identity,
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let chain = vec![CertificateDer::from_pem_slice(identity.cert_pem().as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes()).unwrap();
    builder(authority, versions).with_client_auth_cert(chain, key).unwrap()
}

fn builder(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
}

/// How the server ended, to this client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerEnd {
    CloseNotify,
    /// A FIN without close_notify.
    Truncated,
    Reset,
    Alert(Alert),
}

/// A TLS session and what it runs over.
pub(crate) struct TlsClient<S = TcpStream> {
    pub(crate) tls: ClientConnection,
    pub(crate) socket: S,
}

/// Connects and handshakes as a client of `localhost`.
pub(crate) fn connect(peer: &Peer, config: &Arc<ClientConfig>) -> TlsClient {
    try_connect(peer, config).unwrap()
}

/// The same, if the handshake succeeds.
pub(crate) fn try_connect(peer: &Peer, config: &Arc<ClientConfig>) -> io::Result<TlsClient> {
    let mut client = TlsClient::over(crate::client::connect(peer), config, "localhost");
    client.handshake()?;
    Ok(client)
}

impl<S: Read + Write> TlsClient<S> {
    pub(crate) fn over(socket: S, config: &Arc<ClientConfig>, name: &'static str) -> Self {
        let tls = ClientConnection::new(config.clone(), name.try_into().unwrap()).unwrap();
        Self { tls, socket }
    }

    /// An error is told after the alert that answers it has left.
    pub(crate) fn handshake(&mut self) -> io::Result<()> {
        while self.tls.is_handshaking() || self.tls.wants_write() {
            self.tls.complete_io(&mut self.socket)?;
        }
        Ok(())
    }

    pub(crate) fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Reads to the end of the server's plaintext.
    pub(crate) fn read_to_end(&mut self) -> (Vec<u8>, ServerEnd) {
        let mut all = Vec::new();
        let Err(error) = Read::read_to_end(self, &mut all) else { return (all, ServerEnd::CloseNotify) };
        (all, end_of(&error))
    }

    pub(crate) fn close_notify(&mut self) {
        self.tls.send_close_notify();
        self.flush().unwrap();
    }
}

impl TlsClient {
    /// close_notify and FIN; reading goes on.
    pub(crate) fn goodbye(&mut self) {
        self.close_notify();
        self.socket.shutdown(Shutdown::Write).unwrap();
    }
}

pub(crate) fn end_of(error: &io::Error) -> ServerEnd {
    match error.kind() {
        ErrorKind::UnexpectedEof => ServerEnd::Truncated,
        ErrorKind::ConnectionReset => ServerEnd::Reset,
        _ => match tls_error(error) {
            rustls::Error::AlertReceived(alert) => ServerEnd::Alert(Alert::from(u8::from(*alert))),
            other => panic!("{other}"),
        },
    }
}

pub(crate) fn tls_error(error: &io::Error) -> &rustls::Error {
    error.get_ref().and_then(|inner| inner.downcast_ref()).unwrap_or_else(|| panic!("{error}"))
}

impl<S: Read + Write> Read for TlsClient<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        rustls::Stream::new(&mut self.tls, &mut self.socket).read(into)
    }
}

impl<S: Read + Write> Write for TlsClient<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        rustls::Stream::new(&mut self.tls, &mut self.socket).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        rustls::Stream::new(&mut self.tls, &mut self.socket).flush()
    }
}
