//! A connection brought to where a test begins, and a response told however its bytes are cut.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, request};

use super::*;
use crate::lifecycle::tests::start;

/// An engine with a transport that takes and gives what the test says, and a caller that notes what it is told.
pub(super) struct Scenario {
    pub(super) engine: Engine,
    pub(super) now: Instant,
    /// What the transport took.
    pub(super) wire: Vec<u8>,
    /// What the driver was ordered, joining the pool left out.
    pub(super) orders: Vec<Action>,
    pub(super) seen: Seen,
}

/// What the caller of one exchange was told.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub(super) interim: Vec<u16>,
    pub(super) status: Option<u16>,
    pub(super) size: Option<BodySize>,
    pub(super) body: String,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) failure: Option<Failure>,
}

/// What an exchange and its connection came to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) seen: Seen,
    pub(super) whole: bool,
    pub(super) state: State,
    pub(super) reason: Option<CloseReason>,
    pub(super) ended: Option<Ended>,
    pub(super) orders: Vec<Action>,
    pub(super) exchanges: (u64, u64),
}

impl Scenario {
    /// An idle connection that was never used.
    pub(super) fn open() -> Self {
        Self::with(Config::default())
    }

    pub(super) fn with(config: Config) -> Self {
        let now = start();
        let mut engine = Engine::new(now, config);
        assert_eq!(engine.poll_action(), Some(JoinPool));
        Self { engine, now, wire: Vec::new(), orders: Vec::new(), seen: Seen::default() }
    }

    // To where a test begins.

    /// A GET is out.
    pub(super) fn awaiting_response() -> Self {
        Self::open().get()
    }

    /// A request with this method is out, and has no body.
    pub(super) fn asked(method: &str) -> Self {
        let target = if method == "CONNECT" { "h:443" } else { "http://h/" };
        Self::open().ask(Request::builder().method(method).uri(target), Some(0)).flushed()
    }

    /// A POST with an announced length of ten: nothing of it was sent.
    pub(super) fn unsent() -> Self {
        Self::open().ask(Request::post("http://h/"), Some(10))
    }

    /// The transport took ten bytes of its head.
    pub(super) fn sending_head() -> Self {
        let mut it = Self::unsent();
        it.take(10);
        it
    }

    /// Its head is out, its body waits for 100 (Continue).
    pub(super) fn awaiting_continue() -> Self {
        Self::awaiting_continue_with(Config::default())
    }

    pub(super) fn awaiting_continue_with(config: Config) -> Self {
        Self::with(config)
            .ask(Request::post("http://h/").header("expect", "100-continue"), Some(10))
            .flushed()
    }

    /// Its head and half of its body are out.
    pub(super) fn sending_body() -> Self {
        Self::sending_body_with(Config::default())
    }

    pub(super) fn sending_body_with(config: Config) -> Self {
        let mut it = Self::with(config).ask(Request::post("http://h/"), Some(10));
        it.give("01234");
        it.flushed()
    }

    /// A GET is out, and two of the five bytes of its response's body are here.
    pub(super) fn receiving_body() -> Self {
        let mut it = Self::awaiting_response();
        it.come("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe").read();
        it
    }

    /// Half of a request's body is out, and the head of its successful response is here.
    pub(super) fn sending_and_receiving() -> Self {
        let mut it = Self::sending_body();
        it.come("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe").read();
        it
    }

    // What the caller does.

    /// Sends a GET.
    pub(super) fn get(self) -> Self {
        self.ask(Request::get("http://h/"), Some(0)).flushed()
    }

    /// Begins an exchange of which nothing is sent yet.
    pub(super) fn ask(mut self, request: request::Builder, length: Option<u64>) -> Self {
        let (head, ()) = request.body(()).unwrap().into_parts();
        self.seen = Seen::default();
        self.engine.begin(self.now, &head, length).unwrap();
        self
    }

    pub(super) fn give(&mut self, data: &str) -> &mut Self {
        assert!(self.engine.wants_body());
        self.engine.send_data(self.now, Bytes::copy_from_slice(data.as_bytes())).unwrap();
        self
    }

    pub(super) fn end_body(&mut self) -> &mut Self {
        self.engine.end_body(self.now, None).unwrap();
        self
    }

    /// Takes all the news there is.
    pub(super) fn read(&mut self) -> &mut Self {
        while self.seen.failure.is_none()
            && let Some(event) = self.engine.poll_event(self.now)
        {
            match event {
                Event::Interim(head) => self.seen.interim.push(head.status().as_u16()),
                Event::Response(head, size) => {
                    assert_eq!(self.seen.status, None, "two final responses");
                    (self.seen.status, self.seen.size) = (Some(head.status().as_u16()), Some(size));
                }
                Event::Data(data) => {
                    assert!(!data.is_empty());
                    self.seen.body.push_str(std::str::from_utf8(&data).unwrap());
                }
                Event::Trailers(trailers) => self.seen.trailers = Some(trailers),
                Event::End => assert!(self.engine.is_response_whole()),
                Event::Failed(failure) => self.seen.failure = Some(failure),
            }
        }
        if self.seen.failure.is_none() {
            self.engine.handle_reader_waiting(self.now);
        }
        self
    }

    pub(super) fn close(&mut self, mode: CloseMode) -> &mut Self {
        self.engine.close(self.now, mode);
        self
    }

    // What the transport does.

    /// Takes at most so many bytes.
    pub(super) fn take(&mut self, most: usize) -> &mut Self {
        let mut bytes: Vec<u8> = self.engine.slices().iter().flat_map(|slice| slice.to_vec()).collect();
        bytes.truncate(most);
        self.engine.handle_sent(self.now, bytes.len());
        self.wire.extend_from_slice(&bytes);
        self
    }

    /// Takes everything.
    pub(super) fn flush(&mut self) -> &mut Self {
        while self.engine.wants_write() {
            self.take(usize::MAX);
        }
        self
    }

    pub(super) fn flushed(mut self) -> Self {
        self.flush();
        self
    }

    /// What was sent since the last look.
    pub(super) fn sent(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.wire)).unwrap()
    }

    /// Gives these bytes.
    pub(super) fn come(&mut self, bytes: &str) -> &mut Self {
        self.come_bytes(bytes.as_bytes())
    }

    pub(super) fn come_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        if self.engine.wants_read() {
            self.engine.room().extend_from_slice(bytes);
            self.engine.handle_received(self.now, bytes.len());
        }
        self
    }

    /// The peer ends its side.
    pub(super) fn peer_ends(&mut self, end: TransportEnd) -> &mut Self {
        if self.engine.wants_read() {
            self.engine.handle_read_end(self.now, end);
        }
        self
    }

    pub(super) fn write_breaks(&mut self, end: TransportEnd) -> &mut Self {
        self.engine.handle_write_end(self.now, end);
        self
    }

    // What the driver does.

    /// Notes the orders without carrying them out.
    pub(super) fn note_orders(&mut self) -> &mut Self {
        self.orders.extend(std::iter::from_fn(|| self.engine.poll_action()));
        self
    }

    /// Carries out the orders; the transport takes a goodbye at once.
    pub(super) fn obey(&mut self) -> &mut Self {
        while let Some(order) = self.engine.poll_action() {
            if let SayGoodbye(_) = order {
                assert!(!self.engine.wants_write(), "a goodbye in the middle of something");
                self.engine.handle_goodbye_begun(self.now);
                self.engine.handle_said(Signal::Fin);
                self.engine.handle_goodbye_sent(self.now);
            }
            self.orders.push(order);
        }
        self
    }

    /// Time passes, with nobody looking at the clock before its end.
    pub(super) fn pass(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self.engine.handle_timeout(self.now);
        assert!(self.engine.poll_timeout().is_none_or(|at| at > self.now), "a deadline was left behind");
        self
    }

    /// In how long the next deadline passes.
    pub(super) fn deadline(&self) -> Option<Duration> {
        Some(self.engine.poll_timeout()?.duration_since(self.now))
    }

    // What came of it.

    pub(super) fn state(&self) -> State {
        self.engine.state()
    }

    pub(super) fn reason(&self) -> Option<&CloseReason> {
        self.engine.life().reason()
    }

    #[track_caller]
    pub(super) fn failure(&self) -> &Failure {
        self.seen.failure.as_ref().expect("the exchange did not fail")
    }

    pub(super) fn outcome(&self) -> Outcome {
        let mut seen = self.seen.clone();
        if let Some(failure) = &mut seen.failure {
            // How much of the answer came in before it failed depends on the cuts; whether any came does not.
            failure.facts.answered = failure.facts.answered.min(1);
        }
        Outcome {
            seen,
            whole: self.seen.status.is_some() && self.engine.is_response_whole(),
            state: self.state(),
            reason: self.reason().cloned(),
            ended: self.engine.life().ended(),
            orders: self.orders.clone(),
            exchanges: self.engine.life().exchanges(),
        }
    }
}

/// What comes of it when a peer sends `bytes` and then ends its side, or not: the same whether they come in one
/// piece, in two with the cut at any place, one by one, or with their end before anybody looks.
#[track_caller]
pub(super) fn however_cut(
    scenario: impl Fn() -> Scenario,
    bytes: &str,
    end: Option<TransportEnd>,
) -> Outcome {
    let bytes = bytes.as_bytes();
    let told = |cuts: &[usize]| {
        let mut it = scenario();
        let mut from = 0;
        for to in cuts.iter().copied().chain([bytes.len()]) {
            it.come_bytes(&bytes[from..to]).read().obey();
            from = to;
        }
        end.into_iter().for_each(|end| _ = it.peer_ends(end).read().obey());
        it.outcome()
    };
    let whole = told(&[]);
    for at in 1..bytes.len() {
        assert_eq!(told(&[at]), whole, "cut at {at}: {}", String::from_utf8_lossy(&bytes[..at]));
    }
    assert_eq!(told(&(1..bytes.len()).collect::<Vec<_>>()), whole, "byte by byte");
    let mut unread = scenario();
    unread.come_bytes(bytes);
    end.into_iter().for_each(|end| _ = unread.peer_ends(end));
    unread.read().obey();
    assert_eq!(unread.outcome(), whole, "all of it before anybody looked");
    whole
}

impl Outcome {
    /// The body of a response that was told whole.
    #[track_caller]
    pub(super) fn body(&self) -> &str {
        assert!(self.whole && self.seen.failure.is_none(), "{self:#?}");
        &self.seen.body
    }

    #[track_caller]
    pub(super) fn failure(&self) -> &Failure {
        self.seen.failure.as_ref().expect("the exchange did not fail")
    }
}
