//! One direction of the wire: when each packet arrives. It reads no clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The packets that are on their way to one end, in order.
#[derive(Debug)]
pub(super) struct Way {
    delay: Duration,
    jitter: Duration,
    chance: Chance,
    packets: VecDeque<(Instant, Box<[u8]>)>,
}

impl Way {
    /// The seed tells which packets the jitter holds up, and how long.
    pub(super) const fn new(delay: Duration, jitter: Duration, seed: u64) -> Self {
        Self { delay, jitter, chance: Chance(seed), packets: VecDeque::new() }
    }

    /// A packet sets out.
    pub(super) fn send(&mut self, packet: &[u8], now: Instant) {
        let arrives = now + self.delay + self.jitter.mul_f64(self.chance.next());
        let before = self.packets.back().map_or(arrives, |(before, _)| *before);
        self.packets.push_back((arrives.max(before), packet.into()));
    }

    /// The next packet, if it has arrived.
    pub(super) fn receive(&mut self, now: Instant) -> Option<Box<[u8]>> {
        self.next_arrival().filter(|arrives| *arrives <= now)?;
        self.packets.pop_front().map(|(_, packet)| packet)
    }

    /// When the next packet arrives.
    pub(super) fn next_arrival(&self) -> Option<Instant> {
        self.packets.front().map(|(arrives, _)| *arrives)
    }

    /// Loses all packets.
    pub(super) fn clear(&mut self) {
        self.packets.clear();
    }
}

/// Numbers by chance, the same ones for the same seed (SplitMix64).
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    /// At least 0, and less than 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        // As many bits as the fraction has.
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(10);
    const JITTER: Duration = Duration::from_millis(5);
    const STEP: Duration = Duration::from_millis(1);

    #[expect(clippy::disallowed_methods, reason = "some instant, which there is no other way to have")]
    fn begin() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_packet_arrives_after_the_delay_and_not_before() {
        let (begin, mut way) = (begin(), Way::new(DELAY, Duration::ZERO, 0));
        way.send(b"one", begin);
        way.send(b"two", begin + STEP);
        assert_eq!(way.next_arrival(), Some(begin + DELAY));
        assert_eq!(way.receive(begin + DELAY - Duration::from_nanos(1)), None);
        assert_eq!(way.receive(begin + DELAY).as_deref(), Some(&b"one"[..]));
        assert_eq!(way.receive(begin + DELAY), None);
        assert_eq!(way.next_arrival(), Some(begin + DELAY + STEP));
        way.clear();
        assert_eq!((way.next_arrival(), way.receive(begin + 9 * DELAY)), (None, None));
    }

    #[test]
    fn with_jitter_none_overtakes_another_and_none_comes_too_late() {
        let (begin, mut way) = (begin(), Way::new(DELAY, JITTER, 1));
        for number in 0..200_u8 {
            way.send(&[number], begin + u32::from(number) * STEP);
        }
        let mut waits = Vec::new();
        for number in 0..200 {
            let arrives = way.next_arrival().unwrap();
            assert_eq!(way.receive(arrives).as_deref(), Some(&[number][..]));
            waits.push(arrives - begin - u32::from(number) * STEP);
        }
        assert!(waits.iter().all(|wait| (DELAY..DELAY + JITTER).contains(wait)), "{waits:?}");
        assert!(waits.iter().max().unwrap().saturating_sub(*waits.iter().min().unwrap()) > JITTER / 2);
    }
}
