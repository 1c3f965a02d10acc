//! The client: requests to any origin over connections that are kept, bounded, watched and closed on purpose.

mod bad_input;
mod bodies;
mod building;
mod closing;
mod counting;
mod dropping;
mod hard_cases;
mod learning;
mod leaving_nothing;
mod limits;
mod net;
mod opening;
mod queue;
mod replay;
mod reports;
mod seeded;
mod smoke;
mod storm;
mod timeouts;
mod under_no_lock;

#[cfg(feature = "tls")]
mod tunnelled;
mod watch;
mod wires;
