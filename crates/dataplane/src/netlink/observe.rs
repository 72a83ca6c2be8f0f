//! Reading the state: one filtered dump per kind of entry, each taken straight into its table.

use std::collections::BTreeMap;
use std::net::IpAddr;

use causeway_model::{Family, Mac};

use super::link::{self, Link, unspecified};
use super::wire::{ACK, DUMP};
use super::{BatchSocket, FastPath, Indexes, LinuxKernel, address, neighbour, nexthop, route, rule, sysctl};
use crate::device::Device;
use crate::kernel::KernelError;
use crate::nft;
use crate::state::{
    HostAddress, HostLink, NextHopId, Observed, ObservedDevice, ObservedNextHops, Rule, Sysctl,
};
use crate::table::Table;

/// `RTEXT_FILTER_SKIP_STATS`.
const SKIP_STATS: u32 = 1 << 3;

/// Reads the whole state that concerns us.
pub(super) fn observe(kernel: &mut LinuxKernel) -> Result<Observed, KernelError> {
    let capabilities = kernel.capabilities()?;
    let mut links = links(&mut kernel.socket)?;
    let lost_mark = recognise(&mut links, &kernel.indexes);
    kernel.indexes = Indexes(
        links.iter().filter_map(|link| link.ours.as_ref().map(|(device, _)| (*device, link.index))).collect(),
    );
    let indexes = &kernel.indexes;
    let socket = &mut kernel.socket;
    let (addresses, host_addresses, odd_lengths) = addresses(socket, indexes, &links)?;
    kernel.odd_lengths = odd_lengths;
    let next_hops = next_hops(socket, indexes)?;
    let (fdb, extra_fdb) = fdb(socket, &links)?;
    let mut observed = Observed {
        devices: BTreeMap::new(),
        foreign_devices: Vec::new(),
        addresses,
        fdb,
        extra_fdb,
        neighbours: neighbours(socket, indexes)?,
        next_hops: next_hops.singles,
        odd_next_hops: next_hops.odd,
        groups: next_hops.groups,
        routes: routes(socket, indexes)?,
        rules: rules(socket)?,
        firewall: nft::observe(&mut kernel.firewall)?,
        sysctls: sysctls(&kernel.sysctls, &links)?,
        host_addresses,
        host_links: Vec::new(),
        capabilities,
    };
    if kernel.fast_path == FastPath::AsItIs {
        observed.capabilities.fast_path = observed.firewall.fast_path.is_some();
    }
    sort_links(&mut observed, links, &lost_mark)?;
    Ok(observed)
}

/// Takes those for ours that somebody took our alias from since they were seen: their indexes.
fn recognise(links: &mut [Link], before: &Indexes) -> Vec<u32> {
    let mut lost_mark = Vec::new();
    for link in links {
        let known = before.device(link.index);
        if let Some((device, vxlan)) = link.unmarked.take().filter(|(device, _)| known == Some(*device)) {
            link.ours = Some((device, vxlan));
            lost_mark.push(link.index);
        }
    }
    lost_mark
}

fn sort_links(observed: &mut Observed, links: Vec<Link>, lost_mark: &[u32]) -> Result<(), KernelError> {
    let all = sysctl::rp_filter_of_all()?;
    for link in links {
        if let Some((device, vxlan)) = link.ours {
            let marked = !lost_mark.contains(&link.index) && link.group == device.overlay.group();
            observed.devices.insert(device, ObservedDevice { index: link.index, vxlan, marked });
            continue;
        }
        observed.foreign_devices.extend(Device::from_name(&link.name));
        let rp_filter = link.rp_filter.unwrap_or(0).max(all);
        let Link { index, master, mac, mtu, name, kind, .. } = link;
        observed.host_links.push(HostLink { index, master, mac, mtu, name, kind, rp_filter });
    }
    Ok(())
}

fn links(socket: &mut BatchSocket) -> Result<Vec<Link>, KernelError> {
    socket.query(
        "reading links",
        (libc::RTM_GETLINK, DUMP),
        |body| {
            body.fixed(&[0; 16]);
            body.u32(libc::IFLA_EXT_MASK, SKIP_STATS);
        },
        |links: &mut Vec<Link>, message| {
            links.push(link::parse(message.payload)?);
            Ok(())
        },
    )
}

type Addresses = (Table<(Device, IpAddr), ()>, Vec<HostAddress>, BTreeMap<(Device, IpAddr), u8>);

fn addresses(socket: &mut BatchSocket, indexes: &Indexes, links: &[Link]) -> Result<Addresses, KernelError> {
    let read = socket.query(
        "reading addresses",
        (libc::RTM_GETADDR, DUMP),
        |body| body.fixed(&[0; 8]),
        |all: &mut Vec<address::LinkAddress>, message| {
            all.extend(address::parse(message.payload)?.filter(|read| !read.link_local));
            Ok(())
        },
    )?;
    let (mut own, mut host, mut odd) = (Vec::new(), Vec::new(), BTreeMap::new());
    for read in read {
        if let Some(device) = indexes.device(read.index) {
            own.push(((device, read.address), ()));
            if read.length != Family::of(read.address).bits() {
                odd.insert((device, read.address), read.length);
            }
        } else if let Some(link) = links.iter().find(|link| link.index == read.index) {
            host.push(HostAddress { address: read.address, link: link.name.clone(), mtu: link.mtu });
        }
    }
    Ok((own.into_iter().collect(), host, odd))
}

type Fdb = (Table<(Device, Mac), IpAddr>, Vec<(Device, Mac, IpAddr)>);

/// Reads the forwarding entries. One that we never write shows an unspecified destination, which no
/// desired entry has: a replacement puts it right, and a removal takes the whole MAC.
///
/// The kernel walks these entries by their place in a list and does not say when that changed in
/// between: an entry may then be missing, and is written again, which changes nothing; or be there
/// twice, and must not be removed as a further one.
fn fdb(socket: &mut BatchSocket, links: &[Link]) -> Result<Fdb, KernelError> {
    let (mut entries, mut extra) = (Vec::new(), Vec::new());
    for link in links {
        let Some((device, vxlan)) = &link.ours else { continue };
        let any = unspecified(Family::of(vxlan.local));
        socket.query_into(
            "reading forwarding entries",
            (libc::RTM_GETNEIGH, DUMP),
            |body| neighbour::fdb_of(body, link.index),
            &mut entries,
            |read, message| {
                let entry = neighbour::parse_fdb(message.payload, link.index)?;
                read.extend(entry.map(|(mac, to)| ((*device, mac), to.unwrap_or(any))));
                Ok(())
            },
        )?;
    }
    // No peer has a multicast or the all-zero MAC: floods are never ours.
    let flood = |((_, Mac(bytes)), _): &((Device, Mac), IpAddr)| bytes[0] & 1 == 1 || *bytes == [0; 6];
    extra.extend(entries.extract_if(.., |entry| flood(entry)));
    let (table, more) = Table::from_entries(entries);
    extra.extend(more.into_iter().filter(|(key, to)| table.get(key) != Some(to)));
    extra.sort_unstable();
    extra.dedup();
    Ok((table, extra.into_iter().map(|((device, mac), to)| (device, mac, to)).collect()))
}

/// Reads the permanent neighbours. As with forwarding entries, one may be passed over when its bucket
/// changes just then, and the kernel does not say so; all network namespaces of the host share the
/// buckets. It is then written again, which changes nothing.
fn neighbours(
    socket: &mut BatchSocket,
    indexes: &Indexes,
) -> Result<Table<(Device, IpAddr), Mac>, KernelError> {
    let mut entries = Vec::new();
    for (device, index) in &indexes.0 {
        socket.query_into(
            "reading neighbours",
            (libc::RTM_GETNEIGH, DUMP),
            |body| neighbour::neighbours_of(body, *index),
            &mut entries,
            |read, message| {
                let entry = neighbour::parse_neighbour(message.payload, *index)?;
                read.extend(entry.map(|(address, mac)| ((*device, address), mac)));
                Ok(())
            },
        )?;
    }
    Ok(entries.into_iter().collect())
}

type Routes = Table<(causeway_model::Prefix, u32), crate::state::Route<NextHopId>>;

fn routes(socket: &mut BatchSocket, indexes: &Indexes) -> Result<Routes, KernelError> {
    let mut entries = Vec::new();
    for family in families() {
        let read = socket.query_into(
            "reading routes",
            (libc::RTM_GETROUTE, DUMP),
            |body| route::all(body, family),
            &mut entries,
            |read, message| {
                read.extend(route::parse(message.payload, indexes)?);
                Ok(())
            },
        );
        match read {
            Ok(()) => {}
            // A table without routes does not exist.
            Err(KernelError::Refused { source, .. }) if source.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(entries.into_iter().collect())
}

fn rules(socket: &mut BatchSocket) -> Result<Vec<Rule>, KernelError> {
    let mut rules = Vec::new();
    for family in families() {
        rules.extend(socket.query(
            "reading rules",
            (libc::RTM_GETRULE, DUMP),
            |body| body.typed(&rule::all(family)),
            |read: &mut Vec<Rule>, message| {
                read.extend(rule::parse(message.payload, family)?);
                Ok(())
            },
        )?);
    }
    Ok(rules)
}

pub(super) fn next_hops(
    socket: &mut BatchSocket,
    indexes: &Indexes,
) -> Result<ObservedNextHops, KernelError> {
    let ask = (nexthop::GET, DUMP);
    socket.query("reading next hops", ask, nexthop::all, |read: &mut ObservedNextHops, message| {
        match nexthop::parse(message.payload, indexes)? {
            Some(nexthop::Entry::Single(id, hop)) => drop(read.singles.insert(id, hop)),
            Some(nexthop::Entry::Group(id, group)) => drop(read.groups.insert(id, group)),
            Some(nexthop::Entry::Odd(id)) => read.odd.push(id),
            None => {}
        }
        Ok(())
    })
}

fn families() -> impl Iterator<Item = Family> {
    Family::BOTH.into_iter().filter(|family| *family == Family::V4 || sysctl::has_ipv6())
}

fn sysctls(watched: &[Sysctl], links: &[Link]) -> Result<BTreeMap<Sysctl, String>, KernelError> {
    let mut values = BTreeMap::new();
    for link in links {
        let path = format!("net/ipv4/conf/{}/rp_filter", link.name);
        values.extend(link.rp_filter.map(|value| (Sysctl(path), value.to_string())));
    }
    for path in watched {
        if let Some(value) = sysctl::read(path)? {
            values.insert(path.clone(), value);
        }
    }
    Ok(values)
}

/// Whether the kernel has resilient groups: whether it knows the request for a bucket of one. Asked
/// for a bucket that does not exist, it changes nothing.
pub(super) fn resilient_groups(socket: &mut BatchSocket) -> Result<bool, KernelError> {
    let asked: Result<(), KernelError> = socket.query(
        "looking for resilient groups",
        (nexthop::GET_BUCKET, ACK),
        nexthop::no_bucket,
        |_: &mut (), _| Ok(()),
    );
    match asked {
        Ok(()) => Ok(true),
        Err(KernelError::Refused { source, .. }) => Ok(source.raw_os_error() != Some(libc::EOPNOTSUPP)),
        Err(error) => Err(error),
    }
}
