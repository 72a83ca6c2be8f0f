//! Objects of flannel, Kube-OVN and Antrea.

use serde_json::Value;

use super::{Statement, list, one, prefixes, text, words, yaml};

/// `net-conf.json` of flannel's ConfigMap.
pub(super) fn flannel(object: &Value, said: &mut Statement) {
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

/// A Subnet of Kube-OVN. The one named join is between nodes and pods; those of other VPCs and of VLANs are
/// not reached through the node.
pub(super) fn kube_ovn(object: &Value, said: &mut Statement) {
    let default_vpc = matches!(text(object, "/spec/vpc"), None | Some("" | "ovn-cluster"));
    let on_vlan = text(object, "/spec/vlan").is_some_and(|vlan| !vlan.is_empty());
    if default_vpc && !on_vlan && text(object, "/metadata/name") != Some("join") {
        said.cluster = one(object, "spec.cidrBlock", &mut said.findings);
    }
}

/// Antrea's configuration: its own node IPAM, else that of kube-controller-manager. In mode networkPolicyOnly
/// another CNI gives pods their addresses; all other modes of traffic have the same ones.
pub(super) fn antrea(object: &Value, said: &mut Statement) {
    let mut read = |name: &str| match object.pointer("/data").and_then(|data| data.get(name)?.as_str()) {
        Some(config) => yaml(&format!("data.{name}"), config, &mut said.findings),
        None => Value::Null,
    };
    let (agent, controller) = (read("antrea-agent.conf"), read("antrea-controller.conf"));
    let mode = text(&agent, "/trafficEncapMode").unwrap_or_default();
    if mode.eq_ignore_ascii_case("networkPolicyOnly") {
        said.chained = true;
        return;
    }
    said.node_pod_cidrs = true;
    if controller.pointer("/nodeIPAM/enableNodeIPAM").and_then(Value::as_bool) == Some(true) {
        said.cluster = list(&controller, "nodeIPAM.clusterCIDRs", &mut said.findings);
    }
}
