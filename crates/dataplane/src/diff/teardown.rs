//! Devices that must be made anew, since the kernel cannot change VNI, port or family of the local address,
//! and addresses that must leave this node before it can use them as a gateway.
//!
//! Everything on them is removed first, in the one order that is safe: a device or next hop that
//! is deleted under its routes makes the kernel walk all routes once per next hop with the network
//! lock held. What stands on other devices is not touched.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use causeway_model::{Family, Prefix};

use crate::desired::host::IPV6_MIN_MTU;
use crate::desired::sysctls;
use crate::device::Device;
use crate::diff::links::InTheWay;
use crate::state::{Desired, Hop, NextHop, NextHopId, Observed, ObservedGroup, Route};
use crate::step::Step;
use crate::table::Table;

/// Emits the steps that remove what is `doomed` and returns what is there after them.
pub(super) fn tear_down(
    doomed: &InTheWay,
    desired: &Desired,
    observed: &Observed,
    take: &mut dyn FnMut(Step),
) -> Observed {
    let stays = |device: &Device| doomed.spares(device);
    let addresses = shelter_addresses(doomed, desired, observed, take);
    let NextHopsLeft { singles, groups, removed } = split_next_hops(&stays, observed, take);
    let has_source = |source: IpAddr| {
        addresses.iter().any(|((_, address), ())| *address == source)
            || observed.host_addresses.iter().any(|own| own.address == source)
    };
    let (routes, mut removed_routes) = split_routes(&stays, &has_source, observed, &removed);
    removed_routes.sort_by_key(|(prefix, metric)| (prefix.len(), Reverse(*metric)));
    removed_routes.into_iter().for_each(|(prefix, metric)| take(Step::DelRoute(prefix, metric)));
    removed.into_iter().for_each(|id| take(Step::DelNextHop(id)));
    doomed.addresses.iter().for_each(|(device, address)| take(Step::DelAddress(*device, *address)));
    doomed.devices.iter().for_each(|device| take(Step::DelDevice(*device)));

    let Observed {
        devices,
        foreign_devices,
        addresses: _,
        fdb,
        extra_fdb,
        neighbours,
        next_hops: _,
        odd_next_hops: _,
        groups: _,
        routes: _,
        rules,
        firewall,
        sysctls,
        host_addresses,
        host_links,
        capabilities,
    } = observed;
    Observed {
        devices: devices.iter().filter(|(d, _)| stays(d)).map(|(d, now)| (*d, now.clone())).collect(),
        foreign_devices: foreign_devices.clone(),
        addresses,
        fdb: fdb.iter().filter(|((d, _), _)| stays(d)).map(|(k, v)| (*k, *v)).collect(),
        extra_fdb: extra_fdb.iter().filter(|(d, ..)| stays(d)).copied().collect(),
        neighbours: neighbours.iter().filter(|((d, _), _)| stays(d)).map(|(k, v)| (*k, *v)).collect(),
        next_hops: singles,
        odd_next_hops: Vec::new(),
        groups,
        routes,
        rules: rules.clone(),
        firewall: firewall.clone(),
        sysctls: sysctls
            .iter()
            .filter(|(path, _)| sysctls::device_of(path).is_none_or(|device| stays(&device)))
            .map(|(path, value)| (path.clone(), value.clone()))
            .collect(),
        host_addresses: host_addresses.clone(),
        host_links: host_links.clone(),
        capabilities: *capabilities,
    }
}

/// Adds own addresses to the devices that stay, before the last instance of one goes: routes with a source
/// address that is gone vanish with it.
fn shelter_addresses(
    doomed: &InTheWay,
    desired: &Desired,
    observed: &Observed,
    take: &mut dyn FnMut(Step),
) -> Table<(Device, IpAddr), ()> {
    let mut left: Vec<_> = observed
        .addresses
        .iter()
        .filter(|(key, ())| doomed.spares(&key.0) && !doomed.addresses.contains(key))
        .map(|(key, ())| (*key, ()))
        .collect();
    for ((device, address), ()) in desired.addresses.iter() {
        let takes_it = observed
            .devices
            .get(device)
            .is_some_and(|now| Family::of(*address) == Family::V4 || now.vxlan.mtu >= IPV6_MIN_MTU);
        if doomed.spares(device) && takes_it && observed.addresses.get(&(*device, *address)).is_none() {
            take(Step::AddAddress(*device, *address));
            left.push(((*device, *address), ()));
        }
    }
    left.into_iter().collect()
}

struct NextHopsLeft {
    singles: BTreeMap<NextHopId, NextHop>,
    groups: BTreeMap<NextHopId, ObservedGroup>,
    /// Groups first.
    removed: Vec<NextHopId>,
}

/// Takes members on doomed devices, and those of unknown content, out of the groups that have
/// others.
fn split_next_hops(
    stays: &dyn Fn(&Device) -> bool,
    observed: &Observed,
    take: &mut dyn FnMut(Step),
) -> NextHopsLeft {
    let (singles, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
        observed.next_hops.iter().map(|(id, hop)| (*id, *hop)).partition(|(_, hop)| stays(&hop.device));
    let mut groups = BTreeMap::new();
    let mut removed = Vec::new();
    for (id, group) in &observed.groups {
        let members: Vec<NextHopId> =
            group.members.iter().filter(|member| singles.contains_key(member)).copied().collect();
        if members.is_empty() {
            removed.push(*id);
            continue;
        }
        let left = ObservedGroup { kind: group.kind, members };
        if left != *group {
            take(Step::ReplaceGroup(*id, left.clone()));
        }
        groups.insert(*id, left);
    }
    removed.extend(&observed.odd_next_hops);
    removed.extend(gone.into_keys());
    NextHopsLeft { singles, groups, removed }
}

type Routes = Table<(Prefix, u32), Route<NextHopId>>;

/// Parts the routes into those that stay and those that lead over a doomed device, or whose source
/// address goes with one.
fn split_routes(
    stays: &dyn Fn(&Device) -> bool,
    has_source: &dyn Fn(IpAddr) -> bool,
    observed: &Observed,
    removed: &[NextHopId],
) -> (Routes, Vec<(Prefix, u32)>) {
    let removed: BTreeSet<NextHopId> = removed.iter().copied().collect();
    let (mut left, mut gone) = (Vec::new(), Vec::new());
    for (key, route) in observed.routes.iter() {
        let route_stays = match &route.hop {
            Hop::Link(device) | Hop::Gateway(NextHop { device, .. }) => stays(device),
            Hop::Group(id) => !removed.contains(id),
            // Whatever it is, it may be on a doomed device.
            Hop::Foreign => false,
        };
        if route_stays && route.src.is_none_or(has_source) {
            left.push((*key, *route));
        } else {
            gone.push(*key);
        }
    }
    (left.into_iter().collect(), gone)
}
