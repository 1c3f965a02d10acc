//! What is being measured right now, told on standard error if that is a terminal.

use std::io::{IsTerminal, Write};

/// A line on standard error that says what is being measured.
pub(crate) enum Progress {
    Shown,
    Silent,
}

impl Progress {
    pub(crate) fn new() -> Self {
        if std::io::stderr().is_terminal() { Self::Shown } else { Self::Silent }
    }

    pub(crate) fn show(&self, what: &str) {
        if let Self::Shown = self {
            eprint!("\r\x1b[K{what}");
            let _ = std::io::stderr().flush();
        }
    }

    pub(crate) fn clear(&self) {
        self.show("");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
