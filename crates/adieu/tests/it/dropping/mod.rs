//! What is dropped, and what becomes of the connection: the table of the design, row by row; and whatever can be
//! cancelled, cancelled at each of its steps.

mod cancelled;
mod elsewhere;
mod holders;
mod requests;
mod responses;

use std::time::Duration;

use adieu::conn::http1::{Builder, Connection, SendRequest};
use adieu::{CloseReason, CloseReport, Ended, Signal, State};
use adieu_testkit::memory::MemoryEnd;

use crate::support::{ask, in_memory_with, in_time, read, watch_for_hangs};

const SMALL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const LONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

async fn connect() -> (SendRequest, Connection, MemoryEnd) {
    connect_with(&Builder::new()).await
}

async fn connect_with(builder: &Builder) -> (SendRequest, Connection, MemoryEnd) {
    watch_for_hangs();
    in_memory_with(builder).await
}

/// The connection can be used: one whole exchange more.
async fn assert_usable(sender: &mut SendRequest, peer: &mut MemoryEnd) {
    assert_eq!(read(ask(sender, peer, SMALL).await).await.unwrap(), "hi");
}

/// Cut short: RST, and no FIN.
async fn assert_reset(connection: &Connection, peer: &mut MemoryEnd, reason: CloseReason) -> CloseReport {
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Reset);
    let report = in_time(connection.closed()).await;
    assert_eq!((&report.reason, report.ended), (&reason, Ended::Aborted), "{report}");
    assert!(report.sent.contains(Signal::Rst) && !report.sent.contains(Signal::Fin), "{report}");
    report
}

/// In order: FIN, and the peer's is waited for.
async fn assert_goodbye(connection: &Connection, peer: &mut MemoryEnd, reason: CloseReason) -> CloseReport {
    assert_eq!(in_time(peer.read_until_end()).await.unwrap().1, adieu_testkit::Ended::Fin);
    assert_eq!(connection.state(), State::Lingering);
    peer.fin().await.unwrap();
    let report = in_time(connection.closed()).await;
    assert_eq!((&report.reason, report.ended), (&reason, Ended::Clean), "{report}");
    assert!(report.sent.contains(Signal::Fin) && !report.sent.contains(Signal::Rst), "{report}");
    report
}
