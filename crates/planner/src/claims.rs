//! Who holds which underlay address. Two nodes cannot share one: tunnel packets would reach only one.

use std::collections::BTreeMap;
use std::net::IpAddr;

use causeway_model::{Age, ClusterName, NodeId, Prefix};

/// A node's claim to an address. The lowest one at an address holds it: a node that labels do not
/// keep out, of the oldest cluster, first by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Claim {
    pub excluded: bool,
    pub age: Age,
    pub id: NodeId,
}

/// The order of clusters by age, the oldest first: what one has, no younger one takes away.
pub(crate) type Seniority<'a> = (Age, &'a ClusterName);

impl Claim {
    /// That of its node's cluster.
    pub fn seniority(&self) -> Seniority<'_> {
        (self.age, &self.id.cluster)
    }
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

    /// The first address inside `prefix` that a node claims of this cluster or of an older one.
    pub fn first_within(&self, prefix: &Prefix, of: Seniority<'_>) -> Option<(IpAddr, &NodeId)> {
        self.within(prefix).find_map(|(address, claims)| {
            let senior = claims.iter().find(|claim| claim.seniority() <= of)?;
            Some((address, &senior.id))
        })
    }

    /// The addresses inside `prefix` that nodes claim, with all claims to each.
    pub fn within(&self, prefix: &Prefix) -> impl Iterator<Item = (IpAddr, &[Claim])> {
        let range = self.0.range(prefix.first()..=prefix.last());
        range.map(|(address, claims)| (*address, claims.as_slice()))
    }
}
