//! At which level clients are compared, and who takes part there.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

use crate::Error;
use crate::clients::Client;
use crate::row::{Row, Security};

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// One connection for each task.
    Conn,
    /// One client with a pool for all tasks.
    Client,
}

/// How a row is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Measure {
    Timed,
    Counted,
}

impl Level {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Conn => "conn",
            Self::Client => "client",
        }
    }

    /// Who takes part in a row: whoever was named, else all that are comparable there.
    pub(crate) fn chosen(self, named: &[Client], row: Row, measure: Measure) -> Result<Vec<Client>, Error> {
        if let Some(stranger) = named.iter().find(|client| !self.all().contains(client)) {
            return Err(format!("{stranger} does not take part in `bench {self}`").into());
        }
        if !named.is_empty() {
            return Ok(named.to_vec());
        }
        Ok((self.all().iter().copied())
            .filter(|client| match (self, client) {
                // With its pool it is no connection; but who else has TLS?
                (Self::Conn, Client::Reqwest) => row.security() == Security::Tls,
                // By name only: it is there to be compared with adieu.
                (Self::Client, Client::AdieuObserved) => false,
                (Self::Client, Client::Ureq) => measure == Measure::Timed,
                _ => true,
            })
            .collect())
    }

    /// Who could take part, in the order of the tables.
    fn all(self) -> &'static [Client] {
        match self {
            Self::Conn => &[Client::Adieu, Client::Hyper, Client::Reqwest, Client::Bare],
            Self::Client => POOLED,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

const POOLED: &[Client] =
    &[Client::Adieu, Client::AdieuObserved, Client::HyperUtil, Client::Reqwest, Client::Ureq, Client::Bare];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocking_client_is_timed_and_not_counted() {
        let chosen = |measure| Level::Client.chosen(&[], Row::Small, measure).unwrap();
        assert!(chosen(Measure::Timed).contains(&Client::Ureq));
        assert!(!chosen(Measure::Counted).contains(&Client::Ureq));
    }

    #[test]
    fn only_who_is_of_a_level_takes_part_in_it() {
        assert!(Level::Client.chosen(&[Client::Hyper], Row::Small, Measure::Timed).is_err());
        assert!(Level::Conn.chosen(&[Client::HyperUtil], Row::Small, Measure::Timed).is_err());
        let named = [Client::Bare, Client::Reqwest];
        assert_eq!(Level::Conn.chosen(&named, Row::Small, Measure::Timed).unwrap(), named);
    }
}
