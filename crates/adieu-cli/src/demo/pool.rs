//! The last scene: a whole client, many requests over few connections, and one close for all of them.

use std::io::{self, Write};

use adieu::{Client, CloseMode, Ended, ResponseExt};
use adieu_testkit::peer::{Peer, Script, response};
use tokio::task::JoinSet;

use super::{BOLD, Trouble, WIDTH, timeline};
use crate::exit::Exit;

/// Plays and prints it.
pub(super) async fn show(out: &mut impl Write, number: usize) -> io::Result<Exit> {
    writeln!(out, "\n{BOLD}{number:>2}. a whole client{BOLD:#}")?;
    for line in timeline::wrapped(STORY, " ", WIDTH - 4) {
        writeln!(out, "    {line}")?;
    }
    writeln!(out)?;
    match play().await {
        Ok(played) => played.print(out),
        Err(trouble) => {
            writeln!(out, "    {BOLD}it could not be played:{BOLD:#} {trouble}")?;
            Ok(Exit::OTHERWISE)
        }
    }
}

/// How it went: lines to print, and whether it ended as told.
struct Played {
    lines: [(&'static str, String); 2],
    exit: Exit,
}

async fn play() -> Result<Played, Trouble> {
    let peer = Peer::tcp(Script::new().answer_all(response(200, "hello\n")).repeat())?;
    let client = Client::builder().no_proxies().max_connections_per_origin(CONNECTIONS).build()?;
    let mut requests = JoinSet::new();
    for _ in 0..REQUESTS {
        let response = client.get(peer.url("/")).send();
        requests.spawn(async move { response.await?.bytes().await });
    }
    while let Some(answer) = requests.join_next().await {
        answer.map_err(|_| Trouble::Lost("a request panicked"))??;
    }
    let report = client.close(CloseMode::graceful()).await;
    let seen = peer.finish_async().await?;
    let as_told = report.ended(Ended::Clean) == CONNECTIONS
        && (report.total.exchanges, report.total.failed) == (REQUESTS, 0)
        && seen.len() == CONNECTIONS
        && seen.iter().all(|seen| seen.saw_fin());
    // What follows the summary is a line for each connection.
    let summary = report.to_string().lines().next().unwrap_or_default().to_owned();
    Ok(Played {
        lines: [("report", summary), ("counts", report.total.to_string())],
        exit: if as_told { Exit::OK } else { Exit::OTHERWISE },
    })
}

impl Played {
    fn print(&self, out: &mut impl Write) -> io::Result<Exit> {
        for (label, text) in &self.lines {
            for (number, line) in timeline::wrapped(text, "; ", WIDTH - 12).enumerate() {
                let label = if number == 0 { label } else { "" };
                writeln!(out, "    {BOLD}{label:<8}{BOLD:#}{line}")?;
            }
        }
        if self.exit == Exit::OTHERWISE {
            writeln!(out, "    {BOLD}not as told{BOLD:#}")?;
        }
        Ok(self.exit)
    }
}

const CONNECTIONS: usize = 4;
const REQUESTS: u64 = 40;
const STORY: &str = "Forty requests at once share four connections, the most that this client may open. One graceful \
    close ends them all, and is awaited; its report sums up, and has the report of each.";
