//! Each step and its refusals: error numbers as `ip`, `bridge` and `sysctl` get them from Linux.

use std::net::IpAddr;

use causeway_model::{Family, Mac, Prefix};

use crate::desired::host::IPV6_MIN_MTU;
use crate::device::Device;
use crate::model_kernel::{ModelKernel, Object, is_of_ipv6};
use crate::state::{
    GroupKind, Hop, NextHop, NextHopId, ObservedDevice, ObservedGroup, Route, Rule, Sysctl, Vxlan,
};
use crate::step::Step;

/// What Linux answers.
type Answer = Result<(), i32>;

fn refuse_if(refused: bool, errno: i32) -> Answer {
    if refused { Err(errno) } else { Ok(()) }
}

impl ModelKernel {
    pub(super) fn change(&mut self, step: &Step) -> Answer {
        match step {
            Step::SetSysctl(path, value) => self.set_sysctl(path, value),
            Step::AddDevice(device, vxlan) => self.add_device(*device, vxlan),
            Step::SetDevice(device, vxlan) => self.set_device(*device, vxlan),
            Step::SetMac(device, mac) => {
                self.devices.get_mut(device).ok_or(libc::ENODEV)?.vxlan.mac = *mac;
                self.neighbours.retain(|(other, _), _| other != device);
                Ok(())
            }
            Step::DelDevice(device) => self.del_device(*device),
            Step::AddAddress(device, address) => self.add_address(*device, *address),
            Step::DelAddress(device, address) => self.del_address(*device, *address),
            Step::ReplaceFdb(device, mac, to) => self.replace_fdb(*device, *mac, *to),
            Step::DelFdb(device, mac, to) => self.del_fdb(*device, *mac, *to),
            Step::ReplaceNeighbour(device, address, mac) => {
                self.has_family(*device, Family::of(*address))?;
                self.neighbours.insert((*device, *address), *mac);
                Ok(())
            }
            Step::DelNeighbour(device, address) => {
                self.neighbours.remove(&(*device, *address)).map(drop).ok_or(libc::ENOENT)
            }
            Step::AddNextHop(id, hop) => self.add_next_hop(*id, *hop),
            Step::DelNextHop(id) => self.del_next_hop(*id),
            Step::AddGroup(id, group) => {
                refuse_if(self.next_hops.contains_key(id), libc::EEXIST)?;
                self.put_group(*id, group)
            }
            Step::ReplaceGroup(id, group) => self.replace_group(*id, group),
            Step::ReplaceRoute(prefix, metric, route) => self.replace_route(*prefix, *metric, route),
            Step::DelRoute(prefix, metric) => {
                self.routes.remove(&(*prefix, *metric)).map(drop).ok_or(libc::ESRCH)
            }
            Step::AddRule(rule) => self.add_rule(rule),
            Step::DelRule(rule) => {
                let place = self.rules.iter().position(|other| other == rule).ok_or(libc::ENOENT)?;
                self.rules.remove(place);
                Ok(())
            }
            Step::Firewall(_) => Ok(()),
        }
    }

    fn set_sysctl(&mut self, path: &Sysctl, value: &str) -> Answer {
        value.clone_into(self.sysctls.get_mut(path).ok_or(libc::ENOENT)?);
        for link in &mut self.host_links {
            if path.0 == format!("net/ipv4/conf/{}/rp_filter", link.name) {
                link.rp_filter = value.parse().map_err(|_| libc::EINVAL)?;
            }
        }
        Ok(())
    }

    fn link(&self, device: Device) -> Result<&Vxlan, i32> {
        self.devices.get(&device).map(|link| &link.vxlan).ok_or(libc::ENODEV)
    }

    /// The device, if it runs `family`.
    fn has_family(&self, device: Device, family: Family) -> Result<&Vxlan, i32> {
        let link = self.link(device)?;
        let runs = family == Family::V4 || (self.capabilities.ipv6 && link.mtu >= IPV6_MIN_MTU);
        refuse_if(!runs, libc::EINVAL)?;
        Ok(link)
    }

    fn is_up(&self, device: Device, family: Family) -> Answer {
        refuse_if(!self.has_family(device, family)?.up, libc::ENETDOWN)
    }

    fn add_device(&mut self, device: Device, vxlan: &Vxlan) -> Answer {
        let taken = self.devices.contains_key(&device) || self.foreign_devices.contains(&device);
        let numbers = |vxlan: &Vxlan| (vxlan.vni, vxlan.port, Family::of(vxlan.local));
        let twin = self.devices.values().any(|other| numbers(&other.vxlan) == numbers(vxlan));
        refuse_if(taken || twin, libc::EEXIST)?;
        self.last_index += 1;
        self.devices
            .insert(device, ObservedDevice { index: self.last_index, vxlan: vxlan.clone(), marked: true });
        self.add_settings(device);
        Ok(())
    }

    fn set_device(&mut self, device: Device, vxlan: &Vxlan) -> Answer {
        let before = self.link(device)?.clone();
        refuse_if(!before.can_become(vxlan), libc::EOPNOTSUPP)?;
        if let Some(link) = self.devices.get_mut(&device) {
            link.vxlan = Vxlan { mac: before.mac, ..vxlan.clone() };
            link.marked = true;
        }
        if before.up && !vxlan.up {
            Family::BOTH.into_iter().for_each(|family| self.flush(device, family));
            self.lose_ipv6_addresses(device);
        }
        if before.mtu >= IPV6_MIN_MTU && vxlan.mtu < IPV6_MIN_MTU {
            // Next hops stay, and so do routes through them.
            self.flush_plain_routes(device, Family::V6);
            self.flush_neighbours(device, Family::V6);
            self.lose_ipv6_addresses(device);
            let of_device = |path: &Sysctl| crate::desired::sysctls::device_of(path) == Some(device);
            self.sysctls.retain(|path, _| !(of_device(path) && is_of_ipv6(path)));
        }
        self.add_settings(device);
        Ok(())
    }

    fn lose_ipv6_addresses(&mut self, device: Device) {
        let gone = |(other, address): &(Device, IpAddr)| *other == device && address.is_ipv6();
        let lost: Vec<IpAddr> = self.addresses.iter().filter(|key| gone(key)).map(|(_, a)| *a).collect();
        self.addresses.retain(|key| !gone(key));
        lost.into_iter().for_each(|address| self.forget_source(address));
    }

    fn del_device(&mut self, device: Device) -> Answer {
        self.link(device)?;
        Family::BOTH.into_iter().for_each(|family| self.flush(device, family));
        self.devices.remove(&device);
        self.fdb.retain(|(other, _), _| *other != device);
        let gone: Vec<IpAddr> = self
            .addresses
            .iter()
            .filter(|(other, _)| *other == device)
            .map(|(_, address)| *address)
            .collect();
        self.addresses.retain(|(other, _)| *other != device);
        gone.into_iter().for_each(|address| self.forget_source(address));
        self.sysctls.retain(|path, _| crate::desired::sysctls::device_of(path) != Some(device));
        Ok(())
    }

    fn add_address(&mut self, device: Device, address: IpAddr) -> Answer {
        self.has_family(device, Family::of(address))?;
        refuse_if(!self.addresses.insert((device, address)), libc::EEXIST)
    }

    fn del_address(&mut self, device: Device, address: IpAddr) -> Answer {
        refuse_if(!self.addresses.remove(&(device, address)), libc::EADDRNOTAVAIL)?;
        let last = !self.addresses.iter().any(|(d, a)| *d == device && Family::of(*a) == Family::V4);
        if Family::of(address) == Family::V4 && last {
            // `fib_disable_ip`: plain routes and neighbours go, next hops stay.
            self.flush_plain_routes(device, Family::V4);
            self.flush_neighbours(device, Family::V4);
        }
        self.forget_source(address);
        Ok(())
    }

    fn replace_fdb(&mut self, device: Device, Mac(mac): Mac, to: IpAddr) -> Answer {
        let link = self.link(device)?;
        refuse_if(Family::of(link.local) != Family::of(to), libc::EAFNOSUPPORT)?;
        refuse_if(mac == [0; 6] || mac[0] & 1 == 1, libc::EOPNOTSUPP)?;
        let list = self.fdb.entry((device, Mac(mac))).or_default();
        if !list.contains(&to) {
            // The first destination changes; others, if there are any, stay.
            list.splice(..list.len().min(1), [to]);
        }
        Ok(())
    }

    fn del_fdb(&mut self, device: Device, mac: Mac, to: IpAddr) -> Answer {
        let list = self.fdb.get_mut(&(device, mac)).ok_or(libc::ENOENT)?;
        let place = list.iter().position(|other| *other == to).ok_or(libc::ENOENT)?;
        list.remove(place);
        if list.is_empty() {
            self.fdb.remove(&(device, mac));
        }
        Ok(())
    }

    fn add_next_hop(&mut self, id: NextHopId, hop: NextHop) -> Answer {
        refuse_if(self.next_hops.contains_key(&id), libc::EEXIST)?;
        self.is_up(hop.device, Family::of(hop.gateway))?;
        refuse_if(self.has_address(hop.gateway), libc::EINVAL)?;
        self.next_hops.insert(id, Object::Single(hop));
        Ok(())
    }

    fn del_next_hop(&mut self, id: NextHopId) -> Answer {
        refuse_if(!self.next_hops.contains_key(&id), libc::ENOENT)?;
        self.remove_next_hop(id);
        Ok(())
    }

    /// The one family of the members of a group.
    fn family_of(&self, group: &ObservedGroup) -> Result<Family, i32> {
        let mut families = group.members.iter().map(|member| match self.next_hops.get(member) {
            Some(Object::Single(hop)) => Ok(Family::of(hop.gateway)),
            // No such next hop, or a group inside a group.
            _ => Err(libc::EINVAL),
        });
        let first = families.next().unwrap_or(Err(libc::EINVAL))?;
        for family in families {
            refuse_if(family? != first, libc::EINVAL)?;
        }
        Ok(first)
    }

    fn put_group(&mut self, id: NextHopId, group: &ObservedGroup) -> Answer {
        self.family_of(group)?;
        let twice = group.members.iter().enumerate().any(|(at, member)| group.members[..at].contains(member));
        let unknown_kind = group.kind == GroupKind::Resilient && !self.capabilities.resilient_groups;
        refuse_if(twice || unknown_kind, libc::EINVAL)?;
        let mut group = group.clone();
        group.members.sort_unstable();
        self.next_hops.insert(id, Object::Group(group));
        Ok(())
    }

    fn replace_group(&mut self, id: NextHopId, group: &ObservedGroup) -> Answer {
        let Some(Object::Group(before)) = self.next_hops.get(&id) else { return Err(libc::ENOENT) };
        refuse_if(before.kind != group.kind, libc::EINVAL)?;
        let family = self.family_of(group)?;
        let used_by_other = self
            .routes
            .iter()
            .any(|((prefix, _), route)| route.hop == Hop::Group(id) && prefix.family() != family);
        refuse_if(used_by_other, libc::EINVAL)?;
        self.put_group(id, group)
    }

    fn replace_route(&mut self, prefix: Prefix, metric: u32, route: &Route<NextHopId>) -> Answer {
        let family = prefix.family();
        match &route.hop {
            Hop::Link(device) => self.is_up(*device, family)?,
            Hop::Gateway(NextHop { device, gateway }) => {
                refuse_if(Family::of(*gateway) != family || self.has_address(*gateway), libc::EINVAL)?;
                self.is_up(*device, family)?;
            }
            Hop::Group(id) => {
                let Some(Object::Group(group)) = self.next_hops.get(id) else { return Err(libc::EINVAL) };
                refuse_if(self.family_of(group)? != family, libc::EINVAL)?;
            }
            Hop::Foreign => return Err(libc::EINVAL),
        }
        refuse_if(route.src.is_some_and(|src| !self.has_address(src)), libc::EINVAL)?;
        self.routes.insert((prefix, metric), *route);
        Ok(())
    }

    /// Whether any link of the host holds `address`.
    pub(super) fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(_, own)| *own == address)
            || self.host_addresses.iter().any(|own| own.address == address)
    }

    fn add_rule(&mut self, rule: &Rule) -> Answer {
        refuse_if(rule.family == Family::V6 && !self.capabilities.ipv6, libc::EAFNOSUPPORT)?;
        refuse_if(self.rules.contains(rule), libc::EEXIST)?;
        self.rules.push(*rule);
        Ok(())
    }
}
