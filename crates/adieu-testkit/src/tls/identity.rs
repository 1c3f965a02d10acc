//! A certificate authority for tests, and what it issues.

use std::fmt;
use std::io;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose as Usage, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate authority that nobody trusts but your test. Its keys are ECDSA P-256, which are quick to make.
///
/// ```
/// use adieu_testkit::tls::Authority;
///
/// let authority = Authority::new()?;
/// let server = authority.issue(["localhost", "127.0.0.1"])?;
/// assert!(authority.pem().starts_with("-----BEGIN CERTIFICATE-----"));
/// assert_ne!(authority.pem(), server.cert_pem());
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority with a new key.
    ///
    /// ```
    /// # use adieu_testkit::tls::Authority;
    /// assert_ne!(Authority::new()?.pem(), Authority::new()?.pem());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If no key can be made.
    pub fn new() -> io::Result<Self> {
        let key = new_key()?;
        let mut params = CertificateParams::default();
        // Each a name of its own, or a client would blame the signature rather than the issuer.
        let id: String = params.key_identifier(&key).iter().map(|byte| format!("{byte:02x}")).collect();
        params.distinguished_name = common_name(&format!("test authority {id}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(io::Error::other)?;
        Ok(Self { issuer })
    }

    /// Its certificate, for the client's roots.
    ///
    /// ```
    /// # use adieu_testkit::tls::Authority;
    /// let cacert = std::env::temp_dir().join(format!("example-ca-{}.pem", std::process::id()));
    /// std::fs::write(&cacert, Authority::new()?.pem())?;
    /// # std::fs::remove_file(&cacert)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(super) fn der(&self) -> &CertificateDer<'static> {
        self.issuer.der()
    }

    /// A certificate for these host names and IP addresses, with a key. It is good for a server and for a client.
    ///
    /// ```
    /// # use adieu_testkit::tls::Authority;
    /// let authority = Authority::new()?;
    /// let server = authority.issue(["localhost", "127.0.0.1"])?;
    /// let client = authority.issue(["user"])?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If a name cannot stand in a certificate.
    pub fn issue<N: AsRef<str>>(&self, names: impl IntoIterator<Item = N>) -> io::Result<Identity> {
        self.sign(params(names)?)
    }

    /// As [`Authority::issue`], but the certificate expired years ago.
    ///
    /// ```
    /// # use adieu_testkit::tls::{Authority, TlsServer};
    /// let server = TlsServer::new(Authority::new()?.issue_expired(["localhost"])?);
    /// # drop(server);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If a name cannot stand in a certificate.
    pub fn issue_expired<N: AsRef<str>>(&self, names: impl IntoIterator<Item = N>) -> io::Result<Identity> {
        let mut params = params(names)?;
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2001, 12, 31);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> io::Result<Identity> {
        let key = new_key()?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(io::Error::other)?;
        Ok(Identity { certificate, key })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// A certificate and its private key.
///
/// ```
/// use adieu_testkit::tls::Identity;
///
/// // Nobody vouches for this one.
/// let identity = Identity::self_signed(["localhost"])?;
/// assert!(identity.cert_pem().starts_with("-----BEGIN CERTIFICATE-----"));
/// assert!(identity.key_pem().starts_with("-----BEGIN PRIVATE KEY-----"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Identity {
    /// A certificate that is signed by nobody but itself.
    ///
    /// ```
    /// # use adieu_testkit::tls::{Identity, TlsServer};
    /// let server = TlsServer::new(Identity::self_signed(["localhost"])?);
    /// # drop(server);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If a name cannot stand in a certificate.
    pub fn self_signed<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> io::Result<Self> {
        let key = new_key()?;
        let certificate = params(names)?.self_signed(&key).map_err(io::Error::other)?;
        Ok(Self { certificate, key })
    }

    /// The certificate.
    ///
    /// ```
    /// # use adieu_testkit::tls::Identity;
    /// println!("{}", Identity::self_signed(["localhost"])?.cert_pem());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn cert_pem(&self) -> String {
        self.certificate.pem()
    }

    /// The private key, in PKCS #8.
    ///
    /// ```
    /// # use adieu_testkit::tls::Identity;
    /// println!("{}", Identity::self_signed(["localhost"])?.key_pem());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The certificate in DER, as [`Handshake::client_certificate`](crate::peer::Handshake::client_certificate) has it.
    ///
    /// ```
    /// # use adieu_testkit::tls::Identity;
    /// assert_eq!(Identity::self_signed(["localhost"])?.cert_der().first(), Some(&0x30));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn cert_der(&self) -> &[u8] {
        self.certificate.der()
    }

    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.der().clone()]
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.serialize_der().into())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

fn params<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> io::Result<CertificateParams> {
    let names: Vec<_> = names.into_iter().map(|name| name.as_ref().to_owned()).collect();
    let name = names.first().map_or("nobody", String::as_str).to_owned();
    let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
    params.distinguished_name = common_name(&name);
    params.extended_key_usages = vec![Usage::ServerAuth, Usage::ClientAuth];
    Ok(params)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn new_key() -> io::Result<KeyPair> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)
}
