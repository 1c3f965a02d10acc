//! HTTP/1.1 on one connection, without I/O (RFC 9112).
//!
//! | file | what it is for |
//! |---|---|
//! | `engine` | the two halves, the life and the clocks of one connection: the type to use |
//! | `news` | what the engine is told and what it tells |
//! | `send` | the request's side: what is staged, what is left to say |
//! | `receive` | the response's side: heads, interim heads, bodies |
//! | `reuse` | the one table that says whether the connection may be used again |
//! | `clocks` | the deadlines of one exchange |
//!
//! One exchange at a time (pipelining is optional, RFC 9112 section 9.3.2). The driver's loop is in the
//! documentation of [`Engine`].

mod clocks;
mod engine;
mod news;
mod receive;
mod reuse;
mod send;
#[cfg(test)]
mod tests;

pub use engine::Engine;
pub use news::{BodySize, Config, EarlyResponse, Event, Failure, HalfClose, NotOpen, TransportEnd};
pub use send::BodyMisfit;
