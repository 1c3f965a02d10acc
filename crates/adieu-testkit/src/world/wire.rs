//! One direction of the wire: what is under way, in order, each thing with the moment at which it arrives.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::rng::Chance;

/// What travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Bytes(Vec<u8>),
    Fin,
    Rst,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Lane {
    latency: Duration,
    jitter: Duration,
    under_way: VecDeque<(Instant, Packet)>,
}

impl Lane {
    pub(super) fn new(latency: Duration, jitter: Duration) -> Self {
        Self { latency, jitter, under_way: VecDeque::new() }
    }

    /// Sends bytes in one packet or, by chance, in many; nothing overtakes what was sent before.
    pub(super) fn send_bytes(&mut self, now: Instant, bytes: &[u8], chance: &mut Chance) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let whole = chance.once_in(3);
            let cut = if whole { rest.len() } else { 1 + chance.within(0..rest.len() as u64) as usize };
            let (packet, left) = rest.split_at(cut);
            self.send(now, Packet::Bytes(packet.to_vec()), chance);
            rest = left;
        }
    }

    pub(super) fn send(&mut self, now: Instant, packet: Packet, chance: &mut Chance) {
        let at = now + self.latency + chance.up_to(self.jitter);
        let at = self.under_way.back().map_or(at, |(last, _)| at.max(*last));
        self.under_way.push_back((at, packet));
    }

    /// When the next thing arrives.
    pub(super) fn next(&self) -> Option<Instant> {
        self.under_way.front().map(|(at, _)| *at)
    }

    /// What has arrived by now.
    pub(super) fn arrive(&mut self, now: Instant) -> Option<Packet> {
        if self.next()? > now {
            return None;
        }
        self.under_way.pop_front().map(|(_, packet)| packet)
    }
}
