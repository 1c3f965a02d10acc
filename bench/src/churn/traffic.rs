//! The traffic of `churn`: tasks that send, read the answer whole, and pause, sharing one client and all requests.
//!
//! Requests are numbered from 0; the even ones are GETs, the odd ones POSTs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;

use super::contenders::{Pool, Refused};
use super::dice::Dice;
use super::row::Pauses;
use crate::Error;

/// A request, as the server's log calls it too.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Number(pub(crate) u64);

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Method {
    Get,
    Post,
}

impl Number {
    pub(crate) fn method(self) -> Method {
        if self.0.is_multiple_of(2) { Method::Get } else { Method::Post }
    }
}

impl Method {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    pub(crate) tasks: u32,
    /// Of each method.
    pub(crate) requests: u64,
    pub(crate) pauses: Pauses,
    pub(crate) seed: u64,
}

/// What became of all requests.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) gets: Tally,
    pub(crate) posts: Tally,
    pub(crate) elapsed: Duration,
}

/// What became of the requests of one method.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    /// How often they were sent again, by a client that tells.
    pub(crate) replays: u64,
    pub(crate) failed: Vec<(Number, Refused)>,
}

impl Tally {
    /// The failures by what the client said of them.
    pub(crate) fn failures(&self) -> BTreeMap<String, u64> {
        let mut failures = BTreeMap::new();
        for (_, failure) in &self.failed {
            *failures.entry(failure.to_string()).or_default() += 1;
        }
        failures
    }

    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.replays += other.replays;
        self.failed.extend(other.failed);
    }
}

impl Ended {
    fn tally(&mut self, method: Method) -> &mut Tally {
        match method {
            Method::Get => &mut self.gets,
            Method::Post => &mut self.posts,
        }
    }

    fn add(&mut self, other: Self) {
        self.gets.add(other.gets);
        self.posts.add(other.posts);
    }
}

impl Traffic {
    /// Puts it on a client; `show` is told now and then how many requests have begun.
    pub(crate) async fn put_on(self, pool: &Arc<Pool>, show: impl Fn(u64)) -> Result<Ended, Error> {
        let begun = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        let started = Instant::now();
        for task in 0..self.tasks {
            let (pool, begun) = (Arc::clone(pool), Arc::clone(&begun));
            tasks.spawn(async move { self.ask(task, &pool, &begun).await });
        }
        let mut all = Ended::default();
        let mut ticks = tokio::time::interval(SHOWN_EVERY);
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    Some(ended) => all.add(ended?),
                    None => break,
                },
                _ = ticks.tick() => show(begun.load(Ordering::Relaxed).min(2 * self.requests)),
            }
        }
        all.elapsed = started.elapsed();
        Ok(all)
    }

    /// One task.
    async fn ask(self, task: u32, pool: &Pool, begun: &AtomicU64) -> Ended {
        let mut dice = Dice::new(self.seed, task);
        let mut ended = Ended::default();
        loop {
            tokio::time::sleep(dice.pause(self.pauses)).await;
            let number = Number(begun.fetch_add(1, Ordering::Relaxed));
            if number.0 >= 2 * self.requests {
                return ended;
            }
            let asked = tokio::time::timeout(PATIENCE, pool.ask(number)).await;
            let tally = ended.tally(number.method());
            tally.requests += 1;
            match asked.unwrap_or(Err(Refused::Late(PATIENCE))) {
                Ok(answered) => tally.replays += u64::from(answered.replays),
                Err(failure) => {
                    tally.replays += u64::from(failure.replays());
                    tally.failed.push((number, failure));
                }
            }
        }
    }
}

impl Default for Ended {
    fn default() -> Self {
        Self { gets: Tally::default(), posts: Tally::default(), elapsed: Duration::ZERO }
    }
}

/// A request that takes longer has failed, whatever its client thinks.
const PATIENCE: Duration = Duration::from_secs(30);
const SHOWN_EVERY: Duration = Duration::from_millis(200);
