//! How a connection is left: the goodbye, the letting go of the transport, and what each layer said.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use adieu_proto::lifecycle::{CloseMode, CloseReason, Goodbye, Layer, LayerReport, Parting, Signal};
use tokio::io::ReadBuf;

use super::{Farewell, Flush, Work};
use crate::drive::departures::Admission;
use crate::transport::{Peek, ResetArmed, Transport};

impl Work {
    pub(super) fn say_goodbye(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        match self.goodbye {
            None => return Poll::Ready(()),
            Some(Farewell::Flushing | Farewell::Ending) => {}
            // Our side ends, the exchange goes on: that is no departure yet.
            Some(Farewell::Ordered(Goodbye::HalfOnly)) => self.engine.handle_goodbye_begun(now),
            Some(Farewell::Queued) if self.departure.is_none() => return Poll::Pending,
            Some(Farewell::Ordered(_)) if self.departure.is_none() => {
                let Some(leaver) = self.leaver.upgrade() else { return Poll::Ready(()) };
                let (admission, shed) = self.departures.enter(&leaver);
                self.shed.extend(shed);
                match admission {
                    Admission::Granted(departure) => self.departure = Some(departure),
                    Admission::Later => {
                        self.goodbye = Some(Farewell::Queued);
                        return Poll::Pending;
                    }
                    Admission::Shed => {
                        self.engine.close_because(now, CloseMode::abort(), CloseReason::Shed);
                        return Poll::Ready(());
                    }
                }
                self.engine.handle_goodbye_begun(now);
            }
            Some(Farewell::Queued | Farewell::Ordered(_)) => self.engine.handle_goodbye_begun(now),
        }
        let Some(io) = &mut self.io else { return Poll::Ready(()) };
        let mut io = Pin::new(&mut **io);
        let flushed = match self.goodbye {
            Some(Farewell::Ending) => Poll::Ready(Ok(())),
            _ => io.as_mut().poll_flush(cx),
        };
        self.goodbye = Some(Farewell::Flushing);
        let said = match flushed {
            Poll::Ready(Ok(())) => {
                (self.flush, self.goodbye) = (Flush::Done, Some(Farewell::Ending));
                io.poll_shutdown(cx)
            }
            other => other,
        };
        match said {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {
                self.note_close_notify();
                self.engine.handle_said(Signal::Fin);
                self.engine.handle_goodbye_sent(now);
            }
            Poll::Ready(Err(_)) => {
                self.note_close_notify();
                self.engine.handle_goodbye_refused(now);
            }
        }
        Poll::Ready(())
    }

    /// Notes whether TLS said its goodbye.
    fn note_close_notify(&mut self) {
        let Some(io) = &self.io else { return };
        if io.tls().is_some() && io.layers().first().is_some_and(|tls| tls.sent.contains(Signal::CloseNotify))
        {
            self.engine.handle_said(Signal::CloseNotify);
        }
    }

    pub(super) fn let_go(&mut self, parting: Parting) {
        self.goodbye = None;
        self.alarm.clear();
        let mut io = self.io.take();
        if let Some(io) = &mut io
            && parting == Parting::Plain
            && self.engine.awaits_fin()
        {
            self.glance_at_fin(&mut **io);
        }
        if parting == Parting::Reset && io.as_ref().is_none_or(|io| io.arm_reset() == ResetArmed::No) {
            self.engine.handle_reset_unable();
        }
        if let Some(io) = io {
            self.layers = io.layers();
        }
        // TLS may have heard what no read has told.
        if let [tls, ..] = self.layers[..]
            && tls.layer == Layer::Tls
            && tls.received.contains(Signal::CloseNotify)
        {
            self.engine.handle_heard(Signal::CloseNotify);
        }
    }

    /// The peer's FIN often comes together with its close_notify: it is told if it is here, and not waited for.
    fn glance_at_fin(&mut self, io: &mut dyn Transport) {
        if io.peek() == Peek::End {
            return self.engine.handle_heard(Signal::Fin);
        }
        let mut scratch = [0; 64];
        let mut buffer = ReadBuf::new(&mut scratch);
        let mut cx = Context::from_waker(Waker::noop());
        let ended = match Pin::new(io).poll_read(&mut cx, &mut buffer) {
            Poll::Ready(Ok(())) => buffer.filled().is_empty(),
            Poll::Ready(Err(error)) => error.kind() == std::io::ErrorKind::UnexpectedEof,
            Poll::Pending => false,
        };
        if ended {
            self.engine.handle_heard(Signal::Fin);
        }
    }

    /// What was said on each layer: FIN and RST belong to the uppermost one below TLS.
    pub(in crate::drive) fn layers(&self) -> Vec<LayerReport> {
        let mut layers = self.io.as_ref().map_or_else(|| self.layers.clone(), |io| io.layers());
        let (sent, received) = self.engine.life().signals();
        if let Some(carrier) = layers.iter_mut().find(|layer| layer.layer != Layer::Tls) {
            for signal in [Signal::Fin, Signal::Rst] {
                if sent.contains(signal) {
                    carrier.sent.insert(signal);
                }
                if received.contains(signal) {
                    carrier.received.insert(signal);
                }
            }
        }
        layers
    }
}
