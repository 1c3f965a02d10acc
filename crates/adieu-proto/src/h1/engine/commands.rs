//! What a caller wants: begin, give a body, abandon, retire, close.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, request};

use super::{Engine, Exchange, Progress, Reader};
use crate::codec::framing::Rhythm;
use crate::codec::request as request_codec;
use crate::codec::request::{Asked, Wish};
use crate::fate::{Facts, Use};
use crate::h1::clocks::Clocks;
use crate::h1::news::{HalfClose, NotOpen};
use crate::h1::receive::Place;
use crate::h1::send::{BodyMisfit, Hold};
use crate::lifecycle::{CloseKind, CloseMode, CloseReason, First, Input, Request, Side, State, Timeouts};

impl Engine {
    /// Begins an exchange whose request body announced `length` bytes (`None`: not known).
    pub fn begin(
        &mut self,
        now: Instant,
        head: &request::Parts,
        length: Option<u64>,
    ) -> Result<Asked, NotOpen> {
        match self.life.state() {
            State::Idle if self.receive.buffer().is_empty() => {}
            State::Idle => {
                self.unexpected(now);
                return Err(NotOpen::Ending(CloseReason::UnexpectedData));
            }
            State::Active => return Err(NotOpen::Busy),
            _ => {
                return Err(NotOpen::Ending(self.life.reason().cloned().unwrap_or(CloseReason::RuntimeGone)));
            }
        }
        let staging = self.send.staging();
        let asked =
            request_codec::encode(head, length, self.config.target, staging).map_err(|unsendable| {
                staging.clear();
                NotOpen::Unsendable(unsendable)
            })?;
        let bytes = staging.len() as u64;
        let reused = if self.life.exchanges().0 > 0 { Use::Reused } else { Use::Fresh };
        self.exchange = Exchange {
            number: self.exchange.number + 1,
            method: head.method.clone(),
            version: head.version,
            asked,
            facts: Facts { head: bytes, handed_before: self.bytes_sent, reused, ..Facts::default() },
            progress: Progress::Running,
            reader: Reader::Present,
            rhythm: Rhythm::Steady,
            ends_first: First::Us,
            idle_since: self.life.since(),
        };
        self.clocks = Clocks { exchange: Some(now), ..Clocks::default() };
        self.send.begin(asked.body, if asked.expect_continue == Wish::Yes { Hold::Yes } else { Hold::No });
        self.receive.expect_head();
        self.life.begin_exchange(now);
        Ok(asked)
    }

    /// Gives the next piece of the request's body, when [`wants_body`](Self::wants_body) says so. A body that
    /// does not fit its length fails the exchange, and the peer sees a reset.
    pub fn send_data(&mut self, now: Instant, data: Bytes) -> Result<(), BodyMisfit> {
        let given = self.send.data(data);
        if given.is_err() {
            self.fail_body(now);
        }
        given
    }

    /// Ends the request's body, when [`wants_body`](Self::wants_body) says so or while it is held back.
    pub fn end_body(&mut self, now: Instant, trailers: Option<HeaderMap>) -> Result<(), BodyMisfit> {
        let trailers = trailers.map(request_codec::sendable_trailers);
        let ended = self.send.end(trailers.as_ref());
        if ended.is_err() {
            self.fail_body(now);
        }
        ended
    }

    /// The request's body failed: the request stays cut short.
    pub fn fail_body(&mut self, now: Instant) {
        if self.owes_body() {
            self.send.cut();
            self.close_now(now, CloseReason::RequestBodyFailed);
        }
    }

    /// Nobody takes the response any more. A small rest is discarded to keep the connection; else it closes. A
    /// request of which nothing was sent is taken back; an upload that outlives its whole response goes on.
    pub fn abandon(&mut self, now: Instant) {
        let place = self.receive.place();
        if !self.is_running() || self.exchange.reader != Reader::Present || place == Place::Done {
            return;
        }
        if self.exchange.facts.handed == 0 && !self.send.is_cut() {
            return self.withdraw(now);
        }
        let budget = self.config.limits.unread;
        self.exchange.reader = Reader::Gone { budget };
        let small = place == Place::Body && self.receive.left().is_none_or(|left| left <= budget);
        if !small || !self.send.is_whole() || !self.life.state().is_open() {
            return self.close_now(now, CloseReason::RequestCancelled);
        }
        self.clocks.gap = None;
        self.clocks.discard = Some(now);
        self.discard_response(now);
        // Of unknown length and not already here: nobody knows how much that would be.
        if self.is_running() && self.receive.left().is_none() {
            self.close_now(now, CloseReason::RequestCancelled);
        }
    }

    /// No new exchange from now on; only a close or a policy gives `until`.
    pub fn retire(&mut self, now: Instant, until: Option<Instant>, reason: CloseReason) {
        self.life.retire(now, until, reason);
    }

    /// Closes on purpose; of two closes the stricter wins.
    pub fn close(&mut self, now: Instant, mode: CloseMode) {
        self.close_because(now, mode, CloseReason::User(mode.kind()));
    }

    /// Closes for another reason than the user's wish.
    pub fn close_because(&mut self, now: Instant, mode: CloseMode, reason: CloseReason) {
        let mode = match self.config.half_close {
            HalfClose::Impossible if mode.kind() == CloseKind::Half => mode.as_graceful(),
            _ => mode,
        };
        if mode.kind() == CloseKind::Half {
            // Our FIN would hide what the request met.
            self.give_up_doubt(now);
        }
        self.life.close(now, mode, self.request(), reason.clone());
        if mode.kind() == CloseKind::Half && self.send.is_whole() {
            self.life.handle(now, Input::RequestSent);
        }
        self.settle(now, reason);
        if mode.drain_limit().is_some_and(|limit| limit.is_zero()) {
            self.handle_timeout(now);
        }
    }

    /// The holder of an upgraded connection ends our side; the peer's stays as it is.
    pub fn end_ours(&mut self, now: Instant) {
        self.life.handle_end(now, Input::EndOurs, CloseReason::Upgraded);
    }

    /// The holder of an upgraded connection lets go of it. Where our side has ended nothing of ours is cut short, and
    /// the peer's end is awaited as after any goodbye; otherwise it is reset.
    pub fn drop_upgraded(&mut self, now: Instant) {
        self.end_upgrade(now, CloseReason::RequestCancelled);
    }

    /// How long it may be idle, by what was seen of the peer's like; `None`: nothing is known any more.
    pub fn learn_idle(&mut self, limit: Option<Duration>) {
        self.life.learn_idle(limit);
    }

    /// How long each phase may take; what is changed holds from now on.
    pub fn timeouts(&mut self) -> &mut Timeouts {
        &mut self.config.timeouts
    }

    pub(super) fn end_upgrade(&mut self, now: Instant, reason: CloseReason) {
        let request = match self.life.state() {
            State::Upgraded { ours: Side::Ended, .. } => Request::Whole,
            State::Upgraded { .. } => Request::Cut,
            _ => return,
        };
        self.end(now, Input::CloseNow(request), reason);
    }
}
