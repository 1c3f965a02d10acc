//! `adieu fetch`.
//!
//! | file | what it is for |
//! |---|---|
//! | `args`, `later` | the flags, and those that do not exist yet |
//! | `plan` | the flags checked: what is to be done |
//! | `target`, `redirect` | URLs, and where a response sends us next |
//! | `draft`, `upload` | requests and their bodies |
//! | `reach`, `tls` | what the client is told of names, addresses, proxies and TLS |
//! | `queue`, `run` | what is left to do; the workers that do it over one client, which is closed at the end |
//! | `transfer` | one URL, from its first request to its last response |
//! | `watch` | what the client tells of its connections: steps, report lines, what is being done right now |
//! | `output`, `progress` | where bodies go |
//! | `voice`, `report`, `failure` | what is told: standard error, JSON lines, exit codes |
//! | `interrupt` | Ctrl-C |

pub(crate) mod args;
mod draft;
mod failure;
mod interrupt;
mod later;
mod output;
mod plan;
mod progress;
mod queue;
mod reach;
mod redirect;
mod report;
mod run;
mod target;
mod tls;
mod transfer;
mod upload;
mod voice;
mod watch;

use std::sync::Arc;

use tokio::task::LocalSet;

use self::args::FetchArgs;
use self::failure::Failure;
use self::plan::Plan;
use self::report::Report;
use self::run::Run;
use crate::exit::Exit;

/// Runs `adieu fetch`.
pub(crate) fn main(args: FetchArgs) -> Exit {
    if let Some(flag) = args.later.given() {
        eprintln!("adieu: {flag} does not exist yet");
        return Exit::USAGE;
    }
    let voice = Arc::new(plan::voice(&args));
    let prepared = || -> Result<_, Failure> {
        let plan = Arc::new(Plan::new(&args)?);
        let report = Arc::new(Report::open(args.report.as_deref())?);
        let run = Run::new(plan, voice.clone(), report)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::before(Exit::SEND, format!("no runtime: {error}")))?;
        Ok((run, runtime))
    };
    let (run, runtime) = match prepared() {
        Ok(prepared) => prepared,
        Err(failure) => {
            voice.failure(&failure);
            return failure.exit;
        }
    };
    let exit = LocalSet::new().block_on(&runtime, run.run());
    // A read of standard input that nobody answers must not hold up the end.
    runtime.shutdown_background();
    exit
}
