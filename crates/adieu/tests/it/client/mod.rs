//! The client: requests to any origin over connections that are kept, bounded, watched and closed on purpose.

mod bad_input;
mod bodies;
mod building;
mod counting;
mod net;
mod smoke;
mod timeouts;
mod watch;
