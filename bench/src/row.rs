//! A row of the comparison: what is asked for, and what must come back.
//!
//! Server and clients both take their facts from here, so bare TCP can count bytes instead of parsing them.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use clap::ValueEnum;
use http::header::{HeaderValue, InvalidHeaderValue};
use http::{Method, Uri};
use serde::Serialize;

/// What one exchange looks like.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Row {
    /// A 128-byte body in the same write as its head.
    Small,
    /// A 16 KiB body in a segment after the head's.
    Segment,
    /// A 1 MiB body down.
    Down,
    /// A 1 MiB body up, a small answer.
    Up,
}

/// Whether a row's requests bring a body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sends {
    Nothing,
    Upload,
}

impl Row {
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Small => "128-byte bodies",
            Self::Segment => "16 KiB bodies in a second segment",
            Self::Down => "1 MiB bodies down",
            Self::Up => "1 MiB bodies up",
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Small => "/small",
            Self::Segment => "/segment",
            Self::Down => "/down",
            Self::Up => "/up",
        }
    }

    pub(crate) fn sends(self) -> Sends {
        match self {
            Self::Small | Self::Segment | Self::Down => Sends::Nothing,
            Self::Up => Sends::Upload,
        }
    }

    /// Length of the body that is answered.
    pub(crate) fn answer_len(self) -> usize {
        match self {
            Self::Small | Self::Up => 128,
            Self::Segment => 16 << 10,
            Self::Down => 1 << 20,
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
            Self::Small | Self::Segment => 50,
            Self::Down | Self::Up => 8,
        }
    }

    /// Requests that are counted unless the command line says otherwise: what keeps a run under valgrind short.
    pub(crate) fn counted_requests(self) -> u64 {
        match self {
            Self::Small => 10_000,
            Self::Segment => 2_500,
            Self::Down => 200,
            Self::Up => 400,
        }
    }
}

/// A row against one server, with everything that is the same for all requests made once.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) row: Row,
    pub(crate) server: SocketAddr,
    pub(crate) uri: Uri,
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
    pub(crate) fn new(row: Row, server: SocketAddr) -> Result<Arc<Self>, InvalidHeaderValue> {
        let upload = match row.sends() {
            Sends::Nothing => Bytes::new(),
            Sends::Upload => Bytes::from(vec![b'u'; UPLOAD_LEN]),
        };
        let mut wire = format!(
            "{} {} HTTP/1.1\r\nhost: {server}\r\nuser-agent: {USER_AGENT}\r\naccept: {ACCEPT}\r\n",
            method(row),
            row.path(),
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
            uri: Uri::from_static(row.path()),
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
}

fn method(row: Row) -> Method {
    match row.sends() {
        Sends::Nothing => Method::GET,
        Sends::Upload => Method::POST,
    }
}

const UPLOAD_LEN: usize = 1 << 20;
const USER_AGENT: &str = "adieu-bench/0.1";
const ACCEPT: &str = "*/*";
