//! What is left to do: the list of URLs, N times over, taken one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::plan::{Job, Plan};

/// The list of URLs, N times over.
pub(super) struct Queue {
    plan: Arc<Plan>,
    total: u64,
    taken: AtomicU64,
}

impl Queue {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        let total = plan.repeat.saturating_mul(plan.jobs.len() as u64);
        Self { plan, total, taken: AtomicU64::new(0) }
    }

    /// How long it was.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The next one.
    pub(super) fn take(&self) -> Option<&Job> {
        let more = |taken| (taken < self.total).then(|| taken + 1);
        let place = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        self.job(place)
    }

    /// Nobody wants the rest.
    pub(super) fn clear(&self) {
        self.taken.store(self.total, Ordering::Relaxed);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken.load(Ordering::Relaxed) == self.total
    }

    /// Whether there is something of this origin (`http://example.com`) left.
    pub(super) fn holds(&self, origin: &str) -> bool {
        let taken = self.taken.load(Ordering::Relaxed);
        let round = self.total.min(taken.saturating_add(self.plan.jobs.len() as u64));
        let is_of = |job: &Job| job.target.as_ref().is_ok_and(|target| target.origin().to_string() == origin);
        (taken..round).filter_map(|place| self.job(place)).any(is_of)
    }

    fn job(&self, place: u64) -> Option<&Job> {
        let jobs = &self.plan.jobs;
        jobs.get(usize::try_from(place % jobs.len() as u64).ok()?)
    }
}
