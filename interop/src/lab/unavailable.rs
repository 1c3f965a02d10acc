//! Why there is no lab here, and the skip that follows from it.

use std::fmt::{self, Display, Formatter};

use crate::skip::{skip, skip_even_in_ci};

/// Why there is no lab here, in one line.
#[derive(Clone, Debug)]
pub struct Unavailable {
    lack: Lack,
    why: String,
}

/// What is lacking.
#[derive(Clone, Copy, Debug)]
enum Lack {
    /// What can be installed.
    Program,
    /// What the machine would have to allow.
    Permission,
}

impl Unavailable {
    /// A program is not here.
    pub(super) fn program(program: &str) -> Self {
        Self { lack: Lack::Program, why: format!("no {program} on this machine") }
    }

    /// The machine does not have it, or does not let us.
    pub(super) fn machine(why: impl Display) -> Self {
        let why = why.to_string();
        Self { lack: Lack::Permission, why: why.split_whitespace().collect::<Vec<_>>().join(" ") }
    }

    /// Tells that the test is skipped.
    ///
    /// A program that is lacking fails the test where `CI` is set, as everywhere here. What the machine does not allow
    /// never does: a container in CI may be without root or without `/dev/net/tun`, and nothing that could be installed
    /// would change that.
    ///
    /// # Panics
    ///
    /// In CI, if a program is lacking.
    #[track_caller]
    pub fn skip(&self) {
        match self.lack {
            Lack::Program => skip(&self.why),
            Lack::Permission => skip_even_in_ci(&self.why),
        }
    }
}

impl Display for Unavailable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Unavailable {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_one_line() {
        let said = "ip: mkdir /run/netns failed:\n  Permission denied\n";
        assert_eq!(Unavailable::machine(said).to_string(), "ip: mkdir /run/netns failed: Permission denied");
        assert_eq!(Unavailable::program("ip").to_string(), "no ip on this machine");
    }
}
