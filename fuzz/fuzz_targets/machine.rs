//! The life of a connection by facts and commands, beside the table `next` and the rules of `docs/lifecycle.md`.
//!
//! An input is a script; each fact is reported only where an engine could report it.

#![no_main]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use adieu_fuzz::ladder::rank;
use adieu_fuzz::script::Script;
use adieu_proto::lifecycle::{
    Action, CloseKind, CloseMode, CloseReason, CloseReport, ConnectionId, First, Input, Lifecycle,
    LifecycleLimits, Parting, Phase, Protocol, Request, Side, Signal, State, Vouched, next,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let mut limits = LifecycleLimits::default();
    (limits.opening, limits.idle) = (script.limit(), script.limit());
    (limits.linger, limits.yielding) = (script.time(), script.time());
    let mut world = World::new(limits);
    while let Some(operation) = script.operation() {
        world.apply(operation, &mut script);
        world.check();
    }
    world.outlive();
});

/// A life, and what must be true of it.
struct World {
    life: Lifecycle,
    now: Instant,
    /// Where the table says that it is.
    state: State,
    /// The orders that were given and not carried out.
    orders: VecDeque<Action>,
    flight: Flight,
    begun: u64,
    withdrawn: u64,
    done: u64,
    failed: u64,
    theirs: Side,
    writable: bool,
    owes_half: bool,
    goodbye: Goodbye,
    dropped: Option<Parting>,
    pooled: bool,
    first_reason: Option<CloseReason>,
}

/// How many exchanges are in flight, by how much of their requests reached the transport.
#[derive(Clone, Copy, Default)]
struct Flight {
    unsent: u32,
    partly: u32,
    sent: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Goodbye {
    None,
    Ordered,
    Begun,
    Said,
}

impl Flight {
    fn all(self) -> u32 {
        self.unsent + self.partly + self.sent
    }

    fn request(self) -> Request {
        if self.partly > 0 { Request::Cut } else { Request::Whole }
    }
}

impl World {
    fn new(limits: LifecycleLimits) -> Self {
        let now = adieu_fuzz::start();
        Self {
            life: Lifecycle::new(now, limits),
            now,
            state: State::Opening,
            orders: VecDeque::new(),
            flight: Flight::default(),
            begun: 0,
            withdrawn: 0,
            done: 0,
            failed: 0,
            theirs: Side::Open,
            writable: true,
            goodbye: Goodbye::None,
            owes_half: false,
            dropped: None,
            pooled: false,
            first_reason: None,
        }
    }

    fn apply(&mut self, operation: u8, script: &mut Script<'_>) {
        let (now, request) = (self.now, self.flight.request());
        match operation {
            b'b' | b's' | b'S' | b'e' | b'w' | b'x' | b'u' => self.exchange(operation, script),
            b'o' if self.state == State::Opening => {
                self.step(Input::Opened);
                self.life.handle(now, Input::Opened);
            }
            b'r' => {
                let until = script.limit().and_then(|limit| now.checked_add(limit));
                self.step(Input::Retire { until });
                self.life.retire(now, until, CloseReason::Policy("fuzz"));
            }
            b'c' => self.close(script),
            b'i' if matches!(self.state, State::Upgraded { .. }) => {
                self.step(Input::EndOurs);
                self.life.handle_end(now, Input::EndOurs, CloseReason::Upgraded);
            }
            b'p' if self.theirs == Side::Open && self.dropped.is_none() => {
                let input = Input::PeerDone(script.pick([Vouched::Yes, Vouched::No]));
                let reason = script.pick([0, 1, 2, 3]);
                let reason = [
                    CloseReason::PeerEndedEarly,
                    CloseReason::HalfCloseRefused,
                    CloseReason::TlsTruncated,
                    CloseReason::PeerClosedIdle,
                ][reason]
                    .clone();
                self.theirs = Side::Ended;
                self.step(input);
                self.life.handle_peer_end(now, input, Signal::Fin, reason);
            }
            b'k' if self.writable && self.dropped.is_none() => {
                self.writable = false;
                self.step(Input::WriteBroken);
                self.life.handle_end(now, Input::WriteBroken, CloseReason::Reset);
            }
            b'n' if self.dropped.is_none() => {
                self.step(Input::Broken);
                self.life.handle_heard(script.pick([Signal::Rst, Signal::CloseNotify]));
                self.life.handle_end(now, Input::Broken, CloseReason::Network(std::io::ErrorKind::TimedOut));
            }
            b'v' => {
                let input = Input::Violation(script.pick([0, 7]), request);
                self.step(input);
                self.life.handle_end(now, input, CloseReason::ProtocolError("fuzz"));
            }
            b'g' if self.goodbye == Goodbye::Ordered => {
                self.goodbye = Goodbye::Begun;
                self.life.handle_goodbye_begun(now);
            }
            b'G' if self.goodbye == Goodbye::Begun && self.writable && self.dropped.is_none() => {
                self.goodbye = Goodbye::Said;
                self.life.handle_said(Signal::Fin);
                self.step(Input::GoodbyeSent);
                self.life.handle(now, Input::GoodbyeSent);
            }
            b'z' => {
                self.now += script.time();
                self.look_at_the_clock();
            }
            b'y' => self.obey(),
            b'q' if self.dropped == Some(Parting::Reset) => {
                self.life.handle_reset_unable();
                assert!(!self.life.signals().0.contains(Signal::Rst));
            }
            _ => {}
        }
    }

    fn exchange(&mut self, operation: u8, script: &mut Script<'_>) {
        let (now, busy) = (self.now, self.state.is_busy());
        match operation {
            b'b' if self.state.is_open() && self.begun < 1000 => {
                self.begun += 1;
                self.flight.unsent += 1;
                if self.flight.all() == 1 {
                    self.step(Input::Busy);
                }
                self.life.begin_exchange(now);
            }
            b's' if self.flight.unsent > 0 && self.writable => {
                (self.flight.unsent, self.flight.partly) = (self.flight.unsent - 1, self.flight.partly + 1);
            }
            b'S' if self.flight.partly > 0 && self.writable => {
                (self.flight.partly, self.flight.sent) = (self.flight.partly - 1, self.flight.sent + 1);
                if self.flight.partly + self.flight.unsent == 0 {
                    self.step(Input::RequestSent);
                    self.life.handle(now, Input::RequestSent);
                }
            }
            b'e' if busy && self.flight.sent > 0 => {
                let first = script.pick([First::Us, First::Peer]);
                (self.flight.sent, self.done) = (self.flight.sent - 1, self.done + 1);
                if self.flight.all() == 0 {
                    self.step(Input::Quiet(first));
                }
                self.life.end_exchange(now, first);
            }
            b'w' if busy && self.flight.unsent > 0 && self.writable => {
                (self.flight.unsent, self.withdrawn) = (self.flight.unsent - 1, self.withdrawn + 1);
                if self.flight.all() == 0 {
                    self.step(Input::Quiet(First::Us));
                }
                self.life.withdraw_exchange(now);
            }
            b'x' if busy && self.flight.partly == 1 && self.flight.all() == 1 => {
                let input = script.pick([Input::Abort, Input::Broken]);
                (self.flight.partly, self.done) = (0, self.done + 1);
                self.step(input);
                self.life.end_exchange_cut(now, input, CloseReason::UploadStopped);
            }
            b'u' if busy && self.flight.sent == 1 && self.flight.all() == 1 => {
                (self.flight.sent, self.done) = (0, self.done + 1);
                self.step(Input::Upgrade);
                self.life.upgrade(now);
            }
            _ => {}
        }
    }

    fn close(&mut self, script: &mut Script<'_>) {
        let kind =
            script.pick([CloseMode::graceful(), CloseMode::half(), CloseMode::now(), CloseMode::abort()]);
        let (drain, linger) = (script.limit(), script.limit());
        let mut mode = kind.drain(drain);
        if let Some(linger) = linger {
            mode = mode.linger(linger);
        }
        let reason = match script.choice(8) {
            0 => CloseReason::Shed,
            _ => CloseReason::User(mode.kind()),
        };
        let request = self.flight.request();
        self.step(match mode.kind() {
            CloseKind::Graceful => Input::Retire { until: None },
            CloseKind::Half => Input::HalfClose,
            CloseKind::Now => Input::CloseNow(request),
            _ => Input::Abort,
        });
        self.life.close(self.now, mode, request, reason);
    }

    /// What the table makes of a fact, with the rules that hold for every step.
    fn step(&mut self, input: Input) {
        if matches!(input, Input::GoodbyeSent | Input::WriteBroken | Input::Broken) {
            self.owes_half = false;
        }
        let Some((to, actions)) = next(self.state, input) else { return };
        // The one thing that the table leaves to its memory: an end of our side that is ordered and not said.
        let state = match (to, input) {
            (State::Lingering, _) if self.owes_half => State::Closing { theirs: Side::Open },
            (State::Closed, Input::PeerDone(_)) if self.owes_half => State::Closing { theirs: Side::Ended },
            (to, _) => to,
        };
        let (from, cut) = (self.state, self.flight.partly > 0);
        assert!(
            rank(from) < rank(state) || (from, state) == (State::Active, State::Idle),
            "{from:?} to {state:?}"
        );
        self.state = state;
        for &order in actions.as_slice() {
            if state != to && order == Action::DropTransport(Parting::Plain) {
                continue;
            }
            self.owes_half |= order == Action::SayGoodbye(adieu_proto::lifecycle::Goodbye::HalfOnly);
            self.orders.push_back(order);
            match order {
                Action::JoinPool => self.pooled = true,
                Action::LeavePool => {
                    assert!(self.pooled, "leaves a pool that it is not in");
                    self.pooled = false;
                }
                Action::FailExchanges => {
                    self.failed += u64::from(self.flight.all());
                    self.flight = Flight::default();
                }
                Action::SayGoodbye(_) => {
                    assert!(self.writable && self.goodbye == Goodbye::None, "a second goodbye");
                    assert!(!(cut && self.flight.all() == 0), "a goodbye after a request that was cut short");
                    self.goodbye = Goodbye::Ordered;
                }
                Action::DropTransport(parting) => {
                    assert_eq!(self.dropped.replace(parting), None, "let go of twice");
                    assert!(
                        !cut || parting == Parting::Reset
                            || input == Input::Broken
                            || self.theirs == Side::Ended
                    );
                }
                other => panic!("an unknown order: {other:?}"),
            }
        }
        assert_eq!(self.pooled, state.is_open());
        assert_eq!(self.dropped.is_some(), state == State::Closed);
    }

    /// As many steps as there were deadlines that had passed; the life says how many that is.
    fn look_at_the_clock(&mut self) {
        let due = self.life.poll_timeout().is_some_and(|at| at <= self.now);
        let request = self.flight.request();
        self.life.handle_timeout(self.now, request);
        if due {
            self.step(Input::Deadline(request));
        }
        for _ in 0..2 {
            if self.state != self.life.state() {
                self.step(Input::Deadline(request));
            }
        }
        assert!(self.life.poll_timeout().is_none_or(|at| at > self.now), "a deadline was left behind");
    }

    fn obey(&mut self) {
        while let Some(order) = self.life.poll_action() {
            assert_eq!(Some(order), self.orders.pop_front());
        }
        assert!(self.orders.is_empty(), "not ordered: {:?}", self.orders);
    }

    fn check(&mut self) {
        let (life, now) = (&self.life, self.now);
        assert_eq!(life.state(), self.state);
        assert_eq!(life.has_actions(), !self.orders.is_empty());
        assert_eq!((life.exchanges(), life.in_flight()), ((self.done, self.failed), self.flight.all()));
        assert_eq!(self.begun, self.done + self.failed + self.withdrawn + u64::from(self.flight.all()));
        assert!(life.in_flight() == 0 || self.state.is_busy());
        assert!(life.since() <= now && life.born() <= life.since());
        assert_eq!(life.ended().is_some(), self.state == State::Closed);
        if self.state == State::Closed {
            assert_eq!(life.poll_timeout(), None);
        }
        let going = !self.state.is_open() && !matches!(self.state, State::Opening | State::Upgraded { .. });
        assert!(!going || life.reason().is_some(), "{} without a reason", self.state);
        let report = CloseReport::new(ConnectionId::new(1), Protocol::Http2, life, now);
        assert!(report.draining + report.closing + report.lingering <= report.age);
        self.keep_reason();
    }

    /// The first reason is kept, but for those that say more.
    fn keep_reason(&mut self) {
        let reason = self.life.reason().cloned();
        match (&self.first_reason, &reason) {
            (None, _) => {}
            (Some(a), Some(b)) if a == b => {}
            (Some(_), Some(CloseReason::Shed)) => {}
            (Some(CloseReason::User(CloseKind::Half)), Some(CloseReason::HalfCloseRefused)) => {}
            (Some(CloseReason::Upgraded), Some(_)) => {}
            (a, b) => panic!("{b:?} in place of {a:?}"),
        }
        self.first_reason = reason;
    }

    /// Nothing but time passes: it must be gone soon.
    fn outlive(mut self) {
        let mode = CloseMode::graceful();
        self.step(Input::Retire { until: None });
        self.life.close(self.now, mode, Request::Whole, CloseReason::User(mode.kind()));
        self.check();
        let mut last = self.life.ended();
        for _ in 0..4 {
            self.obey();
            if self.goodbye == Goodbye::Ordered {
                self.goodbye = Goodbye::Begun;
                self.life.handle_goodbye_begun(self.now);
            }
            let Some(at) = self.life.poll_timeout() else { break };
            assert!(at <= self.now + Duration::from_secs(3600));
            self.now = self.now.max(at);
            self.look_at_the_clock();
            self.check();
            last = self.life.ended();
        }
        self.obey();
        assert_eq!(self.state, State::Closed, "an immortal connection");
        // Whatever still comes, nothing changes.
        let reason = self.life.reason().cloned();
        self.life.close(self.now, CloseMode::abort(), Request::Cut, CloseReason::Shed);
        self.life.handle_end(self.now, Input::Broken, CloseReason::TimedOut(Phase::Drain));
        self.life.handle(self.now, Input::GoodbyeSent);
        assert_eq!((self.life.ended(), self.life.reason().cloned()), (last, reason));
        assert_eq!(self.life.poll_action(), None);
        let report = CloseReport::new(ConnectionId::new(1), Protocol::Http2, &self.life, self.now);
        assert!(!report.to_string().is_empty());
    }
}
