//! What could not be done on this node as planned, and why.

use std::fmt;
use std::net::IpAddr;

use causeway_model::{ClusterName, Family, NodeName, Prefix};

use crate::device::{Device, Overlay};

/// One thing that the plan asks for and this node cannot have. Peers and prefixes are counted, so
/// that there are few notices whatever the size of the clusterset.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Notice {
    /// The plan gives this node no underlay address that its kernel can use; it gets no device.
    NoUnderlay,
    /// The node's role needs an overlay whose numbers the plan does not give.
    NoTunnel(Overlay),
    /// An underlay address of the plan is on no link of this host.
    UnderlayNotOnHost(IpAddr),
    /// The plan uses IPv6, which is switched off on this host.
    HostWithoutIpv6,
    /// The device's MTU in bytes is too small for IPv6.
    MtuTooSmallForIpv6(Device, u32),
    /// Peers of a cluster that share no underlay family with this node.
    NoCommonUnderlay {
        /// Their cluster.
        cluster: ClusterName,
        /// How many.
        peers: usize,
        /// One of them.
        example: NodeName,
    },
    /// Prefixes of a cluster that have no route here.
    Refused {
        /// The cluster.
        cluster: ClusterName,
        /// Why.
        why: Refusal,
        /// How many.
        prefixes: usize,
        /// The first of them.
        example: Prefix,
    },
}

/// Why a prefix has no route.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Refusal {
    /// It covers this node's own underlay address: the route would swallow the tunnel.
    CoversUnderlay,
    /// It overlaps a prefix of this node's own cluster.
    OverlapsOwn,
    /// No peer can carry this family to it.
    NoGateway(Family),
    /// The peer that announces it belongs to a link without that prefix.
    OutsideLink,
    /// Another peer announces it too; that one keeps it.
    OfAnotherPeer,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::CoversUnderlay => f.write_str("covers this node's underlay address"),
            Refusal::OverlapsOwn => f.write_str("overlaps a prefix of this node's own cluster"),
            Refusal::NoGateway(family) => write!(f, "no gateway carries {family}"),
            Refusal::OutsideLink => f.write_str("not among the prefixes of the link"),
            Refusal::OfAnotherPeer => f.write_str("announced by another peer too"),
        }
    }
}

impl Notice {
    /// The CamelCase word that conditions carry.
    pub fn reason(&self) -> &'static str {
        match self {
            Notice::NoUnderlay => "NoUnderlayAddress",
            Notice::NoTunnel(_) => "NoTunnel",
            Notice::UnderlayNotOnHost(_) => "UnderlayNotOnHost",
            Notice::HostWithoutIpv6 => "HostWithoutIPv6",
            Notice::MtuTooSmallForIpv6(..) => "MTUTooSmallForIPv6",
            Notice::NoCommonUnderlay { .. } => "NoCommonUnderlayFamily",
            Notice::Refused { why, .. } => match why {
                Refusal::CoversUnderlay => "PrefixCoversUnderlay",
                Refusal::OverlapsOwn => "PrefixConflict",
                Refusal::NoGateway(_) => "NoGateway",
                Refusal::OutsideLink => "PrefixOutsideLink",
                Refusal::OfAnotherPeer => "PrefixOfOtherNode",
            },
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::NoUnderlay => f.write_str("the plan gives this node no usable underlay address"),
            Notice::NoTunnel(overlay) => {
                let name = Device { overlay: *overlay, underlay: Family::V4 };
                write!(f, "the plan gives this node no VNI and port for {name}")
            }
            Notice::UnderlayNotOnHost(address) => write!(
                f,
                "underlay address {address} is on no link of this host; tunnels from it carry nothing until it is"
            ),
            Notice::HostWithoutIpv6 => f.write_str(
                "IPv6 is switched off on this host; set net.ipv6.conf.all.disable_ipv6=0 to have it",
            ),
            Notice::MtuTooSmallForIpv6(device, mtu) => {
                write!(f, "{device} has an MTU of {mtu} bytes; IPv6 needs 1280")
            }
            Notice::NoCommonUnderlay { cluster, peers, example } => write!(
                f,
                "{peers} peers of cluster {cluster}, such as {example}, share no underlay family with this node"
            ),
            Notice::Refused { cluster, why, prefixes: 1, example } => {
                write!(f, "no route to {example} of cluster {cluster}: {why}")
            }
            Notice::Refused { cluster, why, prefixes, example } => {
                write!(f, "no route to {prefixes} prefixes of cluster {cluster}, such as {example}: {why}")
            }
        }
    }
}
