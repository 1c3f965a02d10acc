//! The steps of TLS.

use super::super::line::{End, Layer, Slice, TlsMessage};
use super::super::record::{Cursor, Record, clear_alert};
use super::super::script::TlsStep;
use super::super::seen::Event;
use super::{After, Deadline, Got, Played, Player, Stop};

impl Player<'_> {
    pub(super) fn play_tls(&mut self, step: &TlsStep, deadline: Deadline) -> Played {
        match step {
            TlsStep::Start(layer) => self.start_tls(&**layer, deadline),
            TlsStep::CloseNotify => match self.close_notify(deadline)? {
                Said::Now => Ok(()),
                Said::Before => Err(Stop::Wrong("there is no TLS session left to end".to_owned())),
            },
            TlsStep::Send(message) => self.send_message(*message, deadline),
            TlsStep::SendRaw(bytes) => self.send_raw(bytes, deadline),
            TlsStep::ReadRecord => self.read_record(deadline),
            TlsStep::ExpectCloseNotify(within) => self.expect_close_notify(Deadline::after(*within)),
            TlsStep::ExpectAlert(within) => self.expect_alert(Deadline::after(*within)),
        }
    }

    /// Handshakes. An end of the client, or a failure, is for the next step to meet.
    pub(super) fn start_tls(&mut self, layer: &dyn Layer, deadline: Deadline) -> Played {
        self.line()?;
        if let Some(line) = self.line.take() {
            self.line = Some(layer.over(line).map_err(|why| {
                self.log.push(Event::Closed);
                Stop::Wrong(why)
            })?);
        }
        while self.line()?.is_handshaking() {
            if let Some(Got::End(_)) = self.read_once(After::Bytes, 1, deadline)? {
                break;
            }
        }
        let depth = self.line()?.depth();
        self.log.set_depth(depth);
        Ok(())
    }

    pub(super) fn goodbye(&mut self, deadline: Deadline) -> Played {
        while self.close_notify(deadline)? == Said::Now {}
        self.fin()
    }

    fn close_notify(&mut self, deadline: Deadline) -> Played<Said> {
        self.check_output()?;
        let Some(depth) = self.line()?.close_notify() else { return Ok(Said::Before) };
        self.flush(deadline)?;
        self.log.push_at(depth, Event::SentCloseNotify);
        Ok(Said::Now)
    }

    fn send_message(&mut self, message: TlsMessage, deadline: Deadline) -> Played {
        self.check_output()?;
        let depth = self.line()?.depth();
        match message {
            TlsMessage::Alert(alert) if depth == 0 => self.write_below(&clear_alert(alert), deadline)?,
            _ => {
                self.line()?.queue(message).map_err(Stop::Wrong)?;
                self.flush(deadline)?;
            }
        }
        self.log.push_at(
            depth,
            match message {
                TlsMessage::Alert(alert) => Event::SentAlert(alert),
                TlsMessage::KeyUpdate => Event::SentKeyUpdate,
                TlsMessage::Ticket => Event::SentTicket,
            },
        );
        Ok(())
    }

    fn send_raw(&mut self, bytes: &[u8], deadline: Deadline) -> Played {
        self.check_output()?;
        self.write_below(bytes, deadline)?;
        let depth = self.line()?.below().depth();
        self.log.push_at(depth, Event::SentRaw { bytes: bytes.len() as u64 });
        Ok(())
    }

    fn write_below(&mut self, mut left: &[u8], deadline: Deadline) -> Played {
        while !left.is_empty() {
            let slice = self.line()?.below().write(left, deadline.left());
            self.log_line();
            match slice.map_err(Stop::Io)? {
                Slice::Bytes(count) => left = left.get(count..).unwrap_or_default(),
                Slice::Underway => {}
                Slice::Nothing => self.check(deadline)?,
                Slice::End(end) => return Err(self.write_met(end)),
            }
        }
        Ok(())
    }

    fn flush(&mut self, deadline: Deadline) -> Played {
        loop {
            let slice = self.line()?.flush(deadline.left());
            self.log_line();
            match slice.map_err(Stop::Io)? {
                Slice::Bytes(_) => return Ok(()),
                Slice::Underway => {}
                Slice::Nothing => self.check(deadline)?,
                Slice::End(end) => return Err(self.write_met(end)),
            }
        }
    }

    fn read_record(&mut self, deadline: Deadline) -> Played {
        let mut cursor = Cursor::default();
        loop {
            match self.read(cursor.wanted() as u64, deadline)? {
                Got::Bytes(bytes) => {
                    if cursor.advance(&self.scratch[..bytes]) == Record::Whole {
                        return Ok(());
                    }
                }
                Got::End(end) => return Err(Stop::ClientEnded(end)),
            }
        }
    }

    fn expect_close_notify(&mut self, deadline: Deadline) -> Played {
        loop {
            match self.read(u64::MAX, deadline)? {
                Got::Bytes(_) => {}
                Got::End(End::CloseNotify) => return Ok(()),
                Got::End(other) => return Err(Stop::ClientEnded(other)),
            }
        }
    }

    fn expect_alert(&mut self, deadline: Deadline) -> Played {
        loop {
            match self.read(u64::MAX, deadline)? {
                Got::Bytes(_) => {}
                Got::End(End::Alert(_)) => return Ok(()),
                Got::End(other) => return Err(Stop::ClientEnded(other)),
            }
        }
    }
}

/// Whether a close_notify was still to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Now,
    Before,
}
