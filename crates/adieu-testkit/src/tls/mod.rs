//! Certificates for tests, and the TLS server that a scripted peer puts over its connections.
//!
//! An [`Authority`] issues what the client shall trust, and what it shall not. A [`TlsServer`] presents it, on every
//! connection of a peer ([`PeerBuilder::tls`](crate::peer::PeerBuilder::tls)) or from one step of a script on
//! ([`Script::start_tls`](crate::peer::Script::start_tls)); [TLS](crate::peer#tls) tells what the steps mean then.
//!
//! # Example
//!
//! A response that ends with the connection, and a close_notify that never comes: to a client this is truncation.
//!
//! ```
//! use std::io::{ErrorKind, Read, Write};
//! use std::sync::Arc;
//! use adieu_testkit::peer::{Peer, Script};
//! use adieu_testkit::tls::{Authority, TlsServer};
//! use rustls::pki_types::{CertificateDer, pem::PemObject};
//!
//! let authority = Authority::new()?;
//! let server = TlsServer::new(authority.issue(["localhost"])?);
//! let script = Script::new().read_head().send("HTTP/1.1 200 OK\r\n\r\nhal").fin();
//! let peer = Peer::builder().tls(&server).script(script).tcp()?;
//!
//! // The client: rustls over a socket of std. Put yours in its place.
//! let mut roots = rustls::RootCertStore::empty();
//! roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes())?)?;
//! let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
//! let config = rustls::ClientConfig::builder_with_provider(provider)
//!     .with_safe_default_protocol_versions()?
//!     .with_root_certificates(roots)
//!     .with_no_client_auth();
//! let session = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into()?)?;
//! let socket = std::net::TcpStream::connect(peer.address())?;
//! let mut client = rustls::StreamOwned::new(session, socket);
//!
//! client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
//! let mut answer = Vec::new();
//! let error = client.read_to_end(&mut answer).unwrap_err();
//! assert!(answer.ends_with(b"hal") && error.kind() == ErrorKind::UnexpectedEof);
//! client.conn.send_close_notify();
//! client.flush()?;
//! drop(client);
//!
//! let seen = peer.finish()?.remove(0);
//! assert_eq!(seen.handshake().unwrap().server_name.as_deref(), Some("localhost"));
//! seen.assert_close_notify_then_fin();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod identity;
mod server;
pub(crate) mod tap;

pub use identity::{Authority, Identity};
pub use server::TlsServer;
