//! What the kernel knows of a request that was not answered: the looks, and what else a failure is told with.

use std::task::Context;
use std::time::{Duration, Instant};

use adieu_proto::fate::{Sight, Span};
use adieu_proto::lifecycle::State;

use super::{IdleWatch, Work};

/// Whether a request bears it that nobody knows whether it was processed: it is sent again then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// It does: a proof is taken where it is there at once, and not waited for.
    Borne,
    /// It does not: a proof is awaited.
    Unbearable,
}

impl Work {
    /// Whether the exchange that has just begun bears doubt.
    pub(crate) fn bear(&mut self, doubt: Doubt) {
        self.doubt = doubt;
    }

    /// The peer has ended, and the request may not have come in time: looks, now and once the socket is gone or that was
    /// awaited for long enough.
    #[cold]
    pub(super) fn look_into_doubt(&mut self, now: Instant, cx: &mut Context<'_>) {
        let Some(io) = &mut self.io else { return };
        let _context = self.runtime.enter();
        // Once it was looked at, this awaits the end of the socket; if that is here by now, it is looked at again.
        while self.engine.wants_look(now, || io.poll_gone(cx).is_ready()) {
            let receipt = io.receipt();
            let Span { before, head_end } = self.engine.span();
            let span = match (io.wire_begin(before), io.wire_end(head_end)) {
                (Some(before), Some(head_end)) => Some(Span { before, head_end }),
                _ => None,
            };
            let (sight, patience) = match (receipt, span) {
                (Some(receipt), Some(span)) => (receipt.sight(span), receipt.patience()),
                _ => (Sight::None, Duration::ZERO),
            };
            if let Some(receipt) = receipt {
                self.engine.handle_silence(receipt.silence, receipt.round_trip);
            }
            self.engine.handle_sight(now, sight, patience);
            if self.doubt == Doubt::Borne {
                self.engine.give_up_doubt(now);
            }
        }
        if self.engine.is_in_doubt() {
            self.arm(now);
        }
    }

    /// Before the end of the peer's side is told: when the last of it came, as far as that is known.
    pub(super) fn note_silence(&mut self) {
        let Some(io) = &self.io else { return };
        let silence = match (self.engine.state(), self.watch) {
            // Whoever watches reads an end as it comes.
            (State::Idle, watch) => match (io.receipt(), watch) {
                (Some(receipt), _) => Some((receipt.silence, receipt.round_trip)),
                (None, IdleWatch::Registered) => Some((Duration::ZERO, Duration::ZERO)),
                (None, IdleWatch::Due) => None,
            },
            _ => None,
        };
        if let Some((silence, round_trip)) = silence {
            self.engine.handle_silence(silence, round_trip);
        }
    }

    /// Before a failure is told: whether the wire took less of the head than the transport did, as TLS does.
    pub(super) fn note_held_back(&mut self) {
        if !self.engine.awaits_head() {
            return;
        }
        let Some(io) = &self.io else { return };
        if let (Some(taken), Some(end)) = (io.wire_taken(), io.wire_end(self.engine.span().head_end))
            && taken < end
        {
            self.engine.handle_head_held_back();
        }
    }
}
