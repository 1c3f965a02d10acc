//! Chance from a seed: the same seed, the same run.

use std::ops::Range;
use std::time::Duration;

/// SplitMix64: small, and good enough to choose where bytes are cut.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number of the range, which must not be empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        assert!(!range.is_empty(), "a number out of nothing");
        range.start + self.number() % (range.end - range.start)
    }

    /// A time up to `most`.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.within(0..most.as_micros() as u64 + 1))
    }

    /// Once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.within(0..times.max(1)) == 0
    }
}
