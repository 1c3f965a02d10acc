//! One load: a client, a row, so many connections, so long.
//!
//! Every connection is opened and warmed with one exchange before the clock starts, then has a task that asks as
//! fast as it is answered. All tasks are on one thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
use crate::clients::{Client, Connection};
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

/// Puts a load on one client.
pub(crate) async fn drive(
    client: Client,
    plan: &Arc<Plan>,
    connections: u32,
    length: Length,
) -> Result<Outcome, Error> {
    let outcome = match (client, plan.row.sends()) {
        (Client::Adieu, Sends::Nothing) => load::<Adieu<Empty<Bytes>>>(plan, connections, length).await,
        (Client::Adieu, Sends::Upload) => load::<Adieu<Full<Bytes>>>(plan, connections, length).await,
        (Client::Hyper, Sends::Nothing) => load::<Hyper<Empty<Bytes>>>(plan, connections, length).await,
        (Client::Hyper, Sends::Upload) => load::<Hyper<Full<Bytes>>>(plan, connections, length).await,
        (Client::Reqwest, _) => load::<Reqwest>(plan, connections, length).await,
        (Client::Bare, _) => match plan.row.security() {
            Security::Plain => load::<Bare<TcpStream>>(plan, connections, length).await,
            Security::Tls => load::<Bare<TlsStream<TcpStream>>>(plan, connections, length).await,
        },
    };
    outcome.map_err(|error| format!("{client}, {}: {error}", plan.row.name()).into())
}

async fn load<C: Connection>(plan: &Arc<Plan>, connections: u32, length: Length) -> Result<Outcome, Error> {
    let mut opened = Vec::new();
    for _ in 0..connections {
        let mut connection = C::open(plan).await?;
        connection.exchange(plan).await?;
        opened.push(connection);
    }

    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for (index, connection) in (0..connections).zip(opened) {
        let most = match length {
            Length::Requests(requests) => share(requests, connections, index),
            Length::Time(_) => u64::MAX,
        };
        tasks.spawn(keep_asking(connection, Arc::clone(plan), most, Arc::clone(&stop)));
    }
    if let Length::Time(time) = length {
        tokio::time::sleep(time).await;
        stop.store(true, Ordering::Relaxed);
    }
    let mut requests = 0;
    let mut asked = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let (connection, done) = ended??;
        requests += done;
        asked.push(connection);
    }
    let elapsed = started.elapsed();

    for connection in asked {
        connection.close().await?;
    }
    Ok(Outcome { requests, elapsed })
}

/// Gives the connection back, so that its close is not part of what is timed.
async fn keep_asking<C: Connection>(
    mut connection: C,
    plan: Arc<Plan>,
    most: u64,
    stop: Arc<AtomicBool>,
) -> Result<(C, u64), Error> {
    let mut done = 0;
    while done < most && !stop.load(Ordering::Relaxed) {
        connection.exchange(&plan).await?;
        done += 1;
    }
    Ok((connection, done))
}

fn share(requests: u64, connections: u32, index: u32) -> u64 {
    let (connections, index) = (u64::from(connections), u64::from(index));
    requests / connections + u64::from(index < requests % connections)
}

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
