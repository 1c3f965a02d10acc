//! A bar on standard error for bodies that take their time.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clock;

/// Counts bytes, and shows a bar once there were many or it took long; with nobody to see it, does nothing.
#[derive(Debug)]
pub(super) struct Progress(Option<Bar>);

#[derive(Debug)]
struct Bar {
    direction: Direction,
    total: Option<u64>,
    done: u64,
    since: Instant,
    shown: Option<ProgressBar>,
}

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

/// Whether a bar may ever be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bars {
    Allowed,
    None,
}

impl Bars {
    /// Allowed on a terminal only.
    pub(super) fn on_terminal() -> Self {
        if std::io::stderr().is_terminal() { Self::Allowed } else { Self::None }
    }

    pub(super) fn start(self, direction: Direction) -> Progress {
        let bar = || Bar { direction, total: None, done: 0, since: clock::now(), shown: None };
        Progress((self == Self::Allowed).then(bar))
    }
}

impl Progress {
    /// How much there will be, where that is known.
    pub(super) fn expect(&mut self, total: Option<u64>) {
        if let Some(bar) = &mut self.0 {
            bar.total = total;
        }
    }

    pub(super) fn add(&mut self, bytes: usize) {
        let Some(bar) = &mut self.0 else { return };
        bar.done += bytes as u64;
        if bar.shown.is_none() && (bar.done > MANY || bar.since.elapsed() > LONG) {
            bar.shown = Some(bar.draw());
        }
        if let Some(shown) = &bar.shown {
            shown.set_position(bar.done);
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&mut self) {
        if let Some(shown) = self.0.take().and_then(|bar| bar.shown) {
            shown.finish_and_clear();
        }
    }
}

impl Bar {
    fn draw(&self) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(self.total, ProgressDrawTarget::stderr());
        let word = match self.direction {
            Direction::Up => "up  ",
            Direction::Down => "down",
        };
        let shape = match self.total {
            Some(_) => "{bar:24.cyan/dim} {bytes:>10} of {total_bytes}  {binary_bytes_per_sec}  {eta} left",
            None => "{spinner:.cyan} {bytes:>10}  {binary_bytes_per_sec}  {elapsed}",
        };
        // Both are known to be well formed; without a style the bar is plain.
        if let Ok(style) = ProgressStyle::with_template(&format!("{word} {shape}")) {
            bar.set_style(style);
        }
        bar.with_elapsed(self.since.elapsed())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

/// A body of more than this is worth a bar.
const MANY: u64 = 1 << 20;
/// And one that takes longer than this.
const LONG: Duration = Duration::from_secs(1);
