//! Each phase has its limit: it passes at its moment, names itself, ends the connection as it should, and `None` never
//! passes. All on a paused clock.

mod alarm;
mod leaving;
mod receiving;
mod sending;

use std::time::Duration;

use adieu::conn::http1::{Builder, Connection, SendRequest};
use adieu::{CloseReason, Ended, Error, ErrorKind, Phase, Signal, State};
use adieu_testkit::memory::{MemoryEnd, PairBuilder};

use crate::support::{clock, in_memory_over, in_memory_with, in_time, post, watch_for_hangs};

const DAY: Duration = Duration::from_secs(86_400);
const SMALL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const LONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

async fn connect(builder: &Builder) -> (SendRequest, Connection, MemoryEnd) {
    watch_for_hangs();
    in_memory_with(builder).await
}

/// As many as fit before anything but the head was taken.
async fn connect_narrow(buffer: usize, builder: &Builder) -> (SendRequest, Connection, MemoryEnd) {
    watch_for_hangs();
    in_memory_over(PairBuilder::new().buffer(buffer), builder).await
}

/// A request that asks before it sends its body.
fn expecting(body: &'static str) -> http::Request<adieu::Body> {
    let mut request = post("/", body);
    request.headers_mut().insert("expect", http::HeaderValue::from_static("100-continue"));
    request
}

/// Everything off, so that a test turns on what it is about.
fn unlimited() -> Builder {
    let builder = Builder::new().write_stall_timeout(None).continue_timeout(None).response_head_timeout(None);
    builder.body_gap_timeout(None).exchange_timeout(None)
}

/// A timer of tokio's is due within a millisecond after its moment, never before.
#[track_caller]
fn assert_after(began: tokio::time::Instant, limit: Duration) {
    let took = clock().duration_since(began);
    assert!(took >= limit && took <= limit + ms(3), "after {took:?} instead of {limit:?}");
}

#[track_caller]
fn assert_timed_out(error: &Error, phase: Phase) {
    assert_eq!(error.kind(), ErrorKind::Timeout(phase), "{error:?}");
    assert!(error.is_timeout());
    let text = error.to_string();
    assert!(text.starts_with("timed out: ") && text.contains(&phase.to_string()), "{text}");
    assert!(!text.contains('\n'), "{text}");
    assert!(error.connection().is_some() && error.facts().is_some(), "{error:?}");
}

/// The request was cut short: the peer sees a reset, and no FIN before it.
async fn assert_reset(connection: &Connection, peer: &mut MemoryEnd, phase: Phase) {
    let report = in_time(connection.closed()).await;
    assert_eq!((&report.reason, report.ended), (&CloseReason::TimedOut(phase), Ended::Aborted), "{report}");
    assert!(report.sent.contains(Signal::Rst) && !report.sent.contains(Signal::Fin), "{report}");
    assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Reset);
}

/// The request was whole: the peer sees a FIN, and its own is waited for.
async fn assert_goodbye(connection: &Connection, peer: &mut MemoryEnd, phase: Phase) {
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
    assert_eq!(connection.state(), State::Lingering);
    peer.fin().await.unwrap();
    let report = in_time(connection.closed()).await;
    assert_eq!((&report.reason, report.ended), (&CloseReason::TimedOut(phase), Ended::Clean), "{report}");
    assert!(report.sent.contains(Signal::Fin) && !report.sent.contains(Signal::Rst), "{report}");
    assert_eq!(report.failed, 1, "{report}");
}
