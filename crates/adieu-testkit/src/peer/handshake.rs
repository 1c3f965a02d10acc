//! What a TLS handshake came to.

use std::fmt;

/// What was agreed in a TLS handshake, as the server saw it.
///
/// ```
/// use adieu_testkit::peer::{Event, Handshake};
///
/// fn first_of(events: &[Event]) -> Option<&Handshake> {
///     events.iter().find_map(|event| if let Event::Handshake(handshake) = event { Some(handshake) } else { None })
/// }
/// assert!(first_of(&[Event::CloseNotify]).is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handshake {
    /// The version of TLS.
    pub version: TlsVersion,
    /// The cipher suite, as rustls names it.
    pub cipher_suite: String,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The name in the client's SNI, if it sent one.
    pub server_name: Option<String>,
    /// The protocol agreed on by ALPN, if any was.
    pub alpn: Option<String>,
    /// The client's own certificate in DER, if it gave one.
    pub client_certificate: Option<Vec<u8>>,
}

/// A version of TLS.
///
/// ```
/// assert_eq!(adieu_testkit::peer::TlsVersion::Tls13.to_string(), "TLSv1.3");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        })
    }
}

impl fmt::Display for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.resumed { "resumed" } else { "full" };
        write!(f, "{}, {}, {kind}", self.version, self.cipher_suite)?;
        if let Some(name) = &self.server_name {
            write!(f, ", server name {name}")?;
        }
        if let Some(alpn) = &self.alpn {
            write!(f, ", ALPN {alpn}")?;
        }
        if self.client_certificate.is_some() {
            f.write_str(", client certificate")?;
        }
        Ok(())
    }
}
