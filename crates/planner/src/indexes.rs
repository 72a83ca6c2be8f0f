//! Which index, and so which overlay addresses, each node of one cluster has.
//!
//! Indexes count the usable addresses through the cluster's blocks in order; the first and the last
//! address of each block are left out, in both families alike.

use causeway_model::{Family, OverlayAddresses, Prefix};
use std::net::IpAddr;

use crate::blocks::Block;

/// The blocks of one cluster and the indexes in use.
#[derive(Default)]
pub(crate) struct Indexes {
    blocks: Vec<Block>,
    /// The first index of each block.
    starts: Vec<u32>,
    capacity: u32,
    /// One bit for each index.
    used: Vec<u64>,
    /// No word before this one has a free bit.
    lowest: usize,
}

impl Indexes {
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The blocks' prefixes of one family, in order of allocation.
    pub fn prefixes(&self, family: Family) -> Vec<Prefix> {
        let of = |block: &Block| if family == Family::V4 { block.v4 } else { block.v6 };
        self.blocks.iter().map(of).collect()
    }

    pub fn push(&mut self, block: Block) {
        self.starts.push(self.capacity);
        self.capacity += (1u32 << block.host_bits()) - 2;
        self.blocks.push(block);
        self.used.resize((self.capacity as usize).div_ceil(64), 0);
    }

    /// The lowest free index, now taken; nothing if all are in use.
    pub fn allocate(&mut self) -> Option<u32> {
        while self.used.get(self.lowest).is_some_and(|word| *word == u64::MAX) {
            self.lowest += 1;
        }
        let word = self.used.get(self.lowest)?;
        let index = u32::try_from(self.lowest).ok()? * 64 + word.trailing_ones();
        self.take(index).then_some(index)
    }

    /// Takes an index; false if it is in use or out of range.
    pub fn take(&mut self, index: u32) -> bool {
        let (word, bit) = (index as usize / 64, 1u64 << (index % 64));
        if index >= self.capacity || self.used[word] & bit != 0 {
            return false;
        }
        self.used[word] |= bit;
        true
    }

    /// Gives an index back.
    pub fn release(&mut self, index: u32) {
        let word = index as usize / 64;
        self.used[word] &= !(1u64 << (index % 64));
        self.lowest = self.lowest.min(word);
    }

    /// The addresses of an index.
    pub fn addresses(&self, index: u32) -> Option<OverlayAddresses> {
        let place = self.starts.partition_point(|start| *start <= index).checked_sub(1)?;
        let offset = u128::from(index - self.starts[place]) + 1;
        let block = &self.blocks[place];
        match (block.v4.nth(offset)?, block.v6.nth(offset)?) {
            (IpAddr::V4(v4), IpAddr::V6(v6)) => Some(OverlayAddresses { v4, v6 }),
            _ => None,
        }
    }

    /// The index that has these addresses; nothing if none has.
    pub fn index_of(&self, addresses: OverlayAddresses) -> Option<u32> {
        let v4 = IpAddr::V4(addresses.v4);
        let place = self.blocks.iter().position(|block| block.v4.contains(v4))?;
        let offset = u32::try_from(self.blocks[place].v4.index_of(v4)?).ok()?;
        let index = self.starts[place] + offset.checked_sub(1)?;
        (self.addresses(index) == Some(addresses)).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indexes() -> Indexes {
        let mut indexes = Indexes::default();
        for (v4, v6) in [("198.18.0.0/24", "fd00::/120"), ("198.18.4.0/22", "fd00::400/118")] {
            indexes.push(Block { v4: v4.parse().unwrap(), v6: v6.parse().unwrap() });
        }
        indexes
    }

    #[test]
    fn indexes_run_through_the_blocks_without_their_ends() {
        let mut indexes = indexes();
        let all: Vec<u32> = std::iter::from_fn(|| indexes.allocate()).collect();
        assert_eq!(all, (0..254 + 1022).collect::<Vec<_>>());
        for (index, v4, v6) in [
            (0, "198.18.0.1", "fd00::1"),
            (253, "198.18.0.254", "fd00::fe"),
            (254, "198.18.4.1", "fd00::401"),
            (1275, "198.18.7.254", "fd00::7fe"),
        ] {
            let addresses = OverlayAddresses { v4: v4.parse().unwrap(), v6: v6.parse().unwrap() };
            assert_eq!(indexes.addresses(index), Some(addresses));
            assert_eq!(indexes.index_of(addresses), Some(index));
        }
    }

    #[test]
    fn the_lowest_free_index_is_taken() {
        let mut indexes = indexes();
        for _ in 0..300 {
            indexes.allocate();
        }
        indexes.release(7);
        indexes.release(200);
        assert_eq!(
            [indexes.allocate(), indexes.allocate(), indexes.allocate()],
            [Some(7), Some(200), Some(300)]
        );
    }

    #[test]
    fn block_ends_and_mismatched_pairs_have_no_index() {
        let indexes = indexes();
        for (v4, v6) in [("198.18.0.0", "fd00::"), ("198.18.0.255", "fd00::ff"), ("198.18.0.1", "fd00::2")] {
            let addresses = OverlayAddresses { v4: v4.parse().unwrap(), v6: v6.parse().unwrap() };
            assert_eq!(indexes.index_of(addresses), None, "{v4}");
        }
    }
}
