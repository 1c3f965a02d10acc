//! The wire: one thread that carries packets between two devices, each after its delay.
//!
//! The thread sleeps until a packet is sent or arrives. It holds the lock for one turn, which takes in what was sent and
//! hands out what has arrived; nothing in a turn waits. Who cuts or mends takes the same lock and plays the turn that is
//! due: so it is certain what was sent before and what after.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::Unavailable;
use super::config::{Fins, LabConfig};
use super::fin::without_fin;
use super::namespaces::{Namespace, QUEUE};
use super::way::Way;

/// The wire. Its thread ends with it.
pub(super) struct Wire {
    span: Arc<Mutex<Span>>,
    // Its other end tells the thread when this one is closed.
    running: Option<PipeWriter>,
    carrier: Option<JoinHandle<()>>,
}

impl Wire {
    /// Joins the client's end and the server's.
    pub(super) fn between(ends: &[Namespace; 2], config: LabConfig) -> Result<Self, Unavailable> {
        let devices = [0, 1].map(|end| ends[end].device());
        let span = Arc::new(Mutex::new(Span::new(&devices, config)));
        let failed = |error| Unavailable::machine(format!("no wire: {error}"));
        let (stopped, running) = std::io::pipe().map_err(failed)?;
        let carried = span.clone();
        let carrier = thread::Builder::new().name("wire".to_owned());
        let carrier = carrier.spawn(move || carry(&carried, &devices, &stopped)).map_err(failed)?;
        Ok(Self { span, running: Some(running), carrier: Some(carrier) })
    }

    pub(super) fn cut(&self) {
        self.span.lock().unwrap().change(State::Cut);
    }

    pub(super) fn mend(&self) {
        self.span.lock().unwrap().change(State::Whole);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(carrier) = self.carrier.take() {
            let _ = carrier.join();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Whole,
    Cut,
}

/// Both directions, and the state of both.
struct Span {
    state: State,
    directions: [Direction; 2],
    /// Room for one packet.
    room: Vec<u8>,
}

impl Span {
    fn new([client, server]: &[Arc<File>; 2], config: LabConfig) -> Self {
        let direction = |from: &Arc<File>, to: &Arc<File>, fins, seed| {
            let way = Way::new(config.one_way, config.jitter, seed);
            Direction { from: from.clone(), to: to.clone(), fins, way }
        };
        let there = direction(client, server, Fins::Carried, 1);
        let back = direction(server, client, config.server_fins, 2);
        Self { state: State::Whole, directions: [there, back], room: vec![0; ROOM] }
    }

    /// Takes in what was sent, at most so many packets of each end, hands out what has arrived, and tells when more arrives.
    fn turn(&mut self, most: usize) -> Option<Instant> {
        for direction in &mut self.directions {
            direction.take_in(self.state, most, &mut self.room);
        }
        let now = now();
        self.directions.iter_mut().for_each(|direction| direction.hand_out(now));
        self.directions.iter().filter_map(|direction| direction.way.next_arrival()).min()
    }

    /// Changes the state, once what was sent before has been dealt with as it was.
    fn change(&mut self, state: State) {
        self.turn(QUEUE);
        self.state = state;
        if state == State::Cut {
            self.directions.iter_mut().for_each(|direction| direction.way.clear());
        }
    }
}

/// From one device to the other.
struct Direction {
    from: Arc<File>,
    to: Arc<File>,
    fins: Fins,
    way: Way,
}

impl Direction {
    fn take_in(&mut self, state: State, most: usize, room: &mut [u8]) {
        for _ in 0..most {
            let Ok(length) = (&*self.from).read(room) else { return };
            let packet = &mut room[..length];
            let packet = match self.fins {
                Fins::Carried => Some(&*packet),
                Fins::Dropped => without_fin(packet),
            };
            if let (State::Whole, Some(packet)) = (state, packet) {
                // Read anew for each: none may arrive early.
                self.way.send(packet, now());
            }
        }
    }

    fn hand_out(&mut self, now: Instant) {
        while let Some(packet) = self.way.receive(now) {
            // A device that takes no packet loses it, as a real one would.
            let _ = (&*self.to).write(&packet);
        }
    }
}

/// Until it is stopped, or a device is gone.
fn carry(span: &Mutex<Span>, devices: &[Arc<File>; 2], stopped: &PipeReader) {
    loop {
        let next = span.lock().unwrap().turn(AT_ONCE);
        let wait = next.map(|next| TimeSpec::from_duration(next.saturating_duration_since(now())));
        let mut watched = [devices[0].as_fd(), devices[1].as_fd(), stopped.as_fd()]
            .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN));
        match ppoll(&mut watched, wait, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => panic!("the wire cannot wait: {error}"),
        }
        let over = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
        if watched.iter().any(|one| one.revents().is_none_or(|events| events.intersects(over))) {
            return;
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the rule is for the client; this is the one clock of the wire"
)]
fn now() -> Instant {
    Instant::now()
}

/// The longest IP packet.
const ROOM: usize = 65_535;
/// So many packets of one end are taken in before what has arrived is handed out.
const AT_ONCE: usize = 256;
