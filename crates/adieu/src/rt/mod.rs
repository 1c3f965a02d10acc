//! The runtime: the only place that reads the clock, sets an alarm or spawns a task.

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::{EnterGuard, Handle};
use tokio::time::Sleep;

/// The time of this turn. Read once a turn and handed down.
pub(crate) fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    tokio::time::Instant::now().into_std()
}

/// The clock on the wall: the system's, or one that is told.
#[derive(Clone, Default)]
pub(crate) struct WallClock(Option<Arc<dyn Fn() -> SystemTime + Send + Sync>>);

impl WallClock {
    pub(crate) fn told(clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(clock)))
    }

    /// Seconds since 1970.
    pub(crate) fn seconds(&self) -> i64 {
        let now = self.0.as_ref().map_or_else(SystemTime::now, |clock| clock());
        now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed())
    }
}

/// A number from 0 up to 1, another one each time.
pub(crate) fn chance() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

/// Which runtime; no two that are alive have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RuntimeId(tokio::runtime::Id);

impl RuntimeId {
    /// The runtime of this thread; `None` outside of one.
    pub(crate) fn current() -> Option<Self> {
        Handle::try_current().ok().map(|handle| Self(handle.id()))
    }
}

/// A moment that is waited for.
pub(crate) struct Pause(Pin<Box<Sleep>>);

impl Pause {
    pub(crate) fn until(at: Instant) -> Self {
        Self(Box::pin(tokio::time::sleep_until(tokio::time::Instant::from_std(at))))
    }
}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

/// The runtime to which a connection belongs.
#[derive(Clone, Debug)]
pub(crate) struct Runtime(Handle);

impl Runtime {
    /// The runtime of this thread; `None` outside of one.
    pub(crate) fn current() -> Option<Self> {
        Handle::try_current().ok().map(Self)
    }

    /// Its context, as long as what is given back is held.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.0.enter()
    }

    /// Spawns from any thread, in or out of the runtime's context. Where the runtime is gone the task is
    /// dropped at once.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.0.spawn(task));
    }

    /// Does what may block, off the runtime's own threads. `None`: it was shut down, or the work panicked.
    #[cfg(feature = "tls")]
    pub(crate) async fn block<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.0.spawn_blocking(work).await.ok()
    }
}

/// Lets so much time pass.
pub(crate) fn sleep(time: Duration) -> Sleep {
    tokio::time::sleep(time)
}

/// Waits for `future`, so long at most.
pub(crate) async fn within<F: Future>(limit: Option<Duration>, future: F) -> Option<F::Output> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, future).await.ok(),
        None => Some(future.await),
    }
}

/// The runtime of a connection was shut down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RuntimeGone;

/// Whether an alarm went off at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rung {
    /// It did: what the bell does is the caller's to do.
    Yes,
    /// It will ring the bell.
    No,
}

/// The one alarm of a connection. It wakes the connection's bell, whoever polls; an alarm that goes off early
/// is harmless, so it is set anew only when it would go off late.
pub(crate) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    at: Option<Instant>,
    /// No wait is shorter.
    shortest: Duration,
    /// Any wait that begins from then on runs out after the alarm.
    enough_from: Instant,
}

impl Alarm {
    /// For waits none of which is shorter than `shortest`.
    pub(crate) fn new(now: Instant, shortest: Duration) -> Self {
        Self { sleep: None, at: None, shortest, enough_from: now }
    }

    /// Wakes `bell` at `at`, or earlier.
    ///
    /// # Errors
    ///
    /// The runtime is gone, and nothing will.
    pub(crate) fn set(
        &mut self,
        at: Option<Instant>,
        now: Instant,
        runtime: &Runtime,
        bell: &Waker,
    ) -> Result<Rung, RuntimeGone> {
        let Some(at) = at else { return Ok(Rung::No) };
        if self.at.is_some_and(|set| set <= at && set > now) {
            return Ok(Rung::No);
        }
        self.at = Some(at);
        // Before the beginning of time means: from now on.
        self.enough_from = at.checked_sub(self.shortest).unwrap_or(now);
        let deadline = tokio::time::Instant::from_std(at);
        let _context = runtime.0.enter();
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                sleep.as_mut().reset(deadline);
                sleep
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(deadline))),
        };
        // Whatever budget the task in which this happens has used up: a timer that is told to wait its turn would
        // forget the bell.
        let mut sleep = tokio::task::unconstrained(sleep.as_mut());
        let mut poll = || Pin::new(&mut sleep).poll(&mut Context::from_waker(bell));
        // Who polls on another runtime may outlive this one, and a timer of a runtime that is gone can but panic.
        let rung = std::panic::catch_unwind(AssertUnwindSafe(&mut poll)).map_err(|_| RuntimeGone)?;
        if rung.is_ready() {
            self.at = None;
            return Ok(Rung::Yes);
        }
        Ok(Rung::No)
    }

    /// No wait is shorter than this.
    pub(crate) fn shortest(&self) -> Duration {
        self.shortest
    }

    /// No wait is shorter than this from now on.
    pub(crate) fn expect(&mut self, shortest: Duration) {
        if shortest == self.shortest {
            return;
        }
        self.shortest = shortest;
        if let Some(at) = self.at {
            self.enough_from = at.checked_sub(shortest).unwrap_or(at);
        }
    }

    /// Whether it went off, or was never set.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.at.is_none_or(|at| at <= now)
    }

    /// Whether it will go off, and in time for any wait that begins at `now`.
    pub(crate) fn is_soon_enough(&self, now: Instant) -> bool {
        self.enough_from <= now && self.at.is_some_and(|at| now < at)
    }

    /// Takes the alarm away.
    pub(crate) fn clear(&mut self) {
        (self.sleep, self.at) = (None, None);
    }
}
