//! A child process: started, signalled, killed with all its children, its output awaited.
//!
//! It runs in a process group of its own. A small shell watches over it: it is told the group, sends the signals, and
//! when its input ends, which it does when the test program is gone in whichever way, it kills the group and removes
//! the directory.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::output::Output;
use crate::place::Place;

const WATCH: &str = r#"
if read -r group; then
    while read -r signal; do kill -s "$signal" -- "$group"; done
    kill -s KILL -- "-$group"
fi
rm -rf -- "$1"
"#;

/// A running program in its directory.
pub(crate) struct Program {
    child: Child,
    watch: Child,
    orders: Option<ChildStdin>,
    output: Output,
    place: Place,
}

impl Program {
    /// Starts a program. Both of its outputs are one.
    pub(crate) fn start(whose: &'static str, mut command: Command, place: Place) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        let (child, watch, orders) = start(whose, &mut command, &place);
        // Its ends of the pipe would keep it open.
        drop(command);
        Self { child, watch, orders: Some(orders), output: Output::of(whose, reader), place }
    }

    /// Starts a program whose standard output is something else than what it says: that comes second.
    pub(crate) fn start_apart(whose: &'static str, mut command: Command, place: Place) -> (Self, Output) {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let (mut child, watch, orders) = start(whose, &mut command, &place);
        let made = Output::of(whose, child.stdout.take().unwrap());
        let output = Output::of(whose, child.stderr.take().unwrap());
        (Self { child, watch, orders: Some(orders), output, place }, made)
    }

    /// What it has said.
    pub(crate) fn output(&self) -> &Output {
        &self.output
    }

    /// Its directory.
    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    /// Its directory, to write to.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Sends a signal (`HUP`) to it, not to its children.
    pub(crate) fn signal(&self, signal: &str) {
        let mut orders = self.orders.as_ref().unwrap();
        writeln!(orders, "{signal}").unwrap();
    }

    /// Types something.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }
}

/// The watch is there first: were this program killed between the two, nobody would end the other.
fn start(whose: &str, command: &mut Command, place: &Place) -> (Child, Child, ChildStdin) {
    let mut watch = Command::new("/bin/sh");
    watch.args(["-c", WATCH, "watch"]).arg(place.path()).process_group(0);
    let mut watch = watch.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut orders = watch.stdin.take().unwrap();
    let child = command.process_group(0).spawn();
    let child = child.unwrap_or_else(|error| panic!("{whose} cannot be started: {error}"));
    writeln!(orders, "{}", child.id()).unwrap();
    (child, watch, orders)
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.watch.wait();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        let place = Place::new();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).current_dir(place.path()).stdin(Stdio::piped());
        Program::start("a shell", command, place)
    }

    #[tokio::test]
    async fn dropped_it_is_gone_with_its_children_and_its_directory() {
        let program = shell("sleep 1000 & echo $! $$; wait");
        program.output().until("\n").await;
        let text = program.output().text();
        let folder = program.path().to_owned();
        let alive = |id: &str| {
            Path::new("/proc").join(id).join("fd").read_dir().is_ok_and(|mut fds| fds.next().is_some())
        };
        let ids: Vec<_> = text.split_whitespace().collect();
        assert!(ids.iter().all(|id| alive(id)) && folder.is_dir());
        drop(program);
        // Killed it is by now; the kernel may still be clearing up after a child that is not ours to wait for.
        for _ in 0..5000 {
            if !ids.iter().any(|id| alive(id)) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert!(!ids.iter().any(|id| alive(id)), "{text}");
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn it_hears_signals_and_what_is_typed() {
        let mut program =
            shell("trap 'echo hung up' HUP; echo ready; read line; echo $line; sleep 1000 & wait");
        program.output().until("ready").await;
        program.write(b"typed\n");
        program.output().until("typed").await;
        program.signal("HUP");
        program.output().until("hung up").await;
    }
}
