//! What others do to a kernel: remove, change and double entries, and add things of their own under
//! our mark.

use std::net::IpAddr;

use causeway_dataplane::device::{Device, ROUTE_TABLE};
use causeway_dataplane::model_kernel::ModelKernel;
use causeway_dataplane::state::{
    GroupKind, Hop, NextHop, NextHopId, Observed, ObservedGroup, Route, Rule, Sysctl, Vxlan,
};
use causeway_dataplane::step::Step;
use causeway_model::{Family, Mac, Prefix};
use proptest::prelude::*;

/// What is done; numbers choose the victim among what is there.
#[derive(Clone, Debug)]
pub struct Drift {
    kind: Kind,
    which: usize,
    other: usize,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    DelRoute,
    OtherHop,
    DoubleRoute,
    ForeignRoute,
    RouteOverSingle,
    LongerRoute,
    DelNeighbour,
    OtherNeighbour,
    DelFdb,
    OtherFdb,
    Flood,
    DelAddress,
    OtherAddress,
    DelNextHop,
    DoubleNextHop,
    OddNextHop,
    DoubleGroup,
    GroupOfOtherType,
    FewerMembers,
    DelDevice,
    Down,
    OtherMac,
    OtherMtu,
    StrayDevice,
    DelRule,
    DoubleRule,
    SelectiveRule,
    OtherPriority,
    Sysctl,
}

const KINDS: [Kind; 29] = [
    Kind::DelRoute,
    Kind::OtherHop,
    Kind::DoubleRoute,
    Kind::ForeignRoute,
    Kind::RouteOverSingle,
    Kind::LongerRoute,
    Kind::DelNeighbour,
    Kind::OtherNeighbour,
    Kind::DelFdb,
    Kind::OtherFdb,
    Kind::Flood,
    Kind::DelAddress,
    Kind::OtherAddress,
    Kind::DelNextHop,
    Kind::DoubleNextHop,
    Kind::OddNextHop,
    Kind::DoubleGroup,
    Kind::GroupOfOtherType,
    Kind::FewerMembers,
    Kind::DelDevice,
    Kind::Down,
    Kind::OtherMac,
    Kind::OtherMtu,
    Kind::StrayDevice,
    Kind::DelRule,
    Kind::DoubleRule,
    Kind::SelectiveRule,
    Kind::OtherPriority,
    Kind::Sysctl,
];

pub fn any_drift() -> impl Strategy<Value = Drift> {
    (prop::sample::select(KINDS.to_vec()), any::<usize>(), any::<usize>())
        .prop_map(|(kind, which, other)| Drift { kind, which, other })
}

/// The state after all `drifts`; one that the kernel refuses does not happen.
pub fn drift(observed: Observed, drifts: &[Drift]) -> Observed {
    drifts.iter().fold(observed, |observed, drift| drift.happen(observed))
}

fn pick<T>(mut all: impl ExactSizeIterator<Item = T>, which: usize) -> Option<T> {
    let len = all.len();
    if len == 0 { None } else { all.nth(which % len) }
}

type Entry = ((Prefix, u32), Route<NextHopId>);

impl Drift {
    fn happen(&self, observed: Observed) -> Observed {
        if let Some(after) = self.tamper(&observed) {
            return after;
        }
        let mut kernel = ModelKernel::new(observed.clone());
        if let Some(step) = self.step(&observed) {
            let _refused = kernel.step(&step);
        }
        kernel.state()
    }

    fn route(&self, observed: &Observed, which: usize) -> Option<Entry> {
        pick(observed.routes.iter(), which).map(|(key, route)| (*key, *route))
    }

    /// Things that no step of ours does.
    fn tamper(&self, observed: &Observed) -> Option<Observed> {
        let mut after = observed.clone();
        let mut routes: Vec<Entry> = observed.routes.iter().map(|(key, route)| (*key, *route)).collect();
        match self.kind {
            Kind::DoubleRoute => {
                let ((prefix, metric), _) = self.route(observed, self.which)?;
                let (_, like) = self.same_family(observed, prefix)?;
                routes.push((
                    (prefix, if self.other.is_multiple_of(2) { metric - 1 } else { metric + 1 }),
                    like,
                ));
            }
            Kind::ForeignRoute => {
                let ((prefix, metric), _) = self.route(observed, self.which)?;
                routes.retain(|(key, _)| *key != (prefix, metric));
                routes.push(((prefix, metric), Route { hop: Hop::Foreign, src: None, mtu: None }));
            }
            Kind::RouteOverSingle => {
                let ((prefix, metric), route) = self.route(observed, self.which)?;
                let (id, _) =
                    observed.next_hops.iter().find(|(_, h)| Family::of(h.gateway) == prefix.family())?;
                routes.retain(|(key, _)| *key != (prefix, metric));
                routes.push(((prefix, metric), Route { hop: Hop::Group(*id), ..route }));
            }
            Kind::Flood => {
                let device = *pick(observed.devices.keys(), self.which)?;
                let to = observed.devices[&device].vxlan.local;
                let flood = (device, Mac([0; 6]), to);
                if !after.extra_fdb.contains(&flood) {
                    after.extra_fdb.push(flood);
                }
            }
            Kind::OddNextHop => {
                let id = NextHopId(0xC500_0000 + (self.which % 40) as u32);
                let taken = observed.next_hops.contains_key(&id) || observed.groups.contains_key(&id);
                if taken || observed.odd_next_hops.contains(&id) {
                    return None;
                }
                after.odd_next_hops.push(id);
            }
            Kind::GroupOfOtherType => {
                let (_, group) = pick(observed.groups.iter(), self.which)?;
                let kind = match group.kind {
                    GroupKind::Resilient => GroupKind::Multipath,
                    GroupKind::Multipath if observed.capabilities.resilient_groups => GroupKind::Resilient,
                    GroupKind::Multipath => return None,
                };
                let id = self.free_number(observed)?;
                after.groups.insert(id, ObservedGroup { kind, ..group.clone() });
            }
            Kind::DoubleRule => after.rules.push(*pick(observed.rules.iter(), self.which)?),
            _ => return None,
        }
        after.routes = routes.into_iter().collect();
        Some(after)
    }

    fn free_number(&self, observed: &Observed) -> Option<NextHopId> {
        let id = NextHopId(77 + (self.other % 50) as u32);
        let taken = observed.next_hops.contains_key(&id) || observed.groups.contains_key(&id);
        (!taken && !observed.odd_next_hops.contains(&id)).then_some(id)
    }

    fn same_family(&self, observed: &Observed, prefix: Prefix) -> Option<Entry> {
        let same: Vec<Entry> = observed
            .routes
            .iter()
            .filter(|((other, _), _)| other.family() == prefix.family())
            .map(|(key, route)| (*key, *route))
            .collect();
        pick(same.into_iter(), self.other)
    }

    /// The step that does it, if one can.
    pub fn step(&self, observed: &Observed) -> Option<Step> {
        self.route_step(observed)
            .or_else(|| self.entry_step(observed))
            .or_else(|| self.next_hop_step(observed))
            .or_else(|| self.device_step(observed))
    }

    fn route_step(&self, observed: &Observed) -> Option<Step> {
        let ((prefix, metric), _) = self.route(observed, self.which)?;
        match self.kind {
            Kind::DelRoute => Some(Step::DelRoute(prefix, metric)),
            Kind::OtherHop => Some(Step::ReplaceRoute(prefix, metric, self.same_family(observed, prefix)?.1)),
            Kind::LongerRoute => {
                let longer = prefix.subnets((prefix.len() + 2).min(prefix.family().bits())).nth(1)?;
                Some(Step::ReplaceRoute(longer, metric, self.same_family(observed, prefix)?.1))
            }
            _ => None,
        }
    }

    fn entry_step(&self, observed: &Observed) -> Option<Step> {
        let neighbour = || pick(observed.neighbours.iter(), self.which);
        let fdb = || pick(observed.fdb.iter(), self.which);
        match self.kind {
            Kind::DelNeighbour => neighbour().map(|((d, a), _)| Step::DelNeighbour(*d, *a)),
            Kind::OtherNeighbour => {
                neighbour().map(|((d, a), _)| Step::ReplaceNeighbour(*d, *a, Mac([2, 1, 1, 1, 1, 1])))
            }
            Kind::DelFdb => fdb().map(|((d, mac), to)| Step::DelFdb(*d, *mac, *to)),
            Kind::OtherFdb => {
                fdb().map(|((d, mac), _)| Step::ReplaceFdb(*d, *mac, observed.devices[d].vxlan.local))
            }
            Kind::DelAddress => {
                pick(observed.addresses.iter(), self.which).map(|((d, a), ())| Step::DelAddress(*d, *a))
            }
            Kind::OtherAddress => {
                let device = *pick(observed.devices.keys(), self.which)?;
                let text = if self.other.is_multiple_of(2) { "198.18.77.1" } else { "fd43::77" };
                Some(Step::AddAddress(device, text.parse::<IpAddr>().unwrap()))
            }
            Kind::DelRule => pick(observed.rules.iter(), self.which).map(|rule| Step::DelRule(*rule)),
            Kind::SelectiveRule => Some(Step::AddRule(Rule {
                family: Family::V4,
                priority: 4876,
                table: ROUTE_TABLE,
                plain: false,
            })),
            Kind::OtherPriority => Some(Step::AddRule(Rule {
                family: Family::V6,
                priority: 4000,
                table: ROUTE_TABLE,
                plain: true,
            })),
            Kind::Sysctl => {
                let (Sysctl(path), _) = pick(observed.sysctls.iter(), self.which)?;
                Some(Step::SetSysctl(Sysctl(path.clone()), "1".to_owned()))
            }
            _ => None,
        }
    }

    fn next_hop_step(&self, observed: &Observed) -> Option<Step> {
        match self.kind {
            Kind::DelNextHop => {
                let all: Vec<NextHopId> =
                    observed.next_hops.keys().chain(observed.groups.keys()).copied().collect();
                pick(all.into_iter(), self.which).map(Step::DelNextHop)
            }
            Kind::DoubleNextHop => {
                let (_, hop) = pick(observed.next_hops.iter(), self.which)?;
                Some(Step::AddNextHop(self.free_number(observed)?, NextHop { ..*hop }))
            }
            Kind::DoubleGroup => {
                let (_, group) = pick(observed.groups.iter(), self.which)?;
                Some(Step::AddGroup(self.free_number(observed)?, group.clone()))
            }
            Kind::FewerMembers => {
                let (id, group) = pick(observed.groups.iter(), self.which)?;
                let mut group = group.clone();
                let gone = self.other % group.members.len();
                group.members.remove(gone);
                Some(Step::ReplaceGroup(*id, group))
            }
            _ => None,
        }
    }

    fn device_step(&self, observed: &Observed) -> Option<Step> {
        let set = |change: &dyn Fn(&mut Vxlan)| {
            let (device, now) = pick(observed.devices.iter(), self.which)?;
            let mut vxlan = now.vxlan.clone();
            change(&mut vxlan);
            Some(Step::SetDevice(*device, vxlan))
        };
        match self.kind {
            Kind::DelDevice => {
                pick(observed.devices.keys(), self.which).map(|device| Step::DelDevice(*device))
            }
            Kind::Down => set(&|vxlan| vxlan.up = false),
            Kind::OtherMac => {
                pick(observed.devices.keys(), self.which).map(|d| Step::SetMac(*d, Mac([2, 9, 9, 9, 9, 9])))
            }
            Kind::OtherMtu => {
                set(&|vxlan| vxlan.mtu = if self.other.is_multiple_of(3) { 1000 } else { 1300 })
            }
            Kind::StrayDevice => {
                let missing: Vec<Device> =
                    Device::ALL.into_iter().filter(|d| !observed.devices.contains_key(d)).collect();
                let device = pick(missing.into_iter(), self.which)?;
                let (_, now) = observed.devices.iter().find(|(d, _)| d.underlay == device.underlay)?;
                let mut vxlan = now.vxlan.clone();
                // The usual numbers of the other overlay, or such as nobody has.
                vxlan.vni.0 = if vxlan.vni.0 == 54 { 55 } else { 54 };
                vxlan.port.0 = match (self.other % 3, vxlan.port.0) {
                    (0, _) => 4999,
                    (_, 4876) => 4877,
                    _ => 4876,
                };
                Some(Step::AddDevice(device, vxlan))
            }
            _ => None,
        }
    }
}
