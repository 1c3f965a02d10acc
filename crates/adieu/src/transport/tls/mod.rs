//! TLS by rustls, with its ends in sight.
//!
//! [`TlsConnector`] makes a [`TlsStream`] of any I/O; the stream is a [`Transport`](super::Transport), so a connection can
//! speak over it:
//!
//! ```no_run
//! use adieu::transport::tls::TlsConnector;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let tls = TlsConnector::new()?;
//! let tcp = tokio::net::TcpStream::connect("example.com:443").await?;
//! let stream = tls.connect("example.com", tcp).await?;
//! let (mut sender, connection) = adieu::conn::http1::handshake_on(stream).await?;
//! # Ok(())
//! # }
//! ```
//!
//! | file | what it is for |
//! |---|---|
//! | `connector` | settings, roots, the handshake and its time limit |
//! | `stream` | the records of one connection: reading, writing, how each side ended |
//! | `below` | the layer below, as rustls reads and writes it |
//! | `records` | where on the wire each record of ours ends |
//! | `fault` | what rustls says of a failure, in adieu's words |
//! | `anyone` | the verifier that accepts any certificate |

mod anyone;
mod below;
mod connector;
mod fault;
mod records;
mod stream;

pub(super) use fault::Fault;

pub use connector::{TlsBuilder, TlsConnector, TlsVersions};
pub use stream::TlsStream;
