//! The rows of `churn`: how a server ends its connections, over which wire, with TLS or without; and how often it is asked.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Serialize, Serializer};

use crate::row::Security;

/// A server, and how it ends its connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Server {
    /// After [`IDLE_LIMIT`] without a request.
    NginxIdle,
    /// After [`REQUESTS_LIMIT`] requests, the last of which it answers with `close`.
    NginxRequests,
    /// When it reads its configuration again, which it does all the time.
    NginxReload,
    HaproxyReload,
    ApacheReload,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Wire {
    Loopback,
    /// With a round trip of [`ROUND_TRIP`].
    Slow,
}

/// What the clients are measured against.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    pub(crate) server: Server,
    pub(crate) wire: Wire,
    pub(crate) security: Security,
}

/// Whether a server is reloaded while it answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reloads {
    Never,
    Every(Duration),
}

/// How long a task does nothing between two requests: at random between these.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Pauses {
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
}

impl Serialize for Pauses {
    /// In milliseconds.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq([self.shortest, self.longest].map(|pause| pause.as_secs_f64() * 1e3))
    }
}

impl Server {
    pub(crate) fn reloads(self) -> Reloads {
        match self {
            Self::NginxIdle | Self::NginxRequests => Reloads::Never,
            Self::NginxReload | Self::HaproxyReload | Self::ApacheReload => Reloads::Every(RELOADED_EVERY),
        }
    }
}

impl Wire {
    pub(crate) fn round_trip(self) -> Duration {
        match self {
            Self::Loopback => Duration::ZERO,
            Self::Slow => ROUND_TRIP,
        }
    }
}

impl Row {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let (servers, wires) = (Server::value_variants(), Wire::value_variants());
        let securities = Security::value_variants();
        servers.iter().flat_map(move |&server| {
            wires.iter().flat_map(move |&wire| {
                securities.iter().map(move |&security| Self { server, wire, security })
            })
        })
    }

    pub(crate) fn pauses(self) -> Pauses {
        match self.server {
            // Around the limit itself: the pool is shared, so that no connection is idle for exactly a pause. Over the slow
            // wire a client that knows nothing of the race loses about 1 % so.
            Server::NginxIdle => {
                Pauses { shortest: IDLE_LIMIT - AROUND_LIMIT, longest: IDLE_LIMIT + AROUND_LIMIT }
            }
            _ => Pauses { shortest: Duration::ZERO, longest: SHORT_PAUSE },
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, wire, security } = self;
        f.pad(&format!("{}/{}/{}", word(server), word(wire), word(security)))
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Rows by what they have in common: `nginx-idle/slow`. What is not said may be anything.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Selection {
    server: Option<Server>,
    wire: Option<Wire>,
    security: Option<Security>,
}

impl Selection {
    pub(crate) fn has(self, row: Row) -> bool {
        self.server.is_none_or(|server| server == row.server)
            && self.wire.is_none_or(|wire| wire == row.wire)
            && self.security.is_none_or(|security| security == row.security)
    }
}

impl FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut selection = Self::default();
        for said in text.split('/') {
            if let Ok(server) = Server::from_str(said, false) {
                selection.server = Some(server);
            } else if let Ok(wire) = Wire::from_str(said, false) {
                selection.wire = Some(wire);
            } else if let Ok(security) = Security::from_str(said, false) {
                selection.security = Some(security);
            } else {
                let known = [words::<Server>(), words::<Wire>(), words::<Security>()].concat();
                return Err(format!("{said:?} is none of {}", known.join(", ")));
            }
        }
        Ok(selection)
    }
}

/// As it is called on the command line.
pub(crate) fn word<V: ValueEnum>(value: &V) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn words<V: ValueEnum>() -> Vec<String> {
    V::value_variants().iter().map(word).collect()
}

/// How long nginx keeps a connection that does nothing, where it keeps few.
pub(crate) const IDLE_LIMIT: Duration = Duration::from_millis(100);
/// How many requests nginx answers on a connection, where it answers few.
pub(crate) const REQUESTS_LIMIT: u32 = 20;
const ROUND_TRIP: Duration = Duration::from_millis(20);
const AROUND_LIMIT: Duration = Duration::from_millis(50);
const SHORT_PAUSE: Duration = Duration::from_millis(20);
const RELOADED_EVERY: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_selected_by_what_they_have_in_common() {
        let count = |text: &str| {
            let selection: Selection = text.parse().unwrap();
            Row::all().filter(|&row| selection.has(row)).count()
        };
        assert_eq!((count("nginx-idle"), count("slow/tls"), count("nginx-idle/slow/tls")), (4, 5, 1));
        assert!(Row::all().all(|row| row.to_string().parse::<Selection>().unwrap().has(row)));
        assert!(
            "nginx-idle/fast".parse::<Selection>().unwrap_err().starts_with("\"fast\" is none of nginx-idle")
        );
    }
}
