//! Facts of clustersets of any size, for tests and benches: the same numbers always give the same facts.
//!
//! Cluster `i` has pods in its own parts of 10.0.0.0/8 and fd00::/16 and services in its own parts of
//! 172.16.0.0/12 and fd01::/16; underlay addresses of nodes come from 100.64.0.0/11 and 2001:db8::/32.
//! Nothing overlaps.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use causeway_model::{
    Age, ClusterFacts, ClusterName, DualStack, Families, Family, GatewayPolicy, GlobalCidrs, LabelSelector,
    Mode, NodeFacts, NodeId, NodeName, Prefix, Readiness,
};

use crate::Event;

/// Modes of the clusters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Modes {
    /// All are P2P.
    P2p,
    /// All are Gateway.
    Gateway,
    /// P2P and Gateway in turn, beginning with P2P.
    Half,
}

impl Modes {
    fn of(self, cluster: usize) -> Mode {
        match self {
            Modes::P2p => Mode::P2p,
            Modes::Gateway => Mode::Gateway,
            Modes::Half => [Mode::P2p, Mode::Gateway][cluster % 2],
        }
    }
}

/// The size and kind of a clusterset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// How many clusters, at most 128; without IPv4 999.
    pub clusters: usize,
    /// How many nodes in all, spread evenly over the clusters; at most 8,192 in one cluster, without IPv4 65,534.
    pub nodes: usize,
    /// How the clusters are reached.
    pub modes: Modes,
    /// Families of pods, services and underlay. Without IPv4 there is no cluster that can be reached
    /// over IPv4.
    pub families: Families,
}

impl Shape {
    /// How many nodes cluster `cluster` has.
    pub fn nodes_of(&self, cluster: usize) -> usize {
        let base = self.nodes / self.clusters.max(1);
        base + usize::from(cluster < self.nodes % self.clusters.max(1))
    }

    /// Every fact as an event: each cluster, then its nodes.
    pub fn events(&self) -> impl Iterator<Item = Event> + '_ {
        (0..self.clusters).flat_map(move |cluster| {
            let nodes = (0..self.nodes_of(cluster)).map(move |index| Event::Node(self.node(cluster, index)));
            std::iter::once(Event::Cluster(self.cluster(cluster))).chain(nodes)
        })
    }

    /// The facts of one cluster.
    pub fn cluster(&self, cluster: usize) -> ClusterFacts {
        ClusterFacts {
            name: cluster_name(cluster),
            age: Age::Created(1_700_000_000 + cluster as i64),
            mode: Some(self.modes.of(cluster)),
            families: self.families,
            pods: self.families.iter().map(|family| pod_cidr(cluster, family)).collect(),
            services: self.families.iter().map(|family| service_cidr(cluster, family)).collect(),
            gateways: GatewayPolicy::default(),
            nodes: LabelSelector::default(),
            globals: GlobalCidrs::Off,
            transport: None,
            underlay_mtu: None,
        }
    }

    /// The facts of one node. `index` may go beyond the nodes of the shape, for nodes that join later.
    pub fn node(&self, cluster: usize, index: usize) -> NodeFacts {
        let has = |family: Family| self.families.contains(family).then(|| underlay(cluster, index, family));
        let pods = self.families.iter().map(|family| node_cidr(cluster, index, family));
        NodeFacts {
            id: NodeId { cluster: cluster_name(cluster), node: node_name(index) },
            underlay: DualStack::from_fn(has),
            pods: pods.collect(),
            readiness: Readiness::Ready,
            zone: Some(["zone-a", "zone-b", "zone-c"][index % 3].to_owned()),
            labels: BTreeMap::new(),
        }
    }
}

/// `cluster-007`
fn cluster_name(cluster: usize) -> ClusterName {
    name(&format!("cluster-{cluster:03}"))
}

/// `node-00042`
fn node_name(index: usize) -> NodeName {
    name(&format!("node-{index:05}"))
}

fn name<N: std::str::FromStr>(text: &str) -> N
where
    N::Err: std::fmt::Display,
{
    text.parse().unwrap_or_else(|error| panic!("made-up names are valid: {error}"))
}

fn prefix(address: IpAddr, len: u8) -> Prefix {
    Prefix::containing(address, len).unwrap_or_else(|| Prefix::host(address))
}

/// A /15 of 10.0.0.0/8 or a /32 of fd00::/16.
fn pod_cidr(cluster: usize, family: Family) -> Prefix {
    match family {
        Family::V4 => prefix(v4(10 << 24, cluster << 17), 15),
        Family::V6 => prefix(v6(0xfd00, cluster, 0, 0), 32),
    }
}

/// A /19 of 172.16.0.0/12 or a /112 of fd01::/16.
fn service_cidr(cluster: usize, family: Family) -> Prefix {
    match family {
        Family::V4 => prefix(v4(0xac10_0000, cluster << 13), 19),
        Family::V6 => prefix(v6(0xfd01, cluster, 0, 0), 112),
    }
}

/// A node's part of its cluster's pod CIDR: a /28 or a /64.
fn node_cidr(cluster: usize, index: usize, family: Family) -> Prefix {
    match family {
        Family::V4 => prefix(v4(10 << 24, (cluster << 17) + (index << 4)), 28),
        Family::V6 => prefix(v6(0xfd00, cluster, index, 0), 64),
    }
}

fn underlay(cluster: usize, index: usize, family: Family) -> IpAddr {
    match family {
        Family::V4 => v4(0x6440_0000, (cluster << 13) + index + 1),
        Family::V6 => v6(0x2001, 0xdb8, cluster, index + 1),
    }
}

fn v4(base: u32, offset: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(base + offset as u32))
}

fn v6(first: u16, second: usize, third: usize, last: usize) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(first, second as u16, third as u16, 0, 0, 0, 0, last as u16))
}
