//! What can send and be reached in a bed, and how it is written: `a/n1` is node n1 of cluster a,
//! `a/n1/p1` a pod on it, `a:echo` a Service of cluster a.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use causeway_model::{ClusterName, Families, Family, NodeId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Topology;

/// A text names nothing that a bed can have.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("\"{0}\" names no endpoint; write CLUSTER/NODE, CLUSTER/NODE/POD or CLUSTER:SERVICE")]
pub struct InvalidEndpoint(String);

/// A pod, written `CLUSTER/NODE/POD`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodId {
    /// The node that it runs on.
    pub node: NodeId,
    /// Its name on that node.
    pub pod: String,
}

/// A Service, written `CLUSTER:SERVICE`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId {
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its name in that cluster.
    pub service: String,
}

/// An end of a path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// A node itself: host-network pods and the node's own processes.
    Node(NodeId),
    /// A pod.
    Pod(PodId),
    /// A Service; it can be reached but does not send.
    Service(ServiceId),
}

impl Endpoint {
    /// The cluster that it belongs to.
    pub fn cluster(&self) -> &ClusterName {
        match self {
            Endpoint::Node(id) => &id.cluster,
            Endpoint::Pod(id) => &id.node.cluster,
            Endpoint::Service(id) => &id.cluster,
        }
    }

    /// The node that it is, or runs on; a Service has none.
    pub fn node(&self) -> Option<&NodeId> {
        match self {
            Endpoint::Node(id) => Some(id),
            Endpoint::Pod(id) => Some(&id.node),
            Endpoint::Service(_) => None,
        }
    }

    /// Its addresses as its own cluster uses them; of a node those on the underlay. Empty if the
    /// bed has no such endpoint.
    pub fn addresses(&self, topology: &Topology) -> Vec<IpAddr> {
        let found = match self {
            Endpoint::Node(id) => topology.node(id).map(|(_, node)| &node.addresses),
            Endpoint::Pod(id) => topology.pod(id).map(|pod| &pod.addresses),
            Endpoint::Service(id) => topology.cluster(&id.cluster).and_then(|cluster| {
                cluster.services.iter().find(|s| s.name == id.service).map(|s| &s.addresses)
            }),
        };
        found.cloned().unwrap_or_default()
    }

    /// The families in which it can be reached from other clusters.
    pub fn families(&self, topology: &Topology) -> Families {
        match self {
            Endpoint::Node(id) => topology
                .node(id)
                .map(|(cluster, node)| cluster.families().intersection(node.families()))
                .unwrap_or_default(),
            _ => self.addresses(topology).into_iter().map(Family::of).collect(),
        }
    }

    /// The network namespace that it sends from, by its name in the bed's `/run/netns`; a Service has none.
    pub fn namespace(&self) -> Option<String> {
        match self {
            Endpoint::Node(id) => Some(node_namespace(id)),
            Endpoint::Pod(id) => Some(format!("{}_{}", node_namespace(&id.node), id.pod)),
            Endpoint::Service(_) => None,
        }
    }

    /// A number that stands for it in probe packets: FNV-1a of its text.
    pub(crate) fn number(&self) -> u64 {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        self.to_string().bytes().fold(0xcbf2_9ce4_8422_2325, step)
    }

    /// Whether `pattern` is this endpoint, its node or its cluster.
    pub(crate) fn is_in(&self, pattern: &str) -> bool {
        let text = self.to_string();
        let inside = |rest: &str| rest.is_empty() || rest.starts_with(['/', ':']);
        pattern == "*" || text.strip_prefix(pattern).is_some_and(inside)
    }
}

/// The network namespace of a node. No name of a cluster, node or pod has an underscore, so no two
/// of these are equal.
fn node_namespace(id: &NodeId) -> String {
    format!("{}_{}", id.cluster, id.node)
}

impl Topology {
    /// Every endpoint: of each cluster its nodes, pods and Services.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let mut all = Vec::new();
        for cluster in &self.clusters {
            for node in &cluster.nodes {
                let id = cluster.node_id(node);
                all.push(Endpoint::Node(id.clone()));
                let pod = |name: &str| Endpoint::Pod(PodId { node: id.clone(), pod: name.to_owned() });
                all.extend(node.pods.iter().map(|p| pod(&p.name)));
            }
            let service = |name: &str| ServiceId { cluster: cluster.name.clone(), service: name.to_owned() };
            all.extend(cluster.services.iter().map(|s| Endpoint::Service(service(&s.name))));
        }
        all
    }

    /// Whether the bed has this endpoint.
    pub fn has(&self, endpoint: &Endpoint) -> bool {
        match endpoint {
            Endpoint::Node(id) => self.node(id).is_some(),
            _ => !endpoint.addresses(self).is_empty(),
        }
    }
}

impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.pod)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Node(id) => id.fmt(f),
            Endpoint::Pod(id) => id.fmt(f),
            Endpoint::Service(id) => write!(f, "{}:{}", id.cluster, id.service),
        }
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let invalid = || InvalidEndpoint(text.to_owned());
        if let Some((cluster, service)) = text.split_once(':') {
            let cluster = cluster.parse().map_err(|_| invalid())?;
            return Ok(Endpoint::Service(ServiceId { cluster, service: service.to_owned() }));
        }
        let (cluster, rest) = text.split_once('/').ok_or_else(invalid)?;
        let (node, pod) = rest.split_once('/').map_or((rest, None), |(node, pod)| (node, Some(pod)));
        let cluster = cluster.parse().map_err(|_| invalid())?;
        let node = NodeId { cluster, node: node.parse().map_err(|_| invalid())? };
        Ok(match pod {
            Some(pod) => Endpoint::Pod(PodId { node, pod: pod.to_owned() }),
            None => Endpoint::Node(node),
        })
    }
}

impl FromStr for PodId {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        match text.parse()? {
            Endpoint::Pod(id) => Ok(id),
            _ => Err(InvalidEndpoint(text.to_owned())),
        }
    }
}

macro_rules! as_text {
    ($($name:ty),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
as_text!(PodId, Endpoint);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_written_as_it_is_read() {
        for text in ["a/n1", "a/n1.example/p1", "a:echo"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for bad in ["a", "A/n1", "a/", "/n1", ":echo"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_takes_in_what_lies_below_it() {
        let pod: Endpoint = "a/n1/p1".parse().unwrap();
        assert!(["*", "a", "a/n1", "a/n1/p1"].iter().all(|p| pod.is_in(p)));
        assert!(["a/n", "a/n11", "b", "a:n1"].iter().all(|p| !pod.is_in(p)));
    }
}
