//! Bars on standard error for what takes its time: a body, or a queue of many requests.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clock;

/// Where bars are shown, below each other; on a terminal only. A clone shows them in the same place.
#[derive(Clone, Debug)]
pub(super) struct Bars(Option<MultiProgress>);

/// Counts the bytes of a body, and shows a bar once there were many or it took long.
#[derive(Debug)]
pub(super) struct Progress(Option<Bar>);

/// Counts the URLs of a queue, and shows a bar once it took long.
#[derive(Debug)]
pub(super) struct Counter {
    bar: Option<Bar>,
    failed: u64,
}

#[derive(Debug)]
struct Bar {
    bars: MultiProgress,
    kind: Kind,
    total: Option<u64>,
    done: u64,
    message: String,
    since: Instant,
    shown: Option<ProgressBar>,
}

/// Which way the bytes of a body go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Body(Direction),
    Queue,
}

impl Bars {
    pub(super) fn none() -> Self {
        Self(None)
    }

    pub(super) fn on_terminal() -> Self {
        Self(std::io::stderr().is_terminal().then(MultiProgress::new))
    }

    pub(super) fn start(&self, direction: Direction) -> Progress {
        Progress(self.bar(Kind::Body(direction), None))
    }

    /// For a queue of so many.
    pub(super) fn count(&self, total: u64) -> Counter {
        Counter { bar: self.bar(Kind::Queue, Some(total)), failed: 0 }
    }

    /// Takes the bars away for as long as something else is written.
    pub(super) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    fn bar(&self, kind: Kind, total: Option<u64>) -> Option<Bar> {
        let bars = self.0.clone()?;
        Some(Bar { bars, kind, total, done: 0, message: String::new(), since: clock::now(), shown: None })
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
        if let Some(bar) = &mut self.0 {
            bar.add(bytes as u64);
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&mut self) {
        self.0 = None;
    }
}

impl Counter {
    pub(super) fn add<T, E>(&mut self, outcome: &Result<T, E>) {
        self.failed += u64::from(outcome.is_err());
        if let Some(bar) = &mut self.bar {
            let rate = (bar.done + 1) as f64 / bar.since.elapsed().as_secs_f64();
            bar.message = format!("{} failed, {rate:.1} a second", self.failed);
            bar.add(1);
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&mut self) {
        self.bar = None;
    }
}

impl Bar {
    fn add(&mut self, more: u64) {
        self.done += more;
        let many = matches!(self.kind, Kind::Body(_)) && self.done > MANY;
        if self.shown.is_none() && (many || self.since.elapsed() > LONG) {
            self.shown = Some(self.bars.add(self.draw()));
        }
        if let Some(shown) = &self.shown {
            shown.set_message(self.message.clone());
            shown.set_position(self.done);
        }
    }

    fn draw(&self) -> ProgressBar {
        let template = match (self.kind, self.total) {
            (Kind::Queue, _) => "done {bar:24.cyan/dim} {pos:>10} of {len}, {msg}".to_owned(),
            (Kind::Body(direction), total) => {
                let word = if direction == Direction::Up { "up  " } else { "down" };
                let shape = match total {
                    Some(_) => {
                        "{bar:24.cyan/dim} {bytes:>10} of {total_bytes}  {binary_bytes_per_sec}  {eta} left"
                    }
                    None => "{spinner:.cyan} {bytes:>10}  {binary_bytes_per_sec}  {elapsed}",
                };
                format!("{word} {shape}")
            }
        };
        let bar = ProgressBar::with_draw_target(self.total, ProgressDrawTarget::hidden());
        // All are known to be well formed; without a style the bar is plain.
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.with_position(self.done).with_elapsed(self.since.elapsed())
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(shown) = self.shown.take() {
            shown.finish_and_clear();
            self.bars.remove(&shown);
        }
    }
}

/// A body of more than this is worth a bar.
const MANY: u64 = 1 << 20;
/// And what takes longer than this.
const LONG: Duration = Duration::from_secs(1);
