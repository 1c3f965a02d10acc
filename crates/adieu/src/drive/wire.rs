//! One connection: what its sender, its bodies, its handles and its attendant share.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use adieu_proto::h1::Engine;
use adieu_proto::lifecycle::{Address, CloseMode, CloseReason, CloseReport, ConnectionId, Snapshot, State};

use super::attendant::Attendant;
use super::departures::{Departure, Departures};
use super::orders::{Attendance, HandlesDropped, Orders, Shed, UpgradedDropped, Upload, enlist};
use super::work::{Driver, Work};
use crate::rt::{self, Runtime};
use crate::transport::Transport;

/// One connection.
pub(crate) struct Wire {
    id: ConnectionId,
    origin: Option<String>,
    peer: Option<Address>,
    local: Option<Address>,
    work: Mutex<Work>,
    orders: Mutex<Orders>,
    /// Whether `orders` holds something for a driver: a look that costs no lock.
    pending: AtomicBool,
    /// Whether somebody waits for another state.
    watched: AtomicBool,
    /// How many wait for the report.
    awaiting: Arc<AtomicUsize>,
    pub(super) runtime: Runtime,
    departures: Departures,
}

/// Retires the connection when the last of its holders is gone.
pub(crate) struct Lease(pub(crate) Arc<Wire>);

/// The work lock, held; letting go of it tells everybody who must know what happened under it.
pub(crate) struct Locked<'w> {
    wire: &'w Arc<Wire>,
    /// `None` only while it is being let go of.
    work: Option<MutexGuard<'w, Work>>,
}

/// Calls the attendant. Kept by alarms and by the transport of an idle connection, so it must not keep the
/// connection.
struct Bell(Weak<Wire>);

impl Wire {
    pub(crate) fn new(
        now: Instant,
        io: Box<dyn Transport>,
        engine: Engine,
        origin: Option<String>,
        runtime: Runtime,
        departures: Departures,
    ) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = ConnectionId::new(NEXT.fetch_add(1, Ordering::Relaxed));
        let (peer, local) = (io.peer_address(), io.local_address());
        let wire = Arc::new_cyclic(|wire| {
            let bell = Waker::from(Arc::new(Bell(wire.clone())));
            Self {
                id,
                origin,
                peer,
                local,
                work: Mutex::new(Work::new(now, io, engine, bell)),
                orders: Mutex::default(),
                pending: AtomicBool::new(false),
                watched: AtomicBool::new(false),
                awaiting: Arc::default(),
                runtime,
                departures,
            }
        });
        wire.lock().arm(now);
        wire
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    /// Takes the work lock. Held for one turn only, over non-blocking calls.
    pub(crate) fn lock(self: &Arc<Self>) -> Locked<'_> {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        Locked { wire: self, work: Some(work) }
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Orders, from anywhere: `Drop`, other threads, no runtime's context.

    /// Closes like this; of two orders the stricter wins.
    pub(crate) fn order_close(self: &Arc<Self>, mode: CloseMode) {
        self.order(|orders| orders.close = Some(orders.close.map_or(mode, |other| other.stricter(mode))));
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

    pub(super) fn order_shed(self: &Arc<Self>) {
        self.order(|orders| orders.shed = Some(Shed));
    }

    pub(super) fn grant(self: &Arc<Self>, departure: Departure) {
        self.order(|orders| orders.granted = Some(departure));
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

    /// Sees to it that an attendant looks at the connection.
    pub(crate) fn call_attendant(self: &Arc<Self>) {
        let mut orders = self.orders();
        if orders.report.is_some() {
            return;
        }
        match std::mem::replace(&mut orders.attendant, Attendance::Awake) {
            Attendance::Absent => {
                drop(orders);
                self.runtime.spawn(Attendant::new(self.clone()));
            }
            Attendance::Awake => {
                // It may be about to sleep: what is pending makes it look again.
                self.pending.store(true, Ordering::Release);
            }
            Attendance::Asleep(waker) => {
                drop(orders);
                waker.wake();
            }
        }
    }

    /// The attendant sleeps, unless something came in the meantime.
    pub(super) fn attendant_sleeps(&self, waker: &Waker) -> Poll<()> {
        let mut orders = self.orders();
        if orders.report.is_none() && (orders.upload.is_some() || self.pending.load(Ordering::Acquire)) {
            return Poll::Pending;
        }
        orders.attendant = Attendance::Asleep(waker.clone());
        Poll::Ready(())
    }

    /// The attendant leaves, unless something came in the meantime.
    pub(super) fn attendant_leaves(&self) -> Poll<()> {
        let mut orders = self.orders();
        if orders.report.is_none() && (orders.upload.is_some() || self.pending.load(Ordering::Acquire)) {
            return Poll::Pending;
        }
        orders.attendant = Attendance::Absent;
        Poll::Ready(())
    }

    pub(super) fn take_upload(&self) -> Option<Upload> {
        self.orders().upload.take()
    }

    // Questions.

    pub(crate) fn state(self: &Arc<Self>) -> State {
        self.lock().engine.state()
    }

    pub(crate) fn snapshot(self: &Arc<Self>) -> Snapshot {
        let now = rt::now();
        let work = self.lock();
        let mut snapshot = work.engine.snapshot(now, self.id);
        snapshot.unacknowledged = work.unacknowledged();
        drop(work);
        snapshot.origin.clone_from(&self.origin);
        snapshot.peer.clone_from(&self.peer);
        snapshot.local.clone_from(&self.local);
        snapshot
    }

    /// How many wait for the report.
    pub(crate) fn awaiting(&self) -> &Arc<AtomicUsize> {
        &self.awaiting
    }

    pub(crate) fn poll_report(&self, cx: &Context<'_>) -> Poll<CloseReport> {
        let mut orders = self.orders();
        match &orders.report {
            Some(report) => Poll::Ready(report.clone()),
            None => {
                enlist(&mut orders.closers, cx.waker());
                Poll::Pending
            }
        }
    }

    pub(crate) fn report(&self) -> Option<CloseReport> {
        self.orders().report.clone()
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
        work.forsake(self, now);
    }
}

impl Locked<'_> {
    /// Carries out what `Drop` and `close` left.
    pub(crate) fn obey(&mut self, now: Instant) {
        if !self.wire.pending.load(Ordering::Acquire) || !self.wire.pending.swap(false, Ordering::Acquire) {
            return;
        }
        let mut orders = self.wire.orders();
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
        if retire.is_some() {
            work.engine.retire(now, None, CloseReason::HandlesDropped);
        }
        if let Some(mode) = close {
            work.engine.close(now, mode);
        }
        if shed.is_some() {
            work.engine.close_because(now, CloseMode::abort(), CloseReason::Shed);
        }
    }

    /// One turn. See [`Work::turn`].
    pub(crate) fn turn(&mut self, now: Instant, cx: &mut Context<'_>) -> super::Turned {
        let wire = self.wire;
        self.deref_mut().turn(wire, now, cx)
    }

    /// The same, cheaply, after a caller's turn. See [`Work::arm_soon_enough`].
    pub(crate) fn arm_soon_enough(&mut self, now: Instant) {
        let wire = self.wire;
        self.deref_mut().arm_soon_enough(now, &wire.runtime);
    }

    /// Looks at an idle connection before a request is written. See [`Work::look`].
    pub(crate) fn look(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let wire = self.wire;
        self.deref_mut().look(wire, now, cx)
    }

    /// Carries out what the engine ordered after a fact that was reported outside of a turn.
    pub(crate) fn finish(&mut self, now: Instant, cx: &mut Context<'_>) {
        let wire = self.wire;
        self.deref_mut().act(wire, now, cx);
    }

    /// Ends our side of an upgraded connection. See [`Work::end_ours`].
    pub(crate) fn end_ours(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let wire = self.wire;
        self.deref_mut().end_ours(wire, now, cx)
    }

    /// A turn without its read, right after a look. See [`Work::push`].
    pub(crate) fn push(&mut self, now: Instant, cx: &mut Context<'_>) -> super::Turned {
        let wire = self.wire;
        self.deref_mut().push(wire, now, cx)
    }

    /// Sets the alarm to the next deadline.
    pub(crate) fn arm(&mut self, now: Instant) {
        let wire = self.wire;
        self.deref_mut().arm(now, &wire.runtime);
    }
}

impl Wire {
    pub(super) fn departures(&self) -> &Departures {
        &self.departures
    }
}

impl Deref for Locked<'_> {
    type Target = Work;

    fn deref(&self) -> &Work {
        #[expect(clippy::expect_used, reason = "taken only by Drop")]
        self.work.as_ref().expect("the lock is held")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Work {
        #[expect(clippy::expect_used, reason = "taken only by Drop")]
        self.work.as_mut().expect("the lock is held")
    }
}

impl Drop for Locked<'_> {
    /// Lets go of the lock, then tells those who wait.
    fn drop(&mut self) {
        let Some(mut work) = self.work.take() else { return };
        let (wire, state) = (self.wire, work.engine.state());
        let changed = work.published != state;
        work.published = state;
        let closed = changed && state == State::Closed;
        let watched = changed && wire.watched.load(Ordering::SeqCst);
        let attend = work.driver == Driver::Caller && work.needs_attendant();
        if !closed && !watched && !attend && work.shed.is_empty() {
            return;
        }
        let shed = std::mem::take(&mut work.shed);
        let report = closed.then(|| {
            let mut report = work.engine.report(rt::now(), wire.id);
            report.origin.clone_from(&wire.origin);
            report.peer.clone_from(&wire.peer);
            report
        });
        let (reader, writer, departure) = match closed {
            true => (work.take_reader(), work.take_writer(), work.departure.take()),
            false => (None, None, None),
        };
        drop(work);
        drop(departure);

        let mut wake = Vec::new();
        if closed || watched {
            let mut orders = wire.orders();
            wake.append(&mut orders.watchers);
            wire.watched.store(false, Ordering::SeqCst);
            if let Some(report) = report {
                wake.append(&mut orders.closers);
                // Nothing that was ordered matters any more.
                let (upload, granted) = (orders.upload.take(), orders.granted.take());
                orders.report = Some(report);
                drop(orders);
                drop((upload, granted));
            }
        }
        wake.into_iter().chain(reader).chain(writer).for_each(Waker::wake);
        shed.iter().for_each(Wire::order_shed);
        if attend && !closed {
            wire.call_attendant();
        }
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
        self.0.order(|orders| orders.retire = Some(HandlesDropped));
    }
}
