//! What the fuzz targets share.
//!
//! | file | what it is for |
//! |---|---|
//! | `plan` | an input's first line: choices, and where the rest is cut |
//! | `script` | an input as a list of operations, one letter each |
//! | `chunks` | a chunked body decoded by the letter of RFC 9112, as simply as can be |
//! | `wire` | whether a request is whole, judged by its bytes alone |
//! | `ladder` | the rungs that a connection goes down |

pub mod chunks;
pub mod ladder;
pub mod plan;
pub mod script;
pub mod wire;

use std::time::Instant;

/// Where virtual time begins.
#[expect(
    clippy::disallowed_methods,
    reason = "an instant can only be had from the clock; nothing depends on which"
)]
pub fn start() -> Instant {
    Instant::now()
}
