//! What follows from what: how heads, bodies, ends and errors move the two halves and the life.

use std::time::{Duration, Instant};

use http::StatusCode;

use super::{Engine, Progress, ReadSide, Reader};
use crate::codec::Malformed;
use crate::codec::framing::{Framing, Hint, Persistence};
use crate::codec::request::Wish;
use crate::codec::response::Head;
use crate::fate::{OnWire, Sight};
use crate::h1::clocks::Clocks;
use crate::h1::news::{BodySize, EarlyResponse, Event, Failure, TransportEnd};
use crate::h1::receive::Place;
use crate::h1::reuse::{Grounds, Upload, ends_first, forbids_reuse};
use crate::lifecycle::{CloseReason, Input, Request, Side, Signal, State, Vouched};

/// How a 408 (Request Timeout) begins, by which some peers end an idle connection (RFC 9110 section 15.5.9).
const IDLE_ENDS: [&[u8]; 2] = [b"HTTP/1.1 408", b"HTTP/1.0 408"];

/// So much less than the peer said an idle connection is kept: what is sent in the last moment may meet its FIN.
const HINT_MARGIN: Duration = Duration::from_secs(1);

impl Engine {
    pub(super) fn is_running(&self) -> bool {
        matches!(self.exchange.progress, Progress::Running)
    }

    /// Whether what is in flight would be cut short by an end right now.
    pub(super) fn request(&self) -> Request {
        // Of what the transport never took any, nothing is cut short; what it holds back is not sent any more.
        let whole = self.send.is_whole() && self.exchange.facts.wire == OnWire::AsHanded;
        if whole || self.exchange.facts.handed == 0 { Request::Whole } else { Request::Cut }
    }

    /// Reports an end to the life, and fails the exchange if that was in the way.
    pub(super) fn end(&mut self, now: Instant, input: Input, reason: CloseReason) {
        self.life.handle_end(now, input, reason.clone());
        self.settle(now, reason);
    }

    pub(super) fn close_now(&mut self, now: Instant, reason: CloseReason) {
        self.end(now, Input::CloseNow(self.request()), reason);
    }

    /// After the life failed what was in flight: keeps why.
    pub(super) fn settle(&mut self, now: Instant, reason: CloseReason) {
        if !self.is_running() || self.life.in_flight() > 0 {
            return;
        }
        let (facts, answer) = self.evidence();
        let failure = Failure { reason, at: self.phase(), facts, answer };
        self.exchange.progress = Progress::Failed(failure);
        self.clocks = Clocks::default();
        if !self.send.is_whole() {
            self.send.cut();
        }
        self.nothing_more_is_taken(now);
    }

    /// Takes a request back that nobody waits for and nobody saw: the connection is as before.
    pub(super) fn withdraw(&mut self, now: Instant) {
        self.exchange.progress = Progress::None;
        self.clocks = Clocks::default();
        self.send.withdraw();
        self.receive.reset();
        self.life.withdraw_exchange(now);
    }

    /// Nobody will take what is in the buffer: an end that waited behind it is due.
    pub(super) fn nothing_more_is_taken(&mut self, now: Instant) {
        if let ReadSide::InDoubt(doubt) = self.read_side
            && !self.is_running()
        {
            // Something else ended the exchange meanwhile: there is nothing left to find out.
            self.read_side = ReadSide::Ending(doubt.end);
        }
        if let Some(end) = self.read_end() {
            self.read_ended(now, end);
        }
        if self.life.state().is_leaving() || self.life.state() == State::Closed {
            self.bytes_discarded += self.receive.discard();
        }
    }

    /// The last byte of the request reached the transport.
    pub(super) fn request_is_out(&mut self, now: Instant) {
        if !self.is_running() {
            return;
        }
        if self.life.state() == State::HalfClosing {
            self.life.handle(now, Input::RequestSent);
        }
        match self.receive.place() {
            Place::Head => self.clocks.head = Some(now),
            Place::Done => self.exchange_is_over(now),
            _ => {}
        }
    }

    pub(super) fn release_body(&mut self) {
        self.send.release();
        self.clocks.continue_wait = None;
    }

    pub(super) fn head_came(&mut self, now: Instant, head: Head) -> Option<Event> {
        let status = head.response.status();
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            self.exchange.facts.interim += 1;
            if status == StatusCode::CONTINUE {
                self.release_body();
            }
            if self.clocks.head.is_some() || self.send.is_whole() {
                self.clocks.head = Some(now);
            }
            return Some(Event::Interim(head.response));
        }
        if status == StatusCode::SWITCHING_PROTOCOLS && self.exchange.asked.upgrade == Wish::No {
            self.malformed(now, Malformed::Head("101 (Switching Protocols) without having been asked"));
            return None;
        }
        let framed = head.notes.response_framing(&self.exchange.method, head.response.version(), status);
        let (framing, doubt) = match framed {
            Ok(framed) => framed,
            Err(malformed) => {
                self.malformed(now, malformed);
                return None;
            }
        };
        self.clocks.head = None;
        self.clocks.continue_wait = None;
        if framing == Framing::Upgrade {
            if !self.send.is_whole() {
                // RFC 9110 7.8: no change of protocol in the middle of a message.
                self.malformed(now, Malformed::Head("a switch of protocols before the request was whole"));
                return None;
            }
            return Some(self.upgraded(now, head));
        }
        let persistence = head.notes.persistence;
        let upload = self.decide_upload(status, persistence);
        let grounds = Grounds {
            request_version: self.exchange.version,
            request_close: self.exchange.asked.close,
            upload,
            response_version: head.response.version(),
            persistence,
            framing,
            doubt,
        };
        self.exchange.ends_first = ends_first(&grounds);
        match forbids_reuse(&grounds) {
            Some(reason) => self.life.retire(now, None, reason),
            None if head.notes.hint != Hint::default() => self.believe(now, head.notes.hint),
            None => {}
        }
        self.exchange.rhythm = head.notes.rhythm;
        self.receive.expect_body(framing);
        let size = match framing {
            Framing::Length(length) => BodySize::Known(length),
            Framing::Chunked | Framing::UntilClose => BodySize::Unknown,
            _ => BodySize::Known(0),
        };
        if self.receive.place() == Place::Done {
            self.response_is_whole(now);
        }
        Some(Event::Response(head.response, size))
    }

    /// The peer said how long and how often it will go on: it is believed, with a margin.
    fn believe(&mut self, now: Instant, hint: Hint) {
        if let Some(max) = hint.max {
            self.life.limit_exchanges(max.into());
        }
        let Some(timeout) = hint.timeout else { return };
        let limit = Duration::from_secs(timeout.into()).saturating_sub(HINT_MARGIN);
        if limit.is_zero() {
            return self.life.retire(now, None, CloseReason::IdleLimit);
        }
        self.life.limit_idle(limit);
    }

    /// RFC 9112 section 9.5, RFC 9110 section 10.1.1: a final response before the request was whole.
    pub(super) fn decide_upload(&mut self, status: StatusCode, persistence: Persistence) -> Upload {
        if self.send.is_cut() {
            return Upload::Stopped;
        }
        if self.send.is_whole() {
            return Upload::Kept;
        }
        let stop = match self.config.early_response {
            EarlyResponse::Stop => true,
            EarlyResponse::Finish => false,
            EarlyResponse::StopUnlessSuccess => !status.is_success() || persistence == Persistence::Close,
        };
        // What was held back was never asked for.
        if stop || self.send.is_holding() {
            self.send.cut();
            self.clocks.stalled = None;
            return Upload::Stopped;
        }
        Upload::Kept
    }

    pub(super) fn upgraded(&mut self, now: Instant, head: Head) -> Event {
        self.receive.expect_body(Framing::None);
        self.exchange.progress = Progress::None;
        self.clocks = Clocks { carried: Some(now), ..Clocks::default() };
        self.life.upgrade(now);
        Event::Response(head.response, BodySize::Upgrade)
    }

    pub(super) fn response_is_whole(&mut self, now: Instant) {
        self.clocks.gap = None;
        self.clocks.discard = None;
        if self.send.is_cut() || self.send.is_whole() {
            self.exchange_is_over(now);
        } else {
            self.nothing_more_is_taken(now);
        }
    }

    /// Both halves are at their end.
    pub(super) fn exchange_is_over(&mut self, now: Instant) {
        if self.send.is_cut() {
            return self.exchange_ends_cut(now, Input::Abort, CloseReason::UploadStopped);
        }
        self.exchange.progress = Progress::None;
        self.clocks = Clocks::default();
        self.send.reset();
        self.receive.reset();
        self.life.end_exchange(now, self.exchange.ends_first);
        if self.life.state() == State::Idle {
            self.look_while_idle(now);
        }
        self.nothing_more_is_taken(now);
    }

    /// The response is whole, the request never will be.
    pub(super) fn exchange_ends_cut(&mut self, now: Instant, input: Input, reason: CloseReason) {
        self.exchange.progress = Progress::None;
        self.clocks = Clocks::default();
        self.send.cut();
        self.life.end_exchange_cut(now, input, reason);
        self.nothing_more_is_taken(now);
    }

    /// Everything readable was taken, and the peer's side has ended.
    pub(super) fn read_ended(&mut self, now: Instant, end: TransportEnd) {
        if end.is_orderly() {
            self.note_idle_end(now);
        }
        let until_close = self.is_running() && self.receive.place() == Place::UntilClose;
        self.read_side = match end {
            TransportEnd::CloseNotify | TransportEnd::Broken(_) => ReadSide::AwaitingFin(end),
            _ => ReadSide::Ended(end),
        };
        if until_close && end.is_orderly() {
            // RFC 9112 section 6.3, rule 8: this is how it ends.
            self.receive.end_until_close();
            self.response_is_whole(now);
        }
        let reason = self.reason_of(end, until_close);
        match end {
            TransportEnd::Fin | TransportEnd::BareFin => self.fin_came(now, end, &reason),
            TransportEnd::CloseNotify => self.close_notify_came(now, &reason),
            TransportEnd::Broken(_) => self.tls_broke(now, &reason),
            TransportEnd::Reset | TransportEnd::Alert(_) | TransportEnd::Failed(_) => {
                if end == TransportEnd::Reset {
                    self.life.handle_heard(Signal::Rst);
                }
                // After an alert the transport is still there, and what was cut short is shown by a reset.
                let cut = self.request() == Request::Cut;
                let alert = matches!(end, TransportEnd::Alert(_));
                let input = if cut && alert { Input::Abort } else { Input::Broken };
                if self.is_running() && !self.is_response_awaited() {
                    // As with a write that breaks: only the rest of an upload is lost.
                    self.exchange_ends_cut(now, input, reason.clone());
                } else {
                    self.life.handle_end(now, input, reason.clone());
                }
            }
        }
        self.settle(now, reason);
    }

    /// The peer has ended a connection that it thought idle, as far as that is known: then at which idle age.
    fn note_idle_end(&mut self, now: Instant) {
        let facts = &self.exchange.facts;
        let since = match self.life.state() {
            State::Idle if self.life.exchanges().0 > 0 => self.life.since(),
            _ if self.is_running()
                && facts.may_be_refused()
                && matches!(facts.sight, Sight::Pending | Sight::Refused) =>
            {
                self.exchange.idle_since
            }
            _ => return,
        };
        let Some((silence, round_trip)) = self.silence else { return };
        let came = now.checked_sub(silence).unwrap_or(since);
        self.ended_idle = Some((came.saturating_duration_since(since), round_trip));
    }

    /// Whether an exchange is in flight whose response is not whole.
    fn is_response_awaited(&self) -> bool {
        self.is_running() && self.receive.place() != Place::Done
    }

    /// Why the connection ends, if nothing ended it before.
    fn reason_of(&self, end: TransportEnd, until_close: bool) -> CloseReason {
        let (state, awaited) = (self.life.state(), self.is_response_awaited());
        let upgraded = matches!(state, State::Upgraded { .. });
        match end {
            TransportEnd::Failed(kind) => CloseReason::Network(kind),
            TransportEnd::Alert(alert) => CloseReason::TlsAlert(alert),
            TransportEnd::Broken(what) => CloseReason::TlsBroken(what),
            // Where only close_notify could have told the end (RFC 8446 section 6.1).
            TransportEnd::BareFin if upgraded || until_close => CloseReason::TlsTruncated,
            _ if awaited && state == State::HalfClosed => CloseReason::HalfCloseRefused,
            TransportEnd::Reset => CloseReason::Reset,
            _ if upgraded => CloseReason::Upgraded,
            _ if awaited && self.exchange.facts.handed == 0 => CloseReason::PeerClosedIdle,
            _ if awaited && self.exchange.facts.sight == Sight::Refused => CloseReason::PeerClosedIdle,
            _ if awaited => CloseReason::PeerEndedEarly,
            _ if self.is_running() => CloseReason::PeerAskedClose,
            _ => CloseReason::PeerClosedIdle,
        }
    }

    fn fin_came(&mut self, now: Instant, end: TransportEnd, reason: &CloseReason) {
        let vouched = if end == TransportEnd::Fin { Vouched::Yes } else { Vouched::No };
        self.life.handle_peer_end(now, Input::PeerDone(vouched), Signal::Fin, reason.clone());
        if self.is_response_awaited() {
            self.close_now(now, reason.clone());
        }
    }

    /// Nothing more comes, but the transport's own end is still to be read: so it ends what waits for the peer, and
    /// the peer's side only where another protocol has the connection.
    fn close_notify_came(&mut self, now: Instant, reason: &CloseReason) {
        self.life.handle_heard(Signal::CloseNotify);
        match self.life.state() {
            State::Idle => self.life.handle_end(now, Input::CloseNow(Request::Whole), reason.clone()),
            State::Upgraded { ours: Side::Ended, .. } => {
                self.life.handle_end(now, Input::CloseNow(Request::Whole), reason.clone());
            }
            State::Upgraded { .. } => {
                self.life.handle_end(now, Input::PeerDone(Vouched::Yes), reason.clone());
            }
            _ if self.is_response_awaited() => self.close_now(now, reason.clone()),
            _ if self.is_running() => self.life.retire(now, None, reason.clone()),
            _ => {}
        }
    }

    /// The peer broke TLS; the transport has answered with an alert.
    fn tls_broke(&mut self, now: Instant, reason: &CloseReason) {
        if self.is_running() && !self.is_response_awaited() {
            return self.exchange_ends_cut(now, Input::Abort, reason.clone());
        }
        let leaving = matches!(self.life.state(), State::Closing { .. } | State::Lingering);
        let input = if leaving { Input::Broken } else { Input::Violation(0, self.request()) };
        self.life.handle_end(now, input, reason.clone());
    }

    /// Whatever comes while nothing is in flight answers no request.
    pub(super) fn look_while_idle(&mut self, now: Instant) {
        let buffer = self.receive.buffer();
        // Too few bytes to tell which: the rest is awaited, and nothing begins meanwhile.
        if !IDLE_ENDS.iter().any(|start| buffer.len() < start.len() && start.starts_with(buffer)) {
            self.unexpected(now);
        }
    }

    /// Bytes on a connection that owes no answer. A 408 (Request Timeout) is how some peers end an idle one.
    pub(super) fn unexpected(&mut self, now: Instant) {
        let is_408 = IDLE_ENDS.iter().any(|start| self.receive.buffer().starts_with(start));
        let reason = if is_408 { CloseReason::PeerClosedIdle } else { CloseReason::UnexpectedData };
        self.bytes_discarded += self.receive.discard();
        self.end(now, Input::CloseNow(Request::Whole), reason);
    }

    pub(super) fn discard_leaving(&mut self, now: Instant) {
        let bytes = self.receive.discard();
        self.bytes_discarded += bytes;
        self.discarded_leaving += bytes;
        if self.discarded_leaving > self.config.limits.discard {
            self.end(now, Input::Abort, CloseReason::LimitExceeded("discarded bytes"));
        }
    }

    /// Takes what comes for a reader that is gone.
    pub(super) fn discard_response(&mut self, now: Instant) {
        while let Reader::Gone { budget } = self.exchange.reader {
            let Some(event) = self.poll_event(now) else { return };
            match event {
                Event::Data(data) => {
                    self.bytes_discarded += data.len() as u64;
                    let Some(budget) = budget.checked_sub(data.len() as u64) else {
                        return self.close_now(now, CloseReason::RequestCancelled);
                    };
                    self.exchange.reader = Reader::Gone { budget };
                }
                Event::Failed(_) | Event::End => return,
                _ => {}
            }
        }
    }

    pub(super) fn malformed(&mut self, now: Instant, malformed: Malformed) {
        let reason = match malformed {
            Malformed::Head(what) | Malformed::Body(what) => CloseReason::ProtocolError(what),
            Malformed::TooLarge(limit) => CloseReason::LimitExceeded(limit),
        };
        self.end(now, Input::Violation(0, self.request()), reason);
    }
}
