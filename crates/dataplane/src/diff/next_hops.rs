//! Numbers of next hops and groups: which of the kernel's are kept, which are changed in place,
//! which are new.
//!
//! A next hop is what it says, so any with the right content will do. A group is changed in place,
//! by one message for all the routes that use it, only where that cannot lead a packet anywhere
//! but from its old path to its new one; otherwise a new group is made and routes move to it.

use std::collections::{BTreeMap, BTreeSet};

use causeway_model::{Prefix, PrefixSet};

use crate::state::{Capabilities, Group, GroupKind, Hop, NextHop, NextHopId, ObservedGroup, Route};
use crate::step::Step;
use crate::table::Table;

/// The first number of ours, far from where people and other daemons begin.
const FIRST_NUMBER: u32 = 0xC500_0000;

type Wanted = Table<Prefix, Route<usize>>;
type Now = Table<(Prefix, u32), Route<NextHopId>>;

/// Next hops and groups as they are.
pub(super) struct Known<'a> {
    pub singles: &'a BTreeMap<NextHopId, NextHop>,
    pub odd: &'a [NextHopId],
    pub groups: &'a BTreeMap<NextHopId, ObservedGroup>,
}

/// What becomes of them.
pub(super) struct NextHops {
    numbers: Vec<NextHopId>,
    new_singles: Vec<(NextHopId, NextHop)>,
    new_groups: Vec<(NextHopId, ObservedGroup)>,
    changed_groups: Vec<(NextHopId, ObservedGroup)>,
    removed: Vec<NextHopId>,
}

impl NextHops {
    /// Decides for the desired `groups`, which the `wanted` routes name by their place.
    pub fn decide(
        groups: &[Group],
        wanted: &Wanted,
        known: &Known<'_>,
        now: &Now,
        capabilities: Capabilities,
    ) -> NextHops {
        let kind = if capabilities.resilient_groups { GroupKind::Resilient } else { GroupKind::Multipath };
        let mut numbers = FreeNumbers::new(known);
        let (singles, new_singles) = number_singles(groups, known, &mut numbers);
        let heirs = Inheritance::new(groups, kind, known, wanted, now).settle();

        let (mut new_groups, mut changed_groups) = (Vec::new(), Vec::new());
        let mut of_groups = Vec::with_capacity(groups.len());
        for (group, heir) in groups.iter().zip(&heirs) {
            let mut members: Vec<NextHopId> =
                group.members.iter().filter_map(|member| singles.get(member)).copied().collect();
            members.sort_unstable();
            let group = ObservedGroup { kind, members };
            let id = heir.unwrap_or_else(|| numbers.take());
            match heir.and_then(|id| known.groups.get(&id)) {
                None => new_groups.push((id, group)),
                Some(there) if *there != group => changed_groups.push((id, group)),
                Some(_) => {}
            }
            of_groups.push(id);
        }
        let kept: BTreeSet<NextHopId> = of_groups.iter().chain(singles.values()).copied().collect();
        let all = known.groups.keys().chain(known.odd).chain(known.singles.keys());
        let removed = all.filter(|id| !kept.contains(id)).copied().collect();
        NextHops { numbers: of_groups, new_singles, new_groups, changed_groups, removed }
    }

    /// The number of the desired group at this place.
    pub fn number_of_group(&self, place: usize) -> NextHopId {
        self.numbers[place]
    }

    /// Whether a group changes in place.
    pub fn change_groups(&self) -> bool {
        !self.changed_groups.is_empty()
    }

    pub fn make(&self, take: &mut dyn FnMut(Step)) {
        self.new_singles.iter().for_each(|(id, hop)| take(Step::AddNextHop(*id, *hop)));
        self.new_groups.iter().for_each(|(id, group)| take(Step::AddGroup(*id, group.clone())));
        self.changed_groups.iter().for_each(|(id, group)| take(Step::ReplaceGroup(*id, group.clone())));
    }

    /// Removes groups before what may be their members.
    pub fn remove(&self, take: &mut dyn FnMut(Step)) {
        self.removed.iter().for_each(|id| take(Step::DelNextHop(*id)));
    }
}

/// Numbers that no next hop of ours has, from the lowest.
pub(super) struct FreeNumbers {
    next: u32,
    used: BTreeSet<u32>,
}

impl FreeNumbers {
    pub fn new(known: &Known<'_>) -> FreeNumbers {
        let used = known.singles.keys().chain(known.odd).chain(known.groups.keys()).map(|id| id.0).collect();
        FreeNumbers { next: FIRST_NUMBER, used }
    }

    fn take(&mut self) -> NextHopId {
        while self.used.contains(&self.next) {
            self.next += 1;
        }
        self.next += 1;
        NextHopId(self.next - 1)
    }
}

/// The number of each member, and those that are new.
pub(super) type Numbered = (BTreeMap<NextHop, NextHopId>, Vec<(NextHopId, NextHop)>);

/// Numbers of all members: those that are there with the right content, and new ones.
pub(super) fn number_singles(groups: &[Group], known: &Known<'_>, numbers: &mut FreeNumbers) -> Numbered {
    let needed: BTreeSet<NextHop> = groups.iter().flat_map(|group| &group.members).copied().collect();
    let mut singles = BTreeMap::new();
    for (id, hop) in known.singles.iter().filter(|(_, hop)| needed.contains(hop)) {
        singles.entry(*hop).or_insert(*id);
    }
    let mut new = Vec::new();
    for hop in needed {
        singles.entry(hop).or_insert_with(|| {
            let id = numbers.take();
            new.push((id, hop));
            id
        });
    }
    (singles, new)
}

/// Which desired group takes over which observed one.
struct Inheritance<'a> {
    groups: &'a [Group],
    wanted: &'a Wanted,
    now: &'a Now,
    /// Observed groups of the right kind that nobody has taken over yet, with their content (`None`
    /// if that is not all ours).
    free: BTreeMap<NextHopId, Option<Vec<NextHop>>>,
    /// The prefixes of the routes that use each observed group.
    used_by: BTreeMap<NextHopId, Vec<Prefix>>,
    heirs: Vec<Option<NextHopId>>,
}

impl<'a> Inheritance<'a> {
    fn new(
        groups: &'a [Group],
        kind: GroupKind,
        known: &Known<'_>,
        wanted: &'a Wanted,
        now: &'a Now,
    ) -> Self {
        let content = |group: &ObservedGroup| {
            let members: Option<BTreeSet<NextHop>> =
                group.members.iter().map(|id| known.singles.get(id).copied()).collect();
            members.map(|members| members.into_iter().collect())
        };
        let of_kind = known.groups.iter().filter(|(_, group)| group.kind == kind);
        let mut used_by: BTreeMap<NextHopId, Vec<Prefix>> = BTreeMap::new();
        for ((prefix, _), route) in now.iter() {
            if let Hop::Group(id) = route.hop {
                used_by.entry(id).or_default().push(*prefix);
            }
        }
        Inheritance {
            groups,
            wanted,
            now,
            free: of_kind.map(|(id, group)| (*id, content(group))).collect(),
            used_by,
            heirs: vec![None; groups.len()],
        }
    }

    fn settle(mut self) -> Vec<Option<NextHopId>> {
        self.take_over_equals();
        if !self.free.is_empty() && self.heirs.contains(&None) {
            self.take_over_in_place();
        }
        self.heirs
    }

    fn prefixes(&self, id: NextHopId) -> &[Prefix] {
        self.used_by.get(&id).map_or(&[], Vec::as_slice)
    }

    /// How many routes stay as they are if the desired group at `place` takes over `id`.
    fn routes_kept(&self, place: usize, id: NextHopId) -> usize {
        self.prefixes(id).iter().filter(|prefix| self.group_of(prefix) == Some(place)).count()
    }

    fn group_of(&self, prefix: &Prefix) -> Option<usize> {
        match self.wanted.get(prefix)?.hop {
            Hop::Group(place) => Some(place),
            _ => None,
        }
    }

    /// Of `ids`, the one that keeps most routes as they are; the lowest of those.
    fn best(&self, place: usize, ids: impl Iterator<Item = NextHopId>) -> Option<NextHopId> {
        ids.max_by_key(|id| (self.routes_kept(place, *id), std::cmp::Reverse(*id)))
    }

    fn assign(&mut self, place: usize, id: NextHopId) {
        self.heirs[place] = Some(id);
        self.free.remove(&id);
    }

    /// A group with the right content is always right: no packet's path changes.
    fn take_over_equals(&mut self) {
        for (place, group) in self.groups.iter().enumerate() {
            let same = |content: &Option<Vec<NextHop>>| content.as_ref() == Some(&group.members);
            let equals = self.free.iter().filter(|(_, content)| same(content)).map(|(id, _)| *id);
            if let Some(id) = self.best(place, equals) {
                self.assign(place, id);
            }
        }
    }

    fn take_over_in_place(&mut self) {
        let added: Vec<(Prefix, Option<usize>)> = self.added();
        let mut candidates: BTreeMap<usize, Vec<NextHopId>> = BTreeMap::new();
        for id in self.free.keys() {
            if let Some(place) = self.safe_heir(*id, &added) {
                candidates.entry(place).or_default().push(*id);
            }
        }
        for (place, ids) in candidates {
            if let Some(id) = self.best(place, ids.into_iter()) {
                self.assign(place, id);
            }
        }
    }

    /// Prefixes that will have a route and have none, with the group that they will use.
    fn added(&self) -> Vec<(Prefix, Option<usize>)> {
        let mut now = self.now.iter().map(|((prefix, _), _)| prefix).peekable();
        let mut added = Vec::new();
        for (prefix, route) in self.wanted.iter() {
            while now.next_if(|other| *other < prefix).is_some() {}
            if now.peek() != Some(&prefix) {
                added.push((*prefix, if let Hop::Group(place) = route.hop { Some(place) } else { None }));
            }
        }
        added
    }

    /// The desired group that can take over `id` although the content differs. Every packet that
    /// meets `id` now must meet that group in the end, or no route at all; then the change of `id`
    /// is the very step from its old to its new path:
    ///
    /// * each prefix that uses `id` leads to that one group, or to none if it has no route left and
    ///   no shorter prefix covers it that leads elsewhere;
    /// * no new route inside of those prefixes leads elsewhere.
    fn safe_heir(&self, id: NextHopId, added: &[(Prefix, Option<usize>)]) -> Option<usize> {
        let prefixes = self.prefixes(id);
        let heir = prefixes.iter().find_map(|prefix| self.group_of(prefix))?;
        if self.heirs[heir].is_some() {
            return None;
        }
        let leads_to_heir = |prefix: &Prefix| match self.wanted.get(prefix) {
            Some(route) => route.hop == Hop::Group(heir),
            None => self.cover_of(prefix).is_none_or(|route| route.hop == Hop::Group(heir)),
        };
        let inside: PrefixSet = prefixes.iter().copied().collect();
        let elsewhere = |(prefix, group): &(Prefix, Option<usize>)| {
            *group != Some(heir) && inside.covering(prefix).is_some()
        };
        (prefixes.iter().all(leads_to_heir) && !added.iter().any(elsewhere)).then_some(heir)
    }

    /// The desired route to the longest prefix that covers `prefix`.
    fn cover_of(&self, prefix: &Prefix) -> Option<&Route<usize>> {
        let shorter = (0..prefix.len()).rev();
        shorter
            .filter_map(|len| Prefix::containing(prefix.first(), len))
            .find_map(|cover| self.wanted.get(&cover))
    }
}
