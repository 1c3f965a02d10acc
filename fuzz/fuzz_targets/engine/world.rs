//! Driver, transport, caller and user round one engine, and what each of them can do.
//!
//! | letter | who | what |
//! |---|---|---|
//! | `b` `g` `e` `E` `f` `a` | caller | begin, give a piece, end the body (with trailers), fail it, abandon |
//! | `l` `L` | caller | take all news, take one |
//! | `c` `h` `r` `s` `u` | user | close, shed, retire, shrink, set other time limits |
//! | `o` `d` `C` `K` | holder of an upgraded connection | end our side, drop it, carry bytes, take what is left over |
//! | `t` `T` `k` `w` | transport | takes some bytes, takes all, takes none, breaks |
//! | `p` `<` `x` | peer | sends a piece, sends what follows up to `>`, ends its side |
//! | `z` | clock | time passes |
//! | `y` `B` `G` `R` `q` | driver | carries out orders, begins the goodbye, ends it, is refused it, cannot reset |

use std::time::{Duration, Instant};

use adieu_fuzz::script::Script;
use adieu_proto::codec::request::BodyFraming;
use adieu_proto::fate::Sight;
use adieu_proto::h1::{BodyMisfit, BodySize, Config, Engine, Event, Failure, NotOpen, TransportEnd};
use adieu_proto::lifecycle::{
    Action, CloseMode, CloseReason, ConnectionId, ExchangePhase, Goodbye, Parting, Signal, State,
};
use bytes::Bytes;

use crate::rules::Seen;
use crate::words::{self, PIECES, REQUESTS, Security};

/// One connection, and all that touch it.
pub struct World {
    pub engine: Engine,
    pub config: Config,
    pub now: Instant,
    pub transport: Transport,
    pub driver: Driver,
    pub caller: Caller,
    /// What was seen at the last look.
    pub seen: Seen,
}

pub struct Transport {
    security: Security,
    /// What it took of the last request.
    pub taken: Vec<u8>,
    pub sent: u64,
    pub received: u64,
    pub writable: bool,
    /// Whether our side broke while an order waited to be carried out.
    crossed: bool,
    pub peer: Peer,
    /// Whether an end told that nothing can be said in either direction.
    pub broken: bool,
}

/// What can still come from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Talks,
    /// Its TLS has ended; its FIN has not come.
    Silenced,
    Ended,
}

pub struct Driver {
    pub pooled: bool,
    pub goodbye: Farewell,
    pub dropped: Option<Parting>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    None,
    Ordered(Goodbye),
    Begun(Goodbye),
    Said(Goodbye),
}

pub struct Caller {
    pub begun: u64,
    pub withdrawn: u64,
    pub abandoned: bool,
    pub told: Told,
    /// Whether a piece of the body was asked for and not given yet.
    asked: bool,
    body: BodyFraming,
    given: u64,
    pub data: u64,
    interim: usize,
    failure: Option<Failure>,
}

/// How far the caller of an exchange was told of its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing was begun, or what was begun was taken back.
    Never,
    Nothing,
    Head {
        left: Option<u64>,
    },
    Over,
    Failed,
}

impl World {
    pub fn new(config: Config, security: Security) -> Self {
        let now = adieu_fuzz::start();
        let mut engine = Engine::new(now, config);
        assert_eq!(engine.poll_action(), Some(Action::JoinPool));
        let seen = Seen::of(&engine, now);
        Self {
            engine,
            config,
            now,
            transport: Transport {
                security,
                taken: Vec::new(),
                sent: 0,
                received: 0,
                writable: true,
                crossed: false,
                peer: Peer::Talks,
                broken: false,
            },
            driver: Driver { pooled: true, goodbye: Farewell::None, dropped: None },
            caller: Caller {
                begun: 0,
                withdrawn: 0,
                abandoned: false,
                told: Told::Never,
                asked: false,
                body: BodyFraming::None,
                given: 0,
                data: 0,
                interim: 0,
                failure: None,
            },
            seen,
        }
    }

    pub fn apply(&mut self, operation: u8, script: &mut Script<'_>) {
        let upgraded = matches!(self.engine.state(), State::Upgraded { .. });
        match operation {
            b'b' => self.begin(script.choice(REQUESTS)),
            b'g' => self.give(script.pick([0, 1, 5, 10, 100, 1023, 1024, 5000])),
            b'e' | b'E' => self.end_body(operation == b'E'),
            b'f' => self.engine.fail_body(self.now),
            b'a' => self.abandon(),
            b'l' => while self.look() {},
            b'L' => _ = self.look(),
            b'c' => self.close(script),
            b'h' => self.engine.close_because(self.now, CloseMode::abort(), CloseReason::Shed),
            b'r' => {
                let until = script.limit().and_then(|limit| self.now.checked_add(limit));
                let reason =
                    if until.is_some() { CloseReason::Policy("fuzz") } else { CloseReason::HandlesDropped };
                self.engine.retire(self.now, until, reason);
            }
            b's' => self.engine.shrink(),
            b'o' if upgraded => self.engine.end_ours(self.now),
            b'd' if upgraded => self.engine.drop_upgraded(self.now),
            b'u' => self.limit(script),
            b'C' if upgraded => self.carry(script.choice(100), script.choice(100)),
            b'K' if upgraded => self.take_leftover(),
            b't' => self.take(1 + script.choice(62)),
            b'T' => self.take(usize::MAX),
            b'k' if self.can_write() => self.engine.handle_blocked(self.now),
            b'w' => self.break_write(words::write_end(script)),
            b'p' => self.come(PIECES[script.choice(PIECES.len())]),
            b'<' => self.come(script.text()),
            b'x' => self.peer_ends(script),
            b'v' => self.see(script),
            b'z' => self.pass(script.time()),
            b'y' => self.obey(),
            b'B' | b'G' | b'R' => self.say_goodbye(operation),
            b'q' if self.driver.dropped == Some(Parting::Reset) => self.engine.handle_reset_unable(),
            _ => {}
        }
        self.caller.asked |= self.engine.wants_body();
    }

    fn alive(&self) -> bool {
        self.driver.dropped.is_none()
    }

    // The caller.

    fn begin(&mut self, number: usize) {
        let (head, length) = words::request(number);
        let (before, exchange) = (self.engine.state(), self.engine.exchange());
        match self.engine.begin(self.now, &head, length) {
            Ok(asked) => {
                assert!(self.driver.pooled && before == State::Idle, "an exchange began outside the pool");
                assert_eq!(self.engine.exchange(), exchange + 1);
                let caller = &mut self.caller;
                (caller.begun, caller.told, caller.abandoned) = (caller.begun + 1, Told::Nothing, false);
                (caller.body, caller.given, caller.asked) = (asked.body, 0, false);
                (caller.data, caller.interim, caller.failure) = (0, 0, None);
                self.transport.taken.clear();
            }
            Err(NotOpen::Unsendable(_)) => assert_eq!(self.engine.state(), State::Idle),
            Err(NotOpen::Busy) => assert_eq!(before, State::Active),
            Err(_) => assert!(!self.engine.state().is_open()),
        }
    }

    fn give(&mut self, size: usize) {
        if !std::mem::take(&mut self.caller.asked) || !self.engine.owes_body() {
            return;
        }
        let given = self.engine.send_data(self.now, Bytes::from(vec![b'x'; size]));
        self.caller.given += size as u64;
        let fits = !matches!(self.caller.body, BodyFraming::Length(length) if self.caller.given > length);
        assert_eq!(given, if fits { Ok(()) } else { Err(BodyMisfit::TooLong) });
    }

    fn end_body(&mut self, trailers: bool) {
        let held = self.engine.phase() == ExchangePhase::AwaitingContinue;
        if !(std::mem::take(&mut self.caller.asked) || held) || !self.engine.owes_body() {
            return;
        }
        let ended = self.engine.end_body(self.now, trailers.then(words::trailers));
        let fits = !matches!(self.caller.body, BodyFraming::Length(length) if self.caller.given < length);
        assert_eq!(ended, if fits { Ok(()) } else { Err(BodyMisfit::TooShort) });
    }

    fn abandon(&mut self) {
        let before = (self.engine.life().in_flight(), self.engine.life().exchanges());
        if before.0 > 0 && self.caller.told != Told::Over {
            self.caller.abandoned = true;
        }
        self.engine.abandon(self.now);
        if before == (1, self.engine.life().exchanges()) && self.engine.life().in_flight() == 0 {
            assert!(self.transport.taken.is_empty(), "a request was taken back that was sent");
            self.caller.withdrawn += 1;
            (self.caller.told, self.caller.abandoned) = (Told::Never, false);
        }
    }

    /// Takes one piece of news; whether there was one that is not the end.
    pub fn look(&mut self) -> bool {
        if self.caller.abandoned {
            return false;
        }
        let awaited = self.engine.may_have_news();
        let Some(event) = self.engine.poll_event(self.now) else {
            self.engine.handle_reader_waiting(self.now);
            return false;
        };
        assert!(awaited, "{event:?} came unawaited");
        self.caller.hear(event, &self.config);
        let whole = self.engine.is_response_whole();
        assert_eq!(self.caller.told == Told::Over, whole, "{:?}", self.caller.told);
        if let Some(failure) = &self.caller.failure {
            assert_eq!(failure.facts.handed, self.transport.taken.len() as u64, "what reached the transport");
        }
        self.caller.told != Told::Failed
    }

    // The user.

    fn close(&mut self, script: &mut Script<'_>) {
        let mut mode = words::mode(script.choice(4));
        match script.choice(4) {
            0 => {}
            1 => mode = mode.drain(script.limit()),
            2 => mode = mode.drain(Duration::ZERO),
            _ => mode = mode.drain(script.limit()).linger(script.limit().unwrap_or_default()),
        }
        self.engine.close(self.now, mode);
    }

    fn limit(&mut self, script: &mut Script<'_>) {
        let timeouts = self.engine.timeouts();
        (timeouts.upgrade_idle, timeouts.upgrade_half_closed) = (script.limit(), script.limit());
        (timeouts.body_gap, timeouts.exchange) = (script.limit(), script.limit());
    }

    fn carry(&mut self, sent: usize, received: usize) {
        let State::Upgraded { ours, theirs } = self.engine.state() else { return };
        use adieu_proto::lifecycle::Side::Open;
        let sent = if ours == Open && self.transport.writable { sent } else { 0 };
        let talks = theirs == Open && self.transport.peer == Peer::Talks;
        let received = if talks { received } else { 0 };
        self.transport.sent += sent as u64;
        self.transport.received += received as u64;
        self.engine.handle_carried(self.now, sent, received);
    }

    /// What came with the switch, and the end that may have come with it.
    fn take_leftover(&mut self) {
        let _leftover = self.engine.take_leftover();
        if let Some(end) = self.engine.read_end() {
            self.engine.handle_read_end(self.now, end);
        }
    }

    // The transport and the peer.

    fn can_write(&self) -> bool {
        self.alive() && self.engine.wants_write()
    }

    fn take(&mut self, most: usize) {
        if !self.can_write() {
            return;
        }
        assert!(self.transport.writable, "something is said after our side broke");
        assert!(
            matches!(self.driver.goodbye, Farewell::None),
            "something is said after {:?}",
            self.driver.goodbye
        );
        let waiting: Vec<u8> = self.engine.slices().iter().flat_map(|slice| slice.to_vec()).collect();
        assert!(!waiting.is_empty());
        let bytes = waiting.len().min(most);
        self.transport.taken.extend_from_slice(&waiting[..bytes]);
        self.transport.sent += bytes as u64;
        self.engine.handle_sent(self.now, bytes);
    }

    fn break_write(&mut self, end: TransportEnd) {
        let said = matches!(self.driver.goodbye, Farewell::Said(_));
        if self.alive() && self.transport.writable && !said {
            self.transport.writable = false;
            self.transport.crossed = self.engine.has_orders();
            self.transport.broken |= matches!(end, TransportEnd::Failed(_));
            self.engine.handle_write_end(self.now, end);
        }
    }

    fn come(&mut self, bytes: &[u8]) {
        for bytes in bytes.chunks(300) {
            if self.alive() && self.transport.peer == Peer::Talks && self.engine.wants_read() {
                self.engine.room().extend_from_slice(bytes);
                self.transport.received += bytes.len() as u64;
                self.engine.handle_received(self.now, bytes.len());
            }
        }
    }

    fn peer_ends(&mut self, script: &mut Script<'_>) {
        use adieu_proto::lifecycle::Side::Open;
        let carrying = matches!(self.engine.state(), State::Upgraded { theirs: Open, .. });
        let waits = self.engine.read_end().is_some();
        let read = self.engine.wants_read() || (carrying && !waits);
        if !self.alive() || self.transport.peer == Peer::Ended || !read {
            return;
        }
        let end = words::read_end(script, self.transport.security, self.transport.peer == Peer::Silenced);
        self.transport.peer = match end {
            TransportEnd::CloseNotify | TransportEnd::Broken(_) => Peer::Silenced,
            _ => Peer::Ended,
        };
        self.transport.broken |=
            matches!(end, TransportEnd::Reset | TransportEnd::Failed(_) | TransportEnd::Alert(_));
        self.engine.handle_read_end(self.now, end);
    }

    /// The kernel is asked what it knows of a request that the peer ended upon.
    fn see(&mut self, script: &mut Script<'_>) {
        let sight = script.pick([Sight::None, Sight::Pending, Sight::Acknowledged, Sight::Refused]);
        let doubtful = self.engine.is_in_doubt();
        if doubtful {
            assert!(self.engine.life().in_flight() == 1 && !self.engine.wants_write());
        }
        self.engine.handle_sight(self.now, sight, Duration::from_millis(50));
        assert!(doubtful || !self.engine.is_in_doubt());
    }

    // The clock and the driver.

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.look_at_the_clock();
    }

    pub fn look_at_the_clock(&mut self) {
        self.engine.handle_timeout(self.now);
        let next = self.engine.poll_timeout();
        assert!(next.is_none_or(|at| at > self.now), "a deadline was left behind");
    }

    pub fn obey(&mut self) {
        while let Some(order) = self.engine.poll_action() {
            assert!(self.driver.dropped.is_none(), "{order:?} after the transport was let go of");
            match order {
                Action::LeavePool => {
                    assert!(self.driver.pooled);
                    self.driver.pooled = false;
                }
                Action::SayGoodbye(goodbye) => {
                    assert!(!self.engine.wants_write(), "a goodbye in the middle of something");
                    assert_eq!(self.driver.goodbye, Farewell::None, "a second goodbye");
                    let crossed = self.transport.crossed;
                    assert!(self.transport.writable || crossed, "a goodbye after our side broke");
                    self.transport.check_goodbye();
                    self.driver.goodbye = Farewell::Ordered(goodbye);
                }
                Action::DropTransport(parting) => {
                    self.transport.check_parting(parting);
                    self.driver.dropped = Some(parting);
                }
                Action::FailExchanges => assert_eq!(self.engine.life().in_flight(), 0),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(self.driver.pooled, self.engine.state().is_open());
        assert_eq!(self.driver.dropped.is_some(), self.engine.state() == State::Closed);
    }

    fn say_goodbye(&mut self, operation: u8) {
        if !self.alive() || self.engine.state() == State::Closed {
            return;
        }
        if let Farewell::Ordered(goodbye) = self.driver.goodbye {
            self.driver.goodbye = Farewell::Begun(goodbye);
            self.engine.handle_goodbye_begun(self.now);
        }
        let Farewell::Begun(goodbye) = self.driver.goodbye else { return };
        match operation {
            b'G' if self.transport.writable => {
                if self.transport.security == Security::Tls {
                    self.engine.handle_said(Signal::CloseNotify);
                }
                self.engine.handle_said(Signal::Fin);
                self.driver.goodbye = Farewell::Said(goodbye);
                self.engine.handle_goodbye_sent(self.now);
            }
            b'R' => {
                self.transport.writable = false;
                self.driver.goodbye = Farewell::Said(goodbye);
                self.engine.handle_goodbye_refused(self.now);
            }
            _ => {}
        }
    }

    /// For the report.
    pub fn id(&self) -> ConnectionId {
        ConnectionId::new(1)
    }
}

impl Caller {
    fn hear(&mut self, event: Event, config: &Config) {
        self.told = match (self.told, event) {
            (Told::Nothing, Event::Interim(_)) => {
                self.interim += 1;
                assert!(self.interim <= config.limits.interim);
                Told::Nothing
            }
            (Told::Nothing, Event::Response(_, size)) => match size {
                BodySize::Known(0) | BodySize::Upgrade => Told::Over,
                BodySize::Known(left) => Told::Head { left: Some(left) },
                _ => Told::Head { left: None },
            },
            (Told::Head { left }, Event::Data(data)) => {
                assert!(!data.is_empty() && data.len() <= config.limits.read_ahead.max(1));
                self.data += data.len() as u64;
                let left = left.map(|left| left.checked_sub(data.len() as u64).expect("more than announced"));
                if left == Some(0) { Told::Over } else { Told::Head { left } }
            }
            (Told::Head { left: None }, Event::Trailers(_) | Event::End) => Told::Over,
            // An upload that outlived its response may still fail.
            (told, Event::Failed(failure)) => {
                assert!(told != Told::Never, "a failure of nothing");
                let before = self.failure.get_or_insert_with(|| failure.clone());
                assert_eq!(*before, failure, "another failure");
                Told::Failed
            }
            (told, event) => panic!("{event:?} after {told:?}"),
        };
    }
}
