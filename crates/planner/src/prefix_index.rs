//! Prefixes that may overlap, each with its owners, searched for what overlaps a given one without
//! walking the rest.

use std::collections::BTreeMap;

use causeway_model::{Family, Prefix};

/// Prefixes and their owners. A search costs one look-up for each prefix length present, and one step
/// for each hit.
pub(crate) struct PrefixIndex<T> {
    owners: BTreeMap<Prefix, Vec<T>>,
    /// How many prefixes there are of each length.
    lengths: BTreeMap<(Family, u8), u32>,
}

impl<T> Default for PrefixIndex<T> {
    fn default() -> Self {
        PrefixIndex { owners: BTreeMap::new(), lengths: BTreeMap::new() }
    }
}

impl<T: Ord> PrefixIndex<T> {
    /// Adds an owner of `prefix`. Does nothing if it is one already.
    pub fn insert(&mut self, prefix: Prefix, owner: T) {
        let owners = self.owners.entry(prefix).or_insert_with(|| {
            *self.lengths.entry((prefix.family(), prefix.len())).or_default() += 1;
            Vec::with_capacity(1)
        });
        if let Err(place) = owners.binary_search(&owner) {
            owners.insert(place, owner);
        }
    }

    /// Removes an owner of `prefix`.
    pub fn remove(&mut self, prefix: Prefix, owner: &T) {
        let Some(owners) = self.owners.get_mut(&prefix) else { return };
        owners.retain(|other| other != owner);
        if !owners.is_empty() {
            return;
        }
        self.owners.remove(&prefix);
        let key = (prefix.family(), prefix.len());
        if let Some(count) = self.lengths.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&key);
            }
        }
    }

    fn within(&self, prefix: &Prefix) -> impl Iterator<Item = (&Prefix, &Vec<T>)> {
        let last = prefix.last();
        self.owners.range(*prefix..).take_while(move |(member, _)| member.first() <= last)
    }

    /// Every member that shares an address with `prefix`, with each of its owners: the shorter ones
    /// first, then those inside in order.
    pub fn overlapping(&self, prefix: &Prefix) -> impl Iterator<Item = (Prefix, &T)> {
        let (family, len, first) = (prefix.family(), prefix.len(), prefix.first());
        let around = self
            .lengths
            .range((family, 0)..(family, len))
            .filter_map(move |((_, shorter), _)| Prefix::containing(first, *shorter))
            .filter_map(|candidate| self.owners.get_key_value(&candidate));
        around.chain(self.within(prefix)).flat_map(|(member, owners)| owners.iter().map(|o| (*member, o)))
    }
}

/// The lowest sub-prefix of `range` with length `len` that nothing occupies. `occupant` gives any
/// prefix that overlaps the candidate, or nothing if it is free. The cost follows from the number of
/// occupants, not from the size of the range.
pub(crate) fn lowest_free(
    range: &Prefix,
    len: u8,
    occupant: impl Fn(&Prefix) -> Option<Prefix>,
) -> Option<Prefix> {
    if len < range.len() || len > range.family().bits() {
        return None;
    }
    let size = 1u128.checked_shl(u32::from(range.family().bits() - len))?;
    let mut offset = 0u128;
    loop {
        let candidate = Prefix::containing(range.nth(offset)?, len)?;
        let Some(occupied) = occupant(&candidate) else { return Some(candidate) };
        // An occupant that reaches over the whole range leaves no room behind it.
        let end = range.index_of(occupied.last())?;
        offset = end.checked_add(1)?.checked_next_multiple_of(size)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn overlap_is_found_around_and_inside_and_nowhere_else() {
        let mut index = PrefixIndex::default();
        for text in ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.2.0.0/16", "fd00::/8"] {
            index.insert(p(text), text);
        }
        let hits = |text: &str| index.overlapping(&p(text)).map(|(_, owner)| *owner).collect::<Vec<_>>();
        assert_eq!(hits("10.1.0.0/17"), ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24"]);
        assert_eq!(hits("0.0.0.0/0").len(), 4);
        assert_eq!(hits("11.0.0.0/8"), Vec::<&str>::new());
        assert_eq!(hits("fd00::1/128"), ["fd00::/8"]);
    }

    #[test]
    fn a_prefix_goes_with_its_last_owner() {
        let mut index = PrefixIndex::default();
        index.insert(p("10.0.0.0/8"), 1);
        index.insert(p("10.0.0.0/8"), 2);
        index.remove(p("10.0.0.0/8"), &1);
        assert_eq!(index.overlapping(&p("10.1.0.0/16")).count(), 1);
        index.remove(p("10.0.0.0/8"), &2);
        assert_eq!(index.overlapping(&p("10.1.0.0/16")).count(), 0);
    }

    #[test]
    fn the_lowest_free_prefix_skips_occupants_of_any_size() {
        let used = [p("10.0.0.0/24"), p("10.0.4.0/22")];
        let find = |range: &str, len| {
            lowest_free(&p(range), len, |c| used.iter().find(|u| u.overlaps(c)).copied())
                .map(|found| found.to_string())
        };
        assert_eq!(find("10.0.0.0/20", 24).as_deref(), Some("10.0.1.0/24"));
        assert_eq!(find("10.0.0.0/20", 22).as_deref(), Some("10.0.8.0/22"));
        assert_eq!(find("10.0.0.0/21", 22), None);
        assert_eq!(find("10.0.0.0/24", 22), None);
        assert_eq!(find("10.0.0.0/24", 25), None);
    }
}
