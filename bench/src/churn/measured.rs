//! What one client did in one row, as numbers, and whether adieu did there what it must.

use std::collections::BTreeMap;
use std::time::Duration;

use ::adieu::Fate;
use serde::Serialize;

use super::contenders::Contender;
use super::row::{Pauses, Row, Server};
use super::servers::Served;
use super::traffic::{Ended, Method, Tally};

/// One client in one row.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) row: Row,
    pub(crate) client: Contender,
    pub(crate) seed: u64,
    pub(crate) tasks: u32,
    pub(crate) pauses: Pauses,
    pub(crate) seconds: f64,
    pub(crate) connections_opened: u64,
    pub(crate) reloads: u32,
    /// GET and POST.
    pub(crate) methods: [Figures; 2],
    /// Which musts were broken.
    pub(crate) broken: Vec<String>,
}

/// The requests of one method.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) method: Method,
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// By what the client said.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Failures of which the client said that it does not know whether the server acted on them; only adieu tells.
    pub(crate) failed_of_unknown_fate: u64,
    /// Requests sent again, if the client tells.
    pub(crate) replays: Option<u64>,
    /// Requests that the server processed, however often.
    pub(crate) processed: u64,
    pub(crate) processed_twice: u64,
    /// Requests that the server processed and whose client was told that they failed.
    pub(crate) failed_but_processed: u64,
    /// Those among them of which the client said that the server certainly did not: only adieu does.
    pub(crate) wrongly_certain: u64,
}

/// What the row was measured with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) row: Row,
    pub(crate) client: Contender,
    pub(crate) seed: u64,
    pub(crate) tasks: u32,
}

impl Measured {
    pub(crate) fn new(how: How, ended: &Ended, served: &Served, connections_opened: u64) -> Self {
        let How { row, client, seed, tasks } = how;
        let figures = |method, tally| Figures::new(client, method, tally, served);
        let methods = [figures(Method::Get, &ended.gets), figures(Method::Post, &ended.posts)];
        let mut broken = match client {
            Contender::Adieu => broken(row, &methods),
            _ => Vec::new(),
        };
        for figures in methods.iter().filter(|figures| figures.wrongly_certain > 0) {
            let (wrong, method) = (figures.wrongly_certain, figures.method.name());
            broken.push(format!("{wrong} {method}s were processed that certainly were not, it said"));
        }
        Self {
            row,
            client,
            seed,
            tasks,
            pauses: row.pauses(),
            seconds: rounded(ended.elapsed),
            connections_opened,
            reloads: served.reloads,
            methods,
            broken,
        }
    }
}

fn rounded(time: Duration) -> f64 {
    time.as_millis() as f64 / 1e3
}

impl Figures {
    fn new(client: Contender, method: Method, tally: &Tally, served: &Served) -> Self {
        let (failed, processed) = (&tally.failed, &served.processed);
        let unknown = failed.iter().filter(|(_, failure)| failure.fate() == Some(Fate::Unknown)).count();
        let but_processed: Vec<Option<Fate>> = (failed.iter())
            .filter(|&&(number, _)| processed.has(number))
            .map(|(_, failure)| failure.fate())
            .collect();
        let denied = |fate: &&_| matches!(fate, Some(Fate::NotSent | Fate::NotProcessed(_)));
        let wrongly_certain = but_processed.iter().filter(denied).count();
        Self {
            method,
            requests: tally.requests,
            failed: failed.len() as u64,
            failures: tally.failures(),
            failed_of_unknown_fate: unknown as u64,
            replays: client.is_adieu().then_some(tally.replays),
            processed: processed.at_least(1, method),
            processed_twice: processed.at_least(2, method),
            failed_but_processed: but_processed.len() as u64,
            wrongly_certain: wrongly_certain as u64,
        }
    }
}

/// Which of adieu's musts do not hold; `churn --help` tells them.
fn broken(row: Row, [gets, posts]: &[Figures; 2]) -> Vec<String> {
    let mut broken = Vec::new();
    let mut must = |holds: bool, what: String| {
        if !holds {
            broken.push(what);
        }
    };
    must(gets.failed == 0, format!("{} GETs failed", gets.failed));
    let certain = posts.failed - posts.failed_of_unknown_fate;
    must(certain == 0, format!("{certain} POSTs failed whose fate was certain"));
    let most = (posts.requests * UNKNOWN_POSTS_IN_10_000).div_ceil(10_000);
    let failed = format!("{} POSTs of {} failed, more than {most}", posts.failed, posts.requests);
    must(row.server != Server::NginxIdle || posts.failed <= most, failed);
    must(posts.processed_twice == 0, format!("{} POSTs were processed twice", posts.processed_twice));
    broken
}

/// How many POSTs may fail where the server ends idle connections.
const UNKNOWN_POSTS_IN_10_000: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(method: Method, failed: u64, unknown: u64, twice: u64) -> Figures {
        Figures {
            method,
            requests: 10_000,
            failed,
            failures: BTreeMap::new(),
            failed_of_unknown_fate: unknown,
            replays: None,
            processed: 10_000,
            processed_twice: twice,
            failed_but_processed: 0,
            wrongly_certain: 0,
        }
    }

    #[test]
    fn each_must_is_told_when_it_is_broken() {
        let row = |name: &str| Row::all().find(|row| row.to_string() == name).unwrap();
        let (idle, reload) = (row("nginx-idle/slow/tls"), row("nginx-reload/loopback/plain"));
        let told = |row, gets, posts| {
            let [get, post] = [(Method::Get, gets), (Method::Post, posts)]
                .map(|(method, (failed, unknown, twice))| figures(method, failed, unknown, twice));
            broken(row, &[get, post])
        };
        assert_eq!(told(idle, (0, 0, 9), (2, 2, 0)), [""; 0]);
        assert_eq!(told(reload, (0, 0, 0), (90, 90, 0)), [""; 0]);
        assert_eq!(told(idle, (1, 1, 0), (0, 0, 0)), ["1 GETs failed"]);
        assert_eq!(told(idle, (0, 0, 0), (3, 3, 0)), ["3 POSTs of 10000 failed, more than 2"]);
        assert_eq!(
            told(reload, (0, 0, 0), (2, 1, 1)),
            ["1 POSTs failed whose fate was certain", "1 POSTs were processed twice"]
        );
    }
}
