//! The settings that all clusters share: the defaults, and which of the ranges given can be used.

use causeway_model::{ClusterSetFacts, Family, Finding, Prefix, Reason, Subject};

use crate::findings::finding;
use crate::guard::reserved;

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
        findings
            .extend(refusal.map(|(reason, message)| finding(Subject::ClusterSet, field, reason, message)));
        usable
    });
}
