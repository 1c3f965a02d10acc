//! Counting what a request costs, where timing would measure the machine's mood.
//!
//! Everything is the difference of two runs of one client in a process of its own, over the difference of their
//! requests: start, handshakes and closing cancel out.
//!
//! - instructions in user space, and those of the cipher among them: valgrind's callgrind;
//! - system calls by name: `strace -c`;
//! - allocations: this program's own allocator.
//!
//! A tool that is not there leaves a note instead of its figures.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use crate::Error;
use crate::allocations::Allocations;
use crate::child::Server;
use crate::clients::Client;
use crate::profile::{Place, Profile};
use crate::progress::Progress;
use crate::row::Row;

pub(crate) struct Count {
    pub(crate) clients: Vec<Client>,
    pub(crate) connections: Option<u32>,
    pub(crate) requests: Option<u64>,
    /// How many functions of each client are told.
    pub(crate) functions: usize,
}

/// The figures of one row.
#[derive(Debug, Serialize)]
pub(crate) struct Counted {
    pub(crate) row: Row,
    pub(crate) suite: Option<&'static str>,
    pub(crate) connections: u32,
    pub(crate) requests: u64,
    pub(crate) clients: Vec<PerRequest>,
    /// Why figures are missing.
    pub(crate) notes: Vec<String>,
}

/// What one request of one client costs.
#[derive(Debug, Serialize)]
pub(crate) struct PerRequest {
    pub(crate) client: Client,
    pub(crate) instructions: Option<Instructions>,
    pub(crate) system_calls: Option<BTreeMap<String, f64>>,
    pub(crate) allocations: f64,
    pub(crate) allocated_bytes: f64,
}

/// In user space.
#[derive(Debug, Serialize)]
pub(crate) struct Instructions {
    pub(crate) total: f64,
    /// What the cryptographic library executes itself.
    pub(crate) cipher: f64,
    pub(crate) outside_cipher: f64,
    /// Where most of them are executed outside the cipher.
    pub(crate) functions: Vec<Function>,
}

/// What a function executes itself.
#[derive(Debug, Serialize)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) instructions: f64,
}

impl Count {
    pub(crate) fn run(
        &self,
        rows: &[Row],
        server: &Server,
        progress: Progress,
    ) -> Result<Vec<Counted>, Error> {
        let scratch = Scratch::new()?;
        let mut counted = Vec::new();
        for &row in rows {
            let requests = self.requests.unwrap_or_else(|| row.counted_requests());
            let connections = self.connections.unwrap_or_else(|| row.connections());
            let mut notes = Vec::new();
            let mut clients = Vec::new();
            for client in Client::chosen(&self.clients, row) {
                progress.show(&format!("{} {client}", row.name()));
                let pair = Pair { client, row, connections, requests, server, scratch: &scratch };
                let instructions = noted(pair.instructions(self.functions), &mut notes)?;
                let system_calls = noted(pair.system_calls(), &mut notes)?;
                let (allocations, allocated_bytes) = pair.allocations()?;
                clients.push(PerRequest { client, instructions, system_calls, allocations, allocated_bytes });
            }
            notes.sort();
            notes.dedup();
            counted.push(Counted { row, suite: row.suite(), connections, requests, clients, notes });
        }
        Ok(counted)
    }
}

impl PerRequest {
    pub(crate) fn all_system_calls(&self) -> Option<f64> {
        Some(self.system_calls.as_ref()?.values().sum())
    }
}

/// Two runs that differ in length only.
struct Pair<'a> {
    client: Client,
    row: Row,
    connections: u32,
    requests: u64,
    server: &'a Server,
    scratch: &'a Scratch,
}

impl Pair<'_> {
    fn instructions(&self, functions: usize) -> Result<Instructions, Failure> {
        let output = self.scratch.path("callgrind.out");
        let (short, long) = self.both(|requests| {
            let mut valgrind = Command::new("valgrind");
            valgrind.env("GLIBC_TUNABLES", NO_STRING_INSTRUCTIONS);
            valgrind.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", output.display()));
            self.run_under(valgrind, requests)?;
            Profile::read(&std::fs::read_to_string(&output)?).ok_or(Failure::Unreadable("callgrind"))
        })?;
        let mut costs: Vec<Function> = (short.outside(&long).into_iter())
            .map(|(name, short, long)| Function {
                name: name.to_owned(),
                instructions: self.per_request(short, long),
            })
            .collect();
        costs.sort_by(|one, other| other.instructions.total_cmp(&one.instructions));
        costs.truncate(functions);
        Ok(Instructions {
            total: self.per_request(short.total(), long.total()),
            cipher: self.per_request(short.of(Place::Cipher), long.of(Place::Cipher)),
            outside_cipher: self.per_request(short.of(Place::Outside), long.of(Place::Outside)),
            functions: costs,
        })
    }

    fn system_calls(&self) -> Result<BTreeMap<String, f64>, Failure> {
        let output = self.scratch.path("strace.out");
        let (short, long) = self.both(|requests| {
            let mut strace = Command::new("strace");
            strace.args(["-c", "-f", "-o"]).arg(&output);
            self.run_under(strace, requests)?;
            strace_table(&std::fs::read_to_string(&output)?).ok_or(Failure::Unreadable("strace"))
        })?;
        let calls = |of: &BTreeMap<String, u64>, name: &str| of.get(name).copied().unwrap_or(0);
        let names = short.keys().chain(long.keys());
        Ok(names
            .map(|name| (name.clone(), self.per_request(calls(&short, name), calls(&long, name))))
            .filter(|(_, calls)| *calls != 0.0)
            .collect())
    }

    /// Their number and their bytes.
    fn allocations(&self) -> Result<(f64, f64), Failure> {
        let (short, long): (Allocations, Allocations) = self.both(|requests| {
            let mut run = Command::new(std::env::current_exe()?);
            self.tell(&mut run, requests);
            run.arg("--allocations");
            serde_json::from_slice(&checked(run)?).map_err(|_| Failure::Unreadable("bench"))
        })?;
        Ok((self.per_request(short.number, long.number), self.per_request(short.bytes, long.bytes)))
    }

    fn both<T>(&self, total: impl Fn(u64) -> Result<T, Failure>) -> Result<(T, T), Failure> {
        Ok((total(self.short())?, total(self.short() + self.requests)?))
    }

    fn per_request(&self, short: u64, long: u64) -> f64 {
        (long as f64 - short as f64) / self.requests as f64
    }

    /// Long enough that buffers have grown and every connection has been round a few times.
    fn short(&self) -> u64 {
        (self.requests / 4).max(u64::from(self.connections) * 4)
    }

    fn run_under(&self, mut tool: Command, requests: u64) -> Result<Vec<u8>, Failure> {
        tool.arg(std::env::current_exe()?);
        self.tell(&mut tool, requests);
        checked(tool)
    }

    fn tell(&self, command: &mut Command, requests: u64) {
        command.args(["run", "--client", self.client.name(), "--row", self.row.name()]);
        command.arg("--requests").arg(requests.to_string());
        command.arg("--connections").arg(self.connections.to_string());
        command.arg("--server").arg(self.server.listening().to_string());
    }
}

/// Why a figure is missing.
#[derive(Debug)]
enum Failure {
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
fn noted<T>(figure: Result<T, Failure>, notes: &mut Vec<String>) -> Result<Option<T>, Failure> {
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
fn checked(mut command: Command) -> Result<Vec<u8>, Failure> {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::NotFound(name.clone()),
        _ => Failure::Io(error),
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::Failed(name, said.lines().last().unwrap_or_default().to_owned()))
}

/// Calls by name. A line is time, seconds, microseconds per call, calls, perhaps errors, name.
fn strace_table(output: &str) -> Option<BTreeMap<String, u64>> {
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
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("adieu-bench-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A long `memcpy` is one `rep movsb`, of which callgrind counts every byte as an instruction. Told not to use it, the C
/// library moves a vector at a time, a tenth as many instructions.
const NO_STRING_INSTRUCTIONS: &str =
    "glibc.cpu.x86_rep_movsb_threshold=0x40000000:glibc.cpu.x86_rep_stosb_threshold=0x40000000";

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
