//! One node: its way to the underlay, its pods, and its share of the CNI and of kube-proxy.

use std::fmt::Write;
use std::net::IpAddr;

use causeway_model::Family;

use super::{cni, kube_proxy, node_namespace, pod_namespace};
use crate::error::Result;
use crate::namespace::Namespace;
use crate::topology::{Cluster, CniKind, Endpoint, KubeProxy, Node, Pod};

/// What every node starts with. Strict reverse-path filtering is what a distribution may set and
/// what an overlay has to cope with.
const NODE_SYSCTLS: &[(&str, &str)] = &[
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/all/accept_ra", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv4/ip_forward", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv4/conf/all/rp_filter", "1"),
    ("ipv4/conf/default/rp_filter", "1"),
    ("ipv4/ping_group_range", "0 0"),
];

/// What every pod starts with.
const POD_SYSCTLS: &[(&str, &str)] = &[
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv4/ping_group_range", "0 0"),
];

/// Settings that must stand before the first device comes.
pub(super) fn prepare(cluster: &Cluster, node: &Node) -> Result<()> {
    node_namespace(cluster, node).sysctls(NODE_SYSCTLS)?;
    node.pods.iter().try_for_each(|pod| pod_namespace(cluster, node, &pod.name).sysctls(POD_SYSCTLS))
}

/// Everything on the node. Its port on the underlay is there already.
pub(super) fn build(cluster: &Cluster, node: &Node) -> Result<()> {
    let namespace = node_namespace(cluster, node);
    let mut lines = String::new();
    uplink(&mut lines, cluster, node);
    cni::devices(&mut lines, cluster, node);
    let is_flannel = cluster.cni.kind == CniKind::Flannel;
    for (index, pod) in node.pods.iter().enumerate().filter(|_| !is_flannel) {
        attach(&mut lines, cluster, node, pod, index);
    }
    let mut fdb = String::new();
    for other in cluster.nodes.iter().filter(|n| n.name != node.name) {
        cni::reach(&mut lines, cluster, node, other);
        cni::tunnel(&mut fdb, cluster, other);
    }
    namespace.ip(&lines)?;
    namespace.bridge(&fdb)?;
    if is_flannel {
        // Where flannel writes nftables, what it accepts overrules no policy of iptables, so there is none.
        let is_iptables = cluster.kube_proxy != KubeProxy::Nftables;
        return if is_iptables { drop_what_is_forwarded(&namespace) } else { Ok(()) };
    }
    for pod in &node.pods {
        let mut lines = String::new();
        inside_pod(&mut lines, cluster, node, pod);
        pod_namespace(cluster, node, &pod.name).ip(&lines)?;
    }
    let mut script = String::new();
    cni::firewall(&mut script, cluster, node);
    if cluster.kube_proxy == KubeProxy::Imitated {
        kube_proxy::rules(&mut script, cluster, &[]);
    }
    namespace.nft(&script)
}

/// Docker's default, set as Docker does, so that flannel and kube-proxy find tables that iptables can read.
fn drop_what_is_forwarded(namespace: &Namespace) -> Result<()> {
    for iptables in ["iptables", "ip6tables"] {
        namespace.output(&[iptables, "-w", "-P", "FORWARD", "DROP"])?;
    }
    Ok(())
}

/// Brings the node's Services in line with which nodes are down.
pub(super) fn refresh_services(cluster: &Cluster, node: &Node, down: &[Endpoint]) -> Result<()> {
    let mut script = String::new();
    kube_proxy::rules(&mut script, cluster, down);
    node_namespace(cluster, node).nft(&script)
}

/// What the CNI tells `node` of `other`.
pub(super) fn learn(cluster: &Cluster, node: &Node, other: &Node) -> Result<()> {
    let (mut lines, mut fdb) = (String::new(), String::new());
    cni::reach(&mut lines, cluster, node, other);
    cni::tunnel(&mut fdb, cluster, other);
    node_namespace(cluster, node).ip(&lines)?;
    node_namespace(cluster, node).bridge(&fdb)
}

/// The reverse of [`learn`].
pub(super) fn forget(cluster: &Cluster, node: &Node, other: &Node) -> Result<()> {
    let reverse = |lines: String| lines.replace(" add ", " del ").replace(" append ", " del ");
    let (mut lines, mut fdb) = (String::new(), String::new());
    cni::reach(&mut lines, cluster, node, other);
    cni::tunnel(&mut fdb, cluster, other);
    node_namespace(cluster, node).ip(&reverse(lines))?;
    node_namespace(cluster, node).bridge(&reverse(fdb))
}

fn uplink(lines: &mut String, cluster: &Cluster, node: &Node) {
    let _ = writeln!(lines, "link set lo up\nlink set eth0 up");
    for address in &node.addresses {
        if let Some((router, subnet)) = cluster.router(Family::of(*address)) {
            let _ = writeln!(lines, "addr add {}", on_link(*address, subnet.len(), "eth0"));
            let _ = writeln!(lines, "route add default via {router} dev eth0");
        }
    }
    for address in &node.private_addresses {
        if let Some(subnet) = cluster.all_subnets().iter().find(|s| s.contains(*address)) {
            let _ = writeln!(lines, "addr add {}", on_link(*address, subnet.len(), "eth0"));
        }
    }
}

/// The node's end of a pod.
fn attach(lines: &mut String, cluster: &Cluster, node: &Node, pod: &Pod, index: usize) {
    let device = format!("veth{}", index + 1);
    let namespace = pod_namespace(cluster, node, &pod.name);
    let mtu = cni::pod_mtu(cluster);
    let peer = format!("peer name eth0 mtu {mtu} netns {}", namespace.name());
    let _ = writeln!(lines, "link add {device} mtu {mtu} type veth {peer}");
    if cluster.cni.kind == CniKind::Vxlan {
        let _ = writeln!(lines, "link set {device} master cni0 up");
        // As the bridge plugin does: with br_netfilter a pod that meets itself behind a Service is
        // bridged back to where it came from.
        let _ = writeln!(lines, "link set {device} type bridge_slave hairpin on");
        return;
    }
    let _ = writeln!(lines, "link set {device} up");
    for address in &pod.addresses {
        let family = Family::of(*address);
        let gateway = gateway(family);
        // Link scope keeps it from being a source address.
        let scope = if family == Family::V4 { " scope link" } else { "" };
        let _ = writeln!(
            lines,
            "addr add {}{scope}",
            on_link(gateway, if family == Family::V4 { 32 } else { 64 }, &device)
        );
        let source = node.internal_address(family).map(|a| format!(" src {a}")).unwrap_or_default();
        let _ = writeln!(lines, "route add {address}/{} dev {device}{source}", family.bits());
    }
}

fn inside_pod(lines: &mut String, cluster: &Cluster, node: &Node, pod: &Pod) {
    let _ = writeln!(lines, "link set lo up\nlink set eth0 up");
    for address in &pod.addresses {
        let family = Family::of(*address);
        if cluster.cni.kind == CniKind::Vxlan {
            let Some((gateway, prefix)) = cni::bridge_address(node, family) else { continue };
            let _ = writeln!(lines, "addr add {}", on_link(*address, prefix.len(), "eth0"));
            let _ = writeln!(lines, "route add default via {gateway} dev eth0");
        } else {
            let gateway = gateway(family);
            let _ = writeln!(lines, "addr add {}", on_link(*address, family.bits(), "eth0"));
            if family == Family::V4 {
                let _ = writeln!(lines, "route add {gateway} dev eth0 scope link");
            }
            let _ = writeln!(lines, "route add default via {gateway} dev eth0");
        }
    }
}

/// The gateway that pods have on a point-to-point link.
fn gateway(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4([169, 254, 1, 1].into()),
        Family::V6 => IpAddr::V6([0xfe80, 0, 0, 0, 0, 0, 0, 1].into()),
    }
}

/// `ADDRESS/LENGTH dev DEVICE`, usable at once.
pub(super) fn on_link(address: IpAddr, len: u8, device: &str) -> String {
    let nodad = if address.is_ipv6() { " nodad" } else { "" };
    format!("{address}/{len} dev {device}{nodad}")
}
