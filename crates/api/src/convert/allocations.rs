//! What was given to nodes, read back from the objects by a restarted planner.
//!
//! Asks as little as it can of an object: an address that was given stays given, whatever else in the
//! object cannot be read.

use causeway_model::{NodeId, NodeName, OverlayAddresses, SliceId};

use super::fields::{Fields, cluster_name, overlay};
use super::slice::slice_id;
use crate::{CausewayObject, NodeConfig, PeerSlice};

/// The overlay addresses that a NodeConfig gives to its node.
pub fn node_overlay(object: &NodeConfig) -> Option<(NodeId, OverlayAddresses)> {
    let cluster = cluster_name(&object.spec.cluster).ok()?;
    let node = object.metadata.name.as_deref()?.parse().ok()?;
    Some((NodeId { cluster, node }, overlay(&object.spec.overlay).ok()?))
}

/// The nodes that a PeerSlice has a place for, in the order written.
pub fn slice_members(object: &PeerSlice) -> Option<(SliceId, Vec<NodeName>)> {
    let id = slice_id(&Fields::of(object.key()), &object.spec).ok()?;
    let members = object.spec.peers.iter().filter_map(|peer| peer.node.parse().ok()).collect();
    Some((id, members))
}
