//! The HTTP/1.1 engine: one connection's two halves, life, clocks and books.
//!
//! | file | what it is for |
//! |---|---|
//! | `mod` | the engine, what can be asked of it, what it gives |
//! | `facts` | what a driver reports |
//! | `commands` | what a caller wants |
//! | `consequences` | what follows from what |

mod commands;
mod consequences;
mod facts;

use std::io::IoSlice;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{Method, Version};

use crate::codec::framing::Rhythm;
use crate::codec::request::Asked;
use crate::fate::{Answer, Facts, Span};
use crate::h1::clocks::Clocks;
use crate::h1::news::{Config, Event, Failure, TransportEnd};
use crate::h1::receive::{Place, ReceiveHalf, Step};
use crate::h1::send::SendHalf;
use crate::lifecycle::{
    Action, CloseReport, ConnectionId, ExchangePhase, First, Input, Journal, Lifecycle, Phase, Protocol,
    Side, Signal, Snapshot, State,
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
    /// How long nothing had come when the peer's end was read, and how long a round trip takes.
    silence: Option<(Duration, Duration)>,
    /// How long the connection had been idle when the peer ended it, and how long a round trip takes.
    ended_idle: Option<(Duration, Duration)>,
    /// Of those, the ones after our goodbye began.
    discarded_leaving: u64,
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
    /// Since when the connection had been idle.
    idle_since: Instant,
}

/// After the end of the peer, before anything follows from it: whether the request was refused is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Doubt {
    end: TransportEnd,
    /// The FIN behind a close_notify: a RST before it proves nothing.
    fin: Came,
    /// Until when a RST is awaited; `None`: there was no look yet.
    until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Yes,
    No,
}

/// The transport's read side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadSide {
    Open,
    /// It ended like this; acted upon once everything before it was taken.
    Ending(TransportEnd),
    /// It ended in order, and it is not known yet whether the request came in time.
    InDoubt(Doubt),
    /// Its TLS has ended, and the life knows; nothing but the FIN is still to come.
    AwaitingFin(TransportEnd),
    /// It ended, and the life knows.
    Ended(TransportEnd),
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
        Self::resume(now, Lifecycle::new(now, config.life), config)
    }

    /// The same, for a life that began with the handshakes and is still [`State::Opening`].
    #[must_use]
    pub fn resume(now: Instant, mut life: Lifecycle, config: Config) -> Self {
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
                idle_since: now,
            },
            clocks: Clocks::default(),
            read_side: ReadSide::Open,
            bytes_sent: 0,
            bytes_received: 0,
            bytes_discarded: 0,
            silence: None,
            ended_idle: None,
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
        self.is_running() && self.send.wants_body() && !self.is_in_doubt()
    }

    /// Whether a body is still owed: held back, or not ended.
    #[must_use]
    pub fn owes_body(&self) -> bool {
        self.is_running() && !self.send.is_done() && !self.send.is_cut()
    }

    /// Whether an order waits to be carried out.
    #[must_use]
    pub fn has_orders(&self) -> bool {
        self.life.has_actions()
    }

    /// Whether something waits for the transport although the response is there: nobody may be polling any more.
    #[must_use]
    pub fn sends_late(&self) -> bool {
        self.is_running() && self.receive.place() != Place::Head && !self.send.is_flushed()
    }

    /// Whether the response head of the exchange in flight has not come.
    #[must_use]
    pub fn awaits_head(&self) -> bool {
        self.is_running() && self.receive.place() == Place::Head
    }

    /// Whether something waits for the transport.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        !self.send.is_flushed() && !self.is_in_doubt()
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
        match self.read_side {
            ReadSide::Open => {}
            ReadSide::AwaitingFin(_) => return self.life.state().is_leaving(),
            ReadSide::InDoubt(doubt) => return doubt.fin == Came::No,
            ReadSide::Ending(_) | ReadSide::Ended(_) => return false,
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
            _ => None,
        }
    }

    /// Whether nothing but the peer's FIN is still to come: its TLS has ended.
    #[must_use]
    pub fn awaits_fin(&self) -> bool {
        matches!(self.read_side, ReadSide::AwaitingFin(_))
    }

    /// Whether the peer has ended and the request may not have come in time: nothing is sent, and the driver
    /// [looks](Self::wants_look).
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        matches!(self.read_side, ReadSide::InDoubt(_))
    }

    /// Whether what the transport holds back may be sent: neither in doubt nor once it is to be dropped.
    #[must_use]
    pub fn may_flush(&self) -> bool {
        !self.is_in_doubt() && !matches!(self.life.state(), State::Closed)
    }

    /// Whether the kernel is to be asked now what it knows, and [`handle_sight`](Self::handle_sight) to be told:
    /// because of the time, or because the socket `is_gone`.
    #[must_use]
    pub fn wants_look(&self, now: Instant, is_gone: impl FnOnce() -> bool) -> bool {
        match self.read_side {
            ReadSide::InDoubt(Doubt { until: None, .. }) => true,
            ReadSide::InDoubt(Doubt { until: Some(until), fin, .. }) => {
                until <= now || (fin == Came::Yes && is_gone())
            }
            _ => false,
        }
    }

    /// Where the request in flight lies among all that was sent: what was before it, and the end of its head.
    #[must_use]
    pub fn span(&self) -> Span {
        let Facts { handed_before, head, .. } = self.exchange.facts;
        Span { before: handed_before, head_end: handed_before + head }
    }

    /// How the peer's side ended, once all that it sent before was taken.
    #[must_use]
    pub fn peer_end(&self) -> Option<TransportEnd> {
        match self.read_side {
            ReadSide::AwaitingFin(end) | ReadSide::Ended(end) => Some(end),
            ReadSide::Open | ReadSide::Ending(_) | ReadSide::InDoubt(_) => None,
        }
    }

    /// What is known of the request in flight, and what came back for it.
    #[must_use]
    pub fn evidence(&self) -> (Facts, Answer) {
        let answer = match self.receive.place() {
            Place::Head if self.exchange.facts.answered > 0 => Answer::Part,
            Place::Head | Place::Idle => Answer::None,
            Place::Body | Place::UntilClose | Place::Done => Answer::Head,
        };
        (self.exchange.facts, answer)
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

    /// No wait of an exchange that somebody reads, and none for the next, runs out sooner than this after it began.
    #[must_use]
    pub fn shortest_wait(&self) -> Option<Duration> {
        [self.config.timeouts.shortest(), self.life.shortest_wait()].into_iter().flatten().min()
    }

    /// What happened in its life, step by step, where somebody wants to know.
    pub fn journal(&mut self) -> &mut Journal {
        self.life.journal()
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
                    if until_close && end.is_orderly() {
                        return Some(Event::End);
                    }
                }
                Ok(Step::Head) => {
                    if let Some(head) = self.receive.take_head()
                        && let Some(event) = self.head_came(now, head)
                    {
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
        let exchange = if self.is_running() {
            self.clocks.next(&self.config.timeouts)
        } else {
            self.upgrade_deadline().map(|(at, _)| at)
        };
        let look = match self.read_side {
            ReadSide::InDoubt(doubt) => doubt.until,
            _ => None,
        };
        [self.life.poll_timeout(), exchange, look].into_iter().flatten().min()
    }

    /// When an upgraded connection has carried nothing for too long, or one of its sides has outlived the other for too
    /// long; whichever comes first.
    fn upgrade_deadline(&self) -> Option<(Instant, Phase)> {
        let State::Upgraded { ours, theirs } = self.life.state() else { return None };
        let limits = &self.config.timeouts;
        let after = |since: Option<Instant>, limit: Option<Duration>| since?.checked_add(limit?);
        let idle = after(self.clocks.carried, limits.upgrade_idle).map(|at| (at, Phase::UpgradeIdle));
        let since = (ours != theirs).then(|| self.life.since());
        let half = after(since, limits.upgrade_half_closed).map(|at| (at, Phase::UpgradeHalfClosed));
        [idle, half].into_iter().flatten().min_by_key(|(at, _)| *at)
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
        let (state, sent) = (self.life.state(), self.life.signals().0);
        let side = |ended: bool| if ended || state == State::Closed { Side::Ended } else { Side::Open };
        Snapshot {
            ours: side(sent.contains(Signal::Fin) || state == State::Muted),
            theirs: side(self.read_side != ReadSide::Open),
            phase: self.phase(),
            bytes_sent: self.bytes_sent,
            bytes_received: self.bytes_received,
            deadline: self.poll_timeout().map(|at| at.saturating_duration_since(now)),
            ..Snapshot::of_life(now, id, Protocol::Http1, &self.life)
        }
    }

    /// The report of a connection that is gone, or is being dropped at `now`.
    #[must_use]
    pub fn report(&self, now: Instant, id: ConnectionId) -> CloseReport {
        CloseReport {
            bytes_sent: self.bytes_sent,
            bytes_received: self.bytes_received,
            bytes_discarded: self.bytes_discarded,
            ended_idle: self.ended_idle.map(|(age, _)| age),
            round_trip: self.silence.map(|(_, round_trip)| round_trip),
            ..CloseReport::new(id, Protocol::Http1, &self.life, now)
        }
    }
}
