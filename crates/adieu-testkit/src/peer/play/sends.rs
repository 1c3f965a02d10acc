//! The steps that send, and those that end the peer's side.

use super::super::line::{End, Slice};
use super::super::seen::Event;
use super::super::stage::{Phase, Piece};
use super::super::wire::Family;
use super::{Deadline, Output, Played, Player, SCRATCH, Stop};

impl Player<'_> {
    pub(super) fn send(&mut self, bytes: &[u8], deadline: Deadline, mut piece: Piece) -> Played {
        let mut left = bytes;
        while !left.is_empty() {
            self.check_output()?;
            let slice = self.line()?.write(left, deadline.left());
            self.log_line();
            match slice.map_err(Stop::Io)? {
                Slice::Bytes(count) => {
                    self.step_bytes += count as u64;
                    self.log.sent(count, piece);
                    piece = Piece::Continued;
                    left = left.get(count..).unwrap_or_default();
                }
                Slice::Underway => {}
                Slice::Nothing => self.check(deadline)?,
                Slice::End(end) => return Err(self.write_met(end)),
            }
        }
        Ok(())
    }

    pub(super) fn check_output(&self) -> Played {
        match self.output {
            Output::Open => Ok(()),
            Output::Finished => Err(Stop::Wrong("the script has sent FIN already".to_owned())),
        }
    }

    /// A write met the client's end. What the client sent before can still be read.
    pub(super) fn write_met(&mut self, end: End) -> Stop {
        if end == End::Reset {
            self.log_end(end);
        }
        Stop::ClientEnded(end)
    }

    /// The pauses do not count towards the step's limit.
    pub(super) fn send_pieces(&mut self, bytes: &[u8], cuts: &[usize]) -> Played {
        let mut deadline = Deadline::after(self.script.step_limit);
        let mut from = 0;
        for cut in cuts {
            self.send(bytes.get(from..*cut).unwrap_or_default(), deadline, Piece::New)?;
            from = *cut;
            let pause = Deadline::after(self.script.piece_pause);
            deadline.at += self.script.piece_pause;
            self.sleep(pause, Phase::Dropped)?;
        }
        self.send(bytes.get(from..).unwrap_or_default(), deadline, Piece::New)
    }

    pub(super) fn send_filler(&mut self, bytes: u64, deadline: Deadline) -> Played {
        let filler = vec![b'x'; SCRATCH];
        let mut left = bytes;
        let mut piece = Piece::New;
        while left > 0 {
            let count = usize::try_from(left).unwrap_or(SCRATCH).min(SCRATCH);
            self.send(&filler[..count], deadline, piece)?;
            piece = Piece::Continued;
            left -= count as u64;
        }
        Ok(())
    }

    pub(super) fn fin(&mut self) -> Played {
        match self.line()?.wire().fin().map_err(Stop::Io)? {
            Slice::End(end) => Err(self.write_met(end)),
            _ => {
                self.output = Output::Finished;
                self.log.push(Event::SentFin);
                Ok(())
            }
        }
    }

    pub(super) fn reset(&mut self) -> Played {
        self.line()?;
        if let Some(line) = self.line.take() {
            self.log.push(match line.into_wire().reset().map_err(Stop::Io)? {
                Family::Tcp => Event::SentReset,
                Family::Unix => Event::Closed,
            });
        }
        Ok(())
    }
}
