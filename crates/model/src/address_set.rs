//! A set of disjoint prefixes: normalised, and searched by address or prefix.

use std::net::IpAddr;

use crate::Prefix;

/// Prefixes of both families, sorted, without one that another covers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PrefixSet(Vec<Prefix>);

impl PrefixSet {
    /// The members in order.
    pub fn as_slice(&self) -> &[Prefix] {
        &self.0
    }

    /// The member that holds `address`.
    pub fn find(&self, address: IpAddr) -> Option<Prefix> {
        self.covering(&Prefix::host(address))
    }

    /// The member that covers `prefix`.
    pub fn covering(&self, prefix: &Prefix) -> Option<Prefix> {
        let behind = self.0.partition_point(|member| member <= prefix);
        let candidate = *self.0.get(behind.checked_sub(1)?)?;
        candidate.covers(prefix).then_some(candidate)
    }

    /// The first member that shares an address with `prefix`.
    pub fn overlapping(&self, prefix: &Prefix) -> Option<Prefix> {
        self.covering(prefix).or_else(|| {
            let next = self.0.partition_point(|member| member < prefix);
            self.0.get(next).copied().filter(|member| prefix.covers(member))
        })
    }
}

impl FromIterator<Prefix> for PrefixSet {
    fn from_iter<I: IntoIterator<Item = Prefix>>(prefixes: I) -> Self {
        let mut sorted: Vec<Prefix> = prefixes.into_iter().collect();
        sorted.sort_unstable();
        sorted.dedup_by(|later, earlier| earlier.covers(later));
        PrefixSet(sorted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(texts: &[&str]) -> PrefixSet {
        texts.iter().map(|t| t.parse::<Prefix>().unwrap()).collect()
    }

    #[test]
    fn covered_members_vanish() {
        let set = set(&["10.1.2.0/24", "10.1.0.0/16", "10.1.0.0/16", "fd00::/64", "10.2.0.0/16"]);
        let shown: Vec<String> = set.as_slice().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.1.0.0/16", "10.2.0.0/16", "fd00::/64"]);
    }

    #[test]
    fn overlap_is_found_from_both_sides() {
        let set = set(&["10.1.0.0/16", "10.8.1.0/24"]);
        let find = |t: &str| set.overlapping(&t.parse().unwrap()).map(|p| p.to_string());
        assert_eq!(find("10.1.2.0/24").as_deref(), Some("10.1.0.0/16"));
        assert_eq!(find("10.8.0.0/16").as_deref(), Some("10.8.1.0/24"));
        assert_eq!(find("10.9.0.0/16"), None);
        assert_eq!(set.find("10.8.2.1".parse().unwrap()), None);
    }
}
