//! Where the two ends of a wire are: which addresses they have, and how a thread comes to be there.

use std::net::Ipv4Addr;

use super::row::Wire;
use crate::Error;

/// The two ends of one wire.
pub(crate) enum Hosts {
    /// Both are this machine.
    Loopback,
}

impl Hosts {
    /// Lays the wire; fails where this machine cannot.
    pub(crate) fn joined_by(wire: Wire) -> Result<Self, Error> {
        match wire {
            Wire::Loopback => Ok(Self::Loopback),
            Wire::Slow => Err("there is none yet".into()),
        }
    }

    /// Where the server is to listen.
    pub(crate) fn server_address(&self) -> Ipv4Addr {
        match self {
            Self::Loopback => Ipv4Addr::LOCALHOST,
        }
    }

    /// Moves the calling thread to the client's end: what it opens and starts from now on is there.
    pub(crate) fn enter_client(&self) -> Result<(), Error> {
        match self {
            Self::Loopback => Ok(()),
        }
    }

    /// Moves the calling thread to the server's end.
    pub(crate) fn enter_server(&self) -> Result<(), Error> {
        match self {
            Self::Loopback => Ok(()),
        }
    }
}
