//! What the threads of a peer share: its phase, and the logs of its connections.
//!
//! One lock, held for the length of a log entry only; nothing is called under it. Everyone who waits waits on the one
//! condition variable `changed`, and looks again.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::clock::now;
use super::request::SeenRequest;
use super::seen::{Entry, Event, Over, Seen};
use super::wire::Traffic;

/// What all threads of one peer share.
pub(super) struct Stage {
    started: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

/// Where the play stands. Forward only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Running,
    /// Stalls are over; everything else goes on.
    Released,
    /// The test waits for the outcome: those who connected already are served, and scripts not played yet are waited for.
    Finishing,
    /// Nobody will look: everyone leaves at once.
    Dropped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listening {
    Yes,
    No,
}

struct State {
    phase: Phase,
    listening: Listening,
    seen: Vec<Seen>,
    failures: Vec<String>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let state = State {
            phase: Phase::Running,
            listening: Listening::Yes,
            seen: Vec::new(),
            failures: Vec::new(),
        };
        Self { started: now(), state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(super) fn phase(&self) -> Phase {
        self.lock().phase
    }

    pub(super) fn advance(&self, to: Phase) {
        let mut state = self.lock();
        state.phase = state.phase.max(to);
        self.changed.notify_all();
    }

    pub(super) fn stop_listening(&self) {
        self.lock().listening = Listening::No;
        self.changed.notify_all();
    }

    /// Something that went wrong beside any connection.
    pub(super) fn fail(&self, what: String) {
        self.lock().failures.push(what);
    }

    /// A new connection and its log.
    pub(super) fn admit(self: &Arc<Self>, keep: usize) -> Log {
        let accepted = now();
        let mut state = self.lock();
        let connection = state.seen.len();
        state.seen.push(Seen::new(connection, accepted.duration_since(self.started)));
        self.changed.notify_all();
        drop(state);
        Log { stage: self.clone(), connection, accepted, keep, depth: 0, run_from: 0 }
    }

    /// Waits until `deadline`, or until the phase is at least `phase`; says what the phase is then.
    pub(super) fn sleep(&self, deadline: Instant, phase: Phase) -> Phase {
        let left = deadline.saturating_duration_since(now());
        let (state, _) = self
            .changed
            .wait_timeout_while(self.lock(), left, |state| state.phase < phase)
            .unwrap_or_else(PoisonError::into_inner);
        state.phase
    }

    /// Waits until `found` tells something about connection `connection`, at most until `limit` passed.
    pub(super) fn wait_for<T>(
        &self,
        connection: usize,
        limit: Duration,
        found: impl Fn(&Seen) -> Option<T>,
    ) -> Option<T> {
        let mut outcome = None;
        let _unused = self.changed.wait_timeout_while(self.lock(), limit, |state| {
            outcome = state.seen.get(connection).and_then(&found);
            outcome.is_none()
        });
        outcome
    }

    /// Waits until nobody listens any more and every connection is over; takes the logs and the failures.
    pub(super) fn wait_for_all(&self) -> (Vec<Seen>, Vec<String>) {
        let mut state = self
            .changed
            .wait_while(self.lock(), |state| {
                state.listening == Listening::Yes || state.seen.iter().any(|seen| seen.over == Over::No)
            })
            .unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut state.seen), std::mem::take(&mut state.failures))
    }

    pub(super) fn seen(&self, connection: usize) -> Option<Seen> {
        self.lock().seen.get(connection).cloned()
    }

    pub(super) fn all_seen(&self) -> Vec<Seen> {
        self.lock().seen.clone()
    }

    pub(super) fn accepted(&self) -> usize {
        self.lock().seen.len()
    }

    pub(super) fn open(&self) -> usize {
        self.lock().seen.iter().filter(|seen| seen.over == Over::No).count()
    }

    /// Writes a mark into the log of every connection that is not over.
    pub(super) fn mark(&self, name: &str) {
        let mut state = self.lock();
        let elapsed = now().duration_since(self.started);
        for seen in state.seen.iter_mut().filter(|seen| seen.over == Over::No) {
            let at = elapsed.saturating_sub(seen.accepted_at);
            seen.entries.push(Entry { at, depth: 0, event: Event::Mark(name.to_owned()) });
        }
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pen of the thread that plays one connection. When it is dropped, the connection is over.
pub(super) struct Log {
    stage: Arc<Stage>,
    connection: usize,
    accepted: Instant,
    keep: usize,
    /// Within how many TLS sessions the steps read and send.
    depth: usize,
    /// Entries before this one are not added to.
    run_from: usize,
}

/// Whether bytes sent begin a piece or go on with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    New,
    Continued,
}

impl Log {
    pub(super) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// What follows is not added to the entries before: another step begins, or the client made a pause.
    pub(super) fn begin_run(&mut self) {
        self.run_from = self.stage.seen_len(self.connection);
    }

    /// What follows is read and sent at this depth.
    pub(super) fn set_depth(&mut self, depth: usize) {
        self.depth = depth;
    }

    pub(super) fn push(&mut self, event: Event) {
        self.push_at(0, event);
    }

    pub(super) fn push_at(&mut self, depth: usize, event: Event) {
        self.edit(|seen, at, _| {
            if let Event::Stray { bytes: more } = event
                && let Some(Entry { event: Event::Stray { bytes }, .. }) = seen.entries.last_mut()
            {
                *bytes += more;
            } else {
                seen.entries.push(Entry { at, depth, event });
            }
        });
    }

    /// How much went over the socket by now.
    pub(super) fn traffic(&mut self, traffic: Traffic) {
        self.edit(|seen, _, _| seen.traffic = traffic);
    }

    pub(super) fn received(&mut self, bytes: &[u8]) {
        let (keep, depth) = (self.keep, self.depth);
        self.edit(|seen, at, run_from| {
            let count = bytes.len() as u64;
            seen.received_len += count;
            keep_bytes(&mut seen.received, bytes, keep);
            if let Some(Event::Received { bytes }) = run(seen, run_from) {
                *bytes += count;
            } else {
                push_bounded(seen, Entry { at, depth, event: Event::Received { bytes: count } });
            }
        });
    }

    pub(super) fn sent(&mut self, count: usize, piece: Piece) {
        let count = count as u64;
        let new = u64::from(piece == Piece::New);
        let depth = self.depth;
        self.edit(|seen, at, run_from| {
            seen.sent_len += count;
            if let Some(Event::Sent { bytes, pieces }) = run(seen, run_from) {
                *bytes += count;
                *pieces += new;
            } else {
                push_bounded(seen, Entry { at, depth, event: Event::Sent { bytes: count, pieces: 1 } });
            }
        });
    }

    pub(super) fn request(&mut self, head: String) {
        self.edit(|seen, _, _| {
            seen.requests_len += 1;
            if seen.requests.len() < REQUEST_CAP {
                seen.requests.push(SeenRequest::new(head));
            }
        });
    }

    /// Adds to the body of the request read last.
    pub(super) fn body(&mut self, bytes: &[u8]) {
        let keep = self.keep;
        self.edit_last_request(|request| {
            request.body_len += bytes.len() as u64;
            keep_bytes(&mut request.body, bytes, keep);
        });
    }

    pub(super) fn trailer(&mut self, line: &str) {
        self.edit_last_request(|request| request.trailers.push_str(line));
    }

    fn edit_last_request(&mut self, edit: impl FnOnce(&mut SeenRequest)) {
        self.edit(|seen, _, _| {
            if seen.requests_len == seen.requests.len() as u64
                && let Some(last) = seen.requests.last_mut()
            {
                edit(last);
            }
        });
    }

    /// Edits the log with the time since accept, read under the lock, so that the entries are in the order of time.
    fn edit(&mut self, edit: impl FnOnce(&mut Seen, Duration, usize)) {
        let mut state = self.stage.lock();
        let at = now().duration_since(self.accepted);
        if let Some(seen) = state.seen.get_mut(self.connection) {
            edit(seen, at, self.run_from);
        }
        self.stage.changed.notify_all();
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.push(Event::Failed("the thread of the peer panicked".to_owned()));
        }
        self.edit(|seen, _, _| seen.over = Over::Yes);
    }
}

impl Stage {
    fn seen_len(&self, connection: usize) -> usize {
        self.lock().seen.get(connection).map_or(0, |seen| seen.entries.len())
    }
}

/// The last event, if it belongs to the run at hand.
fn run(seen: &mut Seen, run_from: usize) -> Option<&mut Event> {
    seen.entries.get_mut(run_from..)?.last_mut().map(|entry| &mut entry.event)
}

fn push_bounded(seen: &mut Seen, entry: Entry) {
    if seen.entries.len() < ENTRY_CAP {
        seen.entries.push(entry);
    } else {
        seen.left_out += 1;
    }
}

fn keep_bytes(kept: &mut Vec<u8>, bytes: &[u8], cap: usize) {
    let room = cap.saturating_sub(kept.len()).min(bytes.len());
    kept.extend(bytes.iter().take(room));
}

/// Entries of bytes received and sent beyond this are only counted.
const ENTRY_CAP: usize = 4096;
const REQUEST_CAP: usize = 1024;
