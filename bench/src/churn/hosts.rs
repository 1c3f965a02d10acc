//! Where the two ends of a wire are: which address the server has there, and how a thread comes to be there.

use std::net::Ipv4Addr;

use interop::{Lab, LabConfig};

use super::row::Wire;
use crate::Error;

/// The two ends of one wire.
pub(crate) enum Hosts {
    /// Both are this machine.
    Loopback,
    Lab(Box<Lab>),
}

impl Hosts {
    /// Lays the wire; fails where this machine cannot.
    pub(crate) fn joined_by(wire: Wire) -> Result<Self, Error> {
        match wire {
            Wire::Loopback => Ok(Self::Loopback),
            Wire::Slow => Ok(Self::Lab(Box::new(Lab::start(LabConfig::new(wire.round_trip() / 2))?))),
        }
    }

    /// Where the server is to listen.
    pub(crate) fn server_address(&self) -> Ipv4Addr {
        match self {
            Self::Loopback => Ipv4Addr::LOCALHOST,
            Self::Lab(lab) => lab.server_address(),
        }
    }

    /// Moves the calling thread to the client's end, for good: what it opens and starts from now on is there.
    pub(crate) fn enter_client(&self) {
        match self {
            Self::Loopback => {}
            Self::Lab(lab) => lab.enter_client(),
        }
    }

    /// Moves the calling thread to the server's end, for good.
    pub(crate) fn enter_server(&self) {
        match self {
            Self::Loopback => {}
            Self::Lab(lab) => lab.enter_server(),
        }
    }
}
