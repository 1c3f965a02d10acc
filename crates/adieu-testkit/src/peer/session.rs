//! TLS over a line: the server's side of one session.
//!
//! The line below is read record by record, and the next record only when the plaintext of the one before is used up:
//! what a script did not ask for stays below, but for the rest of a record, which can only be decrypted whole.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ContentType, Error, HandshakeKind, ProtocolVersion, ServerConnection};

use super::alert::Alert;
use super::handshake::{Handshake, TlsVersion};
use super::line::{End, Layer, Line, Slice, TlsMessage};
use super::record::{Cursor, clear_alerts};
use super::seen::Event;
use super::wire::Wire;
use crate::tls::TlsServer;
use crate::tls::tap::{Overheard, disguised, overheard};

/// A TLS session and the line below it.
struct Session {
    below: Box<dyn Line>,
    tls: ServerConnection,
    state: State,
    farewell: Farewell,
    incoming: Cursor,
    /// Records that are not below yet, and how much of them is.
    outgoing: Vec<u8>,
    passed: usize,
    /// How much of the write at hand is among them.
    taken: usize,
    /// Whether a write was told of a reset; reads would see a FIN then.
    reset: Reset,
    news: VecDeque<Event>,
    scratch: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Handshaking,
    Open,
    /// The client has said close_notify; we may go on.
    HalfOpen,
    /// The client ended it, or the connection, otherwise.
    Ended(End),
    /// It failed on our side.
    Failed(String),
}

/// Whether we have said close_notify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Farewell {
    Owed,
    Said,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reset {
    No,
    Told,
}

impl Layer for TlsServer {
    fn over(&self, below: Box<dyn Line>) -> Result<Box<dyn Line>, String> {
        let tls = self.config().and_then(|config| ServerConnection::new(Arc::new(config)));
        let mut tls = tls.map_err(|error| format!("setting up TLS: {error}"))?;
        tls.set_buffer_limit(None);
        Ok(Box::new(Session {
            below,
            tls,
            state: State::Handshaking,
            farewell: Farewell::Owed,
            incoming: Cursor::default(),
            outgoing: Vec::new(),
            passed: 0,
            taken: 0,
            reset: Reset::No,
            news: VecDeque::new(),
            scratch: vec![0; SCRATCH],
        }))
    }
}

impl Line for Session {
    fn depth(&self) -> usize {
        self.below.depth() + 1
    }

    fn read(&mut self, into: &mut [u8], left: Duration) -> io::Result<Slice> {
        match &self.state {
            State::Handshaking => self.handshake(left),
            State::Open => self.read_plaintext(into, left),
            State::HalfOpen => Ok(Slice::End(End::CloseNotify)),
            State::Ended(end) => Ok(Slice::End(*end)),
            State::Failed(why) => Err(io::Error::other(why.clone())),
        }
    }

    fn read_on(&mut self, into: &mut [u8], left: Duration) -> io::Result<Slice> {
        if matches!(self.state, State::Handshaking | State::Open) {
            return self.read(into, left);
        }
        let slice = self.below.read_on(into, left)?;
        if let Slice::Bytes(bytes) = slice {
            self.news.push_back(Event::Stray { bytes: bytes as u64 });
            return Ok(Slice::Underway);
        }
        Ok(slice)
    }

    fn write(&mut self, bytes: &[u8], left: Duration) -> io::Result<Slice> {
        match &self.state {
            State::Open | State::HalfOpen => {}
            State::Ended(end) => return Ok(Slice::End(*end)),
            State::Failed(why) => return Err(io::Error::other(why.clone())),
            State::Handshaking => return Err(io::Error::other("the TLS handshake is not done")),
        }
        if self.taken == 0 {
            let chunk = bytes.get(..MAX_WRITE).unwrap_or(bytes);
            self.taken = self.tls.writer().write(chunk)?;
        }
        match self.flush(left)? {
            Slice::Bytes(_) => Ok(Slice::Bytes(std::mem::take(&mut self.taken))),
            other => Ok(other),
        }
    }

    fn flush(&mut self, left: Duration) -> io::Result<Slice> {
        self.collect()?;
        if self.passed < self.outgoing.len() {
            match self.below.write(self.outgoing.get(self.passed..).unwrap_or_default(), left)? {
                Slice::Bytes(bytes) => self.passed += bytes,
                other => return Ok(other),
            }
            if self.passed < self.outgoing.len() {
                return Ok(Slice::Underway);
            }
            self.outgoing.clear();
            self.passed = 0;
        }
        self.below.flush(left)
    }

    fn news(&mut self) -> Option<(usize, Event)> {
        self.below.news().or_else(|| Some((self.depth(), self.news.pop_front()?)))
    }

    fn is_handshaking(&self) -> bool {
        self.state == State::Handshaking
    }

    fn close_notify(&mut self) -> Option<usize> {
        let is_open = matches!(self.state, State::Open | State::HalfOpen);
        if is_open && self.farewell == Farewell::Owed {
            self.farewell = Farewell::Said;
            // Not rustls' own: after that one it counts as over for it, and a violation of the client is none it expects.
            if self.encrypt(ContentType::Alert, &[WARNING, Alert::CLOSE_NOTIFY.code()]).is_ok() {
                return Some(self.depth());
            }
        }
        self.below.close_notify()
    }

    fn queue(&mut self, message: TlsMessage) -> Result<(), String> {
        match &self.state {
            State::Open | State::HalfOpen => {}
            State::Ended(end) => return Err(format!("the client ended with {end}")),
            State::Failed(why) => return Err(why.clone()),
            State::Handshaking => return Err("the TLS handshake is not done".to_owned()),
        }
        let is_tls13 = self.tls.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        match message {
            TlsMessage::Alert(alert) => {
                self.encrypt(ContentType::Alert, &[FATAL, alert.code()]).map_err(|error| error.to_string())
            }
            TlsMessage::KeyUpdate | TlsMessage::Ticket if !is_tls13 => Err("only TLS 1.3 has it".to_owned()),
            TlsMessage::KeyUpdate => self.tls.refresh_traffic_keys().map_err(|error| error.to_string()),
            TlsMessage::Ticket => {
                self.encrypt(ContentType::Handshake, &TICKET).map_err(|error| error.to_string())
            }
        }
    }

    fn below(&mut self) -> &mut dyn Line {
        &mut *self.below
    }

    fn wire(&mut self) -> &mut Wire {
        self.below.wire()
    }

    fn into_wire(self: Box<Self>) -> Wire {
        self.below.into_wire()
    }
}

impl Session {
    fn handshake(&mut self, left: Duration) -> io::Result<Slice> {
        let slice = if self.tls.is_handshaking() { self.take_in(left)? } else { self.flush(left)? };
        match slice {
            Slice::End(end) => self.end_handshake(end),
            Slice::Bytes(_) => {
                self.state = State::Open;
                self.news.push_back(Event::Handshake(agreed(&self.tls)));
                return Ok(Slice::Underway);
            }
            Slice::Underway | Slice::Nothing => {}
        }
        Ok(slice)
    }

    fn read_plaintext(&mut self, into: &mut [u8], left: Duration) -> io::Result<Slice> {
        match self.tls.reader().read(into) {
            Ok(0) => {
                self.state = State::HalfOpen;
                self.news.push_back(Event::CloseNotify);
                Ok(Slice::End(End::CloseNotify))
            }
            Ok(bytes) => Ok(Slice::Bytes(bytes)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.take_in(left),
            Err(error) => Err(error),
        }
    }

    /// Reads on in the record at hand, or begins the next one.
    fn take_in(&mut self, left: Duration) -> io::Result<Slice> {
        // What rustls answers by itself leaves first; if it cannot, the client may still have something to say.
        if self.flush(left)? == Slice::End(End::Reset) {
            self.reset = Reset::Told;
        }
        let wanted = self.incoming.wanted().min(self.scratch.len());
        let into = self.scratch.get_mut(..wanted).unwrap_or_default();
        match self.below.read(into, left)? {
            Slice::Bytes(bytes) => {
                self.digest(bytes, left)?;
                Ok(Slice::Underway)
            }
            Slice::End(End::Fin) if self.reset == Reset::Told => Ok(Slice::End(End::Reset)),
            other => Ok(other),
        }
    }

    /// Gives rustls the first `count` bytes of the scratch space.
    fn digest(&mut self, count: usize, left: Duration) -> io::Result<()> {
        let mut bytes = self.scratch.get(..count).unwrap_or_default();
        self.incoming.advance(bytes);
        while !bytes.is_empty() && self.tls.read_tls(&mut bytes)? > 0 {}
        let outcome = self.tls.process_new_packets();
        self.hear();
        match outcome {
            Ok(_) => Ok(()),
            Err(Error::AlertReceived(alert)) => {
                self.take_alert(Alert::from(u8::from(alert)));
                Ok(())
            }
            Err(error) => self.fail(&error, left),
        }
    }

    fn take_alert(&mut self, alert: Alert) {
        let end = if alert == Alert::CLOSE_NOTIFY { End::CloseNotify } else { End::Alert(alert) };
        self.news.push_back(if end == End::CloseNotify { Event::CloseNotify } else { Event::Alert(alert) });
        match self.state {
            State::Handshaking => self.end_handshake(end),
            _ => self.state = State::Ended(end),
        }
    }

    fn end_handshake(&mut self, end: End) {
        self.state = State::Ended(end);
        self.news.push_back(Event::HandshakeFailed(format!("the client ended with {end}")));
    }

    /// The client did what TLS does not allow, or what this server does not. In a handshake it is for the next step to
    /// meet.
    fn fail(&mut self, error: &Error, left: Duration) -> io::Result<()> {
        let was_handshaking = self.is_handshaking();
        let what = if was_handshaking { "the TLS handshake failed" } else { "TLS failed" };
        let why = format!("{what}: {error}");
        self.state = State::Failed(why.clone());
        // The alert that tells the client; whether it arrives is not ours to know.
        self.flush(left)?;
        if !was_handshaking {
            return Err(io::Error::other(why));
        }
        self.news.push_back(Event::HandshakeFailed(error.to_string()));
        Ok(())
    }

    /// Encrypts one record that rustls would not send by itself.
    fn encrypt(&mut self, content: ContentType, fragment: &[u8]) -> io::Result<()> {
        disguised(content, || self.tls.writer().write_all(fragment))
    }

    /// Fetches the records that rustls has ready.
    fn collect(&mut self) -> io::Result<()> {
        self.hear();
        let from = self.outgoing.len();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.outgoing)?;
        }
        let alerts = clear_alerts(self.outgoing.get(from..).unwrap_or_default());
        self.news.extend(alerts.into_iter().map(Event::SentAlert));
        Ok(())
    }

    fn hear(&mut self) {
        self.news.extend(overheard().into_iter().map(|overheard| match overheard {
            Overheard::SentAlert(alert) => Event::SentAlert(Alert::from(alert)),
            Overheard::KeyUpdate => Event::KeyUpdate,
        }));
    }
}

fn agreed(tls: &ServerConnection) -> Handshake {
    let is_tls12 = tls.protocol_version() == Some(ProtocolVersion::TLSv1_2);
    let suite = tls.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    let first_certificate = tls.peer_certificates().and_then(|chain| chain.first());
    Handshake {
        version: if is_tls12 { TlsVersion::Tls12 } else { TlsVersion::Tls13 },
        cipher_suite: suite.unwrap_or_default(),
        resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
        server_name: tls.server_name().map(str::to_owned),
        alpn: tls.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned()),
        client_certificate: first_certificate.map(|certificate| certificate.to_vec()),
    }
}

/// A NewSessionTicket (RFC 8446, 4.6.1) that leads to no session: whoever comes back with it is given a full handshake.
const TICKET: [u8; 23] = [
    4, 0, 0, 19, // new_session_ticket, its length
    0, 0, 28, 32, // ticket_lifetime: two hours
    1, 2, 3, 4, // ticket_age_add
    1, 255, // ticket_nonce; rustls counts its own from 0
    0, 5, b'n', b'o', b'n', b'e', b'!', // ticket
    0, 0, // extensions
];

const WARNING: u8 = 1;
const FATAL: u8 = 2;
/// As much is encrypted before the next record is asked for.
const MAX_WRITE: usize = 64 * 1024;
/// More than a record can have.
const SCRATCH: usize = 20 * 1024;
