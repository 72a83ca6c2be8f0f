//! A sorted table: the compact form in which large states are held and compared.

use std::cmp::Ordering;

/// Entries sorted by key, one per key. At 100,000 peers this takes half of a tree's memory, and two
/// tables are compared in one walk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table<K, V>(Vec<(K, V)>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Table(Vec::new())
    }
}

/// What stands under one key in the left and the right table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side<'a, V, W> {
    /// Only left.
    Left(&'a V),
    /// Only right.
    Right(&'a W),
    /// In both.
    Both(&'a V, &'a W),
}

impl<K: Ord, V> Table<K, V> {
    /// Sorts `entries`; of several with one key the first stays and the others are returned.
    pub fn from_entries(mut entries: Vec<(K, V)>) -> (Self, Vec<(K, V)>) {
        sort(&mut entries);
        if entries.windows(2).all(|w| w[0].0 != w[1].0) {
            entries.shrink_to_fit();
            return (Table(entries), Vec::new());
        }
        let mut kept: Vec<(K, V)> = Vec::with_capacity(entries.len());
        let mut extra = Vec::new();
        for entry in entries {
            match kept.last() {
                Some(last) if last.0 == entry.0 => extra.push(entry),
                _ => kept.push(entry),
            }
        }
        (Table(kept), extra)
    }

    /// The value under `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        let at = self.0.binary_search_by(|entry| entry.0.cmp(key)).ok()?;
        Some(&self.0[at].1)
    }

    /// All entries in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&K, &V)> {
        self.0.iter().map(|(k, v)| (k, v))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Walks this table and `other` together, in key order.
    pub fn zip<'a, W>(&'a self, other: &'a Table<K, W>) -> impl Iterator<Item = (&'a K, Side<'a, V, W>)> {
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        std::iter::from_fn(move || {
            let order = match (left.peek(), right.peek()) {
                (Some((l, _)), Some((r, _))) => l.cmp(r),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return None,
            };
            match order {
                Ordering::Less => left.next().map(|(k, v)| (k, Side::Left(v))),
                Ordering::Greater => right.next().map(|(k, w)| (k, Side::Right(w))),
                Ordering::Equal => {
                    let (k, v) = left.next()?;
                    right.next().map(|(_, w)| (k, Side::Both(v, w)))
                }
            }
        })
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Table<K, V> {
    /// Collects entries; of several with one key the first stays.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Table::from_entries(entries.into_iter().collect()).0
    }
}

/// Sorts by key and leaves entries of one key in their order, like `sort_by`, which however takes as
/// much memory as the entries themselves; this takes a number for each.
fn sort<K: Ord, V>(entries: &mut [(K, V)]) {
    if entries.is_sorted_by(|a, b| a.0 <= b.0) {
        return;
    }
    // Which entry belongs into each place.
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_unstable_by(|a, b| entries[*a].0.cmp(&entries[*b].0).then(a.cmp(b)));
    for start in 0..order.len() {
        let mut place = start;
        loop {
            let from = std::mem::replace(&mut order[place], place);
            if from == start {
                break;
            }
            entries.swap(place, from);
            place = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_keys_stays_and_the_rest_is_returned() {
        let (table, extra) = Table::from_entries(vec![(2, 'b'), (1, 'a'), (2, 'c')]);
        assert_eq!(table.iter().collect::<Vec<_>>(), [(&1, &'a'), (&2, &'b')]);
        assert_eq!(extra, [(2, 'c')]);
        assert_eq!(table.get(&2), Some(&'b'));
        assert_eq!(table.get(&3), None);
    }

    #[test]
    fn entries_are_sorted_as_a_stable_sort_does() {
        for seed in 0..200u32 {
            let key = |i: u32| {
                (i.wrapping_mul(2_654_435_761).wrapping_add(seed.wrapping_mul(40_503)) >> 7) % (seed + 1)
            };
            let mut entries: Vec<(u32, u32)> = (0..seed).map(|i| (key(i), i)).collect();
            let mut expected = entries.clone();
            expected.sort_by_key(|entry| entry.0);
            sort(&mut entries);
            assert_eq!(entries, expected);
        }
    }

    #[test]
    fn two_tables_are_walked_together() {
        let left: Table<u8, char> = [(1, 'a'), (2, 'b')].into_iter().collect();
        let right: Table<u8, char> = [(2, 'B'), (3, 'c')].into_iter().collect();
        let walk: Vec<_> = left.zip(&right).collect();
        assert_eq!(walk, [(&1, Side::Left(&'a')), (&2, Side::Both(&'b', &'B')), (&3, Side::Right(&'c'))]);
    }
}
