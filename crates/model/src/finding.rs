//! What was refused or left out, on which object, and why.

use std::fmt;

use crate::{ClusterName, LinkId, NodeId};

/// The object that a [`Finding`] speaks of.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Subject {
    /// The ClusterSet.
    ClusterSet,
    /// A Cluster.
    Cluster(ClusterName),
    /// A ClusterNode.
    Node(NodeId),
    /// A ClusterLink.
    Link(LinkId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::ClusterSet => f.write_str("ClusterSet default"),
            Subject::Cluster(name) => write!(f, "Cluster {name}"),
            Subject::Node(id) => write!(f, "ClusterNode {id}"),
            Subject::Link(id) => write!(f, "ClusterLink {}/{}", id.source, id.remote),
        }
    }
}

/// Why something was refused or left out: the `reason` of a condition.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Reason {
    /// A value could not be read; the rest of the object is used.
    InvalidValue,
    /// Another, older cluster has this prefix or a part of it.
    PrefixConflict,
    /// The prefix covers an address that tunnel packets are sent to.
    PrefixCoversUnderlay,
    /// The default route, loopback, link-local or multicast.
    PrefixReserved,
    /// The prefix reaches into the ranges that overlay addresses come from.
    PrefixInOverlayRange,
    /// A node announces a prefix that its cluster does not have.
    PrefixOutsideCluster,
    /// Two nodes of a cluster announce the same addresses; the first by name keeps them.
    PrefixOfOtherNode,
    /// The prefix is of a family that the cluster does not use.
    FamilyNotUsed,
    /// No overlay range has room for another block.
    OverlayExhausted,
    /// No pool has room for another global CIDR.
    GlobalPoolExhausted,
    /// A global CIDR cannot stand for its prefix.
    InvalidGlobalCidr,
    /// A Gateway cluster has no node that can be a gateway.
    NoGateway,
    /// A Gateway cluster has fewer gateways than it asks for.
    TooFewGateways,
    /// The two clusters share no IP family.
    NoCommonIpFamily,
    /// The two clusters' nodes share no underlay family.
    NoCommonUnderlayFamily,
    /// A node has no underlay address.
    NoUnderlayAddress,
    /// Another node has the same underlay address.
    DuplicateUnderlayAddress,
    /// Labels keep the node out.
    NodeExcluded,
    /// The node's cluster does not exist.
    UnknownCluster,
    /// No node of the cluster takes part.
    NoNodes,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Reason; 20] = [
        Reason::InvalidValue,
        Reason::PrefixConflict,
        Reason::PrefixCoversUnderlay,
        Reason::PrefixReserved,
        Reason::PrefixInOverlayRange,
        Reason::PrefixOutsideCluster,
        Reason::PrefixOfOtherNode,
        Reason::FamilyNotUsed,
        Reason::OverlayExhausted,
        Reason::GlobalPoolExhausted,
        Reason::InvalidGlobalCidr,
        Reason::NoGateway,
        Reason::TooFewGateways,
        Reason::NoCommonIpFamily,
        Reason::NoCommonUnderlayFamily,
        Reason::NoUnderlayAddress,
        Reason::DuplicateUnderlayAddress,
        Reason::NodeExcluded,
        Reason::UnknownCluster,
        Reason::NoNodes,
    ];

    /// The CamelCase word that conditions carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::InvalidValue => "InvalidValue",
            Reason::PrefixConflict => "PrefixConflict",
            Reason::PrefixCoversUnderlay => "PrefixCoversUnderlay",
            Reason::PrefixReserved => "PrefixReserved",
            Reason::PrefixInOverlayRange => "PrefixInOverlayRange",
            Reason::PrefixOutsideCluster => "PrefixOutsideCluster",
            Reason::PrefixOfOtherNode => "PrefixOfOtherNode",
            Reason::FamilyNotUsed => "FamilyNotUsed",
            Reason::OverlayExhausted => "OverlayExhausted",
            Reason::GlobalPoolExhausted => "GlobalPoolExhausted",
            Reason::InvalidGlobalCidr => "InvalidGlobalCIDR",
            Reason::NoGateway => "NoGateway",
            Reason::TooFewGateways => "TooFewGateways",
            Reason::NoCommonIpFamily => "NoCommonIPFamily",
            Reason::NoCommonUnderlayFamily => "NoCommonUnderlayFamily",
            Reason::NoUnderlayAddress => "NoUnderlayAddress",
            Reason::DuplicateUnderlayAddress => "DuplicateUnderlayAddress",
            Reason::NodeExcluded => "NodeExcluded",
            Reason::UnknownCluster => "UnknownCluster",
            Reason::NoNodes => "NoNodes",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that was refused or left out.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Finding {
    /// The object that caused it.
    pub subject: Subject,
    /// The field, as a path such as `spec.podCIDRs[1]`.
    pub field: String,
    /// Why.
    pub reason: Reason,
    /// In words: the value, and what would be right.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}: {}", self.subject, self.field, self.reason, self.message)
    }
}
