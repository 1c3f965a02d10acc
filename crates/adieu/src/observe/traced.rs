//! Events of connections as events of `tracing`.

use adieu_proto::lifecycle::CloseReason;

use super::event::{Event, Happening};
use super::observers::Observer;

/// Tells `tracing` of everything, as events of the target `adieu`.
///
/// ```
/// # fn main() -> Result<(), adieu::Error> {
/// let client = adieu::Client::builder().observer(adieu::observe::Tracing::new()).build()?;
/// # Ok(())
/// # }
/// ```
///
/// | level | what |
/// |---|---|
/// | `WARN` | a connection ended because its peer broke the protocol or TLS, or went beyond a limit |
/// | `DEBUG` | the life of connections: opening with each of its steps, open, retired, closed; a request that gave up waiting |
/// | `TRACE` | exchanges, changes of state, requests that wait |
///
/// Each event has the fields `what` (one word), `origin`, `connection` (its number, where there is one) and those that
/// tell more: `host`, `address`, `addresses`, `proxy`, `tls`, `error`, `took_ms`, `from`, `to`, `exchange`, `outcome`, `reason`,
/// `waiter`, `ahead`. The message is the event as it prints.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Tracing;

impl Tracing {
    /// An observer that tells `tracing`.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

macro_rules! tell {
    ($level:ident $event:ident $what:literal $($fields:tt)*) => {
        tracing::event!(
            target: "adieu",
            tracing::Level::$level,
            what = $what,
            origin = &*$event.origin,
            connection = $event.connection.map(|connection| connection.number()),
            $($fields)*
            "{}", $event
        )
    };
}

impl Observer for Tracing {
    fn observe(&self, event: &Event) {
        use Happening as H;
        let ms = |took: &std::time::Duration| took.as_secs_f64() * 1e3;
        match &event.what {
            H::Opening => tell!(DEBUG event "opening"),
            H::Resolving { host } => tell!(DEBUG event "resolving" host = &**host,),
            H::Resolved { addresses, took } => {
                tell!(DEBUG event "resolved" addresses = ?addresses, took_ms = ms(took),);
            }
            H::Connecting { address } => tell!(DEBUG event "connecting" address = %address,),
            H::ConnectFailed { address, error } => {
                tell!(DEBUG event "connect_failed" address = %address, error = &**error,);
            }
            H::Connected { address, took } => {
                tell!(DEBUG event "connected" address = %address, took_ms = ms(took),);
            }
            H::ProxyDone { proxy, took } => {
                tell!(DEBUG event "proxy_done" proxy = &**proxy, took_ms = ms(took),);
            }
            H::TlsDone { session, took } => {
                tell!(DEBUG event "tls_done" tls = %session, took_ms = ms(took),);
            }
            H::Opened => tell!(DEBUG event "opened"),
            H::StateChanged { from, to } => tell!(TRACE event "state_changed" from = %from, to = %to,),
            H::ExchangeBegan { exchange } => tell!(TRACE event "exchange_began" exchange = exchange,),
            H::ExchangeEnded { exchange, outcome } => {
                tell!(TRACE event "exchange_ended" exchange = exchange, outcome = %outcome,);
            }
            H::Retired { reason } => tell!(DEBUG event "retired" reason = reason.code(),),
            H::Closed { report } if is_violation(&report.reason) => {
                tell!(WARN event "closed" reason = report.reason.code(),);
            }
            H::Closed { report } => tell!(DEBUG event "closed" reason = report.reason.code(),),
            H::Queued { waiter, ahead } => tell!(TRACE event "queued" waiter = waiter, ahead = ahead,),
            H::Served { waiter, waited } => {
                tell!(TRACE event "served" waiter = waiter, took_ms = ms(waited),);
            }
            H::GaveUp { waiter, waited } => {
                tell!(DEBUG event "gave_up" waiter = waiter, took_ms = ms(waited),);
            }
            H::Replayed { failed_on, exchange, fate, cause, replays } => {
                let (exchange, replays) = (*exchange, u64::from(*replays));
                tell!(DEBUG event "replayed" failed_on = %failed_on, exchange = exchange, fate = fate.code(), cause = %cause, replays = replays,);
            }
            H::NotReplayed { failed_on, exchange, fate, refusal } => {
                tell!(DEBUG event "not_replayed" failed_on = %failed_on, exchange = *exchange, fate = fate.code(), refusal = refusal.code(),);
            }
            H::Other { .. } => tell!(DEBUG event "other"),
        }
    }
}

/// What no peer should ever do.
fn is_violation(reason: &CloseReason) -> bool {
    use CloseReason as R;
    matches!(reason, R::ProtocolError(_) | R::LimitExceeded(_) | R::UnexpectedData | R::TlsBroken(_))
}
