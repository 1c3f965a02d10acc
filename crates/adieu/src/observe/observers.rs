//! Who is told: hooks that are called at once, and streams that are read later.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::event::Event;
use super::stream::{Events, Mailbox};

/// A hook that is told of each event as it happens, in the task in which it happens.
///
/// It is called under no lock, so it may ask and close connections; but whatever time it takes, the connection that it
/// is told of does not get. A panic in it goes no further than the hook itself: neither the connection nor the other hooks
/// suffer from it.
///
/// A hook that holds the client it was given to keeps it alive: dropping all other handles does not end it, only
/// [`Client::close`](crate::Client::close) does.
pub trait Observer: Send + Sync + 'static {
    /// Something happened.
    fn observe(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> Observer for F {
    fn observe(&self, event: &Event) {
        self(event);
    }
}

/// All who are told; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Observers(Arc<Shared>);

#[derive(Default)]
struct Shared {
    hooks: Vec<Arc<dyn Observer>>,
    /// Replaced as a whole, so that none is touched under the lock: filling one wakes its reader.
    mailboxes: RwLock<Arc<[Arc<Mailbox>]>>,
    /// Whether there is anybody: a look that costs next to nothing.
    anybody: AtomicBool,
}

impl Observers {
    pub(crate) fn new(hooks: Vec<Arc<dyn Observer>>) -> Self {
        let anybody = AtomicBool::new(!hooks.is_empty());
        Self(Arc::new(Shared { hooks, mailboxes: RwLock::default(), anybody }))
    }

    /// Whether anybody is told of anything.
    pub(crate) fn anybody(&self) -> bool {
        self.0.anybody.load(Ordering::Relaxed)
    }

    /// Calls every hook and fills every mailbox. Called under no lock.
    pub(crate) fn tell(&self, event: &Event) {
        for hook in &self.0.hooks {
            // What it panicked with, the panic itself has told.
            drop(catch_unwind(AssertUnwindSafe(|| hook.observe(event))));
        }
        let mailboxes = self.0.mailboxes.read().unwrap_or_else(PoisonError::into_inner).clone();
        let unread = mailboxes.iter().filter(|mailbox| !mailbox.put(event)).count();
        if unread > 0 {
            self.forget_unread();
        }
    }

    /// A stream of what happens from now on, `capacity` events at most between two reads.
    pub(crate) fn subscribe(&self, capacity: usize) -> Events {
        let mailbox = Arc::new(Mailbox::new(capacity));
        let mut mailboxes = self.0.mailboxes.write().unwrap_or_else(PoisonError::into_inner);
        *mailboxes = mailboxes.iter().cloned().chain([mailbox.clone()]).collect();
        drop(mailboxes);
        self.0.anybody.store(true, Ordering::Relaxed);
        Events::new(mailbox)
    }

    fn forget_unread(&self) {
        let mut mailboxes = self.0.mailboxes.write().unwrap_or_else(PoisonError::into_inner);
        *mailboxes = mailboxes.iter().filter(|mailbox| mailbox.is_read()).cloned().collect();
        if mailboxes.is_empty() && self.0.hooks.is_empty() {
            self.0.anybody.store(false, Ordering::Relaxed);
        }
    }
}

impl Drop for Shared {
    /// Whoever still reads is told that nothing more comes.
    fn drop(&mut self) {
        let mailboxes = self.mailboxes.get_mut().unwrap_or_else(PoisonError::into_inner);
        mailboxes.iter().for_each(|mailbox| mailbox.end());
    }
}
