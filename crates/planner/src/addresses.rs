//! What each cluster announces: its prefixes, as far as they are valid, and as what others see them.
//!
//! Decided for all clusters together, in layers of which each sees only the ones before: (1) each
//! cluster's own CIDRs against the guard; (2) global CIDRs that clusters name; (3) global CIDRs from
//! the pool; (4) conflicts among what is seen, oldest wins. No layer looks at a node but through the
//! index of underlay addresses.

use causeway_model::{
    ClusterFacts, DualStack, Finding, GlobalCidrs, Prefix, PrefixKind, PrefixSet, Reason, Subject,
    Translation,
};

use crate::conflicts;
use crate::findings::{POD_CIDRS, SERVICE_CIDRS, finding, item};
use crate::global_cidrs;
use crate::guard::{Guard, reserved};

/// A CIDR of a cluster that passed the guard.
pub(crate) struct Real {
    pub prefix: Prefix,
    pub kind: PrefixKind,
    pub field: String,
}

/// A part of a cluster's CIDR, with the prefix under which others see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SeenPrefix {
    pub real: Prefix,
    pub seen: Prefix,
    pub kind: PrefixKind,
}

/// What a cluster announces.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Addresses {
    /// Accepted pod CIDRs, as the cluster uses them, sorted.
    pub pods: Vec<Prefix>,
    /// Accepted service CIDRs, as the cluster uses them, sorted.
    pub services: Vec<Prefix>,
    /// Its global CIDRs, sorted.
    pub translations: Vec<Translation>,
    /// The accepted ones as others see them.
    pub seen: Vec<SeenPrefix>,
    /// All that the cluster itself uses, accepted or not: no link may carry it away.
    pub in_use: PrefixSet,
    pub findings: Vec<Finding>,
}

/// A cluster on its way through the layers.
pub(crate) struct Draft<'a> {
    pub facts: &'a ClusterFacts,
    /// Global CIDRs that it has from the pool so far.
    pub kept: &'a [Translation],
    pub reals: Vec<Real>,
    pub translations: Vec<Translation>,
    pub in_use: PrefixSet,
    pub findings: Vec<Finding>,
}

impl Draft<'_> {
    pub fn refuse(&mut self, field: impl Into<String>, reason: Reason, message: String) {
        self.findings.push(finding(Subject::Cluster(self.facts.name.clone()), field, reason, message));
    }
}

/// The decision for all clusters, in the order given.
pub(crate) struct Decision {
    pub addresses: Vec<Addresses>,
    /// Where a node's underlay address, new or gone, may change the decision.
    pub sensitive: PrefixSet,
}

/// Decides for all clusters, oldest first, each with the global CIDRs that it has so far.
pub(crate) fn decide(
    clusters: &[(&ClusterFacts, &[Translation])],
    pools: &DualStack<Vec<Prefix>>,
    guard: &Guard<'_>,
) -> Decision {
    let mut drafts: Vec<Draft<'_>> = clusters.iter().map(|(facts, kept)| draft(facts, kept, guard)).collect();
    let exhausted = global_cidrs::translate(&mut drafts, pools, guard);
    let mut sensitive: Vec<Prefix> = Vec::new();
    for draft in &drafts {
        sensitive.extend(draft.in_use.as_slice());
        sensitive.extend(draft.translations.iter().map(|t| t.global));
        if let GlobalCidrs::Map(map) = &draft.facts.globals {
            sensitive.extend(map.iter().map(|t| t.global).filter(|global| reserved(global).is_none()));
        }
    }
    if exhausted {
        sensitive.extend(pools.iter().flat_map(|(_, pool)| pool));
    }
    Decision { addresses: conflicts::settle(drafts), sensitive: sensitive.into_iter().collect() }
}

/// The first layer: the CIDRs of one cluster.
fn draft<'a>(facts: &'a ClusterFacts, kept: &'a [Translation], guard: &Guard<'_>) -> Draft<'a> {
    let stated = facts.pods.iter().chain(&facts.services);
    let in_use = stated.filter(|prefix| reserved(prefix).is_none()).copied().collect();
    let mut draft =
        Draft { facts, kept, reals: Vec::new(), translations: Vec::new(), in_use, findings: Vec::new() };
    let pods = guarded(&mut draft, PrefixKind::Pod, POD_CIDRS, &facts.pods, guard);
    let pod_set: PrefixSet = pods.iter().map(|real| real.prefix).collect();
    let services = guarded(&mut draft, PrefixKind::Service, SERVICE_CIDRS, &facts.services, guard);
    draft.reals = pods;
    for service in services {
        match pod_set.overlapping(&service.prefix) {
            None => draft.reals.push(service),
            Some(pod) => {
                let message = format!(
                    "{} overlaps {pod}, a pod CIDR of the same cluster; state the service CIDR that is really used",
                    service.prefix
                );
                draft.refuse(service.field, Reason::PrefixConflict, message);
            }
        }
    }
    draft
}

/// Those of `prefixes` that pass the guard, without any that another one covers.
fn guarded(
    draft: &mut Draft<'_>,
    kind: PrefixKind,
    field: &str,
    prefixes: &[Prefix],
    guard: &Guard<'_>,
) -> Vec<Real> {
    let mut passed = Vec::new();
    for (index, prefix) in prefixes.iter().enumerate() {
        let field = item(field, index);
        if !draft.facts.families.contains(prefix.family()) {
            let message = format!(
                "{prefix} is {}, which the cluster does not use; remove it, or add the family to spec.ipFamilies",
                prefix.family()
            );
            draft.refuse(field, Reason::FamilyNotUsed, message);
        } else if let Some(refusal) = guard.refusal(prefix) {
            draft.refuse(field, refusal.reason, refusal.message);
        } else {
            passed.push(Real { prefix: *prefix, kind, field });
        }
    }
    // Stable, so that of equal prefixes the first one stated stays.
    passed.sort_by_key(|real| real.prefix);
    passed.dedup_by(|later, earlier| earlier.prefix.covers(&later.prefix));
    passed
}
