//! What idle connections cost: memory, and work while nothing happens.
//!
//! Each client has a process of its own, measured from outside, and a server of its own, whose ports nobody has used.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use serde::Serialize;

use crate::Error;
use crate::child::{Process, Server};
use crate::clients::Client;
use crate::hold::Held;
use crate::process::{Work, raise_descriptors};
use crate::progress::Progress;
use crate::server::Pace;
use crate::targets::Verdict;
use crate::tools::{Scratch, noted, system_calls_of};

pub(crate) struct Idle {
    pub(crate) clients: Vec<Client>,
    pub(crate) connections: u32,
    /// How long it is watched that nothing happens.
    pub(crate) quiet: Duration,
}

#[derive(Debug, Serialize)]
pub(crate) struct Idled {
    pub(crate) connections: u32,
    pub(crate) quiet_seconds: f64,
    pub(crate) clients: Vec<Cost>,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) notes: Vec<String>,
}

/// What the idle connections of one client cost.
#[derive(Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) client: Client,
    pub(crate) sockets: i64,
    /// Bytes for each connection.
    pub(crate) heap: f64,
    pub(crate) resident: f64,
    /// The same without what bare sockets have.
    pub(crate) heap_above_bare: Option<f64>,
    pub(crate) resident_above_bare: Option<f64>,
    /// While nothing happened, by all connections together.
    pub(crate) cpu_seconds: f64,
    pub(crate) context_switches: i64,
    /// In as long a time thereafter, at whose end the process is prodded: without any it might not have been watched.
    /// Those of bare sockets are what that takes.
    pub(crate) system_calls: Option<BTreeMap<String, u64>>,
}

impl Idle {
    pub(crate) fn run(&self, progress: &Progress) -> Result<Idled, Error> {
        let mut notes = Vec::new();
        let room = raise_descriptors()?.saturating_sub(SPARE);
        let connections = match u32::try_from(room) {
            Ok(room) if room < self.connections => {
                notes.push(format!("this process may have {room} connections, not {}", self.connections));
                room
            }
            _ => self.connections,
        };
        let scratch = Scratch::new()?;
        let mut clients = Vec::new();
        for &client in &self.clients {
            progress.show(&format!("idle {client}"));
            clients.push(self.cost(client, connections, &scratch, &mut notes)?);
        }
        if let Some(bare) = clients.iter().find(|cost| cost.client == Client::Bare) {
            let (heap, resident) = (bare.heap, bare.resident);
            for cost in &mut clients {
                cost.heap_above_bare = Some(cost.heap - heap);
                cost.resident_above_bare = Some(cost.resident - resident);
            }
        }
        notes.sort();
        notes.dedup();
        let verdicts = verdicts(&clients);
        Ok(Idled { connections, quiet_seconds: self.quiet.as_secs_f64(), clients, verdicts, notes })
    }

    fn cost(
        &self,
        client: Client,
        connections: u32,
        scratch: &Scratch,
        notes: &mut Vec<String>,
    ) -> Result<Cost, Error> {
        let server = Server::start(Pace::Fast)?;
        let (mut process, line) = Process::start([
            "hold",
            "--client",
            client.name(),
            "--connections",
            &connections.to_string(),
            "--server",
            &server.listening().to_string(),
        ])?;
        let held: Held = serde_json::from_str(&line).map_err(|_| format!("{client} did not become idle"))?;
        sleep(TOLD);
        let before = Work::of(process.id())?;
        sleep(self.quiet);
        let (cpu, context_switches) = Work::of(process.id())?.since(before);
        let system_calls = system_calls_of(process.id(), scratch, || {
            sleep(self.quiet);
            process.prod()?;
            sleep(TOLD);
            Ok(())
        });
        let system_calls = noted(system_calls, notes)?;
        Ok(Cost {
            client,
            sockets: held.sockets(),
            heap: held.heap(),
            resident: held.resident(),
            heap_above_bare: None,
            resident_above_bare: None,
            cpu_seconds: cpu.as_secs_f64(),
            context_switches,
            system_calls,
        })
    }
}

fn verdicts(clients: &[Cost]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for cost in clients.iter().filter(|cost| cost.client == Client::Adieu) {
        for (kind, bytes) in [("heap", cost.heap_above_bare), ("resident", cost.resident_above_bare)] {
            verdicts.extend(bytes.map(|bytes| Verdict {
                target: format!(
                    "{kind} bytes of a connection of {} above bare, must: <= {MOST}",
                    cost.client
                ),
                measured: bytes,
                met: bytes <= MOST,
            }));
        }
        verdicts.push(Verdict {
            target: format!("context switches of {} while nothing happens, must: none", cost.client),
            measured: cost.context_switches as f64,
            met: cost.context_switches == 0,
        });
    }
    verdicts
}

/// Descriptors for what is no connection.
const SPARE: u64 = 64;
/// Until a process that has told what it holds waits for its end.
const TOLD: Duration = Duration::from_millis(200);
/// What an idle connection may have, in bytes.
const MOST: f64 = 4096.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_adieu_is_judged() {
        let cost = |client, resident, context_switches| Cost {
            client,
            sockets: 9,
            heap: 0.0,
            resident,
            heap_above_bare: Some(0.0),
            resident_above_bare: Some(resident),
            cpu_seconds: 0.0,
            context_switches,
            system_calls: None,
        };
        assert!(verdicts(&[cost(Client::HyperUtil, 9000.0, 7)]).is_empty());
        let met = |cost| verdicts(&[cost]).iter().map(|verdict| verdict.met).collect::<Vec<_>>();
        assert_eq!(met(cost(Client::Adieu, 4096.0, 1)), [true, true, false]);
        assert_eq!(met(cost(Client::Adieu, 4097.0, 0)), [true, false, true]);
    }
}
