//! Certificates, good and bad, made anew for each test.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// An authority of certificates.
pub struct Pki {
    authority: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    certificate: String,
    key: String,
}

impl Pki {
    /// A new authority, known to nobody.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        // No two have the same name.
        let name: String = key.public_key_raw()[1..9].iter().map(|byte| format!("{byte:02x}")).collect();
        params.distinguished_name.push(DnType::CommonName, format!("interop authority {name}"));
        Self { authority: CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    /// The authority's own certificate, PEM.
    #[must_use]
    pub fn root(&self) -> String {
        self.authority.pem()
    }

    /// For `localhost` and `127.0.0.1`.
    #[must_use]
    pub fn server(&self) -> Identity {
        self.sign(server(&["localhost", "127.0.0.1"]))
    }

    /// For another name.
    #[must_use]
    pub fn server_named(&self, name: &str) -> Identity {
        self.sign(server(&[name]))
    }

    /// For `localhost`, and no longer valid.
    #[must_use]
    pub fn expired(&self) -> Identity {
        let mut params = server(&["localhost"]);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 2, 1);
        self.sign(params)
    }

    /// For a client.
    #[must_use]
    pub fn client(&self) -> Identity {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "interop client");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Default for Pki {
    fn default() -> Self {
        Self::new()
    }
}

impl Identity {
    /// For `localhost`, signed by itself.
    #[must_use]
    pub fn self_signed() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = server(&["localhost"]).self_signed(&key).unwrap();
        Self { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// The certificate, PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The key, PEM.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

fn server(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "interop server");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}
