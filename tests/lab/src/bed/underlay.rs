//! The underlay: a router in the bed's own namespace, with one bridge for each cluster, or for
//! clusters that share their subnets, and one port for each node.

use std::fmt::Write;

use causeway_model::Family;

use super::node_namespace;
use crate::error::Result;
use crate::namespace::Namespace;
use crate::topology::{Cluster, Node, Topology};

/// The router's port of a node.
pub(crate) fn port(node: &Node) -> String {
    format!("port{}", node.number)
}

fn bridge(cluster: &Cluster) -> String {
    format!("cluster{}", cluster.segment)
}

/// Makes the router, its bridges and its ports.
pub(super) fn build(topology: &Topology) -> Result<()> {
    let router = Namespace::underlay();
    router.sysctls(&[
        ("ipv6/conf/all/accept_dad", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/default/accept_ra", "0"),
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
    ])?;
    let mut lines = String::from("link set lo up\n");
    for cluster in &topology.clusters {
        if cluster.segment != cluster.index {
            cluster.nodes.iter().for_each(|node| plug(&mut lines, cluster, node));
            continue;
        }
        let (name, mtu) = (bridge(cluster), cluster.mtu);
        // Without snooping neighbour discovery works at once, and without STP a port forwards at once.
        let _ = writeln!(lines, "link add {name} type bridge stp_state 0 mcast_snooping 0");
        let _ = writeln!(lines, "link set {name} mtu {mtu} up");
        for (address, subnet) in Family::BOTH.into_iter().filter_map(|f| cluster.router(f)) {
            let nodad = if address.is_ipv6() { " nodad" } else { "" };
            let _ = writeln!(lines, "addr add {address}/{} dev {name}{nodad}", subnet.len());
        }
        cluster.nodes.iter().for_each(|node| plug(&mut lines, cluster, node));
    }
    router.ip(&lines)
}

fn plug(lines: &mut String, cluster: &Cluster, node: &Node) {
    let (port, bridge, mtu) = (port(node), bridge(cluster), cluster.mtu);
    let namespace = node_namespace(cluster, node);
    let peer = format!("peer name eth0 mtu {mtu} netns {}", namespace.name());
    let _ = writeln!(lines, "link add {port} mtu {mtu} type veth {peer}");
    let _ = writeln!(lines, "link set {port} master {bridge} up");
}

/// Plugs one more node in.
pub(super) fn plug_in(cluster: &Cluster, node: &Node) -> Result<()> {
    let mut lines = String::new();
    plug(&mut lines, cluster, node);
    Namespace::underlay().ip(&lines)
}

/// Unplugs a node; the end in the node goes as well.
pub(super) fn unplug(node: &Node) -> Result<()> {
    Namespace::underlay().ip(&format!("link del {}\n", port(node)))
}
