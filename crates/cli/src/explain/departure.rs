//! How a packet leaves a node: to its host, to the CNI, or into a tunnel.

use std::net::IpAddr;

use causeway_dataplane::device::Overlay;
use causeway_dataplane::nft::Hook;
use causeway_dataplane::state::{NextHop, Vxlan};
use causeway_model::{Family, NodePlan};

use super::filter::Tracking;
use super::visit::{Next, Visit};
use super::walk::{Arrival, Arrived, From, Lost, Track};
use super::way::Kind;

/// Postrouting chains from here on are behind the translation of sources.
const AFTER_TRACKING: i32 = 150;

impl Visit<'_, '_> {
    pub(super) fn deliver_here(&mut self) -> Next {
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
    pub(super) fn leave_to_others(&mut self) -> Next {
        let address = self.passing.packet.destination;
        let id = self.node.id.clone();
        if let Some(node) = self.walker.view.node_at(&id.cluster, address).map(|node| node.id.clone()) {
            self.note(
                Kind::Route,
                format!("none in our table; the network between the nodes leads to {node}"),
                "",
            );
            let text = format!("delivered to host {node}");
            return Next::End(Arrived::Delivered(Some(node), From::Host), text);
        }
        if !self.node.own.pods.iter().any(|prefix| prefix.contains(address)) {
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
                let inside = self.inside();
                self.note(Kind::Cni, format!("carries it to {owner}, which has pod {address}{inside}"), "");
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
            None if self.nodes_own_pods(address) => {
                self.note(Kind::Cni, format!("no node of cluster {} has pod {address}", id.cluster), "");
                let text = format!("no node of cluster {} announces a pod CIDR with {address}", id.cluster);
                Next::End(Arrived::Lost(Lost::NoWay), text)
            }
            None => {
                let inside = self.inside();
                self.note(Kind::Cni, format!("carries it to the node that has pod {address}{inside}"), "");
                let text = format!("delivered to pod {address} by the CNI of cluster {}", id.cluster);
                Next::End(Arrived::Delivered(None, From::Pod), text)
            }
        }
    }

    /// Whether nodes of this cluster have pod CIDRs of their own, of the family of `address`.
    fn nodes_own_pods(&self, address: IpAddr) -> bool {
        let family = Family::of(address);
        self.walker
            .view
            .nodes_of(&self.node.id.cluster)
            .any(|node| node.local_pods.iter().any(|prefix| prefix.family() == family))
    }

    /// What is to be said of a packet that no tunnel brought here.
    fn inside(&self) -> &'static str {
        match self.from {
            From::Host | From::Pod => ": both ends are in this cluster, so no tunnel is used",
            From::Cni | From::Tunnel(_) => "",
        }
    }

    /// Sends the packet through a tunnel: neighbour, forwarding entry, the node at the other end.
    pub(super) fn send(&mut self, hop: NextHop) -> Next {
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
                let arrival = Arrival { device, sender: vxlan.local, sender_mac: vxlan.mac, receiver, mac };
                Next::Node(next, From::Tunnel(arrival))
            }
            None => Next::End(
                Arrived::Lost(Lost::NoPeer),
                format!("no node that takes part has the underlay address {receiver}"),
            ),
        }
    }
}

fn tunnel(vxlan: &Vxlan, receiver: IpAddr) -> String {
    let Vxlan { vni, port, local, mtu, .. } = vxlan;
    let outer = Family::of(*local);
    format!("{local} to {receiver}, UDP {port}, VNI {vni}, over {outer}, inner packets up to {mtu} bytes")
}
