//! The fewest prefixes: joined where they are whole, split where an address is taken out.

use std::net::IpAddr;

use causeway_model::{Prefix, PrefixSet};

/// The fewest prefixes that cover just the same addresses, sorted.
pub(crate) fn aggregated(prefixes: impl IntoIterator<Item = Prefix>) -> Vec<Prefix> {
    // Sorted and disjoint, so that two halves of one prefix are neighbours.
    let disjoint: PrefixSet = prefixes.into_iter().collect();
    let mut done: Vec<Prefix> = Vec::new();
    for prefix in disjoint.as_slice() {
        let mut last = *prefix;
        while let Some(whole) = done.last().and_then(|before| joined(before, &last)) {
            done.pop();
            last = whole;
        }
        done.push(last);
    }
    done
}

/// The prefix that two different ones are the halves of.
fn joined(one: &Prefix, other: &Prefix) -> Option<Prefix> {
    let whole = Prefix::containing(one.first(), one.len().checked_sub(1)?)?;
    (one.len() == other.len() && whole.covers(other)).then_some(whole)
}

/// The fewest prefixes that cover what `prefixes` do, without `address`. Both are sorted and disjoint.
pub(crate) fn without(prefixes: &[Prefix], address: IpAddr) -> Vec<Prefix> {
    let split = |prefix: &Prefix| {
        if prefix.contains(address) { rest(prefix, address) } else { vec![*prefix] }
    };
    prefixes.iter().flat_map(split).collect()
}

/// Of each length from the next one on: the half that the address is not in.
fn rest(prefix: &Prefix, address: IpAddr) -> Vec<Prefix> {
    let lens = prefix.len()..prefix.family().bits();
    let mut halves: Vec<Prefix> = lens
        .filter_map(|len| Prefix::containing(address, len))
        .filter_map(|whole| whole.subnets(whole.len() + 1).find(|half| !half.contains(address)))
        .collect();
    halves.sort_unstable();
    halves
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use causeway_model::Family;
    use proptest::prelude::*;

    use super::*;

    fn p(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    /// Joins any two halves and drops anything covered until neither is there.
    fn naive(prefixes: &[Prefix]) -> Vec<Prefix> {
        let mut all: BTreeSet<Prefix> = prefixes.iter().copied().collect();
        loop {
            let covered =
                all.iter().find(|one| all.iter().any(|other| other != *one && other.covers(one))).copied();
            if let Some(covered) = covered {
                all.remove(&covered);
                continue;
            }
            let halves = all.iter().find_map(|one| {
                let other = all.iter().find(|other| *other != one && joined(one, other).is_some())?;
                Some((*one, *other, joined(one, other)?))
            });
            let Some((one, other, whole)) = halves else { return all.into_iter().collect() };
            all.remove(&one);
            all.remove(&other);
            all.insert(whole);
        }
    }

    /// Prefixes that often touch: of a /26 and of a /122, and some that cover all of a family.
    fn near() -> impl Strategy<Value = Prefix> {
        let v4 = (0u32..64, 24u8..=32)
            .prop_map(|(at, len)| Prefix::containing(IpAddr::V4((0x0a01_0000 + at).into()), len).unwrap());
        let v6 = (0u128..64, 120u8..=128).prop_map(|(at, len)| {
            Prefix::containing(IpAddr::V6(((0xfd00 << 112) + at).into()), len).unwrap()
        });
        prop_oneof![20 => v4, 20 => v6, 1 => prop::sample::select(vec![p("0.0.0.0/0"), p("::/0"), p("::/1"), p("8000::/1")])]
    }

    proptest! {
        #[test]
        fn aggregation_is_what_the_naive_one_finds(prefixes in prop::collection::vec(near(), 0..24)) {
            prop_assert_eq!(aggregated(prefixes.clone()), naive(&prefixes));
        }

        #[test]
        fn just_the_address_is_taken_out(prefixes in prop::collection::vec(near(), 0..12), at in 0u32..64) {
            let address = IpAddr::V4((0x0a01_0000 + at).into());
            let all = aggregated(prefixes);
            let rest = without(&all, address);
            prop_assert!(!rest.iter().any(|prefix| prefix.contains(address)));
            let back = rest.iter().copied().chain(all.iter().any(|prefix| prefix.contains(address)).then(|| Prefix::host(address)));
            prop_assert_eq!(aggregated(back), all);
            prop_assert_eq!(aggregated(rest.clone()), rest, "the fewest");
        }
    }

    #[test]
    fn everything_of_a_family_can_be_joined_and_split() {
        assert_eq!(aggregated([p("8000::/1"), p("::/1"), p("0.0.0.0/0")]), [p("0.0.0.0/0"), p("::/0")]);
        let rest = without(&[p("0.0.0.0/0")], "255.255.255.255".parse().unwrap());
        assert_eq!(rest.len(), usize::from(Family::V4.bits()));
        assert_eq!(without(&[p("10.0.0.1/32")], "10.0.0.1".parse().unwrap()), []);
    }

    #[test]
    fn many_prefixes_are_joined_in_one_pass() {
        // Each second half first, so that nothing joins before the end.
        let hosts: Vec<Prefix> = p("10.0.0.0/14").subnets(32).collect();
        let (even, odd) = (hosts.iter().step_by(2), hosts.iter().skip(1).step_by(2));
        assert_eq!(aggregated(odd.chain(even).copied()), [p("10.0.0.0/14")]);
    }
}
