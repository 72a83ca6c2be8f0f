//! Reading one object of a source: what it says of the cluster, of nodes, and of Services.

use std::net::IpAddr;

use causeway_model::Prefix;
use serde_json::Value;

use crate::SourceId;

/// What one object says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Statement {
    /// Pod CIDRs of the cluster.
    pub cluster: Vec<Prefix>,
    /// Pod prefixes of nodes.
    pub nodes: Vec<(String, Prefix)>,
    /// Service CIDRs.
    pub services: Vec<Prefix>,
    /// Whether nodes take their pods' addresses from `spec.podCIDRs` of their Node.
    pub node_pod_cidrs: bool,
    /// What cannot be used of it, in words.
    pub findings: Vec<String>,
}

/// Reads an object of a source.
pub fn statement(source: SourceId, object: &Value) -> Statement {
    let mut said = Statement::default();
    match source {
        SourceId::CalicoPools => {
            if object.pointer("/spec/disabled").and_then(Value::as_bool) != Some(true) {
                said.cluster = one(object, "spec.cidr", &mut said.findings);
            }
        }
        SourceId::CalicoAffinities => calico_affinity(object, &mut said),
        SourceId::CalicoBlocks => calico_block(object, &mut said),
        SourceId::FlannelConfig | SourceId::FlannelConfigOld | SourceId::CanalConfig => {
            flannel(object, &mut said)
        }
        SourceId::CiliumConfig => cilium_config(object, &mut said),
        SourceId::CiliumNodes => cilium_node(object, &mut said),
        SourceId::CiliumPools => {
            for at in ["spec.ipv4.cidrs", "spec.ipv6.cidrs"] {
                said.cluster.extend(list(object, at, &mut said.findings));
            }
        }
        SourceId::KubeOvnSubnets => kube_ovn(object, &mut said),
        SourceId::AntreaConfig => antrea(object, &mut said),
        SourceId::ServiceCidrs => service_cidr(object, &mut said),
        SourceId::KubeadmConfig => kubeadm(object, &mut said),
        SourceId::ApiServerPods => api_server(object, &mut said),
        SourceId::ServiceError => {
            said.services = crate::valid_range(object.as_str().unwrap_or_default());
        }
    }
    said
}

/// The text at a JSON pointer (RFC 6901).
pub(crate) fn text<'a>(object: &'a Value, at: &str) -> Option<&'a str> {
    object.pointer(at).and_then(Value::as_str)
}

/// The prefixes that `words` are. Host bits are cleared, since CNIs leave them set and mean the network.
pub(crate) fn prefixes<'a>(
    field: &str,
    words: impl IntoIterator<Item = &'a str>,
    findings: &mut Vec<String>,
) -> Vec<Prefix> {
    let mut read = |word: &str| {
        let network = || {
            let (address, len) = word.split_once('/')?;
            Prefix::containing(address.parse().ok()?, len.parse().ok()?)
        };
        let prefix = word.parse().ok().or_else(network);
        if prefix.is_none() {
            let shown: String = word.chars().take(64).collect();
            findings.push(format!("{field}: \"{shown}\" is no CIDR"));
        }
        prefix
    };
    words.into_iter().filter_map(&mut read).collect()
}

/// Words separated by commas, spaces or both.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty())
}

fn pointer(field: &str) -> String {
    format!("/{}", field.replace('.', "/"))
}

fn one(object: &Value, field: &str, findings: &mut Vec<String>) -> Vec<Prefix> {
    match object.pointer(&pointer(field)) {
        Some(Value::String(text)) => prefixes(field, words(text), findings),
        _ => {
            findings.push(format!("{field} is missing"));
            Vec::new()
        }
    }
}

fn list(object: &Value, field: &str, findings: &mut Vec<String>) -> Vec<Prefix> {
    let entries = object.pointer(&pointer(field)).and_then(Value::as_array).into_iter().flatten();
    // Lists of strings, and of objects with a `cidr`.
    let words = entries.filter_map(|entry| entry.as_str().or_else(|| text(entry, "/cidr")));
    prefixes(field, words, findings)
}

/// A BlockAffinity of Calico's own datastore: the block is the node's once it is confirmed.
fn calico_affinity(object: &Value, said: &mut Statement) {
    let deleted = matches!(object.pointer("/spec/deleted"), Some(Value::Bool(true)))
        || text(object, "/spec/deleted") == Some("true");
    if text(object, "/spec/state") != Some("confirmed") || deleted {
        return;
    }
    let Some(node) = text(object, "/spec/node") else {
        said.findings.push("spec.node is missing".to_owned());
        return;
    };
    let node = node.to_owned();
    said.nodes =
        one(object, "spec.cidr", &mut said.findings).into_iter().map(|cidr| (node.clone(), cidr)).collect();
}

/// An IPAMBlock: `allocations[i]` is an index into `attributes` where address number i is in use, and
/// `secondary.node` there says whose pod it is. What is not the block's own node's was borrowed.
fn calico_block(object: &Value, said: &mut Statement) {
    let Some(block) = one(object, "spec.cidr", &mut said.findings).first().copied() else { return };
    let owner = text(object, "/spec/affinity").and_then(|affinity| affinity.strip_prefix("host:"));
    let attributes = object.pointer("/spec/attributes").and_then(Value::as_array);
    let node_of = |index: &Value| -> Option<&str> {
        let index = usize::try_from(index.as_u64()?).ok()?;
        text(attributes?.get(index)?, "/secondary/node")
    };
    let allocations = object.pointer("/spec/allocations").and_then(Value::as_array).into_iter().flatten();
    for (place, index) in allocations.enumerate() {
        let Some(node) = node_of(index).filter(|node| Some(*node) != owner) else { continue };
        let address: Option<IpAddr> = u128::try_from(place).ok().and_then(|place| block.nth(place));
        said.nodes.extend(address.map(|address| (node.to_owned(), Prefix::host(address))));
    }
}

/// `net-conf.json` of flannel's ConfigMap.
fn flannel(object: &Value, said: &mut Statement) {
    let Some(config) = text(object, "/data/net-conf.json") else {
        said.findings.push("data.net-conf.json is missing".to_owned());
        return;
    };
    said.node_pod_cidrs = true;
    let config: Value = match serde_json::from_str(config) {
        Ok(config) => config,
        Err(error) => {
            said.findings.push(format!("data.net-conf.json: {error}"));
            return;
        }
    };
    let on = |key: &str, default| config.get(key).and_then(Value::as_bool).unwrap_or(default);
    for (key, used) in [("Network", on("EnableIPv4", true)), ("IPv6Network", on("EnableIPv6", false))] {
        if let Some(text) = config.get(key).and_then(Value::as_str).filter(|text| used && !text.is_empty()) {
            said.cluster.extend(prefixes(
                &format!("data.net-conf.json: {key}"),
                words(text),
                &mut said.findings,
            ));
        }
    }
}

/// Cilium's ConfigMap: which mode of IPAM, and the pools of mode cluster-pool.
fn cilium_config(object: &Value, said: &mut Statement) {
    match text(object, "/data/ipam").unwrap_or("cluster-pool") {
        "kubernetes" => said.node_pod_cidrs = true,
        // The nodes' prefixes come from CiliumNodes.
        "cluster-pool" | "cluster-pool-v2beta" => {
            for key in ["cluster-pool-ipv4-cidr", "cluster-pool-ipv6-cidr"] {
                let enabled = match key {
                    "cluster-pool-ipv4-cidr" => text(object, "/data/enable-ipv4") != Some("false"),
                    _ => text(object, "/data/enable-ipv6") == Some("true"),
                };
                if let Some(text) = text(object, &format!("/data/{key}")).filter(|_| enabled) {
                    said.cluster.extend(prefixes(&format!("data.{key}"), words(text), &mut said.findings));
                }
            }
        }
        "multi-pool" => {}
        other => said.findings.push(format!(
            "data.ipam: pods take their addresses from outside the cluster in mode \"{other}\"; set spec.podCIDRs of the Cluster"
        )),
    }
}

fn cilium_node(object: &Value, said: &mut Statement) {
    let Some(node) = text(object, "/metadata/name") else { return };
    let mut found = list(object, "spec.ipam.podCIDRs", &mut said.findings);
    let pools = object.pointer("/spec/ipam/pools/allocated").and_then(Value::as_array).into_iter().flatten();
    for pool in pools {
        found.extend(list(pool, "cidrs", &mut said.findings));
    }
    said.nodes = found.into_iter().map(|prefix| (node.to_owned(), prefix)).collect();
}

/// A Subnet of Kube-OVN. The one named join is between nodes and pods; those of other VPCs and of VLANs are
/// not reached through the node.
fn kube_ovn(object: &Value, said: &mut Statement) {
    let default_vpc = matches!(text(object, "/spec/vpc"), None | Some("" | "ovn-cluster"));
    let on_vlan = text(object, "/spec/vlan").is_some_and(|vlan| !vlan.is_empty());
    if default_vpc && !on_vlan && text(object, "/metadata/name") != Some("join") {
        said.cluster = one(object, "spec.cidrBlock", &mut said.findings);
    }
}

/// Antrea's controller configuration: its own node IPAM, else that of kube-controller-manager.
fn antrea(object: &Value, said: &mut Statement) {
    said.node_pod_cidrs = true;
    let Some(config) = text(object, "/data/antrea-controller.conf") else { return };
    let config = yaml("data.antrea-controller.conf", config, &mut said.findings);
    let enabled = config.pointer("/nodeIPAM/enableNodeIPAM").and_then(Value::as_bool) == Some(true);
    if enabled {
        said.cluster = list(&config, "nodeIPAM.clusterCIDRs", &mut said.findings);
    }
}

/// A ServiceCIDR (<https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/>). One
/// that is not ready, or going, gives no address to new Services but may still have some.
fn service_cidr(object: &Value, said: &mut Statement) {
    said.services = list(object, "spec.cidrs", &mut said.findings);
}

/// kubeadm's ClusterConfiguration.
fn kubeadm(object: &Value, said: &mut Statement) {
    let Some(config) = text(object, "/data/ClusterConfiguration") else {
        said.findings.push("data.ClusterConfiguration is missing".to_owned());
        return;
    };
    let config = yaml("data.ClusterConfiguration", config, &mut said.findings);
    if let Some(text) = text(&config, "/networking/serviceSubnet") {
        said.services = prefixes("networking.serviceSubnet", words(text), &mut said.findings);
    }
}

/// The flag of kube-apiserver, in command or args, as one word or two.
fn api_server(object: &Value, said: &mut Statement) {
    const FLAG: &str = "--service-cluster-ip-range";
    let containers = object.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    for container in containers {
        let parts = ["/command", "/args"].into_iter().filter_map(|at| container.pointer(at)?.as_array());
        let line: Vec<&str> = parts.flatten().filter_map(Value::as_str).collect();
        for (place, word) in line.iter().enumerate() {
            let value = match word.strip_prefix(FLAG) {
                Some("") => line.get(place + 1).copied(),
                Some(rest) => rest.strip_prefix('='),
                None => None,
            };
            if let Some(value) = value {
                said.services.extend(prefixes(FLAG, words(value), &mut said.findings));
            }
        }
    }
}

fn yaml(field: &str, text: &str, findings: &mut Vec<String>) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| {
        let first: String = error.to_string().lines().next().unwrap_or_default().to_owned();
        findings.push(format!("{field}: {first}"));
        Value::Null
    })
}
