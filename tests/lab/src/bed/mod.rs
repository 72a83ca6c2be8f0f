//! Builds a bed inside namespaces that are already its own: the underlay router, nodes, pods, and
//! what a CNI and kube-proxy do on each node.
//!
//! Nothing here knows Causeway: the bed is what a cluster is before Causeway comes.

mod cni;
mod kube_proxy;
mod node;
mod underlay;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::error::{LabError, Result};
use crate::kubernetes;
use crate::namespace::Namespace;
use crate::topology::{Cluster, Endpoint, KubeProxy, Node, PodId, Topology};

pub(crate) use cni::pod_mtu;
pub(crate) use underlay::port;

/// Namespaces are set up by this many threads at once; the kernel's network lock lets few more in.
const WORKERS: usize = 4;

/// Builds everything.
pub(crate) fn build(topology: &Topology) -> Result<()> {
    let namespaces: Vec<String> = topology.endpoints().iter().filter_map(Endpoint::namespace).collect();
    Namespace::create(&namespaces)?;
    let nodes: Vec<(&Cluster, &Node)> = topology.nodes().collect();
    each(&nodes, |(cluster, node)| node::prepare(cluster, node))?;
    underlay::build(topology)?;
    each(&nodes, |(cluster, node)| node::build(cluster, node))
}

/// Adds a node, one of `cluster`'s, to a bed that does not have it yet.
pub(crate) fn add_node(cluster: &Cluster, node: &Node) -> Result<()> {
    let mut namespaces = vec![node_namespace(cluster, node)];
    namespaces.extend(node.pods.iter().map(|pod| pod_namespace(cluster, node, &pod.name)));
    let names: Vec<String> = namespaces.iter().map(|n| n.name().to_owned()).collect();
    Namespace::create(&names)?;
    node::prepare(cluster, node)?;
    underlay::plug_in(cluster, node)?;
    node::build(cluster, node)?;
    let others: Vec<&Node> = cluster.nodes.iter().filter(|n| n.name != node.name).collect();
    each(&others, |other| node::learn(cluster, other, node))
}

/// Brings the Services of a cluster in line with which nodes are down, as happens when pods come and go.
pub(crate) fn refresh_services(cluster: &Cluster, down: &[Endpoint]) -> Result<()> {
    if cluster.kube_proxy != KubeProxy::Imitated {
        return kubernetes::refresh_services(cluster, down);
    }
    let nodes: Vec<&Node> = cluster.nodes.iter().collect();
    each(&nodes, |node| node::refresh_services(cluster, node, down))
}

/// Takes a node out of a bed: its namespaces, its port, and what the CNI knows of it.
pub(crate) fn remove_node(cluster: &Cluster, node: &Node) -> Result<()> {
    let others: Vec<&Node> = cluster.nodes.iter().filter(|n| n.name != node.name).collect();
    each(&others, |other| node::forget(cluster, other, node))?;
    underlay::unplug(node)?;
    let mut names: Vec<String> =
        node.pods.iter().map(|pod| pod_namespace(cluster, node, &pod.name).name().to_owned()).collect();
    names.push(node_namespace(cluster, node).name().to_owned());
    Namespace::delete(&names)
}

pub(crate) fn node_namespace(cluster: &Cluster, node: &Node) -> Namespace {
    endpoint_namespace(&Endpoint::Node(cluster.node_id(node)))
}

pub(crate) fn pod_namespace(cluster: &Cluster, node: &Node, pod: &str) -> Namespace {
    endpoint_namespace(&Endpoint::Pod(PodId { node: cluster.node_id(node), pod: pod.to_owned() }))
}

/// The namespace that an endpoint sends from; the underlay's for one that has none.
pub(crate) fn endpoint_namespace(endpoint: &Endpoint) -> Namespace {
    endpoint.namespace().map_or_else(Namespace::underlay, Namespace::named)
}

/// Does `work` on each item, a few at once. The first failure is returned; work in hand is
/// finished, the rest not begun.
fn each<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let failure: Mutex<Option<LabError>> = Mutex::new(None);
    let worker = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = work(item) {
                next.store(items.len(), Ordering::Relaxed);
                failure.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(error);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(worker);
        }
    });
    failure.into_inner().unwrap_or_else(|e| e.into_inner()).map_or(Ok(()), Err)
}
