//! What a script can choose from.

use std::io::ErrorKind;
use std::time::Duration;

use adieu_fuzz::script::Script;
use adieu_proto::codec::limits::Limits;
use adieu_proto::fate::Receipts;
use adieu_proto::h1::{Config, EarlyResponse, HalfClose, TransportEnd};
use adieu_proto::lifecycle::{CloseMode, LifecycleLimits, Timeouts, TlsAlert};
use http::{HeaderMap, HeaderValue, Request, Version, request};

/// Whether there is TLS between the engine and the peer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Security {
    Plain,
    Tls,
}

/// Requests to begin; the bytes that the body announces.
pub const REQUESTS: usize = 14;

pub fn request(number: usize) -> (request::Parts, Option<u64>) {
    let (get, post) = (Request::get("http://h/"), Request::post("http://h/"));
    let (builder, length) = match number {
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
        11 => (post.header("connection", "upgrade").header("upgrade", "x"), Some(10)),
        12 => (post.header("transfer-encoding", "chunked").header("connection", "close"), Some(0)),
        _ => (post, Some(5000)),
    };
    (builder.body(()).expect("a request").into_parts().0, length)
}

/// What peers send, whole and in pieces.
pub const PIECES: [&[u8]; 30] = [
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
    b"HTTP/1.1 101 x\r\nupgrade: x\r\n\r\nleft over",
    b"HTTP/1.1 408 Request Timeout\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
    b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\n",
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
    b"\x16\x03\x01",
];

/// Small enough to be reached.
pub fn limits() -> Limits {
    let mut limits = Limits::default();
    (limits.head, limits.fields, limits.interim) = (300, 10, 3);
    (limits.chunk_line, limits.chunk_extensions, limits.trailers) = (50, 80, 100);
    (limits.discard, limits.unread) = (1000, 100);
    limits
}

/// The settings, as the first letters of a script say.
pub fn settings(script: &mut Script<'_>) -> (Config, Security) {
    let mut config = Config::default();
    config.limits = limits();
    config.receipts = Receipts::Kernel;
    let security = script.pick([Security::Plain, Security::Tls]);
    config.early_response =
        script.pick([EarlyResponse::StopUnlessSuccess, EarlyResponse::Stop, EarlyResponse::Finish]);
    config.half_close = script.pick([HalfClose::Possible, HalfClose::Impossible]);
    config.limits.read_ahead = script.pick([256, 5, 1, 0]);
    config.timeouts = match script.choice(4) {
        0 => Timeouts::default(),
        1 => every(None),
        2 => every(Some(Duration::MAX)),
        _ => every(Some(Duration::from_secs(5))),
    };
    let mut life = LifecycleLimits::default();
    life.idle = script.pick([None, Some(0), Some(200)]).map(Duration::from_secs);
    life.linger = Duration::from_millis(script.pick([2000, 0, 100]));
    life.yielding = Duration::from_millis(script.pick([100, 0, 5000]));
    config.life = life;
    (config, security)
}

/// One limit for every wait.
fn every(limit: Option<Duration>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    (timeouts.write_stall, timeouts.continue_wait, timeouts.response_head) = (limit, limit, limit);
    (timeouts.body_gap, timeouts.exchange) = (limit, limit);
    (timeouts.upgrade_idle, timeouts.upgrade_half_closed) = (limit, limit);
    timeouts
}

/// The four ways to close.
pub fn mode(choice: usize) -> CloseMode {
    [CloseMode::graceful(), CloseMode::half(), CloseMode::now(), CloseMode::abort()][choice]
}

/// How a peer's side can end, its last word still to be taken or taken already.
pub fn read_end(script: &mut Script<'_>, security: Security, silenced: bool) -> TransportEnd {
    use TransportEnd::{Alert, BareFin, Broken, CloseNotify, Failed, Fin, Reset};
    match (security, silenced) {
        (Security::Plain, _) | (_, true) => script.pick([Fin, Reset, Failed(ErrorKind::TimedOut)]),
        (Security::Tls, false) => script.pick([
            CloseNotify,
            BareFin,
            Alert(TlsAlert(80)),
            Broken("a record that is none"),
            Reset,
            Failed(ErrorKind::TimedOut),
        ]),
    }
}

/// How our side can end.
pub fn write_end(script: &mut Script<'_>) -> TransportEnd {
    script.pick([TransportEnd::Reset, TransportEnd::Failed(ErrorKind::BrokenPipe)])
}

/// Trailers of a request: one that may be sent, and one that may not.
pub fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("7"));
    trailers.insert("content-length", HeaderValue::from_static("7"));
    trailers
}
