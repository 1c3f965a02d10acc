//! The programs that count from outside, and what becomes of what they say.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Error;

/// Why a figure is missing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The program is not installed.
    NotFound(String),
    /// The program ran and ended badly.
    Failed(String, String),
    /// What it wrote was not understood.
    Unreadable(&'static str),
    Io(std::io::Error),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl std::error::Error for Failure {}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotFound(program) => write!(f, "{program} is not installed"),
            Self::Failed(program, said) => write!(f, "{program} failed: {said}"),
            Self::Unreadable(program) => write!(f, "what {program} wrote was not understood"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

/// A tool that is missing is a note; all else ends the run.
pub(crate) fn noted<T>(figure: Result<T, Failure>, notes: &mut Vec<String>) -> Result<Option<T>, Failure> {
    match figure {
        Ok(figure) => Ok(Some(figure)),
        Err(failure @ Failure::NotFound(_)) => {
            notes.push(failure.to_string());
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// Runs to the end and gives what was printed.
pub(crate) fn checked(mut command: Command) -> Result<Vec<u8>, Failure> {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| not_started(&name, error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::Failed(name, said.lines().last().unwrap_or_default().to_owned()))
}

fn not_started(program: &str, error: std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound => Failure::NotFound(program.to_owned()),
        _ => Failure::Io(error),
    }
}

/// What a running process calls from now until `end` returns.
pub(crate) fn system_calls_of(
    process: u32,
    scratch: &Scratch,
    end: impl FnOnce() -> Result<(), Error>,
) -> Result<BTreeMap<String, u64>, Failure> {
    let output = scratch.path("strace-attached.out");
    let mut strace = Command::new("strace");
    strace.args(["-c", "-f", "-p", &process.to_string(), "-o"]).arg(&output);
    let mut strace = strace.stderr(Stdio::null()).spawn().map_err(|error| not_started("strace", error))?;
    let ended = end();
    // It lets go of the process, writes what it has counted, and dies of the signal.
    let told = i32::try_from(strace.id()).map(|id| kill(Pid::from_raw(id), Signal::SIGTERM));
    if !matches!(told, Ok(Ok(()))) {
        let _ = strace.kill();
    }
    strace.wait()?;
    ended.map_err(|error| Failure::Failed(process.to_string(), error.to_string()))?;
    strace_table(&std::fs::read_to_string(&output)?).ok_or(Failure::Unreadable("strace"))
}

/// Calls by name. A line is time, seconds, microseconds per call, calls, perhaps errors, name.
pub(crate) fn strace_table(output: &str) -> Option<BTreeMap<String, u64>> {
    let mut calls = BTreeMap::new();
    for line in output.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (Some(&number), Some(&name)) = (fields.get(3), fields.last()) else { continue };
        if let Ok(number) = number.parse()
            && name != "total"
        {
            calls.insert(name.to_owned(), number);
        }
    }
    (!calls.is_empty()).then_some(calls)
}

/// A directory for what the tools write, gone with this.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("adieu-bench-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_strace_is_read_with_and_without_errors() {
        let table = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000600           3       200           sendto
 40.00    0.000400           2       210        10 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000           2       410        10 total
";
        let calls = strace_table(table).unwrap();
        assert_eq!(calls, BTreeMap::from([("recvfrom".to_owned(), 210), ("sendto".to_owned(), 200)]));
        assert_eq!(strace_table(""), None);
    }
}
