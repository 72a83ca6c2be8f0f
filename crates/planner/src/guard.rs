//! Which prefixes no cluster may announce, whoever it is: those that a route would break a node with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use causeway_model::{Prefix, PrefixSet, Reason};

use crate::claims::{Claims, Seniority};

/// Prefixes that stand for something else than hosts of a cluster.
///
/// 240.0.0.0/4 is allowed but for the broadcast address: clouds give it to pods and Linux routes it.
static RESERVED: LazyLock<Vec<(Prefix, &'static str)>> = LazyLock::new(|| {
    let v4 = |a, b, len, what| (IpAddr::V4(Ipv4Addr::new(a, b, 0, 0)), len, what);
    let v6 = |first, len, what| (IpAddr::V6(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0)), len, what);
    let mapped = IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0));
    [
        v4(0, 0, 8, "0.0.0.0/8 (this host)"),
        v4(127, 0, 8, "127.0.0.0/8 (loopback)"),
        v4(169, 254, 16, "169.254.0.0/16 (link-local)"),
        v4(224, 0, 4, "224.0.0.0/4 (multicast)"),
        (IpAddr::V4(Ipv4Addr::BROADCAST), 32, "255.255.255.255 (broadcast)"),
        v6(0, 127, "::/127 (unspecified address and loopback)"),
        (mapped, 96, "::ffff:0:0/96 (IPv4-mapped addresses)"),
        v6(0xfe80, 10, "fe80::/10 (link-local)"),
        v6(0xff00, 8, "ff00::/8 (multicast)"),
    ]
    .into_iter()
    .filter_map(|(address, len, what)| Some((Prefix::containing(address, len)?, what)))
    .collect()
});

/// What reserved range `prefix` reaches into.
pub(crate) fn reserved(prefix: &Prefix) -> Option<&'static str> {
    if prefix.len() == 0 {
        return Some("the default route");
    }
    RESERVED.iter().find(|(range, _)| range.overlaps(prefix)).map(|(_, what)| *what)
}

/// Why a prefix must not be announced.
pub(crate) struct Refusal {
    pub reason: Reason,
    pub message: String,
    /// A prefix that stands in the way; whatever overlaps it is refused as well.
    pub obstacle: Prefix,
}

/// What announced prefixes must keep clear of.
pub(crate) struct Guard<'a> {
    /// The overlay ranges, and blocks in use outside of them.
    pub overlay: &'a PrefixSet,
    /// Where tunnel packets are sent to.
    pub claims: &'a Claims,
}

impl Guard<'_> {
    /// Why a cluster of this seniority must not announce `prefix`; nothing if it may. Underlay addresses of
    /// younger clusters do not count: those give way ([`crate::addresses::Decision::refused`]), since any
    /// member could take a prefix away from the others by stating an address inside it.
    pub fn refusal(&self, prefix: &Prefix, of: Seniority<'_>) -> Option<Refusal> {
        if let Some(what) = reserved(prefix) {
            let message = format!("{prefix} reaches into {what}; state the CIDR that is really used");
            return Some(Refusal { reason: Reason::PrefixReserved, message, obstacle: *prefix });
        }
        if let Some(range) = self.overlay.overlapping(prefix) {
            let message = format!(
                "{prefix} overlaps the overlay range {range}; use another CIDR, or other overlay ranges in the ClusterSet"
            );
            return Some(Refusal { reason: Reason::PrefixInOverlayRange, message, obstacle: range });
        }
        let (address, node) = self.claims.first_within(prefix, of)?;
        let message = format!(
            "{prefix} covers {address}, the underlay address of node {node}, which tunnel packets are sent to; use a CIDR without it"
        );
        Some(Refusal { reason: Reason::PrefixCoversUnderlay, message, obstacle: Prefix::host(address) })
    }

    /// Something that stands in the way of `prefix`, whoever would announce it.
    pub fn obstacle(&self, prefix: &Prefix) -> Option<Prefix> {
        if reserved(prefix).is_some() {
            return Some(*prefix);
        }
        let claimed = || self.claims.within(prefix).next().map(|(address, _)| Prefix::host(address));
        self.overlay.overlapping(prefix).or_else(claimed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ranges_are_refused_from_inside_and_outside() {
        let what = |text: &str| reserved(&text.parse().unwrap());
        for bad in [
            "0.0.0.0/0",
            "128.0.0.0/1",
            "0.1.0.0/16",
            "127.0.0.1/32",
            "169.254.1.0/24",
            "239.0.0.0/8",
            "255.255.255.0/24",
            "::/0",
            "::1/128",
            "::ffff:10.0.0.0/104",
            "fe80::/64",
            "ff02::/16",
            "8000::/1",
        ] {
            assert!(what(bad).is_some(), "{bad}");
        }
        for good in ["10.0.0.0/8", "240.0.0.0/8", "1.0.0.0/8", "fd00::/8", "2001:db8::/32", "64:ff9b::/96"] {
            assert_eq!(what(good), None, "{good}");
        }
    }
}
