//! The `adieu` program: fetch over HTTP, and see how each connection ends.
//!
//! | module | what it is for |
//! |---|---|
//! | `fetch` | `adieu fetch`: curl's flags and exit codes, on purpose closed connections, reports |
//! | `demo` | `adieu demo`: every way to end a connection, both sides of it, on loopback |
//! | `exit` | the exit codes |
//! | `clock` | the one place that reads the clock |

#![forbid(unsafe_code)]

mod clock;
mod demo;
mod exit;
mod fetch;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::exit::Exit;
use crate::fetch::args::FetchArgs;

/// An HTTP client in which the end of a connection is designed as carefully as its start.
#[derive(Parser)]
#[command(
    name = "adieu",
    version,
    after_help = "New here? `adieu demo` shows in a few seconds what it is about."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fetches URLs, as curl does where both have the thing, and closes each connection on purpose.
    #[command(override_usage = "adieu fetch [OPTIONS] URL...", after_help = fetch::args::AFTER_HELP)]
    Fetch(Box<FetchArgs>),
    /// Shows every way to end a connection, seen from both sides: no arguments, no network but loopback.
    Demo,
}

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let command = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli.command,
        Err(error) => error.exit(),
    };
    let exit = match (command, matches.subcommand_matches("fetch")) {
        (Command::Fetch(mut args), Some(matches)) => {
            args.keep_order(matches);
            fetch::main(*args)
        }
        (Command::Demo, _) => demo::main(),
        (Command::Fetch(_), None) => Exit::USAGE,
    };
    exit.into()
}
