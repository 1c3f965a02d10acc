//! The summary: one row a scene, and whether each ended as told.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::scene::{Scene, peer_saw};
use super::{BOLD, Outcome, Trouble};
use crate::clock;
use crate::exit::Exit;

pub(super) fn print(
    out: &mut impl Write,
    outcomes: &[(&Scene, Result<Outcome, Trouble>)],
) -> io::Result<Exit> {
    let head = ["scenario", "mode", "ended", "reason", "we sent", "we got", "peer saw", "time"];
    writeln!(out, "\n    {BOLD}{}{BOLD:#}", row(&head.map(str::to_owned)))?;
    let mut otherwise = 0;
    for (scene, outcome) in outcomes {
        let cells = match outcome {
            Ok(Outcome { report, seen, .. }) => [
                scene.name.to_owned(),
                scene.mode.to_owned(),
                report.ended.to_string(),
                report.reason.code().to_owned(),
                short(&report.sent.to_string()),
                short(&report.received.to_string()),
                short(&peer_saw(seen)),
                format!("{:.0} ms", clock::millis(report.age)),
            ],
            Err(_) => [scene.name, scene.mode, "not played", "", "", "", "", ""].map(str::to_owned),
        };
        let (mark, style) = match outcome {
            Ok(outcome) if outcome.differences.is_empty() => ("ok", GOOD),
            _ => {
                otherwise += 1;
                ("!!", BAD)
            }
        };
        writeln!(out, " {style}{mark}{style:#} {}", row(&cells))?;
    }
    if otherwise == 0 {
        writeln!(out, "\nAll {} ended as told. Now yours: adieu fetch -v https://...", outcomes.len())?;
        return Ok(Exit::OK);
    }
    writeln!(out, "\n{BAD}{otherwise} of {} ended otherwise than told:{BAD:#}", outcomes.len())?;
    for (scene, outcome) in outcomes {
        match outcome {
            Ok(outcome) => {
                for difference in &outcome.differences {
                    writeln!(out, "  {}: {difference}", scene.name)?;
                }
            }
            Err(trouble) => writeln!(out, "  {}: {trouble}", scene.name)?,
        }
    }
    Ok(Exit::OTHERWISE)
}

/// A column is eight wide; the introduction tells what CN is.
fn short(signals: &str) -> String {
    signals.replace("close_notify", "CN")
}

fn row([scenario, mode, ended, reason, sent, received, peer_saw, time]: &[String; 8]) -> String {
    format!("{scenario:<25}{mode:<9}{ended:<12}{reason:<19}{sent:<8}{received:<8}{peer_saw:<8}{time:>7}")
}

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
