//! From the plans that concern a node to the kernel state that it should have.
//!
//! A pure function: it reads no kernel, keeps nothing between calls, and gives the same state for
//! the same plans in whatever order they come. IPv4 and IPv6 are one code path.

pub mod fast_path;
pub mod firewall;
pub mod host;
pub mod notice;
pub mod sysctls;

mod entries;
mod site;
mod slices;

use std::collections::BTreeMap;
use std::net::IpAddr;

use causeway_model::{Families, LinkPlan, NodePlan, SlicePlan};

pub(crate) use entries::alive;
pub use host::HostFacts;
pub use notice::{Notice, Refusal};

use crate::desired::entries::Entries;
use crate::desired::site::Site;
use crate::desired::slices::Slices;
use crate::device::{Device, Overlay, ROUTE_TABLE, RULE_PRIORITY};
use crate::state::{Desired, Hop, Rule, Sysctl};
use crate::table::Table;

/// The kernel state of a node, and what of its plan this host cannot have.
///
/// `links` are those of the node's cluster and `slices` those that its role needs (see
/// [`causeway_model::needed_slices`]); others are passed over. Takes time and memory in proportion to the peers.
pub fn desired<'a>(
    node: &NodePlan,
    links: impl IntoIterator<Item = &'a LinkPlan>,
    slices: impl IntoIterator<Item = &'a SlicePlan>,
    host: &HostFacts,
) -> (Desired, Vec<Notice>) {
    let mut notices = Vec::new();
    let Some(site) = Site::new(node, host, &mut notices) else {
        return (Desired::default(), notices);
    };
    let slices = Slices::new(slices);
    let mut links: Vec<&LinkPlan> =
        links.into_iter().filter(|link| link.id.source == node.id.cluster).collect();
    links.sort_unstable_by_key(|link| &link.id);

    let overlays = site.overlays(&mut notices);
    let has = |overlay| overlays.iter().any(|(other, _)| *other == overlay);
    let mut entries = Entries::new(&site, &slices);
    entries.devices.extend(overlays.iter().map(|(overlay, _)| site.primary(*overlay)));
    if has(Overlay::Bridge) {
        links.iter().for_each(|link| entries.add_link_over_bridge(link));
        if has(Overlay::Local) {
            entries.add_own_nodes();
        }
    } else if has(Overlay::Local) {
        entries.add_own_gateways(&links);
    }

    let devices = site.vxlans(entries.devices.iter().copied(), &overlays, &mut notices);
    let routes = routes(&mut entries, &links);
    let families = if devices.is_empty() { Families::NONE } else { site.vtep.families };
    let underlay: Vec<IpAddr> = site.vtep.underlay.addresses().collect();
    let fdb = std::mem::take(&mut entries.fdb).into_iter().collect();
    let carried = routes.iter().filter(|(_, route)| matches!(route.hop, Hop::Group(_)));
    let origins = std::mem::take(&mut entries.origins);
    let link_mtu = links.iter().filter_map(|link| link.mtu).min();
    let ends = fast_path::Ends::of(node, &devices, link_mtu, families, host);
    let fast_path = ends.as_ref().map(|ends| ends.ruleset(&origins));
    let firewall = firewall::firewall(&firewall::Inputs {
        node,
        families,
        remote: std::mem::take(&mut entries.remote).into_iter().collect(),
        carried: carried.map(|(prefix, _)| *prefix).collect(),
        origins,
        devices: &devices,
        fdb: &fdb,
        link_mtu,
        fast: ends.as_ref(),
    });
    let desired = Desired {
        addresses: addresses(&site, devices.keys().copied()),
        fdb,
        neighbours: std::mem::take(&mut entries.neighbours).into_iter().collect(),
        groups: std::mem::take(&mut entries.groups),
        carriers: std::mem::take(&mut entries.carriers),
        routes,
        rules: families.iter().map(rule).collect(),
        firewall,
        fast_path,
        sysctls: sysctls::wanted(
            devices.keys().map(|d| (*d, site.families_of(*d))),
            families,
            &underlay,
            host,
        ),
        devices,
    };
    notices.extend(entries.notices());
    (desired, notices)
}

/// The kernel state of a node that takes part no more: nothing of ours, and the sysctls that
/// outlive our devices as they were before.
pub fn nothing(before: &BTreeMap<Sysctl, String>) -> Desired {
    Desired { sysctls: before.clone(), ..Desired::default() }
}

/// Own addresses, on every device: Linux flushes the IPv4 routes and neighbours of a device that
/// loses its last address (`fib_disable_ip`), so an address that moved from device to device with
/// the node's role would take the peers of the old one with it.
fn addresses(site: &Site<'_>, devices: impl Iterator<Item = Device>) -> Table<(Device, IpAddr), ()> {
    let of_device = |device: Device| {
        site.families_of(device).iter().map(move |family| ((device, site.vtep.overlay.get(family)), ()))
    };
    devices.flat_map(|device| of_device(device).collect::<Vec<_>>()).collect()
}

/// The routes; of several to one prefix the first stays, the others are noted if they differ.
fn routes(
    entries: &mut Entries<'_>,
    links: &[&LinkPlan],
) -> Table<causeway_model::Prefix, crate::state::Route<usize>> {
    let (routes, extra) = Table::from_entries(std::mem::take(&mut entries.routes));
    for (prefix, _) in extra.iter().filter(|(prefix, route)| routes.get(prefix) != Some(route)) {
        let of_link = links.iter().find(|link| link.prefixes.iter().any(|p| p.prefix.covers(prefix)));
        if let Some(link) = of_link {
            entries.refuse(&link.id.remote, Refusal::OfAnotherPeer, *prefix);
        }
    }
    routes
}

fn rule(family: causeway_model::Family) -> Rule {
    Rule { family, priority: RULE_PRIORITY, table: ROUTE_TABLE, plain: true }
}
