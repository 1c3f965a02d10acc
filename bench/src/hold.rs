//! The process whose idle connections are measured: one client, so many connections, one small exchange on each.
//!
//! It opens one connection first, so that what comes once is there; opens the others; lets them be idle for a while; says
//! in one line of JSON what it held before and after; and does nothing more until its standard input ends. Nothing of
//! its own ticks meanwhile: it waits for that as its connections wait for their peer.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::unix::pipe;

use crate::Error;
use crate::allocations;
use crate::clients::bare::Bare;
use crate::clients::{Client, Connection, Exchange, Job, Pooled, pooled};
use crate::drive::{gather, runtime};
use crate::process::{Holding, raise_descriptors};
use crate::row::{Plan, Row, Sends};
use crate::server::Listening;

/// What a process held: with one connection, and with all of them idle.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Held {
    one: Holding,
    all: Holding,
}

impl Held {
    /// How many sockets were opened in between.
    pub(crate) fn sockets(self) -> i64 {
        self.all.descriptors - self.one.descriptors
    }

    /// Bytes allocated for each of them.
    pub(crate) fn heap(self) -> f64 {
        self.each(self.all.heap - self.one.heap)
    }

    /// Bytes resident for each of them.
    pub(crate) fn resident(self) -> f64 {
        self.each(self.all.resident - self.one.resident)
    }

    fn each(self, bytes: i64) -> f64 {
        bytes as f64 / self.sockets() as f64
    }
}

pub(crate) fn hold(client: Client, connections: u32, server: &Listening) -> Result<(), Error> {
    allocations::start_counting();
    raise_descriptors()?;
    runtime()?.block_on(async {
        let plan = Plan::new(Row::Small, server)?;
        match client {
            Client::Bare => bare(&plan, connections).await,
            _ => pooled(client, Sends::Nothing, Hold { plan, connections }).await,
        }
    })
}

struct Hold {
    plan: Arc<Plan>,
    connections: u32,
}

impl Job for Hold {
    type Done = ();

    async fn with<C: Pooled>(self) -> Result<(), Error> {
        let client = C::new(&self.plan, self.connections)?;
        gather(&client, &self.plan, 1).await?;
        let one = Holding::now()?;
        gather(&client, &self.plan, self.connections).await?;
        tell_and_wait(one).await
    }
}

/// The sockets alone: no buffer is kept.
async fn bare(plan: &Plan, connections: u32) -> Result<(), Error> {
    let mut held: Vec<TcpStream> = Vec::with_capacity(connections as usize);
    let mut one = None;
    for _ in 0..connections {
        let mut connection = Bare::open(plan).await?;
        connection.exchange(plan).await?;
        held.push(connection.into_stream());
        if one.is_none() {
            one = Some(Holding::now()?);
        }
    }
    tell_and_wait(one.ok_or("no connection")?).await
}

async fn tell_and_wait(one: Holding) -> Result<(), Error> {
    tokio::time::sleep(IDLE).await;
    let held = Held { one, all: Holding::now()? };
    println!("{}", serde_json::to_string(&held)?);
    io::stdout().flush()?;
    let mut stdin = pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
    stdin.read_to_end(&mut Vec::new()).await?;
    Ok(())
}

/// How long connections are idle before anything is measured.
const IDLE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_told_for_each_socket_opened_in_between() {
        let holding = |heap, resident, descriptors| Holding { heap, resident, descriptors };
        let held = Held { one: holding(1000, 4096, 8), all: holding(5000, 12_288, 12) };
        assert_eq!((held.sockets(), held.heap(), held.resident()), (4, 1000.0, 2048.0));
    }
}
