//! What is said on standard error: errors, and with `-v` every step.

use std::cell::RefCell;
use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use adieu::{CloseReport, ConnectionId};
use anstyle::{AnsiColor, Style};
use http::{HeaderMap, Request, Response, Version};

use super::failure::{Failure, Tell};
use crate::clock;

/// Speaks on standard error; in colours on a terminal, unless `NO_COLOR` is set.
#[derive(Debug)]
pub(super) struct Voice {
    errors: Volume,
    steps: Volume,
    begun: Instant,
}

/// Whether a kind of news is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Volume {
    On,
    Off,
}

/// What is being done to get a connection: told, and kept for when time runs out in the midst of it.
pub(super) struct Opening {
    voice: Arc<Voice>,
    doing: RefCell<String>,
}

impl Opening {
    pub(super) fn new(voice: Arc<Voice>) -> Self {
        Self { voice, doing: RefCell::new("opening a connection".to_owned()) }
    }

    /// This begins now.
    pub(super) fn begins(&self, what: impl Into<String>) {
        let what = what.into();
        self.voice.step(&what);
        self.doing.replace(what);
    }

    /// This came of it.
    pub(super) fn tell(&self, what: impl fmt::Display) {
        self.voice.step(what);
    }

    /// What was begun last.
    pub(super) fn doing(&self) -> String {
        self.doing.borrow().clone()
    }
}

impl Voice {
    pub(super) fn new(errors: Volume, steps: Volume) -> Self {
        Self { errors, steps, begun: clock::now() }
    }

    /// Whether steps are told at all.
    pub(super) fn tells_steps(&self) -> bool {
        self.steps == Volume::On
    }

    /// `adieu: (52) the peer ended before any byte of a response (connection #1)`
    pub(super) fn failure(&self, failure: &Failure) {
        if self.errors == Volume::On && failure.tell == Tell::Aloud {
            say(format_args!("{ERROR}adieu: ({}) {}{ERROR:#}", failure.exit, failure.what));
        }
    }

    /// A step of the program.
    pub(super) fn step(&self, what: impl fmt::Display) {
        if self.steps == Volume::On {
            say(format_args!("{STEP}* {:9.3} ms  {what}{STEP:#}", clock::millis(self.begun.elapsed())));
        }
    }

    /// A step in the life of a connection.
    pub(super) fn connection(&self, id: ConnectionId, what: impl fmt::Display) {
        self.step(format_args!("{id} {what}"));
    }

    /// A connection is gone.
    pub(super) fn closed(&self, report: &CloseReport) {
        self.step(report);
    }

    pub(super) fn request<B>(&self, request: &Request<B>) {
        if self.steps == Volume::On {
            let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
            say(format_args!("{OURS}> {} {target} {}{OURS:#}", request.method(), version(request.version())));
            fields(request.headers(), '>', OURS);
        }
    }

    /// A response head, interim ones too.
    pub(super) fn response<B>(&self, response: &Response<B>) {
        if self.steps == Volume::On {
            say(format_args!("{THEIRS}< {}{THEIRS:#}", status_line(response)));
            fields(response.headers(), '<', THEIRS);
        }
    }

    pub(super) fn trailers(&self, trailers: &HeaderMap) {
        if self.steps == Volume::On {
            fields(trailers, '<', THEIRS);
        }
    }
}

/// `HTTP/1.1 200 OK`
pub(super) fn status_line<B>(response: &Response<B>) -> String {
    let reason = response.status().canonical_reason().unwrap_or_default();
    format!("{} {} {reason}", version(response.version()), response.status().as_u16()).trim_end().to_owned()
}

fn version(version: Version) -> &'static str {
    if version == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" }
}

fn fields(headers: &HeaderMap, mark: char, style: Style) {
    for (name, value) in headers {
        say(format_args!("{style}{mark}{style:#} {name}: {}", String::from_utf8_lossy(value.as_bytes())));
    }
    say(format_args!("{style}{mark}{style:#}"));
}

fn say(line: fmt::Arguments<'_>) {
    // Nobody listens on standard error: nothing is left to say it on.
    let _unheard = writeln!(anstream::stderr(), "{line}");
}

const ERROR: Style = AnsiColor::Red.on_default();
const STEP: Style = Style::new().dimmed();
const OURS: Style = AnsiColor::Green.on_default();
const THEIRS: Style = AnsiColor::Cyan.on_default();
