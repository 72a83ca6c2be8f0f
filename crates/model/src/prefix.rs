//! IP prefixes in canonical form, and the arithmetic on them.

use std::cmp::Ordering;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Family;

/// An IPv4 or IPv6 prefix without host bits, written `10.1.0.0/16` or `fd00:1::/64`.
///
/// Prefixes order by family, then address, then length, so that a covering prefix comes right
/// before all that it covers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix(IpNetwork);

/// Why a text is no [`Prefix`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidPrefix {
    /// Not `ADDRESS/LENGTH`.
    #[error("\"{0}\" is not a CIDR; write ADDRESS/LENGTH, for example 10.1.0.0/16 or fd00:1::/64")]
    Syntax(String),
    /// An address without a length.
    #[error("\"{text}\" has no prefix length; write {text}/{bits} for this one address")]
    NoLength {
        /// What was given.
        text: String,
        /// The length of a host prefix in this family.
        bits: u8,
    },
    /// Bits are set behind the prefix length.
    #[error("\"{text}\" has host bits set; the prefix is {canonical}")]
    HostBits {
        /// What was given.
        text: String,
        /// The same prefix without host bits.
        canonical: Prefix,
    },
}

fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

fn from_bits(family: Family, bits: u128) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from(bits as u32)),
        Family::V6 => IpAddr::V6(Ipv6Addr::from(bits)),
    }
}

impl Prefix {
    /// The prefix of length `len` that holds `address`; `None` if `len` is longer than the family's
    /// addresses.
    pub fn containing(address: IpAddr, len: u8) -> Option<Prefix> {
        let family = Family::of(address);
        if len > family.bits() {
            return None;
        }
        let host = family.bits() - len;
        let bits = if host == 128 { 0 } else { to_bits(address) >> host << host };
        IpNetwork::new(from_bits(family, bits), len).ok().map(Prefix)
    }

    /// The prefix of one address: /32 or /128.
    pub fn host(address: IpAddr) -> Prefix {
        Prefix(IpNetwork::from(address))
    }

    /// The family.
    pub fn family(&self) -> Family {
        Family::of(self.0.ip())
    }

    /// The prefix length in bits.
    #[expect(clippy::len_without_is_empty, reason = "a prefix length, not a count of items")]
    pub fn len(&self) -> u8 {
        self.0.prefix()
    }

    /// The first address, which is also the written one.
    pub fn first(&self) -> IpAddr {
        self.0.ip()
    }

    /// The last address.
    pub fn last(&self) -> IpAddr {
        from_bits(self.family(), to_bits(self.first()) | self.host_mask())
    }

    fn host_mask(&self) -> u128 {
        let host = self.family().bits() - self.len();
        if host == 128 { u128::MAX } else { (1u128 << host) - 1 }
    }

    /// The netmask, `255.255.0.0` for a /16.
    pub fn mask(&self) -> IpAddr {
        let all = if self.family() == Family::V4 { u128::from(u32::MAX) } else { u128::MAX };
        from_bits(self.family(), all & !self.host_mask())
    }

    /// The address `index` places after the first one; `None` behind the last.
    pub fn nth(&self, index: u128) -> Option<IpAddr> {
        (index <= self.host_mask()).then(|| from_bits(self.family(), to_bits(self.first()) + index))
    }

    /// The place of `address` in this prefix, counted from 0; `None` outside.
    pub fn index_of(&self, address: IpAddr) -> Option<u128> {
        self.contains(address).then(|| to_bits(address) - to_bits(self.first()))
    }

    /// Whether `address` lies in this prefix.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(address)
    }

    /// Whether every address of `other` lies in this prefix.
    pub fn covers(&self, other: &Prefix) -> bool {
        self.len() <= other.len() && self.contains(other.first())
    }

    /// Whether any address lies in both.
    pub fn overlaps(&self, other: &Prefix) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The sub-prefixes of length `len`, in order; none if `len` is shorter than this prefix.
    pub fn subnets(&self, len: u8) -> impl Iterator<Item = Prefix> + use<> {
        let family = self.family();
        let start = to_bits(self.first());
        let fits = len >= self.len() && len <= family.bits();
        let count = if !fits { 0 } else { 1u128.checked_shl(u32::from(len - self.len())).unwrap_or(0) };
        let host = u32::from(family.bits().saturating_sub(len));
        (0..count).filter_map(move |i| {
            let offset = i.checked_shl(host).unwrap_or(0);
            Prefix::containing(from_bits(family, start + offset), len)
        })
    }

    /// Where `address` of `self` stands in `target`, translated 1:1 by prefix: the network bits of
    /// `target`, the host bits of `address`. `None` if `address` lies outside `self`, or the two
    /// differ in family or length.
    pub fn translate(&self, target: &Prefix, address: IpAddr) -> Option<IpAddr> {
        if self.family() != target.family() || self.len() != target.len() {
            return None;
        }
        self.index_of(address).and_then(|index| target.nth(index))
    }

    /// [`Prefix::translate`] for a prefix inside `self`.
    pub fn translate_prefix(&self, target: &Prefix, inner: &Prefix) -> Option<Prefix> {
        if !self.covers(inner) {
            return None;
        }
        Prefix::containing(self.translate(target, inner.first())?, inner.len())
    }
}

impl FromStr for Prefix {
    type Err = InvalidPrefix;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let syntax = || InvalidPrefix::Syntax(text.to_owned());
        let Some((address, len)) = text.split_once('/') else {
            return Err(match text.parse::<IpAddr>() {
                Ok(a) => InvalidPrefix::NoLength { text: text.to_owned(), bits: Family::of(a).bits() },
                Err(_) => syntax(),
            });
        };
        if len.is_empty()
            || !len.bytes().all(|b| b.is_ascii_digit())
            || (len.len() > 1 && len.starts_with('0'))
        {
            return Err(syntax());
        }
        let address: IpAddr = address.parse().map_err(|_| syntax())?;
        let len: u8 = len.parse().map_err(|_| syntax())?;
        let canonical = Prefix::containing(address, len).ok_or_else(syntax)?;
        if canonical.first() != address {
            return Err(InvalidPrefix::HostBits { text: text.to_owned(), canonical });
        }
        Ok(canonical)
    }
}

impl Ord for Prefix {
    fn cmp(&self, other: &Self) -> Ordering {
        self.first().cmp(&other.first()).then(self.len().cmp(&other.len()))
    }
}

impl PartialOrd for Prefix {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first(), self.len())
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn p(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn parsing_says_what_would_be_right() {
        let message = |text: &str| text.parse::<Prefix>().unwrap_err().to_string();
        assert_eq!(message("10.1.2.3/16"), "\"10.1.2.3/16\" has host bits set; the prefix is 10.1.0.0/16");
        assert_eq!(
            message("10.1.2.3"),
            "\"10.1.2.3\" has no prefix length; write 10.1.2.3/32 for this one address"
        );
        for bad in [
            "",
            "10.0.0.0/33",
            "fd00::/129",
            "10.0.0.0/",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "x/8",
            "10.0.0.0/8/8",
        ] {
            assert!(message(bad).contains("is not a CIDR"), "{bad}");
        }
    }

    #[test]
    fn the_default_route_covers_everything_of_its_family_only() {
        assert!(p("0.0.0.0/0").covers(&p("255.255.255.255/32")));
        assert!(!p("0.0.0.0/0").covers(&p("::/0")));
        assert!(p("::/0").covers(&p("fd00::/8")));
        assert_eq!(p("::/0").last(), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse::<IpAddr>().unwrap());
        assert_eq!(p("::/0").mask(), "::".parse::<IpAddr>().unwrap());
        assert_eq!(p("10.0.0.0/9").mask(), "255.128.0.0".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn subnets_are_cut_in_order() {
        assert_eq!(p("10.0.0.0/15").subnets(16).collect::<Vec<_>>(), [p("10.0.0.0/16"), p("10.1.0.0/16")]);
        assert_eq!(p("10.0.0.0/15").subnets(14).count(), 0);
        assert_eq!(p("10.0.0.0/15").subnets(33).count(), 0);
        assert_eq!(p("fd00::/64").subnets(66).last(), Some(p("fd00:0:0:0:c000::/66")));
    }

    #[test]
    fn a_node_prefix_is_translated_inside_its_clusters() {
        let (real, global) = (p("10.1.0.0/16"), p("100.64.0.0/16"));
        assert_eq!(real.translate_prefix(&global, &p("10.1.7.0/24")), Some(p("100.64.7.0/24")));
        assert_eq!(real.translate_prefix(&global, &p("10.2.7.0/24")), None);
        assert_eq!(real.translate(&p("100.64.0.0/17"), "10.1.0.1".parse().unwrap()), None);
    }

    #[test]
    fn a_covering_prefix_sorts_before_what_it_covers() {
        let mut all = [p("fd00::/8"), p("10.1.0.0/24"), p("10.1.0.0/16"), p("10.0.0.0/16")];
        all.sort();
        assert_eq!(all, [p("10.0.0.0/16"), p("10.1.0.0/16"), p("10.1.0.0/24"), p("fd00::/8")]);
    }

    fn any_prefix() -> impl Strategy<Value = Prefix> {
        prop_oneof![
            (any::<u32>(), 0..=32u8).prop_map(|(a, l)| Prefix::containing(IpAddr::V4(a.into()), l).unwrap()),
            (any::<u128>(), 0..=128u8)
                .prop_map(|(a, l)| Prefix::containing(IpAddr::V6(a.into()), l).unwrap()),
        ]
    }

    proptest! {
        #[test]
        fn text_round_trips(prefix in any_prefix()) {
            prop_assert_eq!(prefix.to_string().parse::<Prefix>().unwrap(), prefix);
        }

        #[test]
        fn first_and_last_are_the_ends(prefix in any_prefix()) {
            prop_assert!(prefix.contains(prefix.first()) && prefix.contains(prefix.last()));
            prop_assert_eq!(prefix.nth(prefix.index_of(prefix.last()).unwrap()), Some(prefix.last()));
        }

        #[test]
        fn overlap_is_symmetric_and_follows_from_the_ends(a in any_prefix(), b in any_prefix()) {
            prop_assert_eq!(a.overlaps(&b), b.overlaps(&a));
            let ends = a.family() == b.family() && a.first() <= b.last() && b.first() <= a.last();
            prop_assert_eq!(a.overlaps(&b), ends);
        }
    }
}
