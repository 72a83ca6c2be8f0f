//! Global CIDRs: the prefixes under which clusters show others what overlaps.
//!
//! A global CIDR has the size of what it stands for and overlaps nothing: no CIDR of any cluster, no
//! overlay range, no underlay address, no other global CIDR. Those that clusters name come before
//! those from the pool, older clusters before younger. One from the pool is kept while it is needed
//! and valid, also if the pool has changed meanwhile.

use causeway_model::{ClusterFacts, DualStack, GlobalCidrs, Prefix, Reason, Translation};

use crate::addresses::{Draft, seniority};
use crate::findings::{GLOBAL_CIDRS, GLOBAL_MAP, item};
use crate::guard::Guard;
use crate::prefix_index::{PrefixIndex, lowest_free};

/// What global CIDRs must keep clear of; owners are places in the list of clusters.
struct Occupied<'a> {
    guard: &'a Guard<'a>,
    reals: PrefixIndex<usize>,
    globals: PrefixIndex<usize>,
}

impl Occupied<'_> {
    /// Something that overlaps `prefix`, which nobody has yet.
    fn by(&self, prefix: &Prefix) -> Option<Prefix> {
        let member = |index: &PrefixIndex<usize>| index.overlapping(prefix).next().map(|(hit, _)| hit);
        member(&self.reals).or_else(|| member(&self.globals)).or_else(|| self.guard.obstacle(prefix))
    }

    /// Something that overlaps `prefix`, which the cluster at `place` has or names: what younger clusters
    /// state does not count, they give way.
    fn against(&self, prefix: &Prefix, place: usize, facts: &ClusterFacts) -> Option<Prefix> {
        let senior = self.reals.overlapping(prefix).find(|(_, owner)| **owner <= place);
        senior
            .or_else(|| self.globals.overlapping(prefix).next())
            .map(|(hit, _)| hit)
            .or_else(|| self.guard.refusal(prefix, seniority(facts)).map(|refusal| refusal.obstacle))
    }
}

/// Gives the clusters, oldest first, their translations. True if a pool had no room.
pub(crate) fn translate(drafts: &mut [Draft<'_>], pools: &DualStack<Vec<Prefix>>, guard: &Guard<'_>) -> bool {
    let mut occupied = Occupied { guard, reals: PrefixIndex::default(), globals: PrefixIndex::default() };
    for (place, draft) in drafts.iter().enumerate() {
        for real in &draft.reals {
            occupied.reals.insert(real.prefix, place);
        }
    }
    for (place, draft) in drafts.iter_mut().enumerate() {
        if let GlobalCidrs::Map(map) = &draft.facts.globals {
            named(draft, place, map, &mut occupied);
        }
    }
    let wanted = keep(drafts, &mut occupied);
    let exhausted = allocate(drafts, wanted, pools, &mut occupied);
    for draft in drafts {
        draft.translations.sort_unstable();
    }
    exhausted
}

/// The global CIDRs that a cluster names itself.
fn named(draft: &mut Draft<'_>, place: usize, map: &[Translation], occupied: &mut Occupied<'_>) {
    for (index, translation) in map.iter().enumerate() {
        match mismatch(draft, place, translation, occupied) {
            None => {
                occupied.globals.insert(translation.global, place);
                draft.translations.push(*translation);
            }
            Some(message) => draft.refuse(item(GLOBAL_MAP, index), Reason::InvalidGlobalCidr, message),
        }
    }
}

/// Why a named global CIDR cannot stand for its prefix.
fn mismatch(
    draft: &Draft<'_>,
    place: usize,
    translation: &Translation,
    occupied: &Occupied<'_>,
) -> Option<String> {
    let Translation { real, global } = translation;
    if real.family() != global.family() || real.len() != global.len() {
        return Some(format!("{global} cannot stand for {real}: use a prefix of the same family and length"));
    }
    if !draft.reals.iter().any(|own| own.prefix.covers(real)) {
        return Some(format!("{real} is no pod or service CIDR of the cluster, nor inside one that is used"));
    }
    if let Some(other) = draft.translations.iter().find(|other| other.real.overlaps(real)) {
        return Some(format!("{real} overlaps {}, which has the global CIDR {}", other.real, other.global));
    }
    if let Some(refusal) = occupied.guard.refusal(global, seniority(draft.facts)) {
        return Some(refusal.message);
    }
    occupied
        .against(global, place, draft.facts)
        .map(|other| format!("{global} overlaps {other}, which is in use; choose a prefix that nobody uses"))
}

/// A prefix that needs a global CIDR from the pool.
struct Wanted {
    place: usize,
    real: Prefix,
    field: String,
}

/// The global CIDRs from the pool that stay as they are; returns those that are missing.
fn keep(drafts: &mut [Draft<'_>], occupied: &mut Occupied<'_>) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for (place, draft) in drafts.iter_mut().enumerate() {
        if draft.facts.globals != GlobalCidrs::Auto {
            continue;
        }
        for real in &draft.reals {
            if occupied.reals.overlapping(&real.prefix).all(|(_, owner)| *owner == place) {
                continue;
            }
            let fits = |t: &&Translation| {
                t.real == real.prefix
                    && t.global.family() == t.real.family()
                    && t.global.len() == t.real.len()
                    && occupied.against(&t.global, place, draft.facts).is_none()
            };
            match draft.kept.iter().find(fits) {
                Some(translation) => {
                    occupied.globals.insert(translation.global, place);
                    draft.translations.push(*translation);
                }
                None => wanted.push(Wanted { place, real: real.prefix, field: real.field.clone() }),
            }
        }
    }
    wanted
}

/// New global CIDRs: the lowest free one of the first pool that has room.
fn allocate(
    drafts: &mut [Draft<'_>],
    wanted: Vec<Wanted>,
    pools: &DualStack<Vec<Prefix>>,
    occupied: &mut Occupied<'_>,
) -> bool {
    let mut exhausted = false;
    for Wanted { place, real, field } in wanted {
        let pool = pools.get(real.family());
        let free = pool.iter().find_map(|range| lowest_free(range, real.len(), |c| occupied.by(c)));
        if let Some(global) = free {
            occupied.globals.insert(global, place);
            drafts[place].translations.push(Translation { real, global });
        } else {
            exhausted = true;
            let message = format!(
                "{field}: no pool of global CIDRs has room for {real}; add a range to spec.globalCIDRPool of the ClusterSet, or name one in {GLOBAL_MAP}"
            );
            drafts[place].refuse(GLOBAL_CIDRS, Reason::GlobalPoolExhausted, message);
        }
    }
    exhausted
}
