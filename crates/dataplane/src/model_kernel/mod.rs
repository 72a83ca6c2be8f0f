//! A kernel in memory that refuses what Linux refuses, and loses what Linux loses.
//!
//! Linux does some things that no step asks for: it removes routes with the device, the next hop or
//! the address that they lean on. The model does them too and keeps a list of such [losses]. It
//! holds nothing but what concerns us, has no clock, and decides nothing.
//!
//! [losses]: ModelKernel::losses

mod apply;
mod cascade;
mod path;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use causeway_model::{Mac, Prefix};

use crate::desired::sysctls;
use crate::device::Device;
use crate::kernel::{ApplyError, FailedStep, Kernel, KernelError};
use crate::nft;
use crate::state::{
    Capabilities, HostAddress, HostLink, NextHop, NextHopId, Observed, ObservedDevice, ObservedGroup, Route,
    Rule, Sysctl,
};
use crate::step::Step;

pub use path::Way;

/// What a step took along without being asked to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Loss {
    /// A route.
    Route(Prefix, u32),
    /// The source address of a route that stays.
    Source(Prefix, u32),
    /// A next hop or a group.
    NextHop(NextHopId),
    /// A member of a group that has others.
    Member(NextHopId),
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Object {
    Single(NextHop),
    Group(ObservedGroup),
    Odd,
}

/// A kernel in memory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ModelKernel {
    devices: BTreeMap<Device, ObservedDevice>,
    foreign_devices: Vec<Device>,
    addresses: BTreeSet<(Device, IpAddr)>,
    fdb: BTreeMap<(Device, Mac), Vec<IpAddr>>,
    neighbours: BTreeMap<(Device, IpAddr), Mac>,
    next_hops: BTreeMap<NextHopId, Object>,
    routes: BTreeMap<(Prefix, u32), Route<NextHopId>>,
    rules: Vec<Rule>,
    firewall: nft::Observed,
    sysctls: BTreeMap<Sysctl, String>,
    host_addresses: Vec<HostAddress>,
    host_links: Vec<HostLink>,
    capabilities: Capabilities,
    last_index: u32,
    losses: Vec<Loss>,
}

impl ModelKernel {
    /// A kernel that holds what was observed, however odd.
    pub fn new(observed: Observed) -> ModelKernel {
        let Observed {
            devices,
            foreign_devices,
            addresses,
            fdb,
            extra_fdb,
            neighbours,
            next_hops,
            odd_next_hops,
            groups,
            routes,
            rules,
            firewall,
            sysctls,
            host_addresses,
            host_links,
            capabilities,
        } = observed;
        let mut lists: BTreeMap<_, Vec<IpAddr>> = fdb.iter().map(|(key, to)| (*key, vec![*to])).collect();
        for (device, mac, to) in extra_fdb {
            lists.entry((device, mac)).or_default().push(to);
        }
        let singles = next_hops.into_iter().map(|(id, hop)| (id, Object::Single(hop)));
        let groups = groups.into_iter().map(|(id, group)| (id, Object::Group(group)));
        let odd = odd_next_hops.into_iter().map(|id| (id, Object::Odd));
        ModelKernel {
            last_index: devices.values().map(|device| device.index).max().unwrap_or(1),
            devices,
            foreign_devices,
            addresses: addresses.iter().map(|(key, ())| *key).collect(),
            fdb: lists,
            neighbours: neighbours.iter().map(|(key, mac)| (*key, *mac)).collect(),
            next_hops: singles.chain(groups).chain(odd).collect(),
            routes: routes.iter().map(|(key, route)| (*key, *route)).collect(),
            rules,
            firewall,
            sysctls,
            host_addresses,
            host_links,
            capabilities,
            losses: Vec::new(),
        }
    }

    /// What steps took along without being asked to, in order.
    pub fn losses(&self) -> &[Loss] {
        &self.losses
    }

    /// Does one step.
    ///
    /// # Errors
    /// [`KernelError::Refused`] with the number that Linux answers; nothing has changed then.
    pub fn step(&mut self, step: &Step) -> Result<(), KernelError> {
        if let Step::Firewall(transaction) = step {
            return self.firewall.apply(transaction);
        }
        self.change(step).map_err(|errno| KernelError::Refused {
            operation: "step",
            source: std::io::Error::from_raw_os_error(errno),
            detail: format!(": {step}"),
        })
    }

    /// What is there now.
    pub fn state(&self) -> Observed {
        let mut observed = Observed {
            devices: self.devices.clone(),
            foreign_devices: self.foreign_devices.clone(),
            addresses: self.addresses.iter().map(|key| (*key, ())).collect(),
            neighbours: self.neighbours.iter().map(|(key, mac)| (*key, *mac)).collect(),
            routes: self.routes.iter().map(|(key, route)| (*key, *route)).collect(),
            rules: self.rules.clone(),
            firewall: self.firewall.clone(),
            sysctls: self.sysctls.clone(),
            host_addresses: self.host_addresses.clone(),
            host_links: self.host_links.clone(),
            capabilities: self.capabilities,
            ..Observed::default()
        };
        let mut first = Vec::new();
        for ((device, mac), list) in &self.fdb {
            let mut list = list.iter();
            first.extend(list.next().map(|to| ((*device, *mac), *to)));
            observed.extra_fdb.extend(list.map(|to| (*device, *mac, *to)));
        }
        observed.fdb = first.into_iter().collect();
        for (id, object) in &self.next_hops {
            match object {
                Object::Single(hop) => drop(observed.next_hops.insert(*id, *hop)),
                Object::Group(group) => drop(observed.groups.insert(*id, group.clone())),
                Object::Odd => observed.odd_next_hops.push(*id),
            }
        }
        observed
    }

    /// Makes the settings of a device appear, as they are by default.
    fn add_settings(&mut self, device: Device) {
        let Some(link) = self.devices.get(&device) else { return };
        let ipv6 = self.capabilities.ipv6 && link.vxlan.mtu >= crate::desired::host::IPV6_MIN_MTU;
        for path in sysctls::all([]) {
            if sysctls::device_of(&path) == Some(device) && (ipv6 || !is_of_ipv6(&path)) {
                self.sysctls.entry(path).or_insert_with(|| "unset".to_owned());
            }
        }
    }
}

fn is_of_ipv6(Sysctl(path): &Sysctl) -> bool {
    path.starts_with("net/ipv6/")
}

impl Kernel for ModelKernel {
    fn observe(&mut self) -> Result<Observed, KernelError> {
        Ok(self.state())
    }

    fn apply(&mut self, steps: &[Step]) -> Result<(), ApplyError> {
        let failed: Vec<FailedStep> = steps
            .iter()
            .enumerate()
            .filter_map(|(index, step)| self.step(step).err().map(|error| FailedStep { index, error }))
            .collect();
        match failed.first() {
            None => Ok(()),
            Some(FailedStep { error, .. }) => {
                Err(ApplyError { attempted: steps.len(), first: error.to_string(), failed })
            }
        }
    }
}
