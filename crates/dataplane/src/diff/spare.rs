//! What is left to do where somebody else has a device with one of our names.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::desired::sysctls;
use crate::device::Device;
use crate::nft::foreign::ForeignAccept;
use crate::state::{Desired, Group, Hop, NextHop};

/// `desired` without the `spared` devices and all that would be on them.
pub(super) fn without<'a>(desired: &'a Desired, spared: &[Device]) -> Cow<'a, Desired> {
    if !desired.devices.keys().any(|device| spared.contains(device)) {
        return Cow::Borrowed(desired);
    }
    let Desired {
        devices,
        addresses,
        fdb,
        neighbours,
        groups,
        carriers,
        routes,
        rules,
        firewall,
        fast_path: _,
        sysctls,
    } = desired;
    let ours = |device: &Device| !spared.contains(device);
    let (groups, places) = groups_without(groups, spared);
    let routes = routes.iter().filter_map(|(prefix, route)| {
        let hop = match &route.hop {
            Hop::Link(device) | Hop::Gateway(NextHop { device, .. }) if !ours(device) => return None,
            Hop::Group(place) => Hop::Group(*places.get(place)?),
            hop => *hop,
        };
        Some((*prefix, crate::state::Route { hop, ..*route }))
    });
    let mut firewall = firewall.clone();
    if let Some(ruleset) = &mut firewall {
        ruleset.accept_in_foreign_forward.retain(|accept| match accept {
            ForeignAccept::Crossing { device, .. } => ours(device),
            ForeignAccept::Marked => true,
        });
    }
    Cow::Owned(Desired {
        devices: devices.iter().filter(|(d, _)| ours(d)).map(|(d, v)| (*d, v.clone())).collect(),
        addresses: addresses.iter().filter(|((d, _), ())| ours(d)).map(|(k, ())| (*k, ())).collect(),
        fdb: fdb.iter().filter(|((d, _), _)| ours(d)).map(|(k, v)| (*k, *v)).collect(),
        neighbours: neighbours.iter().filter(|((d, _), _)| ours(d)).map(|(k, v)| (*k, *v)).collect(),
        groups,
        carriers: carriers.iter().filter(|carrier| ours(&carrier.hop.device)).cloned().collect(),
        routes: routes.collect(),
        rules: rules.clone(),
        firewall,
        // It leads over the one tunnel of its node.
        fast_path: None,
        sysctls: sysctls
            .iter()
            .filter(|(path, _)| sysctls::device_of(path).is_none_or(|device| ours(&device)))
            .map(|(path, value)| (path.clone(), value.clone()))
            .collect(),
    })
}

/// The groups with the members that are left, and the new place of each that has any.
fn groups_without(groups: &[Group], spared: &[Device]) -> (Vec<Group>, BTreeMap<usize, usize>) {
    let mut left: Vec<Group> = Vec::with_capacity(groups.len());
    let mut places = BTreeMap::new();
    for (place, Group { family, members }) in groups.iter().enumerate() {
        let members: Vec<NextHop> = members.iter().filter(|m| !spared.contains(&m.device)).copied().collect();
        if members.is_empty() {
            continue;
        }
        let group = Group { family: *family, members };
        let new = left.iter().position(|other| *other == group).unwrap_or_else(|| {
            left.push(group);
            left.len() - 1
        });
        places.insert(place, new);
    }
    (left, places)
}
