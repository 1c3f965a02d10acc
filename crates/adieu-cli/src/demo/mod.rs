//! `adieu demo`: every way to end a connection, seen from both sides, on loopback.
//!
//! | file | what it is for |
//! |---|---|
//! | `scene` | the scenes: what happens, and how each must end |
//! | `tls` | those over TLS, and both sides of it |
//! | `origin` | what the peer does in each |
//! | `play` | what our side does in each |
//! | `pool` | the last scene: a whole client |
//! | `timeline` | what both did, in order of time |
//! | `table` | the summary |

mod origin;
mod play;
mod pool;
mod scene;
mod table;
mod timeline;
mod tls;

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use adieu::{CloseReport, Error};
use adieu_testkit::peer::{Peer, PeerError, Seen, Until};
use anstyle::Style;
use tokio::task::JoinSet;

use self::play::Us;
use self::scene::{PLAIN, Scene};
use self::timeline::Diary;
use self::tls::{OVER_TLS, Tls};
use crate::exit::Exit;

/// How a scene went.
struct Outcome {
    report: CloseReport,
    seen: Seen,
    /// What ended otherwise than told; empty if nothing did.
    differences: Vec<String>,
}

/// Why a scene could not be played to its end.
enum Trouble {
    Io(io::Error),
    Connection(Error),
    Peer(PeerError),
    Lost(&'static str),
}

/// Runs `adieu demo`.
pub(crate) fn main() -> Exit {
    match show(&mut anstream::stdout().lock()) {
        Ok(exit) => exit,
        // Nobody reads any more.
        Err(_) => Exit::WRITE,
    }
}

fn show(out: &mut impl Write) -> io::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    writeln!(
        out,
        "{BOLD}adieu demo{BOLD:#}: every way to end an HTTP/1.1 connection, seen from both sides\n"
    )?;
    writeln!(out, "{INTRO}")?;
    let tls = Tls::new().map_err(|trouble| io::Error::other(trouble.to_string()))?;
    let plain = PLAIN.iter().map(|scene| (scene, None));
    let over_tls = OVER_TLS.iter().map(|scene| (scene, Some(&tls)));
    let mut outcomes = Vec::new();
    for (number, (scene, tls)) in plain.chain(over_tls).enumerate() {
        writeln!(out, "\n{BOLD}{:>2}. {}{BOLD:#}", number + 1, scene.name)?;
        for line in timeline::wrapped(scene.story, " ", WIDTH - 4) {
            writeln!(out, "    {line}")?;
        }
        writeln!(out)?;
        let diary = Diary::begin();
        let outcome = runtime.block_on(play_scene(scene, tls, &diary));
        diary.print(out)?;
        match &outcome {
            Ok(outcome) => print_report(out, outcome)?,
            Err(trouble) => writeln!(out, "    {BOLD}it could not be played:{BOLD:#} {trouble}")?,
        }
        out.flush()?;
        outcomes.push((scene, outcome));
    }
    let pool = runtime.block_on(pool::show(out, outcomes.len() + 1))?;
    let table = table::print(out, &outcomes)?;
    Ok(if pool == Exit::OK { table } else { pool })
}

async fn play_scene(scene: &Scene, tls: Option<&Tls>, diary: &Diary) -> Result<Outcome, Trouble> {
    let mut peer = Peer::builder().script(origin::script(scene.act));
    if let Some(tls) = tls {
        peer = peer.tls(tls.server());
    }
    let peer = peer.tcp()?;
    let us = Us::connect(&peer, tls, diary.clone()).await?;
    // The peer counts from its accept; a mark in its log, made right now, tells how that fits our time.
    peer.wait_async(0, Until::Accepted).await?;
    diary.match_clocks(&peer);
    let mut watchers = JoinSet::new();
    watchers.spawn(us.watch());
    let played = tokio::time::timeout(PATIENCE, us.play(scene.act)).await;
    let report = played.map_err(|_| Trouble::Lost("our side did not come to its end"))??;
    while watchers.join_next().await.is_some() {}
    let seen = peer.finish_async().await?.pop().ok_or(Trouble::Lost("the peer saw no connection"))?;
    diary.add_theirs(&seen);
    let differences = scene.expected.differences(&report, &seen);
    Ok(Outcome { report, seen, differences })
}

fn print_report(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    writeln!(out)?;
    let report = outcome.report.to_string();
    for (number, line) in timeline::wrapped(&report, "; ", WIDTH - 12).enumerate() {
        let label = if number == 0 { "report" } else { "" };
        writeln!(out, "    {BOLD}{label:<8}{BOLD:#}{line}")?;
    }
    for difference in &outcome.differences {
        writeln!(out, "    {BOLD}not as told:{BOLD:#} {difference}")?;
    }
    Ok(())
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Connection(error) => error.fmt(f),
            Self::Peer(error) => error.fmt(f),
            Self::Lost(what) => f.write_str(what),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Connection(error)
    }
}

impl From<PeerError> for Trouble {
    fn from(error: PeerError) -> Self {
        Self::Peer(error)
    }
}

const BOLD: Style = Style::new().bold();
/// Lines are no longer than this.
const WIDTH: usize = 100;
/// No scene takes longer.
const PATIENCE: Duration = Duration::from_secs(5);
const INTRO: &str = "\
Each scene opens one connection over loopback to a small scripted server, the peer, and ends it in
its own way. On the left is what this side did, on the right what the peer saw and did, with the
milliseconds since the scene began.

  FIN  an end in order: \"I have nothing more to say.\"  The other side may go on.
  RST  an end by force: what was under way is lost, and never looks complete.
  CN   close_notify, the end in order of TLS. A FIN can come from anybody on the way, a close_notify
       only from the peer.

Under each scene stands the close report that adieu gives for every connection: why it ended, how,
what each side said, and what was done on it. A table at the end sums up and checks every end.";
