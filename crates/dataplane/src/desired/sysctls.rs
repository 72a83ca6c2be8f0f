//! The sysctls that a node needs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use causeway_model::{Families, Family};

use crate::desired::host::HostFacts;
use crate::device::Device;
use crate::state::Sysctl;

/// Strict reverse path filter, which drops what arrives on another link than its source is routed
/// to.
const STRICT: u8 = 1;

/// Forwarding as a whole, by family.
const FORWARDING: [(Family, &str); 2] =
    [(Family::V4, "net/ipv4/ip_forward"), (Family::V6, "net/ipv6/conf/all/forwarding")];

/// Whether connection tracking takes TCP packets whose sequence numbers it did not expect for valid, in place of such of no
/// connection (`Documentation/networking/nf_conntrack-sysctl.rst`). Never written: it is for who runs kube-proxy to say, and a
/// fast path needs it.
pub const LIBERAL_TRACKING: &str = "net/netfilter/nf_conntrack_tcp_be_liberal";

/// Settings of each of our devices: any packet may come in, none answers with a redirect, and none
/// believes one.
const OF_DEVICE: [(Family, &str, &str); 6] = [
    (Family::V4, "forwarding", "1"),
    (Family::V4, "rp_filter", "2"),
    (Family::V4, "send_redirects", "0"),
    (Family::V4, "accept_redirects", "0"),
    (Family::V6, "forwarding", "1"),
    (Family::V6, "accept_redirects", "0"),
];

fn of_link(family: Family, link: &str, key: &str) -> Sysctl {
    let family = if family == Family::V4 { "ipv4" } else { "ipv6" };
    Sysctl(format!("net/{family}/conf/{link}/{key}"))
}

/// Every sysctl that this crate may write on a host with these foreign `links`: what an observation
/// should hold, as far as it exists.
pub fn all<'a>(links: impl IntoIterator<Item = &'a str>) -> Vec<Sysctl> {
    let whole = FORWARDING.into_iter().map(|(_, path)| Sysctl(path.to_owned()));
    let of_devices = Device::ALL.into_iter().flat_map(|device| {
        OF_DEVICE.into_iter().map(move |(family, key, _)| of_link(family, device.name(), key))
    });
    let of_links = links.into_iter().map(|link| of_link(Family::V4, link, "rp_filter"));
    whole.chain(of_devices).chain(of_links).collect()
}

/// The device of ours whose setting this is; `None` for one that outlives our devices.
pub fn device_of(Sysctl(path): &Sysctl) -> Option<Device> {
    let mut parts = path.split('/').skip(2);
    if parts.next() != Some("conf") {
        return None;
    }
    Device::from_name(parts.next()?)
}

/// What a node needs that forwards `families`, sends tunnel packets from `underlay`, and has
/// `devices` that each carry some families.
pub(super) fn wanted(
    devices: impl Iterator<Item = (Device, Families)>,
    families: Families,
    underlay: &[IpAddr],
    host: &HostFacts,
) -> BTreeMap<Sysctl, String> {
    let mut wanted = BTreeMap::new();
    for (_, path) in FORWARDING.into_iter().filter(|(family, _)| families.contains(*family)) {
        wanted.insert(Sysctl(path.to_owned()), "1".to_owned());
    }
    for (device, carried) in devices {
        for (family, key, value) in OF_DEVICE.into_iter().filter(|(family, ..)| carried.contains(*family)) {
            wanted.insert(of_link(family, device.name(), key), value.to_owned());
        }
    }
    let strict = host.links_off_the_return_path(underlay).filter(|link| link.rp_filter == STRICT);
    for link in strict {
        wanted.insert(of_link(Family::V4, &link.name, "rp_filter"), "2".to_owned());
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{HostAddress, HostLink};

    fn link(name: &str, kind: &str, rp_filter: u8) -> HostLink {
        HostLink {
            index: 0,
            master: None,
            mac: None,
            mtu: 1500,
            name: name.to_owned(),
            kind: kind.to_owned(),
            rp_filter,
        }
    }

    #[test]
    fn only_strict_links_that_stand_in_the_way_are_loosened() {
        let underlay = ["192.0.2.1".parse().unwrap()];
        let host = HostFacts {
            addresses: vec![HostAddress { address: underlay[0], link: "eth0.100".to_owned(), mtu: 1500 }],
            links: vec![
                link("eth0.100", "vlan", 1),
                link("eth1", "", 1),
                link("flannel.1", "vxlan", 1),
                link("tunl0", "ipip", 2),
            ],
            ..HostFacts::default()
        };
        let wanted = wanted(std::iter::empty(), Families::NONE, &underlay, &host);
        let paths: Vec<&str> = wanted.keys().map(|path| path.0.as_str()).collect();
        assert_eq!(paths, ["net/ipv4/conf/eth0.100/rp_filter", "net/ipv4/conf/flannel.1/rp_filter"]);
        assert!(wanted.values().all(|value| value == "2"));
    }

    #[test]
    fn all_names_whatever_may_be_wanted() {
        let host = HostFacts { links: vec![link("flannel.1", "vxlan", 1)], ..HostFacts::default() };
        let wanted = wanted(
            Device::ALL.into_iter().map(|device| (device, Families::DUAL)),
            Families::DUAL,
            &[],
            &host,
        );
        let all = all(["flannel.1"]);
        assert!(wanted.keys().all(|path| all.contains(path)));
        assert_eq!(wanted.len(), all.len());
    }

    #[test]
    fn settings_of_our_devices_are_told_from_the_hosts() {
        let device = |path: &str| device_of(&Sysctl(path.to_owned())).map(Device::name);
        assert_eq!(device("net/ipv6/conf/vx-local6/accept_redirects"), Some("vx-local6"));
        assert_eq!(device("net/ipv4/conf/eth0/rp_filter"), None);
        assert_eq!(device("net/ipv4/ip_forward"), None);
    }
}
