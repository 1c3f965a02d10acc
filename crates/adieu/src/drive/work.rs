//! The part of a connection under the work lock: engine, transport, alarm; and one turn over them.

mod doubt;
mod goodbye;

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use adieu_proto::h1::{Engine, TransportEnd};
use adieu_proto::lifecycle::{Action, CloseMode, CloseReason, Goodbye, LayerReport, Signal, State, Timeouts};
use tokio::io::AsyncWrite;

pub(crate) use doubt::Doubt;

use super::departures::{Departure, Departures, Leaver};
use super::keeper::{LearnedIdle, Standing};
use crate::rt::{Alarm, Rung, Runtime, RuntimeGone};
use crate::transport::{HalfClose, Peek, PeerEnd, Transport, end_of};

/// What a driver needs; one turn at a time.
pub(crate) struct Work {
    pub(crate) engine: Engine,
    io: Option<Box<dyn Transport>>,
    pub(crate) driver: Driver,
    /// Where it stands with its keeper.
    pub(crate) standing: Standing,
    /// The caller that waits for the exchange in flight, whoever drives.
    pub(crate) reader: Option<Waker>,
    /// The task that writes to an upgraded connection.
    writer: Option<Waker>,
    goodbye: Option<Farewell>,
    pub(super) departure: Option<Departure>,
    /// Those that must leave so that this one may; told once the lock is let go of.
    pub(super) shed: Vec<Arc<dyn Leaver>>,
    /// How many changes of state watchers know of.
    pub(super) published: u32,
    /// What the layers of the transport said, once it is gone.
    layers: Vec<LayerReport>,
    flush: Flush,
    /// How much the wire had taken when nothing more went.
    taken: Option<u64>,
    reset: Reset,
    watch: IdleWatch,
    /// How long each phase may take on any exchange but the one in flight, which has limits of its own.
    usual: Option<Box<Timeouts>>,
    /// Whether the exchange in flight can do without a proof.
    doubt: Doubt,
    /// When it was last in use.
    used: Instant,
    alarm: Alarm,
    /// Whether the alarm went off as it was set.
    rung: Rung,
    bell: Waker,
    runtime: Runtime,
    departures: Departures,
    /// The connection itself, to the departures.
    leaver: Weak<dyn Leaver>,
    /// How long it may be idle, by what others have taught.
    learned: Option<Arc<LearnedIdle>>,
    /// And what of that the engine was told, in microseconds.
    learned_micros: u64,
}

/// Where a connection lives: what it rings, on which runtime, and through which gate it leaves.
pub(super) struct Place {
    pub(super) bell: Waker,
    pub(super) runtime: Runtime,
    pub(super) departures: Departures,
    pub(super) leaver: Weak<dyn Leaver>,
    pub(super) learned: Option<Arc<LearnedIdle>>,
}

/// Who polls the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// The caller, while it polls; nobody else.
    Caller,
    /// The attendant: a caller only waits to be woken.
    Attendant,
}

/// What a turn achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// Something came or happened: look, and turn again.
    Progress,
    /// Nothing more before a waker is called.
    Parked,
}

/// A goodbye that was ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Farewell {
    /// Not begun: it may have to wait for a place.
    Ordered(Goodbye),
    /// Waiting for a place among the departures.
    Queued,
    /// What was written is being flushed.
    Flushing,
    /// Our side is being shut down; nothing is flushed any more.
    Ending,
}

/// Whether the transport may hold bytes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flush {
    Done,
    Due,
}

/// Whether a write was told of a reset. Linux tells it once: a read after that gives what came before, and then an
/// end that passes for the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reset {
    Unheard,
    Heard,
}

/// How the end of an idle connection is noticed without any traffic, and without any cost to a busy one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IdleWatch {
    /// To be registered once it has been idle for a while.
    Due,
    /// The transport rings the bell.
    Registered,
}

/// An idle connection is watched after this long.
const WATCH_AFTER: Duration = Duration::from_secs(1);
/// After this long without traffic readiness alone is not believed.
const PEEK_AFTER: Duration = Duration::from_millis(100);
/// So many passes a turn on the way out, then others get theirs.
const PASSES: usize = 32;

impl Work {
    pub(super) fn new(
        now: Instant,
        io: Box<dyn Transport>,
        engine: Engine,
        place: Place,
        standing: Standing,
    ) -> Self {
        let Place { bell, runtime, departures, leaver, learned } = place;
        let published = engine.life().changes();
        let shortest = shortest_wait(&engine);
        Self {
            engine,
            io: Some(io),
            driver: Driver::Caller,
            standing,
            reader: None,
            writer: None,
            goodbye: None,
            departure: None,
            shed: Vec::new(),
            published,
            layers: Vec::new(),
            flush: Flush::Done,
            taken: None,
            reset: Reset::Unheard,
            watch: IdleWatch::Due,
            usual: None,
            doubt: Doubt::Unbearable,
            used: now,
            alarm: Alarm::new(now, shortest),
            rung: Rung::No,
            bell,
            runtime,
            departures,
            leaver,
            learned,
            learned_micros: 0,
        }
    }

    /// Whether no caller can be relied on for what is to be done.
    pub(super) fn needs_attendant(&self) -> bool {
        let state = self.engine.state();
        self.rung == Rung::Yes
            || state.is_leaving()
            || self.engine.is_abandoned()
            || self.engine.sends_late()
            || (self.flush == Flush::Due && !self.engine.awaits_head())
            || (self.goodbye.is_some() && state != State::Closed)
    }

    /// Whether an exchange that nobody reads any more is still in the way of the next.
    pub(crate) fn is_clearing(&self) -> bool {
        self.engine.is_abandoned() || self.engine.is_response_whole()
    }

    /// Why no exchange can begin.
    pub(crate) fn ending(&self) -> CloseReason {
        self.engine.life().reason().cloned().unwrap_or(CloseReason::RuntimeGone)
    }

    /// One turn: clock, read, write, orders. `Progress` while there may be more to do at once.
    ///
    /// The read comes first: what a read that would wait has registered stands while the rest is written, so that
    /// an exchange costs one look at the transport for each time that it is woken.
    pub(crate) fn turn(&mut self, now: Instant, cx: &mut Context<'_>) -> Turned {
        let read = self.read(now, cx);
        if self.engine.is_in_doubt() {
            self.look_into_doubt(now, cx);
        }
        match self.push(now, cx) {
            Turned::Parked => read,
            Turned::Progress => Turned::Progress,
        }
    }

    /// A turn without its read, right after a look.
    pub(crate) fn push(&mut self, now: Instant, cx: &mut Context<'_>) -> Turned {
        // Deadlines lie ahead of the alarm, never before it.
        let moved = if self.alarm.is_due(now) { self.look_at_the_clock(now) } else { Turned::Parked };
        self.write(now, cx);
        match self.act(now, cx) {
            Turned::Parked => moved,
            Turned::Progress => Turned::Progress,
        }
    }

    /// Tells whether a deadline led to another state, in which there may be something else to read.
    #[cold]
    fn look_at_the_clock(&mut self, now: Instant) -> Turned {
        let before = self.engine.state();
        self.engine.handle_timeout(now);
        if before == self.engine.state() { Turned::Parked } else { Turned::Progress }
    }

    /// Whether the alarm went off as it was set; told once.
    pub(super) fn take_rung(&mut self) -> Rung {
        std::mem::replace(&mut self.rung, Rung::No)
    }

    /// Whether a goodbye was ordered and is not said yet.
    pub(crate) fn owes_goodbye(&self) -> bool {
        self.goodbye.is_some() || self.engine.has_orders()
    }

    /// Turns until nothing more can be done, for a connection without a caller.
    pub(super) fn turn_until_parked(&mut self, now: Instant, cx: &mut Context<'_>) {
        for _ in 0..PASSES {
            if self.turn(now, cx) == Turned::Parked {
                return;
            }
        }
        cx.waker().wake_by_ref();
    }

    fn write(&mut self, now: Instant, cx: &mut Context<'_>) {
        let Some(io) = &mut self.io else { return };
        let mut io = Pin::new(&mut **io);
        while self.engine.wants_write() {
            let written = match self.engine.slices() {
                [only, a, b] if a.is_empty() && b.is_empty() => io.as_mut().poll_write(cx, &only),
                slices => write_gathered(io.as_mut(), cx, &slices),
            };
            match written {
                Poll::Ready(Ok(0)) => return self.handle_write_end(now, TransportEnd::Reset),
                Poll::Ready(Ok(bytes)) => self.engine.handle_sent(now, bytes),
                Poll::Ready(Err(error)) => {
                    // What is held back still belongs to what has failed.
                    self.flush = Flush::Done;
                    self.hear(&error);
                    return self.handle_write_end(now, end_of(&error));
                }
                Poll::Pending => return self.blocked(now),
            }
            self.flush = Flush::Due;
        }
        // What was held back may be the rest of a request that has failed.
        if self.flush == Flush::Due && self.engine.may_flush() {
            match io.poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    self.flush = Flush::Done;
                    self.engine.handle_unblocked();
                }
                Poll::Ready(Err(error)) => {
                    self.flush = Flush::Done;
                    self.hear(&error);
                    self.handle_write_end(now, end_of(&error));
                }
                Poll::Pending => self.blocked(now),
            }
        }
    }

    /// The transport takes nothing for now. What it holds back, as TLS does with records, may still trickle.
    fn blocked(&mut self, now: Instant) {
        let taken = self.wire_taken();
        if taken != std::mem::replace(&mut self.taken, taken) {
            self.engine.handle_unblocked();
        }
        self.engine.handle_blocked(now);
    }

    fn read(&mut self, now: Instant, cx: &mut Context<'_>) -> Turned {
        if !self.engine.wants_read() {
            return Turned::Parked;
        }
        let Some(io) = &mut self.io else { return Turned::Parked };
        match tokio_util::io::poll_read_buf(Pin::new(&mut **io), cx, self.engine.room()) {
            Poll::Pending => return Turned::Parked,
            Poll::Ready(Ok(0)) => {
                let end = self.reset.end_of_input(io.peer_end());
                self.handle_read_end(now, end);
            }
            Poll::Ready(Ok(bytes)) => self.engine.handle_received(now, bytes),
            Poll::Ready(Err(error)) => {
                let end = self.end_of_read(&error);
                self.handle_read_end(now, end);
            }
        }
        Turned::Progress
    }

    #[cold]
    fn handle_read_end(&mut self, now: Instant, end: TransportEnd) {
        self.note_held_back();
        self.note_silence();
        self.engine.handle_read_end(now, end);
    }

    #[cold]
    fn handle_write_end(&mut self, now: Instant, end: TransportEnd) {
        self.note_held_back();
        self.engine.handle_write_end(now, end);
    }

    /// Carries out the engine's orders, and a goodbye as far as the transport takes it.
    #[inline]
    pub(crate) fn act(&mut self, now: Instant, cx: &mut Context<'_>) -> Turned {
        if self.goodbye.is_none() && !self.engine.has_orders() {
            return Turned::Parked;
        }
        self.carry_out(now, cx)
    }

    fn carry_out(&mut self, now: Instant, cx: &mut Context<'_>) -> Turned {
        let mut turned = Turned::Parked;
        while let Some(action) = self.engine.poll_action() {
            turned = Turned::Progress;
            match action {
                Action::SayGoodbye(goodbye) => self.goodbye = Some(Farewell::Ordered(goodbye)),
                Action::DropTransport(parting) => self.let_go(parting),
                // The keeper is told once the lock is let go of; exchanges fail inside the engine.
                _ => {}
            }
        }
        if self.goodbye.is_some() && self.say_goodbye(now, cx).is_ready() {
            self.goodbye = None;
            turned = Turned::Progress;
        }
        turned
    }

    /// How much the wire has taken.
    pub(super) fn wire_taken(&self) -> Option<u64> {
        self.io.as_ref()?.wire_taken()
    }

    /// Whether our side can end while the peer's goes on.
    pub(super) fn half_close(&self) -> HalfClose {
        self.io.as_ref().map_or(HalfClose::Possible, |io| io.half_close())
    }

    /// Carries out the last order of a connection that is closed, where no turn has.
    pub(super) fn leave(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            if let Action::DropTransport(parting) = action {
                self.let_go(parting);
            }
        }
    }

    /// The runtime is gone, and with it every driver: what can be said at once is said, then the transport is
    /// dropped.
    pub(super) fn forsake(&mut self, now: Instant) {
        self.engine.close_because(now, CloseMode::now(), CloseReason::RuntimeGone);
        self.act(now, &mut Context::from_waker(Waker::noop()));
        if let Some(io) = self.io.take() {
            self.layers = io.layers();
        }
        self.engine.close_because(now, CloseMode::abort(), CloseReason::RuntimeGone);
        self.act(now, &mut Context::from_waker(Waker::noop()));
    }

    /// Looks once before a request is written: bytes or an end that came while the connection was idle. Readiness
    /// first, which costs no system call; after a pause a real look too. `Pending`: something came that the
    /// runtime has not been told of yet.
    pub(crate) fn look(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let Some(io) = &self.io else { return Poll::Ready(()) };
        let peek = if now >= self.used + PEEK_AFTER { io.peek() } else { Peek::Unknown };
        while self.engine.state() == State::Idle {
            if let Peek::Broken(kind) = peek {
                self.handle_read_end(now, end_of(&kind.into()));
            } else if self.read(now, cx) == Turned::Parked {
                // A transport may have taken what came for itself, as TLS does with a ticket.
                let still =
                    peek.is_something() && self.io.as_ref().is_some_and(|io| io.peek().is_something());
                return if still { Poll::Pending } else { Poll::Ready(()) };
            }
        }
        self.act(now, cx);
        Poll::Ready(())
    }

    /// Watches for the end of an idle connection when its time has come: from then on its transport rings the
    /// bell. Called whenever an attendant leaves, for what was registered before, its last turn has replaced.
    pub(super) fn watch_idle(&mut self, now: Instant) {
        if self.engine.state() != State::Idle || now < self.used + WATCH_AFTER {
            return;
        }
        self.engine.shrink();
        self.watch = IdleWatch::Registered;
        let bell = self.bell.clone();
        self.turn_until_parked(now, &mut Context::from_waker(&bell));
    }

    /// A request has it from now on.
    pub(crate) fn lent(&mut self) {
        if self.standing == Standing::Shelf {
            self.standing = Standing::Lent;
        }
    }

    /// How long each phase of the exchange that has just begun may take; `None`: as long as on any.
    pub(crate) fn limit(&mut self, timeouts: Option<&Timeouts>) {
        match (timeouts, &self.usual) {
            (None, None) => return,
            (None, Some(usual)) => {
                *self.engine.timeouts() = **usual;
                self.usual = None;
            }
            (Some(timeouts), _) => {
                let usual = std::mem::replace(self.engine.timeouts(), *timeouts);
                self.usual.get_or_insert_with(|| Box::new(usual));
            }
        }
        self.alarm.expect(shortest_wait(&self.engine));
    }

    /// The clock jumped so far while this was idle, or may have been: it is looked at before it is used. Whether it has
    /// outlived its idle limit.
    pub(crate) fn distrust(&mut self, now: Instant, jump: Duration) -> bool {
        if self.engine.state() != State::Idle {
            return false;
        }
        let idle = now.saturating_duration_since(self.engine.life().since()) + jump;
        self.used = now.checked_sub(PEEK_AFTER).unwrap_or(self.used);
        self.engine.life().idle_limit().is_some_and(|limit| idle >= limit)
    }

    /// An idle connection was looked at: what watched it does no more. It was no use: who looks again looks as closely.
    pub(crate) fn note_look(&mut self, now: Instant) {
        (self.watch, self.used) = (IdleWatch::Due, now.checked_sub(PEEK_AFTER).unwrap_or(self.used));
    }

    /// The connection was in use until now.
    pub(crate) fn note_use(&mut self, now: Instant) {
        (self.watch, self.used) = (IdleWatch::Due, now);
        self.learn();
        // The peer may have said how long it keeps an idle connection.
        if let Some(idle) = self.engine.life().idle_limit().filter(|idle| *idle < self.alarm.shortest()) {
            self.alarm.expect(idle);
        }
    }

    /// Takes over what others of its origin have taught since.
    #[inline]
    fn learn(&mut self) {
        let Some(learned) = &self.learned else { return };
        let micros = learned.micros();
        if micros != self.learned_micros {
            self.take_lesson(micros);
        }
    }

    #[cold]
    fn take_lesson(&mut self, micros: u64) {
        self.learned_micros = micros;
        self.engine.learn_idle((micros > 0).then(|| Duration::from_micros(micros)));
        // What it is set to may be too late by now.
        self.alarm.clear();
    }

    /// Whether the peer may be about to end it, being idle for as long as it has been.
    pub(crate) fn is_near_its_end(&mut self, now: Instant) -> bool {
        self.learn();
        let life = self.engine.life();
        let idle = now.saturating_duration_since(life.since());
        self.engine.state() == State::Idle && life.idle_limit().is_some_and(|limit| idle > limit - limit / 4)
    }

    /// Sees to it that the alarm goes off in time for whatever began to wait in this turn. Mostly it is set to a
    /// moment that is soon enough for anything, and nothing needs to be computed.
    pub(crate) fn arm_soon_enough(&mut self, now: Instant) {
        if !self.alarm.is_soon_enough(now) {
            self.arm(now);
        }
    }

    /// Sets the alarm to the next deadline.
    pub(crate) fn arm(&mut self, now: Instant) {
        let watch = match self.watch {
            // An attendant that stays watches by itself.
            IdleWatch::Due if self.driver == Driver::Caller && self.engine.state() == State::Idle => {
                Some(self.used + WATCH_AFTER)
            }
            _ => None,
        };
        let at = match (self.engine.poll_timeout(), watch) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        match self.alarm.set(at, now, &self.runtime, &self.bell) {
            Ok(Rung::No) => {}
            // Called once the lock is let go of.
            Ok(Rung::Yes) => self.rung = Rung::Yes,
            Err(RuntimeGone) => self.forsake(now),
        }
    }

    pub(super) fn unacknowledged(&self) -> Option<u64> {
        self.io.as_ref()?.unacknowledged()
    }

    /// The transport, for another protocol; `None` once it is gone.
    pub(crate) fn carrier(&mut self) -> Option<(Pin<&mut (dyn Transport + 'static)>, &mut Engine)> {
        Some((Pin::new(&mut **self.io.as_mut()?), &mut self.engine))
    }

    /// Notes an error of a write: what it tells of the peer.
    pub(crate) fn hear(&mut self, error: &std::io::Error) {
        self.reset.hear(error);
        if self.reset == Reset::Heard {
            self.engine.handle_heard(Signal::Rst);
        }
    }

    /// What an error of a read means: after a reset that a write was told of, an end is the reset's.
    pub(crate) fn end_of_read(&self, error: &std::io::Error) -> TransportEnd {
        match end_of(error) {
            TransportEnd::BareFin => self.reset.end_of_input(PeerEnd::BareFin),
            other => other,
        }
    }

    /// What a read of nothing means.
    pub(crate) fn end_of_input(&self) -> TransportEnd {
        let end = self.io.as_ref().map_or(PeerEnd::Fin, |io| io.peer_end());
        self.reset.end_of_input(end)
    }

    /// Notes who writes to an upgraded connection. Gives back who did, to be dropped under no lock.
    #[must_use]
    pub(crate) fn written_by(&mut self, waker: &Waker) -> Option<Waker> {
        noted(&mut self.writer, waker)
    }

    /// The writer that must be woken.
    pub(super) fn take_writer(&mut self) -> Option<Waker> {
        self.writer.take()
    }

    /// The reader that must be woken.
    pub(super) fn take_reader(&mut self) -> Option<Waker> {
        self.reader.take()
    }

    /// Notes who waits for the exchange in flight. Gives back who did, to be dropped under no lock.
    #[must_use]
    pub(crate) fn read_by(&mut self, waker: &Waker) -> Option<Waker> {
        noted(&mut self.reader, waker)
    }
}

/// Notes this waker; the one before, which may be the last hold on its task.
fn noted(place: &mut Option<Waker>, waker: &Waker) -> Option<Waker> {
    match place {
        Some(known) if known.will_wake(waker) => None,
        place => place.replace(waker.clone()),
    }
}

/// Nothing for which the alarm is needed runs out sooner than this after it began.
fn shortest_wait(engine: &Engine) -> Duration {
    engine.shortest_wait().map_or(WATCH_AFTER, |wait| wait.min(WATCH_AFTER))
}

impl Reset {
    /// A write failed. A broken pipe is none: the peer's end came before it, and is still to be read.
    fn hear(&mut self, error: &std::io::Error) {
        if error.kind() == std::io::ErrorKind::ConnectionReset {
            *self = Self::Heard;
        }
    }

    /// What a read of nothing means.
    fn end_of_input(self, end: PeerEnd) -> TransportEnd {
        match (self, end) {
            (Self::Unheard, PeerEnd::Fin) => TransportEnd::Fin,
            (_, PeerEnd::CloseNotify) => TransportEnd::CloseNotify,
            (Self::Unheard, PeerEnd::BareFin) => TransportEnd::BareFin,
            (Self::Heard, PeerEnd::Fin | PeerEnd::BareFin) => TransportEnd::Reset,
        }
    }
}

/// Empty slices left out; a transport that cannot gather gets the first.
fn write_gathered(
    io: Pin<&mut (dyn Transport + 'static)>,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>; 3],
) -> Poll<std::io::Result<usize>> {
    let from = slices.iter().position(|slice| !slice.is_empty()).unwrap_or(0);
    if io.is_write_vectored() {
        let to = slices.iter().rposition(|slice| !slice.is_empty()).map_or(from, |last| last + 1);
        AsyncWrite::poll_write_vectored(io, cx, &slices[from..to])
    } else {
        AsyncWrite::poll_write(io, cx, &slices[from])
    }
}
