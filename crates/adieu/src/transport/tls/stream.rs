//! The records of one connection: reading, writing, and how each side ended.

use std::fmt;
use std::io::{self, BufRead, IoSlice, Write};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use adieu_proto::fate::{Receipt, Receipts};
use adieu_proto::lifecycle::{Address, Layer, LayerReport, Signal, TlsSession};
use bytes::{Buf, BytesMut};
use rustls::{ClientConnection, HandshakeKind, IoState, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::below::{Below, Counting, Noting, poll_below};
use super::fault::Fault;
use super::records::Records;
use crate::transport::{HalfClose, Peek, PeerEnd, ResetArmed, Transport};

/// rustls takes so much at a time; a peer that fills it is read in larger pieces.
const SMALL_READ: usize = 4096;
/// And these are the larger pieces.
const LARGE_READ: usize = 64 * 1024;
/// So many bytes may follow the end of the peer's TLS before its FIN.
const MOST_AFTER_END: usize = 256 * 1024;

/// TLS over another transport; made by [`TlsConnector`](super::TlsConnector).
///
/// A read of nothing is the peer's close_notify; reading goes on to the FIN, and
/// [`peer_end`](Transport::peer_end) tells which of the two it was. A FIN without close_notify is an error
/// (`UnexpectedEof`): what came before may be cut short.
/// `poll_shutdown` flushes, sends close_notify, then ends the layer below. Dropped, it says nothing.
pub struct TlsStream {
    io: Box<dyn Transport>,
    tls: ClientConnection,
    session: TlsSession,
    records: Records,
    /// Read ahead of rustls.
    incoming: BytesMut,
    pace: Pace,
    ours: Ours,
    /// Whether a writer waits for the layer below: then it is the one to hand over what waits.
    writer: Writer,
    theirs: Theirs,
    /// Whether a fatal alert of ours took the place of close_notify.
    alerted: Alerted,
    /// Bytes that came after the end of the peer's TLS.
    after_end: usize,
    /// A reset that a push for a reader was told of, and that no read will be.
    reset: Option<io::Error>,
    /// A failure behind a write of which something was taken.
    failed: Option<io::Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alerted {
    Yes,
    No,
}

/// Our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ours {
    Open,
    /// Our last record (close_notify, unless an alert was sent) waits to be taken.
    Ending,
    /// The layer below took it.
    Ended,
}

/// Who is called when the layer below takes more. It keeps one waker, so a reader beside a writer must not replace it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    Waiting,
    Away,
}

/// The peer's side.
#[derive(Debug)]
enum Theirs {
    Open,
    /// close_notify came: to be told.
    Notified,
    /// It broke TLS or sent an alert: to be told.
    Faulty(Fault),
    /// TLS has ended, in order or not; only the FIN is still to come.
    AwaitingFin(Order),
    /// FIN.
    Ended(Order),
}

/// Whether the peer's TLS ended by close_notify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Yes,
    No,
}

/// How a peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// Little at a time: rustls reads by itself.
    Small,
    /// Much: large reads, from which rustls is fed.
    Large,
}

/// Why a handshake failed.
pub(super) enum HandshakeFailure {
    Tls(rustls::Error),
    Io(io::Error),
}

impl TlsStream {
    /// Over `io`, before the handshake.
    pub(super) fn new(io: Box<dyn Transport>, tls: ClientConnection) -> Self {
        let session = TlsSession::new("", "");
        Self {
            io,
            tls,
            session,
            records: Records::default(),
            incoming: BytesMut::new(),
            pace: Pace::Small,
            ours: Ours::Open,
            writer: Writer::Away,
            theirs: Theirs::Open,
            alerted: Alerted::No,
            after_end: 0,
            reset: None,
            failed: None,
        }
    }

    /// What the handshake agreed upon.
    #[must_use]
    pub fn session(&self) -> &TlsSession {
        &self.session
    }

    /// Shakes hands. `first` gets the first bytes of the peer.
    pub(super) fn poll_handshake(
        &mut self,
        cx: &mut Context<'_>,
        first: &mut Vec<u8>,
    ) -> Poll<Result<(), HandshakeFailure>> {
        while self.tls.is_handshaking() {
            // A peer that takes nothing more may have said why: that is read before the failure is told.
            let refused = match self.poll_push_and_flush(cx) {
                Poll::Ready(Err(error)) => Some(error),
                _ => None,
            };
            let below = Below { io: &mut *self.io, cx };
            let failed = match self.tls.read_tls(&mut Noting { below, first }) {
                Ok(0) => Some(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => None,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && refused.is_none() => {
                    return Poll::Pending;
                }
                Err(error) => Some(error),
            };
            if let Some(failed) = failed {
                return Poll::Ready(Err(HandshakeFailure::Io(refused.unwrap_or(failed))));
            }
            let state = self.tls.process_new_packets().map_err(HandshakeFailure::Tls)?;
            if state.peer_has_closed() {
                self.theirs = Theirs::Notified;
            }
        }
        ready!(self.poll_push_and_flush(cx)).map_err(HandshakeFailure::Io)?;
        self.session = session_of(&self.tls);
        Poll::Ready(Ok(()))
    }

    /// After a failure of the handshake: the alert that rustls has for it, our end, then the peer's.
    pub(super) fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ours != Ours::Ended {
            ready!(self.poll_push_and_flush(cx))?;
            ready!(Pin::new(&mut *self.io).poll_shutdown(cx))?;
            self.ours = Ours::Ended;
        }
        self.poll_fin(cx)
    }

    /// Hands all records that wait to the layer below.
    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            let mut below = Below { io: &mut *self.io, cx };
            match self.tls.write_tls(&mut below) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(bytes) => self.records.took(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The same, and whatever that layer holds back.
    fn poll_push_and_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_push(cx))?;
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    /// The same, for a reader: an alert, or an answer to the peer. A writer that waits hands it over with its own, and a
    /// failure is told to the next.
    fn push_for_reader(&mut self, cx: &mut Context<'_>) {
        if self.tls.wants_write() && self.writer == Writer::Away {
            match self.poll_push_and_flush(cx) {
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                    self.reset = Some(error);
                }
                _ => {}
            }
        }
    }

    /// The same, for a writer.
    fn push_for_writer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        let pushed = self.poll_push(cx);
        self.writer = if pushed.is_pending() { Writer::Waiting } else { Writer::Away };
        pushed
    }

    /// The same for records that were just made of `plain` bytes.
    fn push_first(&mut self, cx: &mut Context<'_>, plain: usize) -> io::Result<()> {
        let below = Below { io: &mut *self.io, cx };
        let written = self.tls.write_tls(&mut Counting { below, records: &mut self.records, plain });
        match written {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(bytes) => {
                self.records.took(bytes);
                // Something of it is out, so that it counts as taken: what fails from here on, the next write is told.
                if let Poll::Ready(Err(error)) = self.push_for_writer(cx) {
                    self.failed = Some(error);
                }
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.writer = Writer::Waiting;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Gives what is decrypted.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        while buffer.remaining() > 0 {
            let mut reader = self.tls.reader();
            let Ok(chunk) = reader.fill_buf() else { break };
            let bytes = chunk.len().min(buffer.remaining());
            if bytes == 0 {
                break;
            }
            buffer.put_slice(&chunk[..bytes]);
            reader.consume(bytes);
        }
    }

    /// Takes more from below and decrypts it.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.push_for_reader(cx);
        if self.incoming.is_empty() && self.pace == Pace::Large {
            self.incoming.reserve(LARGE_READ);
            match poll_read_buf(Pin::new(&mut *self.io), cx, &mut self.incoming) {
                Poll::Ready(Ok(bytes)) if bytes >= SMALL_READ => {}
                Poll::Ready(read) => {
                    self.pace = Pace::Small;
                    read?;
                }
                // It may be for long: nothing is kept for a peer that is silent.
                Poll::Pending => {
                    self.incoming = BytesMut::new();
                    return Poll::Pending;
                }
            }
            if self.incoming.is_empty() && self.io.peer_end() != PeerEnd::CloseNotify {
                self.theirs = Theirs::Ended(Order::No);
                return Poll::Ready(Ok(()));
            }
        }
        let read = if self.incoming.is_empty() {
            self.tls.read_tls(&mut Below { io: &mut *self.io, cx })
        } else {
            self.feed()
        };
        match read {
            Ok(0) => self.theirs = Theirs::Ended(Order::No),
            Ok(bytes) if bytes >= SMALL_READ => self.pace = Pace::Large,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        }
        self.decrypt(cx);
        Poll::Ready(Ok(()))
    }

    /// Gives rustls some of what was read ahead.
    fn feed(&mut self) -> io::Result<usize> {
        let bytes = self.tls.read_tls(&mut &self.incoming[..])?;
        self.incoming.advance(bytes);
        if self.incoming.is_empty() && self.pace == Pace::Small {
            self.incoming = BytesMut::new();
        }
        Ok(bytes)
    }

    fn decrypt(&mut self, cx: &mut Context<'_>) {
        match self.process() {
            Ok(state) if state.peer_has_closed() => self.theirs = Theirs::Notified,
            Ok(_) => {}
            Err(error) => {
                let fault = Fault::of(error);
                if matches!(fault, Fault::Broken(_)) && self.ours == Ours::Open {
                    self.alerted = Alerted::Yes;
                }
                self.theirs = Theirs::Faulty(fault);
            }
        }
        self.push_for_reader(cx);
    }

    /// Has rustls look at what was read. In debug builds it asserts that no alert follows our close_notify, and a peer
    /// that breaks the protocol then makes it want one (seen in 0.23.46): that must end no more than the connection.
    fn process(&mut self) -> Result<IoState, rustls::Error> {
        let tls = &mut self.tls;
        if self.ours == Ours::Open {
            return tls.process_new_packets();
        }
        let looked = std::panic::catch_unwind(AssertUnwindSafe(|| tls.process_new_packets()));
        looked.unwrap_or_else(|_| Err(rustls::Error::General("broken after our close_notify".to_owned())))
    }

    /// Reads on to the FIN after the peer's TLS has ended.
    fn poll_fin(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.incoming = BytesMut::new();
        let mut scratch = [0; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            ready!(poll_below(&mut *self.io, cx, &mut buffer))?;
            let bytes = buffer.filled().len();
            if bytes == 0 {
                return Poll::Ready(Ok(()));
            }
            self.after_end += bytes;
            if self.after_end > MOST_AFTER_END {
                return Poll::Ready(Err(Fault::Endless.into_io()));
            }
        }
    }
}

/// What rustls tells of a handshake that is over.
fn session_of(tls: &ClientConnection) -> TlsSession {
    let version = match tls.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLS",
    };
    let suite = tls.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    let mut session = TlsSession::new(version, suite.unwrap_or("unknown"));
    session.alpn = tls.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
    session.resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
    session
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            this.give(buffer);
            // What was read ahead costs no system call.
            while buffer.remaining() > 0 && !this.incoming.is_empty() && matches!(this.theirs, Theirs::Open) {
                if this.feed()? == 0 {
                    break;
                }
                this.decrypt(cx);
                this.give(buffer);
            }
            if buffer.filled().len() > before {
                this.records.answered();
                return Poll::Ready(Ok(()));
            }
            match this.theirs {
                Theirs::Open => ready!(this.poll_more(cx))?,
                Theirs::Notified => {
                    this.theirs = Theirs::AwaitingFin(Order::Yes);
                    return Poll::Ready(Ok(()));
                }
                Theirs::Faulty(_) => {
                    let faulty = std::mem::replace(&mut this.theirs, Theirs::AwaitingFin(Order::No));
                    let Theirs::Faulty(fault) = faulty else { continue };
                    return Poll::Ready(Err(fault.into_io()));
                }
                Theirs::AwaitingFin(order) => {
                    ready!(this.poll_fin(cx))?;
                    this.theirs = Theirs::Ended(order);
                }
                Theirs::Ended(order) => {
                    let reset = this.reset.take();
                    let failed =
                        || this.failed.take_if(|error| error.kind() == io::ErrorKind::ConnectionReset);
                    return Poll::Ready(match (reset.or_else(failed), order) {
                        (Some(reset), _) => Err(reset),
                        (None, Order::Yes) => Ok(()),
                        (None, Order::No) => Err(io::Error::new(
                            io::ErrorKind::UnexpectedEof,
                            "the peer ended without close_notify: what it sent may be cut short",
                        )),
                    });
                }
            }
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    /// Takes as much as a few records hold, once all that was taken before was handed on.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Theirs::Faulty(fault) = &self.theirs {
            return Poll::Ready(Err(fault.clone().into_io()));
        }
        if self.ours != Ours::Open || matches!(self.theirs, Theirs::AwaitingFin(Order::No)) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(self.push_for_writer(cx))?;
        let taken = match slices {
            [only] => self.tls.writer().write(only)?,
            several => self.tls.writer().write_vectored(several)?,
        };
        if taken > 0 {
            self.push_first(cx, taken)?;
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.push_for_writer(cx))?;
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ours == Ours::Open {
            self.ours = Ours::Ending;
            if self.alerted == Alerted::No {
                self.tls.send_close_notify();
            }
        }
        if self.ours == Ours::Ending {
            ready!(self.push_for_writer(cx))?;
            ready!(Pin::new(&mut *self.io).poll_flush(cx))?;
            // From here on that layer is being shut down, and nothing is flushed any more.
            self.ours = Ours::Ended;
        }
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }
}

impl Transport for TlsStream {
    fn peer_address(&self) -> Option<Address> {
        self.io.peer_address()
    }

    fn local_address(&self) -> Option<Address> {
        self.io.local_address()
    }

    fn peek(&self) -> Peek {
        self.io.peek()
    }

    fn peer_end(&self) -> PeerEnd {
        match self.theirs {
            Theirs::AwaitingFin(Order::Yes) => PeerEnd::CloseNotify,
            Theirs::Ended(Order::No) | Theirs::AwaitingFin(Order::No) => PeerEnd::BareFin,
            _ => PeerEnd::Fin,
        }
    }

    fn unacknowledged(&self) -> Option<u64> {
        self.io.unacknowledged()
    }

    fn arm_reset(&self) -> ResetArmed {
        self.io.arm_reset()
    }

    /// TLS 1.3 has two sides that end each for itself; in TLS 1.2 a close_notify obliges the peer to end at once
    /// (RFC 8446 section 6.1, RFC 5246 section 7.2.1).
    fn half_close(&self) -> HalfClose {
        match self.tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => self.io.half_close(),
            _ => HalfClose::Impossible,
        }
    }

    fn tls(&self) -> Option<&TlsSession> {
        Some(&self.session)
    }

    fn layers(&self) -> Vec<LayerReport> {
        let mut tls = LayerReport::new(Layer::Tls);
        if self.ours == Ours::Ended && self.alerted == Alerted::No {
            tls.sent.insert(Signal::CloseNotify);
        }
        if matches!(
            self.theirs,
            Theirs::Notified | Theirs::AwaitingFin(Order::Yes) | Theirs::Ended(Order::Yes)
        ) {
            tls.received.insert(Signal::CloseNotify);
        }
        let mut layers = self.io.layers();
        layers.insert(0, tls);
        layers
    }

    fn wire_taken(&self) -> Option<u64> {
        // Of several layers the lowest tells what the wire takes.
        self.io.wire_taken().or_else(|| Some(self.records.taken()))
    }

    fn wire_end(&self, bytes: u64) -> Option<u64> {
        self.io.wire_end(self.records.end_of(bytes)?)
    }

    fn wire_begin(&self, bytes: u64) -> Option<u64> {
        self.io.wire_begin(self.records.begin_of(bytes)?)
    }

    /// The peer's close_notify vouches for its end, through whatever proxy.
    fn receipts(&self) -> Receipts {
        match self.io.receipts() {
            Receipts::None => Receipts::None,
            Receipts::Relayed | Receipts::Kernel => Receipts::Kernel,
        }
    }

    fn receipt(&self) -> Option<Receipt> {
        self.io.receipt()
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_gone(cx)
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("session", &self.session)
            .field("ours", &self.ours)
            .field("theirs", &self.theirs)
            .finish_non_exhaustive()
    }
}
