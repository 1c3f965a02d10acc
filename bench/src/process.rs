//! What the kernel knows of a process: memory, time, switches, descriptors.

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::{Error, allocations};

/// Allows this process as many descriptors as it may allow itself, and tells how many that is.
pub(crate) fn raise_descriptors() -> Result<u64, Error> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok(most)
}

/// What this process holds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Holding {
    /// Allocated and not freed, in bytes.
    pub(crate) heap: i64,
    /// In bytes; what was freed is given back first.
    pub(crate) resident: i64,
    pub(crate) descriptors: i64,
}

impl Holding {
    pub(crate) fn now() -> Result<Self, Error> {
        allocations::trim();
        let heap = allocations::live();
        let status = std::fs::read_to_string("/proc/self/status")?;
        let kibibytes = field(&status, "VmRSS:").ok_or("no resident memory is told")?;
        let descriptors = std::fs::read_dir("/proc/self/fd")?.count();
        Ok(Self { heap, resident: kibibytes * 1024, descriptors: descriptors.try_into()? })
    }
}

/// What a process has done since it started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// In user space and in the kernel.
    cpu: Duration,
    switches: i64,
}

impl Work {
    /// Of all its threads.
    pub(crate) fn of(process: u32) -> Result<Self, Error> {
        let clock = clock_getcpuclockid(Pid::from_raw(process.try_into()?))?;
        let mut switches = 0;
        for thread in std::fs::read_dir(PathBuf::from(format!("/proc/{process}/task")))? {
            let status = std::fs::read_to_string(thread?.path().join("status"))?;
            let of = |kind| field(&status, kind).ok_or("no context switches are told");
            switches += of("voluntary_ctxt_switches:")? + of("nonvoluntary_ctxt_switches:")?;
        }
        Ok(Self { cpu: clock_gettime(clock)?.into(), switches })
    }

    /// Time on a processor, and context switches.
    pub(crate) fn since(self, earlier: Self) -> (Duration, i64) {
        (self.cpu.saturating_sub(earlier.cpu), self.switches - earlier.switches)
    }
}

/// The number that follows a name at the start of a line.
fn field(status: &str, name: &str) -> Option<i64> {
    status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_by_name() {
        let status = "VmHWM:\t 900 kB\nVmRSS:\t  812 kB\nnonvoluntary_ctxt_switches:\t3\nvoluntary_ctxt_switches:\t7\n";
        assert_eq!(field(status, "VmRSS:"), Some(812));
        assert_eq!(field(status, "voluntary_ctxt_switches:"), Some(7));
        assert_eq!(field(status, "VmSwap:"), None);
    }

    #[test]
    fn this_process_holds_something_and_has_worked() {
        let holding = Holding::now().unwrap();
        assert!(holding.resident > 0 && holding.descriptors > 2);
        let work = Work::of(std::process::id()).unwrap();
        let (_, switches) = Work::of(std::process::id()).unwrap().since(work);
        assert!(switches >= 0);
    }
}
