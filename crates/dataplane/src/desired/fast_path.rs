//! The fast path: packets of settled connections between pods and other clusters pass from device to device, and by all
//! hooks of the IP layer.
//!
//! ```text
//! from_pods    ingress of the pods' ports   known flow: to its VTEP through the tunnel
//! from_nodes   ingress of vx-local          on a gateway, known flow: to its VTEP through vx-bridge
//! into_tunnel  egress of the tunnel         learn what the firewall marked, with the MAC that it goes to
//! from_tunnel  ingress of vx-bridge         known flow from its origin: to the pod, or from a gateway to its node by the CNI
//! to_pods      egress of the pods' bridge   learn what the firewall marked
//! to_nodes     egress of the CNI's tunnel   on a gateway, the same
//! ```
//!
//! The tunnel is the one that leads to other clusters: `vx-bridge`, and on an internal node `vx-local`.
//!
//! What the hooks decide holds here too, since only they let a flow in: our firewall marks packets of connections
//! in which an answer was seen and that nothing translates, and what a gateway passes on untracked. Where such a packet has come through all other chains, the device that
//! it leaves through learns its flow for [`LEASE`](crate::nft::LEASE). Then the next packet goes by the hooks again. So a policy, a route or a firewall that
//! changed holds after that time at the latest, and connection tracking hears of each flow once in it. What opens or ends
//! a connection, a fragment, what is too long for the tunnel and what has no hop left goes by the hooks always.
//!
//! Failover is quicker than that time. So who changes where routes lead has all flows forgotten right after
//! ([`forget_flows`]). Linux
//! waits for packets under way when a group changes (`synchronize_net` in `replace_nexthop_grp`), so none of them is learned after that.
//!
//! Connection tracking does not see all of TCP's sequence numbers then, so the node must have it take them as they come
//! (`nf_conntrack_tcp_be_liberal`; kube-proxy's `conntrack.tcpBeLiberal`): only there is there a fast path. The last
//! packets it saw may have been unanswered, which it gives less time (`nf_conntrack_tcp_timeout_unacknowledged`).

mod table;

pub use table::forget_flows;

use std::collections::BTreeMap;

use causeway_model::{Families, Mac, NodePlan, Prefix, Role};

use super::host::HostFacts;
use crate::device::{Device, Overlay};
use crate::nft::Link;
use crate::state::{HostLink, Vxlan};

/// Kind of the links at whose other end a pod is.
const PORT_KIND: &str = "veth";
/// Kind of the link that has pods behind it, and their gateway address.
const BRIDGE_KIND: &str = "bridge";
/// Kind of the CNI's tunnels that packets can be handed to: they have a link header.
const TUNNEL_KIND: &str = "vxlan";

/// A device that flows are handed to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    /// The device.
    pub link: Link,
    /// Its MAC, from which it sends.
    pub mac: Mac,
    /// The largest packet in bytes that it takes, and every way behind it.
    pub mtu: u16,
}

/// The pods of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pods {
    /// The bridge that they are behind: their gateway.
    pub bridge: End,
    /// Names of its ports, sorted.
    pub ports: Vec<String>,
    /// The families that they have a gateway address of there.
    pub families: Families,
    /// Their addresses.
    pub prefixes: Vec<Prefix>,
    /// Whether packets for them come out of the tunnel; else the CNI brings them.
    pub from_tunnel: bool,
}

/// What a gateway passes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transit {
    /// The name of the tunnel device that packets of the cluster's other nodes come out of.
    pub nodes: String,
    /// The CNI's tunnel to them; `None` if it has none, or several.
    pub cni: Option<End>,
    /// The families that are passed on.
    pub families: Families,
}

/// The ends of a node's fast path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ends {
    /// The tunnel device that leads to other clusters.
    pub tunnel: End,
    /// The node's own pods, where packets can be handed to them.
    pub pods: Option<Pods>,
    /// On a gateway, the other nodes.
    pub transit: Option<Transit>,
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
        // Where no node owns the pods, a request and its reply may pass different nodes.
        if own.intersection(local) != own {
            return None;
        }
        // Addresses that are rewritten without state differ from hook to hook.
        if !host.capabilities.fast_path || !node.translations.is_empty() {
            return None;
        }
        let only = |overlay| {
            let mut of_overlay = devices.iter().filter(|(device, _)| device.overlay == overlay);
            of_overlay.next().filter(|_| of_overlay.next().is_none())
        };
        let (device, vxlan) = only(leading_out(node.role))?;
        let mtu = link_mtu.map_or(vxlan.mtu, |least| least.min(vxlan.mtu));
        let link = Link { name: device.name().to_owned(), index: *host.tunnels.get(device)? };
        let tunnel = End { link, mac: vxlan.mac, mtu: bytes(mtu) };
        let pods = Pods::of(node, mtu, families, host);
        let nodes = only(Overlay::Local).filter(|(nodes, _)| host.tunnels.contains_key(*nodes));
        let transit = nodes.filter(|_| node.role == Role::Gateway).map(|(nodes, _)| Transit {
            nodes: nodes.name().to_owned(),
            cni: tunnel_of_cni(mtu, host),
            families,
        });
        (pods.is_some() || transit.is_some()).then_some(Ends { tunnel, pods, transit })
    }
}

impl Pods {
    /// `mtu` is that of the tunnel.
    fn of(node: &NodePlan, mtu: u32, families: Families, host: &HostFacts) -> Option<Pods> {
        let behind = |link: &&HostLink| !host.pod_families(node, link).intersection(families).is_empty();
        let bridge = host.links.iter().filter(|link| link.kind == BRIDGE_KIND).find(behind)?;
        let is_port = |link: &&HostLink| link.kind == PORT_KIND && link.master == Some(bridge.index);
        let ports: Vec<&HostLink> = host.links.iter().filter(is_port).collect();
        let mut names: Vec<String> = ports.iter().map(|port| port.name.clone()).collect();
        names.sort_unstable();
        // A bridge drops in silence what is too long for a port.
        let narrowest = ports.iter().map(|port| port.mtu).fold(mtu, u32::min);
        Some(Pods {
            bridge: end(bridge, narrowest)?,
            ports: names,
            families: host.pod_families(node, bridge).intersection(families),
            prefixes: node.local_pods.clone(),
            from_tunnel: node.role != Role::Internal,
        })
    }
}

/// The overlay over which a node of this role sends to other clusters.
pub(super) fn leading_out(role: Role) -> Overlay {
    match role {
        Role::Node | Role::Gateway => Overlay::Bridge,
        Role::Internal => Overlay::Local,
    }
}

/// The one tunnel of others that has a link header, for packets of up to `mtu` bytes.
fn tunnel_of_cni(mtu: u32, host: &HostFacts) -> Option<End> {
    let mut tunnels = host.links.iter().filter(|link| link.kind == TUNNEL_KIND);
    let tunnel = tunnels.next().filter(|_| tunnels.next().is_none())?;
    end(tunnel, mtu)
}

fn end(link: &HostLink, mtu: u32) -> Option<End> {
    let mtu = bytes(link.mtu.min(mtu));
    Some(End { link: Link { name: link.name.clone(), index: link.index }, mac: link.mac?, mtu })
}

/// A length that rules can compare with.
fn bytes(mtu: u32) -> u16 {
    u16::try_from(mtu).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use causeway_model::{Family, Translation};

    use super::super::firewall::tests::{self as firewall, around};
    use super::*;
    use crate::nft::{Action, Match, Rule};
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

    fn named(name: &str, index: u32) -> Link {
        Link { name: name.to_owned(), index }
    }

    fn names(ends: &Ends) -> Vec<String> {
        ends.ruleset(&[]).chains.into_iter().map(|chain| chain.name).collect()
    }

    #[test]
    fn it_leads_from_the_ports_of_the_pods_bridge_to_the_tunnel() {
        let found = ends(&node(), &host()).unwrap();
        assert_eq!((&found.tunnel.link, found.tunnel.mtu), (&named("vx-bridge", 10), 1450));
        let pods = found.pods.unwrap();
        assert_eq!(pods.bridge, End { link: named("cni0", 5), mac: Mac([2, 0, 0, 0, 0, 5]), mtu: 1450 });
        assert_eq!(
            (pods.ports, pods.families),
            (vec!["veth8".to_owned(), "veth9".to_owned()], Families::DUAL)
        );
        let mtus = |ends: Ends| (ends.tunnel.mtu, ends.pods.unwrap().bridge.mtu);
        let narrow = Ends::of(&node(), &tunnels(), Some(1400), Families::DUAL, &host()).unwrap();
        assert_eq!(mtus(narrow), (1400, 1400));
        // A bridge drops in silence what is too long for a port.
        let mut host = host();
        host.links.iter_mut().filter(|link| link.name == "veth8").for_each(|link| link.mtu = 1420);
        assert_eq!(mtus(ends(&node(), &host).unwrap()), (1450, 1420));
    }

    #[test]
    fn a_gateway_passes_on_what_others_have_and_an_internal_node_sends_to_it() {
        let mut host = host();
        host.tunnels.insert(Device::from_name("vx-local").unwrap(), 11);
        let ends = |role, host: &HostFacts| {
            let devices = around(match role {
                Role::Internal => &["vx-local"],
                _ => &["vx-bridge", "vx-local"],
            });
            Ends::of(&firewall::node(role), &devices.devices, None, Families::DUAL, host)
        };
        let gateway = ends(Role::Gateway, &host).unwrap();
        assert_eq!(gateway.tunnel.link, named("vx-bridge", 10));
        let transit = gateway.transit.as_ref().unwrap();
        assert_eq!((transit.nodes.as_str(), transit.families), ("vx-local", Families::DUAL));
        let flannel = End { link: named("flannel.1", 4), mac: Mac([2, 0, 0, 0, 0, 4]), mtu: 1450 };
        assert_eq!(transit.cni, Some(flannel));
        assert_eq!(
            names(&gateway),
            ["from_tunnel", "into_tunnel", "to_pods", "to_nodes", "from_nodes", "from_pods"]
        );

        let internal = ends(Role::Internal, &host).unwrap();
        assert_eq!(internal.tunnel.link, named("vx-local", 11));
        assert_eq!(names(&internal), ["into_tunnel", "from_pods"]);

        let rules = |ends: &Ends, chain: &str| -> Vec<Rule> {
            let all = ends.ruleset(&[]).chains;
            all.into_iter().filter(|one| one.name == chain).flat_map(|chain| chain.rules).collect()
        };
        // Of what goes into the tunnel the source says whether a pod of this node may send more of it.
        let into = rules(&gateway, "into_tunnel");
        let maps: Vec<(bool, &str)> = into
            .iter()
            .filter_map(|rule| match &rule.action {
                Action::Learn(_, map) => {
                    Some((rule.matches.iter().any(|one| matches!(one, Match::Source(..))), map.as_str()))
                }
                _ => None,
            })
            .collect();
        let of = |map: &'static str, own: bool| [(own, map); 2];
        let expected =
            [of("outbound4", true), of("outbound6", true), of("transit4", false), of("transit6", false)];
        assert_eq!(maps, expected.concat());
        let clears = |chain: &str| -> Vec<bool> {
            let clears = |rule: &Rule| matches!(rule.action, Action::Encapsulate { clear_label: true, .. });
            rules(&gateway, chain).iter().map(clears).collect()
        };
        assert_eq!(clears("from_pods"), [false, false, true, true]);
        assert_eq!(clears("from_nodes"), [false; 4]);

        // Which of two tunnels leads to a pod, no packet says before it is there.
        let mut two = host.clone();
        two.links.push(link(12, "flannel-v6.1", "vxlan", None));
        assert_eq!(ends(Role::Gateway, &two).unwrap().transit.unwrap().cni, None);
        // A gateway has pods of its own or not.
        host.links.retain(|link| link.kind != BRIDGE_KIND);
        assert_eq!(
            names(&ends(Role::Gateway, &host).unwrap()),
            ["from_tunnel", "into_tunnel", "to_nodes", "from_nodes"]
        );
        assert_eq!(ends(Role::Internal, &host), None);
    }

    #[test]
    fn without_pods_nothing_comes_from_them_and_all_else_is_there() {
        let mut host = host();
        host.links.retain(|link| link.kind != PORT_KIND);
        assert_eq!(names(&ends(&node(), &host).unwrap()), ["from_tunnel", "into_tunnel", "to_pods"]);
    }

    #[test]
    fn a_family_that_pods_have_no_gateway_of_has_none() {
        let mut host = host();
        host.addresses.retain(|own| own.address.is_ipv4());
        let only_v4: Families = [Family::V4].into_iter().collect();
        let ends = ends(&node(), &host).unwrap();
        assert_eq!(ends.pods.as_ref().unwrap().families, only_v4);
        assert!(ends.ruleset(&[]).sets.iter().all(|set| set.family == Family::V4));
    }

    #[test]
    fn there_is_none_where_it_would_not_work_or_not_be_right() {
        type Change = fn(&mut NodePlan, &mut HostFacts);
        let real = "10.1.0.0/16".parse().unwrap();
        assert!(ends(&node(), &host()).is_some());
        let changes: [(&str, Change); 6] = [
            ("pods of a family that no node owns", |node, _| {
                node.local_pods.retain(|prefix| prefix.family() == Family::V4);
            }),
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
        let two = around(&["vx-bridge", "vx-bridge6"]).devices;
        assert_eq!(Ends::of(&node(), &two, None, Families::DUAL, &host()), None);
    }

    #[test]
    fn more_ports_than_a_chain_takes_have_several_chains() {
        let mut ends = ends(&node(), &host()).unwrap();
        ends.pods.as_mut().unwrap().ports = (0..600).map(|n| format!("veth{n:03}")).collect();
        let ruleset = ends.ruleset(&[]);
        let ports = |name: &str| {
            ruleset.chains.iter().find(|chain| chain.name == name).map(|chain| chain.base.devices.len())
        };
        assert_eq!(["from_pods", "from_pods2", "from_pods3"].map(ports), [Some(256), Some(256), Some(88)]);
    }
}
