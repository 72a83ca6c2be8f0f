//! Clustersets as a node sees them: few clusters and peers, all shapes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use causeway_dataplane::desired::sysctls;
use causeway_dataplane::state::{Capabilities, HostAddress, HostLink, Observed};
use causeway_model::{
    DualStack, Families, Family, LinkId, LinkPlan, LinkPrefix, Mac, NodeId, NodePlan, OverlayAddresses,
    OwnPrefixes, Peer, Prefix, PrefixKind, Role, Scope, SliceId, SlicePlan, Transport, Tunnel, Tunnels,
    UdpPort, Via, Vni, Vtep,
};
use proptest::prelude::*;

/// Nodes per cluster at most.
pub const NODES: usize = 4;

/// Families of an end, inside and outside of the tunnel.
#[derive(Clone, Debug)]
pub struct End {
    pub inner: Families,
    pub outer: Families,
    /// Which of two underlay addresses it has.
    pub moved: bool,
}

/// How a remote cluster is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// P2P: pods by node, services over carriers.
    Nodes,
    /// Gateway.
    Gateways,
    /// P2P without prefixes of nodes.
    Carriers,
}

#[derive(Clone, Debug)]
pub struct Remote {
    pub shape: Shape,
    /// The nodes that are there.
    pub nodes: Vec<Option<End>>,
    /// Which of them are gateways or carriers.
    pub carriers: Vec<bool>,
    /// Which of its prefixes the link has: pods, services, overlay, and a piece of the next
    /// cluster's.
    pub shown: [bool; 4],
    pub mtu: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct World {
    pub role: Role,
    pub end: End,
    /// The node's place in its block.
    pub index: u8,
    /// Numbers of the two tunnels: as usual, other ports, or exchanged.
    pub numbers: u8,
    pub underlay_mtu: u32,
    pub own: Vec<Option<End>>,
    pub own_gateways: Vec<bool>,
    pub remotes: Vec<Option<Remote>>,
}

pub struct Plans {
    pub node: NodePlan,
    pub links: Vec<LinkPlan>,
    pub slices: Vec<SlicePlan>,
}

pub fn v4() -> Families {
    [Family::V4].into_iter().collect()
}

pub fn v6() -> Families {
    [Family::V6].into_iter().collect()
}

pub fn dual() -> End {
    End { inner: Families::DUAL, outer: v4(), moved: false }
}

fn any_families() -> impl Strategy<Value = Families> {
    prop_oneof![6 => Just(Families::DUAL), 1 => Just(v4()), 1 => Just(v6())]
}

fn any_end() -> impl Strategy<Value = End> {
    let outer = prop_oneof![4 => Just(v4()), 2 => Just(Families::DUAL), 1 => Just(v6())];
    (any_families(), outer, prop::bool::weighted(0.1)).prop_map(|(inner, outer, moved)| End {
        inner,
        outer,
        moved,
    })
}

fn any_ends() -> impl Strategy<Value = Vec<Option<End>>> {
    prop::collection::vec(prop::option::weighted(0.7, any_end()), NODES)
}

fn any_flags() -> impl Strategy<Value = Vec<bool>> {
    prop::collection::vec(prop::bool::weighted(0.6), NODES)
}

fn any_remote() -> impl Strategy<Value = Remote> {
    let shape = prop_oneof![Just(Shape::Nodes), Just(Shape::Gateways), Just(Shape::Carriers)];
    let flag = || prop::bool::weighted(0.8);
    let shown = [flag(), flag(), flag(), prop::bool::weighted(0.3)];
    let mtu = prop_oneof![3 => Just(None), 1 => Just(Some(1400)), 1 => Just(Some(1200))];
    (shape, any_ends(), any_flags(), shown, mtu).prop_map(|(shape, nodes, carriers, shown, mtu)| Remote {
        shape,
        nodes,
        carriers,
        shown,
        mtu,
    })
}

pub fn any_world() -> impl Strategy<Value = World> {
    let role = prop_oneof![Just(Role::Node), Just(Role::Gateway), Just(Role::Internal)];
    let index = prop_oneof![6 => Just(0u8), 1 => Just(9u8)];
    let numbers = prop_oneof![8 => Just(0u8), 1 => Just(1u8), 1 => Just(2u8)];
    let mtu = prop_oneof![8 => Just(1500u32), 1 => Just(9000), 1 => Just(1320)];
    let remotes = prop::collection::vec(prop::option::weighted(0.8, any_remote()), 3);
    let own_end = prop_oneof![2 => Just(dual()), 1 => any_end()];
    (role, own_end, index, numbers, mtu, any_ends(), any_flags(), remotes).prop_map(
        |(role, end, index, numbers, underlay_mtu, own, own_gateways, remotes)| World {
            role,
            end,
            index,
            numbers,
            underlay_mtu,
            own,
            own_gateways,
            remotes,
        },
    )
}

fn underlay(cluster: usize, node: usize, end: &End) -> DualStack<Option<IpAddr>> {
    let last = (node * 2 + usize::from(end.moved) + 1) as u8;
    let cluster = cluster as u8;
    let of = |family| match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(192, 0, cluster, last)),
        Family::V6 => {
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, u16::from(cluster), u16::from(last)))
        }
    };
    DualStack::from_fn(|family| end.outer.contains(family).then(|| of(family)))
}

fn overlay(cluster: usize, index: usize) -> OverlayAddresses {
    OverlayAddresses {
        v4: Ipv4Addr::new(198, 18, cluster as u8, index as u8 + 1),
        v6: Ipv6Addr::new(0xfd43, 0, 0, 0, 0, 0, cluster as u16, index as u16 + 1),
    }
}

pub fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn pods(cluster: usize) -> [Prefix; 2] {
    [prefix(&format!("10.{}.0.0/16", 10 + cluster)), prefix(&format!("fd10:{cluster}::/48"))]
}

fn pods_of(cluster: usize, node: usize) -> [Prefix; 2] {
    [prefix(&format!("10.{}.{node}.0/24", 10 + cluster)), prefix(&format!("fd10:{cluster}:0:{node}::/64"))]
}

fn services(cluster: usize) -> [Prefix; 2] {
    [prefix(&format!("10.{}.0.0/16", 90 + cluster)), prefix(&format!("fd90:{cluster}::/112"))]
}

fn block(cluster: usize) -> [Prefix; 2] {
    [prefix(&format!("198.18.{cluster}.0/24")), prefix(&format!("fd43::{cluster}:0/120"))]
}

fn peers(
    cluster: usize,
    nodes: &[Option<End>],
    chosen: impl Fn(usize) -> bool,
    with_pods: bool,
) -> Vec<Peer> {
    let there = nodes.iter().enumerate().filter_map(|(node, end)| Some((node, end.as_ref()?)));
    there
        .filter(|(node, _)| chosen(*node))
        .map(|(node, end)| Peer {
            node: format!("n{node}").parse().unwrap(),
            vtep: Vtep {
                underlay: underlay(cluster, node, end),
                overlay: overlay(cluster, node),
                families: end.inner,
            },
            prefixes: if with_pods {
                pods_of(cluster, node).into_iter().filter(|p| end.inner.contains(p.family())).collect()
            } else {
                Vec::new()
            },
        })
        .collect()
}

fn slice(cluster: usize, scope: Scope, peers: Vec<Peer>) -> SlicePlan {
    SlicePlan { id: SliceId { cluster: format!("c{cluster}").parse().unwrap(), scope, index: 0 }, peers }
}

impl Remote {
    fn link(&self, cluster: usize) -> LinkPlan {
        let (pods_via, rest_via, overlay_via) = match self.shape {
            Shape::Nodes => (Via::Nodes, Via::Gateways, Via::Nodes),
            Shape::Gateways => (Via::Gateways, Via::Gateways, Via::Gateways),
            Shape::Carriers => (Via::Gateways, Via::Gateways, Via::Nodes),
        };
        let parts = [
            (pods(cluster), PrefixKind::Pod, pods_via),
            (services(cluster), PrefixKind::Service, rest_via),
            (block(cluster), PrefixKind::Overlay, overlay_via),
            (pods_of(cluster + 1, 1), PrefixKind::Service, rest_via),
        ];
        let shown = parts.into_iter().zip(self.shown).filter(|(_, shown)| *shown);
        let mut prefixes: Vec<LinkPrefix> = shown
            .flat_map(|((both, kind, via), _)| both.map(|prefix| LinkPrefix { prefix, kind, via }))
            .collect();
        prefixes.sort();
        LinkPlan {
            id: LinkId { source: "c0".parse().unwrap(), remote: format!("c{cluster}").parse().unwrap() },
            via: if self.shape == Shape::Gateways { Via::Gateways } else { Via::Nodes },
            transport: Transport::Vxlan,
            prefixes,
            mtu: self.mtu,
            findings: Vec::new(),
        }
    }

    fn slices(&self, cluster: usize) -> [SlicePlan; 2] {
        let all = self.shape != Shape::Gateways;
        let with_pods = self.shape == Shape::Nodes;
        [
            slice(cluster, Scope::Nodes, peers(cluster, &self.nodes, |_| all, with_pods)),
            slice(cluster, Scope::Gateways, peers(cluster, &self.nodes, |n| self.carriers[n], false)),
        ]
    }
}

impl World {
    /// A node of role `role` in a cluster of its own, without any remote one.
    pub fn quiet(role: Role) -> World {
        World {
            role,
            end: dual(),
            index: 9,
            numbers: 0,
            underlay_mtu: 1500,
            own: vec![None; NODES],
            own_gateways: vec![true; NODES],
            remotes: Vec::new(),
        }
    }

    pub fn plans(&self) -> Plans {
        let present = self.remotes.iter().enumerate().filter_map(|(i, r)| Some((i + 1, r.as_ref()?)));
        let mut slices: Vec<SlicePlan> =
            present.clone().flat_map(|(cluster, remote)| remote.slices(cluster)).collect();
        slices.push(slice(0, Scope::Nodes, peers(0, &self.own, |_| true, true)));
        slices.push(slice(0, Scope::Gateways, peers(0, &self.own, |node| self.own_gateways[node], false)));
        Plans {
            node: self.node(),
            links: present.map(|(cluster, remote)| remote.link(cluster)).collect(),
            slices,
        }
    }

    fn node(&self) -> NodePlan {
        let tunnel = |vni, port| Some(Tunnel { vni: Vni(vni), port: UdpPort(port) });
        let (bridge, local) = match self.numbers {
            0 => (tunnel(54, 4876), tunnel(55, 4877)),
            1 => (tunnel(54, 5000), tunnel(55, 4877)),
            _ => (tunnel(55, 4877), tunnel(54, 4876)),
        };
        NodePlan {
            id: NodeId { cluster: "c0".parse().unwrap(), node: format!("n{}", self.index).parse().unwrap() },
            role: self.role,
            vtep: Vtep {
                underlay: underlay(0, 9, &self.end),
                overlay: overlay(0, usize::from(self.index)),
                families: self.end.inner,
            },
            tunnels: Tunnels { bridge, local },
            own: OwnPrefixes {
                pods: pods(0).to_vec(),
                services: services(0).to_vec(),
                overlay: block(0).to_vec(),
            },
            local_pods: pods_of(0, 9).to_vec(),
            translations: Vec::new(),
        }
    }

    /// Gives the host the underlay addresses of this world and their MTU.
    pub fn tell_host(&self, observed: &mut Observed) {
        let both = End { outer: Families::DUAL, ..self.end.clone() };
        let underlay = underlay(0, 9, &both);
        let of_eth0 = underlay.addresses().map(|address| ("eth0", address));
        let gateways = pods_of(0, 9).map(|pods| ("cni0", pods.first()));
        observed.host_addresses = of_eth0
            .chain(gateways)
            .map(|(link, address)| HostAddress { address, link: link.to_owned(), mtu: self.underlay_mtu })
            .collect();
    }
}

/// A host without anything of ours. Whether it is able to do the one thing or the other goes together.
pub fn empty_host(able: bool) -> Observed {
    let link = |index, name: &str, kind: &str, master| HostLink {
        index,
        master,
        mac: Some(Mac([2, 0, 0, 0, 0, index as u8])),
        mtu: 1500,
        name: name.to_owned(),
        kind: kind.to_owned(),
        rp_filter: 1,
    };
    let links = vec![
        link(2, "eth0", "", None),
        link(3, "flannel.1", "vxlan", None),
        link(4, "cni0", "bridge", None),
        link(5, "veth1", "veth", Some(4)),
    ];
    let settings = sysctls::all(links.iter().map(|link| link.name.as_str()));
    Observed {
        sysctls: settings
            .into_iter()
            .filter(|path| sysctls::device_of(path).is_none())
            .map(|path| {
                let value = if path.0.ends_with("rp_filter") { "1" } else { "0" };
                (path, value.to_owned())
            })
            .collect(),
        host_links: links,
        capabilities: Capabilities {
            resilient_groups: able,
            ipv6: true,
            iptables_legacy: false,
            fast_path: able,
        },
        ..Observed::default()
    }
}
