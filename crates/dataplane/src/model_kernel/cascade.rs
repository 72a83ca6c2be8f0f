//! What Linux removes although no step asks for it (seen with `ip route` and `ip neighbour` on
//! Linux 6.18).

use std::net::IpAddr;

use causeway_model::{Family, Prefix};

use crate::device::Device;
use crate::model_kernel::{Loss, ModelKernel, Object};
use crate::state::{Hop, NextHop, NextHopId, Route};

impl ModelKernel {
    fn lose_routes(&mut self, lost: impl Fn(&Prefix, &Route<NextHopId>) -> bool) {
        let losses = &mut self.losses;
        self.routes.retain(|(prefix, metric), route| {
            let lost = lost(prefix, route);
            if lost {
                losses.push(Loss::Route(*prefix, *metric));
            }
            !lost
        });
    }

    /// Routes straight onto the device or to a gateway on it.
    pub(super) fn flush_plain_routes(&mut self, device: Device, family: Family) {
        self.lose_routes(|prefix, route| {
            let on = match &route.hop {
                Hop::Link(on) | Hop::Gateway(NextHop { device: on, .. }) => Some(*on),
                Hop::Group(_) | Hop::Foreign => None,
            };
            on == Some(device) && prefix.family() == family
        });
    }

    pub(super) fn flush_neighbours(&mut self, device: Device, family: Family) {
        self.neighbours.retain(|(on, address), _| *on != device || Family::of(*address) != family);
    }

    /// All of a family that leans on a device which goes or goes down.
    pub(super) fn flush(&mut self, device: Device, family: Family) {
        self.flush_plain_routes(device, family);
        self.flush_neighbours(device, family);
        let on_device = |hop: &NextHop| hop.device == device && Family::of(hop.gateway) == family;
        let lost: Vec<NextHopId> = self
            .next_hops
            .iter()
            .filter(|(_, object)| matches!(object, Object::Single(hop) if on_device(hop)))
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            self.losses.push(Loss::NextHop(id));
            self.remove_next_hop(id);
        }
    }

    /// Removes a next hop or group, and what uses it.
    pub(super) fn remove_next_hop(&mut self, id: NextHopId) {
        self.next_hops.remove(&id);
        let mut empty = Vec::new();
        for (group_id, object) in &mut self.next_hops {
            let Object::Group(group) = object else { continue };
            if !group.members.contains(&id) {
                continue;
            }
            group.members.retain(|member| *member != id);
            if group.members.is_empty() {
                empty.push(*group_id);
            } else {
                self.losses.push(Loss::Member(*group_id));
            }
        }
        for group in empty {
            self.losses.push(Loss::NextHop(group));
            self.remove_next_hop(group);
        }
        self.lose_routes(|_, route| route.hop == Hop::Group(id));
    }

    /// Plain routes whose source address no link has any more: IPv4 ones go, IPv6 ones lose the
    /// source. Those over next hops stay as they are.
    pub(super) fn forget_source(&mut self, address: IpAddr) {
        if self.has_address(address) {
            return;
        }
        let leans = |route: &Route<NextHopId>| {
            route.src == Some(address) && matches!(route.hop, Hop::Link(_) | Hop::Gateway(_))
        };
        for ((prefix, metric), route) in &mut self.routes {
            if address.is_ipv6() && leans(route) {
                route.src = None;
                self.losses.push(Loss::Source(*prefix, *metric));
            }
        }
        self.lose_routes(|_, route| leans(route));
    }
}
