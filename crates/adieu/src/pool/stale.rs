//! When what is known of idle connections is stale: the clock jumped, or their name means other addresses by now.

use std::sync::Arc;
use std::time::{Duration, Instant};

use adieu_proto::lifecycle::{Address, CloseReason};
use adieu_proto::shelf::Origin;

use super::Pool;
use super::counter::MutexGuard;
use super::desk::Desk;
use super::registry::Live;
use crate::rt::{self, WallClock};

/// The wall clock beside the monotonic one. A machine that slept has a wall clock that went on and a monotonic one that
/// may not have; whatever was idle meanwhile is not what it seems.
pub(super) struct Clocks {
    epoch: Instant,
    /// By how many seconds the wall clock was ahead.
    ahead: i64,
    wall: WallClock,
    /// When they are compared next.
    due: Instant,
}

/// How many seconds the clocks may drift apart between two looks.
const DRIFT: i64 = 3;
/// They are not compared more often: whoever sends so much notices soon enough.
const LOOK_EVERY: Duration = Duration::from_millis(5);

impl Clocks {
    pub(super) fn new(wall: WallClock) -> Self {
        let epoch = rt::now();
        Self { epoch, ahead: wall.seconds(), wall, due: epoch }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// By how much the wall clock jumped since the last look.
    pub(super) fn jumped(&mut self, now: Instant) -> Option<Jump> {
        self.due = now + LOOK_EVERY;
        let elapsed = now.saturating_duration_since(self.epoch).as_secs().cast_signed();
        let ahead = self.wall.seconds().saturating_sub(elapsed);
        let jump = ahead.saturating_sub(self.ahead);
        if jump.abs() < DRIFT {
            return None;
        }
        self.ahead = ahead;
        // Backward, nobody slept; but nobody knows how long it was before that.
        Some(Jump(Duration::from_secs(jump.max(0).unsigned_abs())))
    }
}

/// How much longer idle connections have been idle than the monotonic clock says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jump(Duration);

impl Pool {
    /// The clock jumped: idle connections that have outlived their limit by the wall clock retire, the others are looked at
    /// before they are used.
    pub(super) fn distrust(&self, now: Instant, Jump(jump): Jump) {
        for (_, live) in self.registry.all() {
            if let Live::Open(wire) = live
                && wire.lock().distrust(now, jump)
            {
                wire.order_retire(CloseReason::IdleLimit);
            }
        }
    }

    /// Resolves the name of an origin anew if that was long ago; connections to addresses that it does not mean any more
    /// retire.
    pub(super) fn refresh(
        self: &Arc<Self>,
        mut desk: MutexGuard<'_, Desk>,
        now: Instant,
        origin: Origin,
        every: Duration,
    ) {
        let Some(entry) = desk.entry_mut(origin) else { return };
        if entry.resolved.is_none_or(|at| now < at + every) {
            return;
        }
        // Nobody else meanwhile.
        entry.resolved = Some(now);
        let (target, runtime, pool) = (entry.target.clone(), entry.runtime.clone(), self.clone());
        drop(desk);
        let refreshed = async move {
            // A name that cannot be resolved right now says nothing about those who were found before; and where there is
            // no address, it is reached in another way.
            let addresses = pool.settings.connector.addresses(&target).await.unwrap_or_default();
            if addresses.is_empty() {
                return;
            }
            for (of, live) in pool.registry.all() {
                if let Live::Open(wire) = live
                    && of == origin
                    && let Some(Address::Ip(peer)) = wire.peer()
                    && !addresses.iter().any(|address| address.ip() == peer.ip())
                {
                    wire.order_retire(CloseReason::Policy("its address left the name"));
                }
            }
        };
        runtime.spawn(refreshed);
    }
}
