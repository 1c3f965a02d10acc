//! An input as a list of operations: one letter each, followed by a letter for each choice, as in [`value`].
//! A letter that is no operation does nothing, so that any bytes are a script.

use std::time::Duration;

use crate::plan::value;

/// What is left of a script.
pub struct Script<'i>(&'i [u8]);

impl<'i> Script<'i> {
    /// The whole script.
    pub fn new(input: &'i [u8]) -> Self {
        Self(input)
    }

    /// The next operation.
    pub fn operation(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// A choice, one of `among`; the first at the script's end.
    pub fn choice(&mut self, among: usize) -> usize {
        self.operation().map_or(0, |byte| value(byte) % among)
    }

    /// One of these.
    pub fn pick<T: Copy, const N: usize>(&mut self, of: [T; N]) -> T {
        of[self.choice(N)]
    }

    /// Raw bytes, up to `>`.
    pub fn text(&mut self) -> &'i [u8] {
        let end = self.0.iter().position(|&byte| byte == b'>').unwrap_or(self.0.len());
        let (text, rest) = self.0.split_at(end);
        self.0 = rest.get(1..).unwrap_or_default();
        text
    }

    /// A time.
    pub fn time(&mut self) -> Duration {
        let ms = self
            .pick([0, 1, 10, 49, 50, 99, 100, 500, 1000, 2000, 10_000, 30_000, 60_000, 300_000, 3_600_000]);
        Duration::from_millis(ms)
    }

    /// A limit: a time, none, or one beyond the end of time.
    pub fn limit(&mut self) -> Option<Duration> {
        match self.choice(4) {
            0 => None,
            1 => Some(Duration::MAX),
            _ => Some(self.time()),
        }
    }
}
