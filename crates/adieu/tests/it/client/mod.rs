//! The client: requests to any origin over connections that are kept, bounded, watched and closed on purpose.

mod counting;
mod net;
mod queue;
mod seeded;
mod smoke;
mod storm;
