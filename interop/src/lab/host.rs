//! One of the two hosts of a lab: threads enter it.

use std::net::Ipv4Addr;
use std::thread;

#[cfg(not(target_os = "linux"))]
use super::elsewhere::Entrance;
#[cfg(target_os = "linux")]
use super::namespaces::Entrance;

/// One of the two hosts. Clones are the same host.
///
/// It may outlive its lab; then nothing reaches it any more.
#[derive(Clone)]
pub struct Host {
    entrance: Entrance,
    address: Ipv4Addr,
}

impl Host {
    pub(super) const fn new(entrance: Entrance, address: Ipv4Addr) -> Self {
        Self { entrance, address }
    }

    /// Its address on the wire. It has 127.0.0.1 as well, for itself.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The name of its namespace, as `ip netns exec` takes it.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.entrance.name()
    }

    /// Moves the calling thread into it: the sockets that it makes, the threads and the processes that it starts from now
    /// on are there. What it had before stays where it was.
    ///
    /// There is no way back. In a test this is for threads of its own: the thread of the test itself may be the one on
    /// which the next test runs.
    ///
    /// In `/proc` the directory `net` is that of the program's first thread; `thread-self/net` is what is meant.
    ///
    /// # Panics
    ///
    /// If the kernel refuses.
    pub fn enter(&self) {
        self.entrance.enter();
    }

    /// Runs `work` in it, on a thread of its own, and waits. A panic goes on in the caller.
    ///
    /// # Panics
    ///
    /// If `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        // A skip is told with the name of the thread.
        let name = thread::current().name().unwrap_or("a host").to_owned();
        thread::scope(|scope| {
            let there = thread::Builder::new().name(name).spawn_scoped(scope, || {
                self.enter();
                work()
            });
            there.unwrap().join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}
