//! What both sides did, in order of time.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use adieu::State;
use adieu_testkit::peer::{Event, Peer, Seen};
use anstyle::{AnsiColor, Style};

use crate::clock;

/// The notes of one scene; a clone writes into the same.
#[derive(Clone)]
pub(super) struct Diary {
    began: Instant,
    notes: Arc<Mutex<Notes>>,
}

#[derive(Default)]
struct Notes {
    lines: Vec<Line>,
    /// When the mark was made that both clocks know.
    matched: Duration,
}

struct Line {
    at: Duration,
    who: Who,
    what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// What our program did.
    Us,
    /// What became of our connection.
    State,
    Peer,
}

impl Diary {
    pub(super) fn begin() -> Self {
        Self { began: clock::now(), notes: Arc::default() }
    }

    /// We did this, now.
    pub(super) fn ours(&self, what: impl fmt::Display) {
        self.note(Who::Us, what.to_string());
    }

    /// Our connection came into this state.
    pub(super) fn state(&self, state: State) {
        self.note(Who::State, format!("[{state}]"));
    }

    /// Lets the peer note the time that it is here.
    pub(super) fn match_clocks(&self, peer: &Peer) {
        let at = self.began.elapsed();
        peer.mark(MATCH);
        self.notes().matched = at;
    }

    /// Adds what the peer saw and did.
    pub(super) fn add_theirs(&self, seen: &Seen) {
        let mut notes = self.notes();
        let theirs =
            seen.time_of(|event| matches!(event, Event::Mark(name) if name == MATCH)).unwrap_or_default();
        for entry in seen.entries() {
            if let Some(what) = told(&entry.event) {
                let at = (notes.matched + entry.at).saturating_sub(theirs);
                notes.lines.push(Line { at, who: Who::Peer, what });
            }
        }
        // Stable: what one side did at the same time stays in its order.
        notes.lines.sort_by_key(|line| line.at);
    }

    /// Two columns, ours and theirs.
    pub(super) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{STATE}{:>12}  {:<COLUMN$}the peer{STATE:#}", "", "this side")?;
        for line in &self.notes().lines {
            let (at, what) = (clock::millis(line.at), &line.what);
            match line.who {
                Who::Us => writeln!(out, "{at:>9.1} ms  {OURS}{what}{OURS:#}")?,
                Who::State => writeln!(out, "{at:>9.1} ms  {STATE}{what}{STATE:#}")?,
                Who::Peer => writeln!(out, "{at:>9.1} ms  {:COLUMN$}{THEIRS}{what}{THEIRS:#}", "")?,
            }
        }
        Ok(())
    }

    fn note(&self, who: Who, what: String) {
        let at = self.began.elapsed();
        self.notes().lines.push(Line { at, who, what });
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the peer saw or did, in its own words.
fn told(event: &Event) -> Option<String> {
    Some(match event {
        Event::Received { bytes } => format!("-> received {bytes} bytes"),
        Event::Fin => "-> received FIN".to_owned(),
        Event::Reset => "-> received RST".to_owned(),
        Event::Handshake(handshake) => format!("-> TLS handshake: {}", handshake.version),
        Event::HandshakeFailed(what) => format!("FAILED: TLS handshake: {what}"),
        Event::CloseNotify => "-> received close_notify".to_owned(),
        Event::Alert(alert) => format!("-> received the TLS alert {alert}"),
        Event::SentCloseNotify => "<- sent close_notify".to_owned(),
        Event::Sent { bytes, .. } => format!("<- sent {bytes} bytes"),
        Event::SentFin => "<- sent FIN".to_owned(),
        Event::SentReset => "<- sent RST".to_owned(),
        Event::Closed => "closed its socket".to_owned(),
        Event::StillOpen => "saw no end".to_owned(),
        Event::Failed(what) => format!("FAILED: {what}"),
        _ => return None,
    })
}

/// `text` in lines of at most `width`, broken only behind `separator`.
pub(super) fn wrapped(text: &str, separator: &str, width: usize) -> impl Iterator<Item = String> {
    let mut lines = vec![String::new()];
    for piece in text.split_inclusive(separator) {
        match lines.last_mut() {
            Some(line) if line.is_empty() || line.len() + piece.trim_end().len() <= width => {
                line.push_str(piece)
            }
            _ => lines.push(piece.to_owned()),
        }
    }
    lines.into_iter().map(|line| line.trim_end().to_owned())
}

const MATCH: &str = "the same moment on both sides";
/// Where the peer's column begins.
const COLUMN: usize = 44;
const OURS: Style = AnsiColor::Green.on_default();
const THEIRS: Style = AnsiColor::Cyan.on_default();
const STATE: Style = Style::new().dimmed();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_behind_separators_only() {
        let lines: Vec<_> = wrapped("one two; three; four", "; ", 15).collect();
        assert_eq!(lines, ["one two; three;", "four"]);
        assert_eq!(wrapped("", " ", 10).collect::<Vec<_>>(), [""]);
    }
}
