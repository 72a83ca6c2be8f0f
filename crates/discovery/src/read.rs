//! Reading one object of a source: what it says of the cluster, of nodes, and of Services.

mod calico;
mod cilium;
mod control_plane;
mod other;

use causeway_model::Prefix;
use serde_json::Value;

use crate::SourceId;
use crate::loans::Loan;

/// What one object says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Statement {
    /// Pod CIDRs of the cluster.
    pub cluster: Vec<Prefix>,
    /// Pod prefixes of nodes.
    pub nodes: Vec<(String, Prefix)>,
    /// Addresses that nodes borrowed from each other's prefixes.
    pub loans: Vec<Loan>,
    /// Prefixes that no pod has an address of, though nodes have parts of them.
    pub not_pods: Vec<Prefix>,
    /// Service CIDRs.
    pub services: Vec<Prefix>,
    /// Whether nodes take their pods' addresses from `spec.podCIDRs` of their Node.
    pub node_pod_cidrs: bool,
    /// Whether the CNI leaves addresses of pods to another one.
    pub chained: bool,
    /// What cannot be used of it, in words.
    pub findings: Vec<String>,
}

impl Statement {
    /// Whether it says anything of the cluster's CIDRs.
    pub(crate) fn says_prefixes(&self) -> bool {
        !self.cluster.is_empty() || !self.services.is_empty()
    }
}

/// Reads an object of a source.
pub fn statement(source: SourceId, object: &Value) -> Statement {
    let mut said = Statement::default();
    match source {
        SourceId::CalicoPools | SourceId::CalicoPoolsV3 => calico::pool(object, &mut said),
        SourceId::CalicoAffinities | SourceId::CalicoAffinitiesV3 => calico::affinity(object, &mut said),
        SourceId::CalicoBlocks | SourceId::CalicoBlocksV3 => calico::block(object, &mut said),
        SourceId::FlannelConfig | SourceId::CanalConfig | SourceId::Rke2CanalConfig => {
            other::flannel(object, &mut said)
        }
        SourceId::CiliumConfig => cilium::config(object, &mut said),
        SourceId::CiliumNodes => cilium::node(object, &mut said),
        SourceId::CiliumPools | SourceId::CiliumPoolsAlpha => cilium::pool(object, &mut said),
        SourceId::KubeOvnSubnets => other::kube_ovn(object, &mut said),
        SourceId::AntreaConfig => other::antrea(object, &mut said),
        SourceId::ServiceCidrs => control_plane::service_cidr(object, &mut said),
        SourceId::KubeadmConfig => control_plane::kubeadm(object, &mut said),
        SourceId::ApiServerPods => control_plane::api_server(object, &mut said),
        SourceId::ControllerManagerPods => control_plane::controller_manager(object, &mut said),
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

fn yaml(field: &str, text: &str, findings: &mut Vec<String>) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| {
        let first: String = error.to_string().lines().next().unwrap_or_default().to_owned();
        findings.push(format!("{field}: {first}"));
        Value::Null
    })
}
