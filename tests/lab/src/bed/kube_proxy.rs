//! What kube-proxy leaves on a node: Services by destination NAT to a random backend, a mark for
//! what must be masqueraded, and the rule that drops what connection tracking calls invalid.

use std::fmt::Write;
use std::net::IpAddr;

use causeway_model::Family;

use crate::echo::ECHO_PORT;
use crate::topology::{Cluster, Endpoint, Service};

/// The rules of both families, in place of any before. Pods of nodes that are `down` back no Service.
pub(super) fn rules(script: &mut String, cluster: &Cluster, down: &[Endpoint]) {
    for (family, table) in [(Family::V4, "ip"), (Family::V6, "ip6")] {
        if cluster.families().contains(family) {
            let _ = writeln!(script, "table {table} kube-proxy\ndelete table {table} kube-proxy");
            table_of(script, cluster, down, family, table);
        }
    }
}

fn table_of(script: &mut String, cluster: &Cluster, down: &[Endpoint], family: Family, table: &str) {
    let services: Vec<(usize, IpAddr, Vec<IpAddr>)> = cluster
        .services
        .iter()
        .enumerate()
        .filter_map(|(index, service)| {
            let address = service.addresses.iter().copied().find(|a| Family::of(*a) == family)?;
            let backends = backends(cluster, service, down, family);
            (!backends.is_empty()).then_some((index, address, backends))
        })
        .collect();
    let _ = writeln!(script, "table {table} kube-proxy {{");
    for (index, _, backends) in &services {
        let _ = writeln!(script, " chain service-{index} {{");
        for pod_cidr in cluster.pod_cidrs.iter().filter(|p| p.family() == family) {
            let _ = writeln!(script, "  {table} saddr != {pod_cidr} jump mark-for-masquerade");
        }
        let map: Vec<String> = backends.iter().enumerate().map(|(n, a)| format!("{n} : {a}")).collect();
        let count = backends.len();
        let _ = writeln!(script, "  dnat to numgen random mod {count} map {{ {} }}\n }}", map.join(", "));
    }
    script.push_str(
        " chain mark-for-masquerade {\n  meta mark set meta mark or 0x4000\n }\n chain services {\n",
    );
    for (index, address, _) in &services {
        let port = format!("meta l4proto {{ tcp, udp }} th dport {ECHO_PORT}");
        let _ = writeln!(script, "  {table} daddr {address} {port} goto service-{index}");
    }
    script.push_str(" }\n");
    for (chain, hook, priority) in
        [("nat-prerouting", "prerouting", "dstnat"), ("nat-output", "output", "-100")]
    {
        let _ =
            writeln!(script, " chain {chain} {{\n  type nat hook {hook} priority {priority}; policy accept;");
        script.push_str("  jump services\n }\n");
    }
    script
        .push_str(" chain nat-postrouting {\n  type nat hook postrouting priority srcnat; policy accept;\n");
    // A pod that meets itself behind a Service must not see its own address as the client's.
    for (_, _, backends) in &services {
        for backend in backends {
            let _ = writeln!(
                script,
                "  {table} saddr {backend} {table} daddr {backend} ct status dnat masquerade fully-random"
            );
        }
    }
    script.push_str("  meta mark and 0x4000 != 0x4000 return\n");
    script.push_str("  meta mark set meta mark xor 0x4000\n  masquerade fully-random\n }\n");
    script.push_str(" chain filter-forward {\n  type filter hook forward priority filter; policy accept;\n");
    script.push_str("  ct state invalid counter drop\n }\n}\n");
}

fn backends(cluster: &Cluster, service: &Service, down: &[Endpoint], family: Family) -> Vec<IpAddr> {
    let of_family = |addresses: &[IpAddr]| addresses.iter().copied().find(|a| Family::of(*a) == family);
    let mut found: Vec<IpAddr> = Vec::new();
    for id in service.backends.iter().filter(|id| !down.contains(&Endpoint::Node(id.node.clone()))) {
        let node = cluster.nodes.iter().find(|n| n.name == id.node.node);
        let pod = node.and_then(|n| n.pods.iter().find(|p| p.name == id.pod));
        found.extend(pod.and_then(|p| of_family(&p.addresses)));
    }
    found
}
