//! A world in virtual time for adieu's core: one HTTP/1.1 engine, a wire that delays and cuts, and a scripted peer.
//!
//! Nothing here waits and nothing is left to the machine: time jumps from one happening to the next, and every choice
//! (where bytes are cut, how much the transport takes, how long a packet travels) comes from a seed. A run that fails
//! is replayed by its seed. A run that never settles is a livelock, and [`World::run`] says so.
//!
//! ```
//! use adieu_proto::lifecycle::{CloseMode, Ended, State};
//! use adieu_testkit::world::{Step, World};
//!
//! for seed in 0..100 {
//!     let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec();
//!     let mut world = World::new(seed, [Step::AwaitHead, Step::Send(answer), Step::AwaitEnd, Step::Fin]);
//!     world.request(http::Request::get("http://example.com/").body(()).unwrap(), "");
//!     world.run();
//!     assert_eq!(world.body(), b"hello", "{world}");
//!     world.close(CloseMode::graceful());
//!     world.run();
//!     let report = world.report().unwrap();
//!     assert_eq!((world.state(), report.ended), (State::Closed, Ended::Clean), "seed {seed}\n{world}");
//! }
//! ```

mod peer;
mod rng;
mod wire;

use std::fmt;
use std::time::{Duration, Instant};

use adieu_proto::h1::{Config, Engine, Event, Failure, NotOpen, TransportEnd};
use adieu_proto::lifecycle::{Action, CloseMode, CloseReport, ConnectionId, Goodbye, Parting, Signal, State};
use bytes::{BufMut, Bytes};

use peer::Peer;
use wire::{Lane, Packet};

pub use peer::{PeerSaw, Step};
pub use rng::Chance;

/// One connection, its wire and its peer, in virtual time.
#[derive(Debug)]
pub struct World {
    seed: u64,
    began: Instant,
    now: Instant,
    chance: Chance,
    engine: Engine,
    peer: Peer,
    ours: Lane,
    theirs: Lane,
    transport: Transport,
    goodbye: Option<Goodbye>,
    upload: Option<Bytes>,
    body: Vec<u8>,
    statuses: Vec<u16>,
    failures: Vec<Failure>,
    report: Option<CloseReport>,
    log: Vec<(Instant, String)>,
}

/// Our end of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Open,
    /// Our FIN is out.
    Shut,
    /// The peer reset it.
    Reset,
    /// The engine let go of it.
    Dropped,
}

/// So many happenings without an end are a livelock.
const MOST_STEPS: usize = 100_000;

impl World {
    /// A world from a seed, with a peer that follows `script`, and the engine's defaults.
    #[must_use]
    pub fn new(seed: u64, script: impl IntoIterator<Item = Step>) -> Self {
        Self::with_config(seed, script, Config::default())
    }

    /// A world with settings of the engine.
    #[must_use]
    pub fn with_config(seed: u64, script: impl IntoIterator<Item = Step>, config: Config) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one moment that is not virtual: where time begins"
        )]
        let now = Instant::now();
        let mut chance = Chance::new(seed);
        let latency = Duration::from_millis(chance.within(0..30));
        let jitter = Duration::from_millis(chance.within(0..5));
        Self {
            seed,
            began: now,
            now,
            engine: Engine::new(now, config),
            peer: Peer::new(script),
            ours: Lane::new(latency, jitter),
            theirs: Lane::new(latency, jitter),
            transport: Transport::Open,
            goodbye: None,
            upload: None,
            body: Vec::new(),
            statuses: Vec::new(),
            failures: Vec::new(),
            report: None,
            log: Vec::new(),
            chance,
        }
    }

    /// Begins an exchange whose body is `body`, of known length. Panics where the engine takes no request.
    pub fn request(&mut self, request: http::Request<()>, body: impl Into<Bytes>) {
        if let Err(refused) = self.try_request(request, body) {
            panic!("no request can begin: {refused:?}\n{self}");
        }
    }

    /// The same, where a refusal is no surprise.
    ///
    /// # Errors
    ///
    /// The engine's.
    pub fn try_request(&mut self, request: http::Request<()>, body: impl Into<Bytes>) -> Result<(), NotOpen> {
        let body: Bytes = body.into();
        let (head, ()) = request.into_parts();
        self.engine.begin(self.now, &head, Some(body.len() as u64))?;
        self.upload = Some(body).filter(|body| !body.is_empty());
        self.note(format!("request {} {}", head.method, head.uri));
        self.turn();
        Ok(())
    }

    /// Closes on purpose.
    pub fn close(&mut self, mode: CloseMode) {
        self.note(format!("close {}", mode.kind()));
        self.engine.close(self.now, mode);
        self.turn();
    }

    /// Nobody takes the response any more.
    pub fn abandon(&mut self) {
        self.note("abandon".into());
        self.upload = None;
        self.engine.abandon(self.now);
        self.turn();
    }

    /// Lets time pass until nothing more happens by itself within `time`.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..MOST_STEPS {
            match self.next_happening() {
                Some(at) if at <= until => {
                    self.now = at;
                    self.happen();
                }
                _ => {
                    self.now = until;
                    return;
                }
            }
        }
        panic!("{MOST_STEPS} happenings and no end: a livelock\n{self}");
    }

    /// Lets time pass until nothing ever happens again by itself, or for an hour.
    pub fn run(&mut self) {
        let now = self.now;
        self.run_for(Duration::from_secs(3600));
        if self.engine.state() == State::Closed {
            return;
        }
        // Nothing happened at the end of that hour: it was not lived.
        self.now = self.log.last().map_or(now, |(at, _)| *at).max(now);
    }

    /// The engine, for whatever is not asked here.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Where the connection is.
    #[must_use]
    pub fn state(&self) -> State {
        self.engine.state()
    }

    /// The statuses of the final responses so far.
    #[must_use]
    pub fn statuses(&self) -> &[u16] {
        &self.statuses
    }

    /// All bytes of response bodies so far.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The exchanges that failed.
    #[must_use]
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// The report, once the connection is closed.
    #[must_use]
    pub fn report(&self) -> Option<&CloseReport> {
        self.report.as_ref()
    }

    /// All bytes that reached the peer.
    #[must_use]
    pub fn peer_received(&self) -> &[u8] {
        self.peer.received()
    }

    /// How much virtual time has passed.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now - self.began
    }

    fn next_happening(&self) -> Option<Instant> {
        let engine = if self.engine.state() == State::Closed { None } else { self.engine.poll_timeout() };
        let arrival = if self.transport == Transport::Dropped { None } else { self.theirs.next() };
        [self.ours.next(), arrival, self.peer.wakes_at(), engine]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.max(self.now))
    }

    fn happen(&mut self) {
        while let Some(packet) = self.ours.arrive(self.now) {
            let saw = self.peer.take(packet);
            self.note(format!("                    peer saw {saw:?}"));
        }
        self.peer.act(self.now, &mut self.theirs, &mut self.chance);
        while self.transport != Transport::Dropped {
            let Some(packet) = self.theirs.arrive(self.now) else { break };
            self.deliver(packet);
        }
        self.engine.handle_timeout(self.now);
        self.turn();
    }

    fn deliver(&mut self, packet: Packet) {
        match packet {
            Packet::Bytes(bytes) => {
                self.note(format!("{} bytes came", bytes.len()));
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    // What is not wanted stays in the kernel; the world has nobody to wait for, so it is taken away.
                    if !self.engine.wants_read() {
                        self.take_events();
                        if !self.engine.wants_read() {
                            return;
                        }
                    }
                    let bytes = 1 + self.chance.within(0..rest.len() as u64) as usize;
                    self.engine.room().put_slice(&rest[..bytes]);
                    self.engine.handle_received(self.now, bytes);
                    rest = &rest[bytes..];
                    if self.chance.once_in(2) {
                        self.take_events();
                    }
                }
            }
            Packet::Fin => self.end("FIN came", TransportEnd::Fin),
            Packet::Rst => {
                self.transport = Transport::Reset;
                self.end("RST came", TransportEnd::Reset);
            }
        }
    }

    fn end(&mut self, what: &str, end: TransportEnd) {
        self.note(what.into());
        if self.engine.wants_read() || self.engine.state() != State::Closed {
            self.engine.handle_read_end(self.now, end);
        }
    }

    /// The driver's turn: write, carry out orders, take what came; until nothing changes.
    fn turn(&mut self) {
        for _ in 0..MOST_STEPS {
            self.take_events();
            let wrote = self.write();
            let acted = self.act();
            if !wrote && !acted {
                self.take_events();
                if !self.engine.wants_write() || self.transport == Transport::Dropped {
                    return self.settle();
                }
            }
        }
        panic!("a turn without an end: a livelock\n{self}");
    }

    /// Hands bytes to the transport, by chance not all at once.
    fn write(&mut self) -> bool {
        if self.engine.wants_body()
            && let Some(mut rest) = self.upload.take()
        {
            let piece = rest.split_to(1 + self.chance.within(0..rest.len() as u64) as usize);
            // A body that fits is given whole; that is all this world sends.
            let _fits = self.engine.send_data(self.now, piece);
            self.upload = Some(rest).filter(|rest| !rest.is_empty());
        }
        if !self.engine.wants_write() || self.transport == Transport::Dropped {
            return false;
        }
        if self.transport != Transport::Open {
            self.engine.handle_write_end(self.now, TransportEnd::Reset);
            return true;
        }
        let bytes: Vec<u8> = self.engine.slices().iter().flat_map(|slice| slice.to_vec()).collect();
        let taken = if self.chance.once_in(4) {
            1 + self.chance.within(0..bytes.len() as u64) as usize
        } else {
            bytes.len()
        };
        self.ours.send_bytes(self.now, &bytes[..taken], &mut self.chance);
        self.engine.handle_sent(self.now, taken);
        true
    }

    fn act(&mut self) -> bool {
        let mut acted = false;
        while let Some(action) = self.engine.poll_action() {
            acted = true;
            match action {
                Action::SayGoodbye(goodbye) => self.goodbye = Some(goodbye),
                Action::DropTransport(parting) => {
                    self.note(format!("transport dropped ({parting:?})"));
                    if parting == Parting::Reset && self.transport != Transport::Reset {
                        self.ours.send(self.now, Packet::Rst, &mut self.chance);
                    } else if self.transport == Transport::Open {
                        self.ours.send(self.now, Packet::Fin, &mut self.chance);
                    }
                    (self.transport, self.goodbye) = (Transport::Dropped, None);
                }
                _ => {}
            }
        }
        if self.goodbye.is_some() && !self.engine.wants_write() {
            acted = true;
            self.goodbye = None;
            self.engine.handle_goodbye_begun(self.now);
            if self.transport == Transport::Open {
                self.transport = Transport::Shut;
                self.note("FIN sent".into());
                self.ours.send(self.now, Packet::Fin, &mut self.chance);
                self.engine.handle_said(Signal::Fin);
                self.engine.handle_goodbye_sent(self.now);
            } else {
                self.engine.handle_goodbye_refused(self.now);
            }
        }
        acted
    }

    fn take_events(&mut self) {
        while let Some(event) = self.engine.poll_event(self.now) {
            match event {
                Event::Interim(head) => self.note(format!("interim {}", head.status())),
                Event::Response(head, _) => {
                    self.note(format!("response {}", head.status()));
                    self.statuses.push(head.status().as_u16());
                }
                Event::Data(data) => self.body.extend_from_slice(&data),
                Event::Failed(failure) => {
                    if self.failures.last() != Some(&failure) {
                        self.note(format!("failed: {} at {}", failure.reason, failure.at));
                        self.failures.push(failure);
                    }
                    return;
                }
                _ => {}
            }
        }
    }

    fn settle(&mut self) {
        if self.engine.state() == State::Closed && self.report.is_none() {
            let report = self.engine.report(self.now, ConnectionId::new(self.seed));
            self.note(format!("{report}"));
            self.report = Some(report);
        }
    }

    fn note(&mut self, what: String) {
        self.log.push((self.now, format!("[{}] {what}", self.engine.state())));
    }
}

impl fmt::Display for World {
    /// The timeline so far.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "world of seed {}:", self.seed)?;
        for (at, what) in &self.log {
            writeln!(f, "{:>12.3} ms  {what}", (*at - self.began).as_secs_f64() * 1000.0)?;
        }
        Ok(())
    }
}
