//! The engine against scripted bytes, in virtual time.
//!
//! | file | what it is about |
//! |---|---|
//! | `scenario` | a connection brought to where a test begins; a response told however its bytes are cut |
//! | `responses` | where a response ends, and what becomes of the connection then |
//! | `ends` | a peer that ends, resets or breaks the protocol, at every byte |
//! | `doubt` | a peer that ends before it answers: whether the request was refused |
//! | `tls_ends` | close_notify, a FIN without it, alerts, violations; deadlines of upgrades |
//! | `uploads` | request bodies, `Expect: 100-continue`, final responses that come early, broken writes |
//! | `closing` | the four close modes in every phase, the goodbye, what is discarded |
//! | `abandoning` | a caller that drops what it asked for |
//! | `timeouts` | every clock |
//! | `random` | whatever comes in whatever order |

mod abandoning;
mod closing;
mod doubt;
mod ends;
mod random;
mod responses;
mod scenario;
mod timeouts;
mod tls_ends;
mod uploads;

use super::*;
use crate::fate::{ReadEnd, Use};
use crate::lifecycle::Action::*;
use crate::lifecycle::{
    Action, CloseKind, CloseMode, CloseReason, Ended, ExchangePhase, Goodbye, Parting, Phase, Side, Signal,
    State,
};
use scenario::{Outcome, Scenario, however_cut};

/// All of our goodbye.
const FAREWELL: Action = SayGoodbye(Goodbye::Clean);
/// Only our side ends.
const HALF: Action = SayGoodbye(Goodbye::HalfOnly);
/// What a peer that broke the protocol is told on HTTP/1.1: nothing but the end.
const COMPLAINT: Action = SayGoodbye(Goodbye::Error(0));
const DROP: Action = DropTransport(Parting::Plain);
const RESET: Action = DropTransport(Parting::Reset);

const FIN: TransportEnd = TransportEnd::Fin;
const RST: TransportEnd = TransportEnd::Reset;
