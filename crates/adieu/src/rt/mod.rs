//! The runtime: the only place that reads the clock, sets an alarm or spawns a task.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::time::Sleep;

/// The time of this turn. Read once a turn and handed down.
pub(crate) fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    tokio::time::Instant::now().into_std()
}

/// The runtime to which a connection belongs.
#[derive(Clone, Debug)]
pub(crate) struct Runtime(Handle);

impl Runtime {
    /// The runtime of this thread; `None` outside of one.
    pub(crate) fn current() -> Option<Self> {
        Handle::try_current().ok().map(Self)
    }

    /// Spawns from any thread, in or out of the runtime's context. Where the runtime is gone the task is
    /// dropped at once.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.0.spawn(task));
    }
}

/// The one alarm of a connection. It wakes the connection's bell, whoever polls; an alarm that goes off early
/// is harmless, so it is set anew only when it would go off late.
#[derive(Default)]
pub(crate) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    at: Option<Instant>,
}

impl Alarm {
    /// Wakes `bell` at `at`, or earlier.
    pub(crate) fn set(&mut self, at: Option<Instant>, now: Instant, runtime: &Runtime, bell: &Waker) {
        let Some(at) = at else { return };
        if self.at.is_some_and(|set| set <= at && set > now) {
            return;
        }
        self.at = Some(at);
        let deadline = tokio::time::Instant::from_std(at);
        let _context = runtime.0.enter();
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                sleep.as_mut().reset(deadline);
                sleep
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(deadline))),
        };
        if sleep.as_mut().poll(&mut Context::from_waker(bell)).is_ready() {
            self.at = None;
            bell.wake_by_ref();
        }
    }

    /// Whether it went off, or was never set.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.at.is_none_or(|at| at <= now)
    }

    /// Whether it will go off after `now`, and not after `at`.
    pub(crate) fn is_set_before(&self, now: Instant, at: Instant) -> bool {
        self.at.is_some_and(|set| now < set && set <= at)
    }

    /// Takes the alarm away.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
