//! The steps that read, and no byte further than they say.

use super::super::framing::{Framing, chunk_size, framing_of};
use super::super::line::{End, SLICE};
use super::super::stage::{Phase, Piece};
use super::{After, Deadline, Got, Input, Played, Player, Spent, Stop};

impl Player<'_> {
    fn read_byte(&mut self, deadline: Deadline) -> Played<u8> {
        match self.read(1, deadline)? {
            Got::Bytes(_) => Ok(self.scratch[0]),
            Got::End(ended) => Err(Stop::ClientEnded(ended)),
        }
    }

    pub(super) fn read_head(&mut self, deadline: Deadline) -> Played {
        self.read_head_from(Vec::new(), deadline)
    }

    /// Reads the rest of a head that begins with `head`.
    fn read_head_from(&mut self, mut head: Vec<u8>, deadline: Deadline) -> Played {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.read_byte(deadline)?);
            if head.len() > HEAD_CAP {
                return Err(Stop::Wrong(format!("the head is longer than {HEAD_CAP} bytes")));
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        self.framing = Some(framing_of(&head));
        self.log.request(head);
        Ok(())
    }

    pub(super) fn read_body(&mut self, deadline: Deadline) -> Played {
        match self.framing.take() {
            None => Err(Stop::Wrong("no head was read before this body".to_owned())),
            Some(Err(wrong)) => Err(Stop::Wrong(wrong)),
            Some(Ok(Framing::Empty)) => Ok(()),
            Some(Ok(Framing::Length(bytes))) => self.read_exactly(bytes, deadline, Keep::Body),
            Some(Ok(Framing::Chunked)) => self.read_chunks(deadline),
        }
    }

    fn read_chunks(&mut self, deadline: Deadline) -> Played {
        loop {
            let size = chunk_size(self.read_line(deadline)?.trim_end()).map_err(Stop::Wrong)?;
            if size == 0 {
                break;
            }
            self.read_exactly(size, deadline, Keep::Body)?;
            let rest = self.read_line(deadline)?;
            if rest != "\r\n" {
                return Err(Stop::Wrong(format!("a chunk of {size} bytes is followed by {rest:?}")));
            }
        }
        loop {
            let line = self.read_line(deadline)?;
            if line == "\r\n" {
                return Ok(());
            }
            self.log.trailer(&line);
        }
    }

    /// A line with its CRLF.
    fn read_line(&mut self, deadline: Deadline) -> Played<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(self.read_byte(deadline)?);
            if line.len() > LINE_CAP {
                return Err(Stop::Wrong(format!("a line of the body is longer than {LINE_CAP} bytes")));
            }
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    pub(super) fn read_exactly(&mut self, bytes: u64, deadline: Deadline, keep: Keep) -> Played {
        let mut left = bytes;
        while left > 0 {
            match self.read(left, deadline)? {
                Got::Bytes(bytes) => {
                    left -= bytes as u64;
                    if keep == Keep::Body {
                        self.log.body(&self.scratch[..bytes]);
                    }
                }
                Got::End(ended) => return Err(Stop::ClientEnded(ended)),
            }
        }
        Ok(())
    }

    /// Reads to the end of the connection itself; the end of TLS lies on the way.
    pub(super) fn read_to_end(&mut self, deadline: Deadline) -> Played<End> {
        loop {
            if let Some(Got::End(end @ (End::Fin | End::Reset))) =
                self.read_once(After::End, u64::MAX, deadline)?
            {
                return Ok(end);
            }
        }
    }

    pub(super) fn expect_reset(&mut self, deadline: Deadline) -> Played {
        while self.read_to_end(deadline)? == End::Fin {
            if self.line()?.wire().was_reset() {
                self.log_end(End::Reset);
            } else {
                self.check(deadline)?;
                self.sleep(Deadline::after(SLICE), Phase::Dropped)?;
            }
        }
        Ok(())
    }

    pub(super) fn expect_quiet(&mut self, deadline: Deadline) -> Played {
        if self.input == Input::Exhausted {
            return self.sleep(deadline, Phase::Dropped);
        }
        loop {
            match self.read_once(After::End, u64::MAX, deadline) {
                Ok(None) => {}
                Err(Stop::OutOfTime(_)) => return Ok(()),
                Err(stop) => return Err(stop),
                Ok(Some(Got::End(end))) => return Err(Stop::ClientEnded(end)),
                Ok(Some(Got::Bytes(bytes))) => {
                    let shown = self.scratch[..bytes.min(SHOWN)].escape_ascii();
                    return Err(Stop::Wrong(format!("{bytes} bytes came: {shown}")));
                }
            }
        }
    }

    pub(super) fn answer_all(&mut self, answer: &[u8]) -> Played {
        loop {
            self.log.begin_run();
            self.step_bytes = 0;
            if self.await_request()? == Request::None {
                return Ok(());
            }
            let deadline = Deadline::after(self.script.step_limit);
            self.read_body(deadline)?;
            self.send(answer, deadline, Piece::New)?;
        }
    }

    /// Reads the next head, if there is one. Once the test waits for the outcome, a client that stays silent is given
    /// the linger time only, and not once more at the end.
    fn await_request(&mut self) -> Played<Request> {
        let mut deadline = Deadline::after(self.script.step_limit);
        let mut spent = Spent::No;
        loop {
            if spent == Spent::No && self.log.stage().phase() >= Phase::Finishing {
                deadline = deadline.min(Deadline::after(self.script.linger));
                spent = Spent::Yes;
            }
            match self.read(1, deadline.min(Deadline::after(SLICE))) {
                Ok(Got::Bytes(_)) => break,
                Ok(Got::End(_)) => return Ok(Request::None),
                Err(Stop::OutOfTime(_)) if !deadline.left().is_zero() => {}
                Err(Stop::OutOfTime(_)) => {
                    self.patience_spent = spent;
                    return Ok(Request::None);
                }
                Err(stop) => return Err(stop),
            }
        }
        let first = vec![self.scratch[0]];
        self.read_head_from(first, Deadline::after(self.script.step_limit))?;
        Ok(Request::Read)
    }
}

/// What is kept of the bytes that are read, beside the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Raw,
    Body,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    Read,
    None,
}

const HEAD_CAP: usize = 64 * 1024;
const LINE_CAP: usize = 16 * 1024;
/// How many unexpected bytes a failure shows.
const SHOWN: usize = 64;
