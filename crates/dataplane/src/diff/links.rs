//! Which devices come, change and go, and what of their entries that takes with it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use causeway_model::Family;

use crate::desired::host::IPV6_MIN_MTU;
use crate::device::Device;
use crate::state::{Desired, Observed, ObservedDevice, Vxlan};
use crate::step::Step;

/// What must go before anything of the desired state can be made.
pub(super) struct InTheWay {
    /// Devices of the same name but with attributes that the kernel cannot change, or of another name with
    /// the tunnel numbers of a desired one.
    pub devices: Vec<Device>,
    /// Addresses on other devices that are a peer's by now: the kernel takes them for no gateway as long as
    /// they are local.
    pub addresses: Vec<(Device, IpAddr)>,
}

impl InTheWay {
    pub fn find(desired: &Desired, observed: &Observed) -> InTheWay {
        let numbers = |vxlan: &Vxlan| (vxlan.vni, vxlan.port, Family::of(vxlan.local));
        let blocks = |(device, there): &(&Device, &ObservedDevice)| match desired.devices.get(*device) {
            Some(same) => !there.vxlan.can_become(same),
            None => desired.devices.values().any(|other| numbers(other) == numbers(&there.vxlan)),
        };
        let devices: Vec<Device> =
            observed.devices.iter().filter(blocks).map(|(device, _)| *device).collect();
        let is_of_peer = |address: IpAddr| {
            desired.devices.keys().any(|device| desired.neighbours.get(&(*device, address)).is_some())
        };
        let addresses = observed.addresses.iter().map(|(key, ())| *key);
        let addresses =
            addresses.filter(|(on, address)| !devices.contains(on) && is_of_peer(*address)).collect();
        InTheWay { devices, addresses }
    }

    /// Whether the device can stay.
    pub fn spares(&self, device: &Device) -> bool {
        !self.devices.contains(device)
    }

    pub fn is_empty(&self) -> bool {
        self.devices.is_empty() && self.addresses.is_empty()
    }
}

/// Devices as they should be and as they are; none of them has to be made anew.
pub(super) struct Links<'a> {
    pub wanted: &'a BTreeMap<Device, Vxlan>,
    pub now: &'a BTreeMap<Device, ObservedDevice>,
}

impl Links<'_> {
    fn in_both(&self) -> impl Iterator<Item = (Device, &Vxlan, &Vxlan)> {
        self.wanted
            .iter()
            .filter_map(|(device, wanted)| Some((*device, wanted, &self.now.get(device)?.vxlan)))
    }

    /// Whether the device goes, and all that is on it.
    pub fn goes(&self, device: Device) -> bool {
        !self.wanted.contains_key(&device)
    }

    /// Whether the kernel forgets the neighbours of the device on the way: it does when the MAC
    /// changes, permanent ones included (`neigh_changeaddr`).
    pub fn forgets_neighbours(&self, device: Device) -> bool {
        match (self.wanted.get(&device), self.now.get(&device)) {
            (Some(wanted), Some(now)) => wanted.mac != now.vxlan.mac,
            _ => false,
        }
    }

    /// Whether settings of the device that are not there now will be: it is new, or becomes large
    /// enough for IPv6.
    pub fn settings_appear(&self, device: Device) -> bool {
        match (self.wanted.get(&device), self.now.get(&device)) {
            (Some(_), None) => true,
            (Some(wanted), Some(now)) => now.vxlan.mtu < IPV6_MIN_MTU && wanted.mtu >= IPV6_MIN_MTU,
            (None, _) => false,
        }
    }

    /// Adds devices, and changes those that are there.
    pub fn make(&self, take: &mut dyn FnMut(Step)) {
        for (device, wanted) in self.wanted.iter().filter(|(device, _)| !self.now.contains_key(device)) {
            take(Step::AddDevice(*device, wanted.clone()));
        }
        for (device, wanted, now) in self.in_both() {
            let mtu = if loses_ipv6(wanted, now) { now.mtu } else { wanted.mtu };
            let first = Vxlan { mtu, ..wanted.clone() };
            let marked = self.now.get(&device).is_some_and(|there| there.marked);
            if !marked || (Vxlan { mac: now.mac, ..first.clone() }) != *now {
                take(Step::SetDevice(device, first));
            }
            if wanted.mac != now.mac {
                take(Step::SetMac(device, wanted.mac));
            }
        }
    }

    /// Removes devices, and makes those smaller that had to wait for it.
    pub fn remove(&self, take: &mut dyn FnMut(Step)) {
        for (device, wanted, now) in self.in_both() {
            if loses_ipv6(wanted, now) {
                take(Step::SetDevice(device, wanted.clone()));
            }
        }
        for device in self.now.keys().filter(|device| self.goes(**device)) {
            take(Step::DelDevice(*device));
        }
    }
}

/// Whether the change of MTU ends IPv6 on the device, which flushes all that is left of it there.
fn loses_ipv6(wanted: &Vxlan, now: &Vxlan) -> bool {
    wanted.mtu < IPV6_MIN_MTU && now.mtu >= IPV6_MIN_MTU
}
