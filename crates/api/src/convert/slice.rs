//! PeerSlice ↔ plan of a slice.

use std::collections::BTreeMap;

use causeway_model::{Families, NodeName, Peer, SHARED_NAMESPACE, SLICE_CAPACITY, SliceId, SlicePlan, Vtep};

use super::fields::{
    Conversion, Fields, InvalidObject, cidrs, cluster_name, ips, known, overlay, overlay_ips,
    written_families,
};
use crate::{
    CLUSTER_LABEL, CausewayObject, Choice, PEERS_LABEL, PeerSlice, PeerSlicePeer, PeerSliceSpec, SCOPE_LABEL,
    peers_label, scope_label, slice_name,
};

/// The plan in a PeerSlice. A peer that cannot be read is left out; the others are used.
///
/// # Errors
/// [`InvalidObject`] if its cluster, scope or index cannot be read.
pub fn slice_plan(object: &PeerSlice) -> Result<Conversion<SlicePlan>, InvalidObject> {
    let mut fields = Fields::of(object.key());
    let id = slice_id(&fields, &object.spec)?;
    let mut peers: BTreeMap<NodeName, Peer> = BTreeMap::new();
    for (index, given) in object.spec.peers.iter().enumerate() {
        let field = format!("spec.peers[{index}]");
        let Some(peer) = peer(&mut fields, &field, given) else { continue };
        if peers.contains_key(&peer.node) {
            let message = format!("\"{}\" is listed twice; the first one is used", peer.node);
            fields.refuse(&format!("{field}.node"), message);
        } else if peers.len() == SLICE_CAPACITY {
            let message = format!("is not used; a slice holds {SLICE_CAPACITY} peers");
            fields.refuse(&field, message);
        } else {
            peers.insert(peer.node.clone(), peer);
        }
    }
    Ok(fields.done(SlicePlan { id, peers: peers.into_values().collect() }))
}

pub(super) fn slice_id(fields: &Fields, spec: &PeerSliceSpec) -> Result<SliceId, InvalidObject> {
    let index =
        u32::try_from(spec.index).map_err(|_| format!("{} is out of range; use 0 or more", spec.index));
    Ok(SliceId {
        cluster: fields.need("spec.cluster", cluster_name(&spec.cluster))?,
        scope: fields.need("spec.scope", known(&spec.scope))?,
        index: fields.need("spec.index", index)?,
    })
}

fn peer(fields: &mut Fields, field: &str, given: &PeerSlicePeer) -> Option<Peer> {
    let node = fields.keep(&format!("{field}.node"), given.node.parse());
    let overlay = fields.keep(&format!("{field}.overlay"), overlay(&given.overlay));
    let families = given
        .families
        .as_ref()
        .map_or(Families::DUAL, |words| fields.families(&format!("{field}.families"), words));
    let underlay = fields.underlay(&format!("{field}.underlay"), &given.underlay);
    let prefixes = fields.sorted_prefixes(&format!("{field}.podCIDRs"), &given.pod_cidrs);
    Some(Peer { node: node?, vtep: Vtep { underlay, overlay: overlay?, families }, prefixes })
}

/// The PeerSlice for `plan`.
pub fn peer_slice(plan: &SlicePlan) -> PeerSlice {
    let SlicePlan { id, peers } = plan;
    let entry = |peer: &Peer| PeerSlicePeer {
        node: peer.node.to_string(),
        underlay: ips(peer.vtep.underlay.addresses()),
        overlay: overlay_ips(peer.vtep.overlay),
        families: written_families(peer.vtep.families),
        pod_cidrs: cidrs(&peer.prefixes),
    };
    let spec = PeerSliceSpec {
        cluster: id.cluster.to_string(),
        scope: Choice::from(id.scope),
        index: id.index.into(),
        peers: peers.iter().map(entry).collect(),
    };
    let mut object = PeerSlice::new(&slice_name(id), spec);
    object.metadata.namespace = Some(SHARED_NAMESPACE.to_owned());
    let labels = [
        (CLUSTER_LABEL.to_owned(), id.cluster.to_string()),
        (SCOPE_LABEL.to_owned(), scope_label(id.scope).to_owned()),
        (PEERS_LABEL.to_owned(), peers_label(&id.cluster, id.scope)),
    ];
    object.metadata.labels = Some(labels.into());
    object
}
