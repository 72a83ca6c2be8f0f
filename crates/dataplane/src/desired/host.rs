//! What the desired state must know of the host: its addresses, links and abilities. Taken from an
//! observation, never read here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use causeway_model::{Families, Family, NodePlan, vxlan_overhead};

use crate::device::Device;
use crate::state::{Capabilities, HostAddress, HostLink, Observed};

/// MTU that is assumed of the underlay where its address is on no link of this host: Ethernet's.
const ASSUMED_UNDERLAY_MTU: u32 = 1500;

/// The smallest link MTU with which Linux runs IPv6 on a device (RFC 8200 §5); below it, IPv6
/// addresses are refused and existing ones removed.
pub const IPV6_MIN_MTU: u32 = 1280;

/// Kinds of links (`ip -d link`) that carry packets of a CNI between nodes.
const TUNNEL_KINDS: [&str; 12] = [
    "vxlan",
    "geneve",
    "ipip",
    "sit",
    "ip6tnl",
    "gre",
    "gretap",
    "ip6gre",
    "ip6gretap",
    "wireguard",
    "tun",
    "xfrm",
];

/// What of the host its desired state depends on. Default: a host of which nothing is known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostFacts {
    /// Its addresses, without those on our devices.
    pub addresses: Vec<HostAddress>,
    /// Its links, without our devices.
    pub links: Vec<HostLink>,
    /// Interface indexes of our devices that are there.
    pub tunnels: BTreeMap<Device, u32>,
    /// What its kernel can do.
    pub capabilities: Capabilities,
    /// Overlay addresses of gateways that do not answer its probes. They stay peers, so that they
    /// can be heard of again, but leave the groups, as long as others are left there. No
    /// observation says this: the prober does.
    pub dead: BTreeSet<IpAddr>,
}

impl From<&Observed> for HostFacts {
    fn from(observed: &Observed) -> HostFacts {
        HostFacts {
            addresses: observed.host_addresses.clone(),
            links: observed.host_links.clone(),
            tunnels: observed.devices.iter().map(|(device, found)| (*device, found.index)).collect(),
            capabilities: observed.capabilities,
            dead: BTreeSet::new(),
        }
    }
}

impl HostFacts {
    /// The families that this kernel has.
    pub fn families(&self) -> Families {
        if self.capabilities.ipv6 { Families::DUAL } else { [Family::V4].into_iter().collect() }
    }

    /// The address of this host that equals `address`, with its link.
    pub fn find(&self, address: IpAddr) -> Option<&HostAddress> {
        self.addresses.iter().find(|own| own.address == address)
    }

    /// The families of which `link` holds an address of the node's own pod prefixes: that of the gateway of the pods
    /// behind it.
    pub fn pod_families(&self, node: &NodePlan, link: &HostLink) -> Families {
        let of_pods = |own: &&HostAddress| {
            own.link == link.name && node.local_pods.iter().any(|prefix| prefix.contains(own.address))
        };
        self.addresses.iter().filter(of_pods).map(|own| Family::of(own.address)).collect()
    }

    /// The largest inner packet in bytes of a tunnel from `underlay`; over an address that is not
    /// on this host, that of plain Ethernet.
    pub fn tunnel_mtu(&self, underlay: IpAddr) -> u32 {
        let link = self.find(underlay).map_or(ASSUMED_UNDERLAY_MTU, |own| own.mtu);
        link.saturating_sub(vxlan_overhead(Family::of(underlay)))
    }

    /// Links on which packets arrive whose sources we route elsewhere: those that hold one of
    /// `underlay`, and tunnels of others.
    pub fn links_off_the_return_path<'a>(
        &'a self,
        underlay: &'a [IpAddr],
    ) -> impl Iterator<Item = &'a HostLink> {
        self.links.iter().filter(move |link| {
            TUNNEL_KINDS.contains(&link.kind.as_str())
                || self.addresses.iter().any(|own| own.link == link.name && underlay.contains(&own.address))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tunnel_mtu_is_the_underlay_links_less_the_headers() {
        let address = |address: &str, mtu| HostAddress {
            address: address.parse().unwrap(),
            link: "eth0".to_owned(),
            mtu,
        };
        let host = HostFacts {
            addresses: vec![address("192.0.2.1", 9000), address("2001:db8::1", 9000)],
            ..HostFacts::default()
        };
        assert_eq!(host.tunnel_mtu("192.0.2.1".parse().unwrap()), 8950);
        assert_eq!(host.tunnel_mtu("2001:db8::1".parse().unwrap()), 8930);
        assert_eq!(host.tunnel_mtu("192.0.2.9".parse().unwrap()), 1450);
    }
}
