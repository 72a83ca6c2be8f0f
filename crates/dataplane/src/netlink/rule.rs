//! Policy routing rules.

use causeway_model::Family;
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use super::link::address_family;
use super::wire::{Attribute, Malformed, fixed, u32_at};
use crate::device::PROTOCOL;
use crate::state::Rule;

/// `FRA_PROTOCOL`.
pub(super) const PROTOCOL_ATTRIBUTE: u16 = 21;
/// `FRA_…`, `linux/fib_rules.h`.
mod attribute {
    pub const PRIORITY: u16 = 6;
    pub const SUPPRESS_IFGROUP: u16 = 13;
    pub const SUPPRESS_PREFIXLEN: u16 = 14;
    pub const TABLE: u16 = 15;
    /// Attributes that select packets: interfaces, jump target, marks, realm, tunnel, user, ports …
    pub const SELECTORS: [u16; 14] = [1, 2, 3, 4, 10, 11, 12, 16, 17, 19, 20, 22, 23, 24];
}
/// `FR_ACT_TO_TBL`.
const LOOKUP: u8 = 1;
/// `FIB_RULE_INVERT`.
const INVERT: u32 = 2;

/// The message for a rule. With `plain` false, as far as it can name one: a removal takes any action.
pub(super) fn message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = address_family(rule.family);
    if rule.plain {
        message.header.action = RuleAction::ToTable;
    }
    message.attributes =
        vec![RuleAttribute::Priority(rule.priority), RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL))];
    if rule.table != 0 {
        message.attributes.push(RuleAttribute::Table(rule.table));
    }
    message
}

/// The request for all rules of a family.
pub(super) fn all(family: Family) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = address_family(family);
    message
}

/// Reads `RTM_NEWRULE`; `None` for one that has not our protocol.
pub(super) fn parse(payload: &[u8], family: Family) -> Result<Option<Rule>, Malformed> {
    let (head, attributes) = fixed::<12>(payload)?;
    let mut ours = false;
    let bare = head[1] == 0 && head[2] == 0 && head[3] == 0 && u32_at(head, 8) & INVERT == 0;
    let mut rule = Rule { family, priority: 0, table: u32::from(head[4]), plain: bare && head[7] == LOOKUP };
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            attribute::PRIORITY => rule.priority = attribute.u32()?,
            attribute::TABLE => rule.table = attribute.u32()?,
            PROTOCOL_ATTRIBUTE => ours = attribute.u8()? == PROTOCOL,
            _ => rule.plain &= !selects(&attribute)?,
        }
    }
    Ok(ours.then_some(rule))
}

/// Whether an attribute makes a rule choosy. The kernel always states the suppressors, as -1 where
/// there are none. What later kernels add is passed over: it may be stated always, too.
fn selects(attribute: &Attribute<'_>) -> Result<bool, Malformed> {
    Ok(match attribute.kind {
        attribute::SUPPRESS_IFGROUP | attribute::SUPPRESS_PREFIXLEN => attribute.u32()? != u32::MAX,
        kind => attribute::SELECTORS.contains(&kind),
    })
}
