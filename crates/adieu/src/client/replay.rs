//! What is sent again, and what not: carries out what `fate::Tries` decides.

use std::time::Instant;

use adieu_proto::fate::{Attempt, By, Connection, Ends, Fate, Next, Refusal, Tries};
use adieu_proto::lifecycle::{CloseReason, ConnectionId};
use adieu_proto::shelf::{Leave, Origin};
use http::{Response, StatusCode};

use super::response::ResponseFuture;
use crate::conn::body::Body;
use crate::error::{Earlier, Error};
use crate::observe::{Happening, ReplayCause};

/// The attempts of one request.
#[derive(Debug, Default)]
pub(super) struct Replays {
    tries: Tries,
    pub(super) done: u8,
    /// To whom it goes; known once it was looked for a connection.
    pub(super) origin: Option<Origin>,
}

impl Replays {
    /// A connection of the shelf was gone before anything was written.
    pub(super) fn note_stale(&mut self) {
        self.tries.note_used_up();
    }

    /// None but a fresh connection will do.
    pub(super) fn insist_on_fresh(&mut self) {
        self.tries.insist_on_fresh();
    }

    pub(super) fn wants_fresh(&self) -> bool {
        self.tries.connection() == Connection::Fresh
    }

    fn earlier(&self) -> Earlier {
        if self.tries.may_have_been_processed() { Earlier::Unknown } else { Earlier::Harmless }
    }
}

/// Who ended a connection for this reason.
fn by(reason: Option<&CloseReason>, fate: Fate) -> By {
    match reason {
        Some(
            CloseReason::PeerEndedEarly
            | CloseReason::PeerClosedIdle
            | CloseReason::Reset
            | CloseReason::Network(_)
            | CloseReason::TlsTruncated,
        ) => By::Them,
        // Of a request that was not begun yet, nothing can be meant by it.
        Some(CloseReason::UnexpectedData) if fate == Fate::NotSent => By::Them,
        _ => By::Us,
    }
}

impl ResponseFuture {
    /// An attempt failed: sends the request again where that may be, and tells why not where it may not.
    #[cold]
    pub(super) fn send_again(&mut self, now: Instant, error: &mut Error) -> bool {
        let refusal = match (error.facts().copied(), self.exchange(), self.rules()) {
            (Some(facts), Some(exchange), Some(rules)) => {
                let fate = error.last_fate();
                let by = by(error.close_reason(), fate);
                let attempt = Attempt { fate, by, answered: facts.answered, reused: facts.reused };
                let next = self.replays.tries.next(&attempt, rules);
                let cause = error.close_reason().cloned().map(ReplayCause::Ended);
                match (self.follow(now, next, exchange, fate, cause), by) {
                    (Ok(()), _) => return true,
                    // What this side ended was never to be sent again.
                    (Err(refusal), By::Us) => Some(refusal),
                    (Err(refusal), By::Them) => {
                        self.tell(|failed_on| Happening::NotReplayed { failed_on, exchange, fate, refusal });
                        Some(refusal)
                    }
                }
            }
            _ => None,
        };
        self.note_attempts(error, refusal);
        false
    }

    /// A response of 400 or more came: whether the request is sent again in its place.
    #[cold]
    pub(super) fn ask_again(&mut self, now: Instant, response: &Response<Body>) -> bool {
        let status = response.status();
        let asks = [StatusCode::REQUEST_TIMEOUT, StatusCode::MISDIRECTED_REQUEST, StatusCode::TOO_EARLY];
        if !asks.contains(&status) {
            return false;
        }
        let (Some(wire), Some(exchange), Some(rules)) = (self.wire(), self.exchange(), self.rules()) else {
            return false;
        };
        let work = wire.lock();
        if work.engine.exchange() != exchange {
            return false;
        }
        let ends = if work.engine.state().is_open() { Ends::No } else { Ends::Yes };
        let (facts, _) = work.engine.evidence();
        drop(work);
        let fate = if status == StatusCode::REQUEST_TIMEOUT { Fate::Unknown } else { Fate::Answered };
        let Some(next) = self.replays.tries.next_after(status, ends, &facts, rules) else { return false };
        match self.follow(now, next, exchange, fate, Some(ReplayCause::Status(status))) {
            Ok(()) => true,
            Err(refusal) => {
                self.tell(|failed_on| Happening::NotReplayed { failed_on, exchange, fate, refusal });
                false
            }
        }
    }

    /// Does what was decided.
    fn follow(
        &mut self,
        now: Instant,
        next: Next,
        exchange: u64,
        fate: Fate,
        cause: Option<ReplayCause>,
    ) -> Result<(), Refusal> {
        let cost = match next {
            Next::Again(_, cost) => cost,
            Next::No(refusal) => return Err(refusal),
        };
        if self.is_out_of_time(now) {
            return Err(Refusal::Deadline);
        }
        if self.pool().is_closed() {
            return Err(Refusal::EndedByUs);
        }
        let leave = self.replays.origin.map(|origin| self.pool().spend_replay(origin, now, cost));
        if leave != Some(Leave::Granted) {
            return Err(Refusal::Budget);
        }
        self.replays.done += 1;
        let replays = u32::from(self.replays.done);
        if let Some(cause) = cause {
            self.tell(|failed_on| Happening::Replayed { failed_on, exchange, fate, cause, replays });
        }
        // Under no lock: a factory of the caller's may make the body.
        self.start_over();
        Ok(())
    }

    /// Tells of the connection that failed it, which may be gone by now.
    fn tell(&self, what: impl FnOnce(ConnectionId) -> Happening) {
        if let (Some(origin), Some(wire)) = (self.replays.origin, self.wire()) {
            self.pool().tell(None, origin, || what(wire.id()));
        }
    }

    /// Has an error say how often the request was sent before.
    pub(super) fn note_attempts(&self, error: &mut Error, refusal: Option<Refusal>) {
        error.after(self.replays.done.into(), self.replays.earlier(), refusal);
    }
}
