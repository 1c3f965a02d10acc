//! One connection at a time: the low level, with the names that hyper's users know.
//!
//! [`http1`] has the handshake, the sender and the response future. [`Connection`] is the handle of any
//! connection: ask it, watch it, close it. Nothing needs to be spawned.

pub mod body;
mod handle;
pub mod http1;
mod incoming;
pub(crate) mod info;
mod reader;
mod request;
mod response;
mod upgraded;

pub use handle::{Closing, Connection, Watch};
pub(crate) use request::{Again, Mark, Outgoing, apart};
pub(crate) use response::{OnInterim, Sending, Stage as SendingStage};
pub use upgraded::Upgraded;
