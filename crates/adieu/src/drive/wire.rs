//! One connection: what its sender, its bodies, its handles and its attendant share.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use adieu_proto::h1::Engine;
use adieu_proto::lifecycle::{
    Address, CloseMode, CloseReason, CloseReport, ConnectionId, LayerReport, Readers, Signal, Snapshot,
    State, TlsSession,
};

use super::departures::{Departure, Departures, Leaver};
use super::keeper::{Kept, Move, Standing};
use super::orders::{Attendance, Orders, Parted, Shed, UpgradedDropped, Upload, enlist};
use super::telling::told;
use super::work::{Driver, Place, Work};
use crate::rt::{self, Rung, Runtime};
use crate::transport::{HalfClose, ResetArmed, Transport};

/// One connection.
pub(crate) struct Wire {
    id: ConnectionId,
    origin: Option<Arc<str>>,
    peer: Option<Address>,
    local: Option<Address>,
    tls: Option<TlsSession>,
    work: Mutex<Work>,
    orders: Mutex<Orders>,
    /// Whether `orders` holds something for a driver: a look that costs no lock.
    pub(super) pending: AtomicBool,
    /// Whether somebody waits for another state.
    watched: AtomicBool,
    /// How many wait for the report.
    awaiting: Arc<AtomicUsize>,
    /// Who keeps it between exchanges, if anybody does.
    kept: Option<Kept>,
    pub(super) runtime: Runtime,
}

/// What a connection is made of.
pub(crate) struct Parts {
    pub(crate) id: ConnectionId,
    pub(crate) io: Box<dyn Transport>,
    pub(crate) engine: Engine,
    pub(crate) origin: Option<Arc<str>>,
    pub(crate) runtime: Runtime,
    pub(crate) departures: Departures,
    pub(crate) kept: Option<Kept>,
}

/// Retires the connection when the last of its holders is gone.
pub(crate) struct Lease(pub(crate) Arc<Wire>);

/// The work lock, held; letting go of it tells everybody who must know what happened under it.
pub(crate) struct Locked<'w> {
    // Let go of in this order: the lock, then the news.
    work: MutexGuard<'w, Work>,
    after: After<'w>,
}

/// What is to be done once the work lock is let go of.
struct After<'w> {
    wire: &'w Arc<Wire>,
    /// What the keeper must be told.
    moved: Move,
    untold: Untold,
    /// Mostly there is none.
    news: Option<Box<News>>,
}

/// Whether there may be something that observers do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Untold {
    Something,
    Nothing,
}

/// What happened under the work lock that others wait for.
struct News {
    /// Those that must leave so that this one may.
    shed: Vec<Arc<dyn Leaver>>,
    /// Those that wait for the exchange, or carry another protocol.
    wake: [Option<Waker>; 2],
    /// The place among the departures that is free again.
    departure: Option<Departure>,
    attend: Attend,
    /// Its report, the moment there is one.
    closed: Option<Box<CloseReport>>,
}

/// Whether the attendant is to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attend {
    Yes,
    No,
}

/// Calls the attendant. Kept by alarms and by the transport of an idle connection, so it must not keep the
/// connection.
struct Bell(Weak<Wire>);

/// A number for a connection that will be, or is.
pub(crate) fn next_id() -> ConnectionId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    ConnectionId::new(NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Wire {
    /// A connection that does nothing by itself before [`begin`](Self::begin).
    pub(crate) fn new(now: Instant, parts: Parts) -> Arc<Self> {
        let Parts { id, io, engine, origin, runtime, departures, kept } = parts;
        let (peer, local, tls) = (io.peer_address(), io.local_address(), io.tls().cloned());
        let standing = if kept.is_some() { Standing::Shelf } else { Standing::Left };
        Arc::new_cyclic(|wire| {
            let bell = Waker::from(Arc::new(Bell(wire.clone())));
            let leaver: Weak<Self> = wire.clone();
            let learned = kept.as_ref().map(|kept| kept.learned.clone());
            let place = Place { bell, runtime: runtime.clone(), departures, leaver, learned };
            Self {
                id,
                origin,
                peer,
                local,
                tls,
                work: Mutex::new(Work::new(now, io, engine, place, standing)),
                orders: Mutex::default(),
                pending: AtomicBool::new(false),
                watched: AtomicBool::new(false),
                awaiting: Arc::default(),
                kept,
                runtime,
            }
        })
    }

    /// Its first deadline counts, and observers are told of it.
    pub(crate) fn begin(self: &Arc<Self>, now: Instant) {
        self.lock().arm(now);
    }

    /// Tells observers from now on.
    pub(crate) fn keep_journal(self: &Arc<Self>) {
        self.lock().engine.journal().keep_for(Readers::Some);
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    /// Takes the work lock. Held for one turn only, over non-blocking calls.
    pub(crate) fn lock(self: &Arc<Self>) -> Locked<'_> {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        Locked { work, after: After { wire: self, moved: Move::None, untold: Untold::Nothing, news: None } }
    }

    pub(super) fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Orders, from anywhere: `Drop`, other threads, no runtime's context.

    /// Closes like this; of two orders the stricter wins.
    pub(crate) fn order_close(self: &Arc<Self>, mode: CloseMode) {
        self.order(|orders| orders.close = Some(orders.close.map_or(mode, |other| other.stricter(mode))));
    }

    /// Takes no new exchange, for this reason: those in flight end by themselves.
    pub(crate) fn order_retire(self: &Arc<Self>, reason: CloseReason) {
        self.order(|orders| {
            orders.retire.get_or_insert(reason);
        });
    }

    /// The caller of this exchange is gone.
    pub(crate) fn order_abandon(self: &Arc<Self>, exchange: u64) {
        self.order(|orders| orders.abandoned = Some(exchange));
    }

    /// The holder of an upgraded connection let go of it.
    pub(crate) fn order_drop_upgraded(self: &Arc<Self>) {
        self.order(|orders| orders.drop_upgraded = Some(UpgradedDropped));
    }

    /// An upload goes on without its caller.
    pub(crate) fn hand_over(self: &Arc<Self>, upload: Upload) {
        self.order(|orders| orders.upload = Some(upload));
    }

    fn order(self: &Arc<Self>, give: impl FnOnce(&mut Orders)) {
        let mut orders = self.orders();
        if orders.report.is_some() {
            return;
        }
        give(&mut orders);
        self.pending.store(true, Ordering::Release);
        drop(orders);
        self.call_attendant();
    }

    pub(super) fn take_upload(&self) -> Option<Upload> {
        self.orders().upload.take()
    }

    // Questions.

    pub(crate) fn state(self: &Arc<Self>) -> State {
        self.lock().engine.state()
    }

    /// Whether it takes no new exchange any more, so that its keeper was told or is being told.
    pub(crate) fn has_left(self: &Arc<Self>) -> bool {
        self.lock().standing == Standing::Left
    }

    /// Whether a close was ordered that no driver has carried out yet.
    pub(crate) fn is_close_ordered(&self) -> bool {
        self.pending.load(Ordering::Acquire) && {
            let orders = self.orders();
            orders.close.is_some() || orders.shed.is_some()
        }
    }

    pub(crate) fn snapshot(self: &Arc<Self>) -> Snapshot {
        let now = rt::now();
        let work = self.lock();
        let mut snapshot = work.engine.snapshot(now, self.id);
        snapshot.unacknowledged = work.unacknowledged();
        drop(work);
        snapshot.origin = self.origin.as_deref().map(ToOwned::to_owned);
        snapshot.peer.clone_from(&self.peer);
        snapshot.local.clone_from(&self.local);
        snapshot.tls.clone_from(&self.tls);
        snapshot
    }

    pub(crate) fn origin(&self) -> Option<&Arc<str>> {
        self.origin.as_ref()
    }

    /// Who keeps it, if anybody does.
    pub(crate) fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    pub(crate) fn peer(&self) -> Option<&Address> {
        self.peer.as_ref()
    }

    pub(crate) fn local(&self) -> Option<&Address> {
        self.local.as_ref()
    }

    /// What was said on each layer so far.
    pub(crate) fn layers(self: &Arc<Self>) -> Vec<LayerReport> {
        if let Some(report) = self.report() {
            return report.layers;
        }
        self.lock().layers()
    }

    /// Whether our side can end while the peer's goes on.
    pub(crate) fn half_close(self: &Arc<Self>) -> HalfClose {
        self.lock().half_close()
    }

    /// How much the wire has taken.
    pub(crate) fn wire_taken(self: &Arc<Self>) -> Option<u64> {
        self.lock().wire_taken()
    }

    /// Resets an upgraded connection in this call, for what it carried was cut short.
    pub(crate) fn abort_upgraded(self: &Arc<Self>) -> ResetArmed {
        let now = rt::now();
        let mut work = self.lock();
        work.engine.close_because(now, CloseMode::abort(), CloseReason::RequestCancelled);
        work.leave();
        let reset = work.engine.life().signals().0.contains(Signal::Rst);
        if reset { ResetArmed::Yes } else { ResetArmed::No }
    }

    /// How many wait for the report.
    pub(crate) fn awaiting(&self) -> &Arc<AtomicUsize> {
        &self.awaiting
    }

    /// The report, or a call once it is there. `place` is the caller's own, to be given back to
    /// [`leave_report`](Self::leave_report).
    pub(crate) fn poll_report(&self, cx: &Context<'_>, place: &mut Option<u64>) -> Poll<CloseReport> {
        let mut orders = self.orders();
        if orders.parted == Parted::Yes
            && let Some(report) = &orders.report
        {
            return Poll::Ready((**report).clone());
        }
        let next = orders.closers.last().map_or(0, |(last, _)| last + 1);
        let place = *place.get_or_insert(next);
        let waker = cx.waker().clone();
        let before = match orders.closers.iter_mut().find(|(known, _)| *known == place) {
            Some((_, known)) => Some(std::mem::replace(known, waker)),
            None => {
                orders.closers.push((place, waker));
                None
            }
        };
        drop(orders);
        // Under no lock: it may be the last hold on its task.
        drop(before);
        Poll::Pending
    }

    /// Nobody waits at that place any more.
    pub(crate) fn leave_report(&self, place: u64) {
        let mut orders = self.orders();
        let found = orders.closers.iter().position(|(known, _)| *known == place);
        // In order still: the last has the highest number.
        let gone = found.map(|at| orders.closers.remove(at));
        drop(orders);
        drop(gone);
    }

    pub(crate) fn report(&self) -> Option<CloseReport> {
        self.orders().report.as_deref().cloned()
    }

    pub(crate) fn poll_state(self: &Arc<Self>, cx: &Context<'_>, seen: State) -> Poll<State> {
        // Enlisted before the look: a change in between wakes.
        self.watch(cx.waker());
        let state = self.state();
        if state == seen { Poll::Pending } else { Poll::Ready(state) }
    }

    /// Wakes at the next change of state.
    pub(crate) fn watch(&self, waker: &Waker) {
        let mut orders = self.orders();
        enlist(&mut orders.watchers, waker);
        self.watched.store(true, Ordering::SeqCst);
    }

    /// The runtime is gone, and with it every driver: what is left is to let go of the transport.
    pub(super) fn forsake(self: &Arc<Self>) {
        let now = rt::now();
        let mut work = self.lock();
        work.forsake(now);
    }
}

impl Locked<'_> {
    /// Carries out what `Drop` and `close` left.
    #[inline]
    pub(crate) fn obey(&mut self, now: Instant) {
        if self.after.wire.pending.load(Ordering::Acquire) {
            self.carry_out_orders(now);
        }
    }

    #[cold]
    fn carry_out_orders(&mut self, now: Instant) {
        if !self.after.wire.pending.swap(false, Ordering::Acquire) {
            return;
        }
        let mut orders = self.after.wire.orders();
        let (close, shed, retire) = (orders.close.take(), orders.shed.take(), orders.retire.take());
        let (abandoned, granted) = (orders.abandoned.take(), orders.granted.take());
        let dropped = orders.drop_upgraded.take();
        drop(orders);
        let work = &mut **self;
        if let Some(departure) = granted {
            work.departure = Some(departure);
        }
        if let Some(exchange) = abandoned
            && work.engine.exchange() == exchange
        {
            work.engine.abandon(now);
        }
        if dropped.is_some() {
            work.engine.drop_upgraded(now);
        }
        if let Some(reason) = retire {
            work.engine.retire(now, None, reason);
        }
        if let Some(mode) = close {
            work.engine.close(now, mode);
        }
        if shed.is_some() {
            work.engine.close_because(now, CloseMode::abort(), CloseReason::Shed);
        }
    }
}

impl Deref for Locked<'_> {
    type Target = Work;

    fn deref(&self) -> &Work {
        &self.work
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Work {
        &mut self.work
    }
}

impl Drop for Locked<'_> {
    /// Gathers the news, if there are any, while the lock is held.
    fn drop(&mut self) {
        let (work, wire) = (&mut *self.work, self.after.wire);
        let state = work.engine.state();
        let changes = work.engine.life().changes();
        let changed = std::mem::replace(&mut work.published, changes) != changes;
        let watched = changed && wire.watched.load(Ordering::SeqCst);
        let attend =
            work.take_rung() == Rung::Yes || (work.driver == Driver::Caller && work.needs_attendant());
        self.after.moved = work.standing.moves(state == State::Idle, state.is_open());
        // What happens with every exchange ends here.
        if watched
            || attend
            || state == State::Closed
            || !work.engine.journal().is_empty()
            || !work.shed.is_empty()
        {
            let attend = if attend { Attend::Yes } else { Attend::No };
            self.gather(state, attend);
        }
    }
}

impl Locked<'_> {
    /// Gathers what is to be told once the lock is let go of.
    #[cold]
    fn gather(&mut self, state: State, attend: Attend) {
        let (work, wire) = (&mut *self.work, self.after.wire);
        let closed = state == State::Closed && wire.orders().report.is_none();
        if closed {
            // Whatever led here, the transport goes before anybody is told.
            work.leave();
        }
        if !work.engine.journal().is_empty() {
            // Under the lock still, so that they stay in order.
            let entries = work.engine.journal().take();
            if wire.kept.as_ref().is_some_and(|kept| kept.observers.anybody()) {
                wire.orders().untold.extend(entries.into_iter().map(|(at, entry)| (at, told(entry))));
                self.after.untold = Untold::Something;
            } else {
                // Nobody reads any more. Whoever subscribes says so before it has the journal kept anew.
                work.engine.journal().keep_for(Readers::None);
            }
        }
        // A place may be granted to a connection that has just closed.
        let departure = if state == State::Closed { work.departure.take() } else { None };
        let mut news = News {
            shed: std::mem::take(&mut work.shed),
            wake: [None, None],
            departure,
            attend: if closed { Attend::No } else { attend },
            closed: None,
        };
        if closed {
            let mut report = work.engine.report(rt::now(), wire.id);
            report.origin = wire.origin.as_deref().map(ToOwned::to_owned);
            report.peer.clone_from(&wire.peer);
            report.tls.clone_from(&wire.tls);
            report.layers = work.layers();
            news.closed = Some(Box::new(report.clone()));
            // Under the lock still: who sees that it is closed finds the report.
            wire.orders().report = Some(Box::new(report));
            news.wake = [work.take_reader(), work.take_writer()];
        }
        self.after.news = Some(Box::new(news));
    }
}

impl Drop for After<'_> {
    /// Tells those who wait, under no lock.
    fn drop(&mut self) {
        // First of all, so that a connection which gives its place to another ends before that begins.
        if self.news.as_ref().is_some_and(|news| news.attend == Attend::Yes) {
            self.wire.call_attendant();
        }
        if let Some(kept) = &self.wire.kept {
            // Before the keeper acts on it: so what follows is told later than what it follows from.
            if self.untold == Untold::Something {
                kept.tell_on(self.wire);
            }
            match self.moved {
                Move::None => {}
                Move::Returned => kept.keeper.returned(self.wire),
                Move::Left => kept.keeper.left(self.wire),
            }
        }
        let Some(news) = self.news.take() else { return };
        let closed = news.closed.is_some();
        if let (Some(kept), Some(report)) = (&self.wire.kept, news.closed) {
            kept.closed(self.wire, report);
        }
        drop(news.departure);
        let mut orders = self.wire.orders();
        if closed {
            // Whoever awaited it finds the keeper's books in order.
            orders.parted = Parted::Yes;
        }
        let mut wake = std::mem::take(&mut orders.watchers);
        self.wire.watched.store(false, Ordering::SeqCst);
        let mut over = (None, None);
        if orders.report.is_some() {
            wake.extend(orders.closers.drain(..).map(|(_, waker)| waker));
            // Nothing that was ordered matters once the connection is gone, and the attendant has nothing to wait for.
            over = (orders.upload.take(), orders.granted.take());
            if let Attendance::Asleep(waker) = &orders.attendant {
                wake.push(waker.clone());
                orders.attendant = Attendance::Awake;
            }
        }
        drop(orders);
        drop(over);
        wake.into_iter().chain(news.wake.into_iter().flatten()).for_each(Waker::wake);
        news.shed.into_iter().for_each(Leaver::shed);
    }
}

impl Leaver for Wire {
    fn awaiting(&self) -> &Arc<AtomicUsize> {
        &self.awaiting
    }

    fn shed(self: Arc<Self>) {
        self.order(|orders| orders.shed = Some(Shed));
    }

    fn grant(self: Arc<Self>, departure: Departure) -> Result<(), Departure> {
        let mut orders = self.orders();
        if orders.report.is_some() {
            return Err(departure);
        }
        orders.granted = Some(departure);
        self.pending.store(true, Ordering::Release);
        drop(orders);
        self.call_attendant();
        Ok(())
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(wire) = self.0.upgrade() {
            wire.call_attendant();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.order_retire(CloseReason::HandlesDropped);
    }
}
