//! The facts that a driver reports: what the transport took and gave, how it ended, what time it is.

use std::time::{Duration, Instant};

use super::{Came, Doubt, Engine, ReadSide, Reader};
use crate::codec::framing::Rhythm;
use crate::fate::{OnWire, Ours, ReadEnd, Receipts, Sight};
use crate::h1::clocks::Alarm;
use crate::h1::news::TransportEnd;
use crate::h1::receive::Place;
use crate::lifecycle::{CloseReason, Input, Phase, Side, Signal, State};

impl Engine {
    /// The transport took so many bytes of [`slices`](Self::slices).
    pub fn handle_sent(&mut self, now: Instant, bytes: usize) {
        self.send.advance(bytes);
        self.bytes_sent += bytes as u64;
        self.exchange.facts.handed += bytes as u64;
        self.clocks.stalled = None;
        if self.send.is_holding() && self.exchange.facts.head_handed_over() {
            self.clocks.continue_wait.get_or_insert(now);
        }
        if self.send.is_done() && self.send.is_flushed() {
            self.request_is_out(now);
        }
    }

    /// The transport takes nothing for now.
    pub fn handle_blocked(&mut self, now: Instant) {
        self.clocks.stalled.get_or_insert(now);
    }

    /// The transport took something after all of what it held back, or all of it.
    pub fn handle_unblocked(&mut self) {
        self.clocks.stalled = None;
    }

    /// Our side of the transport is gone. After a reset, what the peer has for us is still read; after another
    /// failure nothing more will come, but what is here is still delivered.
    pub fn handle_write_end(&mut self, now: Instant, end: TransportEnd) {
        if !self.send.is_whole() {
            self.send.cut();
        }
        self.clocks.stalled = None;
        self.clocks.continue_wait = None;
        let reason = match end {
            TransportEnd::Failed(kind) => CloseReason::Network(kind),
            TransportEnd::Alert(alert) => CloseReason::TlsAlert(alert),
            TransportEnd::Broken(what) => CloseReason::TlsBroken(what),
            _ => CloseReason::Reset,
        };
        if self.is_running() && self.receive.place() == Place::Done && self.send.is_cut() {
            // The response is whole and delivered: only the rest of an upload is lost.
            return self.exchange_ends_cut(now, Input::Abort, reason);
        }
        if !self.is_running() {
            return self.end(now, Input::WriteBroken, reason);
        }
        if let (TransportEnd::Failed(_), ReadSide::Open) = (end, self.read_side) {
            self.read_side = ReadSide::Ending(end);
            self.exchange.facts.read_end = ReadEnd::Failed;
        }
        if self.read_side != ReadSide::Open && self.receive.buffer().is_empty() {
            self.read_side = ReadSide::Ended(end);
            return self.end(now, Input::Broken, reason);
        }
        if self.receive.place() == Place::Head {
            self.clocks.head.get_or_insert(now);
        }
        self.end(now, Input::WriteBroken, reason);
    }

    /// So many bytes were read into [`room`](Self::room).
    pub fn handle_received(&mut self, now: Instant, bytes: usize) {
        self.bytes_received += bytes as u64;
        self.receive.note_read(bytes, &self.config.limits);
        // It runs again when the reader has taken what came and waits for more.
        self.clocks.gap = None;
        match self.life.state() {
            State::Idle => self.look_while_idle(now),
            state if state.is_leaving() => self.discard_leaving(now),
            _ if self.is_running() && self.exchange.facts.handed == 0 => self.unexpected(now),
            _ => {
                if self.receive.place() == Place::Head {
                    self.exchange.facts.answered += bytes as u64;
                }
                if self.exchange.reader != Reader::Present {
                    self.discard_response(now);
                }
            }
        }
    }

    /// The wire took less than the whole head of the request in flight, whatever the transport took.
    pub fn handle_head_held_back(&mut self) {
        if self.is_running() {
            self.exchange.facts.wire = OnWire::Part;
        }
    }

    /// Nothing has come from the peer for so long, and a round trip takes so long; told before its end is, so that it
    /// is known when that came.
    pub fn handle_silence(&mut self, silence: Duration, round_trip: Duration) {
        self.silence = Some((silence, round_trip));
    }

    /// What the kernel says of the request in doubt, and how long a RST is awaited after the first look. See
    /// [`wants_look`](Self::wants_look).
    pub fn handle_sight(&mut self, now: Instant, sight: Sight, patience: Duration) {
        let ReadSide::InDoubt(doubt) = &mut self.read_side else { return };
        // A RST before the FIN refused nothing: the peer may have read the request and thrown it away.
        let early = sight == Sight::Refused && doubt.fin == Came::No;
        self.exchange.facts.sight = if early { Sight::Pending } else { sight };
        let until = *doubt.until.get_or_insert_with(|| now.checked_add(patience).unwrap_or(now));
        if self.exchange.facts.sight != Sight::Pending || now >= until {
            self.give_up_doubt(now);
        }
    }

    /// Nobody waits for a proof: the request is taken for one that may have been processed, unless a look has shown
    /// otherwise.
    pub fn give_up_doubt(&mut self, now: Instant) {
        let ReadSide::InDoubt(Doubt { fin, .. }) = self.read_side else { return };
        if fin == Came::No {
            self.exchange.facts.sight = Sight::None;
        }
        self.believe_end(now);
    }

    /// The end of the peer that was in doubt is acted upon.
    fn believe_end(&mut self, now: Instant) {
        let ReadSide::InDoubt(Doubt { end, fin, .. }) = self.read_side else { return };
        self.read_side = ReadSide::Ending(end);
        self.nothing_more_is_taken(now);
        if end == TransportEnd::CloseNotify && fin == Came::Yes {
            self.handle_read_end(now, TransportEnd::Fin);
        }
    }

    /// What came in doubt: the FIN behind a close_notify, or something that leaves nothing to be found out.
    fn handle_end_in_doubt(&mut self, now: Instant, end: TransportEnd) {
        if let ReadSide::InDoubt(doubt) = &mut self.read_side
            && end == TransportEnd::Fin
        {
            doubt.fin = Came::Yes;
            return;
        }
        self.give_up_doubt(now);
        self.handle_read_end(now, end);
    }

    /// The peer's side of the transport ended.
    pub fn handle_read_end(&mut self, now: Instant, end: TransportEnd) {
        if self.is_in_doubt() {
            return self.handle_end_in_doubt(now, end);
        }
        self.read_side = ReadSide::Ending(end);
        self.exchange.facts.read_end = match end {
            TransportEnd::Fin => ReadEnd::Fin,
            TransportEnd::CloseNotify => ReadEnd::CloseNotify,
            TransportEnd::BareFin => ReadEnd::BareFin,
            TransportEnd::Reset => ReadEnd::Reset,
            TransportEnd::Alert(_) | TransportEnd::Broken(_) => ReadEnd::TlsFailed,
            TransportEnd::Failed(_) => ReadEnd::Failed,
        };
        if self.is_refusal_possible() {
            let fin = if end == TransportEnd::Fin { Came::Yes } else { Came::No };
            self.read_side = ReadSide::InDoubt(Doubt { end, fin, until: None });
            return;
        }
        // With something left to take, the end waits its turn: everything readable is delivered first.
        let all_taken = self.receive.buffer().is_empty() || self.receive.place() == Place::Done;
        if !self.is_running() || all_taken {
            self.nothing_more_is_taken(now);
        }
    }

    /// Whether the request may have been refused because it came too late, and the kernel can tell.
    fn is_refusal_possible(&mut self) -> bool {
        if !self.is_running() || self.config.receipts != Receipts::Kernel {
            return false;
        }
        if !matches!(self.life.state(), State::Active | State::Draining { theirs: Side::Open } | State::Muted)
        {
            self.exchange.facts.ours = Ours::Ended;
        }
        self.receive.place() == Place::Head
            && self.receive.buffer().is_empty()
            && self.exchange.facts.may_be_refused()
    }

    /// Looks at the clock. Harmless when early.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.is_running() {
            match self.clocks.ran_out(&self.config.timeouts, now) {
                Some(Alarm::Continue) => self.release_body(),
                // A whole head that waits for its reader came in time.
                Some(Alarm::TimedOut(Phase::ResponseHead)) if self.receive.holds_head() => {
                    self.clocks.head = None;
                }
                Some(Alarm::Discard) => self.close_now(now, CloseReason::RequestCancelled),
                Some(Alarm::TimedOut(phase)) => self.close_now(now, CloseReason::TimedOut(phase)),
                None => break,
            }
        }
        if let ReadSide::InDoubt(Doubt { until: Some(until), .. }) = self.read_side
            && until <= now
        {
            self.give_up_doubt(now);
        }
        if let Some((at, phase)) = self.upgrade_deadline()
            && at <= now
        {
            self.end_upgrade(now, CloseReason::TimedOut(phase));
        }
        self.life.handle_timeout(now, self.request());
        self.settle(now, CloseReason::TimedOut(Phase::Drain));
    }

    /// The reader waits for more of the body than there is: the gap runs from now, until bytes come.
    pub fn handle_reader_waiting(&mut self, now: Instant) {
        let in_body = matches!(self.receive.place(), Place::Body | Place::UntilClose);
        if self.is_running() && in_body && self.exchange.rhythm == Rhythm::Steady {
            self.clocks.gap.get_or_insert(now);
        }
    }

    /// So many bytes of another protocol were carried, ours and the peer's.
    pub fn handle_carried(&mut self, now: Instant, sent: usize, received: usize) {
        if sent > 0 || received > 0 {
            self.clocks.carried = Some(now);
        }
        self.bytes_sent += sent as u64;
        self.bytes_received += received as u64;
    }

    /// The driver begins to carry out the goodbye: `linger` runs from now.
    pub fn handle_goodbye_begun(&mut self, now: Instant) {
        self.life.handle_goodbye_begun(now);
    }

    /// The driver said this.
    pub fn handle_said(&mut self, signal: Signal) {
        self.life.handle_said(signal);
    }

    /// The peer said this, and nothing follows from it any more.
    pub fn handle_heard(&mut self, signal: Signal) {
        self.life.handle_heard(signal);
    }

    /// All of the goodbye reached the transport.
    pub fn handle_goodbye_sent(&mut self, now: Instant) {
        self.life.handle(now, Input::GoodbyeSent);
    }

    /// The goodbye could not be said: our side was gone already. An ending, not an error.
    pub fn handle_goodbye_refused(&mut self, now: Instant) {
        self.end(now, Input::WriteBroken, CloseReason::Reset);
    }

    /// The reset that was ordered could not be made: the transport was only dropped.
    pub fn handle_reset_unable(&mut self) {
        self.life.handle_reset_unable();
    }
}
