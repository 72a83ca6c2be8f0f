//! Which object an entry of a node's kernel state came from.

use std::net::IpAddr;

use causeway_api::slice_name;
use causeway_dataplane::state::{Hop, NextHop, Route};
use causeway_model::{LinkId, Mac, NodeId, NodePlan, Peer, Prefix, Scope, SliceId, cluster_namespace};
use causeway_planner::Plan;

use crate::node_state::{links_from, slices_of};

/// Names the objects that the kernel state of `node` follows from.
pub struct Objects<'a> {
    pub plan: &'a Plan,
    pub node: &'a NodePlan,
}

/// A peer and where it is listed.
#[derive(Clone, Copy)]
pub struct Listed<'a> {
    pub slice: &'a SliceId,
    pub peer: &'a Peer,
}

impl Listed<'_> {
    /// The node at the other end.
    pub fn node(&self) -> NodeId {
        NodeId { cluster: self.slice.cluster.clone(), node: self.peer.node.clone() }
    }

    fn object(&self) -> String {
        format!("PeerSlice {}", slice_name(self.slice))
    }
}

impl<'a> Objects<'a> {
    /// The node's own object.
    pub fn config(&self) -> String {
        node_config(&self.node.id)
    }

    /// The link of a prefix.
    fn link(&self, prefix: &Prefix) -> Option<&'a LinkId> {
        links_from(self.plan, &self.node.id.cluster)
            .find(|link| link.prefixes.iter().any(|p| p.prefix.covers(prefix)))
            .map(|link| &link.id)
    }

    /// Where a route came from: the link, and the slice where it lists the prefix itself.
    pub fn route(&self, prefix: &Prefix, route: &Route<usize>) -> String {
        let link = self.link(prefix).map(link_object);
        let own_block = self.node.own.overlay.contains(prefix).then(|| self.config());
        let peer = match route.hop {
            Hop::Gateway(NextHop { gateway, .. }) => self.peer_at(gateway),
            // A route to a peer's overlay address itself.
            Hop::Link(_) if prefix.len() == prefix.family().bits() => self.peer_at(prefix.first()),
            _ => None,
        };
        let objects: Vec<String> =
            own_block.into_iter().chain(link).chain(peer.map(|peer| peer.object())).collect();
        objects.join(", ")
    }

    /// Where a peer is listed, by its overlay address.
    pub fn peer_at(&self, overlay: IpAddr) -> Option<Listed<'a>> {
        self.peers_at(overlay).next()
    }

    fn peers_at(&self, overlay: IpAddr) -> impl Iterator<Item = Listed<'a>> + use<'a> {
        self.peers().filter(move |listed| {
            let own = listed.peer.vtep.overlay;
            own.v4 == overlay || own.v6 == overlay
        })
    }

    /// Where a member of a group is listed, as text, by its overlay address.
    pub fn slice_of_member(&self, overlay: IpAddr) -> String {
        let carrier = self.peers_at(overlay).find(|listed| listed.slice.scope == Scope::Gateways);
        carrier.map_or_else(|| self.slice_of(overlay), |listed| listed.object())
    }

    /// Where a peer is listed, as text, by its overlay address.
    pub fn slice_of(&self, overlay: IpAddr) -> String {
        self.peer_at(overlay).map(|listed| listed.object()).unwrap_or_default()
    }

    /// Where a peer is listed, by its MAC.
    pub fn peer_with(&self, mac: Mac) -> Option<Listed<'a>> {
        self.peers().find(|listed| listed.peer.vtep.mac() == mac)
    }

    /// Where a peer is listed, as text, by its MAC.
    pub fn slice_of_mac(&self, mac: Mac) -> String {
        self.peer_with(mac).map(|listed| listed.object()).unwrap_or_default()
    }

    fn peers(&self) -> impl Iterator<Item = Listed<'a>> + use<'a> {
        slices_of(self.plan, self.node)
            .flat_map(|slice| slice.peers.iter().map(move |peer| Listed { slice: &slice.id, peer }))
    }
}

/// The NodeConfig of a node.
pub fn node_config(id: &NodeId) -> String {
    format!("NodeConfig {}/{}", cluster_namespace(&id.cluster), id.node)
}

/// The ClusterLink of a link.
pub fn link_object(id: &LinkId) -> String {
    format!("ClusterLink {}/{}", cluster_namespace(&id.source), id.remote)
}
