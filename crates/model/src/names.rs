//! Names of clusters and nodes, and the namespaces that follow from them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The hub's namespace that holds the PeerSlices of all clusters. No cluster's own namespace can
/// have this name, see [`cluster_namespace`].
pub const SHARED_NAMESPACE: &str = "causeway-shared";

/// What goes before a cluster's name to make its namespace at the hub.
const CLUSTER_NAMESPACE_PREFIX: &str = "causeway-cluster-";

/// The hub's namespace of one cluster: `causeway-cluster-NAME`.
///
/// The prefix is fixed and the name is the rest, so two clusters never share a namespace.
pub fn cluster_namespace(cluster: &ClusterName) -> String {
    format!("{CLUSTER_NAMESPACE_PREFIX}{cluster}")
}

/// Why a text is no name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidName {
    /// Not a DNS label that fits a namespace.
    #[error(
        "\"{0}\" is not a cluster name; use 1 to 46 lower-case letters, digits and \"-\", beginning and ending with a letter or digit"
    )]
    Cluster(String),
    /// Not a DNS subdomain.
    #[error(
        "\"{0}\" is not a node name; use at most 253 lower-case letters, digits, \"-\" and \".\", each part beginning and ending with a letter or digit"
    )]
    Node(String),
    /// The namespace is not one of a cluster.
    #[error("namespace \"{0}\" is not a cluster's; those are named causeway-cluster-NAME")]
    Namespace(String),
}

fn is_dns_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $variant:ident, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok($name(text.into())) } else { Err(InvalidName::$variant(text.to_owned())) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// The name of a cluster: a DNS label (RFC 1123) of at most 46 characters, so that
    /// [`cluster_namespace`] is a label too. It has no dot, which is why names joined with a dot
    /// never collide.
    ClusterName,
    Cluster,
    |text| is_dns_label(text) && text.len() <= 63 - CLUSTER_NAMESPACE_PREFIX.len()
);
name!(
    /// The name of a node: a DNS subdomain (RFC 1123), unique in its cluster only.
    NodeName,
    Node,
    |text| text.len() <= 253 && text.split('.').all(is_dns_label)
);

impl ClusterName {
    /// The cluster whose namespace is `namespace`.
    ///
    /// # Errors
    /// [`InvalidName::Namespace`] if no cluster's namespace has that name.
    pub fn from_namespace(namespace: &str) -> Result<ClusterName, InvalidName> {
        let name = namespace.strip_prefix(CLUSTER_NAMESPACE_PREFIX).unwrap_or_default();
        name.parse().map_err(|_| InvalidName::Namespace(namespace.to_owned()))
    }
}

/// A node of the clusterset, written `CLUSTER/NODE`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId {
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its name in that cluster.
    pub node: NodeName,
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.node)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NodeId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (cluster, node) = text.split_once('/').ok_or_else(|| InvalidName::Node(text.to_owned()))?;
        Ok(NodeId { cluster: cluster.parse()?, node: node.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_held_to_their_dns_forms() {
        let long = "a".repeat(47);
        for bad in ["", "A", "a.b", "-a", "a-", "a_b", &long] {
            assert!(bad.parse::<ClusterName>().is_err(), "{bad}");
        }
        for good in ["service1", "default", "nodes", "shared", &long[..46]] {
            assert!(good.parse::<ClusterName>().is_ok(), "{good}");
        }
        assert!("ip-10-0-0-1.example.internal".parse::<NodeName>().is_ok());
        assert!("a..b".parse::<NodeName>().is_err());
    }

    #[test]
    fn no_cluster_takes_the_shared_namespace_or_anothers() {
        let cluster: ClusterName = "shared".parse().unwrap();
        assert_ne!(cluster_namespace(&cluster), SHARED_NAMESPACE);
        assert_eq!(ClusterName::from_namespace(&cluster_namespace(&cluster)).unwrap(), cluster);
        assert!(ClusterName::from_namespace(SHARED_NAMESPACE).is_err());
        assert!(ClusterName::from_namespace("kube-system").is_err());
    }
}
