//! Chance that a seed repeats: SplitMix64.

use std::time::Duration;

use super::row::Pauses;

pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    /// Those of one task.
    pub(crate) fn new(seed: u64, task: u32) -> Self {
        let mut first = Self { state: seed };
        Self { state: first.throw() ^ u64::from(task) }
    }

    /// Any of them, all alike.
    pub(crate) fn pause(&mut self, Pauses { shortest, longest }: Pauses) -> Duration {
        let part = (self.throw() >> 11) as f64 / (1_u64 << 53) as f64;
        shortest + (longest - shortest).mul_f64(part)
    }

    fn throw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_spread_over_their_range_and_a_seed_repeats_them() {
        let pauses = Pauses { shortest: Duration::from_millis(50), longest: Duration::from_millis(150) };
        let thrown = |seed, task| {
            let mut dice = Dice::new(seed, task);
            (0..1000).map(|_| dice.pause(pauses)).collect::<Vec<_>>()
        };
        let some = thrown(7, 0);
        assert!(some.iter().all(|pause| (pauses.shortest..=pauses.longest).contains(pause)));
        let mean = some.iter().sum::<Duration>() / 1000;
        assert!((Duration::from_millis(95)..Duration::from_millis(105)).contains(&mean), "{mean:?}");
        assert_eq!(some, thrown(7, 0));
        assert!(some != thrown(7, 1) && some != thrown(8, 0));
    }
}
