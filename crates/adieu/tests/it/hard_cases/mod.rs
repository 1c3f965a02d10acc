//! The situations that HTTP clients get wrong, one connection each, against scripted peers over real sockets.
//!
//! | file | situations |
//! |---|---|
//! | `uploads` | a final response, a half-close or a reset while our request body is open |
//! | `expect` | `Expect: 100-continue` |
//! | `responses` | framing, interim responses, contradictions, and what is poisoned after an error |
//! | `idle` | bytes on an idle connection |
//! | `persistence` | who may close after a response, and when |
//! | `goodbyes` | how our side ends: flush, FIN, RST, and peers that never do |
//! | `drivers` | who drives a close, and what becomes of it when the runtime is gone |
//! | `unread` | responses that nobody reads |

mod drivers;
mod expect;
mod goodbyes;
mod idle;
mod persistence;
mod responses;
mod unread;
mod uploads;
