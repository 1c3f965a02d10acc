//! Plays one script on one connection.
//!
//! Every step either succeeds or stops the play; why it stopped is a [`Stop`], from the first `?` to the log. A step
//! never reads past what it was told to, so that the kernel's buffer holds what the script left there.

mod reads;
mod sends;
mod tls;

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use super::clock::now;
use super::framing::Framing;
use super::gate::Gate;
use super::line::{End, Layer, Line, SLICE, Slice};
use super::script::{OnEnd, Script, Step};
use super::seen::Event;
use super::stage::{Log, Phase, Piece};
use super::wire::Traffic;
use reads::Keep;

/// Plays `script` on `line`, over which `layer` is put first; `log` tells all of it.
pub(super) fn play(line: Box<dyn Line>, layer: Option<&dyn Layer>, script: &Script, log: Log) {
    let mut player = Player {
        line: Some(line),
        script,
        log,
        framing: None,
        input: Input::Open,
        output: Output::Open,
        wire_end: None,
        traffic: Traffic::default(),
        patience_spent: Spent::No,
        step_bytes: 0,
        scratch: vec![0; SCRATCH],
    };
    match player.play_layer(layer).and_then(|()| player.play_steps()) {
        Ok(()) => player.read_out(),
        Err(failure) => player.log.push(Event::Failed(failure)),
    }
    player.close();
}

struct Player<'a> {
    /// Dropped before `log`, whose drop says that the connection is over.
    line: Option<Box<dyn Line>>,
    script: &'a Script,
    log: Log,
    /// The framing of the head read last.
    framing: Option<Result<Framing, String>>,
    input: Input,
    output: Output,
    /// How the client ended the connection itself, as logged.
    wire_end: Option<End>,
    /// What went over the socket, as logged.
    traffic: Traffic,
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
    ClientEnded(End),
    OutOfTime(Duration),
    Wrong(String),
    Io(io::Error),
    /// The peer is being dropped; nobody will read the log.
    Dropped,
}

/// What reading gave.
enum Got {
    Bytes(usize),
    End(End),
}

/// What a read is after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// The bytes that the client sends at this depth; their end is an end.
    Bytes,
    /// The client's end of the connection itself.
    End,
}

type Played<T = ()> = Result<T, Stop>;

impl Player<'_> {
    fn play_layer(&mut self, layer: Option<&dyn Layer>) -> Result<(), String> {
        let Some(layer) = layer else { return Ok(()) };
        let deadline = Deadline::after(self.script.step_limit);
        self.start_tls(layer, deadline).map_err(|stop| format!("step 0 (start TLS): {stop}"))
    }

    /// Plays step by step; what went wrong is told as a sentence.
    fn play_steps(&mut self) -> Result<(), String> {
        for (index, planned) in self.script.steps.iter().enumerate() {
            self.log.begin_run();
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
            Step::Goodbye => self.goodbye(deadline),
            Step::Tls(step) => self.play_tls(step, deadline),
            Step::ExpectFin(within) => match self.read_to_end(Deadline::after(*within))? {
                End::Fin => Ok(()),
                other => Err(Stop::ClientEnded(other)),
            },
            Step::ExpectReset(within) => self.expect_reset(Deadline::after(*within)),
            Step::Quiet(time) => self.expect_quiet(Deadline::after(*time)),
        }
    }

    fn line(&mut self) -> Played<&mut dyn Line> {
        match &mut self.line {
            Some(line) => Ok(&mut **line),
            None => Err(Stop::Wrong("the script has closed the connection already".to_owned())),
        }
    }

    fn close(&mut self) {
        if let Some(line) = self.line.take() {
            drop(line);
            self.log.push(Event::Closed);
        }
    }
}

/// What every step is made of.
impl Player<'_> {
    /// Reads into the scratch space, at most `most` bytes, and logs it.
    fn read(&mut self, most: u64, deadline: Deadline) -> Played<Got> {
        loop {
            if let Some(got) = self.read_once(After::Bytes, most, deadline)? {
                return Ok(got);
            }
        }
    }

    /// Reads one slice of time long.
    fn read_once(&mut self, after: After, most: u64, deadline: Deadline) -> Played<Option<Got>> {
        let Some(line) = &mut self.line else {
            return Err(Stop::Wrong("the script has closed the connection already".to_owned()));
        };
        if let (Input::Exhausted, Some(end)) = (self.input, self.wire_end) {
            return Ok(Some(Got::End(end)));
        }
        let room = usize::try_from(most).unwrap_or(SCRATCH).min(SCRATCH);
        let into = &mut self.scratch[..room];
        let slice = match after {
            After::Bytes => line.read(into, deadline.left()),
            After::End => line.read_on(into, deadline.left()),
        };
        self.log_line();
        match slice.map_err(Stop::Io)? {
            Slice::Bytes(bytes) => {
                self.step_bytes += bytes as u64;
                self.log.received(&self.scratch[..bytes]);
                return Ok(Some(Got::Bytes(bytes)));
            }
            Slice::End(end) => return Ok(Some(Got::End(self.note_end(end)))),
            Slice::Underway => {}
            Slice::Nothing => {
                self.log.begin_run();
                self.check(deadline)?;
            }
        }
        Ok(None)
    }

    /// Takes note of an end that a read met; says which it is, all in all.
    fn note_end(&mut self, end: End) -> End {
        if !matches!(end, End::Fin | End::Reset) {
            return end;
        }
        self.input = Input::Exhausted;
        // A write may have been told of a reset, which a read sees as a FIN.
        if end == End::Reset || self.wire_end.is_none() {
            self.log_end(end);
        }
        self.wire_end.unwrap_or(end)
    }

    /// Logs the client's end of the connection itself, each kind once.
    fn log_end(&mut self, end: End) {
        if self.wire_end != Some(end) {
            self.wire_end = Some(end);
            self.log.push(if end == End::Fin { Event::Fin } else { Event::Reset });
        }
    }

    /// Logs what the line has done by itself.
    fn log_line(&mut self) {
        let Some(line) = &mut self.line else { return };
        while let Some((depth, event)) = line.news() {
            self.log.push_at(depth, event);
        }
        let traffic = line.wire().traffic();
        if self.traffic != traffic {
            self.traffic = traffic;
            self.log.traffic(traffic);
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

    /// After the last step: reads to the client's end, so that the log tells it.
    fn read_out(&mut self) {
        if self.line.is_none() {
            return;
        }
        self.log.begin_run();
        let time = if self.patience_spent == Spent::Yes { Duration::ZERO } else { self.script.linger };
        match self.read_to_end(Deadline::after(time)) {
            Err(Stop::OutOfTime(_)) => self.log.push(Event::StillOpen),
            Err(Stop::Io(error)) => {
                self.log.push(Event::Failed(format!("reading to the client's end: {error}")))
            }
            _ => {}
        }
        if self.line.as_mut().is_some_and(|line| line.wire().was_reset()) {
            self.log_end(End::Reset);
        }
    }
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
/// No test waits a week; longer times would not fit the clock.
const FOREVER: Duration = Duration::from_secs(7 * 24 * 3600);
