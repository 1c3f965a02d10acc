//! A gate in a script, opened by the test: order without sleeps.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Holds scripts at [`Script::gate`](super::Script::gate) until the test opens it; once open it stays open.
///
/// A clone is the same gate.
///
/// ```
/// use adieu_testkit::peer::{Gate, Script};
///
/// let may_answer = Gate::new();
/// let script = Script::new().read_head().gate(&may_answer).send("HTTP/1.1 204 No Content\r\n\r\n");
/// // ... start a peer and a client, look at what the client does while it waits ...
/// may_answer.open();
/// assert!(may_answer.is_open());
/// # drop(script);
/// ```
#[derive(Clone, Default)]
pub struct Gate {
    door: Arc<Door>,
}

#[derive(Default)]
struct Door {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Shut,
    Open,
}

impl Gate {
    /// A gate that is shut.
    ///
    /// ```
    /// assert!(!adieu_testkit::peer::Gate::new().is_open());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everyone pass, from now on.
    ///
    /// ```
    /// let gate = adieu_testkit::peer::Gate::new();
    /// gate.open();
    /// assert!(gate.is_open());
    /// ```
    pub fn open(&self) {
        *self.door.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Open;
        self.door.opened.notify_all();
    }

    /// Whether [`Gate::open`] was called.
    ///
    /// ```
    /// let gate = adieu_testkit::peer::Gate::new();
    /// let same = gate.clone();
    /// same.open();
    /// assert!(gate.is_open());
    /// ```
    pub fn is_open(&self) -> bool {
        *self.door.state.lock().unwrap_or_else(PoisonError::into_inner) == State::Open
    }

    /// Waits at most `limit`; then says whether it is open.
    pub(super) fn wait(&self, limit: Duration) -> bool {
        let state = self.door.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, _) = self
            .door
            .opened
            .wait_timeout_while(state, limit, |state| *state == State::Shut)
            .unwrap_or_else(PoisonError::into_inner);
        *state == State::Open
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("open", &self.is_open()).finish()
    }
}
