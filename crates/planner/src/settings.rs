//! The settings that all clusters share: the defaults, and which of the ranges given can be used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use causeway_model::{
    ClusterSetFacts, DualStack, Family, Finding, Mode, Prefix, Reason, Subject, Transport, TunnelPair,
};

use crate::findings::finding;
use crate::guard::reserved;

/// The settings of a clusterset that has no ClusterSet object: overlay ranges 198.18.0.0/15
/// (RFC 2544) and fdc5:a05e:77a1::/64, pools of global CIDRs 100.64.0.0/10 (RFC 6598) and
/// fdc5:a05e:77a2::/48, P2P, two gateways, VXLAN.
pub fn default_cluster_set() -> ClusterSetFacts {
    let range = |address: IpAddr, len| Prefix::containing(address, len).into_iter().collect();
    let ula = |subnet| IpAddr::V6(Ipv6Addr::new(0xfdc5, 0xa05e, subnet, 0, 0, 0, 0, 0));
    ClusterSetFacts {
        overlay: DualStack {
            v4: range(IpAddr::V4(Ipv4Addr::new(198, 18, 0, 0)), 15),
            v6: range(ula(0x77a1), 64),
        },
        global_pool: DualStack {
            v4: range(IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)), 10),
            v6: range(ula(0x77a2), 48),
        },
        tunnels: TunnelPair::default(),
        default_mode: Mode::P2p,
        default_gateways: NonZeroU32::MIN.saturating_add(1),
        default_transport: Transport::Vxlan,
    }
}

/// The shared settings with the ranges that can be used, and why others cannot.
pub(crate) struct Settings {
    pub facts: ClusterSetFacts,
    pub findings: Vec<Finding>,
}

impl Settings {
    pub fn new(mut facts: ClusterSetFacts) -> Settings {
        let mut findings = Vec::new();
        for family in Family::BOTH {
            keep_usable("spec.overlayCIDRs", family, facts.overlay.get_mut(family), &mut findings);
            keep_usable("spec.globalCIDRPool", family, facts.global_pool.get_mut(family), &mut findings);
        }
        Settings { facts, findings }
    }
}

fn keep_usable(field: &str, family: Family, ranges: &mut Vec<Prefix>, findings: &mut Vec<Finding>) {
    ranges.retain(|range| {
        let refusal = if range.family() != family {
            Some((Reason::InvalidValue, format!("{range} stands among {family} ranges; move it")))
        } else {
            reserved(range).map(|what| {
                (Reason::PrefixReserved, format!("{range} reaches into {what}; use another range"))
            })
        };
        let usable = refusal.is_none();
        findings.extend(refusal.map(|(reason, message)| finding(Subject::ClusterSet, field, reason, message)));
        usable
    });
}
