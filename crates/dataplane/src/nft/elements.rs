//! What the kernel says of sets and their elements, read without trust, as [`super::decode`] reads the rest.

use std::net::IpAddr;

use causeway_model::{Family, Mac, Prefix};

use super::counters::Received;
use super::decode::{expression, find, head, long, need, number};
use super::expression::{MAC_LENGTH, PADDED_MAC};
use super::ruleset::{Elements, LEASE, MOST_FLOWS, Origin, SetKind, TableKind};
use super::uapi::*;
use crate::netlink::wire::{Attribute, Attributes, Malformed};

/// Reads a set: its name, and the family and kind of its elements if it is one that we make.
///
/// # Errors
/// [`Malformed`].
pub fn set(payload: &[u8]) -> Result<(String, Option<(Family, SetKind)>), Malformed> {
    let (_, attributes) = head(payload)?;
    let key = number(attributes, NFTA_SET_KEY_TYPE)?;
    // Of a concatenation of four, the first part and the last three.
    let (first, others) = (key >> 18, key & 0x3_ffff);
    // Of a concatenation of two, its first part and its second.
    let (address, second) = match (first, key >> 6) {
        (0, 0) => (key, None),
        (0, address) => (address, Some(key & 0x3f)),
        _ => (first, None),
    };
    let is_flow = first != 0 && others == (first << 6 | TYPE_INET_PROTOCOL) << 6 | TYPE_INTEGER;
    let family = match address {
        TYPE_IPADDR => Some(Family::V4),
        TYPE_IP6ADDR => Some(Family::V6),
        _ => None,
    };
    const RANGES: u32 = NFT_SET_INTERVAL | NFT_SET_CONCAT;
    const LEARNED: u32 = NFT_SET_MAP | NFT_SET_TIMEOUT | NFT_SET_EVAL;
    let kind = match (number(attributes, NFTA_SET_FLAGS)?, second) {
        (LEARNED, _) if is_flow && is_as_we_learn(attributes)? => Some(SetKind::Flows),
        _ if first != 0 => None,
        (0, None) => Some(SetKind::Addresses),
        (NFT_SET_INTERVAL, None) => Some(SetKind::Prefixes),
        (0, Some(TYPE_INTEGER)) => Some(SetKind::Vteps),
        (RANGES, Some(TYPE_ETHERADDR)) if counts(attributes)? => Some(SetKind::Origins),
        _ => None,
    };
    let name = need(attributes, NFTA_SET_NAME)?.text().to_owned();
    Ok((name, family.zip(kind)))
}

/// Whether a map of flows leads to MACs, takes as many and keeps them as long as ours.
fn is_as_we_learn(set: Attributes<'_>) -> Result<bool, Malformed> {
    let size = find(set, NFTA_SET_DESC)?.map(|description| number(description.nested(), NFTA_SET_DESC_SIZE));
    let lease = find(set, NFTA_SET_TIMEOUT)?.map(|_| long(set, NFTA_SET_TIMEOUT)).transpose()?;
    let to = (number(set, NFTA_SET_DATA_TYPE)?, number(set, NFTA_SET_DATA_LEN)?);
    Ok(size.transpose()? == Some(MOST_FLOWS)
        && lease == Some(LEASE.as_millis() as u64)
        && to == (TYPE_ETHERADDR, MAC_LENGTH))
}

/// Whether each element of the set has a counter, and nothing else of its own.
fn counts(set: Attributes<'_>) -> Result<bool, Malformed> {
    let each = find(set, NFTA_SET_EXPR)?.map(expression).transpose()?;
    Ok(each.is_some_and(|(name, _)| name == "counter"))
}

/// An element as it stands in a set.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RawElement {
    /// An address, or where an interval of them begins or ends.
    Address(IpAddr, Mark),
    /// An address and a MAC.
    Pair(IpAddr, Mac),
    /// From an address and a MAC to others. Rare, so that it may not make the others larger.
    Range(Box<[(IpAddr, Mac); 2]>),
}

/// Where an interval ends sorts before where the next one begins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Mark {
    End,
    Start,
}

/// Reads a part of the list of a set's elements.
///
/// # Errors
/// [`Malformed`].
pub fn elements(payload: &[u8], into: &mut Vec<RawElement>) -> Result<(), Malformed> {
    each(payload, |item| {
        into.push(element(item)?);
        Ok(())
    })
}

/// Reads a part of the list of a set of [`SetKind::Origins`]: those that we write, with what each has counted.
///
/// # Errors
/// [`Malformed`].
pub fn counted(table: TableKind, payload: &[u8]) -> Result<Vec<Received>, Malformed> {
    let mut counted = Vec::new();
    each(payload, |item| {
        let counter = find(item, NFTA_SET_ELEM_EXPR)?.map(expression).transpose()?;
        let Some(("counter", counter)) = counter else { return Ok(()) };
        let (packets, bytes) = (long(counter, NFTA_COUNTER_PACKETS)?, long(counter, NFTA_COUNTER_BYTES)?);
        counted.extend(origin(&element(item)?).map(|origin| Received { table, origin, packets, bytes }));
        Ok(())
    })?;
    Ok(counted)
}

fn each(
    payload: &[u8],
    mut read: impl FnMut(Attributes<'_>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let (_, attributes) = head(payload)?;
    let Some(list) = find(attributes, NFTA_SET_ELEM_LIST_ELEMENTS)? else {
        return Ok(());
    };
    for item in list.nested() {
        read(item?.nested())?;
    }
    Ok(())
}

fn element(item: Attributes<'_>) -> Result<RawElement, Malformed> {
    let key = need(need(item, NFTA_SET_ELEM_KEY)?.nested(), NFTA_DATA_VALUE)?;
    let last = match find(item, NFTA_SET_ELEM_KEY_END)? {
        Some(last) => Some(need(last.nested(), NFTA_DATA_VALUE)?),
        None => None,
    };
    Ok(match (pair(&key), last) {
        (None, _) => {
            let end = number(item, NFTA_SET_ELEM_FLAGS)? & NFT_SET_ELEM_INTERVAL_END != 0;
            RawElement::Address(key.address()?, if end { Mark::End } else { Mark::Start })
        }
        (Some((address, mac)), None) => RawElement::Pair(address, mac),
        (Some(first), Some(last)) => {
            let wrong = Malformed::Length { kind: NFTA_SET_ELEM_KEY_END, length: last.value.len() };
            RawElement::Range(Box::new([first, pair(&last).ok_or(wrong)?]))
        }
    })
}

/// An address and a MAC behind it; `None` if it is no such key.
fn pair(key: &Attribute<'_>) -> Option<(IpAddr, Mac)> {
    let (address, mac) = key.value.split_at_checked(key.value.len().checked_sub(PADDED_MAC as usize)?)?;
    let address = Attribute { kind: key.kind, value: address }.address().ok()?;
    let mac = mac.first_chunk()?;
    Some((address, Mac(*mac)))
}

/// Sorts what a dump of elements said; `false` if it says one twice. A hash set that grows while it is
/// dumped shows some elements twice and others not at all (`nft_rhash_walk`).
pub fn sort_whole(raw: &mut [RawElement]) -> bool {
    raw.sort_unstable();
    raw.windows(2).all(|pair| pair[0] != pair[1])
}

/// Sorted elements in our terms; `None` if some are none that we write.
pub fn assemble(kind: SetKind, raw: &[RawElement]) -> Option<Elements> {
    let marked = |element: &RawElement| match element {
        RawElement::Address(address, mark) => Some((*address, *mark)),
        RawElement::Pair(..) | RawElement::Range(_) => None,
    };
    match kind {
        SetKind::Addresses => {
            let addresses = raw.iter().map(|element| marked(element).map(|(address, _)| address));
            addresses.collect::<Option<_>>().map(Elements::Addresses)
        }
        SetKind::Prefixes => prefixes(&raw.iter().map(marked).collect::<Option<Vec<_>>>()?),
        SetKind::Vteps => {
            let vtep = |element: &RawElement| match element {
                RawElement::Pair(address, mac) => Some((*address, *mac)),
                RawElement::Address(..) | RawElement::Range(_) => None,
            };
            raw.iter().map(vtep).collect::<Option<_>>().map(Elements::Vteps)
        }
        SetKind::Origins => {
            let mut origins: Vec<Origin> = raw.iter().map(origin).collect::<Option<_>>()?;
            origins.sort_unstable();
            Some(Elements::Origins(origins))
        }
        SetKind::Flows => Some(Elements::Flows),
    }
}

/// Intervals, each from where it begins up to just before it ends.
fn prefixes(raw: &[(IpAddr, Mark)]) -> Option<Elements> {
    let mut prefixes = Vec::with_capacity(raw.len() / 2);
    let mut ahead = raw.iter().peekable();
    while let Some((first, mark)) = ahead.next() {
        // An end without a beginning closes the gap before the first interval (`nft` adds it).
        if *mark == Mark::Start {
            prefixes.push(interval(*first, ahead.peek().map(|(next, _)| *next))?);
        }
    }
    Some(Elements::Prefixes(prefixes))
}

fn origin(element: &RawElement) -> Option<Origin> {
    let [(first, first_mac), (last, last_mac)] = match element {
        RawElement::Address(..) => return None,
        RawElement::Pair(address, mac) => [(*address, *mac); 2],
        RawElement::Range(ends) => **ends,
    };
    let overlay = |mac: Mac| mac.overlay().map(IpAddr::V4);
    Some(Origin { sources: prefix(first, last)?, senders: prefix(overlay(first_mac)?, overlay(last_mac)?)? })
}

/// The prefix from `first` up to just before `end`, or up to the last address of all.
fn interval(first: IpAddr, end: Option<IpAddr>) -> Option<Prefix> {
    match end {
        Some(end) => between(first, bits(end).checked_sub(1)?),
        None => between(first, u128::MAX >> (128 - Family::of(first).bits())),
    }
}

/// The prefix from `first` to `last`, if there is one.
fn prefix(first: IpAddr, last: IpAddr) -> Option<Prefix> {
    (Family::of(first) == Family::of(last)).then(|| between(first, bits(last))).flatten()
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

fn between(first: IpAddr, last: u128) -> Option<Prefix> {
    let family_bits = Family::of(first).bits();
    let differing = (128 - (bits(first) ^ last).leading_zeros()) as u8;
    let prefix = Prefix::containing(first, family_bits.checked_sub(differing)?)?;
    (prefix.first() == first && bits(prefix.last()) == last).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw(elements: &[(&str, Mark)]) -> Vec<RawElement> {
        elements.iter().map(|(key, mark)| RawElement::Address(key.parse().unwrap(), *mark)).collect()
    }

    fn prefixes(elements: &[(&str, Mark)]) -> Option<String> {
        let mut raw = raw(elements);
        assert!(sort_whole(&mut raw));
        assemble(SetKind::Prefixes, &raw).map(|elements| elements.to_string())
    }

    #[test]
    fn intervals_are_read_as_prefixes() {
        use Mark::{End, Start};
        let adjacent = [("10.1.0.0", Start), ("10.1.0.0", End), ("10.2.0.0", End), ("10.0.0.0", Start)];
        assert_eq!(prefixes(&adjacent).as_deref(), Some("10.0.0.0/16, 10.1.0.0/16"));
        // `nft` leaves out the end where the next interval begins at once, and adds one at zero.
        let short = [("0.0.0.0", End), ("10.0.0.0", Start), ("10.1.0.0", Start), ("10.2.0.0", End)];
        assert_eq!(prefixes(&short), prefixes(&adjacent));
        assert_eq!(prefixes(&[("fe00::", Start)]).as_deref(), Some("fe00::/7"));
        assert_eq!(prefixes(&[("0.0.0.0", Start)]).as_deref(), Some("0.0.0.0/0"));
        assert_eq!(prefixes(&[("::", Start)]).as_deref(), Some("::/0"));
        assert_eq!(prefixes(&[]).as_deref(), Some(""));
        assert_eq!(prefixes(&[("10.0.0.1", Start), ("10.0.0.3", End)]), None);
        assert_eq!(prefixes(&[("10.0.0.0", Start), ("10.0.0.3", End)]), None);
    }

    #[test]
    fn a_dump_that_says_an_element_twice_is_not_whole() {
        let mut twice =
            raw(&[("10.0.0.1", Mark::Start), ("10.0.0.2", Mark::Start), ("10.0.0.1", Mark::Start)]);
        assert!(!sort_whole(&mut twice));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(payload in proptest::collection::vec(any::<u8>(), 0..96)) {
            let _ = set(&payload);
            let mut all = Vec::new();
            let _ = elements(&payload, &mut all);
            let _ = assemble(SetKind::Prefixes, &all);
        }
    }
}
