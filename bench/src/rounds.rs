//! Timing, interleaved: in every round each client has its turn, so that what the machine does meanwhile hits all of
//! them; and each round begins with another client, so that none is always the first.

use serde::Serialize;

use crate::Error;
use crate::child::Server;
use crate::clients::Client;
use crate::drive::{self, Length, Load};
use crate::level::{Level, Measure};
use crate::progress::Progress;
use crate::row::{Plan, Row};
use crate::targets::{Figure, Verdict, verdicts};

pub(crate) struct Rounds {
    pub(crate) level: Level,
    /// Nobody: those of each row.
    pub(crate) clients: Vec<Client>,
    pub(crate) connections: Option<u32>,
    pub(crate) length: Length,
    pub(crate) rounds: u32,
}

/// All rounds of one row.
#[derive(Debug, Serialize)]
pub(crate) struct Timed {
    pub(crate) row: Row,
    pub(crate) suite: Option<&'static str>,
    pub(crate) connections: u32,
    /// Of every client in the order of the tables, the turns in the order of the rounds.
    pub(crate) clients: Vec<Turns>,
    /// Of the first client to each of the others, round by round.
    pub(crate) ratios: Vec<Ratio>,
    /// Of the medians.
    pub(crate) verdicts: Vec<Verdict>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Turns {
    pub(crate) client: Client,
    pub(crate) requests_per_second: Spread,
    pub(crate) turns: Vec<Turn>,
}

/// One client in one round.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Turn {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Ratio {
    pub(crate) of: Client,
    pub(crate) to: Client,
    pub(crate) throughput: Spread,
}

/// Median and range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Rounds {
    pub(crate) fn run(
        &self,
        rows: &[Row],
        server: &Server,
        progress: &Progress,
    ) -> Result<Vec<Timed>, Error> {
        let runtime = drive::runtime()?;
        let mut timed = Vec::new();
        for &row in rows {
            let connections = self.connections.unwrap_or_else(|| row.connections());
            let load = Load { plan: Plan::new(row, server.listening())?, connections, length: self.length };
            let clients = self.level.chosen(&self.clients, row, Measure::Timed)?;
            let mut turns = vec![Vec::new(); clients.len()];
            for round in 0..self.rounds as usize {
                for turn in 0..clients.len() {
                    let index = (round + turn) % clients.len();
                    let client = clients[index];
                    progress.show(&format!("{} {}/{} {client}", row.name(), round + 1, self.rounds));
                    let outcome = runtime.block_on(load.put_on(self.level, client))?;
                    let seconds = outcome.elapsed.as_secs_f64();
                    turns[index].push(Turn { requests: outcome.requests, seconds });
                }
            }
            timed.push(summed_up(self.level, row, connections, &clients, turns));
        }
        Ok(timed)
    }
}

fn summed_up(level: Level, row: Row, connections: u32, clients: &[Client], turns: Vec<Vec<Turn>>) -> Timed {
    let rates: Vec<Vec<f64>> = turns.iter().map(|turns| turns.iter().map(Turn::rate).collect()).collect();
    let ratios: Vec<Ratio> = (1..clients.len())
        .map(|other| Ratio {
            of: clients[0],
            to: clients[other],
            throughput: Spread::of(rates[0].iter().zip(&rates[other]).map(|(one, other)| one / other)),
        })
        .collect();
    let clients = (clients.iter().zip(turns).zip(rates))
        .map(|((&client, turns), rates)| Turns { client, requests_per_second: Spread::of(rates), turns })
        .collect();
    let verdicts = verdicts(level, row, |target| {
        let same = |ratio: &&Ratio| ratio.of == target.of && ratio.to == target.to;
        (target.figure == Figure::Throughput).then(|| Some(ratios.iter().find(same)?.throughput.median))?
    });
    Timed { row, suite: row.suite(), connections, clients, ratios, verdicts }
}

impl Turn {
    fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }
}

impl Spread {
    /// Of at least one value.
    fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (last, middle) = (values.len() - 1, values.len() / 2);
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Self { median, low: values[0], high: values[last] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_median_and_range() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, low: 1.0, high: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), Spread { median: 2.5, low: 1.0, high: 4.0 });
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let turns = |requests: [u64; 3]| requests.map(|requests| Turn { requests, seconds: 1.0 }).to_vec();
        let turns = vec![turns([10, 100, 40]), turns([20, 100, 50])];
        let timed = summed_up(Level::Conn, Row::Small, 1, &[Client::Hyper, Client::Bare], turns);
        assert_eq!(timed.clients[0].requests_per_second.median, 40.0);
        assert_eq!(timed.ratios[0].throughput, Spread { median: 0.8, low: 0.5, high: 1.0 });
    }
}
