//! The HTTP/1.1 engine: one connection's two halves, life, clocks and books.

use std::io::{ErrorKind, IoSlice};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Response, StatusCode, Version, request};

use super::clocks::{Alarm, Clocks};
use super::receive::{Place, ReceiveHalf, Step};
use super::reuse::{Grounds, Upload, ends_first, forbids_reuse};

use super::send::{BodyMisfit, Hold, SendHalf};
use crate::codec::Malformed;
use crate::codec::framing::{Framing, Persistence, Rhythm};
use crate::codec::limits::Limits;
use crate::codec::request::{self as request_codec, Asked, Unsendable, Wish};
use crate::codec::response::Head;
use crate::fate::{Facts, ReadEnd, Use};
use crate::lifecycle::{
    Action, CloseKind, CloseMode, CloseReason, CloseReport, ConnectionId, ExchangePhase, First, Input,
    Lifecycle, LifecycleLimits, Phase, Protocol, Request, Side, Signal, Snapshot, State, Timeouts, Vouched,
};

/// One HTTP/1.1 connection without its I/O.
///
/// Methods come in four families. *Getters* take `&self`. *Facts* are reported with `handle_*`. *Commands* say
/// what the caller wants: [`begin`](Self::begin), [`send_data`](Self::send_data), [`end_body`](Self::end_body),
/// [`abandon`](Self::abandon), [`retire`](Self::retire), [`close`](Self::close). *Outputs* are polled. A driver's
/// turn, with one `now` for all of it:
///
/// 1. write [`slices`](Self::slices), report [`handle_sent`](Self::handle_sent) or
///    [`handle_blocked`](Self::handle_blocked), until nothing is left;
/// 2. while [`wants_read`](Self::wants_read): read into [`room`](Self::room), report
///    [`handle_received`](Self::handle_received) or [`handle_read_end`](Self::handle_read_end);
/// 3. [`handle_timeout`](Self::handle_timeout);
/// 4. carry out [`poll_action`](Self::poll_action) until `None`; the caller takes
///    [`poll_event`](Self::poll_event) until `None`;
/// 5. sleep until [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Engine {
    config: Config,
    life: Lifecycle,
    send: SendHalf,
    receive: ReceiveHalf,
    exchange: Exchange,
    clocks: Clocks,
    read_side: ReadSide,
    bytes_sent: u64,
    bytes_received: u64,
    bytes_discarded: u64,
    /// Of those, the ones after our goodbye began.
    discarded_leaving: u64,
}

/// What one engine may be told. Everything has its default.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Config {
    /// The bounds on what the peer may send.
    pub limits: Limits,
    /// How long each phase may take.
    pub timeouts: Timeouts,
    /// How long the connection may stay in a state.
    pub life: LifecycleLimits,
    /// What becomes of an upload when the final response comes before it is whole.
    pub early_response: EarlyResponse,
}

/// What becomes of an upload when the final response comes before it is whole (RFC 9112 section 9.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EarlyResponse {
    /// Stop it if the response is no success or asks for close, else finish it.
    #[default]
    StopUnlessSuccess,
    /// Stop it whatever the response says. The connection is reset once the response is read.
    Stop,
    /// Finish it whatever the response says, unless the transport breaks.
    Finish,
}

/// News for the caller of the exchange in flight.
///
/// Ask [`Engine::is_response_whole`] after each: where the last piece of a body, its trailers or a head without a
/// body make the response whole, no `End` follows.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// An interim response (1xx); any number of them may come.
    Interim(Response<()>),
    /// The final response head.
    Response(Response<()>, BodySize),
    /// A piece of its body.
    Data(Bytes),
    /// Its trailers.
    Trailers(HeaderMap),
    /// The response is whole, and nothing told it before.
    End,
    /// The exchange failed; nothing more comes. The same failure comes again at each look.
    Failed(Failure),
}

/// What is known of the length of a response body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodySize {
    /// So many bytes; 0 where there is none.
    Known(u64),
    /// It ends when it ends.
    Unknown,
    /// There is no body: another protocol follows.
    Upgrade,
}

/// Why an exchange failed, where it was, and what is known of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// Why.
    pub reason: CloseReason,
    /// How far it was.
    pub at: ExchangePhase,
    /// What is known of the request.
    pub facts: Facts,
}

/// How one direction of the transport ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportEnd {
    /// In order: FIN, or the transport's like.
    Fin,
    /// By a reset.
    Reset,
    /// By another failure of the network.
    Failed(ErrorKind),
}

/// No exchange can begin: the connection is busy or on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotOpen {
    /// The exchange before is not over.
    Busy,
    /// The connection is on its way out or gone.
    Ending(CloseReason),
    /// The request cannot be sent as it is; the connection is as before.
    Unsendable(Unsendable),
}

/// The exchange in flight, or the last one.
#[derive(Debug)]
struct Exchange {
    number: u64,
    method: Method,
    version: Version,
    asked: Asked,
    facts: Facts,
    progress: Progress,
    reader: Reader,
    rhythm: Rhythm,
    /// Who ends its side first, should the connection end with this exchange.
    ends_first: First,
}

/// The transport's read side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadSide {
    Open,
    /// It ended like this; acted upon once everything before it was taken.
    Ending(TransportEnd),
    /// It ended, and the life knows.
    Ended,
}

#[derive(Debug)]
enum Progress {
    /// None was begun, or it ended well.
    None,
    /// In flight.
    Running,
    /// Failed.
    Failed(Failure),
}

/// Who takes the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// Somebody.
    Present,
    /// Nobody: what comes is thrown away, so many bytes at most.
    Gone { budget: u64 },
}

impl Engine {
    /// A connection whose transport is there: its handshakes are over.
    #[must_use]
    pub fn new(now: Instant, config: Config) -> Self {
        let mut life = Lifecycle::new(now, config.life);
        life.handle(now, Input::Opened);
        Self {
            config,
            life,
            send: SendHalf::default(),
            receive: ReceiveHalf::default(),
            exchange: Exchange {
                number: 0,
                method: Method::GET,
                version: Version::HTTP_11,
                asked: Asked::NOTHING,
                facts: Facts::default(),
                progress: Progress::None,
                reader: Reader::Present,
                rhythm: Rhythm::Steady,
                ends_first: First::Us,
            },
            clocks: Clocks::default(),
            read_side: ReadSide::Open,
            bytes_sent: 0,
            bytes_received: 0,
            bytes_discarded: 0,
            discarded_leaving: 0,
        }
    }

    // Getters.

    /// Where the connection is.
    #[must_use]
    pub fn state(&self) -> State {
        self.life.state()
    }

    /// The life of the connection.
    #[must_use]
    pub fn life(&self) -> &Lifecycle {
        &self.life
    }

    /// The number of the exchange in flight, or of the last one; the first has number 1.
    #[must_use]
    pub fn exchange(&self) -> u64 {
        self.exchange.number
    }

    /// Whether the exchange in flight waits for no one but the peer and the transport: its reader is gone.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.is_running() && self.exchange.reader != Reader::Present
    }

    /// Whether the next piece of the request's body may be given.
    #[must_use]
    pub fn wants_body(&self) -> bool {
        self.is_running() && self.send.wants_body()
    }

    /// Whether a body is still owed: held back, or not ended.
    #[must_use]
    pub fn owes_body(&self) -> bool {
        self.is_running() && !self.send.is_done() && !self.send.is_cut()
    }

    /// Whether something waits for the transport.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        !self.send.is_flushed()
    }

    /// Whether the response of the exchange in flight, or of the last one, was taken whole.
    #[must_use]
    pub fn is_response_whole(&self) -> bool {
        matches!(self.receive.place(), Place::Idle | Place::Done)
            && !matches!(self.exchange.progress, Progress::Failed(_))
    }

    /// Whether the transport shall be read: something is expected, or its end is.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        if self.read_side != ReadSide::Open {
            return false;
        }
        match self.life.state() {
            State::Opening | State::Upgraded { .. } | State::Closed => false,
            State::Idle | State::Yielding | State::Closing { .. } | State::Lingering => true,
            _ => self.receive.wants_more(&self.config.limits),
        }
    }

    /// How the transport's read side ended while there was still something to take. Of use after an upgrade: once
    /// the leftover is taken, report this end again, for the transport may not tell it twice.
    #[must_use]
    pub fn read_end(&self) -> Option<TransportEnd> {
        match self.read_side {
            ReadSide::Ending(end) => Some(end),
            ReadSide::Open | ReadSide::Ended => None,
        }
    }

    /// How far the exchange in flight is.
    #[must_use]
    pub fn phase(&self) -> ExchangePhase {
        if !self.is_running() {
            return ExchangePhase::None;
        }
        match self.receive.place() {
            Place::Body | Place::UntilClose => ExchangePhase::ReceivingBody,
            _ if !self.exchange.facts.head_handed_over() => ExchangePhase::SendingHead,
            _ if self.send.is_holding() => ExchangePhase::AwaitingContinue,
            Place::Head if self.send.is_whole() => ExchangePhase::AwaitingResponse,
            _ => ExchangePhase::SendingBody,
        }
    }

    /// Whether [`poll_event`](Self::poll_event) could give something: bytes to look at, an end, a failure.
    #[must_use]
    pub fn may_have_news(&self) -> bool {
        !self.receive.buffer().is_empty() || self.read_end().is_some() || !self.is_running()
    }

    /// No wait of an exchange that somebody reads runs out sooner than this after it began.
    #[must_use]
    pub fn shortest_wait(&self) -> Option<Duration> {
        self.config.timeouts.shortest()
    }

    // Facts.

    /// The transport took so many bytes of [`slices`](Self::slices).
    pub fn handle_sent(&mut self, now: Instant, bytes: usize) {
        self.send.advance(bytes);
        self.bytes_sent += bytes as u64;
        self.exchange.facts.handed += bytes as u64;
        self.clocks.stalled = None;
        if self.send.is_holding() && self.exchange.facts.head_handed_over() {
            self.clocks.continue_wait.get_or_insert(now);
        }
        if self.send.is_done() && self.send.is_flushed() {
            self.request_is_out(now);
        }
    }

    /// The transport takes nothing for now.
    pub fn handle_blocked(&mut self, now: Instant) {
        self.clocks.stalled.get_or_insert(now);
    }

    /// Our side of the transport is gone. After a reset, what the peer has for us is still read; after another
    /// failure nothing more will come, but what is here is still delivered.
    pub fn handle_write_end(&mut self, now: Instant, end: TransportEnd) {
        if !self.send.is_whole() {
            self.send.cut();
        }
        self.clocks.stalled = None;
        self.clocks.continue_wait = None;
        let reason = match end {
            TransportEnd::Failed(kind) => CloseReason::Network(kind),
            TransportEnd::Fin | TransportEnd::Reset => CloseReason::Reset,
        };
        if self.is_running() && self.receive.place() == Place::Done && self.send.is_cut() {
            // The response is whole and delivered: only the rest of an upload is lost.
            return self.exchange_ends_cut(now, Input::Abort, reason);
        }
        if !self.is_running() {
            return self.end(now, Input::WriteBroken, reason);
        }
        if let (TransportEnd::Failed(_), ReadSide::Open) = (end, self.read_side) {
            self.read_side = ReadSide::Ending(end);
            self.exchange.facts.read_end = ReadEnd::Failed;
        }
        if self.read_side != ReadSide::Open && self.receive.buffer().is_empty() {
            self.read_side = ReadSide::Ended;
            return self.end(now, Input::Broken, reason);
        }
        if self.receive.place() == Place::Head {
            self.clocks.head.get_or_insert(now);
        }
        self.end(now, Input::WriteBroken, reason);
    }

    /// So many bytes were read into [`room`](Self::room).
    pub fn handle_received(&mut self, now: Instant, bytes: usize) {
        self.bytes_received += bytes as u64;
        self.receive.note_read(bytes, &self.config.limits);
        // It runs again when the reader has taken what came and waits for more.
        self.clocks.gap = None;
        match self.life.state() {
            State::Idle => self.look_while_idle(now),
            state if state.is_leaving() => self.discard_leaving(now),
            _ if self.is_running() && self.exchange.facts.handed == 0 => self.unexpected(now),
            _ => {
                if self.receive.place() == Place::Head {
                    self.exchange.facts.answered += bytes as u64;
                }
                if self.exchange.reader != Reader::Present {
                    self.discard_response(now);
                }
            }
        }
    }

    /// The peer's side of the transport ended.
    pub fn handle_read_end(&mut self, now: Instant, end: TransportEnd) {
        self.read_side = ReadSide::Ending(end);
        self.exchange.facts.read_end = match end {
            TransportEnd::Fin => ReadEnd::Fin,
            TransportEnd::Reset => ReadEnd::Reset,
            TransportEnd::Failed(_) => ReadEnd::Failed,
        };
        // With something left to take, the end waits its turn: everything readable is delivered first.
        let all_taken = self.receive.buffer().is_empty() || self.receive.place() == Place::Done;
        if !self.is_running() || all_taken {
            self.nothing_more_is_taken(now);
        }
    }

    /// Looks at the clock. Harmless when early.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.is_running() {
            match self.clocks.ran_out(&self.config.timeouts, now) {
                Some(Alarm::Continue) => self.release_body(),
                Some(Alarm::TimedOut(Phase::Discard)) => self.close_now(now, CloseReason::RequestCancelled),
                Some(Alarm::TimedOut(phase)) => self.close_now(now, CloseReason::TimedOut(phase)),
                None => break,
            }
        }
        self.life.handle_timeout(now, self.request());
        self.settle(now, CloseReason::TimedOut(Phase::Drain));
    }

    /// The reader waits for more of the body than there is: the gap runs from now, until bytes come.
    pub fn handle_reader_waiting(&mut self, now: Instant) {
        let in_body = matches!(self.receive.place(), Place::Body | Place::UntilClose);
        if self.is_running() && in_body && self.exchange.rhythm == Rhythm::Steady {
            self.clocks.gap.get_or_insert(now);
        }
    }

    /// So many bytes of another protocol were carried, ours and the peer's.
    pub fn handle_carried(&mut self, sent: usize, received: usize) {
        self.bytes_sent += sent as u64;
        self.bytes_received += received as u64;
    }

    /// The driver begins to carry out the goodbye: `linger` runs from now.
    pub fn handle_goodbye_begun(&mut self, now: Instant) {
        self.life.handle_goodbye_begun(now);
    }

    /// The driver said this.
    pub fn handle_said(&mut self, signal: Signal) {
        self.life.handle_said(signal);
    }

    /// All of the goodbye reached the transport.
    pub fn handle_goodbye_sent(&mut self, now: Instant) {
        self.life.handle(now, Input::GoodbyeSent);
    }

    /// The goodbye could not be said: our side was gone already. An ending, not an error.
    pub fn handle_goodbye_refused(&mut self, now: Instant) {
        self.end(now, Input::WriteBroken, CloseReason::Reset);
    }

    /// The reset that was ordered could not be made: the transport was only dropped.
    pub fn handle_reset_unable(&mut self) {
        self.life.handle_reset_unable();
    }

    // Commands.

    /// Begins an exchange whose request body announced `length` bytes (`None`: not known).
    pub fn begin(
        &mut self,
        now: Instant,
        head: &request::Parts,
        length: Option<u64>,
    ) -> Result<Asked, NotOpen> {
        match self.life.state() {
            State::Idle if self.receive.buffer().is_empty() => {}
            State::Idle => {
                self.unexpected(now);
                return Err(NotOpen::Ending(CloseReason::UnexpectedData));
            }
            State::Active => return Err(NotOpen::Busy),
            _ if self.is_running() => return Err(NotOpen::Busy),
            _ => {
                return Err(NotOpen::Ending(self.life.reason().cloned().unwrap_or(CloseReason::RuntimeGone)));
            }
        }
        let staging = self.send.staging();
        let asked = request_codec::encode(head, length, staging).map_err(|unsendable| {
            staging.clear();
            NotOpen::Unsendable(unsendable)
        })?;
        let bytes = staging.len() as u64;
        let reused = if self.life.exchanges().0 > 0 { Use::Reused } else { Use::Fresh };
        self.exchange = Exchange {
            number: self.exchange.number + 1,
            method: head.method.clone(),
            version: head.version,
            asked,
            facts: Facts { head: bytes, handed_before: self.bytes_sent, reused, ..Facts::default() },
            progress: Progress::Running,
            reader: Reader::Present,
            rhythm: Rhythm::Steady,
            ends_first: First::Us,
        };
        self.clocks = Clocks { exchange: Some(now), ..Clocks::default() };
        self.send.begin(asked.body, if asked.expect_continue == Wish::Yes { Hold::Yes } else { Hold::No });
        self.receive.expect_head();
        self.life.begin_exchange(now);
        Ok(asked)
    }

    /// Gives the next piece of the request's body, when [`wants_body`](Self::wants_body) says so. A body that
    /// does not fit its length fails the exchange, and the peer sees a reset.
    pub fn send_data(&mut self, now: Instant, data: Bytes) -> Result<(), BodyMisfit> {
        let given = self.send.data(data);
        if given.is_err() {
            self.fail_body(now);
        }
        given
    }

    /// Ends the request's body, when [`wants_body`](Self::wants_body) says so or while it is held back.
    pub fn end_body(&mut self, now: Instant, trailers: Option<HeaderMap>) -> Result<(), BodyMisfit> {
        let trailers = trailers.map(request_codec::sendable_trailers);
        let ended = self.send.end(trailers.as_ref());
        if ended.is_err() {
            self.fail_body(now);
        }
        ended
    }

    /// The request's body failed: the request stays cut short.
    pub fn fail_body(&mut self, now: Instant) {
        if self.owes_body() {
            self.send.cut();
            self.close_now(now, CloseReason::RequestBodyFailed);
        }
    }

    /// Nobody takes the response any more. A small rest is discarded to keep the connection; else it closes. A
    /// request of which nothing was sent is taken back; an upload that outlives its whole response goes on.
    pub fn abandon(&mut self, now: Instant) {
        let place = self.receive.place();
        if !self.is_running() || self.exchange.reader != Reader::Present || place == Place::Done {
            return;
        }
        if self.exchange.facts.handed == 0 && !self.send.is_cut() {
            return self.withdraw(now);
        }
        let budget = self.config.limits.unread;
        self.exchange.reader = Reader::Gone { budget };
        let small = place == Place::Body && self.receive.left().is_none_or(|left| left <= budget);
        if !small || !self.send.is_whole() || !self.life.state().is_open() {
            return self.close_now(now, CloseReason::RequestCancelled);
        }
        self.clocks.gap = None;
        self.clocks.discard = Some(now);
        self.discard_response(now);
        // Of unknown length and not already here: nobody knows how much that would be.
        if self.is_running() && self.receive.left().is_none() {
            self.close_now(now, CloseReason::RequestCancelled);
        }
    }

    /// No new exchange from now on; only a close or a policy gives `until`.
    pub fn retire(&mut self, now: Instant, until: Option<Instant>, reason: CloseReason) {
        self.life.retire(now, until, reason);
    }

    /// Closes on purpose; of two closes the stricter wins.
    pub fn close(&mut self, now: Instant, mode: CloseMode) {
        self.close_because(now, mode, CloseReason::User(mode.kind()));
    }

    /// Closes for another reason than the user's wish.
    pub fn close_because(&mut self, now: Instant, mode: CloseMode, reason: CloseReason) {
        self.life.close(now, mode, self.request(), reason.clone());
        if mode.kind() == CloseKind::Half && self.send.is_whole() {
            self.life.handle(now, Input::RequestSent);
        }
        self.settle(now, reason);
        if mode.drain_limit().is_some_and(|limit| limit.is_zero()) {
            self.handle_timeout(now);
        }
    }

    /// The holder of an upgraded connection ends our side; the peer's stays as it is.
    pub fn end_ours(&mut self, now: Instant) {
        self.life.handle(now, Input::EndOurs);
    }

    /// The holder of an upgraded connection lets go of it: what did not end on both sides is cut short.
    pub fn drop_upgraded(&mut self, now: Instant) {
        if matches!(self.life.state(), State::Upgraded { .. }) {
            self.end(now, Input::CloseNow(Request::Cut), CloseReason::RequestCancelled);
        }
    }

    // Outputs.

    /// What the transport shall take next, in order; empty ones among them.
    #[must_use]
    pub fn slices(&self) -> [IoSlice<'_>; 3] {
        self.send.slices()
    }

    /// Where the next read goes: spare room behind what is there.
    pub fn room(&mut self) -> &mut BytesMut {
        self.receive.room(&self.config.limits)
    }

    /// The next order for the driver.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.life.poll_action()
    }

    /// The next news for the caller; `None`: nothing before more is read.
    #[must_use]
    pub fn poll_event(&mut self, now: Instant) -> Option<Event> {
        loop {
            match &self.exchange.progress {
                Progress::Failed(failure) => return Some(Event::Failed(failure.clone())),
                Progress::Running => {}
                Progress::None => return None,
            }
            match self.receive.step(&self.config.limits) {
                Ok(Step::NeedMore) => {
                    let end = self.read_end().filter(|_| self.receive.place() != Place::Done)?;
                    let until_close = self.receive.place() == Place::UntilClose;
                    self.read_ended(now, end);
                    if until_close && end == TransportEnd::Fin {
                        return Some(Event::End);
                    }
                }
                Ok(Step::Head(head)) => {
                    if let Some(event) = self.head_came(now, head) {
                        return Some(event);
                    }
                }
                Ok(Step::Data(data)) => {
                    self.clocks.gap = None;
                    if self.receive.place() == Place::Done {
                        self.response_is_whole(now);
                    }
                    return Some(Event::Data(data));
                }
                Ok(Step::End(trailers)) => {
                    self.response_is_whole(now);
                    return Some(trailers.map_or(Event::End, Event::Trailers));
                }
                Err(malformed) => self.malformed(now, malformed),
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) would do something.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let exchange = if self.is_running() { self.clocks.next(&self.config.timeouts) } else { None };
        match (self.life.poll_timeout(), exchange) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Bytes that came with a switch of protocols and belong to the new one.
    #[must_use]
    pub fn take_leftover(&mut self) -> Bytes {
        self.receive.take_leftover()
    }

    /// Lets go of memory that an idle connection does not need.
    pub fn shrink(&mut self) {
        if self.life.state() == State::Idle {
            self.send.shrink();
            self.receive.shrink();
        }
    }

    /// The connection at one moment; origin, addresses and what only a kernel knows are the driver's to add.
    #[must_use]
    pub fn snapshot(&self, now: Instant, id: ConnectionId) -> Snapshot {
        let (life, state) = (&self.life, self.life.state());
        let since = now.saturating_duration_since(life.since());
        let (sent, _) = life.signals();
        let side = |ended: bool| if ended || state == State::Closed { Side::Ended } else { Side::Open };
        Snapshot {
            id,
            origin: None,
            peer: None,
            local: None,
            protocol: Protocol::Http1,
            state,
            in_state: since,
            ours: side(sent.contains(Signal::Fin) || state == State::Muted),
            theirs: side(self.read_side != ReadSide::Open),
            reason: life.reason().cloned(),
            phase: self.phase(),
            in_flight: life.in_flight(),
            done: life.exchanges().0,
            failed: life.exchanges().1,
            bytes_sent: self.bytes_sent,
            bytes_received: self.bytes_received,
            unacknowledged: None,
            age: now.saturating_duration_since(life.born()),
            idle: (state == State::Idle).then_some(since),
            deadline: self.poll_timeout().map(|at| at.saturating_duration_since(now)),
        }
    }

    /// The report of a connection that is gone, or is being dropped at `now`.
    #[must_use]
    pub fn report(&self, now: Instant, id: ConnectionId) -> CloseReport {
        CloseReport {
            bytes_sent: self.bytes_sent,
            bytes_received: self.bytes_received,
            bytes_discarded: self.bytes_discarded,
            ..CloseReport::new(id, Protocol::Http1, &self.life, now)
        }
    }

    // What follows from what.

    fn is_running(&self) -> bool {
        matches!(self.exchange.progress, Progress::Running)
    }

    /// Whether what is in flight would be cut short by an end right now.
    fn request(&self) -> Request {
        // Of what the transport never took any, nothing is cut short.
        if self.send.is_whole() || self.exchange.facts.handed == 0 { Request::Whole } else { Request::Cut }
    }

    /// Reports an end to the life, and fails the exchange if that was in the way.
    fn end(&mut self, now: Instant, input: Input, reason: CloseReason) {
        self.life.handle_end(now, input, reason.clone());
        self.settle(now, reason);
    }

    fn close_now(&mut self, now: Instant, reason: CloseReason) {
        self.end(now, Input::CloseNow(self.request()), reason);
    }

    /// After the life failed what was in flight: keeps why.
    fn settle(&mut self, now: Instant, reason: CloseReason) {
        if !self.is_running() || self.life.in_flight() > 0 {
            return;
        }
        let failure = Failure { reason, at: self.phase(), facts: self.exchange.facts };
        self.exchange.progress = Progress::Failed(failure);
        self.clocks = Clocks::default();
        if !self.send.is_whole() {
            self.send.cut();
        }
        self.nothing_more_is_taken(now);
    }

    /// Takes a request back that nobody waits for and nobody saw: the connection is as before.
    fn withdraw(&mut self, now: Instant) {
        self.exchange.progress = Progress::None;
        self.clocks = Clocks::default();
        self.send.withdraw();
        self.receive.reset();
        self.life.withdraw_exchange(now);
    }

    /// Nobody will take what is in the buffer: an end that waited behind it is due.
    fn nothing_more_is_taken(&mut self, now: Instant) {
        if let Some(end) = self.read_end() {
            self.read_ended(now, end);
        }
        if self.life.state().is_leaving() || self.life.state() == State::Closed {
            self.bytes_discarded += self.receive.discard();
        }
    }

    /// The last byte of the request reached the transport.
    fn request_is_out(&mut self, now: Instant) {
        if !self.is_running() {
            return;
        }
        if self.life.state() == State::HalfClosing {
            self.life.handle(now, Input::RequestSent);
        }
        match self.receive.place() {
            Place::Head => self.clocks.head = Some(now),
            Place::Done => self.exchange_is_over(now),
            _ => {}
        }
    }

    fn release_body(&mut self) {
        self.send.release();
        self.clocks.continue_wait = None;
    }

    fn head_came(&mut self, now: Instant, head: Head) -> Option<Event> {
        let status = head.response.status();
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            if status == StatusCode::CONTINUE {
                self.release_body();
            }
            if self.clocks.head.is_some() {
                self.clocks.head = Some(now);
            }
            return Some(Event::Interim(head.response));
        }
        if status == StatusCode::SWITCHING_PROTOCOLS && self.exchange.asked.upgrade == Wish::No {
            self.malformed(now, Malformed::Head("101 (Switching Protocols) without having been asked"));
            return None;
        }
        let framed = head.notes.response_framing(&self.exchange.method, head.response.version(), status);
        let (framing, doubt) = match framed {
            Ok(framed) => framed,
            Err(malformed) => {
                self.malformed(now, malformed);
                return None;
            }
        };
        self.clocks.head = None;
        self.clocks.continue_wait = None;
        if framing == Framing::Upgrade {
            if !self.send.is_whole() {
                // RFC 9110 7.8: no change of protocol in the middle of a message.
                self.malformed(now, Malformed::Head("a switch of protocols before the request was whole"));
                return None;
            }
            return Some(self.upgraded(now, head));
        }
        let persistence = head.notes.persistence;
        let upload = self.decide_upload(status, persistence);
        let grounds = Grounds {
            request_version: self.exchange.version,
            request_close: self.exchange.asked.close,
            upload,
            response_version: head.response.version(),
            persistence,
            framing,
            doubt,
        };
        self.exchange.ends_first = ends_first(&grounds);
        if let Some(reason) = forbids_reuse(&grounds) {
            self.life.retire(now, None, reason);
        }
        self.exchange.rhythm = head.notes.rhythm;
        self.receive.expect_body(framing);
        let size = match framing {
            Framing::Length(length) => BodySize::Known(length),
            Framing::Chunked | Framing::UntilClose => BodySize::Unknown,
            _ => BodySize::Known(0),
        };
        if self.receive.place() == Place::Done {
            self.response_is_whole(now);
        }
        Some(Event::Response(head.response, size))
    }

    /// RFC 9112 section 9.5, RFC 9110 section 10.1.1: a final response before the request was whole.
    fn decide_upload(&mut self, status: StatusCode, persistence: Persistence) -> Upload {
        if self.send.is_cut() {
            return Upload::Stopped;
        }
        if self.send.is_whole() {
            return Upload::Kept;
        }
        let stop = match self.config.early_response {
            EarlyResponse::Stop => true,
            EarlyResponse::Finish => false,
            EarlyResponse::StopUnlessSuccess => !status.is_success() || persistence == Persistence::Close,
        };
        // What was held back was never asked for.
        if stop || self.send.is_holding() {
            self.send.cut();
            self.clocks.stalled = None;
            return Upload::Stopped;
        }
        Upload::Kept
    }

    fn upgraded(&mut self, now: Instant, head: Head) -> Event {
        self.receive.expect_body(Framing::None);
        self.exchange.progress = Progress::None;
        self.clocks = Clocks::default();
        self.life.upgrade(now);
        Event::Response(head.response, BodySize::Upgrade)
    }

    fn response_is_whole(&mut self, now: Instant) {
        self.clocks.gap = None;
        self.clocks.discard = None;
        if self.send.is_cut() || self.send.is_whole() {
            self.exchange_is_over(now);
        } else {
            self.nothing_more_is_taken(now);
        }
    }

    /// Both halves are at their end.
    fn exchange_is_over(&mut self, now: Instant) {
        if self.send.is_cut() {
            return self.exchange_ends_cut(now, Input::Abort, CloseReason::UploadStopped);
        }
        self.exchange.progress = Progress::None;
        self.clocks = Clocks::default();
        self.send.reset();
        self.receive.reset();
        self.life.end_exchange(now, self.exchange.ends_first);
        if self.life.state() == State::Idle {
            self.look_while_idle(now);
        }
        self.nothing_more_is_taken(now);
    }

    /// The response is whole, the request never will be.
    fn exchange_ends_cut(&mut self, now: Instant, input: Input, reason: CloseReason) {
        self.exchange.progress = Progress::None;
        self.clocks = Clocks::default();
        self.send.cut();
        self.life.end_exchange_cut(now, input, reason);
        self.nothing_more_is_taken(now);
    }

    /// Everything readable was taken, and the peer's side has ended.
    fn read_ended(&mut self, now: Instant, end: TransportEnd) {
        self.read_side = ReadSide::Ended;
        if self.is_running() && self.receive.place() == Place::UntilClose && end == TransportEnd::Fin {
            // RFC 9112 section 6.3, rule 8: this is how it ends.
            self.receive.end_until_close();
            self.response_is_whole(now);
        }
        let running = self.is_running();
        let half_closed = self.life.state() == State::HalfClosed;
        let awaited = running && self.receive.place() != Place::Done;
        let reason = match end {
            TransportEnd::Reset => CloseReason::Reset,
            TransportEnd::Failed(kind) => CloseReason::Network(kind),
            TransportEnd::Fin if awaited && self.exchange.facts.handed == 0 => CloseReason::PeerClosedIdle,
            TransportEnd::Fin if awaited && half_closed => CloseReason::HalfCloseRefused,
            TransportEnd::Fin if awaited => CloseReason::PeerEndedEarly,
            TransportEnd::Fin if running => CloseReason::PeerAskedClose,
            TransportEnd::Fin => CloseReason::PeerClosedIdle,
        };
        if end == TransportEnd::Reset {
            self.life.handle_heard(Signal::Rst);
        }
        match end {
            TransportEnd::Reset | TransportEnd::Failed(_) if running && !awaited => {
                // As with a write that breaks: only the rest of an upload is lost.
                self.exchange_ends_cut(now, Input::Broken, reason.clone());
            }
            TransportEnd::Fin => {
                self.life.handle_peer_end(now, Input::PeerDone(Vouched::Yes), Signal::Fin, reason.clone());
                if awaited {
                    self.close_now(now, reason.clone());
                }
            }
            TransportEnd::Reset | TransportEnd::Failed(_) => {
                self.life.handle_end(now, Input::Broken, reason.clone());
            }
        }
        self.settle(now, reason);
    }

    /// Whatever comes while nothing is in flight answers no request.
    fn look_while_idle(&mut self, now: Instant) {
        let buffer = self.receive.buffer();
        // Too few bytes to tell which: the rest is awaited, and nothing begins meanwhile.
        if !IDLE_ENDS.iter().any(|start| buffer.len() < start.len() && start.starts_with(buffer)) {
            self.unexpected(now);
        }
    }

    /// Bytes on a connection that owes no answer. A 408 (Request Timeout) is how some peers end an idle one.
    fn unexpected(&mut self, now: Instant) {
        let is_408 = IDLE_ENDS.iter().any(|start| self.receive.buffer().starts_with(start));
        let reason = if is_408 { CloseReason::PeerClosedIdle } else { CloseReason::UnexpectedData };
        self.bytes_discarded += self.receive.discard();
        self.end(now, Input::CloseNow(Request::Whole), reason);
    }

    fn discard_leaving(&mut self, now: Instant) {
        let bytes = self.receive.discard();
        self.bytes_discarded += bytes;
        self.discarded_leaving += bytes;
        if self.discarded_leaving > self.config.limits.discard {
            self.end(now, Input::Abort, CloseReason::LimitExceeded("discarded bytes"));
        }
    }

    /// Takes what comes for a reader that is gone.
    fn discard_response(&mut self, now: Instant) {
        while let Reader::Gone { budget } = self.exchange.reader {
            let Some(event) = self.poll_event(now) else { return };
            match event {
                Event::Data(data) => {
                    self.bytes_discarded += data.len() as u64;
                    let Some(budget) = budget.checked_sub(data.len() as u64) else {
                        return self.close_now(now, CloseReason::RequestCancelled);
                    };
                    self.exchange.reader = Reader::Gone { budget };
                }
                Event::Failed(_) | Event::End => return,
                _ => {}
            }
        }
    }

    fn malformed(&mut self, now: Instant, malformed: Malformed) {
        let reason = match malformed {
            Malformed::Head(what) | Malformed::Body(what) => CloseReason::ProtocolError(what),
            Malformed::TooLarge(limit) => CloseReason::LimitExceeded(limit),
        };
        self.end(now, Input::Violation(0, self.request()), reason);
    }
}

/// How a 408 (Request Timeout) begins, by which some peers end an idle connection (RFC 9110 section 15.5.9).
const IDLE_ENDS: [&[u8]; 2] = [b"HTTP/1.1 408", b"HTTP/1.0 408"];

impl std::fmt::Display for BodyMisfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the request body goes on past its Content-Length",
            Self::TooShort => "the request body ended before its Content-Length",
        })
    }
}

impl std::error::Error for BodyMisfit {}
