//! IP families, and values held once per family.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// An IP family. Written `IPv4` and `IPv6`, as Kubernetes does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    #[serde(rename = "IPv4")]
    V4,
    /// IPv6.
    #[serde(rename = "IPv6")]
    V6,
}

impl Family {
    /// Both families, IPv4 first.
    pub const BOTH: [Family; 2] = [Family::V4, Family::V6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// Length of an address in bits: 32 or 128.
    pub fn bits(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

/// A set of IP families.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Families(u8);

impl Families {
    /// No family.
    pub const NONE: Families = Families(0);
    /// IPv4 and IPv6.
    pub const DUAL: Families = Families(3);

    fn bit(family: Family) -> u8 {
        match family {
            Family::V4 => 1,
            Family::V6 => 2,
        }
    }

    /// Whether `family` is a member.
    pub fn contains(self, family: Family) -> bool {
        self.0 & Self::bit(family) != 0
    }

    /// The families in both sets.
    #[must_use]
    pub fn intersection(self, other: Families) -> Families {
        Families(self.0 & other.0)
    }

    /// The families in either set.
    #[must_use]
    pub fn union(self, other: Families) -> Families {
        Families(self.0 | other.0)
    }

    /// Whether the set has no member.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = Family> {
        Family::BOTH.into_iter().filter(move |f| self.contains(*f))
    }
}

impl FromIterator<Family> for Families {
    fn from_iter<I: IntoIterator<Item = Family>>(families: I) -> Self {
        Families(families.into_iter().fold(0, |set, family| set | Self::bit(family)))
    }
}

impl fmt::Debug for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// One value for each family.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct DualStack<T> {
    /// The IPv4 value.
    pub v4: T,
    /// The IPv6 value.
    pub v6: T,
}

impl<T> DualStack<T> {
    /// Makes the value of each family with `make`.
    pub fn from_fn(mut make: impl FnMut(Family) -> T) -> Self {
        DualStack { v4: make(Family::V4), v6: make(Family::V6) }
    }

    /// The value of `family`.
    pub fn get(&self, family: Family) -> &T {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    /// The value of `family`, to change.
    pub fn get_mut(&mut self, family: Family) -> &mut T {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    /// Both values with their families, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = (Family, &T)> {
        Family::BOTH.into_iter().map(move |family| (family, self.get(family)))
    }

    /// The same shape with every value mapped.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> DualStack<U> {
        DualStack { v4: f(self.v4), v6: f(self.v6) }
    }
}

impl DualStack<Option<IpAddr>> {
    /// The first address of each family among `addresses`.
    pub fn first_of_each(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut found = Self::default();
        for address in addresses {
            found.get_mut(Family::of(address)).get_or_insert(address);
        }
        found
    }

    /// The addresses present, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        [self.v4, self.v6].into_iter().flatten()
    }

    /// The families present.
    pub fn families(&self) -> Families {
        self.addresses().map(Family::of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_of_each_family_wins() {
        let given = ["192.0.2.1", "2001:db8::1", "192.0.2.2"].map(|a| a.parse().unwrap());
        let found = DualStack::first_of_each(given);
        assert_eq!(found.addresses().collect::<Vec<_>>(), given[..2]);
        assert_eq!(found.families(), Families::DUAL);
    }

    #[test]
    fn families_intersect_and_unite() {
        let v4: Families = [Family::V4].into_iter().collect();
        let v6: Families = [Family::V6].into_iter().collect();
        assert!(v4.intersection(v6).is_empty());
        assert_eq!(v4.union(v6), Families::DUAL);
        assert!(!v4.contains(Family::V6));
    }
}
