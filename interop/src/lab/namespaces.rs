//! The two network namespaces: made, set up and deleted by `ip`, and what killed programs left.
//!
//! They are called `adieu-lab-<process>-<number>-client` and `-server`.

use std::fs::{self, File};
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sched::{CloneFlags, setns};
use nix::unistd::geteuid;

use super::{Host, Unavailable, tun};
use crate::skip::find;

/// A network namespace with one end of the wire. It is deleted with this.
pub(super) struct Namespace {
    ip: Ip,
    entrance: Entrance,
    device: Arc<File>,
}

impl Namespace {
    /// Both of them; the addresses are those of the client and of the server.
    pub(super) fn pair(addresses: [Ipv4Addr; 2]) -> Result<[Self; 2], Unavailable> {
        let ip = Ip::find()?;
        ip.delete_leftovers();
        let [client, server] = free_names();
        let [to_client, to_server] = addresses;
        Ok([Self::new(&ip, &client, to_client, to_server)?, Self::new(&ip, &server, to_server, to_client)?])
    }

    fn new(ip: &Ip, name: &str, address: Ipv4Addr, peer: Ipv4Addr) -> Result<Self, Unavailable> {
        ip.run(&["netns", "add", name], "")?;
        let made = Entrance::of(name).and_then(|entrance| {
            let device = entrance.device()?;
            Ok(Self { ip: ip.clone(), entrance, device })
        });
        // From here on it deletes itself.
        let namespace = made.inspect_err(|_| ip.delete(name))?;
        // The long queue is for a busy machine: the wire's thread may come late, and no packet is to be lost by that.
        let orders = format!(
            "link set lo up
             addr add {address} peer {peer} dev {DEVICE}
             link set {DEVICE} txqueuelen {QUEUE} up\n"
        );
        ip.run(&["-n", name, "-batch", "-"], &orders)?;
        Ok(namespace)
    }

    /// Its end of the wire.
    pub(super) fn device(&self) -> Arc<File> {
        self.device.clone()
    }

    /// The host that it is.
    pub(super) fn host(&self, address: Ipv4Addr) -> Host {
        Host::new(self.entrance.clone(), address)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.ip.delete(self.entrance.name());
    }
}

/// The way into a namespace. It stays one when the name is deleted.
#[derive(Clone)]
pub(super) struct Entrance {
    name: Arc<str>,
    file: Arc<File>,
}

impl Entrance {
    fn of(name: &str) -> Result<Self, Unavailable> {
        let file = File::open(Path::new(NAMESPACES).join(name));
        let file = file.map_err(|error| Unavailable::machine(format!("no namespace {name}: {error}")))?;
        Ok(Self { name: name.into(), file: Arc::new(file) })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Moves the calling thread.
    pub(super) fn enter(&self) {
        self.try_enter()
            .unwrap_or_else(|error| panic!("the namespace {} lets nobody in: {error}", self.name));
    }

    fn try_enter(&self) -> nix::Result<()> {
        setns(&self.file, CloneFlags::CLONE_NEWNET)
    }

    /// A device belongs to the namespace of the thread that opens it.
    fn device(&self) -> Result<Arc<File>, Unavailable> {
        let opened = std::thread::scope(|scope| {
            let there = scope.spawn(|| {
                self.try_enter()?;
                tun::open(DEVICE)
            });
            there.join().unwrap()
        });
        match opened {
            Ok(device) => Ok(Arc::new(device)),
            Err(error) => Err(Unavailable::machine(format!("no TUN device in a namespace: {error}"))),
        }
    }
}

/// The program of that name.
#[derive(Clone)]
struct Ip(PathBuf);

impl Ip {
    /// Looks for it, and for what else it takes.
    fn find() -> Result<Self, Unavailable> {
        if !geteuid().is_root() {
            return Err(Unavailable::machine("network namespaces take root"));
        }
        if !Path::new(tun::PATH).exists() {
            return Err(Unavailable::machine(format!("no {} on this machine", tun::PATH)));
        }
        find("ip").map(Self).ok_or_else(|| Unavailable::program("ip"))
    }

    /// Runs it and gives it some lines to read.
    fn run(&self, words: &[&str], input: &str) -> Result<(), Unavailable> {
        let failed = |why: &str| Unavailable::machine(format!("ip {}: {why}", words.join(" ")));
        let mut command = Command::new(&self.0);
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed(&error.to_string()))?;
        // If it does not read them, it says why.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().map_err(|error| failed(&error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        Err(failed(&String::from_utf8_lossy(&output.stderr)))
    }

    /// Nobody could do anything about a failure.
    fn delete(&self, name: &str) {
        let _ = self.run(&["netns", "del", name], "");
    }

    /// Deletes the namespaces of programs that are no more.
    fn delete_leftovers(&self) {
        let Ok(files) = fs::read_dir(NAMESPACES) else { return };
        for file in files.flatten() {
            let name = file.file_name();
            let Some(name) = name.to_str() else { continue };
            if process_of(name).is_some_and(|process| !Path::new("/proc").join(process).exists()) {
                self.delete(name);
            }
        }
    }
}

/// Names that nothing has. A killed program may have had the number of this process; its names are passed over.
fn free_names() -> [String; 2] {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let names = ["client", "server"].map(|host| format!("{PREFIX}{}-{number}-{host}", process::id()));
        if !names.iter().any(|name| Path::new(NAMESPACES).join(name).exists()) {
            return names;
        }
    }
}

/// The process that made a namespace, if it is one of a lab.
fn process_of(name: &str) -> Option<&str> {
    let (process, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    process.parse::<u32>().is_ok().then_some(process)
}

const PREFIX: &str = "adieu-lab-";
/// Each file here is a namespace that has a name: see ip-netns(8).
const NAMESPACES: &str = "/var/run/netns";
const DEVICE: &str = "wire";
/// So many packets may wait in a device.
pub(super) const QUEUE: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_labs_namespace_tells_its_process() {
        assert_eq!(process_of("adieu-lab-4711-0-client"), Some("4711"));
        for other in ["lab-client", "adieu-lab-", "adieu-lab-4711", "adieu-lab-a-0-client", "adieu-lab-../-0"]
        {
            assert_eq!(process_of(other), None, "{other}");
        }
    }

    #[test]
    fn names_are_used_once_and_tell_this_process() {
        let (first, second) = (free_names(), free_names());
        assert_ne!(first, second);
        let process = process::id().to_string();
        assert!(first.iter().chain(&second).all(|name| process_of(name) == Some(&process)));
    }
}
