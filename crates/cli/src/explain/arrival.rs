//! How a packet comes to a node: from a sender there, or out of a tunnel.

use causeway_dataplane::device::Device;
use causeway_dataplane::nft::Hook;
use causeway_model::Mac;

use std::net::IpAddr;

use super::filter::{Deed, Effect, Packet, Passing, pass};
use super::visit::Visit;
use super::walk::From;
use super::way::Kind;

impl Visit<'_, '_> {
    /// The end of the tunnel: is it there, is the packet for it, does it know the sender?
    pub(super) fn arrive(&mut self) -> Result<(), String> {
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
}
