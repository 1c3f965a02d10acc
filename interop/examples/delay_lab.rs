//! A lab to play with by hand: two hosts, a slow wire, and the names by which `ip netns exec` finds them.

#![allow(clippy::unwrap_used, reason = "what goes wrong in here ends it")]

use std::process::ExitCode;
use std::time::Duration;

use interop::{Lab, LabConfig};
use nix::sys::signal::{SigSet, Signal};

const USAGE: &str = "\
Two hosts on this machine, with a slow wire between them. Takes root.

usage: delay_lab [--delay-ms <number>] [--jitter-ms <number>] [--drop-server-fins]

  --delay-ms <number>   how long a packet takes, one way; 10 if not given
  --jitter-ms <number>  up to so much longer, by chance
  --drop-server-fins    each FIN of the server is lost

Runs until SIGINT (Ctrl-C) or SIGTERM. SIGUSR1 cuts the wire, SIGUSR2 mends it.";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let config = match config(&mut words) {
        Ok(Some(config)) => config,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("delay_lab: {wrong}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // Before there are other threads: they take this over, and so it is here that each signal is heard.
    let signals: SigSet =
        [Signal::SIGINT, Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGUSR2].into_iter().collect();
    signals.thread_block().unwrap();
    match Lab::start(config) {
        Ok(lab) => run(&lab, &signals),
        Err(unavailable) => {
            eprintln!("delay_lab: {unavailable}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn run(lab: &Lab, signals: &SigSet) {
    for (whose, host) in [("client", lab.client()), ("server", lab.server())] {
        println!("{whose}: {}, ip netns exec {} <program>", host.address(), host.namespace());
    }
    println!("ready, process {}", std::process::id());
    loop {
        match signals.wait().unwrap() {
            Signal::SIGUSR1 => {
                lab.cut();
                println!("cut");
            }
            Signal::SIGUSR2 => {
                lab.mend();
                println!("mended");
            }
            _ => return,
        }
    }
}

/// What the words ask for; `None`: help.
fn config(words: &mut impl Iterator<Item = String>) -> Result<Option<LabConfig>, String> {
    let (mut delay, mut jitter, mut drops_fins) = (Duration::from_millis(10), Duration::ZERO, None);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--delay-ms" => delay = milliseconds(&word, words.next())?,
            "--jitter-ms" => jitter = milliseconds(&word, words.next())?,
            "--drop-server-fins" => drops_fins = Some(()),
            "--help" | "-h" => return Ok(None),
            _ => return Err(format!("what is {word}?")),
        }
    }
    let config = LabConfig::new(delay).jitter(jitter);
    Ok(Some(drops_fins.map_or(config, |()| config.drop_server_fins())))
}

fn milliseconds(option: &str, number: Option<String>) -> Result<Duration, String> {
    let number = number.and_then(|number| number.parse::<f64>().ok());
    let duration = number.and_then(|number| Duration::try_from_secs_f64(number / 1000.0).ok());
    duration.ok_or_else(|| format!("{option} takes a number of milliseconds"))
}
