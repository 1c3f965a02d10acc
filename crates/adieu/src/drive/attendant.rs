//! The task that drives a connection when its caller cannot be relied on.
//!
//! It stays while there is an upload that outlives the response head, an exchange whose caller is gone, or a
//! goodbye. For anything else (a close during an exchange that its caller drives, a deadline, a look at an idle
//! connection) it does one turn and leaves. There is one a connection at most; `Orders::attendant` says so.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use adieu_proto::lifecycle::State;

use super::orders::{Attendance, Orders, Upload};
use super::wire::Wire;
use super::work::Driver;
use crate::rt;

/// Drives one connection until it is closed, on the shelf, or its caller's again.
struct Attendant {
    wire: Arc<Wire>,
    upload: Option<Upload>,
    duty: Duty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Duty {
    /// Something may be left to do.
    On,
    /// It polls the caller's upload.
    Uploading,
    /// It left in order.
    Off,
}

impl Wire {
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
            // It may be about to sleep. A note of its own: what is pending may be carried out by a caller, to whom an
            // alarm means nothing.
            Attendance::Awake | Attendance::Recalled => orders.attendant = Attendance::Recalled,
            Attendance::Asleep(waker) => {
                drop(orders);
                waker.wake();
            }
        }
    }

    /// The attendant sleeps, unless something came in the meantime.
    fn attendant_sleeps(&self, waker: &Waker) -> Poll<()> {
        let mut orders = self.orders();
        // Closed by another driver, it has nothing to wait for: the next turn sees it and leaves.
        if orders.report.is_some() || self.goes_on(&mut orders) {
            return Poll::Pending;
        }
        orders.attendant = Attendance::Asleep(waker.clone());
        Poll::Ready(())
    }

    /// The attendant leaves, unless something came in the meantime.
    fn attendant_leaves(&self) -> Poll<()> {
        let mut orders = self.orders();
        if self.goes_on(&mut orders) {
            return Poll::Pending;
        }
        orders.attendant = Attendance::Absent;
        Poll::Ready(())
    }

    /// Whether something came since the attendant's last turn.
    fn goes_on(&self, orders: &mut Orders) -> bool {
        let recalled = matches!(orders.attendant, Attendance::Recalled);
        if recalled {
            orders.attendant = Attendance::Awake;
        }
        orders.report.is_none()
            && (recalled || orders.upload.is_some() || self.pending.load(Ordering::Acquire))
    }
}

impl Attendant {
    fn new(wire: Arc<Wire>) -> Self {
        Self { wire, upload: None, duty: Duty::On }
    }

    /// One turn; whether to stay.
    fn turn(&mut self, cx: &mut Context<'_>) -> Stay {
        let now = rt::now();
        if let Some(upload) = self.wire.take_upload() {
            self.upload = Some(upload);
        }
        let mut work = self.wire.lock();
        work.driver = Driver::Attendant;
        work.obey(now);
        // What came in time is read before a deadline that has passed by now.
        work.turn_until_parked(now, cx);
        let over = if work.engine.owes_body() { None } else { self.upload.take() };
        let stay = match () {
            () if work.engine.state() == State::Closed => Stay::No,
            () if self.upload.is_some() || work.needs_attendant() => Stay::Yes,
            () => Stay::No,
        };
        if stay == Stay::No {
            work.driver = Driver::Caller;
            work.watch_idle(now);
        }
        let waiting = [work.take_reader(), work.take_writer()];
        work.arm(now);
        drop(work);
        drop(over);
        // Whoever waits looks for itself: what came is its, and the transport may be its again.
        waiting.into_iter().flatten().for_each(Waker::wake);
        stay
    }

    /// Gives the engine what it asks of the upload, the body polled under no lock.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(upload) = &mut self.upload else { return Poll::Pending };
        if !self.wire.lock().engine.wants_body() {
            return Poll::Pending;
        }
        self.duty = Duty::Uploading;
        let polled = upload.as_mut().poll_frame(cx);
        self.duty = Duty::On;
        let frame = std::task::ready!(polled);
        let mut work = self.wire.lock();
        let given = super::give(&mut work.engine, rt::now(), frame);
        drop(work);
        // What went wrong with the body is told to the reader as the failure of its exchange.
        drop(given);
        Poll::Ready(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stay {
    Yes,
    No,
}

impl Future for Attendant {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let stay = self.turn(cx);
            if stay == Stay::Yes && self.poll_upload(cx).is_ready() {
                continue;
            }
            let settled = match stay {
                Stay::Yes => self.wire.attendant_sleeps(cx.waker()),
                Stay::No => self.wire.attendant_leaves(),
            };
            if settled.is_ready() {
                break match stay {
                    Stay::Yes => Poll::Pending,
                    Stay::No => {
                        self.duty = Duty::Off;
                        Poll::Ready(())
                    }
                };
            }
        }
    }
}

impl Drop for Attendant {
    /// Dropped before its time: the runtime is gone, or the upload panicked.
    fn drop(&mut self) {
        if self.duty == Duty::Uploading {
            self.wire.lock().engine.fail_body(rt::now());
        }
        if self.duty != Duty::Off {
            self.wire.forsake();
        }
    }
}
