//! Runs the program, and looks at what it left.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use adieu_testkit::peer::{Peer, Script, Seen, response};
use serde_json::Value;

/// What a run left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The run went well.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self
    }
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adieu"));
    command.args(args).env_remove("NO_COLOR").stdin(Stdio::null());
    // Those of whoever runs the tests are none of theirs.
    for proxies in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(proxies).env_remove(proxies.to_uppercase());
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs `adieu` with these arguments.
pub(crate) fn adieu(args: &[&str]) -> Ran {
    Ran::of(command(args).output().unwrap())
}

/// Runs `adieu fetch` with these arguments.
pub(crate) fn fetch(args: &[&str]) -> Ran {
    adieu(&[&["fetch"], args].concat())
}

/// The same, with something on standard input.
pub(crate) fn fetch_with_input(args: &[&str], input: &[u8]) -> Ran {
    let mut child = command(&[&["fetch"], args].concat()).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    Ran::of(child.wait_with_output().unwrap())
}

/// Runs `adieu fetch`, and hands back its report lines as well.
pub(crate) fn fetch_with_report(args: &[&str]) -> (Ran, Vec<Value>) {
    let path = temporary("report.jsonl", b"");
    let ran = fetch(&[args, &["--report", path.to_str().unwrap()]].concat());
    let text = std::fs::read_to_string(&path).unwrap();
    (ran, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// The lines of this type.
pub(crate) fn of_type<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == kind).collect()
}

/// A new file with this content.
pub(crate) fn temporary(name: &str, content: &[u8]) -> PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// A peer that answers everything.
pub(crate) fn server(body: &str) -> Peer {
    Peer::tcp(Script::new().answer_all(response(200, body)).repeat()).unwrap()
}

/// A peer that plays this, once.
pub(crate) fn peer(script: Script) -> Peer {
    Peer::tcp(script).unwrap()
}

/// What the only connection of this peer saw.
#[track_caller]
pub(crate) fn seen(peer: Peer) -> Seen {
    let mut all = peer.finish().unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}
