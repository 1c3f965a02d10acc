//! Connections that are opened before they are needed.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use adieu_proto::shelf::{Origin, Wanted};
use http::Uri;

use super::desk::Desk;
use super::{Partition, Pool, Route, Waited, Waiting};
use crate::drive::Wire;
use crate::error::{Error, ErrorKind};
use crate::rt::{self, RuntimeId};

/// Connections that were lent and not used: they go back when this is dropped.
struct Borrowed<'p> {
    pool: &'p Arc<Pool>,
    wires: Vec<Arc<Wire>>,
}

impl Pool {
    /// Opens connections to the origin of `uri` until so many are idle, and tells how many are.
    pub(crate) async fn prewarm(
        self: &Arc<Self>,
        uri: &Uri,
        partition: Option<&Partition>,
        connections: usize,
    ) -> Result<usize, Error> {
        let (origin, missing) = self.missing(uri, partition, connections)?;
        let now = rt::now();
        let mut waiting: Vec<_> = (0..missing)
            .map(|_| Some(Waiting::new(self.clone(), now, origin, Wanted::Fresh, None, None)))
            .collect();
        // All at once; each is kept until the last is there, or nobody waits for that, lest one serve for two.
        let mut lent = Borrowed { pool: self, wires: Vec::new() };
        let opened = poll_fn(|cx| {
            for slot in &mut waiting {
                let Some(Poll::Ready(waited)) = slot.as_mut().map(|waiting| waiting.poll(cx)) else {
                    continue;
                };
                *slot = None;
                match waited {
                    Ok(Waited { wire, .. }) => lent.wires.push(wire),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            if waiting.iter().all(Option::is_none) { Poll::Ready(Ok(())) } else { Poll::Pending }
        });
        let opened = opened.await;
        drop(lent);
        opened?;
        Ok(self.desk().shelf.counts(origin).idle)
    }

    /// The origin of `uri`, and how many connections it lacks.
    fn missing(
        &self,
        uri: &Uri,
        partition: Option<&Partition>,
        connections: usize,
    ) -> Result<(Origin, usize), Error> {
        let runtime = RuntimeId::current().ok_or_else(|| Error::new(ErrorKind::NoRuntime))?;
        let (desk, origin) = self.locate(&Route { uri, partition, runtime })?;
        let counts = desk.shelf.counts(origin);
        let wanted = connections.min(self.room(&desk, origin));
        Ok((origin, wanted.saturating_sub(counts.idle + counts.opening)))
    }

    /// How many connections of an origin may be idle or opening, as things are.
    fn room(&self, desk: &Desk, origin: Origin) -> usize {
        let limits = self.settings.limits;
        let (own, all) = (desk.shelf.counts(origin), desk.shelf.total());
        let own_idle = own.idle + own.opening;
        // Idle ones of others make room.
        let others = (all.connections() - own.connections()) - (all.idle - own.idle);
        let places = [
            limits.per_origin.map(|limit| limit.saturating_sub(own.lent)),
            limits.in_all.map(|limit| limit.saturating_sub(own.lent + others)),
            limits.idle_per_origin,
            limits.idle_in_all,
        ];
        places.into_iter().flatten().min().unwrap_or(usize::MAX).max(own_idle)
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.wires.iter().for_each(|wire| self.pool.put_back(wire));
    }
}
