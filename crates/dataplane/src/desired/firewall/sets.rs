//! The named sets of the table, and the groups of addresses that rules speak of.

use std::net::IpAddr;

use causeway_model::{Family, Mac, NodePlan, Prefix, PrefixSet};

use super::Builder;
use crate::device::{Device, Overlay};
use crate::nft::{Address, Elements, Origin, Set};

/// Groups of addresses that rules speak of.
#[derive(Clone, Copy)]
pub(super) enum Group {
    /// Prefixes of other clusters.
    Remote,
    /// Those that several nodes carry.
    Carried,
    /// All prefixes of the own cluster.
    Own,
    /// The own cluster's overlay blocks.
    OwnOverlay,
    /// The own cluster's pods.
    OwnPods,
    /// The pods of this node.
    LocalPods,
    /// What this node must track beside its pods: its overlay address, and Services, which any node translates.
    Here,
}

impl Group {
    fn name(self) -> &'static str {
        match self {
            Group::Remote => "remote",
            Group::Carried => "carried",
            Group::Own => "own",
            Group::OwnOverlay => "own_overlay",
            Group::OwnPods => "own_pods",
            Group::LocalPods => "local_pods",
            Group::Here => "here",
        }
    }
}

pub(in crate::desired) fn digit(family: Family) -> char {
    match family {
        Family::V4 => '4',
        Family::V6 => '6',
    }
}

/// The origins of a family as elements of a set.
pub(in crate::desired) fn origins_of(origins: &[Origin], family: Family) -> Elements {
    let of_family = origins.iter().filter(|origin| origin.sources.family() == family);
    let mut origins: Vec<Origin> = of_family.copied().collect();
    origins.sort_unstable();
    Elements::Origins(origins)
}

impl Builder<'_> {
    fn prefixes(&self, group: Group, family: Family) -> Vec<Prefix> {
        let NodePlan { own, local_pods, vtep, .. } = self.inputs.node;
        let host = Prefix::host(vtep.overlay.get(family));
        let all: PrefixSet = match group {
            Group::Remote => self.inputs.remote.clone(),
            Group::Carried => self.inputs.carried.clone(),
            Group::Own => own.pods.iter().chain(&own.services).chain(&own.overlay).copied().collect(),
            Group::OwnOverlay => own.overlay.iter().copied().collect(),
            Group::OwnPods => own.pods.iter().copied().collect(),
            Group::LocalPods => local_pods.iter().copied().collect(),
            Group::Here => own.services.iter().copied().chain([host]).collect(),
        };
        all.as_slice().iter().filter(|prefix| prefix.family() == family).copied().collect()
    }

    pub(super) fn has(&self, group: Group, family: Family) -> bool {
        !self.prefixes(group, family).is_empty()
    }

    /// The members of a group: a single prefix is compared with, which is cheaper than a look-up.
    pub(super) fn members(&mut self, group: Group, family: Family) -> Address {
        match self.prefixes(group, family).as_slice() {
            [prefix] => Address::Within(*prefix),
            _ => self.member_set(group, family),
        }
    }

    /// The same for a group whose members come and go: rules stay as they are.
    pub(super) fn member_set(&mut self, group: Group, family: Family) -> Address {
        let name = format!("{}{}", group.name(), digit(family));
        Address::InSet(self.set(name, family, Elements::Prefixes(self.prefixes(group, family))))
    }

    pub(super) fn origins(&mut self, family: Family) -> String {
        let origins = origins_of(&self.inputs.origins, family);
        self.set(format!("origins{}", digit(family)), family, origins)
    }

    /// The underlay addresses and MACs of the VTEPs behind a device.
    pub(super) fn vteps(&mut self, device: Device) -> String {
        let stem = match device.overlay {
            Overlay::Bridge => "bridge_vteps",
            Overlay::Local => "local_vteps",
        };
        let name = format!("{stem}{}", digit(device.underlay));
        let behind = self.inputs.fdb.iter().filter(|((of, _), _)| *of == device);
        let mut vteps: Vec<(IpAddr, Mac)> = behind.map(|((_, mac), underlay)| (*underlay, *mac)).collect();
        vteps.sort_unstable();
        self.set(name, device.underlay, Elements::Vteps(vteps))
    }

    /// Has this set in the table, and returns its name.
    fn set(&mut self, name: String, family: Family, elements: Elements) -> String {
        self.sets.insert(name.clone(), Set { name: name.clone(), family, elements });
        name
    }
}
