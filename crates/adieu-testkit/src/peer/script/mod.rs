//! What the peer does on one connection, step by step.

mod step;
#[cfg(feature = "tls")]
mod tls;

use std::time::Duration;

use super::gate::Gate;
pub(super) use step::{OnEnd, Planned, Step, TlsStep};

/// What the peer does on one connection: a list of steps, and the limits they keep.
///
/// After the last step the peer reads on to the client's end, for at most [`Script::linger`], so that the log tells how
/// the client ended; then it closes. A step that goes wrong (a FIN where a head was expected, an exceeded limit) ends
/// the script, closes the connection at once, and becomes an error of [`Peer::finish`](super::Peer::finish).
///
/// ```
/// use std::time::Duration;
/// use adieu_testkit::peer::{Script, response};
///
/// // Two requests on one connection, then the server closes its side and the client has to follow suit.
/// let script = Script::new()
///     .times(2, Script::new().read_request().send(response(200, "ok")))
///     .fin()
///     .expect_fin(Duration::from_secs(1));
/// # drop(script);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Script {
    pub(super) steps: Vec<Planned>,
    pub(super) casting: Casting,
    pub(super) step_limit: Duration,
    pub(super) linger: Duration,
    pub(super) piece_pause: Duration,
    pub(super) keep: usize,
}

/// On how many connections a script is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Casting {
    Once,
    EveryFurther,
}

impl Script {
    /// A script that does nothing but read to the client's end.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script};
    /// let peer = Peer::tcp(Script::new())?;
    /// drop(std::net::TcpStream::connect(peer.address())?);
    /// peer.finish()?[0].assert_fin();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new() -> Self {
        Self {
            steps: Vec::new(),
            casting: Casting::Once,
            step_limit: DEFAULT_STEP_LIMIT,
            linger: DEFAULT_LINGER,
            piece_pause: DEFAULT_PIECE_PAUSE,
            keep: DEFAULT_KEEP,
        }
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(Planned { step, on_end: OnEnd::Fail });
        self
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

/// Reading.
impl Script {
    /// Reads a request head, up to and with its empty line, and no byte further.
    ///
    /// ```
    /// # use adieu_testkit::peer::Script;
    /// // A server that answers before it reads the body, and never reads it.
    /// let script = Script::new().read_head().send("HTTP/1.1 413 \r\nContent-Length: 0\r\n\r\n").close();
    /// # drop(script);
    /// ```
    pub fn read_head(self) -> Self {
        self.then(Step::ReadHead)
    }

    /// Reads the body of the head read last: by `Content-Length`, by chunks, or nothing if it has neither.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Script, response};
    /// let script =
    ///     Script::new().read_head().send("HTTP/1.1 100 Continue\r\n\r\n").read_body().send(response(200, "thanks"));
    /// # drop(script);
    /// ```
    pub fn read_body(self) -> Self {
        self.then(Step::ReadBody)
    }

    /// Reads a whole request, head and body, and no byte further.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Script, response};
    /// let script = Script::new().read_request().send(response(200, "ok"));
    /// # drop(script);
    /// ```
    pub fn read_request(self) -> Self {
        self.then(Step::ReadRequest)
    }

    /// Reads exactly `bytes` bytes.
    ///
    /// ```
    /// # use adieu_testkit::peer::Script;
    /// // Resets in the middle of an upload.
    /// let script = Script::new().read_head().read_exactly(1000).reset();
    /// # drop(script);
    /// ```
    pub fn read_exactly(self, bytes: u64) -> Self {
        self.then(Step::ReadExactly(bytes))
    }

    /// Reads until the client ends, by FIN or by RST. Either is right; [`Seen::ended`](super::Seen::ended) tells which.
    /// A close_notify or an alert on the way is noted, and is not the end.
    ///
    /// ```
    /// # use adieu_testkit::peer::Script;
    /// // A server that answers once the client has ended its side.
    /// let script = Script::new().read_to_end().send("HTTP/1.1 200 \r\n\r\nfarewell");
    /// # drop(script);
    /// ```
    pub fn read_to_end(self) -> Self {
        self.then(Step::ReadToEnd)
    }

    /// Reads to the client's end as [`Script::read_to_end`], and fails unless it is a FIN that comes `within` that time.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use adieu_testkit::peer::{Script, response};
    /// let script = Script::new().read_head().send(response(200, "")).fin().expect_fin(Duration::from_secs(1));
    /// # drop(script);
    /// ```
    pub fn expect_fin(self, within: Duration) -> Self {
        self.then(Step::ExpectFin(within))
    }

    /// Reads until the client resets the connection, and fails unless that comes `within` that time. A FIN before the
    /// reset is let pass.
    ///
    /// On a Unix socket a client resets by closing with unread bytes in its buffer.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use adieu_testkit::peer::Script;
    /// // An upload that its user gives up must end in RST: a FIN would pass for the end of the data.
    /// let script = Script::new().read_head().read_exactly(100).expect_reset(Duration::from_secs(1));
    /// # drop(script);
    /// ```
    pub fn expect_reset(self, within: Duration) -> Self {
        self.then(Step::ExpectReset(within))
    }

    /// Fails if any byte or end comes from the client during `time`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use adieu_testkit::peer::Script;
    /// // An `Expect: 100-continue` must hold the body back.
    /// let script = Script::new().read_head().quiet(Duration::from_millis(20));
    /// # drop(script);
    /// ```
    pub fn quiet(self, time: Duration) -> Self {
        self.then(Step::Quiet(time))
    }

    /// Reads whole requests and sends `answer` after each, until the client ends between two requests or the
    /// [step limit](Script::step_limit) passes without another request.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Script, response};
    /// let keep_alive_server = Script::new().answer_all(response(200, "ok")).repeat();
    /// # drop(keep_alive_server);
    /// ```
    pub fn answer_all(self, answer: impl Into<Vec<u8>>) -> Self {
        self.then(Step::AnswerAll(answer.into().into()))
    }
}

/// Sending.
impl Script {
    /// Sends `bytes` in one piece, as far as the kernel takes them.
    ///
    /// ```
    /// # use adieu_testkit::peer::Script;
    /// let half_a_body = Script::new().read_head().send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").fin();
    /// # drop(half_a_body);
    /// ```
    pub fn send(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.then(Step::Send(bytes.into().into()))
    }

    /// Sends `bytes` in pieces of `size` bytes, each a segment of its own, with [`Script::piece_pause`] between them.
    /// A size of 0 counts as 1.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Script, response};
    /// let byte_by_byte = Script::new().read_head().send_pieces(response(200, "hello"), 1);
    /// # drop(byte_by_byte);
    /// ```
    pub fn send_pieces(self, bytes: impl Into<Vec<u8>>, size: usize) -> Self {
        let bytes: Vec<u8> = bytes.into();
        let cuts: Vec<usize> = (size.max(1)..bytes.len()).step_by(size.max(1)).collect();
        self.then(Step::SendPieces { bytes: bytes.into(), cuts: cuts.into() })
    }

    /// Sends `bytes` cut at these offsets, each piece a segment of its own, with [`Script::piece_pause`] between them.
    /// Offsets in any order; those outside of `bytes` cut nothing.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Script, response};
    /// // Between CR and LF of the empty line.
    /// let whole = response(200, "hello");
    /// let script = Script::new().read_head().send_cut(whole.clone(), [whole.len() - 6]);
    /// # drop(script);
    /// ```
    pub fn send_cut(self, bytes: impl Into<Vec<u8>>, offsets: impl IntoIterator<Item = usize>) -> Self {
        let bytes: Vec<u8> = bytes.into();
        let mut cuts: Vec<usize> = offsets.into_iter().filter(|cut| (1..bytes.len()).contains(cut)).collect();
        cuts.sort_unstable();
        cuts.dedup();
        self.then(Step::SendPieces { bytes: bytes.into(), cuts: cuts.into() })
    }

    /// Sends `bytes` times the letter `x`, without holding them in memory.
    ///
    /// ```
    /// # use adieu_testkit::peer::Script;
    /// let gigabyte = Script::new()
    ///     .read_head()
    ///     .send("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
    ///     .send_filler(1 << 30)
    ///     .or_end();
    /// # drop(gigabyte);
    /// ```
    pub fn send_filler(self, bytes: u64) -> Self {
        self.then(Step::SendFiller(bytes))
    }
}

/// Ending the peer's side. Once [`Script::reset`] or [`Script::close`] has given the socket back, only
/// [`Script::mark`], [`Script::pause`] and [`Script::gate`] can follow.
impl Script {
    /// Sends FIN: ends the peer's side and goes on reading. Under TLS no close_notify comes before it, unless a step of
    /// its own sent one: to the client that is truncation.
    ///
    /// ```
    /// # use adieu_testkit::peer::Script;
    /// let until_close = Script::new().read_head().send("HTTP/1.1 200 OK\r\n\r\nto the end").fin();
    /// # drop(until_close);
    /// ```
    pub fn fin(self) -> Self {
        self.then(Step::Fin)
    }

    /// Says goodbye as completely as it can be said: close_notify of each TLS session, the innermost first, then FIN;
    /// goes on reading. Without TLS it is [`Script::fin`]. A session that the client or a failure has ended is passed
    /// over.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Script, response};
    /// let polite = Script::new().answer_all(response(200, "ok")).goodbye().or_end().repeat();
    /// # drop(polite);
    /// ```
    pub fn goodbye(self) -> Self {
        self.then(Step::Goodbye)
    }

    /// Sends RST and closes. A Unix socket knows no RST: there it is a [`Script::close`].
    ///
    /// ```
    /// # use adieu_testkit::peer::Script;
    /// let script = Script::new().read_head().send("HTTP/1.1 200 OK\r\nContent-Len").reset();
    /// # drop(script);
    /// ```
    pub fn reset(self) -> Self {
        self.then(Step::Reset)
    }

    /// Closes both sides at once. With bytes of the client unread, its kernel sends RST, otherwise FIN. Under TLS there
    /// is no close_notify, and only whole records count as unread: one that a step began to read is read.
    ///
    /// ```
    /// # use adieu_testkit::peer::Script;
    /// // The request stays unread: the client sees a reset.
    /// let script = Script::new().close();
    /// # drop(script);
    /// ```
    pub fn close(self) -> Self {
        self.then(Step::Close)
    }
}

/// Waiting.
impl Script {
    /// Does nothing for this long, neither reading nor sending.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use adieu_testkit::peer::{Script, response};
    /// let slow = Script::new().read_head().pause(Duration::from_millis(20)).send(response(200, "late"));
    /// # drop(slow);
    /// ```
    pub fn pause(self, time: Duration) -> Self {
        self.then(Step::Pause(time))
    }

    /// Waits until the test opens `gate`; fails if it does not within the [step limit](Script::step_limit).
    ///
    /// ```
    /// # use adieu_testkit::peer::{Gate, Script};
    /// let gate = Gate::new();
    /// let script = Script::new().read_head().gate(&gate).reset();
    /// # drop(script);
    /// ```
    pub fn gate(self, gate: &Gate) -> Self {
        self.then(Step::Gate(gate.clone()))
    }

    /// Holds the connection open without reading, until [`Peer::release`](super::Peer::release),
    /// [`Peer::finish`](super::Peer::finish), the drop of the peer, or the [step limit](Script::step_limit).
    /// Neither is an error.
    ///
    /// ```
    /// # use adieu_testkit::peer::Script;
    /// // The response never comes.
    /// let script = Script::new().read_head().stall();
    /// # drop(script);
    /// ```
    pub fn stall(self) -> Self {
        self.then(Step::Stall)
    }

    /// [Stalls](Script::stall) and then [closes](Script::close), without reading a byte at the end either. With a small
    /// [`PeerBuilder::receive_buffer`](super::PeerBuilder::receive_buffer) the client's upload gets stuck.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script};
    /// let peer = Peer::builder().receive_buffer(4096).script(Script::new().read_head().never_read()).tcp()?;
    /// # drop(std::net::TcpStream::connect(peer.address())?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn never_read(self) -> Self {
        self.stall().close()
    }

    /// Writes `name` into the log, to read off what came before it and what after. The test's own deeds get theirs by
    /// [`Peer::mark`](super::Peer::mark).
    ///
    /// A client's end is in the log when it was *read*: let the script read (`read_to_end`, `quiet`, its own end) around
    /// the mark that it is compared with.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use adieu_testkit::peer::Script;
    /// let script = Script::new().quiet(Duration::from_millis(5)).mark("closing").fin();
    /// # drop(script);
    /// ```
    pub fn mark(self, name: impl Into<String>) -> Self {
        self.then(Step::Mark(name.into().into()))
    }
}

/// Composing.
impl Script {
    /// Lets the client end, by FIN, RST, close_notify or an alert, in the middle of the step before: then the script is
    /// over, and nothing failed.
    ///
    /// ```
    /// # use adieu_testkit::peer::Script;
    /// // The client may well give up this download.
    /// let script = Script::new().read_head().send("HTTP/1.1 200 OK\r\n\r\n").send_filler(1 << 30).or_end();
    /// # drop(script);
    /// ```
    pub fn or_end(mut self) -> Self {
        if let Some(last) = self.steps.last_mut() {
            last.on_end = OnEnd::FinishScript;
        }
        self
    }

    /// Adds the steps of `script`, `count` times; its settings are not taken over.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Script, response};
    /// let three_exchanges = Script::new().times(3, Script::new().read_request().send(response(200, "ok")));
    /// # drop(three_exchanges);
    /// ```
    pub fn times(mut self, count: usize, script: Self) -> Self {
        for _ in 0..count {
            self.steps.extend_from_slice(&script.steps);
        }
        self
    }

    /// Plays this script on every further connection, also on none. Only the last script of a peer can be repeated.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Peer, Script, response};
    /// let peer = Peer::tcp(Script::new().answer_all(response(200, "ok")).repeat())?;
    /// for _ in 0..3 {
    ///     drop(std::net::TcpStream::connect(peer.address())?);
    /// }
    /// assert_eq!(peer.finish()?.len(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn repeat(mut self) -> Self {
        self.casting = Casting::EveryFurther;
        self
    }
}

/// Settings; they hold for the whole script, wherever they stand in it.
impl Script {
    /// The longest that a step may take. Default 10 s. [`Script::pause`] and the `expect` steps have their own time.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use adieu_testkit::peer::Script;
    /// let script = Script::new().step_limit(Duration::from_millis(200)).read_head();
    /// # drop(script);
    /// ```
    pub fn step_limit(mut self, limit: Duration) -> Self {
        self.step_limit = limit;
        self
    }

    /// How long the peer reads on after the last step, waiting for the client's end. Default 5 s. With zero it looks
    /// once and closes.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use adieu_testkit::peer::{Peer, Script};
    /// let peer = Peer::tcp(Script::new().linger(Duration::from_millis(10)))?;
    /// let client = std::net::TcpStream::connect(peer.address())?;
    /// peer.finish()?[0].assert_still_open();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn linger(mut self, time: Duration) -> Self {
        self.linger = time;
        self
    }

    /// How many received bytes are kept, for [`Seen::received`](super::Seen::received) and for the bodies of requests
    /// each. Default 1 MiB. Beyond it they are counted only.
    ///
    /// ```
    /// # use adieu_testkit::peer::Script;
    /// let script = Script::new().keep(16).read_request();
    /// # drop(script);
    /// ```
    pub fn keep(mut self, bytes: usize) -> Self {
        self.keep = bytes;
        self
    }

    /// Keeps no received bytes, only their count; for large uploads. Heads are still read and kept as text.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Script, response};
    /// let upload = Script::new().count_only().read_request().send(response(200, ""));
    /// # drop(upload);
    /// ```
    pub fn count_only(self) -> Self {
        self.keep(0)
    }

    /// The pause between two pieces of [`Script::send_pieces`] and [`Script::send_cut`]. Default 1 ms. It gives the
    /// client time to read the pieces one by one; with zero they may arrive together.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use adieu_testkit::peer::Script;
    /// let script = Script::new().piece_pause(Duration::ZERO).send_pieces("HTTP/1.1 200 OK\r\n\r\n", 3);
    /// # drop(script);
    /// ```
    pub fn piece_pause(mut self, pause: Duration) -> Self {
        self.piece_pause = pause;
        self
    }
}

const DEFAULT_STEP_LIMIT: Duration = Duration::from_secs(10);
const DEFAULT_LINGER: Duration = Duration::from_secs(5);
const DEFAULT_PIECE_PAUSE: Duration = Duration::from_millis(1);
const DEFAULT_KEEP: usize = 1 << 20;
