//! This program in another process: the server, so that its work is not counted as a client's; and a client, where the
//! process is what is measured.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use crate::Error;
use crate::server::{Listening, Pace};

/// A running server.
pub(crate) struct Server {
    _process: Process,
    listening: Listening,
}

/// It ends when this is dropped; and, because it watches its standard input, also when this process ends without
/// dropping anything.
pub(crate) struct Process(Child);

impl Server {
    pub(crate) fn start(pace: Pace) -> Result<Self, Error> {
        let (process, line) = Process::start(["serve", "--pace", pace.name()])?;
        let listening = line.parse().map_err(|_| "the server did not start")?;
        Ok(Self { _process: process, listening })
    }

    pub(crate) fn listening(&self) -> &Listening {
        &self.listening
    }
}

impl Process {
    /// Starts it and gives the first line that it prints.
    pub(crate) fn start(
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<(Self, String), Error> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = process.stdout.take().ok_or("a process without standard output")?;
        let process = Self(process);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        Ok((process, line))
    }

    /// Gives it something to read.
    pub(crate) fn prod(&mut self) -> Result<(), Error> {
        Ok(self.0.stdin.as_mut().ok_or("a process without standard input")?.write_all(b"\n")?)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
