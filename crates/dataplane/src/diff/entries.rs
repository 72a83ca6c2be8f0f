//! Addresses, forwarding entries, neighbours and rules: each compared in one walk.

use std::collections::BTreeSet;
use std::net::IpAddr;

use causeway_model::Mac;

use crate::device::Device;
use crate::diff::links::Links;
use crate::state::Rule;
use crate::step::Step;
use crate::table::{Side, Table};

type Addresses = Table<(Device, IpAddr), ()>;
type Fdb = Table<(Device, Mac), IpAddr>;
type Neighbours = Table<(Device, IpAddr), Mac>;

pub(super) fn add_addresses(wanted: &Addresses, now: &Addresses, take: &mut dyn FnMut(Step)) {
    for ((device, address), side) in wanted.zip(now) {
        if let Side::Left(()) = side {
            take(Step::AddAddress(*device, *address));
        }
    }
}

pub(super) fn remove_addresses(
    wanted: &Addresses,
    now: &Addresses,
    links: &Links<'_>,
    take: &mut dyn FnMut(Step),
) {
    for ((device, address), side) in wanted.zip(now) {
        if matches!(side, Side::Right(())) && !links.goes(*device) {
            take(Step::DelAddress(*device, *address));
        }
    }
}

type Extra = [(Device, Mac, IpAddr)];

pub(super) fn make_fdb(wanted: &Fdb, now: &Fdb, extra: &Extra, take: &mut dyn FnMut(Step)) {
    let extra: BTreeSet<_> = extra.iter().collect();
    for ((device, mac), side) in wanted.zip(now) {
        let to = match side {
            Side::Left(to) => to,
            Side::Both(to, now) if to != now => to,
            Side::Both(..) | Side::Right(_) => continue,
        };
        // Where the right destination is there beside a wrong one, removing the wrong one is all.
        if !extra.contains(&(*device, *mac, *to)) {
            take(Step::ReplaceFdb(*device, *mac, *to));
        }
    }
}

pub(super) fn remove_fdb(
    wanted: &Fdb,
    now: &Fdb,
    extra: &Extra,
    links: &Links<'_>,
    take: &mut dyn FnMut(Step),
) {
    let beside: BTreeSet<_> = extra.iter().collect();
    for ((device, mac), side) in wanted.zip(now) {
        let wrong = match side {
            Side::Right(to) => to,
            Side::Both(to, now) if to != now && beside.contains(&(*device, *mac, *to)) => now,
            Side::Both(..) | Side::Left(_) => continue,
        };
        if !links.goes(*device) {
            take(Step::DelFdb(*device, *mac, *wrong));
        }
    }
    for (device, mac, to) in beside {
        if wanted.get(&(*device, *mac)) != Some(to) && !links.goes(*device) {
            take(Step::DelFdb(*device, *mac, *to));
        }
    }
}

pub(super) fn make_neighbours(
    wanted: &Neighbours,
    now: &Neighbours,
    links: &Links<'_>,
    take: &mut dyn FnMut(Step),
) {
    for ((device, address), side) in wanted.zip(now) {
        let mac = match side {
            Side::Left(mac) => mac,
            Side::Both(mac, now) if mac != now || links.forgets_neighbours(*device) => mac,
            Side::Both(..) | Side::Right(_) => continue,
        };
        take(Step::ReplaceNeighbour(*device, *address, *mac));
    }
}

pub(super) fn remove_neighbours(
    wanted: &Neighbours,
    now: &Neighbours,
    links: &Links<'_>,
    take: &mut dyn FnMut(Step),
) {
    for ((device, address), side) in wanted.zip(now) {
        let stays = !links.goes(*device) && !links.forgets_neighbours(*device);
        if matches!(side, Side::Right(_)) && stays {
            take(Step::DelNeighbour(*device, *address));
        }
    }
}

pub(super) fn add_rules(wanted: &[Rule], now: &[Rule], take: &mut dyn FnMut(Step)) {
    for rule in wanted.iter().filter(|rule| !now.contains(rule)) {
        take(Step::AddRule(*rule));
    }
}

/// Removes what is not wanted, and each further instance of what is.
pub(super) fn remove_rules(wanted: &[Rule], now: &[Rule], take: &mut dyn FnMut(Step)) {
    let mut missing: BTreeSet<&Rule> = wanted.iter().collect();
    for rule in now {
        if !missing.remove(rule) {
            take(Step::DelRule(*rule));
        }
    }
}
