//! Overlay blocks: which cluster has which part of the clusterset's overlay ranges.
//!
//! A block is a pair of an IPv4 and an IPv6 prefix of the same size. A cluster's first one is a /24
//! with a /120, each further one a /22 with a /118. A block in use is kept whatever becomes of the
//! ranges: addresses in use are worth more than tidy ranges, and the guard counts such a block as
//! part of them. It is given back when its cluster is removed.

use std::collections::BTreeMap;

use causeway_model::{ClusterName, DualStack, Family, Prefix};

use crate::guard::reserved;
use crate::prefix_index::lowest_free;

/// Bits of host part in a cluster's first block, and in the further ones.
const FIRST_BLOCK_BITS: u8 = 8;
const NEXT_BLOCK_BITS: u8 = 10;

/// Host bits that an adopted block may have: at least one usable address, at most 65,534.
const BLOCK_BITS: std::ops::RangeInclusive<u8> = 2..=16;

/// An IPv4 prefix and an IPv6 prefix of the same size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Block {
    pub v4: Prefix,
    pub v6: Prefix,
}

impl Block {
    /// The block made of these two, if they are of one size.
    fn pair(v4: Prefix, v6: Prefix) -> Option<Block> {
        let host = Family::V4.bits().checked_sub(v4.len())?;
        let fits = v4.family() == Family::V4
            && v6.family() == Family::V6
            && Family::V6.bits() - v6.len() == host
            && BLOCK_BITS.contains(&host);
        fits.then_some(Block { v4, v6 })
    }

    /// Bits of its host part.
    pub fn host_bits(&self) -> u8 {
        Family::V4.bits() - self.v4.len()
    }

    /// Both prefixes.
    pub fn prefixes(&self) -> [Prefix; 2] {
        [self.v4, self.v6]
    }
}

/// All blocks in use.
#[derive(Default)]
pub(crate) struct Blocks(BTreeMap<Prefix, ClusterName>);

impl Blocks {
    fn occupant(&self, prefix: &Prefix) -> Option<Prefix> {
        // Members are disjoint, so the last one at or before the first address is the only one that
        // can cover it.
        let before = self.0.range(..=*prefix).next_back().map(|(member, _)| *member);
        let behind = self.0.range(*prefix..).next().map(|(member, _)| *member);
        before.filter(|m| m.overlaps(prefix)).or(behind.filter(|m| m.overlaps(prefix)))
    }

    /// Takes the blocks read back for a cluster, as far as they are valid and free.
    pub fn adopt(&mut self, cluster: &ClusterName, overlay: &DualStack<Vec<Prefix>>) -> Vec<Block> {
        let pairs = overlay.v4.iter().zip(&overlay.v6).filter_map(|(v4, v6)| Block::pair(*v4, *v6));
        let mut taken = Vec::new();
        for block in pairs {
            let free = |p: &Prefix| reserved(p).is_none() && self.occupant(p).is_none();
            if block.prefixes().iter().all(free) {
                self.take(cluster, &block);
                taken.push(block);
            }
        }
        taken
    }

    fn take(&mut self, cluster: &ClusterName, block: &Block) {
        for prefix in block.prefixes() {
            self.0.insert(prefix, cluster.clone());
        }
    }

    /// A new block for a cluster that has `existing` ones: the lowest free one of the first range
    /// that has room. Nothing if either family has none.
    pub fn allocate(
        &mut self,
        cluster: &ClusterName,
        existing: usize,
        ranges: &DualStack<Vec<Prefix>>,
    ) -> Option<Block> {
        let host = if existing == 0 { FIRST_BLOCK_BITS } else { NEXT_BLOCK_BITS };
        let free = |family: Family| {
            let len = family.bits() - host;
            ranges.get(family).iter().find_map(|range| lowest_free(range, len, |c| self.occupant(c)))
        };
        let block = Block { v4: free(Family::V4)?, v6: free(Family::V6)? };
        self.take(cluster, &block);
        Some(block)
    }

    /// Gives the blocks of a removed cluster back.
    pub fn release(&mut self, blocks: &[Block]) {
        for prefix in blocks.iter().flat_map(Block::prefixes) {
            self.0.remove(&prefix);
        }
    }

    /// Blocks that are in none of the ranges.
    pub fn outside(&self, ranges: &DualStack<Vec<Prefix>>) -> Vec<Prefix> {
        let inside = |block: &Prefix| ranges.get(block.family()).iter().any(|range| range.covers(block));
        self.0.keys().filter(|block| !inside(block)).copied().collect()
    }
}
