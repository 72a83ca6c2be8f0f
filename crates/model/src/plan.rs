//! What follows from the facts: the planner's output and the agent's input.
//!
//! A node's kernel state is a function of its [`NodePlan`], the [`LinkPlan`]s of its cluster and the
//! [`SlicePlan`]s that its [`Role`] needs. Nothing is stored twice.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::{ClusterName, DualStack, Families, Family, Finding, Mac, NodeId, NodeName, Prefix, Tunnel};

/// The most peers that one [`SlicePlan`] holds.
pub const SLICE_CAPACITY: usize = 256;

/// How packets between clusters are carried.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum Transport {
    /// VXLAN over UDP (RFC 7348), not encrypted.
    #[default]
    #[serde(rename = "VXLAN")]
    Vxlan,
}

/// What a node does in its cluster.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Role {
    /// A node of a P2P cluster: `vx-bridge` to every remote end.
    Node,
    /// A gateway: `vx-bridge` to every remote end, `vx-local` to its cluster's nodes.
    Gateway,
    /// A node of a Gateway cluster that is no gateway: `vx-local` to its gateways.
    Internal,
}

/// Overlay addresses of a node: the same index in its cluster's block of each family. A node has
/// both whatever families it uses, since its MAC follows from the IPv4 one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct OverlayAddresses {
    /// The IPv4 address.
    pub v4: Ipv4Addr,
    /// The IPv6 address.
    pub v6: Ipv6Addr,
}

impl OverlayAddresses {
    /// The address of `family`.
    pub fn get(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => IpAddr::V4(self.v4),
            Family::V6 => IpAddr::V6(self.v6),
        }
    }
}

/// A tunnel end.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Vtep {
    /// Where tunnel packets are sent to.
    pub underlay: DualStack<Option<IpAddr>>,
    /// Its addresses inside the tunnel.
    pub overlay: OverlayAddresses,
    /// Families that it carries inside the tunnel.
    pub families: Families,
}

impl Vtep {
    /// Its MAC address.
    pub fn mac(&self) -> Mac {
        Mac::of_vtep(self.overlay.v4)
    }

    /// The underlay family that this end and `other` use between them: IPv4 where both have it,
    /// else IPv6, else none.
    pub fn common_underlay(&self, other: &Vtep) -> Option<Family> {
        self.underlay.families().intersection(other.underlay.families()).iter().next()
    }
}

/// A remote tunnel end, with what lies behind it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Peer {
    /// Its node.
    pub node: NodeName,
    /// Its end of the tunnel.
    pub vtep: Vtep,
    /// Its own pod prefixes as other clusters see them, sorted; none in scope
    /// [`Scope::Gateways`].
    pub prefixes: Vec<Prefix>,
}

/// What the peers of a slice stand for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Scope {
    /// Each peer reaches its own prefixes.
    Nodes,
    /// Any of them reaches the cluster's prefixes: gateways of a Gateway cluster; of a P2P cluster
    /// the nodes that carry its service CIDRs and the pod CIDRs that no single node owns.
    Gateways,
}

/// Which slice.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SliceId {
    /// The cluster whose nodes it lists.
    pub cluster: ClusterName,
    /// What they stand for.
    pub scope: Scope,
    /// Counted from 0.
    pub index: u32,
}

/// Up to [`SLICE_CAPACITY`] peers of one cluster, sorted by node name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlicePlan {
    /// Which slice.
    pub id: SliceId,
    /// Its peers.
    pub peers: Vec<Peer>,
}

/// A prefix, and the prefix of the same size under which other clusters see it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Translation {
    /// What the cluster itself uses.
    pub real: Prefix,
    /// What the others use.
    pub global: Prefix,
}

impl Translation {
    /// An address of the cluster as others see it: itself where it is not translated.
    pub fn abroad(translations: &[Translation], address: IpAddr) -> IpAddr {
        let mut global = translations.iter().filter_map(|one| one.real.translate(&one.global, address));
        global.next().unwrap_or(address)
    }
}

/// Prefixes of a node's own cluster, as the cluster itself uses them; each list sorted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OwnPrefixes {
    /// Pod CIDRs.
    pub pods: Vec<Prefix>,
    /// Service CIDRs.
    pub services: Vec<Prefix>,
    /// Overlay blocks.
    pub overlay: Vec<Prefix>,
}

/// Which overlays a node takes part in, by its role.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tunnels {
    /// `vx-bridge`, towards other clusters.
    pub bridge: Option<Tunnel>,
    /// `vx-local`, between internal nodes and gateways.
    pub local: Option<Tunnel>,
}

/// What is particular to one node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodePlan {
    /// Which node.
    pub id: NodeId,
    /// What it does.
    pub role: Role,
    /// Its end of the tunnels.
    pub vtep: Vtep,
    /// The overlays that it takes part in.
    pub tunnels: Tunnels,
    /// Prefixes of its cluster.
    pub own: OwnPrefixes,
    /// Prefixes of its own pods, as its cluster uses them, sorted.
    pub local_pods: Vec<Prefix>,
    /// Prefixes of its cluster that other clusters see under a global CIDR, sorted.
    pub translations: Vec<Translation>,
}

/// Which link: from the nodes of `source` to `remote`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LinkId {
    /// The cluster whose nodes send.
    pub source: ClusterName,
    /// The cluster that they reach.
    pub remote: ClusterName,
}

/// How a prefix is reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Via {
    /// Each part of it through the peer in scope [`Scope::Nodes`] that owns the part.
    Nodes,
    /// All of it through any peer in scope [`Scope::Gateways`].
    Gateways,
}

/// What a prefix holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum PrefixKind {
    /// Pods.
    Pod,
    /// Service addresses.
    Service,
    /// Overlay addresses of nodes.
    Overlay,
}

/// A prefix of the remote cluster, as the source cluster sees it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LinkPrefix {
    /// The prefix.
    pub prefix: Prefix,
    /// What it holds.
    pub kind: PrefixKind,
    /// How it is reached.
    pub via: Via,
}

/// How one cluster reaches another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkPlan {
    /// Which link.
    pub id: LinkId,
    /// How the remote cluster's pods are reached.
    pub via: Via,
    /// How packets are carried.
    pub transport: Transport,
    /// The remote prefixes that nodes of the source cluster can reach, sorted. Empty if there is no
    /// way at all; `findings` says why.
    pub prefixes: Vec<LinkPrefix>,
    /// The largest inner packet in bytes where the underlay between the two is known to carry less
    /// than the nodes' devices; `None` leaves it to the devices.
    pub mtu: Option<u32>,
    /// What is missing from the link, and why.
    pub findings: Vec<Finding>,
}

/// The slices that a node needs, by cluster and scope: what its `role` sends to, no more.
///
/// `links` are those of its cluster. An internal node needs its own cluster's gateways only, however
/// many clusters there are.
pub fn needed_slices<'a>(
    id: &NodeId,
    role: Role,
    links: impl IntoIterator<Item = &'a LinkPlan>,
) -> BTreeSet<(ClusterName, Scope)> {
    let own = |scope| (id.cluster.clone(), scope);
    let remote = |link: &'a LinkPlan| {
        let scope = |prefix: &LinkPrefix| match prefix.via {
            Via::Nodes => Scope::Nodes,
            Via::Gateways => Scope::Gateways,
        };
        link.prefixes.iter().map(move |prefix| (link.id.remote.clone(), scope(prefix)))
    };
    match role {
        Role::Internal => BTreeSet::from([own(Scope::Gateways)]),
        Role::Node => links.into_iter().flat_map(remote).collect(),
        Role::Gateway => links.into_iter().flat_map(remote).chain([own(Scope::Nodes)]).collect(),
    }
}

/// What the planner decided about a cluster as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterPlan {
    /// Which cluster.
    pub name: ClusterName,
    /// Its overlay blocks in order of allocation; node indexes run through them in this order.
    pub overlay: DualStack<Vec<Prefix>>,
    /// The nodes in its slices of scope [`Scope::Gateways`], sorted.
    pub gateways: Vec<NodeName>,
    /// Prefixes that other clusters see under a global CIDR, sorted.
    pub translations: Vec<Translation>,
    /// Nodes that take part.
    pub nodes: u32,
    /// What was refused or left out, and why.
    pub findings: Vec<Finding>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(remote: &str, vias: &[Via]) -> LinkPlan {
        let prefix = "10.2.0.0/16".parse().unwrap();
        LinkPlan {
            id: LinkId { source: "east".parse().unwrap(), remote: remote.parse().unwrap() },
            via: Via::Nodes,
            transport: Transport::Vxlan,
            prefixes: vias
                .iter()
                .map(|via| LinkPrefix { prefix, kind: PrefixKind::Pod, via: *via })
                .collect(),
            mtu: None,
            findings: Vec::new(),
        }
    }

    #[test]
    fn each_role_needs_only_the_slices_that_it_sends_to() {
        let id: NodeId = "east/n1".parse().unwrap();
        let links =
            [link("west", &[Via::Nodes, Via::Gateways]), link("north", &[Via::Gateways]), link("mute", &[])];
        let needs = |role| {
            let needed = needed_slices(&id, role, &links);
            needed.into_iter().map(|(cluster, scope)| format!("{cluster} {scope:?}")).collect::<Vec<_>>()
        };
        assert_eq!(needs(Role::Internal), ["east Gateways"]);
        assert_eq!(needs(Role::Node), ["north Gateways", "west Nodes", "west Gateways"]);
        assert_eq!(needs(Role::Gateway), ["east Nodes", "north Gateways", "west Nodes", "west Gateways"]);
    }
}
