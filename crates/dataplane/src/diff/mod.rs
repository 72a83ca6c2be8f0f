//! From what is and what should be to the steps between the two.
//!
//! The order of the steps is the whole point: what a packet needs is made before anything leads to
//! it, and what nothing leads to any more is removed last. So a destination that has one path
//! before and the same path after has it at every moment in between, and any other goes from its
//! old path to its new one in a single step. Decides only; knows no kernel.

mod entries;
mod failover;
mod links;
mod next_hops;
mod routes;
mod settings;
mod spare;
mod teardown;

pub use failover::{failover, left_out};

use std::borrow::Cow;

use crate::desired::fast_path;
use crate::device::Device;
use crate::diff::links::{InTheWay, Links};
use crate::diff::next_hops::NextHops;
use crate::diff::routes::Routes;
use crate::diff::settings::Settings;
use crate::nft;
use crate::state::{Desired, Observed};
use crate::step::Step;

/// The steps from `observed` to `desired`, in order; none if they agree.
///
/// Nothing is put on a device of somebody else that has one of our names, see [`conflicts`].
pub fn diff(desired: &Desired, observed: &Observed) -> Vec<Step> {
    let mut steps = Vec::new();
    each_step(desired, observed, &mut |step| steps.push(step));
    steps
}

/// As [`diff`], for a caller that takes the steps one by one and holds only a part of them at a
/// time: at 100,000 peers all of them together are larger than the states.
pub fn each_step(desired: &Desired, observed: &Observed, take: &mut dyn FnMut(Step)) {
    let desired = spare::without(desired, &observed.foreign_devices);
    let doomed = InTheWay::find(&desired, observed);
    if doomed.is_empty() {
        converge(&desired, observed, take);
    } else {
        let remaining = teardown::tear_down(&doomed, &desired, observed, take);
        // Its tunnel gets another index, which the next look at the kernel tells.
        let desired = match (doomed.devices.is_empty(), &desired.fast_path) {
            (false, Some(_)) => Cow::Owned(Desired { fast_path: None, ..desired.into_owned() }),
            _ => desired,
        };
        converge(&desired, &remaining, take);
    }
}

/// Names of ours that devices of somebody else have. They are left alone, and so this node lacks
/// what it would have there.
pub fn conflicts(observed: &Observed) -> Vec<Device> {
    observed.foreign_devices.clone()
}

/// The steps, given that every device can stay as it is or become what it should be.
fn converge(desired: &Desired, observed: &Observed, take: &mut dyn FnMut(Step)) {
    let Desired {
        devices,
        addresses,
        fdb,
        neighbours,
        groups,
        carriers: _,
        routes,
        rules,
        firewall,
        fast_path,
        sysctls,
    } = desired;
    let Observed {
        devices: devices_now,
        foreign_devices: _,
        addresses: addresses_now,
        fdb: fdb_now,
        extra_fdb,
        neighbours: neighbours_now,
        next_hops,
        odd_next_hops,
        groups: groups_now,
        routes: routes_now,
        rules: rules_now,
        firewall: firewall_now,
        sysctls: sysctls_now,
        host_addresses: _,
        host_links: _,
        capabilities,
    } = observed;

    let links = Links { wanted: devices, now: devices_now };
    let known = next_hops::Known { singles: next_hops, odd: odd_next_hops, groups: groups_now };
    let next_hops = NextHops::decide(groups, routes, &known, routes_now, *capabilities);
    let routes = Routes::compare(routes, routes_now, &next_hops);
    let settings = Settings { wanted: sysctls, now: sysctls_now, links: &links };

    // It passes by what is made and broken below.
    if firewall.is_none() {
        change_nftables(nft::diff_fast_path(None, firewall_now), take);
    }

    // Make.
    if !devices.is_empty() {
        settings.set_of_host(take);
    }
    links.make(take);
    settings.set_of_devices(take);
    entries::add_addresses(addresses, addresses_now, take);
    entries::make_fdb(fdb, fdb_now, extra_fdb, take);
    entries::make_neighbours(neighbours, neighbours_now, &links, take);
    next_hops.make(take);
    if next_hops.change_groups() {
        forget_flows(fast_path.as_ref(), firewall_now, take);
    }
    // What takes marks away is there while the firewall sets them.
    if fast_path.is_some() {
        change_nftables(nft::diff_fast_path(fast_path.as_ref(), firewall_now), take);
    }
    if firewall.is_some() {
        change_nftables(nft::diff(firewall.as_ref(), firewall_now), take);
        if fast_path.is_none() {
            change_nftables(nft::diff_fast_path(None, firewall_now), take);
        }
    }
    routes.make(take);

    // Break. A rule comes when the routes are all as they should be: what it catches first must not
    // be a stale one.
    routes.remove(take);
    if routes.lead_elsewhere() {
        forget_flows(fast_path.as_ref(), firewall_now, take);
    }
    entries::add_rules(rules, rules_now, take);
    entries::remove_rules(rules, rules_now, take);
    if firewall.is_none() {
        change_nftables(nft::diff(None, firewall_now), take);
    }
    next_hops.remove(take);
    entries::remove_neighbours(neighbours, neighbours_now, &links, take);
    entries::remove_fdb(fdb, fdb_now, extra_fdb, &links, take);
    entries::remove_addresses(addresses, addresses_now, &links, take);
    links.remove(take);
    if devices.is_empty() {
        settings.set_of_host(take);
    }
}

/// What was learned before would go on as before.
fn forget_flows(fast_path: Option<&nft::Ruleset>, now: &nft::Observed, take: &mut dyn FnMut(Step)) {
    if let (Some(fast_path), Some(there)) = (fast_path, &now.fast_path) {
        change_nftables(fast_path::forget_flows(fast_path, |map| there.sets.contains_key(map)), take);
    }
}

fn change_nftables(transaction: Option<nft::Transaction>, take: &mut dyn FnMut(Step)) {
    transaction.into_iter().for_each(|transaction| take(Step::Firewall(transaction)));
}
