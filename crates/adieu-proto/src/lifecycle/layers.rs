//! The layers of a connection: how TLS was agreed upon, and what each layer said at its end.

use std::fmt;

use super::{ConnectionId, Signals};

/// What a TLS handshake agreed upon. Names are those of the standards.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TlsSession {
    /// The version: `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, as `TLS13_AES_256_GCM_SHA384`.
    pub cipher_suite: String,
    /// The protocol agreed upon by ALPN (RFC 7301), if any was.
    pub alpn: Option<String>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}

/// One layer of a connection, and what each side said of its end there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LayerReport {
    /// Which layer.
    pub layer: Layer,
    /// The connection that is the tunnel, for [`Layer::Tunnel`].
    pub connection: Option<ConnectionId>,
    /// What we said there.
    pub sent: Signals,
    /// What the peer said there.
    pub received: Signals,
}

/// What a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Layer {
    /// TLS.
    Tls,
    /// A connection that was upgraded or is a CONNECT tunnel; the layers below it are those of that connection.
    Tunnel,
    /// TCP.
    Tcp,
    /// A Unix socket.
    Unix,
    /// Any other I/O.
    Other,
}

impl TlsSession {
    /// A full handshake without ALPN.
    #[must_use]
    pub fn new(version: &'static str, cipher_suite: impl Into<String>) -> Self {
        Self { version, cipher_suite: cipher_suite.into(), alpn: None, resumed: false }
    }
}

impl LayerReport {
    /// A layer on which nothing was said yet.
    #[must_use]
    pub fn new(layer: Layer) -> Self {
        Self { layer, connection: None, sent: Signals::default(), received: Signals::default() }
    }
}

impl fmt::Display for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.version, self.cipher_suite)?;
        if let Some(alpn) = &self.alpn {
            write!(f, " {alpn}")?;
        }
        if self.resumed { f.write_str(" resumed") } else { Ok(()) }
    }
}

impl fmt::Display for LayerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.layer)?;
        if let Some(connection) = self.connection {
            write!(f, " {connection}")?;
        }
        write!(f, ": sent {}, received {}", self.sent, self.received)
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tls => "TLS",
            Self::Tunnel => "tunnel",
            Self::Tcp => "TCP",
            Self::Unix => "Unix socket",
            Self::Other => "I/O",
        })
    }
}
