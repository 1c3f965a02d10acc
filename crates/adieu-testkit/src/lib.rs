//! Peers to test an HTTP client against, whichever client that is.
//!
//! Most test servers are too polite to find the bugs at the end of a connection: they answer whole responses in one
//! piece and close when everything was said. The parts of this crate do what real servers do on a bad day, and
//! write down what the client did in return.
//!
//! - [`peer`]: a scripted server over real sockets, TCP or Unix. It reads a head and stalls, sends a response one byte
//!   at a time, sends FIN in the middle of a body, resets, closes with the request unread, never reads an upload. It
//!   runs on threads with blocking I/O, so that it tests async clients of every runtime and blocking ones alike.
//! - `tls` (feature of the same name): certificates for tests, and TLS for that peer, with every end that TLS has:
//!   close_notify or none, alerts, truncation, in a tunnel and in a tunnel within TLS.
//! - [`memory`]: two ends of an in-memory transport for `tokio`, with the manners of a TCP socket: half-close, reset,
//!   bounded buffers, reads cut where the test says so. It needs no socket, so a paused clock stays exact.
//! - `world` (feature of the same name): virtual time, a wire that delays and cuts, and a scripted peer, for the core
//!   of adieu itself. Every choice comes from a seed.
//!
//! # Example
//!
//! Does the client say goodbye with FIN once it is done? (The client here is three lines of `std::net`; put yours in
//! its place.)
//!
//! ```
//! use std::io::{Read, Write};
//! use adieu_testkit::peer::{Peer, Script, response};
//!
//! let hello = response(200, "hello");
//! let peer = Peer::tcp(Script::new().read_head().send_pieces(hello.clone(), 7))?;
//!
//! let mut client = std::net::TcpStream::connect(peer.address())?;
//! client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
//! let mut answer = vec![0; hello.len()];
//! client.read_exact(&mut answer)?;
//! assert_eq!(answer, hello);
//! drop(client);
//!
//! let seen = peer.finish()?;
//! assert_eq!(seen[0].requests()[0].target(), "/");
//! seen[0].assert_fin();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod ended;
pub mod memory;
pub mod peer;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "world")]
pub mod world;

pub use ended::Ended;
