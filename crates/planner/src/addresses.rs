//! What each cluster announces: its prefixes, as far as they are valid, and as what others see them.
//!
//! Decided for all clusters together, in layers of which each sees only the ones before: (1) each
//! cluster's own CIDRs against the guard; (2) global CIDRs that clusters name; (3) global CIDRs from
//! the pool; (4) conflicts among what is seen, oldest wins. No layer looks at a node but through the
//! index of underlay addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use causeway_model::{
    ClusterFacts, ClusterName, DualStack, Finding, GlobalCidrs, Prefix, PrefixKind, PrefixSet, Reason,
    Subject, Translation,
};

use crate::claims::Seniority;
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
    /// Underlay addresses that lie in what an older cluster announces, with that prefix and cluster: no
    /// node may use one.
    pub refused: Refused,
}

/// Underlay addresses that nobody may use, each with the prefix that it lies in and the cluster that has it.
pub(crate) type Refused = BTreeMap<IpAddr, (Prefix, ClusterName)>;

/// Where a cluster stands by age.
pub(crate) fn seniority(facts: &ClusterFacts) -> Seniority<'_> {
    (facts.age, &facts.name)
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
    let mut addresses = conflicts::settle(drafts);
    let refused = refused(clusters, &mut addresses, guard);
    Decision { addresses, sensitive: sensitive.into_iter().collect(), refused }
}

/// Underlay addresses inside of what is announced. The clusters of those nodes use them all the same, so no link
/// may carry them away from there.
fn refused(
    clusters: &[(&ClusterFacts, &[Translation])],
    addresses: &mut [Addresses],
    guard: &Guard<'_>,
) -> Refused {
    let mut refused = Refused::new();
    let mut in_use: BTreeMap<&ClusterName, Vec<Prefix>> = BTreeMap::new();
    for ((facts, _), announced) in clusters.iter().zip(addresses.iter()) {
        for prefix in announced.seen.iter().flat_map(|part| [part.real, part.seen]) {
            for (address, claims) in guard.claims.within(&prefix) {
                refused.entry(address).or_insert_with(|| (prefix, facts.name.clone()));
                for claim in claims {
                    in_use.entry(&claim.id.cluster).or_default().push(Prefix::host(address));
                }
            }
        }
    }
    for ((facts, _), announced) in clusters.iter().zip(addresses) {
        if let Some(hosts) = in_use.remove(&facts.name) {
            announced.in_use = announced.in_use.as_slice().iter().copied().chain(hosts).collect();
        }
    }
    refused
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
        } else if let Some(refusal) = guard.refusal(prefix, seniority(draft.facts)) {
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
