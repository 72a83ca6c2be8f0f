//! Clusters with real control planes: for each cluster of a bed, and for the hub, an etcd prefix, a
//! kube-apiserver and a kube-controller-manager in the underlay's network, where the nodes reach them at
//! their router's address. Where the lab file asks for flannel or kube-proxy, those run on the nodes. Causeway comes to them as it comes to users: `causeway install`, `causeway
//! join`, ServiceAccounts with the rights that are shipped. There is no kubelet: the lab writes the Nodes,
//! and starts each program as its Pod would.

mod network;
mod pki;
mod server;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use causeway_model::{ClusterName, NodeId};
use serde_json::{Value, json};

use crate::daemon::{self, Daemon, program};
use crate::deadline::wait_until;
use crate::error::{LabError, Result};
use crate::holder;
use crate::namespace::{Namespace, run_with_input};
use crate::state::{DIRECTORY, State, from_json, to_json};
use crate::topology::{Cluster, CniKind, Endpoint, KubernetesVersion, Node};

pub(crate) use network::refresh_services;
pub(crate) use server::{Server, binaries};

/// How long a step of installing may take.
const STEP: Duration = Duration::from_secs(60);
/// The namespace of Causeway's programs.
const SYSTEM: &str = "causeway-system";
/// Where network-manager serves its health; controller-managers do so at the ports after it.
const HEALTH_OF_MANAGER: u16 = 8080;

/// Where everything of the control planes lies, in the bed.
fn folder() -> PathBuf {
    Path::new(DIRECTORY).join("kubernetes")
}

/// Starts the control planes and joins the clusters.
pub(crate) fn bring_up(state: &mut State) -> Result<()> {
    let binaries = binaries(state.topology.kubernetes)?;
    let clusters = state.topology.clusters.clone();
    let servers: Vec<Server> =
        [Server::hub(&state.topology)].into_iter().chain(clusters.iter().map(Server::of)).collect();
    pki::write(&folder(), &servers)?;
    server::start_etcd(&binaries, &folder())?;
    for server in &servers {
        server.start(&binaries)?;
    }
    for server in &servers {
        server.wait_until_ready()?;
        let cluster = clusters.iter().find(|cluster| cluster.index + 1 == server.place());
        server.start_controllers(&binaries, cluster.filter(|cluster| cluster.needs_api_server()))?;
    }
    state.topology.clusters = of_each(&clusters, |cluster| network::build_nodes(state, cluster))?;
    state.save()?;
    if state.programs.is_none() {
        return Ok(());
    }
    install_hub(state)?;
    // In the order of the file, which is that of age.
    for cluster in &state.topology.clusters {
        register(state, cluster)?;
    }
    of_each(&state.topology.clusters, |cluster| join(state, cluster)).map(drop)
}

/// Does the same for each cluster, all at once.
fn of_each<T: Send>(clusters: &[Cluster], work: impl Fn(&Cluster) -> Result<T> + Sync) -> Result<Vec<T>> {
    thread::scope(|scope| {
        let threads: Vec<_> = clusters.iter().map(|cluster| scope.spawn(|| work(cluster))).collect();
        let panicked = |_| Err(LabError::Bed("a thread of the lab panicked".to_owned()));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
    })
}

/// A node that is new: its Node, and its network where that takes an API server.
pub(crate) fn add_node(state: &mut State, id: &NodeId) -> Result<()> {
    let Some((cluster, node)) = state.topology.node(id) else {
        return Err(LabError::UnknownEndpoint(id.to_string()));
    };
    write_node(cluster, node)?;
    if !cluster.needs_api_server() {
        return Ok(());
    }
    let given = network::build_node(state, cluster, node.clone())?;
    let clusters = state.topology.clusters.iter_mut().filter(|cluster| cluster.name == id.cluster);
    for node in clusters.flat_map(|cluster| &mut cluster.nodes).filter(|node| node.name == id.node) {
        node.clone_from(&given);
    }
    Ok(())
}

fn causeway(state: &State, arguments: &[&str]) -> Result<String> {
    let path = program(state, "causeway")?;
    let path = path.display().to_string();
    let mut command = vec![path.as_str()];
    command.extend(arguments);
    run_with_input(&command, "")
}

fn install_hub(state: &State) -> Result<()> {
    let hub = Server::hub(&state.topology);
    causeway(state, &["install", "hub", "--kubeconfig", &hub.admin(), "--timeout", "60"])?;
    if let Some(spec) = &state.topology.cluster_set {
        let set = json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "ClusterSet", "metadata": {"name": "default"}, "spec": spec,
        });
        hub.apply(&set)?;
    }
    start_manager(state)
}

/// Starts network-manager as its Pod would run: with its ServiceAccount's token.
pub(crate) fn start_manager(state: &State) -> Result<()> {
    let hub = Server::hub(&state.topology);
    let kubeconfig = hub.kubeconfig_of_account("causeway-network-manager", &[], &hub.loopback())?;
    let mut command = Command::new(program(state, "causeway-network-manager")?);
    command.args(["--kubeconfig", &kubeconfig, "--listen", &format!("127.0.0.1:{HEALTH_OF_MANAGER}")]);
    Daemon::manager().start(command)
}

/// The Cluster, as an administrator writes it. CIDRs that the lab file does not give are found.
fn register(state: &State, cluster: &Cluster) -> Result<()> {
    Server::hub(&state.topology).apply(&json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster",
        "metadata": {"name": cluster.name}, "spec": cluster.spec,
    }))
}

fn join(state: &State, cluster: &Cluster) -> Result<()> {
    let (hub, member) = (Server::hub(&state.topology), Server::of(cluster));
    causeway(
        state,
        &[
            "join",
            "--cluster",
            cluster.name.as_str(),
            "--kubeconfig",
            &member.admin(),
            "--hub-kubeconfig",
            &hub.admin(),
            "--hub-server",
            &hub.underlay(),
            "--timeout",
            "60",
        ],
    )?;
    start_controller_manager(state, cluster)?;
    cluster.nodes.iter().try_for_each(|node| start_agent(state, &cluster.node_id(node)))
}

/// Starts a cluster's controller-manager as its Pod would run: the hub's credential comes from the Secret
/// that joining made, and follows it.
pub(crate) fn start_controller_manager(state: &State, cluster: &Cluster) -> Result<()> {
    let member = Server::of(cluster);
    let kubeconfig = member.kubeconfig_of_account("causeway-controller-manager", &[], &member.loopback())?;
    let hub = folder().join(format!("{}-hub.conf", cluster.name));
    let encoded = member.kubectl(&[
        "get",
        "secret",
        "causeway-hub",
        "-n",
        SYSTEM,
        "-o",
        "jsonpath={.data.kubeconfig}",
    ])?;
    let text = run_with_input(&["base64", "-d"], &encoded)?;
    fs::write(&hub, text).map_err(LabError::file("write", &hub))?;
    let mut command = Command::new(program(state, "causeway-controller-manager")?);
    command.args(["--cluster", cluster.name.as_str(), "--kubeconfig", &kubeconfig, "--hub-kubeconfig"]);
    command.arg(&hub).args(["--listen", &format!("127.0.0.1:{}", HEALTH_OF_MANAGER + 1 + cluster.index)]);
    Daemon::controller_manager(&cluster.name).start(command)
}

/// Starts a node's agent as its Pod would run: with a token that is bound to its Node.
pub(crate) fn start_agent(state: &State, id: &NodeId) -> Result<()> {
    let Some((cluster, node)) = state.topology.node(id) else {
        return Err(LabError::UnknownEndpoint(id.to_string()));
    };
    let member = Server::of(cluster);
    let name = node.name.as_str();
    // One that has run before has its token, and starts though its API server is away.
    let kubeconfig = match member.kubeconfig(&format!("causeway-agent-{name}")) {
        Some(written) => written,
        None => kubeconfig_of_agent(&member, name, &member.seen_by(cluster, node))?,
    };
    let directory = Path::new(DIRECTORY).join(format!("state/{}/{}", id.cluster, id.node));
    fs::create_dir_all(&directory).map_err(LabError::file("create", &directory))?;
    let mut command = daemon::inside(&Endpoint::Node(id.clone()))?;
    command.arg(program(state, "causeway-agent")?).args(["--node", name, "--kubeconfig", &kubeconfig]);
    command.arg("--state-dir").arg(directory);
    Daemon::agent(id).start(command)
}

fn kubeconfig_of_agent(member: &Server, node: &str, url: &str) -> Result<String> {
    let uid = member.kubectl(&["get", "node", node, "-o", "jsonpath={.metadata.uid}"])?;
    let bound =
        ["--bound-object-kind", "Node", "--bound-object-name", node, "--bound-object-uid", uid.trim()];
    member.kubeconfig_of_account("causeway-agent", &bound, url)
}

/// Writes a Node, as its kubelet would, and kube-controller-manager where it does not run for that.
fn write_node(cluster: &Cluster, node: &Node) -> Result<()> {
    let member = Server::of(cluster);
    let address = |address: &IpAddr| json!({"type": "InternalIP", "address": address});
    let addresses: Vec<Value> = node.addresses.iter().map(address).collect();
    let ready = json!({
        "type": "Ready", "status": if node.ready { "True" } else { "False" }, "reason": "Lab", "message": "",
        "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    // Not by server-side apply, which refuses several addresses of a type.
    let mut object = node_object(cluster, node);
    object["status"] = json!({"addresses": addresses, "conditions": [ready]});
    member.create(&object)
}

/// Removes a Node and what runs for it.
pub(crate) fn remove_node(cluster: &Cluster, node: &Node) -> Result<()> {
    let member = Server::of(cluster);
    if cluster.needs_api_server() {
        network::remove_node(cluster, node)?;
    }
    let node = node.name.as_str();
    member.kubectl(&["delete", "node", node])?;
    // A token is bound to its Node: one that comes back gets another.
    if let Some(token) = member.kubeconfig(&format!("causeway-agent-{node}")) {
        fs::remove_file(&token).map_err(LabError::file("remove", Path::new(&token)))?;
    }
    Ok(())
}

fn node_object(cluster: &Cluster, node: &Node) -> Value {
    let mut labels = json!(node.labels);
    if let Some(zone) = &node.zone {
        labels["topology.kubernetes.io/zone"] = json!(zone);
    }
    let spec = match cluster.cni.kind {
        CniKind::Flannel => json!({}),
        _ => json!({"podCIDRs": node.pod_cidrs, "podCIDR": node.pod_cidrs.first()}),
    };
    json!({
        "apiVersion": "v1", "kind": "Node",
        // As a kubelet does; flannel trusts that there is one.
        "metadata": {"name": node.name, "labels": labels, "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}},
        "spec": spec,
    })
}

/// Brings what the lab reads of NodeConfigs up to date with the hub, if that is up.
pub(crate) fn mirror(state: &State) -> Result<()> {
    let hub = Server::hub(&state.topology);
    if hub.daemon().pid().is_none() {
        // While it is away, what it said last is what nodes go by.
        return Ok(());
    }
    let text = hub.kubectl(&["get", "nodeconfigs", "-A", "-o", "json"])?;
    let list: Value = from_json(&text, "the hub's NodeConfigs")?;
    let objects = holder::objects();
    for object in list["items"].as_array().into_iter().flatten() {
        let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default();
        let Some(cluster) = text("/metadata/namespace").strip_prefix("causeway-cluster-") else { continue };
        let cluster: ClusterName =
            cluster.parse().map_err(|_| LabError::UnknownEndpoint(cluster.to_owned()))?;
        objects.write(&objects.file("nodeconfigs", &cluster, text("/metadata/name")), object)?;
    }
    Ok(())
}

/// Runs kubectl against the server of a cluster, or `hub`. That it fails is no error; its status says so.
pub(crate) fn kubectl(server: &str, arguments: &[String]) -> Result<std::process::ExitStatus> {
    let server = Server::named(server)?;
    let mut command = Command::new(kubectl_program()?);
    command.args(["--kubeconfig", &server.admin()]).args(arguments);
    command.status().map_err(LabError::run("kubectl"))
}

/// One kubectl serves all versions.
fn kubectl_program() -> Result<PathBuf> {
    Ok(binaries(KubernetesVersion::Newest)?.join("kubectl"))
}

impl Server {
    /// What kubectl prints.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_with(arguments, "")
    }

    fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let kubectl = kubectl_program()?.display().to_string();
        let admin = self.admin();
        let command = [&[kubectl.as_str(), "--kubeconfig", admin.as_str()], arguments].concat();
        Namespace::underlay().within(|| run_with_input(&command, input))
    }

    /// Makes an object be there as it is here.
    pub fn apply(&self, object: &Value) -> Result<()> {
        let text = to_json(object, "an object")?;
        self.kubectl_with(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &text).map(drop)
    }

    /// Makes an object that is not there yet.
    fn create(&self, object: &Value) -> Result<()> {
        self.kubectl_with(&["create", "-f", "-"], &to_json(object, "an object")?).map(drop)
    }

    /// A kubeconfig, for a server at `url`, of somebody with a token of a ServiceAccount of Causeway's.
    fn kubeconfig_of_account(&self, account: &str, bound: &[&str], url: &str) -> Result<String> {
        let node = bound.get(3).map(|node| format!("-{node}")).unwrap_or_default();
        let name = format!("{account}{node}");
        if let Some(written) = self.kubeconfig(&name) {
            return Ok(written);
        }
        let create = ["create", "token", account, "-n", SYSTEM, "--duration=24h"];
        let mut token = String::new();
        wait_until(&format!("a token for {account} at {}", self.name()), STEP, || {
            Ok(match self.kubectl(&[&create[..], bound].concat()) {
                Ok(created) => {
                    token = created.trim().to_owned();
                    Ok(())
                }
                Err(error) => Err(error.to_string()),
            })
        })?;
        self.write_kubeconfig(&name, url, &json!({"token": token}))
    }
}
