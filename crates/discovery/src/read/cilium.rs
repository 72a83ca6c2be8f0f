//! Cilium's objects: its configuration, nodes and pools.

use serde_json::Value;

use super::{Statement, list, prefixes, text, words};

/// Cilium's ConfigMap: which mode of IPAM, and the pools of mode cluster-pool. Chained to a CNI other than
/// portmap, which gives no addresses, it uses none of these.
pub(super) fn config(object: &Value, said: &mut Statement) {
    if !matches!(text(object, "/data/cni-chaining-mode"), None | Some("" | "none" | "portmap")) {
        said.chained = true;
        return;
    }
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

/// A CiliumNode: the prefixes that its pods' addresses are from.
pub(super) fn node(object: &Value, said: &mut Statement) {
    let Some(node) = text(object, "/metadata/name") else { return };
    let mut found = list(object, "spec.ipam.podCIDRs", &mut said.findings);
    let pools = object.pointer("/spec/ipam/pools/allocated").and_then(Value::as_array).into_iter().flatten();
    for pool in pools {
        found.extend(list(pool, "cidrs", &mut said.findings));
    }
    said.nodes = found.into_iter().map(|prefix| (node.to_owned(), prefix)).collect();
}

/// A CiliumPodIPPool, of multi-pool mode.
pub(super) fn pool(object: &Value, said: &mut Statement) {
    for at in ["spec.ipv4.cidrs", "spec.ipv6.cidrs"] {
        said.cluster.extend(list(object, at, &mut said.findings));
    }
}
