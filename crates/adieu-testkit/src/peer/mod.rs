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
//! # TLS
//!
//! With the feature `tls`, a peer speaks TLS on every connection (`PeerBuilder::tls`) or from one step of a script on
//! (`Script::start_tls`), and once more inside of that, to play an HTTPS proxy and the origin behind it. The steps then
//! read and send what is inside; what lies below is told apart from it, in the script as in the log:
//!
//! | | TLS | the socket |
//! |---|---|---|
//! | the peer ends its side | `close_notify`, `alert` | [`fin`](Script::fin), [`reset`](Script::reset), [`close`](Script::close) |
//! | both, in the right order | [`goodbye`](Script::goodbye) | |
//! | the client ended its side | [`CloseNotify`](Event::CloseNotify), [`Alert`](Event::Alert) | [`Fin`](Event::Fin), [`Reset`](Event::Reset) |
//! | expecting it | `expect_close_notify`, `expect_alert` | [`expect_fin`](Script::expect_fin), [`expect_reset`](Script::expect_reset) |
//! | asserting it | `assert_close_notify_then_fin`, `assert_alert` | [`assert_fin`](Seen::assert_fin), [`assert_reset`](Seen::assert_reset) |
//!
//! A close_notify or an alert is the end of the client's bytes: a step that wanted more of them fails. The client's end
//! of the *connection* is its FIN or RST, and reading to it ([`read_to_end`](Script::read_to_end), the end of each
//! script) goes on past the end of TLS, and notes both.
//!
//! A handshake is done before the script's first step, as step 0. One that fails, because the client refuses the
//! certificate and says so by an alert, or leaves, or is refused, is no failure by itself: it is in the log, and the next
//! step that needs the session meets the end.
//!
//! TLS can only be read by whole records. The peer reads one when a step needs bytes and none are left of the record
//! before, and never more: what a step leaves of a record is kept for the next one, further records stay in the kernel.
//! So [`Script::close`] ends in RST if whole records are unread, and in FIN though the end of one is. The same holds for
//! the client: closing with unread session tickets, it resets the connection; `TlsServer::tickets` can keep them out of a
//! test.
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

mod alert;
mod builder;
mod clock;
mod error;
mod framing;
mod gate;
mod handle;
mod handshake;
mod in_thread;
mod line;
mod listen;
mod play;
mod record;
mod request;
mod script;
mod seen;
#[cfg(feature = "tls")]
mod session;
mod stage;
mod wire;

pub use alert::Alert;
pub use builder::PeerBuilder;
pub use error::PeerError;
pub use gate::Gate;
pub use handle::{Peer, Until};
pub use handshake::{Handshake, TlsVersion};
pub use request::{SeenRequest, response};
pub use script::Script;
pub use seen::{Entry, Event, Seen};
