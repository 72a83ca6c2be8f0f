//! What follows for the cluster as a whole: which CNI it has, its pod CIDRs, its service CIDRs.

use std::collections::BTreeMap;

use causeway_api::conditions::{DISCOVERED, Verdict};
use causeway_api::{Choice, Cidr, ClusterSpec, CniType, DiscoveredCidr};
use causeway_model::{Prefix, PrefixSet};

use crate::cni::{Cni, detect};
use crate::found::{Found, Heard, cni_type};
use crate::prefixes::aggregated;
use crate::source::{SourceId, sources};

/// How many CIDRs of each sort a status holds.
const POD_CIDRS: usize = 256;
const SERVICE_CIDRS: usize = 64;
/// How many findings a message names.
const FINDINGS: usize = 5;

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

/// Whether a list of the spec is there to override what was found, and nothing of it can be read. The cluster
/// then has none of the sort: what was found is listed, and not used.
fn is_unreadable(spec: &[Cidr]) -> bool {
    !spec.is_empty() && given(spec).is_empty()
}

/// The pod CIDRs, and what there is to say of them.
fn pods(found: &Found, spec: &ClusterSpec, cni: Option<&Cni>) -> (Sourced, Vec<String>) {
    let given = given(&spec.pod_cidrs);
    let Some(cni) = cni.filter(|_| given.is_empty()) else { return (given, Vec::new()) };
    let mut sourced = Sourced::new();
    for source in &cni.sources {
        for (name, said) in found.statements(*source) {
            for prefix in &said.cluster {
                sourced.entry(*prefix).or_insert_with(|| origin(*source, name));
            }
        }
    }
    if sourced.is_empty() && cni.node_pod_cidrs {
        return of_nodes(found);
    }
    (sourced, Vec::new())
}

/// Where Nodes' own prefixes are all that a CNI uses: the range that they are given from, if something says it.
/// The prefixes themselves would do, but with each node that joins they are others, and every cluster that is
/// linked would have to be told. What does not cover the Nodes is not the range.
fn of_nodes(found: &Found) -> (Sourced, Vec<String>) {
    let union = aggregated(found.nodes().flat_map(|node| node.pod_cidrs.iter().copied()));
    let mut passed_over = Vec::new();
    for source in [SourceId::KubeadmConfig, SourceId::ControllerManagerPods] {
        for (name, said) in found.statements(source).filter(|(_, said)| !said.cluster.is_empty()) {
            let from = match source {
                SourceId::KubeadmConfig => format!("{}, networking.podSubnet", source.describe()),
                _ => origin(source, name),
            };
            let range: PrefixSet = aggregated(said.cluster.iter().copied()).into_iter().collect();
            match union.iter().find(|prefix| range.covering(prefix).is_none()) {
                None => {
                    let all = said.cluster.iter().map(|prefix| (*prefix, from.clone()));
                    return (all.collect(), Vec::new());
                }
                Some(prefix) => {
                    passed_over.push(format!("{from}: does not cover {prefix} of spec.podCIDRs of Nodes"));
                }
            }
        }
    }
    (union.into_iter().map(|prefix| (prefix, "Nodes, spec.podCIDRs".to_owned())).collect(), passed_over)
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
        for (name, said) in found.statements(source) {
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
        SourceId::CalicoPools | SourceId::CalicoPoolsV3 => format!("IPPool {name}"),
        SourceId::CiliumPools | SourceId::CiliumPoolsAlpha => format!("CiliumPodIPPool {name}"),
        SourceId::KubeOvnSubnets => format!("Subnet {name}"),
        SourceId::ServiceCidrs => format!("ServiceCIDR {name}"),
        SourceId::ApiServerPods => format!("Pod {name}, --service-cluster-ip-range"),
        SourceId::ControllerManagerPods => format!("Pod {name}, --cluster-cidr"),
        other => other.subject(name),
    }
}

pub(crate) fn findings(found: &Found, spec: &ClusterSpec) -> ClusterFindings {
    let cni = detect(found, spec);
    let (pods, mut said) = pods(found, spec, cni.as_ref());
    let services = services(found, spec);
    said.extend(cni.iter().flat_map(|cni| found.left_out(cni)));
    said.extend(found.findings().take(FINDINGS));
    said.truncate(FINDINGS);
    ClusterFindings {
        cni: cni.as_ref().map(|cni| name(cni.type_)),
        verdict: verdict(found, spec, cni.as_ref(), (&pods, &services), &said),
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
    (pods, services): (&Sourced, &Sourced),
    said: &[String],
) -> Verdict {
    let unreadable: Vec<String> = [("podCIDRs", &spec.pod_cidrs), ("serviceCIDRs", &spec.service_cidrs)]
        .into_iter()
        .filter(|(_, list)| is_unreadable(list))
        .map(|(list, _)| {
            format!("spec.{list}: no entry is a CIDR, so that the cluster has none; correct it, or remove it to use what was found")
        })
        .collect();
    if !unreadable.is_empty() {
        return Verdict::new(DISCOVERED, false, "InvalidOverride", [&unreadable, said].concat().join("; "));
    }
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
    if !lacks.is_empty() {
        let tried = [&tried(found, spec), said].concat().join("; ");
        return Verdict::new(DISCOVERED, false, "NotFound", format!("{}. Tried: {tried}", lacks.join("; ")));
    }
    let how = match cni {
        Some(cni) => format!("{}, by {}", name(cni.type_), cni.why),
        None => "as spec says".to_owned(),
    };
    if said.is_empty() {
        return Verdict::new(DISCOVERED, true, "Found", how);
    }
    Verdict::new(DISCOVERED, true, "PartlyRead", format!("{how}; not used: {}", said.join("; ")))
}

/// Each source, and why it gave nothing.
fn tried(found: &Found, spec: &ClusterSpec) -> Vec<String> {
    let outcome = |source: SourceId| match found.heard.get(&source) {
        Some(Heard::Unavailable(why)) => {
            format!("not readable: {}", why.chars().take(120).collect::<String>())
        }
        _ if found.statements(source).any(|(_, said)| said.chained) => {
            "leaves addresses to another CNI".to_owned()
        }
        _ if found.is_there(source) => "says none".to_owned(),
        _ => "not there".to_owned(),
    };
    let ids = sources(cni_type(spec)).into_iter().map(|source| source.id).chain([SourceId::ServiceError]);
    let listed = ids.map(|source| format!("{} ({})", source.describe(), outcome(source)));
    let nodes = found.nodes().filter(|node| !node.pod_cidrs.is_empty()).count();
    listed
        .chain([format!("spec.podCIDRs of Nodes ({nodes} of {} have some)", found.nodes().count())])
        .collect()
}
