//! What rustls says of a failure, in adieu's words: for an open connection a [`Fault`], for a handshake an [`Error`].

use std::fmt;
use std::io;

use adieu_proto::h1::TransportEnd;
use adieu_proto::lifecycle::TlsAlert;
use rustls::{CertificateError, Error as Rustls};

use crate::error::{Error, ErrorKind};

/// How TLS broke on an open connection. Carried by the `io::Error` of a read.
#[derive(Clone, Debug)]
pub(in crate::transport) enum Fault {
    /// The peer sent a fatal alert.
    Alert(TlsAlert),
    /// The peer broke the protocol, and was sent an alert.
    Broken(Rustls),
    /// The peer went on and on after the end of its TLS.
    Endless,
}

impl Fault {
    pub(super) fn of(error: Rustls) -> Self {
        match error {
            Rustls::AlertReceived(alert) => Self::Alert(TlsAlert(alert.into())),
            other => Self::Broken(other),
        }
    }

    /// What it says of the peer's side.
    pub(in crate::transport) fn end(&self) -> TransportEnd {
        match self {
            Self::Alert(alert) => TransportEnd::Alert(*alert),
            Self::Endless => TransportEnd::Broken("too many bytes after its end"),
            Self::Broken(error) => TransportEnd::Broken(match error {
                Rustls::DecryptError => "a record that does not decrypt",
                Rustls::PeerSentOversizedRecord => "a record larger than allowed",
                Rustls::InvalidMessage(_) => "a malformed record",
                Rustls::InappropriateMessage { .. } | Rustls::InappropriateHandshakeMessage { .. } => {
                    "a message out of place"
                }
                Rustls::PeerMisbehaved(_) => "a message that is not allowed",
                _ => "the session failed",
            }),
        }
    }

    pub(super) fn into_io(self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, self)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alert(alert) => write!(f, "the peer sent the TLS alert {alert}"),
            Self::Broken(error) => write!(f, "the peer broke TLS: {error}"),
            Self::Endless => f.write_str("the peer broke TLS: too many bytes after its end"),
        }
    }
}

impl std::error::Error for Fault {}

/// Why a handshake failed.
pub(super) fn handshake(error: Rustls, host: &str, first: &[u8]) -> Error {
    match error {
        Rustls::InvalidCertificate(why) => Error::new(ErrorKind::Certificate).with(certificate(&why, host)),
        Rustls::AlertReceived(alert) => {
            tls(format!("the peer refused it with the alert {}", TlsAlert(alert.into())))
        }
        Rustls::InvalidMessage(_) if speaks_http(first) => {
            tls("the peer answered in plain HTTP: this port does not speak TLS")
        }
        // Of all the types of records there are four (RFC 8446 section 5.1).
        Rustls::InvalidMessage(_) if !matches!(first, [20..=23, ..]) => {
            tls("the peer answered with something that is not TLS")
        }
        other => tls(other.to_string()),
    }
}

/// Whether this is how an HTTP response begins, as far as it is there.
fn speaks_http(first: &[u8]) -> bool {
    let begins = &b"HTTP/"[..first.len().min(5)];
    !first.is_empty() && first.starts_with(begins)
}

/// The peer or the network ended in the middle of the handshake.
pub(super) fn ended(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => tls("the peer ended the connection"),
        io::ErrorKind::ConnectionReset => tls("the peer reset the connection"),
        _ => tls(error.to_string()),
    }
}

fn tls(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Tls).with(what.into())
}

/// TLS cannot be set up.
pub(super) fn setup(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::TlsSetup).with(what.into())
}

fn certificate(why: &CertificateError, host: &str) -> String {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet".to_owned()
        }
        CertificateError::NotValidForName => format!("it is not for {host}"),
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<_> = presented.iter().map(|name| bare(name)).collect();
            match names[..] {
                [] => format!("it is not for {host}, and names nobody"),
                _ => format!("it is not for {host} but for {}", names.join(", ")),
            }
        }
        // An authority of the same name may be trusted that did not sign it.
        CertificateError::UnknownIssuer
        | CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "no authority that is trusted here has signed it (self-signed, or a private authority)".to_owned()
        }
        CertificateError::Revoked => "it was revoked".to_owned(),
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "it is the certificate of an authority (CA:TRUE), not of a server".to_owned()
        }
        other => other.to_string(),
    }
}

/// `DnsName("a.example")` without its wrapping.
fn bare(name: &str) -> &str {
    name.split_once("(\"").and_then(|(_, rest)| rest.strip_suffix("\")")).unwrap_or(name)
}
