//! Which CNI gives pods their addresses, and which sources speak for it.

use std::collections::BTreeSet;

use causeway_api::{ClusterSpec, CniType};
use causeway_model::Prefix;

use crate::found::{Found, cni_type};
use crate::source::{SourceId, cni_sources};

/// A CNI, and how it gives nodes their prefixes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cni {
    pub(crate) type_: CniType,
    /// How it is known.
    pub(crate) why: String,
    /// Sources of its prefixes.
    pub(crate) sources: BTreeSet<SourceId>,
    /// Whether nodes take their pods' addresses from `spec.podCIDRs` of their Node.
    pub(crate) node_pod_cidrs: bool,
    /// Prefixes that no pod has an address of.
    pub(crate) not_pods: Vec<Prefix>,
}

impl Cni {
    /// Whether pods may have addresses of a node's prefix.
    pub(crate) fn has_pods_in(&self, prefix: &Prefix) -> bool {
        !self.not_pods.iter().any(|not| not.covers(prefix))
    }
}

/// The CNI that the spec names, or that shows itself. One that shows itself has objects in use:
/// definitions that another CNI left behind say nothing.
pub(crate) fn detect(found: &Found, spec: &ClusterSpec) -> Option<Cni> {
    let (type_, why) = match cni_type(spec) {
        CniType::Auto => shown(found)?,
        named => (named, "spec.cni.type".to_owned()),
    };
    let own: BTreeSet<SourceId> =
        cni_sources(type_).iter().map(|source| source.id).filter(|source| found.counts(*source)).collect();
    let said = || own.iter().flat_map(|source| found.statements(*source)).map(|(_, said)| said);
    let says_node_pod_cidrs = said().any(|said| said.node_pod_cidrs);
    let not_pods = said().flat_map(|said| said.not_pods.clone()).collect();
    let node_pod_cidrs = match type_ {
        CniType::Flannel | CniType::Antrea | CniType::Generic => true,
        CniType::Cilium => says_node_pod_cidrs,
        // Its own datastore is not visible: what Nodes say is what there is.
        CniType::Calico => !said().any(|said| !said.nodes.is_empty() || !said.cluster.is_empty()),
        CniType::KubeOvn | CniType::Auto => false,
    };
    Some(Cni { type_, why, sources: own, node_pod_cidrs, not_pods })
}

fn shown(found: &Found) -> Option<(CniType, String)> {
    let by = |source: SourceId| source.describe().to_owned();
    // First, because Canal has Calico's objects too: there flannel carries the pods.
    if found.nodes().any(|node| node.has_flannel) {
        return Some((CniType::Flannel, "annotations of flannel on Nodes".to_owned()));
    }
    let first = |sources: &[SourceId], is: fn(&Found, SourceId) -> bool| {
        sources.iter().copied().find(|source| is(found, *source))
    };
    let cilium = first(&[SourceId::CiliumNodes, SourceId::CiliumConfig], Found::is_there);
    if let Some(source) = cilium.filter(|_| !is_chained(found, SourceId::CiliumConfig)) {
        return Some((CniType::Cilium, by(source)));
    }
    if let Some(source) = first(&[SourceId::CalicoPools, SourceId::CalicoPoolsV3], has) {
        return Some((CniType::Calico, by(source)));
    }
    if has(found, SourceId::KubeOvnSubnets) {
        return Some((CniType::KubeOvn, by(SourceId::KubeOvnSubnets)));
    }
    if found.is_there(SourceId::AntreaConfig) && !is_chained(found, SourceId::AntreaConfig) {
        return Some((CniType::Antrea, by(SourceId::AntreaConfig)));
    }
    let flannel = [SourceId::FlannelConfig, SourceId::CanalConfig, SourceId::Rke2CanalConfig];
    if let Some(source) = first(&flannel, has) {
        return Some((CniType::Flannel, by(source)));
    }
    if found.nodes().any(|node| node.has_calico()) {
        return Some((CniType::Calico, "annotations of Calico on Nodes".to_owned()));
    }
    if found.nodes().any(|node| !node.pod_cidrs.is_empty()) {
        return Some((CniType::Generic, "spec.podCIDRs of Nodes".to_owned()));
    }
    None
}

fn has(found: &Found, source: SourceId) -> bool {
    found.statements(source).any(|(_, statement)| !statement.cluster.is_empty())
}

fn is_chained(found: &Found, source: SourceId) -> bool {
    found.statements(source).any(|(_, statement)| statement.chained)
}
