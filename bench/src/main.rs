//! adieu side by side with its peers, in one run.
//!
//! `bench conn` compares clients that hold one connection per task, `bench client` those that have a pool for all tasks:
//!
//! - `rounds` times them, interleaved round by round;
//! - `count` counts their instructions, system calls and allocations per request;
//! - `idle` measures what connections cost that do nothing, in the process of `hold`;
//! - `targets` knows what adieu must cost beside the others;
//! - `report` prints it all, as tables or as JSON.
//!
//! `bench churn` counts the requests that clients lose where servers end connections all the time.
//!
//! Below these: `tools` runs what counts from outside, `profile` reads what callgrind wrote, `process` asks the kernel;
//! `drive` puts the load of one `row` on one of the `clients` that `level` has; `server` answers it from the process that
//! `child` starts, over TLS as `tls` has it; `allocations` is the allocator everything here uses.

#![deny(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "a program that measures reads the clock and spawns its load")]

mod allocations;
mod child;
mod churn;
mod clients;
mod count;
mod drive;
mod hold;
mod idle;
mod level;
mod process;
mod profile;
mod progress;
mod report;
mod rounds;
mod row;
mod server;
mod targets;
mod tls;
mod tools;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::child::Server;
use crate::churn::Churn;
use crate::clients::Client;
use crate::count::Count;
use crate::drive::{Length, Load};
use crate::idle::{Idle, Idled};
use crate::level::{Level, Measure};
use crate::progress::Progress;
use crate::rounds::Rounds;
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
    /// One client with a pool for all tasks: adieu's, hyper-util's, reqwest's, ureq's, and bare ping-pong as the bound.
    Client(Pool),
    /// What becomes of requests where servers end connections all the time: the keep-alive race, and reloads.
    Churn(Churn),
    /// The server, in its own process; ends when its standard input does.
    #[command(hide = true)]
    Serve {
        #[arg(long)]
        pace: Pace,
    },
    /// One client, one row, for a tool that counts from outside.
    #[command(hide = true)]
    Run(Run),
    /// One client with idle connections; ends when its standard input does.
    #[command(hide = true)]
    Hold(Hold),
}

#[derive(Args)]
struct Conn {
    /// What to ask for.
    #[arg(long, value_delimiter = ',', default_values_t = Row::all())]
    rows: Vec<Row>,
    #[command(flatten)]
    how: How,
}

#[derive(Args)]
struct Pool {
    /// What to ask for; idle: nothing, after one exchange on each connection.
    #[arg(
        long,
        value_delimiter = ',',
        default_values = ["small", "segment", "down", "up", "tls-small", "idle"]
    )]
    rows: Vec<PoolRow>,
    /// How long it is watched that idle connections do nothing.
    #[arg(long, default_value_t = 5.0)]
    quiet_seconds: f64,
    #[command(flatten)]
    how: How,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum PoolRow {
    Small,
    Segment,
    Down,
    Up,
    TlsSmall,
    TlsDown,
    /// Memory and work of connections that do nothing.
    Idle,
}

#[derive(Args)]
struct How {
    /// Whom to compare; ratios are of the first to the others [default: all, in `conn` reqwest over TLS only].
    #[arg(long, alias = "client", value_delimiter = ',')]
    clients: Vec<Client>,
    /// Connections, each with its own task on the one thread [default: 50 for short bodies, 8 for 1 MiB,
    /// 10000 idle].
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
struct Hold {
    #[arg(long)]
    client: Client,
    #[arg(long)]
    connections: u32,
    #[arg(long)]
    server: Listening,
}

#[derive(Args)]
struct Run {
    #[arg(long, default_value = "conn")]
    level: Level,
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

impl PoolRow {
    fn exchange(self) -> Option<Row> {
        match self {
            Self::Small => Some(Row::Small),
            Self::Segment => Some(Row::Segment),
            Self::Down => Some(Row::Down),
            Self::Up => Some(Row::Up),
            Self::TlsSmall => Some(Row::TlsSmall),
            Self::TlsDown => Some(Row::TlsDown),
            Self::Idle => None,
        }
    }
}

impl Pool {
    fn idle(&self) -> Result<Idle, Error> {
        Ok(Idle {
            clients: Level::Client.chosen(&self.how.clients, Row::Small, Measure::Counted)?,
            connections: self.how.connections.unwrap_or(IDLE_CONNECTIONS),
            quiet: Duration::try_from_secs_f64(self.quiet_seconds)?,
        })
    }
}

impl How {
    /// Measures the rows, then idle connections if they are asked for, and prints.
    fn compare(&self, level: Level, rows: &[Row], idle: Option<Idle>) -> Result<(), Error> {
        let progress = Progress::new();
        let (mut timed, mut counted) = (Vec::new(), Vec::new());
        if self.count {
            counted = self.counting(level).run(rows, &Server::start(Pace::Apart)?, &progress)?;
        } else {
            timed = self.timing(level)?.run(rows, &Server::start(Pace::Fast)?, &progress)?;
        }
        let idled: Option<Idled> = idle.map(|idle| idle.run(&progress)).transpose()?;
        drop(progress);
        if self.json {
            return report::json(&timed, &counted, idled.as_ref());
        }
        report::rounds(&timed);
        report::counts(&counted);
        if let Some(idled) = &idled {
            report::idle(idled);
        }
        Ok(())
    }

    fn counting(&self, level: Level) -> Count {
        Count {
            level,
            clients: self.clients.clone(),
            connections: self.connections,
            requests: self.requests,
            functions: self.functions,
        }
    }

    fn timing(&self, level: Level) -> Result<Rounds, Error> {
        Ok(Rounds {
            level,
            clients: self.clients.clone(),
            connections: self.connections,
            length: match self.requests {
                Some(requests) => Length::Requests(requests),
                None => Length::Time(Duration::try_from_secs_f64(self.seconds_per_round)?),
            },
            rounds: self.rounds,
        })
    }
}

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Conn(options) => conn(&options),
        Command::Client(options) => client(&options),
        Command::Churn(churn) => churn.run(),
        Command::Hold(Hold { client, connections, server }) => hold::hold(client, connections, &server),
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
    options.how.compare(Level::Conn, &options.rows, None)
}

fn client(options: &Pool) -> Result<(), Error> {
    let rows: Vec<Row> = options.rows.iter().filter_map(|row| row.exchange()).collect();
    let idle = match options.rows.contains(&PoolRow::Idle) {
        true => Some(options.idle()?),
        false => None,
    };
    options.how.compare(Level::Client, &rows, idle)
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
    let load = Load { plan, connections, length: Length::Requests(options.requests) };
    drive::runtime()?.block_on(load.put_on(options.level, options.client))?;
    if options.allocations {
        println!("{}", serde_json::to_string(&allocations::counted())?);
    }
    Ok(())
}

const IDLE_CONNECTIONS: u32 = 10_000;
