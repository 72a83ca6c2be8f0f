//! A cluster's own network by the programs that clusters have: prefixes from kube-controller-manager, flannel,
//! pods through the CNI plugins, Services through kube-proxy. What they give out is learnt from them.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use causeway_model::{Family, NodeId, Prefix};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Server, binaries, folder, write_node};
use crate::bed::{node_namespace, pod_mtu, pod_namespace};
use crate::daemon::{self, Daemon};
use crate::deadline::wait_until;
use crate::echo::ECHO_PORT;
use crate::error::{LabError, Result};
use crate::state::{State, from_json, to_json};
use crate::topology::{Cluster, CniKind, Endpoint, KubeProxy, Node, Pod, Service};

/// How long a program may take to give something out.
const GIVE: Duration = Duration::from_secs(60);
/// Where flannel's own manifest has its settings.
const FLANNEL_NAMESPACE: &str = "kube-flannel";
/// Where pods and Services of the bed are.
const NAMESPACE: &str = "default";

/// Gives the nodes of a cluster their networks, and says what they were given. The nodes are written already.
pub(super) fn build(state: &State, cluster: &Cluster) -> Result<Cluster> {
    let mut cluster = cluster.clone();
    if cluster.cni.kind == CniKind::Flannel {
        write_flannel_settings(&cluster)?;
    }
    let nodes = cluster.nodes.clone();
    cluster.nodes = nodes.into_iter().map(|node| build_node(state, &cluster, node)).collect::<Result<_>>()?;
    if cluster.kube_proxy != KubeProxy::Imitated {
        cluster.services.iter().try_for_each(|service| write_service(&cluster, service))?;
    }
    Ok(cluster)
}

/// Gives one node its network, and says what it was given.
pub(super) fn build_node(state: &State, cluster: &Cluster, mut node: Node) -> Result<Node> {
    if cluster.cni.kind == CniKind::Flannel {
        node.pod_cidrs = given_prefixes(cluster, &node)?;
        let conf = start_flannel(state, cluster, &node)?;
        let pods = node.pods.clone();
        node.pods =
            pods.iter().map(|pod| add_pod(state, cluster, &node, pod, &conf)).collect::<Result<_>>()?;
    }
    if cluster.kube_proxy != KubeProxy::Imitated {
        start_kube_proxy(state, cluster, &node)?;
        node.pods.iter().try_for_each(|pod| write_pod(cluster, &node, pod))?;
    }
    Ok(node)
}

/// Ends a node's programs and takes its pods away from the API server.
pub(super) fn remove_node(cluster: &Cluster, node: &Node) -> Result<()> {
    let id = cluster.node_id(node);
    flannel(&id).kill()?;
    kube_proxy(&id).kill()?;
    if cluster.kube_proxy == KubeProxy::Imitated {
        return Ok(());
    }
    let server = Server::of(cluster);
    for pod in &node.pods {
        let name = pod_name(node, pod);
        server.kubectl(&[
            "delete",
            "pod",
            "-n",
            NAMESPACE,
            &name,
            "--force",
            "--grace-period=0",
            "--ignore-not-found",
        ])?;
    }
    Ok(())
}

/// Says of each pod whether it is ready, which those of nodes that are down are not.
pub(crate) fn refresh_services(cluster: &Cluster, down: &[Endpoint]) -> Result<()> {
    for node in &cluster.nodes {
        let is_down = down.contains(&Endpoint::Node(cluster.node_id(node)));
        node.pods.iter().try_for_each(|pod| write_pod_status(cluster, node, pod, !is_down))?;
    }
    Ok(())
}

fn flannel(node: &NodeId) -> Daemon {
    Daemon::of_node("flannel", node)
}

fn kube_proxy(node: &NodeId) -> Daemon {
    Daemon::of_node("kube-proxy", node)
}

fn node_folder(cluster: &Cluster, node: &Node) -> PathBuf {
    folder().join(format!("node/{}/{}", cluster.name, node.name))
}

fn flannel_settings(cluster: &Cluster) -> Value {
    let of = |family: Family| cluster.pod_cidrs.iter().find(|cidr| cidr.family() == family);
    let mut settings = json!({
        "EnableIPv4": of(Family::V4).is_some(), "EnableIPv6": of(Family::V6).is_some(),
        "EnableNFTables": cluster.kube_proxy == KubeProxy::Nftables, "Backend": {"Type": "vxlan"},
    });
    for (family, key) in [(Family::V4, "Network"), (Family::V6, "IPv6Network")] {
        if let Some(cidr) = of(family) {
            settings[key] = json!(cidr);
        }
    }
    settings
}

/// The ConfigMap of flannel's manifest.
fn write_flannel_settings(cluster: &Cluster) -> Result<()> {
    let server = Server::of(cluster);
    server
        .apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": FLANNEL_NAMESPACE}}))?;
    server.apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "kube-flannel-cfg", "namespace": FLANNEL_NAMESPACE},
        "data": {"net-conf.json": flannel_settings(cluster).to_string()},
    }))
}

/// The prefixes that kube-controller-manager gave the node.
fn given_prefixes(cluster: &Cluster, node: &Node) -> Result<Vec<Prefix>> {
    let server = Server::of(cluster);
    let mut found = Vec::new();
    wait_until(&format!("prefixes for the node {}", node.name), GIVE, || {
        let text =
            server.kubectl(&["get", "node", node.name.as_str(), "-o", "jsonpath={.spec.podCIDRs[*]}"])?;
        found = text.split_whitespace().filter_map(|cidr| cidr.parse().ok()).collect();
        Ok(if found.is_empty() { Err("none yet".to_owned()) } else { Ok(()) })
    })?;
    Ok(found)
}

/// Starts flannel on a node, and writes what the CNI plugins are to do there.
fn start_flannel(state: &State, cluster: &Cluster, node: &Node) -> Result<PathBuf> {
    let at = node_folder(cluster, node);
    let conf = at.join("net.d");
    fs::create_dir_all(&conf).map_err(LabError::file("create", &conf))?;
    let settings = at.join("net-conf.json");
    fs::write(&settings, flannel_settings(cluster).to_string())
        .map_err(LabError::file("write", &settings))?;
    let subnet = at.join("subnet.env");
    let mut command = daemon::inside(&Endpoint::Node(cluster.node_id(node)))?;
    command.arg(binaries(state.topology.kubernetes)?.join("flannel")).args([
        "--kube-subnet-mgr".to_owned(),
        format!("--kubeconfig-file={}", Server::of(cluster).kubeconfig_on(cluster, node, "admin")?),
        format!("--net-config-path={}", settings.display()),
        format!("--subnet-file={}", subnet.display()),
        "--iface=eth0".to_owned(),
        "--ip-masq=true".to_owned(),
        "--healthz-port=0".to_owned(),
    ]);
    command.env("NODE_NAME", node.name.as_str());
    let daemon = flannel(&cluster.node_id(node));
    daemon.start(command)?;
    wait_until(&format!("flannel on {}", node.name), GIVE, || {
        if subnet.exists() {
            return Ok(Ok(()));
        }
        if daemon.pid().is_none() {
            return Err(LabError::Failed { program: "flannel".to_owned(), message: daemon.last_words() });
        }
        Ok(Err(daemon.last_words()))
    })?;
    let list = conf.join("10-lab.conflist");
    fs::write(&list, plugins(cluster, node, &at).to_string()).map_err(LabError::file("write", &list))?;
    Ok(conf)
}

/// What flannel's own plugin would delegate to, for a node with these prefixes.
fn plugins(cluster: &Cluster, node: &Node, at: &Path) -> Value {
    let ranges: Vec<Value> = node.pod_cidrs.iter().map(|cidr| json!([{"subnet": cidr}])).collect();
    let default = |family: Family| if family == Family::V4 { "0.0.0.0/0" } else { "::/0" };
    let routes: Vec<Value> =
        node.pod_cidrs.iter().map(|cidr| json!({"dst": default(cidr.family())})).collect();
    json!({"cniVersion": "1.0.0", "name": "lab", "plugins": [
        {
            "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
            "mtu": pod_mtu(cluster),
            "ipam": {"type": "host-local", "ranges": ranges, "routes": routes, "dataDir": at.join("ipam")},
        },
        {"type": "portmap", "capabilities": {"portMappings": true}},
    ]})
}

/// What the plugins answer.
#[derive(Deserialize)]
struct Answer {
    ips: Vec<Given>,
}

#[derive(Deserialize)]
struct Given {
    address: String,
}

/// Connects a pod through the CNI plugins.
fn add_pod(state: &State, cluster: &Cluster, node: &Node, pod: &Pod, conf: &Path) -> Result<Pod> {
    let programs = binaries(state.topology.kubernetes)?;
    let namespace = pod_namespace(cluster, node, &pod.name);
    let text = node_namespace(cluster, node).output(&[
        "env",
        &format!("CNI_PATH={}", programs.display()),
        &format!("NETCONFPATH={}", conf.display()),
        &programs.join("cnitool").display().to_string(),
        "add",
        "lab",
        &format!("/run/netns/{}", namespace.name()),
    ])?;
    let answer: Answer = from_json(&text, "the answer of the CNI plugins")?;
    let address = |given: &Given| given.address.split('/').next()?.parse::<IpAddr>().ok();
    Ok(Pod { name: pod.name.clone(), addresses: answer.ips.iter().filter_map(address).collect() })
}

fn start_kube_proxy(state: &State, cluster: &Cluster, node: &Node) -> Result<()> {
    let mode = if cluster.kube_proxy == KubeProxy::Iptables { "iptables" } else { "nftables" };
    let pods: Vec<String> = cluster.pod_cidrs.iter().map(ToString::to_string).collect();
    let mut command = daemon::inside(&Endpoint::Node(cluster.node_id(node)))?;
    command.arg(binaries(state.topology.kubernetes)?.join("kube-proxy")).args([
        format!("--kubeconfig={}", Server::of(cluster).kubeconfig_on(cluster, node, "kube-proxy")?),
        format!("--hostname-override={}", node.name),
        format!("--proxy-mode={mode}"),
        format!("--cluster-cidr={}", pods.join(",")),
        // The machine's connection tracking is not a bed's to size.
        "--conntrack-max-per-core=0".to_owned(),
        "--conntrack-tcp-timeout-established=0s".to_owned(),
        "--conntrack-tcp-timeout-close-wait=0s".to_owned(),
        "--healthz-bind-address=127.0.0.1:10256".to_owned(),
        "--metrics-bind-address=127.0.0.1:10249".to_owned(),
    ]);
    kube_proxy(&cluster.node_id(node)).start(command)
}

fn pod_name(node: &Node, pod: &Pod) -> String {
    format!("{}-{}", node.name, pod.name)
}

fn label(service: &Service) -> String {
    format!("lab.causeway.dev/{}", service.name)
}

fn write_pod(cluster: &Cluster, node: &Node, pod: &Pod) -> Result<()> {
    let server = Server::of(cluster);
    let id = cluster.node_id(node);
    let behind = |service: &&Service| {
        service.backends.iter().any(|backend| backend.node == id && backend.pod == pod.name)
    };
    let labels: serde_json::Map<String, Value> =
        cluster.services.iter().filter(behind).map(|service| (label(service), json!("backend"))).collect();
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": pod_name(node, pod), "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "nodeName": node.name, "automountServiceAccountToken": false,
            "containers": [{"name": "echo", "image": "echo"}],
        },
    });
    // A namespace has no ServiceAccount for its pods at first.
    wait_until(&format!("the pod {}", pod_name(node, pod)), GIVE, || {
        Ok(server.apply(&object).map_err(|error| error.to_string()))
    })?;
    write_pod_status(cluster, node, pod, true)
}

/// As the kubelet would.
fn write_pod_status(cluster: &Cluster, node: &Node, pod: &Pod, ready: bool) -> Result<()> {
    let addresses: Vec<Value> = pod.addresses.iter().map(|address| json!({"ip": address})).collect();
    let status = json!({"status": {
        "phase": "Running", "podIP": pod.addresses.first(), "podIPs": addresses,
        "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
    }});
    let patch = to_json(&status, "a patch")?;
    let name = pod_name(node, pod);
    Server::of(cluster)
        .kubectl(&[
            "patch",
            "pod",
            "-n",
            NAMESPACE,
            &name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ])
        .map(drop)
}

fn write_service(cluster: &Cluster, service: &Service) -> Result<()> {
    let families: Vec<String> =
        service.addresses.iter().map(|address| Family::of(*address).to_string()).collect();
    let policy = if families.len() > 1 { "RequireDualStack" } else { "SingleStack" };
    let port = |protocol: &str| json!({"name": protocol.to_lowercase(), "protocol": protocol, "port": ECHO_PORT, "targetPort": ECHO_PORT});
    Server::of(cluster).apply(&json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": service.name, "namespace": NAMESPACE},
        "spec": {
            "selector": {label(service): "backend"}, "ports": [port("TCP"), port("UDP")],
            "clusterIP": service.addresses.first(), "clusterIPs": service.addresses,
            "ipFamilies": families, "ipFamilyPolicy": policy,
        },
    }))
}

/// Writes a cluster's nodes and gives them their networks where that takes an API server.
pub(super) fn build_nodes(state: &State, cluster: &Cluster) -> Result<Cluster> {
    cluster.nodes.iter().try_for_each(|node| write_node(cluster, node))?;
    if cluster.needs_api_server() { build(state, cluster) } else { Ok(cluster.clone()) }
}
