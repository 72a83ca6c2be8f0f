//! What the control plane was told: ServiceCIDRs, kubeadm's configuration, flags of static Pods.

use causeway_model::Prefix;
use serde_json::Value;

use super::{Statement, list, prefixes, text, words, yaml};

/// A ServiceCIDR (<https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/>). One
/// that is not ready, or going, gives no address to new Services but may still have some.
pub(super) fn service_cidr(object: &Value, said: &mut Statement) {
    said.services = list(object, "spec.cidrs", &mut said.findings);
}

/// kubeadm's ClusterConfiguration.
pub(super) fn kubeadm(object: &Value, said: &mut Statement) {
    let Some(config) = text(object, "/data/ClusterConfiguration") else {
        said.findings.push("data.ClusterConfiguration is missing".to_owned());
        return;
    };
    let config = yaml("data.ClusterConfiguration", config, &mut said.findings);
    let mut read = |key: &str| {
        let value = text(&config, &format!("/networking/{key}")).unwrap_or_default();
        prefixes(&format!("networking.{key}"), words(value), &mut said.findings)
    };
    (said.cluster, said.services) = (read("podSubnet"), read("serviceSubnet"));
}

/// A Pod of kube-apiserver.
pub(super) fn api_server(object: &Value, said: &mut Statement) {
    said.services = flag(object, "--service-cluster-ip-range", &mut said.findings);
}

/// A Pod of kube-controller-manager, that gives Nodes their podCIDRs.
pub(super) fn controller_manager(object: &Value, said: &mut Statement) {
    said.cluster = flag(object, "--cluster-cidr", &mut said.findings);
}

/// The prefixes of a flag of a Pod's containers, in command or args, as one word or two.
fn flag(object: &Value, flag: &str, findings: &mut Vec<String>) -> Vec<Prefix> {
    let mut found = Vec::new();
    let containers = object.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    for container in containers {
        let parts = ["/command", "/args"].into_iter().filter_map(|at| container.pointer(at)?.as_array());
        let line: Vec<&str> = parts.flatten().filter_map(Value::as_str).collect();
        for (place, word) in line.iter().enumerate() {
            let value = match word.strip_prefix(flag) {
                Some("") => line.get(place + 1).copied(),
                Some(rest) => rest.strip_prefix('='),
                None => None,
            };
            found.extend(prefixes(flag, words(value.unwrap_or_default()), findings));
        }
    }
    found
}
