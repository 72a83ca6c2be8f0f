//! What follows for the cluster as a whole: which CNI it has, its pod CIDRs, its service CIDRs.

use std::collections::{BTreeMap, BTreeSet};

use causeway_api::conditions::{DISCOVERED, Verdict};
use causeway_api::{Choice, Cidr, ClusterSpec, CniType, DiscoveredCidr};
use causeway_model::Prefix;

use crate::found::{Found, Heard, cni_type};
use crate::source::{SourceId, sources};

/// How many CIDRs of each sort a status holds.
const POD_CIDRS: usize = 256;
const SERVICE_CIDRS: usize = 64;

/// What was found of a cluster.
#[derive(Clone, PartialEq, Debug)]
pub struct ClusterFindings {
    /// The CNI, as the API names it.
    pub cni: Option<String>,
    /// Its pod CIDRs and where each was found.
    pub pod_cidrs: Vec<DiscoveredCidr>,
    /// Its service CIDRs and where each was found.
    pub service_cidrs: Vec<DiscoveredCidr>,
    /// Whether enough was found, how, and if not, what was tried.
    pub verdict: Verdict,
}

/// A CNI, and how it gives nodes their prefixes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cni {
    type_: CniType,
    /// How it is known.
    why: String,
    /// Sources of its prefixes.
    pub(crate) sources: BTreeSet<SourceId>,
    /// Whether nodes take their pods' addresses from `spec.podCIDRs` of their Node.
    pub(crate) node_pod_cidrs: bool,
}

/// The CNI that the spec names, or that shows itself. One that shows itself has objects in use:
/// definitions that another CNI left behind say nothing.
pub(crate) fn detect(found: &Found, spec: &ClusterSpec) -> Option<Cni> {
    let (type_, why) = match cni_type(spec) {
        CniType::Auto => shown(found)?,
        named => (named, "spec.cni.type".to_owned()),
    };
    let own: BTreeSet<SourceId> = sources(type_).iter().map(|source| source.id).collect();
    let says_node_pod_cidrs =
        found.statements.iter().any(|((source, _), said)| own.contains(source) && said.node_pod_cidrs);
    let node_pod_cidrs = match type_ {
        CniType::Flannel | CniType::Antrea | CniType::Generic => true,
        CniType::Cilium => says_node_pod_cidrs,
        // Its own datastore is not visible: what Nodes say is what there is.
        CniType::Calico => {
            !has_nodes_of(found, SourceId::CalicoAffinities) && !has(found, SourceId::CalicoPools)
        }
        CniType::KubeOvn | CniType::Auto => false,
    };
    Some(Cni { type_, why, sources: own, node_pod_cidrs })
}

fn shown(found: &Found) -> Option<(CniType, String)> {
    let by = |source: SourceId| source.describe().to_owned();
    // First, because Canal has Calico's objects too: there flannel carries the pods.
    if found.nodes().any(|node| node.has_flannel) {
        return Some((CniType::Flannel, "annotations of flannel on Nodes".to_owned()));
    }
    let cilium =
        [SourceId::CiliumNodes, SourceId::CiliumConfig].into_iter().find(|source| is_there(found, *source));
    if let Some(source) = cilium {
        return Some((CniType::Cilium, by(source)));
    }
    if has(found, SourceId::CalicoPools) {
        return Some((CniType::Calico, by(SourceId::CalicoPools)));
    }
    if has(found, SourceId::KubeOvnSubnets) {
        return Some((CniType::KubeOvn, by(SourceId::KubeOvnSubnets)));
    }
    if is_there(found, SourceId::AntreaConfig) {
        return Some((CniType::Antrea, by(SourceId::AntreaConfig)));
    }
    let flannel = [SourceId::FlannelConfig, SourceId::FlannelConfigOld, SourceId::CanalConfig]
        .into_iter()
        .find(|source| has(found, *source));
    if let Some(source) = flannel {
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

fn statements(found: &Found, source: SourceId) -> impl Iterator<Item = (&str, &crate::read::Statement)> {
    let first = (source, String::new());
    found
        .statements
        .range(first..)
        .take_while(move |((at, _), _)| *at == source)
        .map(|((_, name), statement)| (name.as_str(), statement))
}

fn is_there(found: &Found, source: SourceId) -> bool {
    statements(found, source).next().is_some()
}

fn has(found: &Found, source: SourceId) -> bool {
    statements(found, source).any(|(_, statement)| !statement.cluster.is_empty())
}

fn has_nodes_of(found: &Found, source: SourceId) -> bool {
    statements(found, source).any(|(_, statement)| !statement.nodes.is_empty())
}

/// The fewest prefixes that cover just the same addresses, sorted.
pub(crate) fn aggregated(prefixes: Vec<Prefix>) -> Vec<Prefix> {
    let mut sorted: BTreeSet<Prefix> = prefixes.into_iter().collect();
    let mut done: Vec<Prefix> = Vec::new();
    // Halves become wholes from the longest up; what is covered by another goes.
    for len in (0..=128u8).rev() {
        let of_len: Vec<Prefix> = sorted.iter().copied().filter(|prefix| prefix.len() == len).collect();
        for prefix in of_len {
            if !sorted.contains(&prefix) {
                continue;
            }
            sorted.remove(&prefix);
            if sorted.iter().any(|other| other.covers(&prefix)) {
                continue;
            }
            let whole = len.checked_sub(1).and_then(|len| Prefix::containing(prefix.first(), len));
            let sibling = whole.and_then(|whole| whole.subnets(len).find(|half| *half != prefix));
            match (whole, sibling) {
                (Some(whole), Some(sibling)) if sorted.remove(&sibling) => drop(sorted.insert(whole)),
                _ => done.push(prefix),
            }
        }
    }
    done.sort_unstable();
    done
}

type Sourced = BTreeMap<Prefix, String>;

fn listed(sourced: &Sourced, limit: usize) -> Vec<DiscoveredCidr> {
    let entry = |(prefix, source): (&Prefix, &String)| DiscoveredCidr {
        cidr: Cidr(prefix.to_string()),
        source: source.chars().take(256).collect(),
    };
    sourced.iter().take(limit).map(entry).collect()
}

fn given(spec: &[Cidr]) -> Sourced {
    spec.iter().filter_map(|cidr| Some((cidr.0.parse().ok()?, "spec".to_owned()))).collect()
}

fn pods(found: &Found, spec: &ClusterSpec, cni: Option<&Cni>) -> Sourced {
    let given = given(&spec.pod_cidrs);
    let Some(cni) = cni.filter(|_| given.is_empty()) else { return given };
    let mut sourced = Sourced::new();
    for ((source, name), said) in
        found.statements.iter().filter(|((source, _), _)| cni.sources.contains(source))
    {
        for prefix in &said.cluster {
            sourced.entry(*prefix).or_insert_with(|| origin(*source, name));
        }
    }
    if sourced.is_empty() && cni.node_pod_cidrs {
        let all = found.nodes().flat_map(|node| node.pod_cidrs.clone()).collect();
        sourced =
            aggregated(all).into_iter().map(|prefix| (prefix, "Nodes, spec.podCIDRs".to_owned())).collect();
    }
    sourced
}

/// The first source that has any, in order of trust.
fn services(found: &Found, spec: &ClusterSpec) -> Sourced {
    let given = given(&spec.service_cidrs);
    if !given.is_empty() {
        return given;
    }
    for source in
        [SourceId::ServiceCidrs, SourceId::KubeadmConfig, SourceId::ApiServerPods, SourceId::ServiceError]
    {
        let mut sourced = Sourced::new();
        for (name, said) in statements(found, source) {
            for prefix in &said.services {
                sourced.entry(*prefix).or_insert_with(|| origin(source, name));
            }
        }
        if !sourced.is_empty() {
            return sourced;
        }
    }
    Sourced::new()
}

fn origin(source: SourceId, name: &str) -> String {
    match source {
        SourceId::CalicoPools => format!("IPPool {name}"),
        SourceId::CiliumPools => format!("CiliumPodIPPool {name}"),
        SourceId::KubeOvnSubnets => format!("Subnet {name}"),
        SourceId::ServiceCidrs => format!("ServiceCIDR {name}"),
        SourceId::ApiServerPods => format!("Pod {name}, --service-cluster-ip-range"),
        other => other.describe().to_owned(),
    }
}

pub(crate) fn findings(found: &Found, spec: &ClusterSpec) -> ClusterFindings {
    let cni = detect(found, spec);
    let pods = pods(found, spec, cni.as_ref());
    let services = services(found, spec);
    ClusterFindings {
        cni: cni.as_ref().map(|cni| name(cni.type_)),
        verdict: verdict(found, spec, cni.as_ref(), &pods, &services),
        pod_cidrs: listed(&pods, POD_CIDRS),
        service_cidrs: listed(&services, SERVICE_CIDRS),
    }
}

/// As the API writes it.
fn name(cni: CniType) -> String {
    Choice::from(cni).as_str().to_owned()
}

fn verdict(
    found: &Found,
    spec: &ClusterSpec,
    cni: Option<&Cni>,
    pods: &Sourced,
    services: &Sourced,
) -> Verdict {
    let mut lacks: Vec<String> = Vec::new();
    if pods.is_empty() {
        lacks.push("no pod CIDR was found; set spec.podCIDRs, or spec.cni.type".to_owned());
    }
    if services.is_empty() {
        lacks.push("no service CIDR was found; set spec.serviceCIDRs".to_owned());
    }
    if pods.len() > POD_CIDRS || services.len() > SERVICE_CIDRS {
        lacks.push(format!("more CIDRs than {POD_CIDRS} for pods or {SERVICE_CIDRS} for Services were found; those beyond are not used"));
    }
    let read_badly: Vec<String> = found.findings().take(5).collect();
    if !lacks.is_empty() {
        let tried = tried(found, spec);
        let message = format!("{}. Tried: {}", lacks.join("; "), [tried, read_badly].concat().join("; "));
        return Verdict::new(DISCOVERED, false, "NotFound", message);
    }
    let how = match cni {
        Some(cni) => format!("{}, by {}", name(cni.type_), cni.why),
        None => "as spec says".to_owned(),
    };
    if read_badly.is_empty() {
        return Verdict::new(DISCOVERED, true, "Found", how);
    }
    Verdict::new(DISCOVERED, true, "PartlyRead", format!("{how}; not used: {}", read_badly.join("; ")))
}

/// Each source, and why it gave nothing.
fn tried(found: &Found, spec: &ClusterSpec) -> Vec<String> {
    let outcome = |source: SourceId| match found.heard.get(&source) {
        Some(Heard::Unavailable(why)) => {
            format!("not readable: {}", why.chars().take(120).collect::<String>())
        }
        _ if is_there(found, source) => "says none".to_owned(),
        _ => "not there".to_owned(),
    };
    let ids = sources(cni_type(spec)).into_iter().map(|source| source.id).chain([SourceId::ServiceError]);
    let listed = ids.map(|source| format!("{} ({})", source.describe(), outcome(source)));
    let nodes = found.nodes().filter(|node| !node.pod_cidrs.is_empty()).count();
    listed
        .chain([format!("spec.podCIDRs of Nodes ({nodes} of {} have some)", found.nodes().count())])
        .collect()
}
