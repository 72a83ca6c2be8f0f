//! Choices that look random and are the same for the same seed everywhere.

use causeway_pathbench::statistics;

/// A generator.
#[derive(Clone, Debug)]
pub struct Random(statistics::Random);

impl Random {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Random {
        Random(statistics::Random::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d)))
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.below(end)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of `items`, which are some.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}
