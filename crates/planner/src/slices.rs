//! In which slice each peer is. A peer keeps its slice; a new one fills the lowest hole.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use causeway_model::{ClusterName, NodeName, Peer, Prefix, SLICE_CAPACITY, Scope, SliceId, SlicePlan};
use rustc_hash::FxHashMap;

use crate::{Changes, Work};

/// The most bytes that the peers of one slice take up, by [`peer_size`]: 60 KiB, which leaves 4 KiB of
/// a PeerSlice for its metadata. A single peer that takes more has a slice of its own.
pub const SLICE_BYTES: usize = 60 * 1024;

/// A slice with less room than this takes no more peers, so that a hole is found without trying every
/// slice that is nearly full.
const USUAL_PEER: usize = 1024;

/// Bytes of a peer in JSON without the values: the names of all its fields, brackets, quotes, both
/// families and the comma behind it.
const PEER_FRAME: usize = 100;

/// An upper estimate of the bytes that a peer takes up in its PeerSlice as JSON.
pub fn peer_size(peer: &Peer) -> usize {
    let underlay: usize = peer.vtep.underlay.addresses().map(text_len).sum();
    let overlay = text_len(IpAddr::V4(peer.vtep.overlay.v4)) + text_len(IpAddr::V6(peer.vtep.overlay.v6));
    let prefix = |prefix: &Prefix| text_len(prefix.first()) + "\"/128\",".len();
    let prefixes: usize = peer.prefixes.iter().map(prefix).sum();
    PEER_FRAME + peer.node.as_str().len() + underlay + overlay + prefixes
}

/// At most how long an address is as text: exact but for a `::` between other digits, which is a byte
/// shorter.
fn text_len(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(v4) => {
            3 + v4.octets().iter().map(|b| 1 + usize::from(*b > 9) + usize::from(*b > 99)).sum::<usize>()
        }
        IpAddr::V6(v6) => {
            let segments = v6.segments();
            let digits = |s: &u16| (16 - s.leading_zeros() as usize).div_ceil(4).max(1);
            let longest = segments.split(|s| *s != 0).map(<[u16]>::len).max().unwrap_or(0);
            let all = 7 + segments.iter().map(digits).sum::<usize>();
            // A run of zeros of length n, each a digit and a colon, becomes `::`.
            if longest > 1 { (all - (2 * longest - 2)).max(2) } else { all }
        }
    }
}

struct Slot {
    plan: SlicePlan,
    bytes: usize,
}

/// The slices of one cluster and scope.
pub(crate) struct Slices {
    cluster: ClusterName,
    scope: Scope,
    slots: BTreeMap<u32, Slot>,
    home: FxHashMap<NodeName, u32>,
    /// Slots with room.
    open: BTreeSet<u32>,
    /// Peers without a place yet.
    newcomers: Vec<Peer>,
    adopted: FxHashMap<NodeName, u32>,
    changed: BTreeSet<u32>,
    published: BTreeSet<u32>,
}

impl Slices {
    pub fn new(cluster: ClusterName, scope: Scope) -> Slices {
        Slices {
            cluster,
            scope,
            slots: BTreeMap::new(),
            home: FxHashMap::default(),
            open: BTreeSet::new(),
            newcomers: Vec::new(),
            adopted: FxHashMap::default(),
            changed: BTreeSet::new(),
            published: BTreeSet::new(),
        }
    }

    /// Remembers that these nodes were in slice `index`. The first slice that lists a node counts.
    pub fn adopt(&mut self, index: u32, nodes: Vec<NodeName>) {
        for node in nodes {
            let place = self.adopted.entry(node).or_insert(index);
            *place = (*place).min(index);
        }
    }

    /// Adds a peer, or replaces what is known of it.
    pub fn upsert(&mut self, peer: Peer) {
        let Some(index) = self.home.get(&peer.node).copied() else {
            self.newcomers.push(peer);
            return;
        };
        let Some(slot) = self.slots.get_mut(&index) else { return };
        let Ok(place) = slot.plan.peers.binary_search_by(|other| other.node.cmp(&peer.node)) else { return };
        if slot.plan.peers[place] != peer {
            slot.bytes = slot.bytes - peer_size(&slot.plan.peers[place]) + peer_size(&peer);
            slot.plan.peers[place] = peer;
            self.touch(index);
        }
    }

    /// Removes a peer, if it is there.
    pub fn remove(&mut self, node: &NodeName) {
        self.adopted.remove(node);
        self.take_out(node);
    }

    fn take_out(&mut self, node: &NodeName) -> Option<Peer> {
        let index = self.home.remove(node)?;
        let slot = self.slots.get_mut(&index)?;
        let place = slot.plan.peers.binary_search_by(|other| other.node.cmp(node)).ok()?;
        let peer = slot.plan.peers.remove(place);
        slot.bytes -= peer_size(&peer);
        self.touch(index);
        Some(peer)
    }

    /// Marks a slot as changed, and as open or not.
    fn touch(&mut self, index: u32) {
        self.changed.insert(index);
        let room =
            |slot: &Slot| slot.plan.peers.len() < SLICE_CAPACITY && slot.bytes + USUAL_PEER <= SLICE_BYTES;
        if self.slots.get(&index).is_some_and(room) {
            self.open.insert(index);
        } else {
            self.open.remove(&index);
        }
    }

    /// Finds a place for everyone, and adds what changed to `changes`.
    pub fn commit(&mut self, changes: &mut Changes, work: &mut Work) {
        self.relieve();
        for peer in self.adopt_places() {
            let size = peer_size(&peer);
            let index = self.open.iter().copied().find(|index| self.fits(*index, size));
            self.place(index.unwrap_or_else(|| self.lowest_absent()), peer, size);
        }
        for index in std::mem::take(&mut self.changed) {
            self.publish(index, changes, work);
        }
    }

    /// Takes the largest peers out of slots that have grown beyond the limit.
    fn relieve(&mut self) {
        for index in self.changed.clone() {
            while let Some(peer) = self.too_many(index).and_then(|node| self.take_out(&node)) {
                self.newcomers.push(peer);
            }
        }
    }

    fn too_many(&self, index: u32) -> Option<NodeName> {
        let slot = self.slots.get(&index)?;
        if slot.bytes <= SLICE_BYTES || slot.plan.peers.len() == 1 {
            return None;
        }
        let largest = slot.plan.peers.iter().max_by_key(|peer| (peer_size(peer), &peer.node));
        largest.map(|peer| peer.node.clone())
    }

    /// Puts newcomers where they were before a restart, and returns the others.
    fn adopt_places(&mut self) -> Vec<Peer> {
        let mut newcomers = std::mem::take(&mut self.newcomers);
        newcomers.sort_unstable_by(|a, b| a.node.cmp(&b.node));
        if self.adopted.is_empty() {
            return newcomers;
        }
        let mut others = Vec::new();
        for peer in newcomers {
            let size = peer_size(&peer);
            match self.adopted.remove(&peer.node) {
                Some(index) if self.fits(index, size) => self.place(index, peer, size),
                _ => others.push(peer),
            }
        }
        others
    }

    fn fits(&self, index: u32, size: usize) -> bool {
        self.slots.get(&index).is_none_or(|slot| {
            slot.plan.peers.len() < SLICE_CAPACITY
                && (slot.bytes + size <= SLICE_BYTES || slot.plan.peers.is_empty())
        })
    }

    fn lowest_absent(&self) -> u32 {
        let gap = self.slots.keys().zip(0..).find(|(index, expected)| **index != *expected);
        gap.map_or(self.slots.len() as u32, |(_, expected)| expected)
    }

    fn place(&mut self, index: u32, peer: Peer, size: usize) {
        let (cluster, scope) = (&self.cluster, self.scope);
        let slot = self.slots.entry(index).or_insert_with(|| {
            let id = SliceId { cluster: cluster.clone(), scope, index };
            Slot { plan: SlicePlan { id, peers: Vec::new() }, bytes: 0 }
        });
        self.home.insert(peer.node.clone(), index);
        slot.bytes += size;
        let place = slot.plan.peers.partition_point(|other| other.node < peer.node);
        slot.plan.peers.insert(place, peer);
        self.touch(index);
    }

    fn publish(&mut self, index: u32, changes: &mut Changes, work: &mut Work) {
        let Some(slot) = self.slots.get(&index) else { return };
        if !slot.plan.peers.is_empty() {
            work.peers += slot.plan.peers.len() as u64;
            changes.slices.push(slot.plan.clone());
            self.published.insert(index);
            return;
        }
        if self.published.remove(&index) {
            changes.slices_gone.push(slot.plan.id.clone());
        }
        self.slots.remove(&index);
        self.open.remove(&index);
    }

    /// Every slice as it was last committed.
    pub fn plans(&self) -> impl Iterator<Item = &SlicePlan> {
        self.slots.values().map(|slot| &slot.plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_longer_than_estimated() {
        for text in [
            "1.2.3.4",
            "198.18.100.250",
            "::",
            "::1",
            "fd00::",
            "fd00:1::5",
            "2001:db8:1:2:3:4:5:6",
            "fdc5:a05e:77a1::ffff",
            "1:0:0:2:0:0:0:3",
            "1:0:2:3:4:5:6:7",
        ] {
            let address: IpAddr = text.parse().unwrap();
            let (estimate, exact) = (text_len(address), address.to_string().len());
            assert!(estimate >= exact && estimate <= exact + 1, "{text}: {estimate}");
        }
    }
}
