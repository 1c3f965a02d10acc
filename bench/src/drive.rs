//! One load: a client, a row, so many connections, so long.
//!
//! Every connection is opened and warmed with one exchange before the clock starts; then there is a task for each that
//! asks as fast as it is answered. All tasks are on one thread. A client with a pool is made to open as many connections
//! by requests that the server answers together. A client that blocks has threads instead.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{Empty, Full};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use crate::Error;
use crate::clients::adieu::Adieu;
use crate::clients::bare::Bare;
use crate::clients::hyper::Hyper;
use crate::clients::reqwest::Reqwest;
use crate::clients::ureq::{self, Ureq};
use crate::clients::{Client, Connection, Exchange, Job, Pooled, pooled};
use crate::level::Level;
use crate::row::{Plan, Security, Sends};

/// How long a load lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    /// So many requests, spread evenly over the connections.
    Requests(u64),
    /// Until this is over; requests that are under way then are finished, and counted.
    Time(Duration),
}

/// What a load came to, opening and closing left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    pub(crate) elapsed: Duration,
}

/// The one-threaded runtime that clients and server use.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// A load on whatever client.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) plan: Arc<Plan>,
    pub(crate) connections: u32,
    pub(crate) length: Length,
}

impl Load {
    /// Puts it on one client.
    pub(crate) async fn put_on(&self, level: Level, client: Client) -> Result<Outcome, Error> {
        let outcome = match (level, client, self.plan.row.sends()) {
            (_, Client::Bare, _) => match self.plan.row.security() {
                Security::Plain => self.on_each::<Bare<TcpStream>>().await,
                Security::Tls => self.on_each::<Bare<TlsStream<TcpStream>>>().await,
            },
            (Level::Conn, Client::Adieu, Sends::Nothing) => self.on_each::<Adieu<Empty<Bytes>>>().await,
            (Level::Conn, Client::Adieu, Sends::Upload) => self.on_each::<Adieu<Full<Bytes>>>().await,
            (Level::Conn, Client::Hyper, Sends::Nothing) => self.on_each::<Hyper<Empty<Bytes>>>().await,
            (Level::Conn, Client::Hyper, Sends::Upload) => self.on_each::<Hyper<Full<Bytes>>>().await,
            (Level::Conn, Client::Reqwest, _) => self.on_each::<Reqwest>().await,
            (Level::Conn, ..) => Err("no connection without a pool".into()),
            (Level::Client, Client::Ureq, _) => self.on_threads(),
            (Level::Client, _, sends) => pooled(client, sends, self).await,
        };
        outcome.map_err(|error| format!("{client}, {}: {error}", self.plan.row).into())
    }

    async fn on_each<C: Connection>(&self) -> Result<Outcome, Error> {
        let mut opened = Vec::new();
        for _ in 0..self.connections {
            let mut connection = C::open(&self.plan).await?;
            connection.exchange(&self.plan).await?;
            opened.push(connection);
        }
        let (asked, outcome) = self.ask(opened).await?;
        for connection in asked {
            connection.close().await?;
        }
        Ok(outcome)
    }

    /// One task for each of those who ask. They are given back, so that their close is not part of what is timed.
    async fn ask<E: Exchange>(&self, asking: Vec<E>) -> Result<(Vec<E>, Outcome), Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let started = Instant::now();
        for (index, client) in (0..self.connections).zip(asking) {
            tasks.spawn(keep_asking(client, Arc::clone(&self.plan), self.share(index), Arc::clone(&stop)));
        }
        if let Length::Time(time) = self.length {
            tokio::time::sleep(time).await;
            stop.store(true, Ordering::Relaxed);
        }
        let mut requests = 0;
        let mut asked = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            let (client, done) = ended??;
            requests += done;
            asked.push(client);
        }
        Ok((asked, Outcome { requests, elapsed: started.elapsed() }))
    }

    /// One thread for each connection, which is what a client that blocks needs.
    fn on_threads(&self) -> Result<Outcome, Error> {
        let client = Ureq::new(&self.plan, self.connections);
        let together = self.plan.gathering(self.connections)?;
        self.on_each_thread(|_, buffer| {
            client.exchange(&together, buffer)?;
            Ok(1)
        })?;
        let stop = &AtomicBool::new(false);
        let started = Instant::now();
        let requests = thread::scope(|scope| {
            if let Length::Time(time) = self.length {
                scope.spawn(move || {
                    thread::sleep(time);
                    stop.store(true, Ordering::Relaxed);
                });
            }
            self.on_each_thread(|most, buffer| {
                let mut done = 0;
                while done < most && !stop.load(Ordering::Relaxed) {
                    client.exchange(&self.plan, buffer)?;
                    done += 1;
                }
                Ok(done)
            })
        })?;
        Ok(Outcome { requests, elapsed: started.elapsed() })
    }

    /// The sum of what `ask` comes to, called with each connection's share and a buffer.
    fn on_each_thread(
        &self,
        ask: impl Fn(u64, &mut [u8]) -> Result<u64, Error> + Sync,
    ) -> Result<u64, Error> {
        thread::scope(|scope| {
            let ask = &ask;
            let threads: Vec<_> = (0..self.connections)
                .map(|index| scope.spawn(move || ask(self.share(index), &mut vec![0; ureq::BUFFER_LEN])))
                .collect();
            threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")?).sum()
        })
    }

    /// How many requests one of the connections has at most.
    fn share(&self, index: u32) -> u64 {
        match self.length {
            Length::Requests(requests) => share(requests, self.connections, index),
            Length::Time(_) => u64::MAX,
        }
    }
}

impl Job for &Load {
    type Done = Outcome;

    async fn with<C: Pooled>(self) -> Result<Outcome, Error> {
        let client = C::new(&self.plan, self.connections)?;
        gather(&client, &self.plan, self.connections).await?;
        let (asked, outcome) = self.ask(vec![client.clone(); self.connections as usize]).await?;
        drop(asked);
        client.close().await?;
        Ok(outcome)
    }
}

/// Makes a client open so many connections, by as many exchanges at once, and lets it put them into its pool.
pub(crate) async fn gather<C: Pooled>(client: &C, plan: &Plan, connections: u32) -> Result<(), Error> {
    let together = plan.gathering(connections)?;
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let (mut client, together) = (client.clone(), Arc::clone(&together));
        tasks.spawn(async move { client.exchange(&together).await });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    tokio::time::sleep(POOLED).await;
    Ok(())
}

async fn keep_asking<E: Exchange>(
    mut client: E,
    plan: Arc<Plan>,
    most: u64,
    stop: Arc<AtomicBool>,
) -> Result<(E, u64), Error> {
    let mut done = 0;
    while done < most && !stop.load(Ordering::Relaxed) {
        client.exchange(&plan).await?;
        done += 1;
    }
    Ok((client, done))
}

fn share(requests: u64, connections: u32, index: u32) -> u64 {
    let (connections, index) = (u64::from(connections), u64::from(index));
    requests / connections + u64::from(index < requests % connections)
}

/// Until the tasks of its connections have run.
const POOLED: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_up() {
        for requests in [0, 1, 7, 50, 123] {
            assert_eq!((0..7).map(|index| share(requests, 7, index)).sum::<u64>(), requests);
        }
    }
}
