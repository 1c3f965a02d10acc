//! How clients fare where servers end connections all the time: the keep-alive race and reloads.
//!
//! Each row is a server that ends its connections in one way, over one wire, with TLS or without. Each client has the same
//! traffic there; what became of its requests is told by itself, and by the server's log.
//!
//! | file | what it is for |
//! |---|---|
//! | `row` | the rows, and how to name them |
//! | `hosts` | where the two ends of a wire are |
//! | `servers` | a server on a thread of its own: started, reloaded, ended |
//! | `processed` | what a server's log says |
//! | `contenders` | the clients |
//! | `openings` | how many connections a client opens |
//! | `traffic` | tasks that send, read and pause |
//! | `dice` | chance that a seed repeats |
//! | `measured` | the numbers of one client in one row, and the musts |
//! | `table` | the numbers for people |

mod contenders;
mod dice;
mod hosts;
mod measured;
mod openings;
mod processed;
mod row;
mod servers;
mod table;
mod traffic;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use clap::{Args, ValueEnum};

use self::contenders::{Contender, Pool};
use self::hosts::Hosts;
use self::measured::{How, Measured};
use self::row::{Row, Selection, Wire, word};
use self::servers::Running;
use self::traffic::{Ended, Traffic};
use crate::progress::Progress;
use crate::row::Security;
use crate::tls::Trust;
use crate::{Error, drive};

#[derive(Args)]
#[command(after_help = MUSTS)]
pub(crate) struct Churn {
    /// Rows, by what they have in common: `nginx-idle`, `slow/tls`, `apache-reload/loopback/plain` [default: all]
    ///
    /// Servers: nginx-idle (ends connections that are idle for 100 ms), nginx-requests
    /// (ends them after 20 requests), nginx-reload, haproxy-reload, apache-reload
    /// (reloaded every 0.3 s). Wires: loopback, slow (a round trip of 20 ms). Then plain
    /// or tls.
    #[arg(long, value_delimiter = ',', verbatim_doc_comment)]
    rows: Vec<Selection>,
    /// Whom to compare.
    #[arg(long, alias = "client", value_delimiter = ',', default_values = ["adieu", "reqwest", "hyper-util"])]
    clients: Vec<Contender>,
    /// Requests of each kind, GET and POST, for each client in each row.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
    /// Tasks that share them.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    tasks: u32,
    /// What the pauses are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write all numbers to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

const MUSTS: &str = "\
Musts, for `adieu` as it comes; a broken one is told below its line, and the exit code is 1:
  no GET fails;
  no POST fails whose fate is certain: only `unknown` may be the end;
  where nginx ends idle connections, at most 2 POSTs in 10,000 fail;
  no POST is processed twice;
  no request is processed of which it said that it certainly was not. This one is for adieu with
  something switched off too: without replay each proof is put to the test.

Columns: `processed` and `twice` are requests that the server processed, and processed more
than once, by its log; `replays` are requests sent again, where the client tells; `opened` are
the connections of both methods together.";

impl Churn {
    /// Measures, and prints each line when it is known; fails if a must is broken.
    pub(crate) fn run(&self) -> Result<(), Error> {
        let mut all: Vec<Measured> = Vec::new();
        let progress = Progress::new();
        println!("{}", table::heading());
        for &wire in Wire::value_variants() {
            let rows: Vec<Row> = Row::all().filter(|&row| row.wire == wire && self.has(row)).collect();
            if rows.is_empty() {
                continue;
            }
            let hosts = match Hosts::joined_by(wire) {
                Ok(hosts) => Arc::new(hosts),
                Err(why) => {
                    eprintln!("bench: the {} rows are left out: {why}", word(&wire));
                    continue;
                }
            };
            for (row, &client) in
                rows.iter().flat_map(|&row| self.clients.iter().map(move |client| (row, client)))
            {
                let measured = self
                    .measure(row, client, &hosts, &progress)
                    .map_err(|error| format!("{client}, {row}: {error}"))?;
                progress.clear();
                if let Some(measured) = measured {
                    table::lines(&measured).iter().for_each(|line| println!("{line}"));
                    all.push(measured);
                    self.json.as_deref().map(|file| write(file, &all)).transpose()?;
                }
            }
        }
        match all.iter().map(|measured| measured.broken.len()).sum() {
            0 => Ok(()),
            1 => Err("a must is broken".into()),
            broken => Err(format!("{broken} musts are broken").into()),
        }
    }

    fn has(&self, row: Row) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|selection| selection.has(row))
    }

    /// One client in one row, with a server of its own; `None`: that is not on this machine.
    fn measure(
        &self,
        row: Row,
        client: Contender,
        hosts: &Arc<Hosts>,
        progress: &Progress,
    ) -> Result<Option<Measured>, Error> {
        let Self { requests, tasks, seed, .. } = *self;
        progress.show(&format!("{row} {client}"));
        let Some(running) = Running::start(row, hosts)? else { return Ok(None) };
        let traffic = Traffic { tasks, requests, pauses: row.pauses(), seed };
        let (trust, target) = (Trust::in_root(running.root())?, target(row, &running)?);
        let show = |begun| progress.show(&format!("{row} {client} {begun}/{}", 2 * requests));
        // On a thread that can be left where it has gone to.
        let asked = thread::scope(|scope| {
            let asking = scope.spawn(|| -> Result<(Ended, u64), Error> {
                hosts.enter_client();
                drive::runtime()?.block_on(async {
                    let pool = Arc::new(Pool::new(client, target, &trust, tasks)?);
                    let ended = traffic.put_on(&pool, show).await?;
                    Ok((ended, pool.opened()))
                })
            });
            asking.join().map_err(|_| "the traffic failed")
        });
        let served = running.end()?;
        let (ended, opened) = asked??;
        Ok(Some(Measured::new(How { row, client, seed, tasks }, &ended, &served, opened)))
    }
}

fn target(row: Row, running: &Running) -> Result<http::Uri, Error> {
    let scheme = match row.security {
        Security::Plain => "http",
        Security::Tls => "https",
    };
    Ok(format!("{scheme}://{}/hello", running.address()).parse()?)
}

fn write(file: &Path, all: &[Measured]) -> Result<(), Error> {
    Ok(std::fs::write(file, serde_json::to_string_pretty(all)? + "\n")?)
}
