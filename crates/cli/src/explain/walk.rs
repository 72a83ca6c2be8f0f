//! Follows a packet from node to node through the kernel states that they should have.
//!
//! A node is passed as Linux passes a packet: prerouting with connection tracking, the routing decision,
//! forward and postrouting, then neighbour and forwarding entry, which name the underlay address of the
//! next node. What belongs to others (the CNI, kube-proxy) is named where the packet comes to it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use causeway_dataplane::desired::Notice;
use causeway_dataplane::device::{Device, Overlay};
use causeway_dataplane::nft::Hook;
use causeway_dataplane::state::{Desired, NextHop, Vxlan};
use causeway_model::{Family, Mac, NodeId, NodePlan, Prefix};

use super::filter::{CONNTRACK, Deed, Effect, Packet, Passing, Tracking, pass};
use super::origin::Objects;
use super::way::{End, Entry, Hop, Kind, Way};
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
    device: Device,
    sender: IpAddr,
    receiver: IpAddr,
    mac: Mac,
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
struct Track {
    node: NodeId,
    /// The request as it came.
    original: Packet,
    /// The request as it went on.
    translated: Packet,
}

/// Walks through one clusterset; remembers connections between request and reply.
pub struct Walker<'a> {
    view: &'a View,
    /// Which member of groups is followed, counted from 0.
    member: usize,
    states: BTreeMap<NodeId, Rc<(Desired, Vec<Notice>)>>,
    tracks: Vec<Track>,
}

/// What comes after a node.
enum Next {
    Node(NodeId, From),
    End(Arrived, String),
}

/// A node while a packet passes it.
pub(super) struct Visit<'w, 'a> {
    pub walker: &'w mut Walker<'a>,
    pub node: &'a NodePlan,
    pub state: Rc<(Desired, Vec<Notice>)>,
    pub passing: Passing,
    pub entries: Vec<Entry>,
    from: From,
    reply: bool,
    /// The packet when connection tracking first saw it.
    seen: Packet,
    /// The connection is one whose request was seen here.
    known: bool,
    /// The source was translated here.
    translated_source: bool,
}

impl<'a> Walker<'a> {
    /// A walker that follows the member at `member` of groups, or the first of smaller ones.
    pub fn new(view: &'a View, member: usize) -> Walker<'a> {
        Walker { view, member, states: BTreeMap::new(), tracks: Vec::new() }
    }

    /// What of its plan a node cannot have.
    pub fn notices(&mut self, id: &NodeId) -> Vec<String> {
        let Some(node) = self.view.plan.nodes.get(id) else { return Vec::new() };
        self.state(node).1.iter().map(ToString::to_string).collect()
    }

    fn state(&mut self, node: &NodePlan) -> Rc<(Desired, Vec<Notice>)> {
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

impl<'w, 'a> Visit<'w, 'a> {
    fn new(walker: &'w mut Walker<'a>, node: &'a NodePlan, from: From, packet: Packet, reply: bool) -> Self {
        let state = walker.state(node);
        let input = match from {
            From::Tunnel(arrival) => Some(arrival.device.overlay),
            From::Host | From::Pod | From::Cni => None,
        };
        let family = packet.family();
        let passing = Passing {
            packet,
            input,
            output: None,
            udp_to: None,
            tracking: if reply { Tracking::Known } else { Tracking::New },
            translated: false,
            // Which address of this node the CNI's device has is not known; the node's own stands for it.
            masquerade: node.vtep.underlay.get(family).unwrap_or_else(|| node.vtep.overlay.get(family)),
        };
        Visit {
            walker,
            node,
            state,
            passing,
            entries: Vec::new(),
            from,
            reply,
            seen: packet,
            known: false,
            translated_source: false,
        }
    }

    pub(super) fn objects(&self) -> Objects<'a> {
        Objects { plan: &self.walker.view.plan, node: self.node }
    }

    /// Which member of groups is followed, counted from 0.
    pub(super) fn member(&self) -> usize {
        self.walker.member
    }

    pub(super) fn note(&mut self, kind: Kind, text: impl Into<String>, object: impl Into<String>) {
        self.entries.push(Entry { kind, text: text.into(), object: object.into(), members: Vec::new() });
    }

    fn pass(&mut self) -> Next {
        if let Err(text) = self.arrive() {
            return Next::End(Arrived::Lost(Lost::NoPeer), text);
        }
        let first = if self.from == From::Host { Hook::Output } else { Hook::Prerouting };
        if let Err(lost) = self.hook(first, |priority| priority < CONNTRACK) {
            return lost;
        }
        self.track();
        if let Err(lost) = self.hook(first, |priority| priority >= CONNTRACK) {
            return lost;
        }
        let service = if self.reply { None } else { self.translate_service() };
        if let Some(text) = service.as_ref().and_then(|service| service.clone().err()) {
            return Next::End(Arrived::Lost(Lost::HalfSeen), text);
        }
        if self.is_own_address(self.passing.packet.destination) {
            return self.deliver_here();
        }
        match self.leave() {
            Ok(Some(hop)) => self.send(hop),
            Ok(None) => self.leave_to_others(),
            Err(text) => Next::End(Arrived::Lost(Lost::NoWay), text),
        }
    }

    /// The end of the tunnel: is it there, is the packet for it, does it know the sender?
    fn arrive(&mut self) -> Result<(), String> {
        let From::Tunnel(arrival) = self.from else {
            self.note_sender();
            return Ok(());
        };
        let state = self.state.clone();
        let device = arrival.device;
        let Some(vxlan) = state.0.devices.get(&device) else {
            return Err(format!("{} has no {device}", self.node.id));
        };
        if vxlan.local != arrival.receiver || vxlan.mac != arrival.mac {
            return Err(format!(
                "{device} of {} has {} at {}, so it does not take the packet",
                self.node.id, vxlan.mac, vxlan.local
            ));
        }
        let mut outer = Passing {
            packet: Packet { source: arrival.sender, destination: arrival.receiver },
            input: None,
            udp_to: Some(vxlan.port),
            ..self.passing
        };
        let mut effects = Vec::new();
        if let Some(ruleset) = &state.0.firewall {
            pass(ruleset, Hook::Prerouting, |_| true, &mut outer, &mut effects);
            pass(ruleset, Hook::Input, |_| true, &mut outer, &mut effects);
        }
        if let Some(Effect { chain, comment, .. }) = effects.iter().find(|e| e.deed == Deed::Dropped) {
            let text = format!("outer packet from {}: {comment} (nftables {chain})", arrival.sender);
            self.note(Kind::Drop, text, self.objects().config());
            return Err(format!("{} does not know the sender {}", self.node.id, arrival.sender));
        }
        let sender = self.peer_at_underlay(device, arrival.sender);
        let text = format!("{device}, from {}: known VTEP{sender}", arrival.sender);
        self.note(Kind::Arrival, text, self.slice_of_sender(device, arrival.sender));
        Ok(())
    }

    fn note_sender(&mut self) {
        let source = self.passing.packet.source;
        let text = match self.from {
            From::Pod => format!("pod {source}"),
            From::Host => format!("host, {source}"),
            From::Cni | From::Tunnel(_) => format!("{source}, brought by the CNI"),
        };
        self.note(Kind::Sender, text, "");
    }

    fn mac_of_sender(&self, device: Device, sender: IpAddr) -> Option<Mac> {
        let entries = self.state.0.fdb.iter();
        entries.filter(|((of, _), to)| *of == device && **to == sender).map(|((_, mac), _)| *mac).next()
    }

    fn slice_of_sender(&self, device: Device, sender: IpAddr) -> String {
        self.mac_of_sender(device, sender).map(|mac| self.objects().slice_of_mac(mac)).unwrap_or_default()
    }

    fn peer_at_underlay(&self, device: Device, sender: IpAddr) -> String {
        let listed = self.mac_of_sender(device, sender).and_then(|mac| self.objects().peer_with(mac));
        listed.map(|listed| format!(" {}", listed.node())).unwrap_or_default()
    }

    /// Passes our chains at a hook and notes what they do.
    fn hook(&mut self, hook: Hook, within: impl std::ops::Fn(i32) -> bool) -> Result<(), Next> {
        let state = self.state.clone();
        let Some(ruleset) = &state.0.firewall else { return Ok(()) };
        let mut effects = Vec::new();
        pass(ruleset, hook, within, &mut self.passing, &mut effects);
        let config = self.objects().config();
        for Effect { chain, comment, deed } in effects {
            self.translated_source |= matches!(deed, Deed::SourceTranslated(..));
            let (kind, what) = match deed {
                Deed::Untracked => (Kind::NoTrack, "not tracked".to_owned()),
                Deed::SourceKept(source) => (Kind::Snat, format!("source {source} kept")),
                Deed::SourceTranslated(from, to) => (Kind::Snat, format!("source {from} becomes {to}")),
                Deed::SourceRewritten(from, to) => (Kind::Global, format!("source {from} becomes {to}")),
                Deed::DestinationRewritten(from, to) => {
                    (Kind::Global, format!("destination {from} becomes {to}"))
                }
                Deed::Dropped => (Kind::Drop, "dropped".to_owned()),
            };
            self.note(kind, format!("{what}: {comment} (nftables {chain})"), config.clone());
            if deed == Deed::Dropped {
                let text = format!("{} drops the packet: {comment}", self.node.id);
                return Err(Next::End(Arrived::Lost(Lost::Dropped), text));
            }
        }
        Ok(())
    }

    /// Connection tracking: a reply gets back the addresses that its request had.
    fn track(&mut self) {
        self.seen = self.passing.packet;
        if self.passing.tracking == Tracking::Untracked || !self.reply {
            return;
        }
        let packet = self.passing.packet;
        let id = &self.node.id;
        let found = self.walker.tracks.iter().find(|t| t.node == *id && t.translated.reply() == packet);
        let Some(track) = found else { return };
        self.known = true;
        let before = track.original.reply();
        if before != packet {
            self.passing.translated = track.original.destination != track.translated.destination;
            self.passing.packet = before;
            let text = format!(
                "reply of a connection translated here: {} to {} again",
                before.source, before.destination
            );
            self.note(Kind::Service, text, "");
        }
    }

    /// What kube-proxy does with a Service address of the own cluster; `Err` where it cannot.
    fn translate_service(&mut self) -> Option<Result<(), String>> {
        let address = self.passing.packet.destination;
        if !self.node.own.services.iter().any(|prefix| prefix.contains(address)) {
            return None;
        }
        if self.passing.tracking == Tracking::Untracked {
            let text = format!(
                "{} does not track the packet, so kube-proxy does not translate {address}",
                self.node.id
            );
            return Some(Err(text));
        }
        let Some((backend, place)) = self.some_backend() else {
            let text =
                format!("cluster {} has no pods that could stand behind {address}", self.node.id.cluster);
            return Some(Err(text));
        };
        self.passing.packet.destination = backend;
        self.passing.translated = true;
        let text = format!("kube-proxy translates {address} to a backend, say {backend}{place}");
        self.note(Kind::Service, text, "");
        Some(Ok(()))
    }

    /// An address that stands for a backend, on another node where there is one: the harder case.
    fn some_backend(&self) -> Option<(IpAddr, String)> {
        let family = self.passing.packet.family();
        let of_family = |prefixes: &[Prefix]| prefixes.iter().copied().find(|p| p.family() == family);
        let nodes = &self.walker.view.plan.nodes;
        let others = nodes.values().filter(|n| n.id.cluster == self.node.id.cluster && n.id != self.node.id);
        let elsewhere = others.filter_map(|n| Some((of_family(&n.local_pods)?, format!(" on {}", n.id))));
        let here = of_family(&self.node.local_pods).map(|p| (p, format!(" on {}", self.node.id)));
        let anywhere = of_family(&self.node.own.pods).map(|p| (p, String::new()));
        let (prefix, place) = elsewhere.into_iter().next().or(here).or(anywhere)?;
        Some((prefix.nth(2).unwrap_or_else(|| prefix.first()), place))
    }

    fn is_own_address(&self, address: IpAddr) -> bool {
        self.node.vtep.underlay.addresses().any(|own| own == address)
            || self.state.0.addresses.iter().any(|((_, own), ())| *own == address)
    }

    fn deliver_here(&mut self) -> Next {
        if let Err(lost) = self.hook(Hook::Input, |_| true) {
            return lost;
        }
        self.remember();
        let address = self.passing.packet.destination;
        self.note(Kind::Delivery, format!("{address} is an address of this host"), self.objects().config());
        let id = self.node.id.clone();
        let text = format!("delivered to the host {id}");
        Next::End(Arrived::Delivered(Some(id), From::Host), text)
    }

    fn remember(&mut self) {
        if self.passing.tracking == Tracking::New {
            let (node, original) = (self.node.id.clone(), self.seen);
            let track = Track { node, original, translated: self.passing.packet };
            self.walker.tracks.push(track);
        }
    }

    /// Forward and postrouting on the way out through `output`.
    fn forward(&mut self, output: Option<Overlay>) -> Result<(), Next> {
        self.passing.output = output;
        if self.from != From::Host {
            let half = self.reply && !self.known && self.passing.tracking == Tracking::Known;
            if half {
                let text = format!(
                    "connection tracking of {} sees the reply but not the request, and kube-proxy drops such packets as invalid",
                    self.node.id
                );
                return Err(Next::End(Arrived::Lost(Lost::HalfSeen), text));
            }
            self.hook(Hook::Forward, |_| true)?;
        }
        self.hook(Hook::Postrouting, |priority| priority < AFTER_TRACKING)?;
        self.remember();
        self.hook(Hook::Postrouting, |priority| priority >= AFTER_TRACKING)
    }

    /// What follows where none of our routes applies: the CNI, the underlay, or nothing.
    fn leave_to_others(&mut self) -> Next {
        let address = self.passing.packet.destination;
        let id = self.node.id.clone();
        if !self.node.own.pods.iter().any(|prefix| prefix.contains(address)) {
            let view = self.walker.view;
            let owner = view.plan.nodes.values().find(|n| n.vtep.underlay.addresses().any(|a| a == address));
            if let Some(owner) = owner.filter(|_| !self.reply) {
                self.note(
                    Kind::Route,
                    format!("none for {address} in our table; the main table decides"),
                    "",
                );
                let text =
                    format!("{address} is the underlay address of {}: outside of the tunnels", owner.id);
                return Next::End(Arrived::Delivered(Some(owner.id.clone()), From::Host), text);
            }
            self.note(Kind::Route, format!("none for {address} in our table"), "");
            return Next::End(Arrived::Lost(Lost::NoWay), format!("{id} has no route to {address}"));
        }
        if let Err(lost) = self.forward(None) {
            return lost;
        }
        self.deliver_by_cni()
    }

    fn deliver_by_cni(&mut self) -> Next {
        let address = self.passing.packet.destination;
        let id = self.node.id.clone();
        let has = |node: &&NodePlan| {
            node.id.cluster == id.cluster && node.local_pods.iter().any(|prefix| prefix.contains(address))
        };
        let nodes = &self.walker.view.plan.nodes;
        let owner = if has(&self.node) { Some(self.node) } else { nodes.values().find(has) };
        match owner {
            Some(owner) if owner.id == id => {
                self.note(Kind::Delivery, format!("the CNI of this node gives it to pod {address}"), "");
                let text = format!("delivered to pod {address} on {id}");
                Next::End(Arrived::Delivered(Some(id), From::Pod), text)
            }
            Some(owner) => {
                let owner = owner.id.clone();
                self.note(Kind::Cni, format!("carries it to {owner}, which has pod {address}"), "");
                let tracked = Track {
                    node: owner.clone(),
                    original: self.passing.packet,
                    translated: self.passing.packet,
                };
                if !self.reply {
                    self.walker.tracks.push(tracked);
                }
                let text = format!("delivered to pod {address} on {owner}");
                Next::End(Arrived::Delivered(Some(owner), From::Pod), text)
            }
            None => {
                self.note(Kind::Cni, format!("carries it to the node that has pod {address}"), "");
                let text = format!("delivered to pod {address} by the CNI of cluster {}", id.cluster);
                Next::End(Arrived::Delivered(None, From::Pod), text)
            }
        }
    }

    /// Sends the packet through a tunnel: neighbour, forwarding entry, the node at the other end.
    fn send(&mut self, hop: NextHop) -> Next {
        let device = hop.device;
        if let Err(lost) = self.forward(Some(device.overlay)) {
            return lost;
        }
        let state = self.state.clone();
        let NextHop { gateway, .. } = hop;
        let lost = |text| Next::End(Arrived::Lost(Lost::NoWay), text);
        let id = &self.node.id;
        let Some(mac) = state.0.neighbours.get(&(device, gateway)).copied() else {
            return lost(format!(
                "{id} has no neighbour entry for {gateway} on {device}: no node has that address"
            ));
        };
        let Some(receiver) = state.0.fdb.get(&(device, mac)).copied() else {
            return lost(format!("{id} has no forwarding entry for {mac} on {device}"));
        };
        let Some(vxlan) = state.0.devices.get(&device) else { return lost(format!("{id} has no {device}")) };
        let objects = self.objects();
        let slice = objects.slice_of(gateway);
        self.note(Kind::Neighbour, format!("{gateway} dev {device} lladdr {mac}"), slice.clone());
        self.note(Kind::Fdb, format!("{mac} dev {device} dst {receiver}"), slice);
        self.note(Kind::Tunnel, tunnel(vxlan, receiver), objects.config());
        let view = self.walker.view;
        let listed = objects.peer_at(gateway).map(|listed| listed.node());
        let at_address = || {
            let nodes = view.plan.nodes.values();
            nodes.filter(|n| n.vtep.underlay.addresses().any(|a| a == receiver)).map(|n| n.id.clone()).next()
        };
        match listed.filter(|id| view.plan.nodes.contains_key(id)).or_else(at_address) {
            Some(next) => {
                let arrival = Arrival { device, sender: vxlan.local, receiver, mac };
                Next::Node(next, From::Tunnel(arrival))
            }
            None => Next::End(
                Arrived::Lost(Lost::NoPeer),
                format!("no node that takes part has the underlay address {receiver}"),
            ),
        }
    }
}

/// Postrouting chains from here on are behind the translation of sources.
const AFTER_TRACKING: i32 = 150;

fn tunnel(vxlan: &Vxlan, receiver: IpAddr) -> String {
    let Vxlan { vni, port, local, mtu, .. } = vxlan;
    let outer = Family::of(*local);
    format!("{local} to {receiver}, UDP {port}, VNI {vni}, over {outer}, inner packets up to {mtu} bytes")
}
