//! What our nftables table should hold, in the few forms that we use.
//!
//! A value of these types can be written as text for `nft -f` and as netlink messages for the
//! kernel; both say the same.

use std::net::IpAddr;

use causeway_model::{Family, Mac, Prefix, UdpPort, Vni};

use super::foreign::ForeignAccept;
use crate::device::Overlay;

/// Name of our tables, of families `inet` and `netdev`.
pub const TABLE: &str = "causeway";

/// Which of our tables.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum TableKind {
    /// The firewall: packets of both families at the hooks of the IP layer.
    #[default]
    Inet,
    /// The fast path: packets as they enter and leave single devices.
    Netdev,
}

impl TableKind {
    /// Its family's name.
    pub fn name(self) -> &'static str {
        match self {
            TableKind::Inet => "inet",
            TableKind::Netdev => "netdev",
        }
    }
}

/// The bit of the packet mark that is ours: a packet that our forward chain lets foreign ones accept.
/// It is on a packet from there to the end of postrouting only; what may take the fast path has it from there, or from postrouting, to the device that it leaves through. Bits that others use by default:
/// 0x80 AWS's CNI, 0xf00 Cilium, 0x2000 the CNI plugin `portmap` and Podman, 0x4000 and 0x8000 kube-proxy
/// and kubelet, 0xffff0000 Calico, kube-router, Weave Net and Tailscale.
pub const MARK: u32 = 0x1000;

/// A whole table of ours, and what must stand elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ruleset {
    /// Which table.
    pub kind: TableKind,
    /// Named sets, sorted by name.
    pub sets: Vec<Set>,
    /// Base chains.
    pub chains: Vec<Chain>,
    /// What foreign forward chains must accept, where their policy or their last rule drops. Our own
    /// forward chain limits what that opens.
    pub accept_in_foreign_forward: Vec<ForeignAccept>,
}

/// A named set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// The family of its elements' addresses.
    pub family: Family,
    /// Its elements.
    pub elements: Elements,
}

/// Inner sources, and who may send them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Origin {
    /// Inner source addresses.
    pub sources: Prefix,
    /// IPv4 overlay addresses of the VTEPs that may send them: these are known by the MAC that follows from the address
    /// ([`Mac::of_vtep`]).
    pub senders: Prefix,
}

impl Origin {
    /// The first and the last MAC of the senders; `None` if they are not of IPv4.
    pub fn macs(&self) -> Option<(Mac, Mac)> {
        match (self.senders.first(), self.senders.last()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => Some((Mac::of_vtep(first), Mac::of_vtep(last))),
            _ => None,
        }
    }

    /// Whether both have a packet in common.
    pub fn overlaps(&self, other: &Origin) -> bool {
        self.sources.overlaps(&other.sources) && self.senders.overlaps(&other.senders)
    }
}

/// Elements of a [`Set`], sorted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Elements {
    /// Single addresses: a hash set.
    Addresses(Vec<IpAddr>),
    /// Disjoint prefixes: an interval set.
    Prefixes(Vec<Prefix>),
    /// Underlay addresses of VTEPs, each with its MAC: a hash set.
    Vteps(Vec<(IpAddr, Mac)>),
    /// Inner sources with their senders, no two of which overlap: a set of concatenated ranges.
    Origins(Vec<Origin>),
    /// What rules put in: [`SetKind::Flows`].
    Flows,
}

/// What a set holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetKind {
    /// Single addresses: a hash set.
    Addresses,
    /// Disjoint prefixes: an interval set.
    Prefixes,
    /// Underlay addresses of VTEPs, each with its MAC: a hash set.
    Vteps,
    /// Inner sources with their senders: a set of concatenated ranges, each of which counts the packets that
    /// [`Match::Origin`] finds in it (Linux 5.7).
    Origins,
    /// A map from one direction of connections (both addresses, the protocol, and the first four bytes behind the IP header, which
    /// are the ports of TCP and UDP) to the MAC that it is sent to. [`Action::Learn`] puts them in; each leaves after [`LEASE`].
    Flows,
}

/// How long a flow is passed on before one of its packets must go by the hooks of the IP layer again.
pub const LEASE: std::time::Duration = std::time::Duration::from_secs(1);
/// Flows that a set of them takes. One that finds no room goes by the hooks.
pub const MOST_FLOWS: u32 = 1 << 16;

impl Elements {
    /// No element of this kind.
    pub fn none(kind: SetKind) -> Elements {
        match kind {
            SetKind::Addresses => Elements::Addresses(Vec::new()),
            SetKind::Prefixes => Elements::Prefixes(Vec::new()),
            SetKind::Vteps => Elements::Vteps(Vec::new()),
            SetKind::Origins => Elements::Origins(Vec::new()),
            SetKind::Flows => Elements::Flows,
        }
    }

    /// Which kind they are.
    pub fn kind(&self) -> SetKind {
        match self {
            Elements::Addresses(_) => SetKind::Addresses,
            Elements::Prefixes(_) => SetKind::Prefixes,
            Elements::Vteps(_) => SetKind::Vteps,
            Elements::Origins(_) => SetKind::Origins,
            Elements::Flows => SetKind::Flows,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Elements::Addresses(addresses) => addresses.len(),
            Elements::Prefixes(prefixes) => prefixes.len(),
            Elements::Vteps(vteps) => vteps.len(),
            Elements::Origins(origins) => origins.len(),
            Elements::Flows => 0,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Elements of `self` that are not in `other`. Those of another kind have none in common.
    #[must_use]
    pub fn without(&self, other: &Elements) -> Elements {
        match (self, other) {
            (Elements::Addresses(all), Elements::Addresses(gone)) => Elements::Addresses(minus(all, gone)),
            (Elements::Prefixes(all), Elements::Prefixes(gone)) => Elements::Prefixes(minus(all, gone)),
            (Elements::Vteps(all), Elements::Vteps(gone)) => Elements::Vteps(minus(all, gone)),
            (Elements::Origins(all), Elements::Origins(gone)) => Elements::Origins(minus(all, gone)),
            _ => self.clone(),
        }
    }
}

/// What is in `all` and not in `gone`, both sorted.
fn minus<T: Ord + Copy>(all: &[T], gone: &[T]) -> Vec<T> {
    let mut gone = gone.iter().peekable();
    let stays = |item: &T| {
        while gone.next_if(|g| *g < item).is_some() {}
        gone.peek() != Some(&item)
    };
    all.iter().copied().filter(stays).collect()
}

/// The type of a base chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChainType {
    /// Sees every packet.
    Filter,
    /// Sees the first packet of each tracked connection.
    Nat,
    /// Sees every packet of this host; one that it changes is routed anew.
    Route,
}

/// Where a base chain hangs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    /// As a packet arrives.
    Prerouting,
    /// As a packet to this host was found to be for it.
    Input,
    /// As a packet is passed on.
    Forward,
    /// As a packet of this host leaves.
    Output,
    /// As any packet leaves.
    Postrouting,
    /// As a packet comes from a device, before anything else (`netdev`).
    Ingress,
    /// As a packet is given to a device, its link header in front (`netdev`, Linux 5.16).
    Egress,
}

/// What makes a chain a base chain. The policy of ours is always accept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Base {
    /// Its type.
    pub chain_type: ChainType,
    /// Where it hangs.
    pub hook: Hook,
    /// Its place at the hook; lower is earlier.
    pub priority: i32,
    /// Names of the devices whose packets it sees, sorted; none at the hooks of the IP layer.
    pub devices: Vec<String>,
}

impl Base {
    /// Whether `other` differs from it in devices at most.
    pub fn fits(&self, other: &Base) -> bool {
        (self.chain_type, self.hook, self.priority) == (other.chain_type, other.hook, other.priority)
    }
}

/// A base chain of policy accept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Its type and place.
    pub base: Base,
    /// Its rules in order.
    pub rules: Vec<Rule>,
}

/// A rule: if all matches hold, the action is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// What must hold.
    pub matches: Vec<Match>,
    /// What is done.
    pub action: Action,
    /// Why, in a few words; at most 100 bytes.
    pub comment: String,
}

impl Rule {
    /// The name of the map that it puts flows into, if it does.
    pub fn fills(&self) -> Option<&str> {
        match &self.action {
            Action::Learn(_, map) => Some(map),
            _ => None,
        }
    }
}

/// A condition on a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Match {
    /// It came in through a device of this overlay, over either underlay.
    In(Overlay),
    /// It did not come in through a device of this overlay.
    NotIn(Overlay),
    /// It goes out through a device of this overlay, over either underlay.
    Out(Overlay),
    /// It does not go out through a device of this overlay.
    NotOut(Overlay),
    /// It came in through this device.
    InFrom(Link),
    /// It goes out through this device.
    OutTo(Link),
    /// It is of this family.
    Of(Family),
    /// Its source address.
    Source(Family, Address),
    /// Its destination address.
    Destination(Family, Address),
    /// Out of a tunnel: its source address and the MAC of who sent it are in an element of the named set of [`Origin`]s, which counts it.
    Origin(Family, String),
    /// Out of a tunnel: its source address and the MAC of who sent it are in no element of the named set of [`Origin`]s.
    OtherOrigin(Family, String),
    /// It is UDP to this port.
    UdpTo(UdpPort),
    /// Of a packet to a tunnel's port: its source address and the source MAC inside are not those of a VTEP in the named set.
    OtherVtep(Family, String),
    /// Of a packet to a tunnel's port: its VXLAN header has another network identifier (RFC 7348 §5).
    OtherVni(Vni),
    /// It is of a tracked connection that both ends have agreed on: past the three packets that open it with TCP.
    Assured,
    /// It is of a tracked connection in which an answer was seen, and neither of whose ends was translated here. UDP is assured
    /// only after two seconds of it.
    Settled,
    /// It is kept out of connection tracking.
    Untracked,
    /// It is a TCP packet that opens or accepts a connection (SYN set).
    TcpSyn,
    /// Of a TCP packet: it neither opens nor ends the connection (FIN, SYN and RST not set).
    TcpGoesOn,
    /// Its connection's destination was translated here.
    Dnat,
    /// It carries [`MARK`].
    Marked,
    /// It does not carry [`MARK`].
    Unmarked,
    /// At a device: it is of this family and, by the IP header itself, of this protocol.
    Protocol(Family, Protocol),
    /// It may pass another router: TTL or hop limit are above 1.
    MoreHops(Family),
    /// Of an IPv4 packet: its header has no options, and it is no fragment.
    PlainHeader,
    /// At a device with an Ethernet header: it is sent to this MAC.
    ToMac(Mac),
    /// Its length field says this many bytes at most.
    LengthUpTo(Family, u16),
    /// The direction of its connection is in the named map of [`SetKind::Flows`]. The MAC is kept for the action.
    Flow(Family, String),
}

/// A protocol above IP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

/// A device to hand packets to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its interface index.
    pub index: u32,
}

/// A condition on an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// Element of the named set.
    InSet(String),
    /// Not an element of the named set.
    NotInSet(String),
    /// Inside the prefix.
    Within(Prefix),
    /// Outside the prefix.
    Outside(Prefix),
}

/// What a rule does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Let it pass this chain.
    Accept,
    /// Count it and drop it.
    Drop,
    /// Keep it out of connection tracking.
    NoTrack,
    /// Keep it out of connection tracking and let it pass this chain.
    AcceptUntracked,
    /// Translate its source to what it is already, so that no later chain translates it.
    KeepSource(Family),
    /// Translate its source to this address.
    SnatTo(IpAddr),
    /// Translate its source to the address of the device that it leaves through.
    Masquerade,
    /// Without state, give its source the network bits of `1` in place of those of `0`.
    RewriteSource(Prefix, Prefix),
    /// Without state, give its destination the network bits of `1` in place of those of `0`.
    RewriteDestination(Prefix, Prefix),
    /// Clear the flow label of its IPv6 header (RFC 6437).
    ClearFlowLabel,
    /// Lower the TCP maximum segment size that it announces to this many bytes, never raise it.
    ClampMss(u16),
    /// Set [`MARK`] and leave the other bits.
    Mark,
    /// Clear [`MARK`] and leave the other bits.
    Unmark,
    /// Put the direction of its connection and the MAC that it is sent to into the named map of [`SetKind::Flows`], and let it pass.
    Learn(Family, String),
    /// Give it the destination MAC that [`Match::Flow`] found for it and this source MAC, and hand it to a tunnel device.
    Encapsulate {
        /// The source MAC.
        source: Mac,
        /// The device.
        to: Link,
        /// Whether the flow label of its IPv6 header is cleared.
        clear_label: bool,
    },
    /// The same, to a device that leads to a pod. Where the sum of the packet's bytes is known already, from a network card or from the
    /// packet that it came in, it stays right with the new link header in front.
    Deliver {
        /// Its family.
        family: Family,
        /// Its protocol.
        protocol: Protocol,
        /// The source MAC.
        source: Mac,
        /// The device.
        to: Link,
    },
}
