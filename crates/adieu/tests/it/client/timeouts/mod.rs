//! Each limit of `adieu::Timeouts`, through the client: it passes at its moment, names its phase in one line, and `None`
//! never passes. On a paused clock; real sockets only where a kernel has to stay silent.

mod exchange;
mod keeping;
mod opening;
mod page;
mod waiting;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use adieu::observe::{Event, Happening};
use adieu::{Client, ClientBuilder, CloseReport, Error, ErrorKind, Phase, Timeouts};
use tokio::sync::Notify;

use super::net::{Arrivals, Net};
use crate::support::{clock, watch_for_hangs};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Everything off, so that a test turns on what it is about.
fn unlimited() -> Timeouts {
    let timeouts = Timeouts::new().resolve(None).connect(None).proxy(None).tls(None).pool(None);
    let timeouts = timeouts.write_stall(None).continue_wait(None).response_head(None).body_gap(None);
    timeouts.exchange(None).idle(None).age(None)
}

/// A client over memory with these limits alone, and the peers' ends.
fn client(timeouts: Timeouts) -> (Client, Arrivals) {
    watch_for_hangs();
    let (net, arrivals) = Net::new();
    (net.client(|builder| builder.timeouts(timeouts)), arrivals)
}

/// A timer of tokio's is due within a millisecond after its moment, never before.
#[track_caller]
fn assert_after(began: tokio::time::Instant, limit: Duration) {
    let took = clock().duration_since(began);
    assert!(took >= limit && took <= limit + ms(5), "after {took:?} instead of {limit:?}");
}

#[track_caller]
fn assert_timed_out(error: &Error, phase: Phase) {
    assert_eq!(error.kind(), ErrorKind::Timeout(phase), "{error:?}");
    assert!(error.is_timeout());
    let text = error.to_string();
    assert!(text.starts_with(&format!("timed out: {phase}")), "{text}");
    assert!(!text.contains('\n') && text.len() < 200, "{text}");
}

/// The reports of connections that are gone, as an observer hears of them.
#[derive(Clone, Default)]
struct Gone {
    reports: Arc<Mutex<Vec<CloseReport>>>,
    came: Arc<Notify>,
}

impl Gone {
    fn watch(&self, builder: ClientBuilder) -> ClientBuilder {
        let Self { reports, came } = self.clone();
        builder.observer(move |event: &Event| {
            if let Happening::Closed { report } = &event.what {
                reports.lock().unwrap().push((**report).clone());
                came.notify_one();
            }
        })
    }

    /// The last one, if there is one.
    fn take(&self) -> Option<CloseReport> {
        self.reports.lock().unwrap().pop()
    }

    /// The next one, the moment it comes.
    async fn next(&self) -> CloseReport {
        loop {
            match self.take() {
                Some(report) => return report,
                None => self.came.notified().await,
            }
        }
    }
}
