//! Bytes to HTTP/1.1 values and back, one message at a time (RFC 9112).
//!
//! | file | what it is for |
//! |---|---|
//! | `limits` | the bounds on everything a peer can send |
//! | `request` | a request head to bytes; how its body will be framed |
//! | `response` | bytes to a response head |
//! | `framing` | where a response body ends (RFC 9112 section 6.3) |
//! | `chunked` | the chunked coding, both ways (RFC 9112 section 7.1) |
//!
//! Nothing here knows of connections: whether one may be used again is the engine's verdict.

pub mod chunked;
pub mod framing;
pub mod limits;
pub mod request;
pub mod response;

use std::fmt;

/// What is wrong with the bytes of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// The head of a response cannot be read; what exactly.
    Head(&'static str),
    /// The body's coding is broken; what exactly.
    Body(&'static str),
    /// More came than a limit allows; which limit.
    TooLarge(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(what) | Self::Body(what) => f.write_str(what),
            Self::TooLarge(limit) => write!(f, "more than the limit on {limit}"),
        }
    }
}

impl std::error::Error for Malformed {}
