//! Events to be read later: a bounded queue that counts what a slow reader missed.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::event::Event;

/// What happens to the connections of a client, from the moment at which it was asked for.
///
/// It holds so many events at most; a reader that is too slow loses the newest, and is told how many. It ends when
/// the client and all of its connections are gone.
pub struct Events(Arc<Mailbox>);

/// An event, or how many were missed at this place.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Told {
    /// What happened next.
    Event(Event),
    /// So many events were lost here, for nobody read them in time.
    Missed(u64),
}

pub(super) struct Mailbox(Mutex<Mail>);

struct Mail {
    waiting: VecDeque<Event>,
    capacity: usize,
    missed: u64,
    reader: Option<Waker>,
    open: Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// More may come, and somebody may read it.
    Both,
    /// Nobody reads any more.
    Unread,
    /// Nothing more comes.
    Over,
}

impl Mailbox {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Mutex::new(Mail {
            waiting: VecDeque::new(),
            capacity: capacity.max(1),
            missed: 0,
            reader: None,
            open: Open::Both,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_read(&self) -> bool {
        self.lock().open == Open::Both
    }

    /// Nothing more comes.
    pub(super) fn end(&self) {
        let mut mail = self.lock();
        mail.open = Open::Over;
        let reader = mail.reader.take();
        drop(mail);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Keeps the event if there is room. `false`: nobody reads any more.
    pub(super) fn put(&self, event: &Event) -> bool {
        let mut mail = self.lock();
        if mail.open == Open::Unread {
            return false;
        }
        if mail.waiting.len() < mail.capacity && mail.missed == 0 {
            mail.waiting.push_back(event.clone());
        } else {
            mail.missed += 1;
        }
        let reader = mail.reader.take();
        drop(mail);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }
}

impl Events {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self(mailbox)
    }

    /// Waits for the next event; `None`: nothing more comes, for the client and all of its connections are gone. Cancel
    /// safe.
    pub async fn next(&mut self) -> Option<Told> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next event if it is here.
    pub fn try_next(&mut self) -> Option<Told> {
        match self.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(told) => told,
            Poll::Pending => None,
        }
    }

    /// The same as a poll.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Told>> {
        let mut mail = self.0.lock();
        if let Some(event) = mail.waiting.pop_front() {
            return Poll::Ready(Some(Told::Event(event)));
        }
        match std::mem::take(&mut mail.missed) {
            0 if mail.open == Open::Over => Poll::Ready(None),
            0 => {
                let before = mail.reader.replace(cx.waker().clone());
                drop(mail);
                // Under no lock: it may be the last hold on its task.
                drop(before);
                Poll::Pending
            }
            missed => Poll::Ready(Some(Told::Missed(missed))),
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut mail = self.0.lock();
        mail.open = Open::Unread;
        let left = (std::mem::take(&mut mail.waiting), mail.reader.take());
        drop(mail);
        drop(left);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mail = self.0.lock();
        f.debug_struct("Events").field("waiting", &mail.waiting.len()).field("missed", &mail.missed).finish()
    }
}
