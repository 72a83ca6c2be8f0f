//! Where tunnels of this node begin: which of its plan's addresses and families this host can use,
//! and how large a packet each device carries.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use causeway_model::{
    DualStack, Families, Family, Mac, NodePlan, Peer, Prefix, PrefixSet, Role, Tunnel, Vtep,
};

use crate::desired::host::{HostFacts, IPV6_MIN_MTU};
use crate::desired::notice::{Notice, Refusal};
use crate::device::{Device, Overlay};
use crate::state::Vxlan;

/// Whether Linux runs `family` on a device with this MTU.
fn carries(mtu: u32, family: Family) -> bool {
    family == Family::V4 || mtu >= IPV6_MIN_MTU
}

/// This node's end of all tunnels.
pub(super) struct Site<'a> {
    pub plan: &'a NodePlan,
    /// The end of the tunnel, without what this host cannot use.
    pub vtep: Vtep,
    /// The family of the underlay that devices of its own are made for without any peer.
    primary: Family,
    mtus: DualStack<u32>,
    own: PrefixSet,
    /// Overlay addresses that no group should lead to.
    pub dead: &'a BTreeSet<IpAddr>,
}

impl<'a> Site<'a> {
    /// `None` if no tunnel can begin here.
    pub fn new(plan: &'a NodePlan, host: &'a HostFacts, notices: &mut Vec<Notice>) -> Option<Site<'a>> {
        let usable = host.families();
        let Vtep { underlay, overlay, families } = &plan.vtep;
        if families.union(underlay.families()) != families.union(underlay.families()).intersection(usable) {
            notices.push(Notice::HostWithoutIpv6);
        }
        let underlay = DualStack::from_fn(|f| underlay.get(f).filter(|_| usable.contains(f)));
        let mtus = underlay.map(|address| address.map_or(0, |address| host.tunnel_mtu(address)));
        let carried = Family::BOTH.into_iter().filter(|f| mtus.iter().any(|(_, mtu)| carries(*mtu, *f)));
        let families = families.intersection(usable).intersection(carried.collect());
        let vtep = Vtep { underlay, overlay: *overlay, families };
        let Some(primary) = underlay.families().iter().next() else {
            notices.push(Notice::NoUnderlay);
            return None;
        };
        let missing = underlay.addresses().filter(|address| host.find(*address).is_none());
        notices.extend(missing.map(Notice::UnderlayNotOnHost));
        let own = &plan.own;
        let own = own.pods.iter().chain(&own.services).chain(&own.overlay).copied().collect();
        Some(Site { plan, vtep, primary, mtus, own, dead: &host.dead })
    }

    /// The overlays of this node's role, with their numbers.
    pub fn overlays(&self, notices: &mut Vec<Notice>) -> Vec<(Overlay, Tunnel)> {
        let (bridge, local) =
            ((Overlay::Bridge, self.plan.tunnels.bridge), (Overlay::Local, self.plan.tunnels.local));
        let wanted = match self.plan.role {
            Role::Node => vec![bridge],
            Role::Gateway => vec![bridge, local],
            Role::Internal => vec![local],
        };
        let mut overlays = Vec::with_capacity(wanted.len());
        for (overlay, tunnel) in wanted {
            match tunnel {
                Some(tunnel) => overlays.push((overlay, tunnel)),
                None => notices.push(Notice::NoTunnel(overlay)),
            }
        }
        overlays
    }

    /// The device of `overlay` that is there without any peer.
    pub fn primary(&self, overlay: Overlay) -> Device {
        Device { overlay, underlay: self.primary }
    }

    /// The device over which `peer` is reached; `None` if the two share no underlay family.
    pub fn device_to(&self, overlay: Overlay, peer: &Peer) -> Option<Device> {
        let underlay = self.vtep.common_underlay(&peer.vtep)?;
        Some(Device { overlay, underlay })
    }

    /// The largest inner packet of `device` in bytes.
    pub fn mtu(&self, device: Device) -> u32 {
        *self.mtus.get(device.underlay)
    }

    /// The families that this node sends through `device`.
    pub fn families_of(&self, device: Device) -> Families {
        self.vtep.families.iter().filter(|family| carries(self.mtu(device), *family)).collect()
    }

    /// Whether `peer` of `cluster` is this node itself.
    pub fn is_me(&self, cluster: &causeway_model::ClusterName, peer: &Peer) -> bool {
        peer.node == self.plan.id.node && *cluster == self.plan.id.cluster
    }

    /// Why there must be no route to `prefix`, which another cluster claims.
    pub fn refuses(&self, prefix: &Prefix) -> Option<Refusal> {
        if self.covers_underlay(prefix) {
            Some(Refusal::CoversUnderlay)
        } else {
            self.own.overlapping(prefix).map(|_| Refusal::OverlapsOwn)
        }
    }

    /// Whether a route to `prefix` would swallow tunnel packets of this node's own address.
    pub fn covers_underlay(&self, prefix: &Prefix) -> bool {
        // The plan's addresses, not only the usable ones: they belong to this host in any case.
        self.plan.vtep.underlay.addresses().any(|address| prefix.contains(address))
    }

    /// The attributes of `devices`, each of which belongs to one of `overlays`.
    pub fn vxlans(
        &self,
        devices: impl IntoIterator<Item = Device>,
        overlays: &[(Overlay, Tunnel)],
        notices: &mut Vec<Notice>,
    ) -> BTreeMap<Device, Vxlan> {
        let mut vxlans = BTreeMap::new();
        for device in devices {
            let tunnel = overlays.iter().find(|(overlay, _)| *overlay == device.overlay);
            let (Some((_, tunnel)), Some(local)) = (tunnel, *self.vtep.underlay.get(device.underlay)) else {
                continue;
            };
            let mtu = self.mtu(device);
            if self.plan.vtep.families.contains(Family::V6) && !carries(mtu, Family::V6) {
                notices.push(Notice::MtuTooSmallForIpv6(device, mtu));
            }
            vxlans.insert(device, self.vxlan(*tunnel, local, mtu));
        }
        vxlans
    }

    fn vxlan(&self, tunnel: Tunnel, local: IpAddr, mtu: u32) -> Vxlan {
        let mac = Mac::of_vtep(self.vtep.overlay.v4);
        Vxlan { vni: tunnel.vni, port: tunnel.port, local, learning: false, mac, mtu, up: true }
    }
}
