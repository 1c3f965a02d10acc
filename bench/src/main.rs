//! adieu side by side with its peers, in one run.
//!
//! `bench conn` compares clients that hold one connection per task:
//!
//! - `rounds` times them, interleaved round by round;
//! - `count` counts their instructions, system calls and allocations per request;
//! - `report` prints either, as tables or as JSON.
//!
//! Below these: `profile` reads what callgrind wrote; `drive` puts the load of one `row` on one of the `clients`; `server` answers it from the process
//! that `child` starts, over TLS as `tls` has it; `allocations` is the allocator everything here uses.

#![deny(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "a program that measures reads the clock and spawns its load")]

mod allocations;
mod child;
mod clients;
mod count;
mod drive;
mod profile;
mod progress;
mod report;
mod rounds;
mod row;
mod server;
mod tls;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::child::Server;
use crate::clients::Client;
use crate::drive::Length;
use crate::progress::Progress;
use crate::report::Format;
use crate::row::{Plan, Row};
use crate::server::{Listening, Pace};

/// Whatever ends a measurement early: all of it is told to the user and nothing is matched on.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// adieu side by side with its peers.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One connection for each task: adieu's, hyper's and reqwest's, and bare ping-pong as the bound.
    Conn(Conn),
    /// The server, in its own process; ends when its standard input does.
    #[command(hide = true)]
    Serve {
        #[arg(long)]
        pace: Pace,
    },
    /// One client, one row, for a tool that counts from outside.
    #[command(hide = true)]
    Run(Run),
}

#[derive(Args)]
struct Conn {
    /// What to ask for.
    #[arg(long, value_delimiter = ',', default_values_t = Row::all())]
    rows: Vec<Row>,
    /// Whom to compare; ratios are of the first to the others [default: adieu,hyper,bare, and reqwest over TLS].
    #[arg(long, value_delimiter = ',')]
    clients: Vec<Client>,
    /// Connections, each with its own task on the one thread [default: 50 for short bodies, 8 for 1 MiB].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    connections: Option<u32>,
    /// How long one client is timed in one round.
    #[arg(long, default_value_t = 1.0, conflicts_with_all = ["requests", "count"])]
    seconds_per_round: f64,
    /// Requests per client and round instead of a time; with --count, requests counted.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// Rounds; in each of them every client has its turn.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "count")]
    rounds: u32,
    /// Print one JSON object with everything that was measured.
    #[arg(long)]
    json: bool,
    /// Count instructions, system calls and allocations per request instead of timing.
    #[arg(long)]
    count: bool,
    /// With --count, also the functions of each client that execute most, so many of them; the cipher's left out.
    #[arg(long, default_value_t = 0, requires = "count")]
    functions: usize,
}

#[derive(Args)]
struct Run {
    #[arg(long)]
    client: Client,
    #[arg(long)]
    row: Row,
    #[arg(long)]
    requests: u64,
    #[arg(long)]
    connections: Option<u32>,
    /// Where a server listens, in its own words; without it one is started.
    #[arg(long)]
    server: Option<Listening>,
    /// Count allocations and print them as JSON.
    #[arg(long)]
    allocations: bool,
}

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Conn(options) => conn(&options),
        Command::Serve { pace } => server::serve(pace),
        Command::Run(options) => run(&options),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn conn(options: &Conn) -> Result<(), Error> {
    let format = if options.json { Format::Json } else { Format::Table };
    let progress = Progress::new();
    if options.count {
        let server = Server::start(Pace::Apart)?;
        let count = count::Count {
            clients: options.clients.clone(),
            connections: options.connections,
            requests: options.requests,
            functions: options.functions,
        };
        let counted = count.run(&options.rows, &server, progress)?;
        return report::counts(&counted, format);
    }
    let rounds = rounds::Rounds {
        clients: options.clients.clone(),
        connections: options.connections,
        length: match options.requests {
            Some(requests) => Length::Requests(requests),
            None => Length::Time(Duration::try_from_secs_f64(options.seconds_per_round)?),
        },
        rounds: options.rounds,
    };
    let server = Server::start(Pace::Fast)?;
    let timed = rounds.run(&options.rows, &server, progress)?;
    report::rounds(&timed, format)
}

fn run(options: &Run) -> Result<(), Error> {
    if options.allocations {
        allocations::start_counting();
    }
    let started = match options.server {
        Some(_) => None,
        None => Some(Server::start(Pace::Apart)?),
    };
    let listening =
        options.server.as_ref().or_else(|| started.as_ref().map(Server::listening)).ok_or("no server")?;
    let plan = Plan::new(options.row, listening)?;
    let connections = options.connections.unwrap_or_else(|| options.row.connections());
    drive::runtime()?.block_on(drive::drive(
        options.client,
        &plan,
        connections,
        Length::Requests(options.requests),
    ))?;
    if options.allocations {
        println!("{}", serde_json::to_string(&allocations::counted())?);
    }
    Ok(())
}
