//! The life of one connection, told with `-v` step by step as it is lived.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adieu::conn::Connection;
use adieu::{CloseReport, ExchangePhase, Party, Signal, Signals, Snapshot, State};

use super::voice::Voice;

/// Tells what is new of a connection, whoever notices it first.
pub(super) struct Story {
    connection: Connection,
    voice: Arc<Voice>,
    told: Mutex<Told>,
}

/// What was told already.
struct Told {
    state: State,
    sent: Signals,
    received: Signals,
    request: Request,
}

/// The request of the exchange in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    None,
    /// Not known to be out; so many exchanges had ended well before it.
    Begun(u64),
}

impl Story {
    /// Begins with a connection as it is.
    pub(super) fn new(connection: &Connection, voice: Arc<Voice>) -> Self {
        let told = Told {
            state: connection.state(),
            sent: Signals::default(),
            received: Signals::default(),
            request: Request::None,
        };
        Self { connection: connection.clone(), voice, told: Mutex::new(told) }
    }

    /// A request is about to be sent.
    pub(super) fn request_begins(&self) {
        if self.voice.tells_steps() {
            self.told().request = Request::Begun(self.connection.snapshot().done);
        }
    }

    /// Tells how far the request is; all else comes after the response that may be at hand.
    pub(super) fn request_goes_on(&self) {
        if self.voice.tells_steps() {
            self.request(&mut self.told(), &self.connection.snapshot());
        }
    }

    /// Tells what is new.
    pub(super) fn catch_up(&self) {
        if !self.voice.tells_steps() {
            return;
        }
        let snapshot = self.connection.snapshot();
        let mut told = self.told();
        self.request(&mut told, &snapshot);
        let began_by = snapshot.reason.as_ref().map_or(Party::Local, |reason| reason.began_by());
        self.signals(&mut told, began_by, snapshot.sent, snapshot.received);
        // Nothing comes after the last state but the report.
        if snapshot.state != State::Closed {
            self.state(&mut told, snapshot.state);
        }
    }

    /// Tells the rest, and the report.
    pub(super) fn ends(&self, report: &CloseReport) {
        if self.voice.tells_steps() {
            self.signals(&mut self.told(), report.began_by, report.sent, report.received);
            self.voice.closed(report);
        }
    }

    fn state(&self, told: &mut Told, state: State) {
        if told.state != state {
            told.state = state;
            self.voice.connection(self.connection.id(), state);
        }
    }

    fn request(&self, told: &mut Told, snapshot: &Snapshot) {
        if snapshot.state == State::Active {
            self.state(told, snapshot.state);
        }
        let Request::Begun(done) = told.request else { return };
        let is_out = matches!(snapshot.phase, ExchangePhase::AwaitingResponse | ExchangePhase::ReceivingBody);
        if is_out || snapshot.done > done {
            told.request = Request::None;
            self.voice.connection(self.connection.id(), "request sent");
        }
    }

    /// Whoever began goes first.
    fn signals(&self, told: &mut Told, began_by: Party, sent: Signals, received: Signals) {
        let ours = new("sent", &mut told.sent, sent);
        let theirs = new("received", &mut told.received, received);
        let in_order = if began_by == Party::Local { [ours, theirs] } else { [theirs, ours] };
        for line in in_order.into_iter().flatten() {
            self.voice.connection(self.connection.id(), line);
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `sent close_notify+FIN`, without what was told before.
fn new(verb: &str, told: &mut Signals, now: Signals) -> Option<String> {
    let all = [Signal::GoAway, Signal::CloseNotify, Signal::Fin, Signal::Rst];
    let new: Signals =
        all.into_iter().filter(|signal| now.contains(*signal) && !told.contains(*signal)).collect();
    *told = now;
    (!new.is_empty()).then(|| format!("{verb} {new}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_is_told_once() {
        let mut told = Signals::default();
        let mut now = Signals::from_iter([Signal::CloseNotify]);
        assert_eq!(new("received", &mut told, now).unwrap(), "received close_notify");
        assert_eq!(new("received", &mut told, now), None);
        now.insert(Signal::Fin);
        assert_eq!(new("received", &mut told, now).unwrap(), "received FIN");
    }
}
