//! Fills in the members of a cluster: nodes with their addresses and prefixes, pods, Services.
//!
//! Node number `n` (from 0) of a cluster takes host number `n + 11` of each subnet and sub-prefix
//! `n` of each pod CIDR; pods take host numbers from 10 in their node's prefixes, Services from 10
//! in the service CIDRs.

use std::collections::BTreeSet;
use std::net::IpAddr;

use causeway_model::{ClusterName, Families, Family, NodeId, NodeName, Prefix};
use serde_saphyr::{Location, Spanned};

use super::file::{CountOr, NodeSection, PodSection, ServiceSection};
use super::problem::{Problem, line_of};
use super::resolve::message_of;
use super::{Cluster, CniKind, Endpoint, Node, Pod, PodId, Service, Topology, TopologyError};

const FIRST_NODE: u128 = 11;
const FIRST_POD: u128 = 10;
const FIRST_SERVICE: u128 = 10;
/// With a CNI that gives nodes no prefix, pod `p` of node `n` has host number `256 + 1024 p + n`.
const CLUSTER_WIDE_FIRST: u128 = 256;
const CLUSTER_WIDE_STRIDE: u128 = 1024;

impl Topology {
    /// Adds a node to a cluster, written in YAML as a lab file writes one; `{}` for all defaults.
    /// Returns its name. Services keep their backends.
    ///
    /// # Errors
    /// As of [`Topology::parse`]; the line is that of `yaml`.
    pub fn add_node(&mut self, cluster: &ClusterName, yaml: &str) -> Result<NodeId, TopologyError> {
        let problem =
            |line, message| TopologyError { file: "node".to_owned(), line, field: ".".to_owned(), message };
        let section: NodeSection = serde_saphyr::from_str(yaml)
            .map_err(|e| problem(e.location().and_then(line_of), message_of(&e)))?;
        let number = self.nodes().map(|(_, node)| node.number + 1).max().unwrap_or(1);
        let found = self.clusters.iter_mut().find(|c| c.name == *cluster);
        let found = found.ok_or_else(|| problem(None, format!("there is no cluster \"{cluster}\"")))?;
        let node = node(found, section, number).map_err(|p| p.in_file("node"))?;
        let id = found.node_id(&node);
        found.nodes.push(node);
        Ok(id)
    }

    /// Takes a node out, and its pods out of the Services that they are behind.
    pub fn remove_node(&mut self, id: &NodeId) {
        for cluster in self.clusters.iter_mut().filter(|c| c.name == id.cluster) {
            cluster.nodes.retain(|node| node.name != id.node);
            cluster.services.iter_mut().for_each(|s| s.backends.retain(|pod| pod.node != *id));
        }
    }
}

/// Hands out the numbers of nodes.
#[derive(Default)]
pub(super) struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> u32 {
        self.0 += 1;
        self.0
    }
}

pub(super) fn add_nodes(
    cluster: &mut Cluster,
    nodes: CountOr<NodeSection>,
    numbers: &mut Numbers,
) -> Result<(), Problem> {
    let sections = match nodes {
        CountOr::Count(count) => (0..count).map(|_| NodeSection::default()).collect(),
        CountOr::List(list) => list,
    };
    for section in sections {
        let node = node(cluster, section, numbers.next())?;
        cluster.nodes.push(node);
    }
    Ok(())
}

/// The next node of `cluster`, from what is said of it.
pub(super) fn node(cluster: &Cluster, section: NodeSection, number: u32) -> Result<Node, Problem> {
    let index = cluster.nodes.iter().map(|n| n.index + 1).max().unwrap_or(0);
    let place = format!("clusters[{}].nodes[{index}]", cluster.index);
    let (text, location) = named(section.name, || format!("n{}", index + 1));
    let name: NodeName =
        text.parse().map_err(|e| Problem::new(location, format!("{place}.name"), format!("{e}")))?;
    if cluster.nodes.iter().any(|n| n.name == name) {
        let message = format!("cluster {} has a node \"{name}\" already", cluster.name);
        return Err(Problem::new(location, format!("{place}.name"), message));
    }
    let uses = |family: Family| section.families.as_ref().is_none_or(|only| only.contains(&family));
    let addresses = match &section.addresses {
        Some(given) => within(given, &cluster.subnets, "the subnets of its cluster", &place)?,
        None => host_of_each(&cluster.subnets, FIRST_NODE + u128::from(index), uses),
    };
    let pod_cidrs = match (&section.pod_cidrs, cluster.cni.kind) {
        (Some(given), _) => given.iter().map(|p| p.value).collect(),
        (None, CniKind::ClusterWide) => Vec::new(),
        (None, _) => node_prefixes(cluster, index, uses),
    };
    let pod_families: Families = match cluster.cni.kind {
        CniKind::ClusterWide => cluster.families().iter().filter(|f| uses(*f)).collect(),
        _ => pod_cidrs.iter().map(Prefix::family).collect(),
    };
    let is_private = |f: Family| pod_families.contains(f) && !addresses.iter().any(|a| Family::of(*a) == f);
    let private_addresses = host_of_each(&cluster.all_subnets(), FIRST_NODE + u128::from(index), is_private);
    let mut node = Node {
        name,
        number,
        index,
        addresses,
        private_addresses,
        pod_cidrs,
        labels: section.labels,
        ready: section.ready.unwrap_or(true),
        zone: section.zone,
        pods: Vec::new(),
    };
    let sections = match section.pods.unwrap_or(CountOr::Count(1)) {
        CountOr::Count(count) => (0..count).map(|_| PodSection::default()).collect(),
        CountOr::List(list) => list,
    };
    for (pod_index, section) in sections.into_iter().enumerate() {
        let place = format!("{place}.pods[{pod_index}]");
        let pod = pod(cluster, &node, pod_index, section, &place, &uses)?;
        node.pods.push(pod);
    }
    Ok(node)
}

fn pod(
    cluster: &Cluster,
    node: &Node,
    index: usize,
    section: PodSection,
    place: &str,
    uses: &impl Fn(Family) -> bool,
) -> Result<Pod, Problem> {
    let (name, location) = named(section.name, || format!("p{}", index + 1));
    let is_label = name.parse::<causeway_model::ClusterName>().is_ok();
    if !is_label || node.pods.iter().any(|p| p.name == name) {
        let message = format!("\"{name}\" is no pod's name, or one that its node has already");
        return Err(Problem::new(location, format!("{place}.name"), message));
    }
    let (prefixes, whose, host) = match cluster.cni.kind {
        CniKind::ClusterWide => {
            let host = CLUSTER_WIDE_FIRST + CLUSTER_WIDE_STRIDE * index as u128 + u128::from(node.index);
            (&cluster.pod_cidrs, "the pod CIDRs of its cluster", host)
        }
        _ => (&node.pod_cidrs, "the pod CIDRs of its node", FIRST_POD + index as u128),
    };
    let addresses = match &section.addresses {
        Some(given) => within(given, prefixes, whose, place)?,
        None => host_of_each(prefixes, host, uses),
    };
    if addresses.is_empty() {
        let message = format!("there is no address for it in {whose}");
        return Err(Problem::new(location, place, message));
    }
    Ok(Pod { name, addresses })
}

pub(super) fn add_services(
    cluster: &mut Cluster,
    sections: Option<Vec<ServiceSection>>,
) -> Result<(), Problem> {
    let pods: Vec<PodId> = cluster
        .nodes
        .iter()
        .flat_map(|node| {
            let id: NodeId = cluster.node_id(node);
            node.pods.iter().map(move |pod| PodId { node: id.clone(), pod: pod.name.clone() })
        })
        .collect();
    let Some(sections) = sections else {
        let addresses = host_of_each(&cluster.service_cidrs, FIRST_SERVICE, |_| true);
        if !pods.is_empty() && !addresses.is_empty() {
            cluster.services.push(Service { name: "echo".to_owned(), addresses, backends: pods });
        }
        return Ok(());
    };
    for (index, section) in sections.into_iter().enumerate() {
        let place = format!("clusters[{}].services[{index}]", cluster.index);
        let addresses = match &section.addresses {
            Some(given) => within(given, &cluster.service_cidrs, "the service CIDRs of its cluster", &place)?,
            None => host_of_each(&cluster.service_cidrs, FIRST_SERVICE + index as u128, |_| true),
        };
        let mut backends = BTreeSet::new();
        for (n, pattern) in section.backends.iter().flatten().enumerate() {
            let wanted = format!("{}/{}", cluster.name, pattern.value);
            let before = backends.len();
            backends.extend(pods.iter().filter(|p| Endpoint::Pod((*p).clone()).is_in(&wanted)).cloned());
            if backends.len() == before {
                let message = format!("\"{}\" is no node or NODE/POD of this cluster", pattern.value);
                return Err(Problem::new(pattern.referenced, format!("{place}.backends[{n}]"), message));
            }
        }
        let all = section.backends.is_none();
        let backends = if all { pods.clone() } else { backends.into_iter().collect() };
        cluster.services.push(Service { name: section.name.value, addresses, backends });
    }
    Ok(())
}

fn named(given: Option<Spanned<String>>, default: impl FnOnce() -> String) -> (String, Location) {
    match given {
        Some(name) => (name.value, name.referenced),
        None => (default(), Location::UNKNOWN),
    }
}

/// Host number `host` of the first prefix of each family.
fn host_of_each(prefixes: &[Prefix], host: u128, uses: impl Fn(Family) -> bool) -> Vec<IpAddr> {
    Family::BOTH
        .into_iter()
        .filter(|family| uses(*family))
        .filter_map(|family| prefixes.iter().find(|p| p.family() == family)?.nth(host))
        .collect()
}

/// Sub-prefix `index` of the first pod CIDR of each family: a /24 or /64, longer where the CIDR is
/// too small for sixteen of them.
fn node_prefixes(cluster: &Cluster, index: u16, uses: impl Fn(Family) -> bool) -> Vec<Prefix> {
    let of_family = |family| cluster.pod_cidrs.iter().find(|p| p.family() == family);
    Family::BOTH
        .into_iter()
        .filter(|family| uses(*family))
        .filter_map(|family| {
            let cidr = of_family(family)?;
            let usual = if family == Family::V4 { 24 } else { 64 };
            let len = usual.max(cidr.len() + 4).min(family.bits());
            cidr.subnets(len).nth(usize::from(index))
        })
        .collect()
}

/// The addresses given, each inside one of `prefixes` and at most one of each family.
fn within(
    given: &[Spanned<IpAddr>],
    prefixes: &[Prefix],
    whose: &str,
    place: &str,
) -> Result<Vec<IpAddr>, Problem> {
    let mut found: Vec<IpAddr> = Vec::new();
    for (index, address) in given.iter().enumerate() {
        let problem = |m| Err(Problem::new(address.referenced, format!("{place}.addresses[{index}]"), m));
        if !prefixes.iter().any(|p| p.contains(address.value)) {
            return problem(format!("{} is not in {whose} ({prefixes:?})", address.value));
        }
        if found.iter().any(|a| a.is_ipv4() == address.value.is_ipv4()) {
            return problem(format!("{} is a second address of its family", address.value));
        }
        found.push(address.value);
    }
    Ok(found)
}
