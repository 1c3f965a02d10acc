//! Whatever comes in whatever order: nothing panics, no bound is exceeded, no connection is immortal.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version, request};
use proptest::prelude::*;

use super::*;
use crate::codec::limits::Limits;
use crate::fate::{Receipts, Sight};
use crate::lifecycle::tests::start;
use crate::lifecycle::{LifecycleLimits, Timeouts, TlsAlert};

/// What a driver, a caller, a user or a peer can do next.
#[derive(Clone, Debug)]
enum Operation {
    Begin(usize),
    Give(usize),
    EndBody,
    FailBody,
    Abandon,
    Close(CloseMode),
    Retire(Option<u64>),
    EndOurs,
    Shrink,
    Look,
    LookOnce,
    Take(usize),
    Blocked,
    WriteBreaks(TransportEnd),
    Come(&'static [u8]),
    ComeAny(Vec<u8>),
    PeerEnds(TransportEnd),
    Sight(Sight),
    Pass(u64),
    Obey,
    SayGoodbye,
    GoodbyeRefused,
}

/// What peers send, whole and in pieces.
const PIECES: [&[u8]; 26] = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 413 x\r\ncontent-length: 2\r\n\r\nno",
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nuntil close",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 x\r\n\r\n",
    b"HTTP/1.1 101 x\r\nupgrade: x\r\n\r\n",
    b"HTTP/1.1 408 Request Timeout\r\n\r\n",
    b"content-length: 5\r\n",
    b"transfer-encoding: chunked\r\n",
    b"connection: close\r\n",
    b"\r\n",
    b"hello",
    b"5\r\nhello\r\n",
    b"5;extension\r\nhe",
    b"llo\r\n",
    b"0\r\n\r\n",
    b"0\r\nx: y\r\n\r\n",
    b"HTTP/1.1",
];

const SIGHTS: [Sight; 4] = [Sight::None, Sight::Pending, Sight::Acknowledged, Sight::Refused];

const LIMITS: Limits = Limits {
    head: 300,
    fields: 10,
    chunk_line: 50,
    chunk_extensions: 80,
    trailers: 100,
    interim: 3,
    discard: 1000,
    unread: 100,
    read_ahead: 256,
};

fn requests(number: usize) -> (request::Builder, Option<u64>) {
    let (get, post) = (Request::get("http://h/"), Request::post("http://h/"));
    match number {
        0 => (get, Some(0)),
        1 => (post, Some(10)),
        2 => (post, None),
        3 => (post.header("expect", "100-continue"), Some(10)),
        4 => (post.header("expect", "100-continue"), None),
        5 => (Request::connect("h:443"), Some(0)),
        6 => (get.header("connection", "upgrade").header("upgrade", "x"), Some(0)),
        7 => (get.version(Version::HTTP_10), Some(0)),
        8 => (Request::head("http://h/"), Some(0)),
        9 => (get.header("connection", "close"), Some(0)),
        10 => (Request::get("/no/host"), Some(0)),
        _ => (post, Some(2000)),
    }
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let ends = prop_oneof![
        Just(FIN),
        Just(RST),
        Just(TransportEnd::Failed(std::io::ErrorKind::TimedOut)),
        Just(TransportEnd::CloseNotify),
        Just(TransportEnd::BareFin),
        Just(TransportEnd::Alert(TlsAlert(80))),
        Just(TransportEnd::Broken("a record")),
    ];
    let mode = prop_oneof![
        Just(CloseMode::graceful()),
        Just(CloseMode::half()),
        Just(CloseMode::now()),
        Just(CloseMode::abort()),
        Just(CloseMode::graceful().drain(Duration::ZERO)),
        Just(CloseMode::half().drain(None).linger(Duration::ZERO)),
    ];
    prop_oneof![
        8 => (0..12usize).prop_map(Begin),
        4 => (0..2000usize).prop_map(Give),
        3 => Just(EndBody),
        1 => Just(FailBody),
        1 => Just(Abandon),
        1 => mode.prop_map(Close),
        1 => proptest::option::of(0..50u64).prop_map(Retire),
        1 => Just(EndOurs),
        1 => Just(Shrink),
        8 => Just(Look),
        4 => Just(LookOnce),
        10 => (1..5000usize).prop_map(Take),
        1 => Just(Blocked),
        1 => ends.clone().prop_map(WriteBreaks),
        16 => proptest::sample::select(PIECES.to_vec()).prop_map(Come),
        2 => proptest::collection::vec(any::<u8>(), 1..300).prop_map(ComeAny),
        1 => ends.prop_map(PeerEnds),
        3 => proptest::sample::select(SIGHTS.to_vec()).prop_map(Sight),
        3 => (0..400_000u64).prop_map(Pass),
        6 => Just(Obey),
        3 => Just(SayGoodbye),
        1 => Just(GoodbyeRefused),
    ]
}

/// A driver, a caller and a transport round one engine, which hold it to its word.
struct Watcher {
    engine: Engine,
    now: std::time::Instant,
    pooled: bool,
    goodbye: Option<Goodbye>,
    goodbyes: usize,
    dropped: usize,
    writable: bool,
    begun: u64,
    told: Told,
}

/// How far the caller of an exchange was told of its response.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Nothing,
    Head { left: Option<u64> },
    Over,
    Failed,
}

impl Watcher {
    fn new(early_response: EarlyResponse) -> Self {
        let timeouts = Timeouts { exchange: Some(Duration::from_secs(500)), ..Timeouts::default() };
        let life = LifecycleLimits { idle: Some(Duration::from_secs(200)), ..LifecycleLimits::default() };
        let receipts = Receipts::Kernel;
        let config = Config { limits: LIMITS, timeouts, life, early_response, receipts, ..Config::default() };
        let now = start();
        let mut engine = Engine::new(now, config);
        assert_eq!(engine.poll_action(), Some(JoinPool));
        Self {
            engine,
            now,
            pooled: true,
            goodbye: None,
            goodbyes: 0,
            dropped: 0,
            writable: true,
            begun: 0,
            told: Told::Over,
        }
    }

    fn apply(&mut self, operation: &Operation) {
        let (engine, now, alive) = (&mut self.engine, self.now, self.dropped == 0);
        match operation {
            Operation::Begin(number) => {
                let (request, length) = requests(*number);
                let (head, ()) = request.body(()).unwrap().into_parts();
                if engine.begin(now, &head, length).is_ok() {
                    assert!(self.pooled, "an exchange began outside the pool");
                    (self.begun, self.told) = (self.begun + 1, Told::Nothing);
                }
            }
            Operation::Give(bytes) if engine.wants_body() => {
                let _misfit = engine.send_data(now, Bytes::from(vec![b'x'; *bytes]));
            }
            Operation::EndBody
                if engine.wants_body() || engine.phase() == ExchangePhase::AwaitingContinue =>
            {
                let _misfit = engine.end_body(now, None);
            }
            Operation::FailBody => engine.fail_body(now),
            Operation::Abandon => engine.abandon(now),
            Operation::Close(mode) => engine.close(now, *mode),
            Operation::Retire(limit) => {
                let until = limit.map(|seconds| now + Duration::from_secs(seconds));
                engine.retire(now, until, CloseReason::Policy("random"));
            }
            Operation::EndOurs => engine.end_ours(now),
            Operation::Shrink => engine.shrink(),
            Operation::Look => while self.look() {},
            Operation::LookOnce => _ = self.look(),
            Operation::Take(most) if alive && engine.wants_write() => {
                let waiting: usize = engine.slices().iter().map(|slice| slice.len()).sum();
                assert!(
                    waiting > 0 && self.writable && self.goodbyes == 0,
                    "something is said after the end"
                );
                engine.handle_sent(now, waiting.min(*most));
            }
            Operation::Blocked if engine.wants_write() => engine.handle_blocked(now),
            Operation::WriteBreaks(end) if alive && self.writable => {
                self.writable = false;
                engine.handle_write_end(now, *end);
            }
            Operation::Come(bytes) => self.come(bytes),
            Operation::ComeAny(bytes) => self.come(bytes),
            Operation::PeerEnds(end) if alive && engine.wants_read() => engine.handle_read_end(now, *end),
            Operation::Sight(sight) => {
                let doubtful = engine.is_in_doubt();
                assert!(!doubtful || (engine.life().in_flight() == 1 && !engine.wants_write()));
                engine.handle_sight(now, *sight, Duration::from_millis(50));
                assert!(doubtful || !engine.is_in_doubt());
            }
            Operation::Pass(ms) => {
                self.now += Duration::from_millis(*ms);
                self.engine.handle_timeout(self.now);
                let next = self.engine.poll_timeout();
                assert!(next.is_none_or(|at| at > self.now), "a deadline was left behind");
            }
            Operation::Obey => self.obey(),
            Operation::SayGoodbye if alive && self.goodbye.is_some() => self.say_goodbye(),
            Operation::GoodbyeRefused if alive && self.goodbye.is_some() && self.writable => {
                (self.goodbye, self.writable) = (None, false);
                engine.handle_goodbye_begun(now);
                engine.handle_goodbye_refused(now);
            }
            _ => {}
        }
        self.check();
    }

    fn come(&mut self, bytes: &[u8]) {
        if self.dropped == 0 && self.engine.wants_read() {
            self.engine.room().extend_from_slice(bytes);
            self.engine.handle_received(self.now, bytes.len());
        }
    }

    /// Takes one piece of news; whether there was one that is not the end.
    fn look(&mut self) -> bool {
        let awaited = self.engine.may_have_news();
        let Some(event) = self.engine.poll_event(self.now) else {
            self.engine.handle_reader_waiting(self.now);
            return false;
        };
        assert!(awaited, "{event:?} came unawaited");
        self.told = match (self.told, event) {
            (Told::Nothing, Event::Interim(_)) => Told::Nothing,
            (Told::Nothing, Event::Response(_, size)) => match size {
                BodySize::Known(0) | BodySize::Upgrade => Told::Over,
                BodySize::Known(left) => Told::Head { left: Some(left) },
                BodySize::Unknown => Told::Head { left: None },
            },
            (Told::Head { left }, Event::Data(data)) => {
                assert!(!data.is_empty() && data.len() <= LIMITS.read_ahead);
                let left = left.map(|left| left.checked_sub(data.len() as u64).expect("more than announced"));
                if left == Some(0) { Told::Over } else { Told::Head { left } }
            }
            (Told::Head { left: None }, Event::Trailers(_) | Event::End) => Told::Over,
            // An upload that outlived its response may still fail.
            (_, Event::Failed(_)) => Told::Failed,
            (told, event) => panic!("{event:?} after {told:?}"),
        };
        assert_eq!(self.told == Told::Over, self.engine.is_response_whole() && self.told != Told::Nothing);
        self.told != Told::Failed
    }

    fn obey(&mut self) {
        while let Some(order) = self.engine.poll_action() {
            match order {
                JoinPool => panic!("back into the pool"),
                LeavePool => {
                    assert!(self.pooled);
                    self.pooled = false;
                }
                SayGoodbye(goodbye) => {
                    assert!(!self.engine.wants_write(), "a goodbye in the middle of something");
                    self.goodbyes += 1;
                    self.goodbye = Some(goodbye);
                }
                DropTransport(_) => self.dropped += 1,
                FailExchanges => assert_eq!(self.engine.life().in_flight(), 0),
            }
        }
        assert_eq!(self.pooled, self.engine.state().is_open());
        assert_eq!(self.dropped, usize::from(self.engine.state() == State::Closed));
    }

    fn say_goodbye(&mut self) {
        self.goodbye = None;
        self.engine.handle_goodbye_begun(self.now);
        if self.writable {
            self.engine.handle_said(Signal::Fin);
            self.engine.handle_goodbye_sent(self.now);
        }
    }

    fn check(&mut self) {
        let engine = &mut self.engine;
        assert!(self.goodbyes <= 1);
        let buffered = engine.room().len();
        assert!(buffered <= LIMITS.head + LIMITS.read_ahead + 300, "{buffered} bytes are kept");
        let (done, failed) = engine.life().exchanges();
        assert!(done + failed <= self.begun);
        assert_eq!(engine.phase() == ExchangePhase::None, engine.life().in_flight() == 0);
        assert_eq!(engine.life().ended().is_some(), engine.state() == State::Closed);
        // Another protocol may have it for as long as it likes, and for no reason that it should end.
        if !matches!(engine.state(), State::Upgraded { .. }) {
            assert_eq!(engine.state().is_open(), engine.life().reason().is_none(), "an end without a reason");
        }
        if engine.state() == State::Closed {
            assert!(!engine.wants_read() && !engine.wants_write() && engine.poll_timeout().is_none());
        }
    }

    /// Closes it and lets nothing but time pass: it must be gone soon.
    fn outlive(mut self) {
        self.engine.close(self.now, CloseMode::graceful());
        for _ in 0..4 {
            self.obey();
            if self.goodbye.take().is_some() {
                self.engine.handle_goodbye_begun(self.now);
            }
            let Some(at) = self.engine.poll_timeout() else { break };
            assert!(at <= self.now + Duration::from_secs(30));
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now);
        }
        self.obey();
        assert_eq!((self.engine.state(), self.dropped), (State::Closed, 1), "an immortal connection");
    }

    fn abort(mut self) {
        self.engine.close(self.now, CloseMode::abort());
        self.obey();
        assert_eq!((self.engine.state(), self.dropped), (State::Closed, 1));
    }
}

/// Few cases by default; `PROPTEST_CASES` asks for more. A failure that was found becomes a test with a name.
fn config() -> ProptestConfig {
    let standard = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => standard,
        None => ProptestConfig { cases: 64, ..standard },
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_comes_in_whatever_order(
        policy in proptest::sample::select(vec![EarlyResponse::StopUnlessSuccess, EarlyResponse::Stop, EarlyResponse::Finish]),
        operations in proptest::collection::vec(operation(), 1..80),
        abort in any::<bool>(),
    ) {
        let mut watcher = Watcher::new(policy);
        operations.iter().for_each(|operation| watcher.apply(operation));
        if abort { watcher.abort() } else { watcher.outlive() }
    }
}
