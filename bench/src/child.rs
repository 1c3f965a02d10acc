//! The server as a process of its own, so that its work is not counted as a client's.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::Error;
use crate::server::{Listening, Pace};

/// A running server. It ends when this is dropped; and, because it watches its standard input, also when this
/// process ends without dropping anything.
pub(crate) struct Server {
    _process: Process,
    listening: Listening,
}

struct Process(Child);

impl Server {
    pub(crate) fn start(pace: Pace) -> Result<Self, Error> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["serve", "--pace", pace.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = process.stdout.take().ok_or("the server has no standard output")?;
        let process = Process(process);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let listening = line.parse().map_err(|_| "the server did not start")?;
        Ok(Self { _process: process, listening })
    }

    pub(crate) fn listening(&self) -> &Listening {
        &self.listening
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
