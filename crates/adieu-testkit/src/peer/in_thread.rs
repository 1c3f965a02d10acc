//! Awaits a blocking call on a thread of its own, so that the peer needs no particular runtime.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

/// The outcome of a call that runs on another thread. Dropping it lets the call run out unheard.
pub(super) struct InThread<T> {
    slot: Arc<Mutex<Slot<T>>>,
}

enum Slot<T> {
    Running(Option<Waker>),
    Done(T),
    Taken,
}

/// Starts `call` on a new thread. Every call of the peer is bounded by its limits, and so is the thread.
pub(super) fn in_thread<T: Send + 'static>(
    call: impl FnOnce() -> T + Send + 'static,
) -> io::Result<InThread<T>> {
    let slot = Arc::new(Mutex::new(Slot::Running(None)));
    let theirs = slot.clone();
    thread::Builder::new().name("peer wait".into()).spawn(move || {
        let outcome = Slot::Done(call());
        let before = {
            let mut slot = theirs.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *slot, outcome)
        };
        if let Slot::Running(Some(waker)) = before {
            waker.wake();
        }
    })?;
    Ok(InThread { slot })
}

impl<T> Future for InThread<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *slot, Slot::Taken) {
            Slot::Done(outcome) => Poll::Ready(outcome),
            Slot::Running(_) => {
                *slot = Slot::Running(Some(cx.waker().clone()));
                Poll::Pending
            }
            Slot::Taken => Poll::Pending,
        }
    }
}
