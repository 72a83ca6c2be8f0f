//! Conflicts among what clusters show each other: the oldest keeps a prefix, the others do not announce it.

use causeway_model::{Prefix, Reason, Translation};

use crate::addresses::{Addresses, Draft, Real, SeenPrefix};
use crate::findings::finding;
use crate::prefix_index::PrefixIndex;
use crate::translate::seen_parts;
use causeway_model::{PrefixKind, Subject};

/// Which CIDR of which cluster, as places in the lists.
type Owner = (usize, usize);

/// Settles all conflicts; `drafts` come oldest first.
pub(crate) fn settle(mut drafts: Vec<Draft<'_>>) -> Vec<Addresses> {
    let mut taken: PrefixIndex<Owner> = PrefixIndex::default();
    let mut settled: Vec<Addresses> = Vec::with_capacity(drafts.len());
    for place in 0..drafts.len() {
        let mut addresses = Addresses::default();
        for index in 0..drafts[place].reals.len() {
            let parts = seen_parts(&drafts[place].reals[index].prefix, &drafts[place].translations);
            let all = parts.len();
            let free: Vec<Translation> = parts
                .into_iter()
                .filter(|part| !lost(&mut drafts, (place, index), &part.global, &taken))
                .collect();
            for part in &free {
                taken.insert(part.global, (place, index));
            }
            accept(&mut addresses, &drafts[place].reals[index], &free, all);
        }
        settled.push(addresses);
    }
    for (addresses, mut draft) in settled.iter_mut().zip(drafts) {
        let accepted = |t: &Translation| addresses.seen.iter().any(|part| t.real.overlaps(&part.real));
        draft.translations.retain(accepted);
        addresses.translations = draft.translations;
        addresses.in_use = draft.in_use;
        addresses.pods.sort_unstable();
        addresses.services.sort_unstable();
        draft.findings.sort_unstable();
        draft.findings.dedup();
        addresses.findings = draft.findings;
    }
    settled
}

/// Whether an older cluster has a part of `seen`; says so on both.
fn lost(drafts: &mut [Draft<'_>], loser: Owner, seen: &Prefix, taken: &PrefixIndex<Owner>) -> bool {
    let others = taken.overlapping(seen).filter(|(_, owner)| owner.0 != loser.0);
    let mut winners: Vec<(Owner, Prefix)> = others.map(|(prefix, owner)| (*owner, prefix)).collect();
    winners.sort_unstable();
    let Some(((oldest, _), theirs)) = winners.first().copied() else { return false };
    let name = drafts[loser.0].facts.name.clone();
    let message = format!(
        "{seen} overlaps {theirs} of the older cluster {}, which keeps it: no other cluster reaches {seen} in {name}. Use other CIDRs, or set spec.globalCIDRs.mode to Auto in both clusters",
        drafts[oldest].facts.name
    );
    let field = drafts[loser.0].reals[loser.1].field.clone();
    drafts[loser.0].refuse(field, Reason::PrefixConflict, message);
    for ((winner, index), theirs) in winners {
        let field = drafts[winner].reals[index].field.clone();
        let message = format!(
            "{theirs} is also {seen} of the younger cluster {name}, which cannot announce it; this cluster keeps it, but the two do not reach each other there. Set spec.globalCIDRs.mode to Auto in both clusters"
        );
        let subject = Subject::Cluster(drafts[winner].facts.name.clone());
        drafts[winner].findings.push(finding(subject, field, Reason::PrefixConflict, message));
    }
    true
}

/// Records what is left of a CIDR: the whole of it, or the parts that are free.
fn accept(addresses: &mut Addresses, real: &Real, free: &[Translation], all: usize) {
    let list = if real.kind == PrefixKind::Pod { &mut addresses.pods } else { &mut addresses.services };
    if free.len() == all {
        list.push(real.prefix);
    } else {
        list.extend(free.iter().map(|part| part.real));
    }
    let seen = |part: &Translation| SeenPrefix { real: part.real, seen: part.global, kind: real.kind };
    addresses.seen.extend(free.iter().map(seen));
}
