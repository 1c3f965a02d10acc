//! The client and its pool, with the servers' own counts as judges.

mod addresses;
mod apache;
mod ends;
mod haproxy;
mod proxies;
mod shared;
mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;

use adieu::observe::{Events, Happening, Told};
use adieu::{Client, CloseReport, ResponseExt};
use interop::Output;

/// What `/hello` is.
const HELLO: &str = "hello, world\n";

/// One exchange, which must go well.
async fn hello(client: &Client, url: &str) {
    let response = client.get(url).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), HELLO);
}

/// How a status and a body came.
async fn ask(client: &Client, url: &str) -> (u16, String) {
    let response = client.get(url).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// The report of the next connection that is gone.
async fn next_gone(events: &mut Events) -> Arc<CloseReport> {
    loop {
        match events.next().await {
            Some(Told::Event(event)) => {
                if let Happening::Closed { report } = event.what {
                    return report;
                }
            }
            other => panic!("no report but {other:?}"),
        }
    }
}

/// The reports of all that are gone by now.
fn all_gone(events: &mut Events) -> Vec<Arc<CloseReport>> {
    let mut reports = Vec::new();
    while let Some(told) = events.try_next() {
        match told {
            Told::Event(event) => {
                if let Happening::Closed { report } = event.what {
                    reports.push(report);
                }
            }
            missed => panic!("{missed:?}"),
        }
    }
    reports
}

/// Which requests came on which connection, by the log of nginx: the numbers that it gave them, in order.
fn visits(log: &Output) -> BTreeMap<u64, Vec<u64>> {
    let mut visits = BTreeMap::<_, Vec<_>>::new();
    for line in log.text().lines().filter(|line| line.starts_with("access:")) {
        let numbers = line.split_once(", connection ").unwrap().1.trim_end_matches('.');
        let (connection, request) = numbers.split_once(", request ").unwrap();
        visits.entry(connection.parse().unwrap()).or_default().push(request.parse().unwrap());
    }
    visits
}

/// Those of a connection that did so many exchanges.
fn up_to(last: usize) -> Vec<u64> {
    (1..=last as u64).collect()
}
