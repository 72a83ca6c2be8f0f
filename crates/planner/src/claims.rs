//! Who holds which underlay address. Two nodes cannot share one: tunnel packets would reach only one.

use std::collections::BTreeMap;
use std::net::IpAddr;

use causeway_model::{Age, NodeId, Prefix};

/// A node's claim to an address. The lowest one at an address holds it: a node that labels do not
/// keep out, of the oldest cluster, first by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Claim {
    pub excluded: bool,
    pub age: Age,
    pub id: NodeId,
}

/// All claims of the nodes of known clusters.
#[derive(Default)]
pub(crate) struct Claims(BTreeMap<IpAddr, Vec<Claim>>);

impl Claims {
    /// Adds a claim. True if others claim the address too.
    pub fn insert(&mut self, address: IpAddr, claim: Claim) -> bool {
        let claims = self.0.entry(address).or_insert_with(|| Vec::with_capacity(1));
        if let Err(place) = claims.binary_search(&claim) {
            claims.insert(place, claim);
        }
        claims.len() > 1
    }

    /// Removes a claim. True if others claim the address.
    pub fn remove(&mut self, address: IpAddr, claim: &Claim) -> bool {
        let Some(claims) = self.0.get_mut(&address) else { return false };
        claims.retain(|other| other != claim);
        if claims.is_empty() {
            self.0.remove(&address);
            return false;
        }
        true
    }

    /// Every claim to `address`, the holder's first.
    pub fn at(&self, address: IpAddr) -> &[Claim] {
        self.0.get(&address).map_or(&[], Vec::as_slice)
    }

    /// The node that may use `address`.
    pub fn holder(&self, address: IpAddr) -> Option<&NodeId> {
        self.at(address).first().filter(|claim| !claim.excluded).map(|claim| &claim.id)
    }

    /// The first address inside `prefix`, with the node that is first to claim it.
    pub fn first_within(&self, prefix: &Prefix) -> Option<(IpAddr, &NodeId)> {
        let (address, claims) = self.0.range(prefix.first()..=prefix.last()).next()?;
        Some((*address, &claims.first()?.id))
    }

    /// The nodes that claim an address inside `prefix`.
    pub fn within(&self, prefix: &Prefix) -> impl Iterator<Item = &NodeId> {
        self.0.range(prefix.first()..=prefix.last()).flat_map(|(_, claims)| claims.iter().map(|c| &c.id))
    }
}
