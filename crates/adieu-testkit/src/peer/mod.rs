//! A scripted peer over real sockets: it plays the server, and writes down what the client did.
//!
//! A [`Script`] lists what the server does on one connection. A [`Peer`] listens, plays one script per accepted
//! connection, in order, and [`Peer::finish`] hands out what it saw, one [`Seen`] per connection:
//!
//! ```text
//!   Script ──┐                          ┌── Seen: log, requests, received bytes, how the client ended
//!   Script ──┼─> Peer <── connections ──┼── Seen
//!   Script ──┘   (one thread each)      └── Seen
//!                 ▲
//!                 └── the test: Gate::open, Peer::wait, Peer::mark
//! ```
//!
//! Nothing hangs: each step has a limit (10 s), a script that is over reads on to the client's end for a bounded time
//! (5 s), and what did not come is a line in the log and an error of [`Peer::finish`].
//!
//! The peer never reads further than its script says. What a step did not ask for stays in the kernel, so that
//! [`Script::close`] ends in RST with unread data and in FIN without, on every run.
//!
//! # Async clients
//!
//! The peer runs on threads of its own. [`Peer::finish`] and [`Peer::wait`] block the calling thread: on a
//! single-threaded runtime they would block the client too, so use [`Peer::finish_async`] and [`Peer::wait_async`]
//! there; these need no particular runtime.
//!
//! Under tokio's *paused* clock, time jumps to the next timer whenever every task waits, and waiting for a socket is
//! waiting: a client's timeouts fire before the peer could answer. Call the blocking methods in `spawn_blocking`, which
//! holds the clock, or use the [in-memory transport](crate::memory).
//!
//! # Example
//!
//! A keep-alive server that closes the idle connection when the test says so:
//!
//! ```
//! use std::io::{Read, Write};
//! use adieu_testkit::peer::{Gate, Peer, Script, response};
//!
//! let idle_close = Gate::new();
//! let script = Script::new().read_request().send(response(200, "one")).gate(&idle_close).mark("closing").fin();
//! let peer = Peer::tcp(script)?;
//!
//! let mut client = std::net::TcpStream::connect(peer.address())?;
//! client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
//! let mut answer = vec![0; response(200, "one").len()];
//! client.read_exact(&mut answer)?;
//! idle_close.open();
//! assert_eq!(client.read(&mut answer)?, 0);
//! drop(client);
//!
//! let seen = peer.finish()?;
//! assert!(!seen[0].saw_fin_before("closing"));
//! seen[0].assert_fin();
//! println!("{}", seen[0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! which prints
//!
//! ```text
//! connection 0, accepted 0.231 ms after the start
//!      0.042 ms  received 35 bytes
//!      0.047 ms  sent 41 bytes
//!      0.163 ms  mark "closing"
//!      0.170 ms  sent FIN
//!      0.215 ms  client sent FIN
//!      0.221 ms  closed
//! ```

mod builder;
mod clock;
mod error;
mod framing;
mod gate;
mod handle;
mod in_thread;
mod line;
mod listen;
mod play;
mod request;
mod script;
mod seen;
mod stage;

pub use builder::PeerBuilder;
pub use error::PeerError;
pub use gate::Gate;
pub use handle::{Peer, Until};
pub use request::{SeenRequest, response};
pub use script::Script;
pub use seen::{Entry, Event, Seen};
