//! The way of a packet through rule, route, next hop, neighbour and forwarding entry.

use std::collections::BTreeSet;
use std::net::IpAddr;

use causeway_model::{Family, Mac, UdpPort, Vni};

use crate::device::{Device, ROUTE_TABLE};
use crate::model_kernel::{ModelKernel, Object};
use crate::state::{Hop, NextHop, NextHopId};

/// One way that a packet can take.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Way {
    /// Through a tunnel.
    Tunnel {
        /// The device.
        device: Device,
        /// Its network identifier.
        vni: Vni,
        /// Its destination port.
        port: UdpPort,
        /// The outer source address.
        from: IpAddr,
        /// The inner source MAC.
        source: Mac,
        /// The inner destination MAC.
        destination: Mac,
        /// Where the outer packet goes; several if it is copied.
        to: BTreeSet<IpAddr>,
    },
    /// To nobody: a blackhole, a device that is down, no neighbour, no forwarding entry.
    Lost,
}

impl ModelKernel {
    /// Every way that a packet to `destination` may take; `None` if our rules and routes leave it to
    /// the tables behind ours.
    pub fn path(&self, destination: IpAddr) -> Option<BTreeSet<Way>> {
        let family = Family::of(destination);
        let looks_up =
            |rule: &crate::state::Rule| rule.plain && rule.family == family && rule.table == ROUTE_TABLE;
        if !self.rules.iter().any(looks_up) {
            return None;
        }
        let matching = self.routes.iter().filter(|((prefix, _), _)| prefix.contains(destination));
        let (_, route) =
            matching.max_by_key(|((prefix, metric), _)| (prefix.len(), std::cmp::Reverse(*metric)))?;
        Some(match &route.hop {
            Hop::Link(device) => [self.way(*device, destination)].into(),
            Hop::Gateway(hop) => [self.way(hop.device, hop.gateway)].into(),
            Hop::Group(id) => self.ways_of(*id),
            Hop::Foreign => [Way::Lost].into(),
        })
    }

    fn ways_of(&self, id: NextHopId) -> BTreeSet<Way> {
        match self.next_hops.get(&id) {
            Some(Object::Group(group)) => group.members.iter().map(|member| self.way_of(*member)).collect(),
            _ => [self.way_of(id)].into(),
        }
    }

    fn way_of(&self, id: NextHopId) -> Way {
        match self.next_hops.get(&id) {
            Some(Object::Single(NextHop { device, gateway })) => self.way(*device, *gateway),
            _ => Way::Lost,
        }
    }

    fn way(&self, device: Device, neighbour: IpAddr) -> Way {
        let Some(link) = self.devices.get(&device).filter(|link| link.vxlan.up) else { return Way::Lost };
        let Some(mac) = self.neighbours.get(&(device, neighbour)) else { return Way::Lost };
        let Some(to) = self.fdb.get(&(device, *mac)) else { return Way::Lost };
        Way::Tunnel {
            device,
            vni: link.vxlan.vni,
            port: link.vxlan.port,
            from: link.vxlan.local,
            source: link.vxlan.mac,
            destination: *mac,
            to: to.iter().copied().collect(),
        }
    }
}
