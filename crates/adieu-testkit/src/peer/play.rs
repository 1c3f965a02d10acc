//! Plays one script on one connection.
//!
//! Every step either succeeds or stops the play; why it stopped is a [`Stop`], from the first `?` to the log. A step
//! never reads past what it was told to, so that the kernel's buffer holds what the script left there.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use super::clock::now;
use super::framing::{Framing, chunk_size, framing_of};
use super::gate::Gate;
use super::line::{Family, Line, SLICE, Slice};
use super::script::{OnEnd, Script, Step};
use super::seen::Event;
use super::stage::{Log, Phase, Piece};
use crate::ended::Ended;

/// Plays `script` on `line`; `log` tells all of it.
pub(super) fn play(line: Line, script: &Script, log: Log) {
    let mut player = Player {
        line: Some(line),
        script,
        log,
        framing: None,
        input: Input::Open,
        output: Output::Open,
        client_ended: None,
        patience_spent: Spent::No,
        step_bytes: 0,
        scratch: vec![0; SCRATCH],
    };
    match player.play_steps() {
        Ok(()) => player.read_out(),
        Err(failure) => player.log.push(Event::Failed(failure)),
    }
    player.close();
}

struct Player<'a> {
    /// Dropped before `log`, whose drop says that the connection is over.
    line: Option<Line>,
    script: &'a Script,
    log: Log,
    /// The framing of the head read last.
    framing: Option<Result<Framing, String>>,
    input: Input,
    output: Output,
    /// How the client ended, as logged.
    client_ended: Option<Ended>,
    patience_spent: Spent,
    /// How many bytes the step at hand has read or sent.
    step_bytes: u64,
    scratch: Vec<u8>,
}

/// Whether there is anything left to read, ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Open,
    Exhausted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Open,
    Finished,
}

/// Whether the wait for the client's end has been done by a step already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spent {
    No,
    Yes,
}

/// Why a step did not do what the script says.
enum Stop {
    ClientEnded(Ended),
    OutOfTime(Duration),
    Wrong(String),
    Io(io::Error),
    /// The peer is being dropped; nobody will read the log.
    Dropped,
}

/// What reading gave.
enum Got {
    Bytes(usize),
    End(Ended),
}

type Played<T = ()> = Result<T, Stop>;

impl Player<'_> {
    /// Plays step by step; what went wrong is told as a sentence.
    fn play_steps(&mut self) -> Result<(), String> {
        for (index, planned) in self.script.steps.iter().enumerate() {
            self.log.begin_step();
            self.step_bytes = 0;
            match self.play_step(&planned.step) {
                Ok(()) => {}
                Err(Stop::ClientEnded(_)) if planned.on_end == OnEnd::FinishScript => break,
                Err(stop) => {
                    let into_it = match stop {
                        Stop::ClientEnded(_) | Stop::OutOfTime(_) => {
                            format!(", {} bytes into it", self.step_bytes)
                        }
                        _ => String::new(),
                    };
                    return Err(format!("step {} ({}): {stop}{into_it}", index + 1, planned.step));
                }
            }
        }
        Ok(())
    }

    fn play_step(&mut self, step: &Step) -> Played {
        let limit = self.script.step_limit;
        let deadline = Deadline::after(limit);
        match step {
            Step::ReadHead => self.read_head(deadline),
            Step::ReadBody => self.read_body(deadline),
            Step::ReadRequest => self.read_head(deadline).and_then(|()| self.read_body(deadline)),
            Step::ReadExactly(bytes) => self.read_exactly(*bytes, deadline, Keep::Raw),
            Step::ReadToEnd => self.read_to_end(deadline).map(|_| ()),
            Step::AnswerAll(answer) => self.answer_all(answer),
            Step::Send(bytes) => self.send(bytes, deadline, Piece::New),
            Step::SendPieces { bytes, cuts } => self.send_pieces(bytes, cuts),
            Step::SendFiller(bytes) => self.send_filler(*bytes, deadline),
            Step::Pause(time) => self.sleep(Deadline::after(*time), Phase::Dropped),
            Step::Gate(gate) => self.pass(gate, deadline),
            Step::Mark(name) => {
                self.log.push(Event::Mark(name.to_string()));
                Ok(())
            }
            Step::Fin => self.fin(),
            Step::Reset => self.reset(),
            Step::Close => {
                self.line()?;
                self.close();
                Ok(())
            }
            Step::Stall => self.line().map(|_| ()).and_then(|()| self.sleep(deadline, Phase::Released)),
            Step::ExpectFin(within) => match self.read_to_end(Deadline::after(*within))? {
                Ended::Fin => Ok(()),
                other => Err(Stop::ClientEnded(other)),
            },
            Step::ExpectReset(within) => self.expect_reset(Deadline::after(*within)),
            Step::Quiet(time) => self.expect_quiet(Deadline::after(*time)),
        }
    }

    fn line(&mut self) -> Played<&mut Line> {
        self.line
            .as_mut()
            .ok_or_else(|| Stop::Wrong("the script has closed the connection already".to_owned()))
    }

    fn close(&mut self) {
        if let Some(line) = self.line.take() {
            drop(line);
            self.log.push(Event::Closed);
        }
    }
}

/// Reading.
impl Player<'_> {
    /// Reads once into the scratch space, at most `most` bytes, and logs it.
    fn read(&mut self, most: u64, deadline: Deadline) -> Played<Got> {
        loop {
            let ended = self.client_ended;
            let Some(line) = &mut self.line else {
                return Err(Stop::Wrong("the script has closed the connection already".to_owned()));
            };
            if let (Input::Exhausted, Some(ended)) = (self.input, ended) {
                return Ok(Got::End(ended));
            }
            let room = usize::try_from(most).unwrap_or(SCRATCH).min(SCRATCH);
            let into = &mut self.scratch[..room];
            match line.read(into, deadline.left()).map_err(Stop::Io)? {
                Slice::Bytes(bytes) => {
                    self.step_bytes += bytes as u64;
                    self.log.received(&self.scratch[..bytes]);
                    return Ok(Got::Bytes(bytes));
                }
                Slice::Fin => {
                    self.input = Input::Exhausted;
                    if ended.is_none() {
                        self.note_end(Ended::Fin);
                    }
                }
                Slice::Reset => {
                    self.input = Input::Exhausted;
                    self.note_end(Ended::Reset);
                }
                Slice::Nothing => self.check(deadline)?,
            }
        }
    }

    /// Logs the client's end, each kind once.
    fn note_end(&mut self, ended: Ended) {
        if self.client_ended != Some(ended) {
            self.client_ended = Some(ended);
            self.log.push(if ended == Ended::Fin { Event::Fin } else { Event::Reset });
        }
    }

    fn check(&self, deadline: Deadline) -> Played {
        if self.log.stage().phase() == Phase::Dropped {
            Err(Stop::Dropped)
        } else if deadline.left().is_zero() {
            Err(Stop::OutOfTime(deadline.limit))
        } else {
            Ok(())
        }
    }

    fn read_byte(&mut self, deadline: Deadline) -> Played<u8> {
        match self.read(1, deadline)? {
            Got::Bytes(_) => Ok(self.scratch[0]),
            Got::End(ended) => Err(Stop::ClientEnded(ended)),
        }
    }

    fn read_head(&mut self, deadline: Deadline) -> Played {
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

    fn read_body(&mut self, deadline: Deadline) -> Played {
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

    fn read_exactly(&mut self, bytes: u64, deadline: Deadline, keep: Keep) -> Played {
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

    fn read_to_end(&mut self, deadline: Deadline) -> Played<Ended> {
        loop {
            if let Got::End(ended) = self.read(u64::MAX, deadline)? {
                return Ok(ended);
            }
        }
    }

    fn expect_reset(&mut self, deadline: Deadline) -> Played {
        while self.read_to_end(deadline)? == Ended::Fin {
            if self.line()?.was_reset() {
                self.note_end(Ended::Reset);
            } else {
                self.check(deadline)?;
                self.sleep(Deadline::after(SLICE), Phase::Dropped)?;
            }
        }
        Ok(())
    }

    fn expect_quiet(&mut self, deadline: Deadline) -> Played {
        if self.input == Input::Exhausted {
            return self.sleep(deadline, Phase::Dropped);
        }
        match self.read(u64::MAX, deadline) {
            Err(Stop::OutOfTime(_)) => Ok(()),
            Err(stop) => Err(stop),
            Ok(Got::End(ended)) => Err(Stop::ClientEnded(ended)),
            Ok(Got::Bytes(bytes)) => Err(Stop::Wrong(format!(
                "{bytes} bytes came: {}",
                self.scratch[..bytes.min(SHOWN)].escape_ascii()
            ))),
        }
    }

    fn answer_all(&mut self, answer: &[u8]) -> Played {
        loop {
            self.log.begin_step();
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

    /// After the last step: reads to the client's end, so that the log tells it.
    fn read_out(&mut self) {
        if self.line.is_none() {
            return;
        }
        self.log.begin_step();
        let time = if self.patience_spent == Spent::Yes { Duration::ZERO } else { self.script.linger };
        match self.read_to_end(Deadline::after(time)) {
            Err(Stop::OutOfTime(_)) => self.log.push(Event::StillOpen),
            Err(Stop::Io(error)) => {
                self.log.push(Event::Failed(format!("reading to the client's end: {error}")))
            }
            _ => {}
        }
        if self.line.as_ref().is_some_and(Line::was_reset) {
            self.note_end(Ended::Reset);
        }
    }
}

/// Sending, ending, waiting.
impl Player<'_> {
    fn send(&mut self, bytes: &[u8], deadline: Deadline, mut piece: Piece) -> Played {
        let mut left = bytes;
        while !left.is_empty() {
            if self.output == Output::Finished {
                return Err(Stop::Wrong("the script has sent FIN already".to_owned()));
            }
            match self.line()?.write(left, deadline.left()).map_err(Stop::Io)? {
                Slice::Bytes(count) => {
                    self.step_bytes += count as u64;
                    self.log.sent(count, piece);
                    piece = Piece::Continued;
                    left = left.get(count..).unwrap_or_default();
                }
                Slice::Nothing | Slice::Fin => self.check(deadline)?,
                Slice::Reset => {
                    self.note_end(Ended::Reset);
                    return Err(Stop::ClientEnded(Ended::Reset));
                }
            }
        }
        Ok(())
    }

    /// The pauses do not count towards the step's limit.
    fn send_pieces(&mut self, bytes: &[u8], cuts: &[usize]) -> Played {
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

    fn send_filler(&mut self, bytes: u64, deadline: Deadline) -> Played {
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

    fn fin(&mut self) -> Played {
        match self.line()?.fin().map_err(Stop::Io)? {
            Slice::Reset => {
                self.note_end(Ended::Reset);
                Err(Stop::ClientEnded(Ended::Reset))
            }
            _ => {
                self.output = Output::Finished;
                self.log.push(Event::SentFin);
                Ok(())
            }
        }
    }

    fn reset(&mut self) -> Played {
        self.line()?;
        if let Some(line) = self.line.take() {
            self.log.push(match line.reset().map_err(Stop::Io)? {
                Family::Tcp => Event::SentReset,
                Family::Unix => Event::Closed,
            });
        }
        Ok(())
    }

    fn pass(&mut self, gate: &Gate, deadline: Deadline) -> Played {
        while !gate.wait(deadline.left().min(SLICE)) {
            self.check(deadline).map_err(|stop| match stop {
                Stop::OutOfTime(limit) => Stop::Wrong(format!("it was not opened within {limit:?}")),
                other => other,
            })?;
        }
        Ok(())
    }

    fn sleep(&mut self, deadline: Deadline, until: Phase) -> Played {
        match self.log.stage().sleep(deadline.at, until) {
            Phase::Dropped => Err(Stop::Dropped),
            _ => Ok(()),
        }
    }
}

/// What is kept of the bytes that are read, beside the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Raw,
    Body,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    Read,
    None,
}

/// A point in time, and the limit it came from.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    fn after(limit: Duration) -> Self {
        let limit = limit.min(FOREVER);
        Self { at: now() + limit, limit }
    }

    fn left(self) -> Duration {
        self.at.saturating_duration_since(now())
    }

    fn min(self, other: Self) -> Self {
        if other.at < self.at { other } else { self }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientEnded(ended) => write!(f, "the client ended with {ended}"),
            Self::OutOfTime(limit) => write!(f, "not done within {limit:?}"),
            Self::Wrong(what) => f.write_str(what),
            Self::Io(error) => write!(f, "{error}"),
            Self::Dropped => f.write_str("the peer was dropped"),
        }
    }
}

const SCRATCH: usize = 64 * 1024;
const HEAD_CAP: usize = 64 * 1024;
const LINE_CAP: usize = 16 * 1024;
/// How many unexpected bytes a failure shows.
const SHOWN: usize = 64;
/// No test waits a week; longer times would not fit the clock.
const FOREVER: Duration = Duration::from_secs(7 * 24 * 3600);
