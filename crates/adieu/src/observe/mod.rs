//! What is told of connections: events as they happen, to hooks and streams.
//!
//! | file | what it is for |
//! |---|---|
//! | `event` | what can happen: one typed enum |
//! | `observers` | who is told |
//! | `teller` | tells of a connection that is being opened |
//! | `stream` | events to be read later, bounded |
//! | `traced` | events as those of `tracing` |

mod event;
mod observers;
mod stream;
mod teller;
#[cfg(feature = "tracing")]
mod traced;

pub use adieu_proto::lifecycle::Outcome;
pub use event::{Event, Happening, ReplayCause};
pub use observers::Observer;
pub(crate) use observers::Observers;
pub use stream::{Events, Told};
pub use teller::OpeningTimes;
pub(crate) use teller::Teller;
#[cfg(feature = "tracing")]
pub use traced::Tracing;
