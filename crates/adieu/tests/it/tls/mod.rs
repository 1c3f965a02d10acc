//! TLS from outside, one connection each, against scripted peers over real sockets.
//!
//! | file | what it is about |
//! |---|---|
//! | `support` | what they share: an authority, a connector, and connections over them |
//! | `handshake` | the start: certificates, versions, failures |
//! | `hard_cases` | the situations of `hard_cases`, where TLS makes them different |
//! | `cut_short` | what is cut short, and what the goodbye must not cut |
//! | `held_back` | what TLS has taken and the wire has not |
//! | `upgrades` | another protocol under TLS |
//! | `endings` | every end of each side, in every state, and what the peer sees of it |
//! | `truncation` | the peer's end in the middle of a response |
//! | `violations` | records that break TLS, and alerts |
//! | `idle` | what comes on an idle connection, and what of it is data |
//! | `half_close` | our side ends first |
//! | `tunnels` | TLS in TLS |
//! | `wire` | where records end on the wire |

mod cut_short;
mod endings;
mod fates;
mod half_close;
mod handshake;
mod hard_cases;
mod held_back;
mod idle;
pub(crate) mod support;
mod truncation;
mod tunnels;
mod upgrades;
mod violations;
mod wire;
