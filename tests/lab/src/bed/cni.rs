//! What a CNI leaves on a node: devices, routes to the pods of other nodes, masquerading, and what
//! it accepts in the FORWARD chain.
//!
//! Tables and chains are named as iptables-nft names them, since that is where flannel, kube-proxy
//! and Docker put theirs.

use std::fmt::Write;
use std::net::IpAddr;

use causeway_model::{Family, Prefix, vxlan_overhead};

use super::node::on_link;
use crate::topology::{Cluster, CniKind, Node};

/// The VXLAN device, identifier and port of flannel.
const FLANNEL: &str = "flannel.1";
const FLANNEL_VNI: u32 = 1;
const FLANNEL_PORT: u16 = 8472;

/// The MTU of pods: what the CNI's own way between nodes carries.
pub(crate) fn pod_mtu(cluster: &Cluster) -> u32 {
    match (cluster.cni.kind, cluster.common_underlay()) {
        (CniKind::Vxlan, Some(family)) => cluster.mtu - vxlan_overhead(family),
        // flannel carries each family over an underlay of the same.
        (CniKind::Flannel, _) => {
            cluster.mtu - cluster.families().iter().map(vxlan_overhead).max().unwrap_or(0)
        }
        _ => cluster.mtu,
    }
}

/// The address of `cni0` and the prefix that it is in: the first of the node's own.
pub(super) fn bridge_address(node: &Node, family: Family) -> Option<(IpAddr, Prefix)> {
    let prefix = node.pod_cidrs.iter().find(|p| p.family() == family)?;
    Some((prefix.nth(1)?, *prefix))
}

/// The address of flannel.1: the prefix itself in IPv4, as flannel has it. In IPv6 that one is the
/// routers' anycast address on cni0, so it is the last.
fn vtep_address(node: &Node, family: Family) -> Option<IpAddr> {
    let prefix = node.pod_cidrs.iter().find(|p| p.family() == family)?;
    Some(if family == Family::V4 { prefix.first() } else { prefix.last() })
}

fn vtep_mac(node: &Node) -> String {
    let [a, b, c, d] = node.number.to_be_bytes();
    format!("0e:f1:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// Devices of the CNI itself.
pub(super) fn devices(lines: &mut String, cluster: &Cluster, node: &Node) {
    let Some(underlay) = cluster.common_underlay().filter(|_| cluster.cni.kind == CniKind::Vxlan) else {
        return;
    };
    let (mtu, mac) = (pod_mtu(cluster), vtep_mac(node));
    let local = node.address(underlay).map(|a| format!(" local {a}")).unwrap_or_default();
    let vxlan = format!("type vxlan id {FLANNEL_VNI} dev eth0{local} dstport {FLANNEL_PORT} nolearning");
    let _ = writeln!(lines, "link add {FLANNEL} address {mac} mtu {mtu} {vxlan}");
    let _ = writeln!(lines, "link set {FLANNEL} up");
    let _ = writeln!(lines, "link add cni0 mtu {mtu} type bridge stp_state 0 mcast_snooping 0");
    let _ = writeln!(lines, "link set cni0 up");
    for family in Family::BOTH {
        if let Some(address) = vtep_address(node, family) {
            let _ = writeln!(lines, "addr add {}", on_link(address, family.bits(), FLANNEL));
        }
        if let Some((address, prefix)) = bridge_address(node, family) {
            let _ = writeln!(lines, "addr add {}", on_link(address, prefix.len(), "cni0"));
        }
    }
}

/// Routes and neighbours by which `node` reaches the pods of `other`.
pub(super) fn reach(lines: &mut String, cluster: &Cluster, node: &Node, other: &Node) {
    match cluster.cni.kind {
        CniKind::Vxlan => {
            for prefix in &other.pod_cidrs {
                let Some(vtep) = vtep_address(other, prefix.family()) else { continue };
                let _ = writeln!(
                    lines,
                    "neigh add {vtep} lladdr {} dev {FLANNEL} nud permanent",
                    vtep_mac(other)
                );
                let _ = writeln!(lines, "route add {prefix} via {vtep} dev {FLANNEL} onlink");
            }
        }
        CniKind::Routed => {
            other.pod_cidrs.iter().for_each(|prefix| via_underlay(lines, node, other, *prefix));
        }
        CniKind::Flannel => {}
        CniKind::ClusterWide => {
            let addresses = other.pods.iter().flat_map(|pod| &pod.addresses);
            addresses.for_each(|address| via_underlay(lines, node, other, Prefix::host(*address)));
        }
    }
}

/// A route over the network between the nodes.
fn via_underlay(lines: &mut String, node: &Node, other: &Node, prefix: Prefix) {
    let next_hop = |node: &Node| node.internal_address(prefix.family());
    if let (Some(_), Some(address)) = (next_hop(node), next_hop(other)) {
        let _ = writeln!(lines, "route add {prefix} via {address} dev eth0");
    }
}

/// The forwarding entry of flannel.1 for `other`.
pub(super) fn tunnel(lines: &mut String, cluster: &Cluster, other: &Node) {
    let underlay = cluster.common_underlay().filter(|_| cluster.cni.kind == CniKind::Vxlan);
    if let Some(address) = underlay.and_then(|family| other.address(family)) {
        let _ = writeln!(lines, "fdb append {} dev {FLANNEL} dst {address} self permanent", vtep_mac(other));
    }
}

/// FORWARD with policy DROP and what the CNI accepts in it, and masquerading.
pub(super) fn firewall(script: &mut String, cluster: &Cluster, node: &Node) {
    for (family, table) in [(Family::V4, "ip"), (Family::V6, "ip6")] {
        let pods: Vec<Prefix> = of_family(&cluster.pod_cidrs, family);
        let inside = join(pods.iter().chain(&of_family(&cluster.all_subnets(), family)));
        let _ = writeln!(script, "table {table} filter {{");
        let _ =
            writeln!(script, " chain FORWARD {{\n  type filter hook forward priority filter; policy drop;");
        // What kube-proxy has here in its iptables mode.
        let _ = writeln!(script, "  ct state invalid counter drop");
        let _ = writeln!(script, "  meta mark and 0x4000 == 0x4000 counter accept");
        let _ = writeln!(script, "  ct state related,established counter accept");
        for pod_cidr in &pods {
            if cluster.cni.forward_accept {
                let _ = writeln!(script, "  {table} saddr {pod_cidr} counter accept");
                let _ = writeln!(script, "  {table} daddr {pod_cidr} counter accept");
            } else {
                let _ = writeln!(script, "  {table} saddr {inside} {table} daddr {pod_cidr} counter accept");
                let _ = writeln!(script, "  {table} saddr {pod_cidr} {table} daddr {inside} counter accept");
            }
        }
        script.push_str(" }\n}\n");
        if cluster.cni.masquerade && !pods.is_empty() {
            masquerade(script, table, &pods, &of_family(&node.pod_cidrs, family));
        }
    }
}

/// flannel's rules: pods of the cluster among themselves keep their addresses, all else from them or
/// to them is masqueraded, but for what comes from outside to a pod of this very node.
fn masquerade(script: &mut String, table: &str, cluster: &[Prefix], own: &[Prefix]) {
    let all = if table == "ip" { "224.0.0.0/4" } else { "ff00::/8" };
    let _ = writeln!(script, "table {table} nat {{\n chain FLANNEL-POSTRTG {{");
    let _ = writeln!(script, "  meta mark and 0x4000 == 0x4000 counter return");
    for pod_cidr in cluster {
        if own.is_empty() {
            let _ = writeln!(script, "  {table} saddr {pod_cidr} {table} daddr {pod_cidr} counter return");
        }
        for own in own {
            let _ = writeln!(script, "  {table} saddr {own} {table} daddr {pod_cidr} counter return");
            let _ = writeln!(script, "  {table} saddr {pod_cidr} {table} daddr {own} counter return");
            let _ = writeln!(script, "  {table} saddr != {pod_cidr} {table} daddr {own} counter return");
        }
        let _ = writeln!(
            script,
            "  {table} saddr {pod_cidr} {table} daddr != {all} counter masquerade fully-random"
        );
        let _ = writeln!(
            script,
            "  {table} saddr != {pod_cidr} {table} daddr {pod_cidr} counter masquerade fully-random"
        );
    }
    let _ = writeln!(
        script,
        " }}\n chain POSTROUTING {{\n  type nat hook postrouting priority srcnat; policy accept;"
    );
    let _ = writeln!(script, "  counter jump FLANNEL-POSTRTG\n }}\n}}");
}

/// A set in the language of nftables.
fn join<'a>(prefixes: impl Iterator<Item = &'a Prefix>) -> String {
    let prefixes: Vec<String> = prefixes.map(ToString::to_string).collect();
    format!("{{ {} }}", prefixes.join(", "))
}

fn of_family(prefixes: &[Prefix], family: Family) -> Vec<Prefix> {
    prefixes.iter().copied().filter(|p| p.family() == family).collect()
}
