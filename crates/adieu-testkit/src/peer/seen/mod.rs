//! What the peer saw on one connection, in order.

mod event;
#[cfg(feature = "tls")]
mod tls;

use std::fmt;
use std::time::Duration;

use super::request::SeenRequest;
use super::wire::Traffic;
use crate::ended::Ended;
use event::Millis;
pub use event::{Entry, Event};

/// The log of one connection. It prints as a timeline, one line per entry.
///
/// ```
/// use std::io::Write;
/// use adieu_testkit::peer::{Event, Peer, Script};
///
/// let peer = Peer::tcp(Script::new().read_exactly(5).mark("got it"))?;
/// let mut client = std::net::TcpStream::connect(peer.address())?;
/// client.write_all(b"hello")?;
/// drop(client);
///
/// let seen = peer.finish()?.remove(0);
/// let events: Vec<_> = seen.entries().iter().map(|entry| &entry.event).collect();
/// assert!(matches!(
///     events[..],
///     [Event::Received { bytes: 5 }, Event::Mark(_), Event::Fin, Event::Closed]
/// ));
/// seen.assert_received("hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Seen {
    pub(in crate::peer) connection: usize,
    pub(in crate::peer) accepted_at: Duration,
    pub(in crate::peer) entries: Vec<Entry>,
    pub(in crate::peer) left_out: u64,
    pub(in crate::peer) received: Vec<u8>,
    pub(in crate::peer) received_len: u64,
    pub(in crate::peer) sent_len: u64,
    pub(in crate::peer) traffic: Traffic,
    pub(in crate::peer) requests: Vec<SeenRequest>,
    pub(in crate::peer) requests_len: u64,
    pub(in crate::peer) over: Over,
}

/// Whether a connection is still being played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) enum Over {
    No,
    Yes,
}

impl Seen {
    pub(in crate::peer) fn new(connection: usize, accepted_at: Duration) -> Self {
        Self {
            connection,
            accepted_at,
            entries: Vec::new(),
            left_out: 0,
            received: Vec::new(),
            received_len: 0,
            sent_len: 0,
            traffic: Traffic::default(),
            requests: Vec::new(),
            requests_len: 0,
            over: Over::No,
        }
    }

    /// The number of this connection, from 0, in the order of accepting.
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new())?;
    /// std::io::Write::write_all(&mut std::net::TcpStream::connect(peer.address())?, b"hello")?;
    /// let seen = peer.finish()?.remove(0);
    /// assert_eq!(seen.connection(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn connection(&self) -> usize {
        self.connection
    }

    /// When it was accepted, since the peer started.
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new())?;
    /// std::io::Write::write_all(&mut std::net::TcpStream::connect(peer.address())?, b"hello")?;
    /// let seen = peer.finish()?.remove(0);
    /// assert!(seen.accepted_at() < std::time::Duration::from_secs(60));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn accepted_at(&self) -> Duration {
        self.accepted_at
    }

    /// The log, in order. After 4,096 entries, further bytes received and sent are only counted.
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new())?;
    /// std::io::Write::write_all(&mut std::net::TcpStream::connect(peer.address())?, b"hello")?;
    /// let seen = peer.finish()?.remove(0);
    /// assert_eq!(seen.entries().len(), 3); // the bytes, the FIN, the close
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The bytes received, heads included, cut off at [`Script::keep`](super::Script::keep).
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new())?;
    /// std::io::Write::write_all(&mut std::net::TcpStream::connect(peer.address())?, b"hello")?;
    /// let seen = peer.finish()?.remove(0);
    /// assert_eq!(seen.received(), b"hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// How many bytes were received, also beyond those kept. Under TLS it is the plaintext; see
    /// [`Seen::wire_received_len`].
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new())?;
    /// std::io::Write::write_all(&mut std::net::TcpStream::connect(peer.address())?, b"hello")?;
    /// let seen = peer.finish()?.remove(0);
    /// assert_eq!(seen.received_len(), 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn received_len(&self) -> u64 {
        self.received_len
    }

    /// How many bytes the steps sent. Under TLS it is the plaintext; see [`Seen::wire_sent_len`].
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new().send("bye").fin())?;
    /// std::io::copy(&mut std::net::TcpStream::connect(peer.address())?, &mut std::io::sink())?;
    /// assert_eq!(peer.finish()?[0].sent_len(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sent_len(&self) -> u64 {
        self.sent_len
    }

    /// How many bytes were read from the socket, the records of TLS included.
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new())?;
    /// std::io::Write::write_all(&mut std::net::TcpStream::connect(peer.address())?, b"hello")?;
    /// let seen = peer.finish()?.remove(0);
    /// assert_eq!(seen.wire_received_len(), 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wire_received_len(&self) -> u64 {
        self.traffic.received
    }

    /// How many bytes the peer gave to its kernel, the records of TLS included.
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new().send("bye").fin())?;
    /// std::io::copy(&mut std::net::TcpStream::connect(peer.address())?, &mut std::io::sink())?;
    /// assert_eq!(peer.finish()?[0].wire_sent_len(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wire_sent_len(&self) -> u64 {
        self.traffic.sent
    }

    /// The requests whose heads were read, in order; the first 1,024 of them.
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new().read_request())?;
    /// std::io::Write::write_all(&mut std::net::TcpStream::connect(peer.address())?, b"GET /a HTTP/1.1\r\n\r\n")?;
    /// assert_eq!(peer.finish()?[0].requests()[0].target(), "/a");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn requests(&self) -> &[SeenRequest] {
        &self.requests
    }

    /// How many request heads were read, also beyond those kept.
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new().read_request())?;
    /// std::io::Write::write_all(&mut std::net::TcpStream::connect(peer.address())?, b"GET /a HTTP/1.1\r\n\r\n")?;
    /// assert_eq!(peer.finish()?[0].requests_len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn requests_len(&self) -> u64 {
        self.requests_len
    }

    /// How the client ended, as far as the peer looked. A reset after a FIN counts as a reset.
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new())?;
    /// std::io::Write::write_all(&mut std::net::TcpStream::connect(peer.address())?, b"hello")?;
    /// let seen = peer.finish()?.remove(0);
    /// assert_eq!(seen.ended(), Ended::Fin);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ended(&self) -> Ended {
        if self.saw_reset() {
            Ended::Reset
        } else if self.saw_fin() {
            Ended::Fin
        } else {
            Ended::StillOpen
        }
    }

    /// Whether the client ended its side in order, whatever came after.
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new())?;
    /// std::io::Write::write_all(&mut std::net::TcpStream::connect(peer.address())?, b"hello")?;
    /// let seen = peer.finish()?.remove(0);
    /// assert!(seen.saw_fin());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn saw_fin(&self) -> bool {
        self.position(|event| *event == Event::Fin).is_some()
    }

    /// Whether the client reset the connection.
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new())?;
    /// std::io::Write::write_all(&mut std::net::TcpStream::connect(peer.address())?, b"hello")?;
    /// let seen = peer.finish()?.remove(0);
    /// assert!(!seen.saw_reset());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn saw_reset(&self) -> bool {
        self.position(|event| *event == Event::Reset).is_some()
    }

    /// Whether the client's FIN stands before the first mark of that name; false if there is no such mark.
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new().read_exactly(3).mark("three").read_to_end().mark("end"))?;
    /// std::io::Write::write_all(&mut std::net::TcpStream::connect(peer.address())?, b"hello")?;
    /// let seen = peer.finish()?.remove(0);
    /// assert!(!seen.saw_fin_before("three") && seen.saw_fin_before("end"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn saw_fin_before(&self, mark: &str) -> bool {
        self.saw_before(mark, |event| *event == Event::Fin)
    }

    /// Whether the first event for which `which` holds stands before the first mark of that name; false if either is
    /// missing.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Event, Peer, Script};
    /// let peer = Peer::tcp(Script::new().mark("start").send("bye").mark("sent"))?;
    /// drop(std::net::TcpStream::connect(peer.address())?);
    /// let seen = peer.finish()?.remove(0);
    /// assert!(seen.saw_before("sent", |event| matches!(event, Event::Sent { .. })));
    /// assert!(!seen.saw_before("start", |event| matches!(event, Event::Sent { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn saw_before(&self, mark: &str, which: impl Fn(&Event) -> bool) -> bool {
        self.position(which).zip(self.mark_position(mark)).is_some_and(|(event, mark)| event < mark)
    }

    /// How many bytes were received before the first mark of that name; `None` if there is no such mark.
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new().read_exactly(3).mark("three").read_to_end().mark("end"))?;
    /// std::io::Write::write_all(&mut std::net::TcpStream::connect(peer.address())?, b"hello")?;
    /// let seen = peer.finish()?.remove(0);
    /// assert_eq!(seen.received_before("three"), Some(3));
    /// assert_eq!(seen.received_before("end"), Some(5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn received_before(&self, mark: &str) -> Option<u64> {
        let before = self.entries.get(..self.mark_position(mark)?)?;
        Some(
            before
                .iter()
                .map(|entry| if let Event::Received { bytes } = entry.event { bytes } else { 0 })
                .sum(),
        )
    }

    /// When the first event for which `which` holds was logged, since the connection was accepted.
    ///
    /// ```
    /// # use adieu_testkit::peer::{Event, Peer, Script};
    /// let peer = Peer::tcp(Script::new().mark("hello"))?;
    /// drop(std::net::TcpStream::connect(peer.address())?);
    /// let seen = peer.finish()?.remove(0);
    /// let fin = seen.time_of(|event| matches!(event, Event::Fin)).unwrap();
    /// assert!(seen.time_of(|event| matches!(event, Event::Mark(_))).unwrap() <= fin);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn time_of(&self, which: impl Fn(&Event) -> bool) -> Option<Duration> {
        self.entries.iter().find(|entry| which(&entry.event)).map(|entry| entry.at)
    }

    /// What went otherwise than the script said, if anything did.
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new())?;
    /// std::io::Write::write_all(&mut std::net::TcpStream::connect(peer.address())?, b"hello")?;
    /// let seen = peer.finish()?.remove(0);
    /// assert_eq!(seen.failure(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn failure(&self) -> Option<&str> {
        self.entries.iter().find_map(|entry| match &entry.event {
            Event::Failed(what) => Some(what.as_str()),
            _ => None,
        })
    }

    fn position(&self, which: impl Fn(&Event) -> bool) -> Option<usize> {
        self.entries.iter().position(|entry| which(&entry.event))
    }

    fn mark_position(&self, name: &str) -> Option<usize> {
        self.position(|event| matches!(event, Event::Mark(mark) if mark == name))
    }
}

/// Assertions that print the timeline when they fail.
impl Seen {
    /// Panics unless the client ended by FIN and nothing else.
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new())?;
    /// std::io::Write::write_all(&mut std::net::TcpStream::connect(peer.address())?, b"hello")?;
    /// let seen = peer.finish()?.remove(0);
    /// seen.assert_fin();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn assert_fin(&self) {
        self.assert_ended(Ended::Fin);
    }

    /// Panics unless the client reset the connection.
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new().send("never read").mark("sent"))?;
    /// let client = std::net::TcpStream::connect(peer.address())?;
    /// peer.wait(0, Until::Mark("sent"))?;
    /// drop(client); // with bytes unread: its kernel resets
    /// peer.finish()?[0].assert_reset();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn assert_reset(&self) {
        self.assert_ended(Ended::Reset);
    }

    /// Panics if the client ended.
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new())?;
    /// let client = std::net::TcpStream::connect(peer.address())?;
    /// peer.wait(0, Until::Accepted)?.assert_still_open();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn assert_still_open(&self) {
        self.assert_ended(Ended::StillOpen);
    }

    /// Panics unless the client ended in this way.
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new())?;
    /// std::io::Write::write_all(&mut std::net::TcpStream::connect(peer.address())?, b"hello")?;
    /// let seen = peer.finish()?.remove(0);
    /// seen.assert_ended(Ended::Fin);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn assert_ended(&self, expected: Ended) {
        let ended = self.ended();
        assert!(ended == expected, "expected the client's end: {expected}, saw: {ended}\n{self}");
    }

    /// Panics unless these are all the bytes that were received.
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new())?;
    /// std::io::Write::write_all(&mut std::net::TcpStream::connect(peer.address())?, b"hello")?;
    /// let seen = peer.finish()?.remove(0);
    /// seen.assert_received("hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn assert_received(&self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        assert!(
            self.received == expected && self.received_len == expected.len() as u64,
            "expected {} bytes: {}\nsaw {} bytes: {}\n{self}",
            expected.len(),
            expected.escape_ascii(),
            self.received_len,
            self.received.escape_ascii(),
        );
    }

    /// Panics unless the client's FIN stands before the first mark of that name.
    ///
    /// ```
    /// # use adieu_testkit::{Ended, peer::{Peer, Script, Until, response}};
    /// let peer = Peer::tcp(Script::new().read_exactly(3).mark("three").read_to_end().mark("end"))?;
    /// std::io::Write::write_all(&mut std::net::TcpStream::connect(peer.address())?, b"hello")?;
    /// let seen = peer.finish()?.remove(0);
    /// seen.assert_fin_before("end");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn assert_fin_before(&self, mark: &str) {
        assert!(self.saw_fin_before(mark), "expected the client's FIN before mark {mark:?}\n{self}");
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "connection {}, accepted {} ms after the start",
            self.connection,
            Millis(self.accepted_at)
        )?;
        for entry in &self.entries {
            write!(f, "\n{entry}")?;
        }
        if self.left_out > 0 {
            write!(f, "\n  ({} more entries of bytes received and sent)", self.left_out)?;
        }
        Ok(())
    }
}
