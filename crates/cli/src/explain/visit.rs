//! A packet on one node: its hooks, connection tracking, the routing decision.

use std::net::IpAddr;
use std::rc::Rc;

use causeway_dataplane::desired::Notice;
use causeway_dataplane::nft::Hook;
use causeway_dataplane::state::Desired;
use causeway_model::{NodeId, NodePlan, Prefix};

use super::filter::{CONNTRACK, Deed, Effect, Packet, Passing, Tracking, pass};
use super::origin::Objects;
use super::walk::{Arrived, From, Lost, Track, Walker};
use super::way::{Entry, Kind};

/// What comes after a node.
pub(super) enum Next {
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
    pub from: From,
    pub reply: bool,
    /// The packet when connection tracking first saw it.
    pub seen: Packet,
    /// The connection is one whose request was seen here.
    pub known: bool,
    /// The source was translated here.
    pub translated_source: bool,
}

impl<'w, 'a> Visit<'w, 'a> {
    pub(super) fn new(
        walker: &'w mut Walker<'a>,
        node: &'a NodePlan,
        from: From,
        packet: Packet,
        reply: bool,
    ) -> Self {
        let state = walker.state(node);
        let tunnel = match from {
            From::Tunnel(arrival) => Some(arrival),
            From::Host | From::Pod | From::Cni => None,
        };
        let family = packet.family();
        let passing = Passing {
            packet,
            input: tunnel.map(|arrival| arrival.device.overlay),
            sender: tunnel.map(|arrival| (arrival.sender, arrival.sender_mac)),
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

    pub(super) fn pass(&mut self) -> Next {
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

    /// Passes our chains at a hook and notes what they do.
    pub(super) fn hook(&mut self, hook: Hook, within: impl std::ops::Fn(i32) -> bool) -> Result<(), Next> {
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

    pub(super) fn remember(&mut self) {
        if self.passing.tracking == Tracking::New {
            let (node, original) = (self.node.id.clone(), self.seen);
            let track = Track { node, original, translated: self.passing.packet };
            self.walker.tracks.push(track);
        }
    }
}
