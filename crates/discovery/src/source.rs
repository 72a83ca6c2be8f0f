//! What to watch at a cluster's API server.

use causeway_api::CniType;

/// Where facts of a cluster come from, besides its Nodes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SourceId {
    /// Calico's IPPools.
    CalicoPools,
    /// Calico's BlockAffinities: which node has which block.
    CalicoAffinities,
    /// Calico's IPAMBlocks: addresses that a node borrowed from another's block.
    CalicoBlocks,
    /// Flannel's ConfigMap in kube-flannel.
    FlannelConfig,
    /// Flannel's ConfigMap in kube-system, where older manifests and Canal put it.
    FlannelConfigOld,
    /// Canal's ConfigMap: flannel, with Calico for policy only.
    CanalConfig,
    /// Cilium's ConfigMap.
    CiliumConfig,
    /// CiliumNodes.
    CiliumNodes,
    /// CiliumPodIPPools, of Cilium's multi-pool mode.
    CiliumPools,
    /// Kube-OVN's Subnets.
    KubeOvnSubnets,
    /// Antrea's ConfigMap.
    AntreaConfig,
    /// ServiceCIDRs (KEP-1880).
    ServiceCidrs,
    /// kubeadm's ConfigMap.
    KubeadmConfig,
    /// Static Pods of kube-apiserver.
    ApiServerPods,
    /// The error that a Service with an impossible address gives, see [`crate::impossible_service`]. Asked
    /// for, not watched.
    ServiceError,
}

/// Objects to watch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source {
    /// Which source they are.
    pub id: SourceId,
    /// API group; empty for the core one.
    pub group: &'static str,
    /// Version.
    pub version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Plural, as in URLs.
    pub plural: &'static str,
    /// Only objects of this namespace.
    pub namespace: Option<&'static str>,
    /// Only the object of this name.
    pub name: Option<&'static str>,
    /// Only objects that this label selector takes.
    pub labels: Option<&'static str>,
}

const fn all(
    id: SourceId,
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
) -> Source {
    Source { id, group, version, kind, plural, namespace: None, name: None, labels: None }
}

const fn config_map(id: SourceId, namespace: &'static str, name: &'static str) -> Source {
    Source { namespace: Some(namespace), name: Some(name), ..all(id, "", "v1", "ConfigMap", "configmaps") }
}

const CALICO: &str = "crd.projectcalico.org";

const POOLS: Source = all(SourceId::CalicoPools, CALICO, "v1", "IPPool", "ippools");
const AFFINITIES: Source = all(SourceId::CalicoAffinities, CALICO, "v1", "BlockAffinity", "blockaffinities");
const BLOCKS: Source = all(SourceId::CalicoBlocks, CALICO, "v1", "IPAMBlock", "ipamblocks");
const FLANNEL: Source = config_map(SourceId::FlannelConfig, "kube-flannel", "kube-flannel-cfg");
const FLANNEL_OLD: Source = config_map(SourceId::FlannelConfigOld, "kube-system", "kube-flannel-cfg");
const CANAL: Source = config_map(SourceId::CanalConfig, "kube-system", "canal-config");
const CILIUM: Source = config_map(SourceId::CiliumConfig, "kube-system", "cilium-config");
const CILIUM_NODES: Source = all(SourceId::CiliumNodes, "cilium.io", "v2", "CiliumNode", "ciliumnodes");
const CILIUM_POOLS: Source =
    all(SourceId::CiliumPools, "cilium.io", "v2alpha1", "CiliumPodIPPool", "ciliumpodippools");
const SUBNETS: Source = all(SourceId::KubeOvnSubnets, "kubeovn.io", "v1", "Subnet", "subnets");
const ANTREA: Source = config_map(SourceId::AntreaConfig, "kube-system", "antrea-config");
const SERVICE_CIDRS: Source =
    all(SourceId::ServiceCidrs, "networking.k8s.io", "v1", "ServiceCIDR", "servicecidrs");
const KUBEADM: Source = config_map(SourceId::KubeadmConfig, "kube-system", "kubeadm-config");
const API_SERVERS: Source = Source {
    namespace: Some("kube-system"),
    labels: Some("component=kube-apiserver"),
    ..all(SourceId::ApiServerPods, "", "v1", "Pod", "pods")
};

/// What to watch, besides Nodes, for a CNI; for `auto` all that can tell which CNI is there.
pub fn sources(cni: CniType) -> Vec<Source> {
    let pods: &[Source] = match cni {
        CniType::Calico => &[POOLS, AFFINITIES, BLOCKS],
        CniType::Flannel => &[FLANNEL, FLANNEL_OLD, CANAL],
        CniType::Cilium => &[CILIUM, CILIUM_NODES, CILIUM_POOLS],
        CniType::KubeOvn => &[SUBNETS],
        CniType::Antrea => &[ANTREA],
        CniType::Generic => &[],
        CniType::Auto => &[
            POOLS,
            AFFINITIES,
            BLOCKS,
            FLANNEL,
            FLANNEL_OLD,
            CANAL,
            CILIUM,
            CILIUM_NODES,
            CILIUM_POOLS,
            SUBNETS,
            ANTREA,
        ],
    };
    [pods, &[SERVICE_CIDRS, KUBEADM, API_SERVERS]].concat()
}

impl SourceId {
    /// What it is, in words, for those who look for what was tried.
    pub fn describe(self) -> &'static str {
        match self {
            SourceId::CalicoPools => "Calico IPPools",
            SourceId::CalicoAffinities => "Calico BlockAffinities",
            SourceId::CalicoBlocks => "Calico IPAMBlocks",
            SourceId::FlannelConfig => "ConfigMap kube-flannel/kube-flannel-cfg",
            SourceId::FlannelConfigOld => "ConfigMap kube-system/kube-flannel-cfg",
            SourceId::CanalConfig => "ConfigMap kube-system/canal-config",
            SourceId::CiliumConfig => "ConfigMap kube-system/cilium-config",
            SourceId::CiliumNodes => "CiliumNodes",
            SourceId::CiliumPools => "CiliumPodIPPools",
            SourceId::KubeOvnSubnets => "Kube-OVN Subnets",
            SourceId::AntreaConfig => "ConfigMap kube-system/antrea-config",
            SourceId::ServiceCidrs => "ServiceCIDRs",
            SourceId::KubeadmConfig => "ConfigMap kube-system/kubeadm-config",
            SourceId::ApiServerPods => "Pods of kube-apiserver",
            SourceId::ServiceError => "the answer to a Service with an impossible address",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_wide_is_watched() {
        for source in sources(CniType::Auto) {
            let narrow = source.name.is_some() || source.labels.is_some();
            assert!(!matches!(source.plural, "pods" | "configmaps") || narrow, "{source:?}");
        }
        assert_eq!(sources(CniType::Generic).len(), 3);
    }
}
