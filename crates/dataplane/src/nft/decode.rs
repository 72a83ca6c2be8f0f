//! What the kernel says of tables, chains and rules, read without trust: what we do not know
//! is odd or foreign, what is cut off is an error.

use super::digest::Digest;
use super::expression::{XT_MARK, XT_MARK_REVISION, xt_mark_info};
use super::foreign::{COMMENT, Direction, Fate, ForeignAccept, ForeignRuleKind, RuleHandle, TableFamily};
use super::ruleset::{Base, ChainType, Hook, MARK, TableKind};
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

pub(super) fn find<'a>(attributes: Attributes<'a>, kind: u16) -> Result<Option<Attribute<'a>>, Malformed> {
    for attribute in attributes {
        let attribute = attribute?;
        if attribute.kind == kind {
            return Ok(Some(attribute));
        }
    }
    Ok(None)
}

pub(super) fn need<'a>(attributes: Attributes<'a>, kind: u16) -> Result<Attribute<'a>, Malformed> {
    find(attributes, kind)?.ok_or(Malformed::Missing { kind })
}

/// The number in attribute `kind`; 0 if it is absent.
pub fn number(attributes: Attributes<'_>, kind: u16) -> Result<u32, Malformed> {
    find(attributes, kind)?.map_or(Ok(0), |attribute| be32(&attribute))
}

/// The number of 64 bits in attribute `kind`.
pub(super) fn long(attributes: Attributes<'_>, kind: u16) -> Result<u64, Malformed> {
    let number = need(attributes, kind)?;
    let wrong = |_| Malformed::Length { kind, length: number.value.len() };
    Ok(u64::from_be_bytes(number.value.try_into().map_err(wrong)?))
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
    /// Names of the devices that it hangs at, sorted.
    pub devices: Vec<String>,
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
    pub fn ours(&self, table: TableKind) -> Option<Base> {
        let hook = match (table, self.hook) {
            (TableKind::Inet, 0) => Hook::Prerouting,
            (TableKind::Inet, 1) => Hook::Input,
            (TableKind::Inet, 2) => Hook::Forward,
            (TableKind::Inet, 3) => Hook::Output,
            (TableKind::Inet, 4) => Hook::Postrouting,
            (TableKind::Netdev, NF_NETDEV_INGRESS) => Hook::Ingress,
            (TableKind::Netdev, NF_NETDEV_EGRESS) => Hook::Egress,
            _ => return None,
        };
        let chain_type = match self.chain_type.as_str() {
            "filter" => ChainType::Filter,
            "nat" => ChainType::Nat,
            "route" => ChainType::Route,
            _ => return None,
        };
        let devices = self.devices.clone();
        (self.policy == NF_ACCEPT).then_some(Base { chain_type, hook, priority: self.priority, devices })
    }
}

/// The devices of a hook. One alone is said twice.
fn hooked_devices(hook: Attributes<'_>) -> Result<Vec<String>, Malformed> {
    let Some(devices) = find(hook, NFTA_HOOK_DEVS)? else {
        return Ok(find(hook, NFTA_HOOK_DEV)?.map(|name| name.text().to_owned()).into_iter().collect());
    };
    let names = devices.nested().map(|name| Ok(name?.text().to_owned()));
    let mut names: Vec<String> = names.collect::<Result<_, Malformed>>()?;
    names.sort_unstable();
    Ok(names)
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
            devices: hooked_devices(hook.nested())?,
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
pub(super) fn comment<'a>(attributes: Attributes<'a>) -> Result<&'a str, Malformed> {
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
pub(super) type Expression<'a> = (&'a str, Attributes<'a>);

pub(super) fn expression(item: Attribute<'_>) -> Result<Expression<'_>, Malformed> {
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
pub(super) fn verdict(attributes: Attributes<'_>) -> Result<Option<u32>, Malformed> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            let _ = (chain(&payload), own_rule(&payload));
            let _ = foreign_rule(&payload, Fate::Drop);
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
