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
    /// IPPools as Calico's own API server has them, or its newer definitions.
    CalicoPoolsV3,
    /// BlockAffinities there.
    CalicoAffinitiesV3,
    /// IPAMBlocks there. Calico's own API server has none.
    CalicoBlocksV3,
    /// Flannel's ConfigMap, in whatever namespace flannel was put.
    FlannelConfig,
    /// Canal's ConfigMap: flannel, with Calico for policy only.
    CanalConfig,
    /// Canal's ConfigMap as RKE2 names it.
    Rke2CanalConfig,
    /// Cilium's ConfigMap.
    CiliumConfig,
    /// CiliumNodes.
    CiliumNodes,
    /// CiliumPodIPPools, of Cilium's multi-pool mode.
    CiliumPools,
    /// The same in their first version.
    CiliumPoolsAlpha,
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
    /// Static Pods of kube-controller-manager.
    ControllerManagerPods,
    /// The errors that Services with impossible addresses give, see [`crate::impossible_services`]. Asked for,
    /// not watched.
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

const fn static_pods(id: SourceId, labels: &'static str) -> Source {
    Source { namespace: Some("kube-system"), labels: Some(labels), ..all(id, "", "v1", "Pod", "pods") }
}

const fn config_map(id: SourceId, namespace: &'static str, name: &'static str) -> Source {
    Source { namespace: Some(namespace), name: Some(name), ..all(id, "", "v1", "ConfigMap", "configmaps") }
}

const CALICO: &str = "crd.projectcalico.org";
const CALICO_V3: &str = "projectcalico.org";

const POOLS: Source = all(SourceId::CalicoPools, CALICO, "v1", "IPPool", "ippools");
const AFFINITIES: Source = all(SourceId::CalicoAffinities, CALICO, "v1", "BlockAffinity", "blockaffinities");
const BLOCKS: Source = all(SourceId::CalicoBlocks, CALICO, "v1", "IPAMBlock", "ipamblocks");
const POOLS_V3: Source = all(SourceId::CalicoPoolsV3, CALICO_V3, "v3", "IPPool", "ippools");
const AFFINITIES_V3: Source =
    all(SourceId::CalicoAffinitiesV3, CALICO_V3, "v3", "BlockAffinity", "blockaffinities");
const BLOCKS_V3: Source = all(SourceId::CalicoBlocksV3, CALICO_V3, "v3", "IPAMBlock", "ipamblocks");
const FLANNEL: Source = Source {
    name: Some("kube-flannel-cfg"),
    ..all(SourceId::FlannelConfig, "", "v1", "ConfigMap", "configmaps")
};
const CANAL: Source = config_map(SourceId::CanalConfig, "kube-system", "canal-config");
const RKE2_CANAL: Source = config_map(SourceId::Rke2CanalConfig, "kube-system", "rke2-canal-config");
const CILIUM: Source = config_map(SourceId::CiliumConfig, "kube-system", "cilium-config");
const CILIUM_NODES: Source = all(SourceId::CiliumNodes, "cilium.io", "v2", "CiliumNode", "ciliumnodes");
const CILIUM_POOLS: Source =
    all(SourceId::CiliumPools, "cilium.io", "v2", "CiliumPodIPPool", "ciliumpodippools");
const CILIUM_POOLS_ALPHA: Source =
    all(SourceId::CiliumPoolsAlpha, "cilium.io", "v2alpha1", "CiliumPodIPPool", "ciliumpodippools");
const SUBNETS: Source = all(SourceId::KubeOvnSubnets, "kubeovn.io", "v1", "Subnet", "subnets");
const ANTREA: Source = config_map(SourceId::AntreaConfig, "kube-system", "antrea-config");
const SERVICE_CIDRS: Source =
    all(SourceId::ServiceCidrs, "networking.k8s.io", "v1", "ServiceCIDR", "servicecidrs");
const KUBEADM: Source = config_map(SourceId::KubeadmConfig, "kube-system", "kubeadm-config");
const API_SERVERS: Source = static_pods(SourceId::ApiServerPods, "component=kube-apiserver");
const CONTROLLER_MANAGERS: Source =
    static_pods(SourceId::ControllerManagerPods, "component=kube-controller-manager");

/// What to watch, besides Nodes, for a CNI; for `auto` all that can tell which CNI is there.
pub fn sources(cni: CniType) -> Vec<Source> {
    let control_plane = [SERVICE_CIDRS, KUBEADM, API_SERVERS, CONTROLLER_MANAGERS];
    cni_sources(cni).into_iter().chain(control_plane).collect()
}

/// Those that the CNI itself has.
pub(crate) fn cni_sources(cni: CniType) -> Vec<Source> {
    match cni {
        CniType::Calico => vec![POOLS, AFFINITIES, BLOCKS, POOLS_V3, AFFINITIES_V3, BLOCKS_V3],
        CniType::Flannel => vec![FLANNEL, CANAL, RKE2_CANAL],
        CniType::Cilium => vec![CILIUM, CILIUM_NODES, CILIUM_POOLS, CILIUM_POOLS_ALPHA],
        CniType::KubeOvn => vec![SUBNETS],
        CniType::Antrea => vec![ANTREA],
        CniType::Generic => Vec::new(),
        CniType::Auto => {
            let all = [CniType::Calico, CniType::Flannel, CniType::Cilium, CniType::KubeOvn, CniType::Antrea];
            all.into_iter().flat_map(cni_sources).collect()
        }
    }
}

impl SourceId {
    /// The source that this one stands in for: it counts only where that one has nothing, since both may
    /// show the same objects.
    pub(crate) fn stands_in_for(self) -> Option<SourceId> {
        match self {
            SourceId::CalicoPoolsV3 => Some(SourceId::CalicoPools),
            SourceId::CalicoAffinitiesV3 => Some(SourceId::CalicoAffinities),
            SourceId::CalicoBlocksV3 => Some(SourceId::CalicoBlocks),
            SourceId::CiliumPoolsAlpha => Some(SourceId::CiliumPools),
            _ => None,
        }
    }

    /// What an object of it is told by from others of it: its namespace too, where it may be in any.
    pub fn object_name(self, namespace: Option<&str>, name: &str) -> String {
        match (self, namespace) {
            (SourceId::FlannelConfig, Some(namespace)) => format!("{namespace}/{name}"),
            _ => name.to_owned(),
        }
    }

    /// An object of it, in words. `name` is what [`SourceId::object_name`] says.
    pub(crate) fn subject(self, name: &str) -> String {
        match self {
            SourceId::FlannelConfig => format!("ConfigMap {name}"),
            SourceId::CanalConfig
            | SourceId::Rke2CanalConfig
            | SourceId::CiliumConfig
            | SourceId::AntreaConfig
            | SourceId::KubeadmConfig
            | SourceId::ServiceError => self.describe().to_owned(),
            _ => format!("{} {name}", self.describe()),
        }
    }

    /// What it is, in words, for those who look for what was tried.
    pub fn describe(self) -> &'static str {
        match self {
            SourceId::CalicoPools => "Calico IPPools",
            SourceId::CalicoAffinities => "Calico BlockAffinities",
            SourceId::CalicoBlocks => "Calico IPAMBlocks",
            SourceId::CalicoPoolsV3 => "Calico IPPools (projectcalico.org/v3)",
            SourceId::CalicoAffinitiesV3 => "Calico BlockAffinities (projectcalico.org/v3)",
            SourceId::CalicoBlocksV3 => "Calico IPAMBlocks (projectcalico.org/v3)",
            SourceId::FlannelConfig => "ConfigMap kube-flannel-cfg",
            SourceId::CanalConfig => "ConfigMap kube-system/canal-config",
            SourceId::Rke2CanalConfig => "ConfigMap kube-system/rke2-canal-config",
            SourceId::CiliumConfig => "ConfigMap kube-system/cilium-config",
            SourceId::CiliumNodes => "CiliumNodes",
            SourceId::CiliumPools => "CiliumPodIPPools",
            SourceId::CiliumPoolsAlpha => "CiliumPodIPPools (v2alpha1)",
            SourceId::KubeOvnSubnets => "Kube-OVN Subnets",
            SourceId::AntreaConfig => "ConfigMap kube-system/antrea-config",
            SourceId::ServiceCidrs => "ServiceCIDRs",
            SourceId::KubeadmConfig => "ConfigMap kube-system/kubeadm-config",
            SourceId::ApiServerPods => "Pods of kube-apiserver",
            SourceId::ControllerManagerPods => "Pods of kube-controller-manager",
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
        assert_eq!(sources(CniType::Generic).len(), 4);
    }
}
