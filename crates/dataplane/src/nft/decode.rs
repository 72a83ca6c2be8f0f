//! What the kernel says of tables, chains, rules and sets, read without trust: what we do not know
//! is odd or foreign, what is cut off is an error.

use std::net::IpAddr;

use causeway_model::{Family, Mac, Prefix};

use super::expression::{Digest, PADDED_MAC, XT_MARK, XT_MARK_REVISION, xt_mark_info};
use super::foreign::{COMMENT, Direction, Fate, ForeignAccept, ForeignRuleKind, RuleHandle, TableFamily};
use super::ruleset::{Base, ChainType, Elements, Hook, MARK, Origin, SetKind};
use super::uapi::*;
use crate::device::Device;
use crate::netlink::wire::{self, Attribute, Attributes, Malformed};

/// The family of a message's object and its attributes.
///
/// # Errors
/// [`Malformed`].
pub fn head(payload: &[u8]) -> Result<(u8, Attributes<'_>), Malformed> {
    let (head, attributes) = wire::fixed::<4>(payload)?;
    Ok((head[0], attributes))
}

/// The family of tables with this number, if it sees forwarded IP packets.
pub fn table_family(number: u8) -> Option<TableFamily> {
    match number {
        NFPROTO_IPV4 => Some(TableFamily::Ip),
        NFPROTO_IPV6 => Some(TableFamily::Ip6),
        NFPROTO_INET => Some(TableFamily::Inet),
        _ => None,
    }
}

fn be32(attribute: &Attribute<'_>) -> Result<u32, Malformed> {
    attribute.u32().map(u32::from_be)
}

fn find<'a>(attributes: Attributes<'a>, kind: u16) -> Result<Option<Attribute<'a>>, Malformed> {
    for attribute in attributes {
        let attribute = attribute?;
        if attribute.kind == kind {
            return Ok(Some(attribute));
        }
    }
    Ok(None)
}

fn need<'a>(attributes: Attributes<'a>, kind: u16) -> Result<Attribute<'a>, Malformed> {
    find(attributes, kind)?.ok_or(Malformed::Missing { kind })
}

/// The number in attribute `kind`; 0 if it is absent.
pub fn number(attributes: Attributes<'_>, kind: u16) -> Result<u32, Malformed> {
    find(attributes, kind)?.map_or(Ok(0), |attribute| be32(&attribute))
}

/// A chain of any table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawChain {
    pub family: u8,
    pub table: String,
    pub name: String,
    /// Hook number, priority, type and policy of a base chain.
    pub base: Option<RawBase>,
}

/// What makes a chain a base chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawBase {
    pub hook: u32,
    pub priority: i32,
    pub chain_type: String,
    pub policy: u32,
}

impl RawBase {
    /// The hook through which packets pass that are for others.
    pub fn is_forward(&self) -> bool {
        self.hook == 2
    }

    /// What becomes of packets that no rule decides on.
    pub fn fate(&self) -> Fate {
        if self.policy == NF_DROP { Fate::Drop } else { Fate::Accept }
    }

    /// The same in our terms; `None` for what we never write.
    pub fn ours(&self) -> Option<Base> {
        let hook = match self.hook {
            0 => Hook::Prerouting,
            1 => Hook::Input,
            2 => Hook::Forward,
            3 => Hook::Output,
            4 => Hook::Postrouting,
            _ => return None,
        };
        let chain_type = match self.chain_type.as_str() {
            "filter" => ChainType::Filter,
            "nat" => ChainType::Nat,
            "route" => ChainType::Route,
            _ => return None,
        };
        (self.policy == NF_ACCEPT).then_some(Base { chain_type, hook, priority: self.priority })
    }
}

/// Reads a chain.
///
/// # Errors
/// [`Malformed`].
pub fn chain(payload: &[u8]) -> Result<RawChain, Malformed> {
    let (family, attributes) = head(payload)?;
    let base = match find(attributes, NFTA_CHAIN_HOOK)? {
        None => None,
        Some(hook) => Some(RawBase {
            hook: number(hook.nested(), NFTA_HOOK_HOOKNUM)?,
            priority: number(hook.nested(), NFTA_HOOK_PRIORITY)? as i32,
            chain_type: need(attributes, NFTA_CHAIN_TYPE)?.text().to_owned(),
            policy: number(attributes, NFTA_CHAIN_POLICY)?,
        }),
    };
    Ok(RawChain {
        family,
        table: need(attributes, NFTA_CHAIN_TABLE)?.text().to_owned(),
        name: need(attributes, NFTA_CHAIN_NAME)?.text().to_owned(),
        base,
    })
}

/// The comment of a rule; empty if it has none.
fn comment<'a>(attributes: Attributes<'a>) -> Result<&'a str, Malformed> {
    let Some(userdata) = find(attributes, NFTA_RULE_USERDATA)? else {
        return Ok("");
    };
    let mut rest = userdata.value;
    while let [kind, length, tail @ ..] = rest {
        let (value, next) = tail.split_at_checked(usize::from(*length)).unwrap_or((tail, &[]));
        if *kind == NFTNL_UDATA_RULE_COMMENT {
            let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
            return Ok(std::str::from_utf8(text).unwrap_or_default());
        }
        rest = next;
    }
    Ok("")
}

/// Reads a rule of our table: its chain and its digest.
///
/// # Errors
/// [`Malformed`].
pub fn own_rule(payload: &[u8]) -> Result<(String, Option<Digest>), Malformed> {
    let (_, attributes) = head(payload)?;
    let chain = need(attributes, NFTA_RULE_CHAIN)?.text().to_owned();
    Ok((chain, Digest::in_comment(comment(attributes)?)))
}

/// Reads a rule of a foreign chain whose policy is `policy`.
///
/// # Errors
/// [`Malformed`].
pub fn foreign_rule(payload: &[u8], policy: Fate) -> Result<(RuleHandle, ForeignRuleKind), Malformed> {
    let (_, attributes) = head(payload)?;
    let handle = need(attributes, NFTA_RULE_HANDLE)?;
    let handle: [u8; 8] = handle
        .value
        .try_into()
        .map_err(|_| Malformed::Length { kind: NFTA_RULE_HANDLE, length: handle.value.len() })?;
    let expressions = match find(attributes, NFTA_RULE_EXPRESSIONS)? {
        None => Vec::new(),
        Some(list) => list.nested().map(|item| expression(item?)).collect::<Result<_, Malformed>>()?,
    };
    let (comments, expressions): (Vec<_>, Vec<_>) =
        expressions.into_iter().partition(|expression| matched_comment(expression).is_some());
    let is_ours = comment(attributes)? == COMMENT
        || comments.iter().any(|expression| matched_comment(expression) == Some(COMMENT));
    let kind = if is_ours {
        ForeignRuleKind::Ours(foreign_accept(&expressions)?)
    } else {
        meaning(&expressions, policy)?
    };
    Ok((RuleHandle(u64::from_be_bytes(handle)), kind))
}

/// An expression: its name and its attributes.
type Expression<'a> = (&'a str, Attributes<'a>);

fn expression(item: Attribute<'_>) -> Result<Expression<'_>, Malformed> {
    let name = need(item.nested(), NFTA_EXPR_NAME)?.text();
    let empty = Attribute { kind: NFTA_EXPR_DATA, value: &[] };
    let data = find(item.nested(), NFTA_EXPR_DATA)?.unwrap_or(empty);
    Ok((name, data.nested()))
}

/// The text of a comment that is an expression: so `iptables-restore` writes them, ours too.
fn matched_comment<'a>((name, attributes): &Expression<'a>) -> Option<&'a str> {
    let find = |kind| find(*attributes, kind).ok().flatten();
    let is_comment = *name == "match" && find(NFTA_MATCH_NAME)?.text() == "comment";
    is_comment.then(|| find(NFTA_MATCH_INFO).map_or("", |info| info.text()))
}

/// The verdict that an `immediate` expression gives; `None` if it loads a value.
fn verdict(attributes: Attributes<'_>) -> Result<Option<u32>, Malformed> {
    if number(attributes, NFTA_IMMEDIATE_DREG)? != NFT_REG_VERDICT {
        return Ok(None);
    }
    let data = need(attributes, NFTA_IMMEDIATE_DATA)?;
    let verdict = need(data.nested(), NFTA_DATA_VERDICT)?;
    Ok(Some(number(verdict.nested(), NFTA_VERDICT_CODE)?))
}

/// Reads back what [`super::expression::write_foreign_accept`] writes. Either form of the mark will do in
/// any table: newer releases of iptables-nft turn theirs into the native one.
fn foreign_accept(expressions: &[Expression<'_>]) -> Result<Option<ForeignAccept>, Malformed> {
    let [conditions @ .., ("counter", _), ("immediate", immediate)] = expressions else {
        return Ok(None);
    };
    if verdict(*immediate)? != Some(NF_ACCEPT) {
        return Ok(None);
    }
    let marked = match *conditions {
        [("meta", meta), ("cmp", compare)] => return crossing(meta, compare),
        [("meta", meta), ("bitwise", mask), ("cmp", compare)] => {
            let bit = MARK.to_ne_bytes();
            number(meta, NFTA_META_KEY)? == NFT_META_MARK
                && data(mask, NFTA_BITWISE_MASK)? == bit
                && data(mask, NFTA_BITWISE_XOR)? == [0; 4]
                && number(compare, NFTA_CMP_OP)? == NFT_CMP_EQ
                && data(compare, NFTA_CMP_DATA)? == bit
        }
        [("match", extension)] => {
            // The kernel gives back what is behind the inversion as zeros, or not at all.
            const MEANT: usize = 9;
            find(extension, NFTA_MATCH_NAME)?.is_some_and(|name| name.text() == XT_MARK)
                && number(extension, NFTA_MATCH_REV)? == XT_MARK_REVISION
                && find(extension, NFTA_MATCH_INFO)?
                    .is_some_and(|info| info.value.get(..MEANT) == xt_mark_info().get(..MEANT))
        }
        _ => false,
    };
    Ok(marked.then_some(ForeignAccept::Marked))
}

/// The value in an attribute that holds data; nothing if there is none.
fn data(attributes: Attributes<'_>, kind: u16) -> Result<&[u8], Malformed> {
    let Some(data) = find(attributes, kind)? else {
        return Ok(&[]);
    };
    Ok(find(data.nested(), NFTA_DATA_VALUE)?.map_or(&[], |value| value.value))
}

fn crossing(meta: Attributes<'_>, compare: Attributes<'_>) -> Result<Option<ForeignAccept>, Malformed> {
    let direction = match number(meta, NFTA_META_KEY)? {
        NFT_META_IIFNAME => Direction::In,
        NFT_META_OIFNAME => Direction::Out,
        _ => return Ok(None),
    };
    let name = need(need(compare, NFTA_CMP_DATA)?.nested(), NFTA_DATA_VALUE)?;
    // Without its zero byte it would match every name that begins so.
    let whole = name.value.last() == Some(&0);
    let equal = number(compare, NFTA_CMP_OP)? == NFT_CMP_EQ;
    let device = Device::from_name(name.text()).filter(|_| whole && equal);
    Ok(device.map(|device| ForeignAccept::Crossing { direction, device }))
}

/// Expressions that only look at a packet or note something.
const LOOKING: [&str; 21] = [
    "meta",
    "cmp",
    "payload",
    "bitwise",
    "byteorder",
    "ct",
    "fib",
    "rt",
    "socket",
    "exthdr",
    "range",
    "hash",
    "numgen",
    "osf",
    "xfrm",
    "tunnel",
    "last",
    "connlimit",
    "quota",
    "limit",
    "match",
];
/// Expressions that neither decide nor limit what is decided.
const NOTING: [&str; 3] = ["counter", "log", "objref"];
/// Targets of iptables that let the packet go on.
const PASSING_TARGETS: [&str; 9] =
    ["MARK", "CONNMARK", "LOG", "NFLOG", "TCPMSS", "CT", "TRACE", "DSCP", "CLASSIFY"];

/// What a rule of others does to packets that come to it.
fn meaning(expressions: &[Expression<'_>], policy: Fate) -> Result<ForeignRuleKind, Malformed> {
    let mut always = true;
    for (name, attributes) in expressions {
        let decided = match *name {
            "immediate" => match verdict(*attributes)? {
                None => continue,
                Some(NF_ACCEPT) => Some(Fate::Accept),
                Some(NF_DROP) => Some(Fate::Drop),
                Some(NFT_RETURN) => Some(policy),
                Some(_) => None,
            },
            "reject" => Some(Fate::Drop),
            "target" => match need(*attributes, NFTA_TARGET_NAME)?.text() {
                "REJECT" => Some(Fate::Drop),
                target if PASSING_TARGETS.contains(&target) => continue,
                _ => None,
            },
            "lookup" if find(*attributes, NFTA_LOOKUP_DREG)?.is_none() => {
                always = false;
                continue;
            }
            name if LOOKING.contains(&name) => {
                always = false;
                continue;
            }
            name if NOTING.contains(&name) => continue,
            _ => None,
        };
        return Ok(match decided {
            Some(fate) if always => ForeignRuleKind::Final(fate),
            Some(Fate::Accept) => ForeignRuleKind::Harmless,
            Some(Fate::Drop) | None => ForeignRuleKind::Restrictive,
        });
    }
    Ok(ForeignRuleKind::Harmless)
}

/// Reads a set: its name, and the family and kind of its elements if it is one that we make.
///
/// # Errors
/// [`Malformed`].
pub fn set(payload: &[u8]) -> Result<(String, Option<(Family, SetKind)>), Malformed> {
    let (_, attributes) = head(payload)?;
    let key = number(attributes, NFTA_SET_KEY_TYPE)?;
    // Of a concatenation, its first part and its second.
    let (address, second) = if key >> 6 == 0 { (key, None) } else { (key >> 6, Some(key & 0x3f)) };
    let family = match address {
        TYPE_IPADDR => Some(Family::V4),
        TYPE_IP6ADDR => Some(Family::V6),
        _ => None,
    };
    const RANGES: u32 = NFT_SET_INTERVAL | NFT_SET_CONCAT;
    let kind = match (number(attributes, NFTA_SET_FLAGS)?, second) {
        (0, None) => Some(SetKind::Addresses),
        (NFT_SET_INTERVAL, None) => Some(SetKind::Prefixes),
        (0, Some(TYPE_INTEGER)) => Some(SetKind::Vteps),
        (RANGES, Some(TYPE_ETHERADDR)) => Some(SetKind::Origins),
        _ => None,
    };
    let name = need(attributes, NFTA_SET_NAME)?.text().to_owned();
    Ok((name, family.zip(kind)))
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
    let (_, attributes) = head(payload)?;
    let Some(list) = find(attributes, NFTA_SET_ELEM_LIST_ELEMENTS)? else {
        return Ok(());
    };
    for item in list.nested() {
        let item = item?.nested();
        let key = need(need(item, NFTA_SET_ELEM_KEY)?.nested(), NFTA_DATA_VALUE)?;
        let last = match find(item, NFTA_SET_ELEM_KEY_END)? {
            Some(last) => Some(need(last.nested(), NFTA_DATA_VALUE)?),
            None => None,
        };
        into.push(match (pair(&key), last) {
            (None, _) => {
                let end = number(item, NFTA_SET_ELEM_FLAGS)? & NFT_SET_ELEM_INTERVAL_END != 0;
                RawElement::Address(key.address()?, if end { Mark::End } else { Mark::Start })
            }
            (Some((address, mac)), None) => RawElement::Pair(address, mac),
            (Some(first), Some(last)) => {
                let wrong = Malformed::Length { kind: NFTA_SET_ELEM_KEY_END, length: last.value.len() };
                RawElement::Range(Box::new([first, pair(&last).ok_or(wrong)?]))
            }
        });
    }
    Ok(())
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

    /// A rule of ours in an iptables chain: a match by this extension, then accept.
    fn with_extension(name: &str, revision: u32, info: &[u8]) -> Option<ForeignAccept> {
        let mut bytes = Vec::new();
        wire::write_message(&mut bytes, 0, 0, 0, |body| {
            let mut named = |name: &str, data: &dyn Fn(&mut wire::Body<'_>)| {
                body.nested(NFTA_LIST_ELEM, |body| {
                    body.attribute(NFTA_EXPR_NAME, name.as_bytes());
                    body.nested(NFTA_EXPR_DATA, |body| data(body));
                });
            };
            named("match", &|body| {
                body.attribute(NFTA_MATCH_NAME, name.as_bytes());
                body.attribute(NFTA_MATCH_REV, &revision.to_be_bytes());
                body.attribute(NFTA_MATCH_INFO, info);
            });
            named("counter", &|_| {});
            named("immediate", &|body| {
                body.attribute(NFTA_IMMEDIATE_DREG, &NFT_REG_VERDICT.to_be_bytes());
                body.nested(NFTA_IMMEDIATE_DATA, |body| {
                    body.nested(NFTA_DATA_VERDICT, |body| {
                        body.attribute(NFTA_VERDICT_CODE, &NF_ACCEPT.to_be_bytes());
                    });
                });
            });
        });
        let list = Attribute { kind: NFTA_RULE_EXPRESSIONS, value: &bytes[wire::HEADER..] };
        let expressions: Vec<_> = list.nested().map(|item| expression(item.unwrap()).unwrap()).collect();
        foreign_accept(&expressions).unwrap()
    }

    #[test]
    fn the_extension_of_iptables_that_matches_marks_is_ours_with_our_bit_alone() {
        let info = xt_mark_info();
        assert_eq!(with_extension(XT_MARK, XT_MARK_REVISION, &info), Some(ForeignAccept::Marked));
        assert_eq!(with_extension("connmark", XT_MARK_REVISION, &info), None);
        assert_eq!(with_extension(XT_MARK, 0, &info), None);
        assert_eq!(with_extension(XT_MARK, XT_MARK_REVISION, &info[..8]), None);
        // Another mark, another mask, inverted.
        for changed in [0, 4, 8] {
            let mut other = info;
            other[changed] ^= 1;
            assert_eq!(with_extension(XT_MARK, XT_MARK_REVISION, &other), None, "{changed}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(payload in proptest::collection::vec(any::<u8>(), 0..96)) {
            let _ = (chain(&payload), own_rule(&payload), set(&payload));
            let _ = foreign_rule(&payload, Fate::Drop);
            let mut all = Vec::new();
            let _ = elements(&payload, &mut all);
            let _ = assemble(SetKind::Prefixes, &all);
        }

        #[test]
        fn no_expressions_make_it_panic(
            names in proptest::collection::vec(0..10usize, 0..6),
            data in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            const NAMES: [&str; 10] = [
                "meta", "cmp", "bitwise", "counter", "immediate", "match", "target", "lookup", "reject",
                "unknown",
            ];
            let mut bytes = Vec::new();
            wire::write_message(&mut bytes, 0, 0, 0, |body| {
                body.fixed(&[NFPROTO_IPV4, 0, 0, 0]);
                body.attribute(NFTA_RULE_HANDLE, &7u64.to_be_bytes());
                body.nested(NFTA_RULE_EXPRESSIONS, |body| for name in names {
                    body.nested(NFTA_LIST_ELEM, |body| {
                        body.attribute(NFTA_EXPR_NAME, NAMES[name].as_bytes());
                        body.attribute(NFTA_EXPR_DATA, &data);
                    });
                });
            });
            let _ = foreign_rule(&bytes[wire::HEADER..], Fate::Accept);
        }
    }
}
