//! What is said on standard error: errors, and with `-v` every step.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::time::Instant;

use anstyle::{AnsiColor, Style};
use http::{HeaderMap, Request, Response, Version};

use super::failure::{Failure, Tell};
use super::progress::Bars;
use crate::clock;

/// Speaks on standard error; in colours on a terminal, unless `NO_COLOR` is set.
#[derive(Debug)]
pub(super) struct Voice {
    errors: Volume,
    steps: Volume,
    /// What else is on standard error.
    bars: Bars,
    begun: Instant,
}

/// Something to be told at its time; nothing, where steps are not told.
#[derive(Debug)]
pub(super) struct Told(String);

/// Whether a kind of news is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Volume {
    On,
    Off,
}

impl Voice {
    pub(super) fn new(errors: Volume, steps: Volume, bars: Bars) -> Self {
        Self { errors, steps, bars, begun: clock::now() }
    }

    /// Whether steps are told at all.
    pub(super) fn tells_steps(&self) -> bool {
        self.steps == Volume::On
    }

    /// The bars that share standard error with it.
    pub(super) fn bars(&self) -> &Bars {
        &self.bars
    }

    /// `adieu: (52) the peer ended before any byte of a response (connection #1)`
    pub(super) fn failure(&self, failure: &Failure) {
        if self.errors == Volume::On && failure.tell == Tell::Aloud {
            self.say(format_args!("{ERROR}adieu: ({}) {}{ERROR:#}", failure.exit, failure.what));
        }
    }

    /// A step of the program, or of a connection.
    pub(super) fn step(&self, what: impl fmt::Display) {
        if self.steps == Volume::On {
            let at = clock::millis(self.begun.elapsed());
            self.say(format_args!("{STEP}* {at:9.3} ms  {what}{STEP:#}"));
        }
    }

    pub(super) fn request<B>(&self, request: &Request<B>) -> Told {
        if self.steps == Volume::Off {
            return Told(String::new());
        }
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let first = format!("{} {target} {}", request.method(), version(request.version()));
        Told(head('>', OURS, Some(&first), request.headers()))
    }

    /// Tells what was made to be told later.
    pub(super) fn tell(&self, Told(text): Told) {
        if !text.is_empty() {
            self.say(format_args!("{text}"));
        }
    }

    /// A response head, interim ones too.
    pub(super) fn response<B>(&self, response: &Response<B>) {
        if self.steps == Volume::On {
            let first = status_line(response);
            self.tell(Told(head('<', THEIRS, Some(&first), response.headers())));
        }
    }

    pub(super) fn trailers(&self, trailers: &HeaderMap) {
        if self.steps == Volume::On {
            self.tell(Told(head('<', THEIRS, None, trailers)));
        }
    }

    fn say(&self, line: fmt::Arguments<'_>) {
        // Nobody listens on standard error: nothing is left to say it on.
        let _unheard = self.bars.aside(|| writeln!(anstream::stderr(), "{line}"));
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

/// The lines of a head, the last of them empty.
fn head(mark: char, style: Style, first: Option<&str>, fields: &HeaderMap) -> String {
    let mut text = String::new();
    if let Some(first) = first {
        // Writing into a string cannot fail.
        let _written = writeln!(text, "{style}{mark} {first}{style:#}");
    }
    for (name, value) in fields {
        let value = String::from_utf8_lossy(value.as_bytes());
        let _written = writeln!(text, "{style}{mark}{style:#} {name}: {value}");
    }
    let _written = write!(text, "{style}{mark}{style:#}");
    text
}

const ERROR: Style = AnsiColor::Red.on_default();
const STEP: Style = Style::new().dimmed();
const OURS: Style = AnsiColor::Green.on_default();
const THEIRS: Style = AnsiColor::Cyan.on_default();
