//! The way of a packet as it is reported.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;

/// The way of a packet in one direction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Way {
    /// Its source address as it is sent.
    pub source: IpAddr,
    /// Its destination address as it is sent.
    pub destination: IpAddr,
    /// The nodes that it passes, in order.
    pub hops: Vec<Hop>,
    /// Where it ends.
    pub end: End,
}

/// A node on the way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Hop {
    /// The node, `CLUSTER/NODE`.
    pub node: String,
    /// What decides the packet's way there, in order.
    pub entries: Vec<Entry>,
}

/// Something that decides about the packet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// The entry, as `ip` and `bridge` write it, or what it does.
    pub text: String,
    /// The objects that it follows from; empty for what is not ours.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// All members, where any of several can be next.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
}

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A pod or process that sends.
    Sender,
    /// Arrival through a tunnel.
    Arrival,
    /// Addresses rewritten without state.
    Global,
    /// Kept out of connection tracking.
    NoTrack,
    /// Connection tracking, or kube-proxy.
    Service,
    /// A source translation.
    Snat,
    /// A rule that drops.
    Drop,
    /// A policy routing rule.
    Rule,
    /// A route.
    Route,
    /// A next-hop group.
    Group,
    /// A neighbour.
    Neighbour,
    /// A forwarding entry.
    Fdb,
    /// A tunnel.
    Tunnel,
    /// The cluster's own network.
    Cni,
    /// The destination.
    Delivery,
}

impl Kind {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Sender => "sender",
            Kind::Arrival => "arrival",
            Kind::Global => "global CIDR",
            Kind::NoTrack => "no tracking",
            Kind::Service => "connection",
            Kind::Snat => "source NAT",
            Kind::Drop => "drop",
            Kind::Rule => "rule",
            Kind::Route => "route",
            Kind::Group => "group",
            Kind::Neighbour => "neighbour",
            Kind::Fdb => "FDB",
            Kind::Tunnel => "tunnel",
            Kind::Cni => "CNI",
            Kind::Delivery => "delivery",
        }
    }
}

/// A member of a next-hop group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Member {
    /// Its overlay address.
    pub gateway: IpAddr,
    /// Its device.
    pub dev: &'static str,
    /// Its node, if it is listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Whether this answer goes on with it.
    pub followed: bool,
}

/// Where a way ends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// Whether that is the destination.
    pub delivered: bool,
    /// The last node, `CLUSTER/NODE`.
    pub node: String,
    /// The source address that is seen there.
    pub source: IpAddr,
    /// The destination address that is seen there.
    pub destination: IpAddr,
    /// What happens there.
    pub text: String,
}
