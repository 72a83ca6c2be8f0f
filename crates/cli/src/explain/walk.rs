//! Follows a packet from node to node through the kernel states that they should have.
//!
//! A node is passed as Linux passes a packet: prerouting with connection tracking, the routing decision,
//! forward and postrouting, then neighbour and forwarding entry, which name the underlay address of the
//! next node. What belongs to others (the CNI, kube-proxy) is named where the packet comes to it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use causeway_dataplane::desired::Notice;
use causeway_dataplane::device::Device;
use causeway_dataplane::state::Desired;
use causeway_model::{Mac, NodeId, NodePlan};

use super::filter::Packet;
use super::visit::{Next, Visit};
use super::way::{End, Hop, Way};
use crate::node_state::View;

/// More hops than any way has: two gateways, two ends, and one to spare.
const MOST_HOPS: usize = 8;

/// How a packet comes to be on a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum From {
    /// A process of the host sends it.
    Host,
    /// A pod of the node sends it.
    Pod,
    /// The cluster's own network brings it.
    Cni,
    /// It comes out of a tunnel.
    Tunnel(Arrival),
}

/// What a packet out of a tunnel carried around it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// Out of which tunnel.
    pub device: Device,
    /// The underlay address that sent it.
    pub sender: IpAddr,
    /// The MAC that sent it.
    pub sender_mac: Mac,
    /// The underlay address that it was sent to.
    pub receiver: IpAddr,
    /// The MAC that it was sent to.
    pub mac: Mac,
}

/// Why a packet does not arrive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lost {
    /// A rule drops it.
    Dropped,
    /// No entry leads on.
    NoWay,
    /// It went in a circle.
    Circle,
    /// The next node is not there or does not listen.
    NoPeer,
    /// Connection tracking sees a reply without its request.
    HalfSeen,
}

/// Where a walk came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Arrived {
    /// At its destination on this node; `None` if only the CNI knows which it is.
    Delivered(Option<NodeId>, From),
    /// Nowhere.
    Lost(Lost),
}

/// A walk in one direction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Walked {
    /// As it is reported.
    pub way: Way,
    /// Where it came to.
    pub arrived: Arrived,
    /// The last node that was looked at.
    pub last: NodeId,
    /// The packet there.
    pub packet: Packet,
    /// The last node gave it another source, so that replies come back there.
    pub answered_there: bool,
}

/// A connection that a node tracks.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub node: NodeId,
    /// The request as it came.
    pub original: Packet,
    /// The request as it went on.
    pub translated: Packet,
}

/// Walks through one clusterset; remembers connections between request and reply.
pub struct Walker<'a> {
    pub(super) view: &'a View,
    /// Which member of groups is followed, counted from 0.
    pub(super) member: usize,
    states: BTreeMap<NodeId, Rc<(Desired, Vec<Notice>)>>,
    pub(super) tracks: Vec<Track>,
}

impl<'a> Walker<'a> {
    /// A walker that follows the member at `member` of groups, or the first of smaller ones.
    pub fn new(view: &'a View, member: usize) -> Walker<'a> {
        Walker { view, member, states: BTreeMap::new(), tracks: Vec::new() }
    }

    /// What of its plan a node cannot have.
    pub fn notices(&mut self, id: &NodeId) -> Vec<Notice> {
        self.view.plan.nodes.get(id).map(|node| self.state(node).1.clone()).unwrap_or_default()
    }

    pub(super) fn state(&mut self, node: &NodePlan) -> Rc<(Desired, Vec<Notice>)> {
        let view = self.view;
        self.states.entry(node.id.clone()).or_insert_with(|| Rc::new(view.state(node))).clone()
    }

    /// Follows `packet` from the node `start`. A `reply` belongs to the request that was walked before.
    pub fn walk(&mut self, start: &NodeId, from: From, packet: Packet, reply: bool) -> Walked {
        let mut hops = Vec::new();
        let (mut id, mut from, mut now) = (start.clone(), from, packet);
        loop {
            let Some(node) = self.view.plan.nodes.get(&id) else {
                let text = format!("node {id} takes no part");
                return walked(packet, hops, (Arrived::Lost(Lost::NoPeer), text), id, now, false);
            };
            let mut visit = Visit::new(self, node, from, now, reply);
            let next = visit.pass();
            now = visit.passing.packet;
            let there = visit.translated_source;
            hops.push(Hop { node: id.to_string(), entries: visit.entries });
            match next {
                Next::End(arrived, text) => return walked(packet, hops, (arrived, text), id, now, there),
                Next::Node(..) if hops.len() == MOST_HOPS => {
                    let text = "the packet goes in a circle".to_owned();
                    return walked(packet, hops, (Arrived::Lost(Lost::Circle), text), id, now, false);
                }
                Next::Node(next, how) => (id, from) = (next, how),
            }
        }
    }
}

fn walked(
    sent: Packet,
    hops: Vec<Hop>,
    (arrived, text): (Arrived, String),
    last: NodeId,
    packet: Packet,
    answered_there: bool,
) -> Walked {
    let delivered = matches!(arrived, Arrived::Delivered(..));
    let end = End {
        delivered,
        node: last.to_string(),
        source: packet.source,
        destination: packet.destination,
        text,
    };
    let way = Way { source: sent.source, destination: sent.destination, hops, end };
    Walked { way, arrived, last, packet, answered_there }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_dataplane::device::Overlay;
    use causeway_dataplane::state::NextHop;
    use causeway_model::{Family, Prefix};

    use crate::args::ViewArgs;
    use crate::inventory::Inventory;
    use std::path::Path;

    fn view() -> View {
        let many = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/many");
        View::of(&Inventory::read(&many).unwrap(), ViewArgs { planned: true, underlay_mtu: 1500 })
    }

    fn packet(source: &str, destination: &str) -> Packet {
        Packet { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    fn id(text: &str) -> NodeId {
        text.parse().unwrap()
    }

    /// Changes what a node should have, as nobody would.
    fn spoil(walker: &mut Walker<'_>, node: &str, spoil: impl FnOnce(&mut Desired)) {
        let plan = walker.view.plan.nodes[&id(node)].clone();
        let (mut desired, notices) = (*walker.state(&plan)).clone();
        spoil(&mut desired);
        walker.states.insert(id(node), Rc::new((desired, notices)));
    }

    fn there_and_back(walker: &mut Walker<'_>) -> (Arrived, Arrived) {
        let there = walker.walk(&id("east/e1"), From::Pod, packet("10.1.1.5", "10.2.3.7"), false);
        let back = walker.walk(&id("west/w3"), From::Pod, there.packet.reply(), true);
        (there.arrived, back.arrived)
    }

    #[test]
    fn request_and_reply_may_take_different_gateways_since_transit_is_not_tracked() {
        let view = view();
        let mut walker = Walker::new(&view, 0);
        spoil(&mut walker, "west/w3", |desired| desired.groups.iter_mut().for_each(|g| g.members.reverse()));
        let (there, back) = there_and_back(&mut walker);
        assert_eq!(there, Arrived::Delivered(Some(id("west/w3")), From::Pod));
        assert_eq!(back, Arrived::Delivered(Some(id("east/e1")), From::Pod));
    }

    #[test]
    fn a_gateway_that_tracked_transit_would_lose_replies_to_requests_it_never_saw() {
        let view = view();
        let mut walker = Walker::new(&view, 0);
        spoil(&mut walker, "west/w3", |desired| desired.groups.iter_mut().for_each(|g| g.members.reverse()));
        spoil(&mut walker, "west/w2", |desired| desired.firewall = None);
        assert_eq!(there_and_back(&mut walker).1, Arrived::Lost(Lost::HalfSeen));
    }

    #[test]
    fn two_nodes_that_send_to_each_other_are_a_circle() {
        let view = view();
        let mut walker = Walker::new(&view, 0);
        let prefix: Prefix = "10.2.0.0/16".parse().unwrap();
        let at_gateway = |desired: &mut Desired| {
            let east = NextHop {
                device: Device { overlay: Overlay::Bridge, underlay: Family::V4 },
                gateway: "198.18.0.1".parse().unwrap(),
            };
            let hop = causeway_dataplane::state::Hop::Gateway(east);
            let back = causeway_dataplane::state::Route { hop, src: None, mtu: None };
            desired.routes = desired.routes.iter().map(|(p, r)| (*p, *r)).chain([(prefix, back)]).collect();
            desired.firewall = None;
        };
        spoil(&mut walker, "west/w1", at_gateway);
        spoil(&mut walker, "east/e1", |desired| desired.firewall = None);
        assert_eq!(there_and_back(&mut walker).0, Arrived::Lost(Lost::Circle));
    }

    #[test]
    fn a_missing_entry_ends_the_way_at_the_node_that_lacks_it() {
        let view = view();
        for (spoilt, expected) in
            [("fdb", Lost::NoWay), ("neighbours", Lost::NoWay), ("devices", Lost::NoPeer)]
        {
            let mut walker = Walker::new(&view, 0);
            let node = if spoilt == "devices" { "west/w1" } else { "east/e1" };
            spoil(&mut walker, node, |desired| match spoilt {
                "fdb" => desired.fdb = Default::default(),
                "neighbours" => desired.neighbours = Default::default(),
                _ => desired.devices.clear(),
            });
            let walked = walker.walk(&id("east/e1"), From::Pod, packet("10.1.1.5", "10.2.3.7"), false);
            assert_eq!(walked.arrived, Arrived::Lost(expected), "{spoilt}");
        }
    }
}
