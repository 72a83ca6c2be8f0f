//! The fast path: packets of settled connections between this node's pods and other clusters pass from device to device,
//! and by all hooks of the IP layer.
//!
//! ```text
//! from_pods    ingress of the pods' ports    known flow: to its VTEP through the tunnel
//! into_tunnel  egress of the tunnel          learn what the firewall marked, with the MAC that it goes to
//! from_tunnel  ingress of the tunnel         known flow from its origin: to the pod
//! to_pods      egress of the pods' bridge    learn what the firewall marked
//! ```
//!
//! What the hooks decide holds here too, since only they let a flow in: our forward chain marks packets of connections
//! in which an answer was seen and that nothing translates, and where such a packet has come through all other chains, the device that
//! it leaves through learns its flow for [`LEASE`](crate::nft::LEASE). Then the next packet goes by the hooks again. So a policy, a route or a firewall that
//! changed holds after that time at the latest, and connection tracking hears of each flow once in it. What opens or ends
//! a connection, a fragment, what is too long for the tunnel and what has no hop left goes by the hooks always.
//!
//! Connection tracking does not see all of TCP's sequence numbers then, so the node must have it take them as they come
//! (`nf_conntrack_tcp_be_liberal`; kube-proxy's `conntrack.tcpBeLiberal`): only there is there a fast path. The last
//! packets it saw may have been unanswered, which it gives less time (`nf_conntrack_tcp_timeout_unacknowledged`).
//!
//! Only where several nodes do not share in a destination: a flow would stay with one of them for its time, whatever became of it.

use std::collections::BTreeMap;

use causeway_model::{Families, Family, Mac, NodePlan, Prefix, Role};

use super::firewall::sets::{digit, origins_of};
use super::firewall::{chain_at, rule};
use super::host::HostFacts;
use crate::device::{Device, Overlay};
use crate::nft::{
    Action, Chain, ChainType, Elements, Hook, Link, Match, Origin, Protocol, Rule, Ruleset, Set, TableKind,
};
use crate::state::{HostLink, Vxlan};

/// `NF_IP_PRI_FILTER`; nothing of ours is before or behind it.
const PRIORITY: i32 = 0;
/// `NFT_NETDEVICE_MAX`: devices of one chain.
const MOST_DEVICES: usize = 256;
/// Kind of the links at whose other end a pod is.
const PORT_KIND: &str = "veth";
/// Kind of the link that has pods behind it, and their gateway address.
const BRIDGE_KIND: &str = "bridge";

/// The ends of a node's fast path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ends {
    /// The tunnel device.
    pub tunnel: Link,
    /// Its MAC.
    pub mac: Mac,
    /// The largest packet in bytes that it takes, and every way behind it.
    pub mtu: u16,
    /// The bridge that this node's pods are behind.
    pub bridge: Link,
    /// Its MAC: that of the pods' gateway.
    pub bridge_mac: Mac,
    /// The largest packet in bytes that it and its ports take, and that comes out of the tunnel.
    pub bridge_mtu: u16,
    /// Names of its ports, sorted.
    pub ports: Vec<String>,
    /// The families that pods have a gateway address of there.
    pub families: Families,
}

impl Ends {
    /// Those of a node on this host; `None` where a fast path is not possible, or would not be right.
    pub fn of(
        node: &NodePlan,
        devices: &BTreeMap<Device, Vxlan>,
        link_mtu: Option<u32>,
        families: Families,
        host: &HostFacts,
    ) -> Option<Ends> {
        let of = |prefixes: &[Prefix]| -> Families { prefixes.iter().map(Prefix::family).collect() };
        let (own, local) = (of(&node.own.pods).intersection(families), of(&node.local_pods));
        // Where no node owns the pods, foreign chains accept what is marked.
        if own.intersection(local) != own {
            return None;
        }
        // Addresses that are rewritten without state differ from hook to hook.
        if !host.capabilities.fast_path || node.role != Role::Node || !node.translations.is_empty() {
            return None;
        }
        let (device, vxlan) = devices.first_key_value().filter(|_| devices.len() == 1)?;
        let index = *host.tunnels.get(device).filter(|_| device.overlay == Overlay::Bridge)?;
        let behind = |link: &&HostLink| !host.pod_families(node, link).intersection(families).is_empty();
        let bridge = host.links.iter().filter(|link| link.kind == BRIDGE_KIND).find(behind)?;
        let is_port = |link: &&HostLink| link.kind == PORT_KIND && link.master == Some(bridge.index);
        let ports: Vec<&HostLink> = host.links.iter().filter(is_port).collect();
        let mut names: Vec<String> = ports.iter().map(|port| port.name.clone()).collect();
        names.sort_unstable();
        let mtu = link_mtu.map_or(vxlan.mtu, |least| least.min(vxlan.mtu));
        let of_pods = ports.iter().map(|port| port.mtu).fold(bridge.mtu, u32::min);
        Some(Ends {
            tunnel: Link { name: device.name().to_owned(), index },
            mac: vxlan.mac,
            mtu: bytes(mtu),
            bridge: Link { name: bridge.name.clone(), index: bridge.index },
            bridge_mac: bridge.mac?,
            bridge_mtu: bytes(of_pods.min(mtu)),
            ports: names,
            families: host.pod_families(node, bridge).intersection(families),
        })
    }

    /// The table of these ends, into which these may send.
    pub fn ruleset(&self, origins: &[Origin]) -> Ruleset {
        let mut sets = Vec::new();
        for family in self.families.iter() {
            sets.extend([
                Set { name: inbound(family), family, elements: Elements::Flows },
                Set { name: outbound(family), family, elements: Elements::Flows },
                Set { name: origin_set(family), family, elements: origins_of(origins, family) },
            ]);
        }
        sets.sort_by(|a, b| a.name.cmp(&b.name));
        let (tunnel, bridge) = (vec![self.tunnel.name.clone()], vec![self.bridge.name.clone()]);
        let mut chains = vec![
            hooked("from_tunnel", Hook::Ingress, tunnel.clone(), self.rules(|f, p| self.inward(f, p))),
            hooked("into_tunnel", Hook::Egress, tunnel, self.learning(outbound)),
            hooked("to_pods", Hook::Egress, bridge, self.learning(inbound)),
        ];
        for (ports, number) in self.ports.chunks(MOST_DEVICES).zip(1..) {
            let name = if number == 1 { "from_pods".to_owned() } else { format!("from_pods{number}") };
            let rules = self.rules(|family, protocol| self.outward(family, protocol));
            chains.push(hooked(&name, Hook::Ingress, ports.to_vec(), rules));
        }
        Ruleset { kind: TableKind::Netdev, sets, chains, accept_in_foreign_forward: Vec::new() }
    }

    fn rules(&self, of: impl Fn(Family, Protocol) -> Rule) -> Vec<Rule> {
        self.families
            .iter()
            .flat_map(|family| [of(family, Protocol::Tcp), of(family, Protocol::Udp)])
            .collect()
    }

    /// What is not passed on is counted by the firewall, so origins are asked for last.
    fn inward(&self, family: Family, protocol: Protocol) -> Rule {
        let mut matches = may_pass(family, protocol, self.bridge_mtu);
        matches.push(Match::Flow(family, inbound(family)));
        matches.push(Match::Origin(family, origin_set(family)));
        let (source, to) = (self.bridge_mac, self.bridge.clone());
        rule(matches, Action::Deliver { family, protocol, source, to }, PASSED)
    }

    /// Of what a port sends, that which is for the gateway.
    fn outward(&self, family: Family, protocol: Protocol) -> Rule {
        let mut matches = may_pass(family, protocol, self.mtu);
        matches.push(Match::ToMac(self.bridge_mac));
        matches.push(Match::Flow(family, outbound(family)));
        rule(matches, Action::Encapsulate { source: self.mac, to: self.tunnel.clone() }, PASSED)
    }

    fn learning(&self, flows: fn(Family) -> String) -> Vec<Rule> {
        let mut rules = vec![
            rule(vec![Match::Unmarked], Action::Accept, "not of a settled connection"),
            rule(Vec::new(), Action::Unmark, "the mark stays on this node"),
        ];
        for family in self.families.iter() {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let matches = vec![Match::Protocol(family, protocol)];
                rules.push(rule(matches, Action::Learn(family, flows(family)), "let through for a while"));
            }
        }
        rules
    }
}

const PASSED: &str = "a flow that was let through";

/// A length that rules can compare with.
fn bytes(mtu: u32) -> u16 {
    u16::try_from(mtu).unwrap_or(u16::MAX)
}

/// What of a known flow need not go by the hooks.
fn may_pass(family: Family, protocol: Protocol, mtu: u16) -> Vec<Match> {
    let mut matches = vec![Match::Protocol(family, protocol), Match::MoreHops(family)];
    matches.extend((family == Family::V4).then_some(Match::PlainHeader));
    // The size of TCP's segments was agreed on by what the firewall has both ends announce. Those that a device has put
    // together are longer than each of them.
    matches.push(match protocol {
        Protocol::Tcp => Match::TcpGoesOn,
        Protocol::Udp => Match::LengthUpTo(family, mtu),
    });
    matches
}

fn inbound(family: Family) -> String {
    format!("inbound{}", digit(family))
}

fn outbound(family: Family) -> String {
    format!("outbound{}", digit(family))
}

fn origin_set(family: Family) -> String {
    format!("origins{}", digit(family))
}

fn hooked(name: &str, hook: Hook, devices: Vec<String>, rules: Vec<Rule>) -> Chain {
    chain_at(name, (ChainType::Filter, hook, PRIORITY), devices, rules)
}

#[cfg(test)]
mod tests {
    use causeway_model::Translation;

    use super::super::firewall::tests::{self as firewall, around};
    use super::*;
    use crate::state::{Capabilities, HostAddress};

    fn node() -> NodePlan {
        firewall::node(Role::Node)
    }

    fn tunnels() -> BTreeMap<Device, Vxlan> {
        around(&["vx-bridge"]).devices
    }

    fn link(index: u32, name: &str, kind: &str, master: Option<u32>) -> HostLink {
        let mac = Some(Mac([2, 0, 0, 0, 0, index as u8]));
        HostLink { index, master, mac, mtu: 1500, name: name.to_owned(), kind: kind.to_owned(), rp_filter: 0 }
    }

    /// Pods of both families behind `cni0`, an address of theirs on flannel's device too.
    fn host() -> HostFacts {
        let address = |address: &str, link: &str| HostAddress {
            address: address.parse().unwrap(),
            link: link.to_owned(),
            mtu: 1500,
        };
        HostFacts {
            addresses: vec![
                address("192.0.2.1", "eth0"),
                address("10.1.1.0", "flannel.1"),
                address("10.1.1.1", "cni0"),
                address("fd00:1:0:1::1", "cni0"),
                address("172.17.0.1", "docker0"),
            ],
            links: vec![
                link(2, "eth0", "", None),
                link(3, "docker0", "bridge", None),
                link(4, "flannel.1", "vxlan", None),
                link(5, "cni0", "bridge", None),
                link(9, "veth9", "veth", Some(5)),
                link(8, "veth8", "veth", Some(5)),
                link(7, "veth7", "veth", Some(3)),
                link(6, "tap6", "tun", Some(5)),
            ],
            tunnels: BTreeMap::from([(Device::from_name("vx-bridge").unwrap(), 10)]),
            capabilities: Capabilities { fast_path: true, ..Capabilities::default() },
            ..HostFacts::default()
        }
    }

    fn ends(node: &NodePlan, host: &HostFacts) -> Option<Ends> {
        Ends::of(node, &tunnels(), None, Families::DUAL, host)
    }

    #[test]
    fn it_leads_from_the_ports_of_the_pods_bridge_to_the_tunnel() {
        let ends = ends(&node(), &host()).unwrap();
        assert_eq!(ends.tunnel, Link { name: "vx-bridge".to_owned(), index: 10 });
        assert_eq!(ends.bridge, Link { name: "cni0".to_owned(), index: 5 });
        assert_eq!(ends.bridge_mac, Mac([2, 0, 0, 0, 0, 5]));
        assert_eq!(ends.ports, ["veth8", "veth9"]);
        assert_eq!((ends.families, ends.mtu, ends.bridge_mtu), (Families::DUAL, 1450, 1450));
        let narrow = Ends::of(&node(), &tunnels(), Some(1400), Families::DUAL, &host()).unwrap();
        assert_eq!((narrow.mtu, narrow.bridge_mtu), (1400, 1400));
        // A bridge drops in silence what is too long for a port.
        let mut host = host();
        host.links.iter_mut().filter(|link| link.name == "veth8").for_each(|link| link.mtu = 1420);
        let narrow = super::tests::ends(&node(), &host).unwrap();
        assert_eq!((narrow.mtu, narrow.bridge_mtu), (1450, 1420));
    }

    #[test]
    fn without_pods_nothing_comes_from_them_and_all_else_is_there() {
        let mut host = host();
        host.links.retain(|link| link.kind != PORT_KIND);
        let chains = ends(&node(), &host).unwrap().ruleset(&[]).chains;
        let names: Vec<&str> = chains.iter().map(|chain| chain.name.as_str()).collect();
        assert_eq!(names, ["from_tunnel", "into_tunnel", "to_pods"]);
    }

    #[test]
    fn a_family_that_pods_have_no_gateway_of_has_none() {
        let mut host = host();
        host.addresses.retain(|own| own.address.is_ipv4());
        let only_v4: Families = [Family::V4].into_iter().collect();
        let ends = ends(&node(), &host).unwrap();
        assert_eq!(ends.families, only_v4);
        assert!(ends.ruleset(&[]).sets.iter().all(|set| set.family == Family::V4));
    }

    #[test]
    fn there_is_none_where_it_would_not_work_or_not_be_right() {
        type Change = fn(&mut NodePlan, &mut HostFacts);
        let real = "10.1.0.0/16".parse().unwrap();
        assert!(ends(&node(), &host()).is_some());
        let changes: [(&str, Change); 7] = [
            ("pods of a family that no node owns", |node, _| {
                node.local_pods.retain(|prefix| prefix.family() == Family::V4);
            }),
            ("a gateway", |node, _| node.role = Role::Gateway),
            ("pods of no node", |node, _| node.local_pods.clear()),
            ("a kernel that cannot", |_, host| host.capabilities.fast_path = false),
            ("no tunnel yet", |_, host| host.tunnels.clear()),
            ("no bridge", |_, host| host.links.retain(|link| link.kind != "bridge")),
            ("a bridge of others", |_, host| host.addresses.retain(|own| own.link != "cni0")),
        ];
        for (what, change) in changes {
            let (mut node, mut host) = (node(), host());
            change(&mut node, &mut host);
            assert_eq!(ends(&node, &host), None, "{what}");
        }
        let mut translated = node();
        translated.translations.push(Translation { real, global: "100.64.0.0/16".parse().unwrap() });
        assert_eq!(ends(&translated, &host()), None);
        let mut two = tunnels();
        two.extend(tunnels().into_values().map(|vxlan| (Device::from_name("vx-bridge6").unwrap(), vxlan)));
        assert_eq!(Ends::of(&node(), &two, None, Families::DUAL, &host()), None);
    }

    #[test]
    fn more_ports_than_a_chain_takes_have_several_chains() {
        let mut ends = ends(&node(), &host()).unwrap();
        ends.ports = (0..600).map(|n| format!("veth{n:03}")).collect();
        let ruleset = ends.ruleset(&[]);
        let ports = |name: &str| {
            ruleset.chains.iter().find(|chain| chain.name == name).map(|chain| chain.base.devices.len())
        };
        assert_eq!(["from_pods", "from_pods2", "from_pods3"].map(ports), [Some(256), Some(256), Some(88)]);
    }
}
