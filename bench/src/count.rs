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
use std::process::Command;

use serde::Serialize;

use crate::Error;
use crate::allocations::Allocations;
use crate::child::Server;
use crate::clients::Client;
use crate::level::{Level, Measure};
use crate::profile::{Place, Profile};
use crate::progress::Progress;
use crate::row::Row;
use crate::targets::{Figure, Verdict, verdicts};
use crate::tools::{Failure, Scratch, checked, noted, strace_table};

pub(crate) struct Count {
    pub(crate) level: Level,
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
    pub(crate) verdicts: Vec<Verdict>,
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
        progress: &Progress,
    ) -> Result<Vec<Counted>, Error> {
        let scratch = Scratch::new()?;
        let mut counted = Vec::new();
        for &row in rows {
            let requests = self.requests.unwrap_or_else(|| row.counted_requests());
            let connections = self.connections.unwrap_or_else(|| row.connections());
            let mut notes = Vec::new();
            let mut clients = Vec::new();
            let chosen = self.level.chosen(&self.clients, row, Measure::Counted)?;
            for timed in self.level.chosen(&self.clients, row, Measure::Timed)? {
                if !chosen.contains(&timed) {
                    notes.push(format!("{timed} is not counted: it needs a thread for each connection"));
                }
            }
            for client in chosen {
                progress.show(&format!("{} {client}", row.name()));
                let pair =
                    Pair { level: self.level, client, row, connections, requests, server, scratch: &scratch };
                let instructions = noted(pair.instructions(self.functions), &mut notes)?;
                let system_calls = noted(pair.system_calls(), &mut notes)?;
                let (allocations, allocated_bytes) = pair.allocations()?;
                clients.push(PerRequest { client, instructions, system_calls, allocations, allocated_bytes });
            }
            notes.sort();
            notes.dedup();
            let verdicts = verdicts(self.level, row, |target| {
                let figure = |of| clients.iter().find(|client| client.client == of)?.figure(target.figure);
                Some(figure(target.of)? / figure(target.to)?)
            });
            counted.push(Counted {
                row,
                suite: row.suite(),
                connections,
                requests,
                clients,
                verdicts,
                notes,
            });
        }
        Ok(counted)
    }
}

impl PerRequest {
    pub(crate) fn figure(&self, figure: Figure) -> Option<f64> {
        match figure {
            Figure::Instructions => Some(self.instructions.as_ref()?.total),
            Figure::OutsideCipher => Some(self.instructions.as_ref()?.outside_cipher),
            Figure::Allocations => Some(self.allocations),
            Figure::SystemCalls => Some(self.system_calls.as_ref()?.values().sum()),
            Figure::Throughput => None,
        }
    }
}

/// Two runs that differ in length only.
struct Pair<'a> {
    level: Level,
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
        command.args(["run", "--level", self.level.name(), "--client", self.client.name()]);
        command.args(["--row", self.row.name()]);
        command.arg("--requests").arg(requests.to_string());
        command.arg("--connections").arg(self.connections.to_string());
        command.arg("--server").arg(self.server.listening().to_string());
    }
}

/// A long `memcpy` is one `rep movsb`, of which callgrind counts every byte as an instruction. Told not to use it, the C
/// library moves a vector at a time, a tenth as many instructions.
const NO_STRING_INSTRUCTIONS: &str =
    "glibc.cpu.x86_rep_movsb_threshold=0x40000000:glibc.cpu.x86_rep_stosb_threshold=0x40000000";
