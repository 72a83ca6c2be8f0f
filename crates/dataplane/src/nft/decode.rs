//! What the kernel says of tables, chains, rules and sets, read without trust: what we do not know
//! is odd or foreign, what is cut off is an error.

use std::net::IpAddr;

use causeway_model::{Family, Prefix};

use super::expression::Digest;
use super::foreign::{COMMENT, DeviceAccept, Direction, Fate, ForeignRuleKind, RuleHandle, TableFamily};
use super::ruleset::{Base, ChainType, Elements, Hook, SetKind};
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
        ForeignRuleKind::Ours(device_accept(&expressions)?)
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

/// Reads back what [`super::expression::write_device_accept`] writes.
fn device_accept(expressions: &[Expression<'_>]) -> Result<Option<DeviceAccept>, Malformed> {
    let &[("meta", meta), ("cmp", compare), ("counter", _), ("immediate", immediate)] = expressions else {
        return Ok(None);
    };
    let direction = match number(meta, NFTA_META_KEY)? {
        NFT_META_IIFNAME => Direction::In,
        NFT_META_OIFNAME => Direction::Out,
        _ => return Ok(None),
    };
    let name = need(need(compare, NFTA_CMP_DATA)?.nested(), NFTA_DATA_VALUE)?;
    // Without its zero byte it would match every name that begins so.
    let whole = name.value.last() == Some(&0);
    let accepts = number(compare, NFTA_CMP_OP)? == NFT_CMP_EQ && verdict(immediate)? == Some(NF_ACCEPT);
    let device = Device::from_name(name.text()).filter(|_| whole && accepts);
    Ok(device.map(|device| DeviceAccept { direction, device }))
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
    let family = match number(attributes, NFTA_SET_KEY_TYPE)? {
        TYPE_IPADDR => Some(Family::V4),
        TYPE_IP6ADDR => Some(Family::V6),
        _ => None,
    };
    let kind = match number(attributes, NFTA_SET_FLAGS)? {
        0 => Some(SetKind::Addresses),
        NFT_SET_INTERVAL => Some(SetKind::Prefixes),
        _ => None,
    };
    let name = need(attributes, NFTA_SET_NAME)?.text().to_owned();
    Ok((name, family.zip(kind)))
}

/// An element as it stands in a set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RawElement {
    key: IpAddr,
    mark: Mark,
}

/// Where an interval ends sorts before where the next one begins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Mark {
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
        let key = need(need(item, NFTA_SET_ELEM_KEY)?.nested(), NFTA_DATA_VALUE)?.address()?;
        let end = number(item, NFTA_SET_ELEM_FLAGS)? & NFT_SET_ELEM_INTERVAL_END != 0;
        into.push(RawElement { key, mark: if end { Mark::End } else { Mark::Start } });
    }
    Ok(())
}

/// The elements of a set in our terms; `None` if some are none that we write.
pub fn assemble(kind: SetKind, mut raw: Vec<RawElement>) -> Option<Elements> {
    raw.sort_unstable();
    match kind {
        SetKind::Addresses => Some(Elements::Addresses(raw.into_iter().map(|element| element.key).collect())),
        SetKind::Prefixes => {
            let mut prefixes = Vec::with_capacity(raw.len() / 2);
            let mut ahead = raw.iter().peekable();
            while let Some(element) = ahead.next() {
                // An end without a beginning closes the gap before the first interval (`nft` adds it).
                if element.mark == Mark::End {
                    continue;
                }
                prefixes.push(interval(element.key, ahead.peek().map(|next| next.key))?);
            }
            Some(Elements::Prefixes(prefixes))
        }
    }
}

/// The prefix from `first` up to just before `end`, or up to the last address of all.
fn interval(first: IpAddr, end: Option<IpAddr>) -> Option<Prefix> {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    };
    let family_bits = Family::of(first).bits();
    let last = match end {
        Some(end) => bits(end).checked_sub(1)?,
        None => u128::MAX >> (128 - family_bits),
    };
    let differing = (128 - (bits(first) ^ last).leading_zeros()) as u8;
    let prefix = Prefix::containing(first, family_bits - differing)?;
    (prefix.first() == first && bits(prefix.last()) == last).then_some(prefix)
}
