//! TLS for the rows that have it: one version, one suite, one certificate, one provider of cryptography for all.
//!
//! The server makes its certificate when it starts and offers TLS 1.3 with [`SUITE`] alone. Every client trusts that
//! certificate and nothing else, and checks it.

use std::sync::Arc;

use ::adieu::transport::tls::TlsConnector as AdieuConnector;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use ureq::tls::{Certificate, RootCerts};

use crate::Error;

/// The only suite that the server offers, so that nobody talks another.
pub(crate) const SUITE: &str = "TLS13_AES_128_GCM_SHA256";

/// Who the server is.
pub(crate) struct Identity {
    /// The certificate, PEM: its own root.
    pub(crate) root: String,
    pub(crate) acceptor: TlsAcceptor,
}

impl Identity {
    pub(crate) fn generate() -> Result<Self, Error> {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([HOST.to_owned()])?;
        let key = PrivateKeyDer::from_pem_slice(signing_key.serialize_pem().as_bytes())?;
        let provider = CryptoProvider {
            cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
            ..aws_lc_rs::default_provider()
        };
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)?;
        Ok(Self { root: cert.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}

/// Whom the clients trust, as each of them wants it.
#[derive(Clone)]
pub(crate) struct Trust {
    pub(crate) adieu: AdieuConnector,
    /// For those whose TLS is tokio-rustls'.
    pub(crate) rustls: TlsConnector,
    pub(crate) reqwest: ::reqwest::Certificate,
    pub(crate) ureq: ::ureq::tls::TlsConfig,
}

impl Trust {
    pub(crate) fn in_root(pem: &str) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes())?)?;
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            adieu: AdieuConnector::builder().platform_roots(false).add_root_certificates(pem).build()?,
            rustls: TlsConnector::from(Arc::new(config)),
            reqwest: ::reqwest::Certificate::from_pem(pem.as_bytes())?,
            ureq: ::ureq::tls::TlsConfig::builder()
                .root_certs(RootCerts::new_with_certs(&[Certificate::from_pem(pem.as_bytes())?]))
                .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
                .build(),
        })
    }
}

/// What the certificate is for: everything is on this machine.
const HOST: &str = "127.0.0.1";

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn every_client_gets_the_suite_that_is_told() {
        let identity = Identity::generate().unwrap();
        let trust = Trust::in_root(&identity.root).unwrap();

        let (ours, theirs) = duplex(1 << 16);
        let (adieu, _server) =
            tokio::join!(trust.adieu.connect(HOST, ours), identity.acceptor.accept(theirs));
        assert_eq!(adieu.unwrap().session().cipher_suite, SUITE);

        let (ours, theirs) = duplex(1 << 16);
        let name = HOST.try_into().unwrap();
        let (hyper, _server) =
            tokio::join!(trust.rustls.connect(name, ours), identity.acceptor.accept(theirs));
        let suite = hyper.unwrap().get_ref().1.negotiated_cipher_suite().unwrap().suite();
        assert_eq!(suite.as_str(), Some(SUITE));
    }

    #[tokio::test]
    async fn nobody_accepts_another_certificate() {
        let (identity, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let trust = Trust::in_root(&other.root).unwrap();

        let (ours, theirs) = duplex(1 << 16);
        let (adieu, _server) =
            tokio::join!(trust.adieu.connect(HOST, ours), identity.acceptor.accept(theirs));
        assert!(adieu.is_err());

        let (ours, theirs) = duplex(1 << 16);
        let name = HOST.try_into().unwrap();
        let (hyper, _server) =
            tokio::join!(trust.rustls.connect(name, ours), identity.acceptor.accept(theirs));
        assert!(hyper.is_err());
    }
}
