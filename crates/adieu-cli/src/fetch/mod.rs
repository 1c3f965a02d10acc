//! `adieu fetch`.
//!
//! | file | what it is for |
//! |---|---|
//! | `args`, `later` | the flags, and those that do not exist yet |
//! | `plan` | the flags checked: what is to be done |
//! | `target`, `redirect` | URLs, and where a response sends us next |
//! | `draft`, `upload` | requests and their bodies |
//! | `route`, `tls` | from a name to a socket, and TLS on top |
//! | `origins` | the connections: one an origin, kept, replaced, closed, told |
//! | `transfer` | the queue, one request after the other |
//! | `output`, `progress` | where bodies go |
//! | `voice`, `story`, `report`, `failure` | what is told: standard error, JSON lines, exit codes |
//! | `interrupt` | Ctrl-C |

pub(crate) mod args;
mod draft;
mod failure;
mod interrupt;
mod later;
mod origins;
mod output;
mod plan;
mod progress;
mod redirect;
mod report;
mod route;
mod story;
mod target;
mod tls;
mod transfer;
mod upload;
mod voice;

use std::sync::Arc;

use self::args::FetchArgs;
use self::failure::Failure;
use self::interrupt::Interrupt;
use self::plan::Plan;
use self::report::Report;
use self::transfer::Run;
use crate::exit::Exit;

/// Runs `adieu fetch`.
pub(crate) fn main(args: FetchArgs) -> Exit {
    let missing = args.later.given();
    if let Some(flag) =
        missing.or_else(|| (args.parallel > 1).then(|| format!("--parallel {}", args.parallel)))
    {
        eprintln!("adieu: {flag} does not exist yet");
        return Exit::USAGE;
    }
    let voice = Arc::new(plan::voice(&args));
    let prepared = || -> Result<_, Failure> {
        let plan = Plan::new(&args)?;
        let report = Report::open(args.report.as_deref())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::before(Exit::SEND, format!("no runtime: {error}")))?;
        Ok((plan, report, runtime))
    };
    let (plan, report, runtime) = match prepared() {
        Ok(prepared) => prepared,
        Err(failure) => {
            voice.failure(&failure);
            return failure.exit;
        }
    };
    let exit = runtime.block_on(async {
        let interrupt = Interrupt::listen();
        Run::new(&plan, voice, report, interrupt).run().await
    });
    // A read of standard input that nobody answers must not hold up the end.
    runtime.shutdown_background();
    exit
}
