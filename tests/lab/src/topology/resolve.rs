//! Reads a lab file and fills in what it leaves out: clusters and what they share. Their nodes,
//! pods and Services are filled in by [`super::members`].
//!
//! Defaults follow from places in the file alone, so the same file gives the same bed everywhere:
//! cluster number `c` (from 0) has its nodes in `172.16.(4c).0/22` and `fd20:c::/64`, its pods in
//! `10.(c+1).0.0/16` and `fd10:c+1::/48`, its Services in `10.(c+129).0.0/16` and `fd11:c+1::/112`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use causeway_model::{Families, Family, Prefix};
use serde_json::{Value, json};
use serde_saphyr::{Location, Spanned};

use super::file::{ClusterSection, ExpectSection, LabFile, OneOf, UnderlaySection};
use super::members::{self, Numbers};
use super::problem::{Problem, line_of};
use super::{
    Cluster, Cni, CniKind, ControlPlane, Expectation, KubeProxy, KubernetesVersion, Topology, TopologyError,
};

/// The bed's default MTU: that of Ethernet.
const DEFAULT_MTU: u32 = 1500;
/// What the MTU may be: IPv6 needs 1280 inside a tunnel of 70; a veth carries 65,535.
const MTU_RANGE: std::ops::RangeInclusive<u32> = 1350..=65_535;
/// The most clusters of one bed: there are no more default prefixes.
const MOST_CLUSTERS: usize = 100;

impl Topology {
    /// Reads a lab file. `file` names it in errors; its stem is the bed's name where the text gives
    /// none.
    ///
    /// # Errors
    /// What is wrong first: syntax, an unknown field, a value that cannot be; with line and field.
    pub fn parse(text: &str, file: &str) -> Result<Topology, TopologyError> {
        let mut field = String::from(".");
        let parsed = serde_saphyr::with_deserializer_from_str(text, |yaml| {
            serde_path_to_error::deserialize::<_, LabFile>(yaml).map_err(|error| {
                field = error.path().to_string();
                error.into_inner()
            })
        });
        let parsed = parsed.map_err(|error| TopologyError {
            file: file.to_owned(),
            line: error.location().and_then(line_of),
            // The last step is that into a value with its place in the file.
            field: field.strip_suffix(".value").unwrap_or(&field).to_owned(),
            message: message_of(&error),
        })?;
        let stem = std::path::Path::new(file).file_stem().map(|s| s.to_string_lossy().into_owned());
        resolve(parsed, stem.unwrap_or_default()).map_err(|problem| problem.in_file(file))
    }
}

/// What the parser says, without the place, which is said apart.
pub(super) fn message_of(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(message, _)| message.to_owned())
}

fn resolve(file: LabFile, stem: String) -> Result<Topology, Problem> {
    let name = match &file.name {
        Some(name) => bed_name(&name.value).map_err(|m| Problem::new(name.referenced, "name", m))?,
        None => bed_name(&stem.to_lowercase()).unwrap_or_else(|_| "lab".to_owned()),
    };
    if file.clusters.is_empty() || file.clusters.len() > MOST_CLUSTERS {
        let message = format!("{} clusters; a bed has 1 to {MOST_CLUSTERS}", file.clusters.len());
        return Err(Problem::new(Location::UNKNOWN, "clusters", message));
    }
    let mut topology = Topology {
        name,
        control_plane: file.control_plane,
        kubernetes: kubernetes(file.kubernetes, file.control_plane)?,
        cluster_set: file.cluster_set,
        clusters: Vec::new(),
        expectations: Vec::new(),
    };
    let mut numbers = Numbers::default();
    for (index, section) in file.clusters.into_iter().enumerate() {
        let name = &section.name;
        if topology.clusters.iter().any(|c| c.name.as_str() == name.value) {
            let message = format!("there is a cluster \"{}\" already", name.value);
            return Err(Problem::new(name.referenced, format!("clusters[{index}].name"), message));
        }
        let mut cluster = cluster(index as u16, section, &file.underlay, &mut numbers)?;
        share_segment(&mut cluster, &topology)?;
        if !cluster.linked && file.control_plane == ControlPlane::Kubernetes {
            let message = "only a bed with controlPlane: files can have clusters that are not linked";
            return Err(Problem::new(Location::UNKNOWN, format!("clusters[{index}].linked"), message));
        }
        if cluster.needs_api_server() && file.control_plane == ControlPlane::Files {
            let message = "cni flannel and kubeProxy need controlPlane: kubernetes";
            return Err(Problem::new(Location::UNKNOWN, format!("clusters[{index}]"), message));
        }
        topology.clusters.push(cluster);
    }
    for (index, section) in file.expect.into_iter().enumerate() {
        let expectation = expectation(index, section, &topology)?;
        topology.expectations.push(expectation);
    }
    Ok(topology)
}

/// Clusters with the same subnets are on one segment; there an address can be given to one node only.
fn share_segment(cluster: &mut Cluster, topology: &Topology) -> Result<(), Problem> {
    let same = |other: &&Cluster| !cluster.subnets.is_empty() && other.subnets == cluster.subnets;
    let Some(first) = topology.clusters.iter().find(same) else { return Ok(()) };
    let taken = topology.clusters.iter().filter(same).flat_map(|other| &other.nodes);
    let taken: Vec<IpAddr> = taken.flat_map(|node| &node.addresses).copied().collect();
    for node in &cluster.nodes {
        if let Some(address) = node.addresses.iter().find(|address| taken.contains(address)) {
            let field = format!("clusters[{}].nodes[{}].addresses", cluster.index, node.index);
            let message =
                format!("{address} is another node's; clusters that share subnets need `addresses`");
            return Err(Problem::new(Location::UNKNOWN, field, message));
        }
    }
    cluster.segment = first.segment;
    Ok(())
}

fn kubernetes(
    given: Option<Spanned<KubernetesVersion>>,
    control_plane: ControlPlane,
) -> Result<KubernetesVersion, Problem> {
    match given {
        Some(given) if control_plane == ControlPlane::Files => {
            Err(Problem::new(given.referenced, "kubernetes", "it needs controlPlane: kubernetes"))
        }
        given => Ok(given.map(|version| version.value).unwrap_or_default()),
    }
}

/// The name of a bed: as a cluster's, since it stands in command lines and directory names.
fn bed_name(text: &str) -> Result<String, String> {
    match text.parse::<causeway_model::ClusterName>() {
        Ok(name) => Ok(name.to_string()),
        Err(_) => Err(format!("\"{text}\" is no bed's name; use 1 to 46 of a-z, 0-9 and \"-\"")),
    }
}

fn cluster(
    index: u16,
    section: ClusterSection,
    underlay: &UnderlaySection,
    numbers: &mut Numbers,
) -> Result<Cluster, Problem> {
    let at = |field: &str| format!("clusters[{index}].{field}");
    let name = &section.name;
    let name = name.value.parse().map_err(|e| Problem::new(name.referenced, at("name"), format!("{e}")))?;
    let cni = cni(&section.cni);
    let kube_proxy = kube_proxy(section.kube_proxy.as_ref(), cni, &at("kubeProxy"))?;
    let families = families_of(section.families.as_deref(), section.pod_cidrs.as_deref());
    let subnet_families = section.underlay.families.as_ref().or(underlay.families.as_ref());
    let subnet_families =
        families_of(subnet_families.map(Vec::as_slice), section.underlay.subnets.as_deref());
    let mtu = mtu(section.underlay.mtu.as_ref(), &at("underlay.mtu"))?
        .or(mtu(underlay.mtu.as_ref(), "underlay.mtu")?)
        .unwrap_or(DEFAULT_MTU);
    let spec = section.spec.unwrap_or_else(|| json!({}));
    if !matches!(spec, Value::Object(_)) {
        return Err(Problem::new(Location::UNKNOWN, at("spec"), "must be a map, as Cluster.spec is"));
    }
    let c = index;
    let mut cluster = Cluster {
        name,
        index,
        spec,
        cni,
        kube_proxy,
        pod_cidrs: prefixes(section.pod_cidrs.as_deref(), families, |f| match f {
            Family::V4 => v4([10, c as u8 + 1, 0, 0], 16),
            Family::V6 => v6([0xfd10, c + 1, 0, 0, 0, 0, 0, 0], 48),
        }),
        service_cidrs: prefixes(section.service_cidrs.as_deref(), families, |f| match f {
            Family::V4 => v4([10, c as u8 + 129, 0, 0], 16),
            Family::V6 => v6([0xfd11, c + 1, 0, 0, 0, 0, 0, 0], 112),
        }),
        subnets: prefixes(section.underlay.subnets.as_deref(), subnet_families, |f| default_subnet(c, f)),
        linked: section.linked,
        segment: index,
        private_subnets: Vec::new(),
        mtu,
        nodes: Vec::new(),
        services: Vec::new(),
    };
    let has = |family: Family| cluster.subnets.iter().any(|s| s.family() == family);
    let lacking = cluster.families().iter().filter(|f| !has(*f));
    cluster.private_subnets = lacking.filter_map(|f| default_subnet(c, f)).collect();
    one_of_each(&cluster.subnets, section.underlay.subnets.as_deref(), &at("underlay.subnets"))?;
    members::add_nodes(&mut cluster, section.nodes, numbers)?;
    members::add_services(&mut cluster, section.services)?;
    if matches!(cluster.cni.kind, CniKind::Vxlan | CniKind::Flannel) && cluster.common_underlay().is_none() {
        let message = "cni vxlan and flannel need an underlay family that all nodes of the cluster have";
        return Err(Problem::new(Location::UNKNOWN, at("nodes"), message));
    }
    Ok(cluster)
}

/// The subnet of the nodes of cluster number `c`.
fn default_subnet(c: u16, family: Family) -> Option<Prefix> {
    match family {
        Family::V4 => v4([172, 16 + (c / 64) as u8, (c % 64 * 4) as u8, 0], 22),
        Family::V6 => v6([0xfd20, c, 0, 0, 0, 0, 0, 0], 64),
    }
}

fn cni(section: &OneOf<CniKind, super::file::CniSection>) -> Cni {
    let (kind, masquerade, forward_accept) = match section {
        OneOf::Absent => (CniKind::default(), None, None),
        OneOf::Word(kind) => (*kind, None, None),
        OneOf::Map(map) => (map.kind, map.masquerade, map.forward_accept),
    };
    Cni {
        kind,
        masquerade: masquerade.unwrap_or(matches!(kind, CniKind::Vxlan | CniKind::Flannel)),
        forward_accept: forward_accept.unwrap_or(true),
    }
}

/// iptables refuses a table that holds what it did not write, and the rules of imitated CNIs are nftables' own.
fn kube_proxy(given: Option<&Spanned<KubeProxy>>, cni: Cni, field: &str) -> Result<KubeProxy, Problem> {
    match given {
        Some(given) if given.value == KubeProxy::Iptables && cni.kind != CniKind::Flannel => {
            Err(Problem::new(given.referenced, field, "iptables needs cni flannel"))
        }
        given => Ok(given.map(|given| given.value).unwrap_or_default()),
    }
}

fn mtu(given: Option<&Spanned<u32>>, field: &str) -> Result<Option<u32>, Problem> {
    match given {
        Some(mtu) if !MTU_RANGE.contains(&mtu.value) => {
            let message = format!("{} is out of range {MTU_RANGE:?}", mtu.value);
            Err(Problem::new(mtu.referenced, field, message))
        }
        given => Ok(given.map(|mtu| mtu.value)),
    }
}

/// The families said, else those of the prefixes given, else both.
fn families_of(said: Option<&[Family]>, given: Option<&[Spanned<Prefix>]>) -> Families {
    match (said, given) {
        (Some(said), _) => said.iter().copied().collect(),
        (None, Some(given)) => given.iter().map(|p| p.value.family()).collect(),
        (None, None) => Families::DUAL,
    }
}

fn prefixes(
    given: Option<&[Spanned<Prefix>]>,
    families: Families,
    default: impl Fn(Family) -> Option<Prefix>,
) -> Vec<Prefix> {
    match given {
        Some(given) => given.iter().map(|p| p.value).collect(),
        None => families.iter().filter_map(default).collect(),
    }
}

/// Refuses a second subnet of one family.
fn one_of_each(found: &[Prefix], given: Option<&[Spanned<Prefix>]>, field: &str) -> Result<(), Problem> {
    let twice = Family::BOTH.iter().any(|f| found.iter().filter(|p| p.family() == *f).count() > 1);
    let place = given.and_then(|g| g.last()).map_or(Location::UNKNOWN, |p| p.referenced);
    if twice { Err(Problem::new(place, field, "at most one subnet of each family")) } else { Ok(()) }
}

fn v4(octets: [u8; 4], len: u8) -> Option<Prefix> {
    Prefix::containing(IpAddr::V4(Ipv4Addr::from(octets)), len)
}

fn v6(segments: [u16; 8], len: u8) -> Option<Prefix> {
    Prefix::containing(IpAddr::V6(Ipv6Addr::from(segments)), len)
}

fn expectation(index: usize, section: ExpectSection, topology: &Topology) -> Result<Expectation, Problem> {
    for (field, pattern) in [("from", &section.from), ("to", &section.to)] {
        if !topology.endpoints().iter().any(|e| e.is_in(&pattern.value)) {
            let message = format!("\"{}\" is no cluster, node, pod or Service of this file", pattern.value);
            return Err(Problem::new(pattern.referenced, format!("expect[{index}].{field}"), message));
        }
    }
    Ok(Expectation {
        from: section.from.value,
        to: section.to.value,
        families: section.families.unwrap_or_else(|| Family::BOTH.to_vec()),
        reachable: section.reachable,
    })
}
