//! From a target to the bytes of a connection: names, addresses, proxies, TLS.
//!
//! | file | what it is for |
//! |---|---|
//! | `target` | where a connection shall lead |
//! | `resolve` | from names to addresses |
//! | `interleave` | in which order addresses are tried |
//! | `options` | what is set on a socket |
//! | `dial` | to the first address that takes the connection |

mod dial;
mod interleave;
mod options;
mod resolve;
mod target;

pub use options::TcpOptions;
pub use resolve::{Overrides, Place, Resolve, Resolving, SystemResolver};
pub use target::{Scheme, Target};
