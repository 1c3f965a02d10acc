//! A row of the comparison: what is asked for, and what must come back.
//!
//! Server and clients both take their facts from here, so bare TCP can count bytes instead of parsing them.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use clap::ValueEnum;
use http::header::HeaderValue;
use http::{Method, Uri};
use reqwest::Url;
use serde::Serialize;

use crate::Error;
use crate::server::Listening;
use crate::tls::{SUITE, Trust};

/// What one exchange looks like.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Row {
    /// A 128-byte body in the same write as its head.
    Small,
    /// A 16 KiB body in a segment after the head's.
    Segment,
    /// A 1 MiB body down.
    Down,
    /// A 1 MiB body up, a small answer.
    Up,
    /// As small, over TLS.
    TlsSmall,
    /// As down, over TLS.
    TlsDown,
}

/// Whether a row's bytes go through TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Security {
    Plain,
    Tls,
}

/// Whether a row's requests bring a body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sends {
    Nothing,
    Upload,
}

impl Row {
    pub(crate) fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }

    /// As it is called on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Segment => "segment",
            Self::Down => "down",
            Self::Up => "up",
            Self::TlsSmall => "tls-small",
            Self::TlsDown => "tls-down",
        }
    }

    pub(crate) fn about(self) -> String {
        let bodies = match self {
            Self::Small | Self::TlsSmall => "128-byte bodies",
            Self::Segment => "16 KiB bodies in a second segment",
            Self::Down | Self::TlsDown => "1 MiB bodies down",
            Self::Up => "1 MiB bodies up",
        };
        match self.suite() {
            None => bodies.to_owned(),
            Some(suite) => format!("{bodies} over TLS 1.3 ({suite})"),
        }
    }

    /// What everyone speaks in the rows that have TLS.
    pub(crate) fn suite(self) -> Option<&'static str> {
        match self.security() {
            Security::Plain => None,
            Security::Tls => Some(SUITE),
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Small | Self::TlsSmall => "/small",
            Self::Segment => "/segment",
            Self::Down | Self::TlsDown => "/down",
            Self::Up => "/up",
        }
    }

    pub(crate) fn security(self) -> Security {
        match self {
            Self::Small | Self::Segment | Self::Down | Self::Up => Security::Plain,
            Self::TlsSmall | Self::TlsDown => Security::Tls,
        }
    }

    pub(crate) fn sends(self) -> Sends {
        match self {
            Self::Small | Self::Segment | Self::Down | Self::TlsSmall | Self::TlsDown => Sends::Nothing,
            Self::Up => Sends::Upload,
        }
    }

    /// Length of the body that is answered.
    pub(crate) fn answer_len(self) -> usize {
        match self {
            Self::Small | Self::Up | Self::TlsSmall => 128,
            Self::Segment => 16 << 10,
            Self::Down | Self::TlsDown => 1 << 20,
        }
    }

    /// The head that is answered, shaped like nginx's.
    pub(crate) fn answer_head(self) -> String {
        format!(
            "HTTP/1.1 200 OK\r\n\
             Server: nginx/1.28.0\r\n\
             Date: Mon, 03 Aug 2026 09:41:07 GMT\r\n\
             Content-Type: application/octet-stream\r\n\
             Content-Length: {}\r\n\
             Connection: keep-alive\r\n\r\n",
            self.answer_len()
        )
    }

    /// Connections unless the command line says otherwise.
    pub(crate) fn connections(self) -> u32 {
        match self {
            Self::Small | Self::Segment | Self::TlsSmall => 50,
            Self::Down | Self::Up | Self::TlsDown => 8,
        }
    }

    /// Requests that are counted unless the command line says otherwise: what keeps a run under valgrind short.
    pub(crate) fn counted_requests(self) -> u64 {
        match self {
            Self::Small | Self::TlsSmall => 10_000,
            Self::Segment => 2_500,
            Self::Down => 200,
            // valgrind takes its time over the cipher.
            Self::TlsDown => 40,
            Self::Up => 400,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A row against one server, with everything that is the same for all requests made once.
pub(crate) struct Plan {
    pub(crate) row: Row,
    pub(crate) server: SocketAddr,
    /// In the rows that have TLS.
    pub(crate) trust: Option<Trust>,
    /// The target as it is on the wire.
    pub(crate) uri: Uri,
    /// Server and target, for clients that connect themselves.
    pub(crate) absolute: Uri,
    /// As reqwest wants it.
    pub(crate) url: Url,
    pub(crate) host: HeaderValue,
    pub(crate) user_agent: HeaderValue,
    pub(crate) accept: HeaderValue,
    pub(crate) upload: Bytes,
    /// The request as it is on the wire, body included.
    pub(crate) wire: Vec<u8>,
    /// Length of the response on the wire, head included.
    pub(crate) response_len: usize,
}

impl Plan {
    pub(crate) fn new(row: Row, listening: &Listening) -> Result<Arc<Self>, Error> {
        let (server, trust) = match row.security() {
            Security::Plain => (listening.plain, None),
            Security::Tls => (listening.tls, Some(Trust::in_root(&listening.root)?)),
        };
        Self::asking(row.path(), row, server, trust)
    }

    /// A small exchange on as many connections as there are requests: the server answers none before it has them all.
    pub(crate) fn gathering(&self, requests: u32) -> Result<Arc<Self>, Error> {
        let row = match self.row.security() {
            Security::Plain => Row::Small,
            Security::Tls => Row::TlsSmall,
        };
        Self::asking(&format!("{GATHER}{requests}"), row, self.server, self.trust.clone())
    }

    fn asking(path: &str, row: Row, server: SocketAddr, trust: Option<Trust>) -> Result<Arc<Self>, Error> {
        let absolute = match trust {
            None => format!("http://{server}{path}"),
            Some(_) => format!("https://{server}{path}"),
        };
        let upload = match row.sends() {
            Sends::Nothing => Bytes::new(),
            Sends::Upload => Bytes::from(vec![b'u'; UPLOAD_LEN]),
        };
        let mut wire = format!(
            "{} {path} HTTP/1.1\r\nhost: {server}\r\nuser-agent: {USER_AGENT}\r\naccept: {ACCEPT}\r\n",
            method(row),
        )
        .into_bytes();
        if row.sends() == Sends::Upload {
            wire.extend_from_slice(format!("content-length: {UPLOAD_LEN}\r\n").as_bytes());
        }
        wire.extend_from_slice(b"\r\n");
        wire.extend_from_slice(&upload);
        Ok(Arc::new(Self {
            row,
            server,
            trust,
            uri: path.parse()?,
            absolute: absolute.parse()?,
            url: absolute.parse()?,
            host: HeaderValue::try_from(server.to_string())?,
            user_agent: HeaderValue::from_static(USER_AGENT),
            accept: HeaderValue::from_static(ACCEPT),
            upload,
            wire,
            response_len: row.answer_head().len() + row.answer_len(),
        }))
    }

    pub(crate) fn method(&self) -> Method {
        method(self.row)
    }

    /// Whose certificate must be shown.
    pub(crate) fn host_name(&self) -> String {
        self.server.ip().to_string()
    }
}

fn method(row: Row) -> Method {
    match row.sends() {
        Sends::Nothing => Method::GET,
        Sends::Upload => Method::POST,
    }
}

/// The path of requests that are answered together; their number follows.
pub(crate) const GATHER: &str = "/gather/";

const UPLOAD_LEN: usize = 1 << 20;
const USER_AGENT: &str = "adieu-bench/0.1";
const ACCEPT: &str = "*/*";
