//! adieu against real servers.
