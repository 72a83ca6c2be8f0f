//! Forward chains of others. An accept in our own chain cannot overrule a drop in another chain of
//! the same hook, so where such a chain drops what it does not know, rules of ours must stand in it.
//!
//! They stand *behind* the rules that others wrote, so that drops of invalid packets and network
//! policies still apply: last, or right before an unconditional drop or reject. They match a device or
//! our mark only, in forms that every `iptables-nft` reads. A rule that others append behind ours and
//! that can only accept is left there: some tools insist on being last, and the two would move their
//! rules for ever.

use std::fmt;
use std::path::Path;

use crate::device::Device;
use crate::kernel::KernelError;

/// The comment of our rules in foreign chains.
pub const COMMENT: &str = "causeway";

/// A family of tables that sees forwarded IP packets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TableFamily {
    /// IPv4 only.
    Ip,
    /// IPv6 only.
    Ip6,
    /// Both.
    Inet,
}

impl fmt::Display for TableFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TableFamily::Ip => "ip",
            TableFamily::Ip6 => "ip6",
            TableFamily::Inet => "inet",
        })
    }
}

/// Which foreign chain. Written `ip filter FORWARD`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ForeignChainId {
    /// Family of its table.
    pub family: TableFamily,
    /// Its table.
    pub table: String,
    /// Its name.
    pub chain: String,
}

impl ForeignChainId {
    /// Whether iptables-nft takes its table for one of its own, whoever made it.
    pub fn is_of_iptables(&self) -> bool {
        self.family != TableFamily::Inet && ["filter", "mangle", "security"].contains(&self.table.as_str())
    }
}

impl fmt::Display for ForeignChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.family, self.table, self.chain)
    }
}

/// What becomes of a packet in the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It passes the chain.
    Accept,
    /// It is dropped or rejected.
    Drop,
}

/// Which way a packet crosses a device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Direction {
    /// It came in through it.
    In,
    /// It goes out through it.
    Out,
}

/// What a rule of ours in a foreign chain accepts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ForeignAccept {
    /// What crosses a device.
    Crossing {
        /// Which way.
        direction: Direction,
        /// Which device.
        device: Device,
    },
    /// What carries [`super::MARK`].
    Marked,
}

impl ForeignAccept {
    /// What crosses `device`, either way.
    pub fn crossing(device: Device) -> [ForeignAccept; 2] {
        [Direction::In, Direction::Out].map(|direction| ForeignAccept::Crossing { direction, device })
    }
}

/// The number that the kernel gave to a rule; unique in its table and never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RuleHandle(pub u64);

/// What a rule in a foreign chain means to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ForeignRuleKind {
    /// Ours, by its comment; `None` if it is not what we write.
    Ours(Option<ForeignAccept>),
    /// Of others, and no packet that it lets pass is dropped by it or by what it leads to.
    Harmless,
    /// Of others, and may drop some packets, here or in a chain that it jumps to.
    Restrictive,
    /// Of others, and decides on every packet: nothing behind it is reached.
    Final(Fate),
}

/// A rule in a foreign chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ForeignRule {
    /// Its number.
    pub handle: RuleHandle,
    /// What it means to us.
    pub kind: ForeignRuleKind,
}

/// A base chain of others at the forward hook.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForeignChain {
    /// Which one.
    pub id: ForeignChainId,
    /// What becomes of packets that no rule decides on.
    pub policy: Fate,
    /// Its rules in order.
    pub rules: Vec<ForeignRule>,
}

impl ForeignChain {
    /// The place of the rule that decides on every packet, with what it decides; else the length and
    /// the policy.
    fn end(&self) -> (usize, Fate) {
        let decides = |(at, rule): (usize, &ForeignRule)| match rule.kind {
            ForeignRuleKind::Final(fate) => Some((at, fate)),
            _ => None,
        };
        self.rules.iter().enumerate().find_map(decides).unwrap_or((self.rules.len(), self.policy))
    }

    /// Whether it drops packets that it has no rule for.
    pub fn drops(&self) -> bool {
        self.end().1 == Fate::Drop
    }

    /// Whether a rule of ours stands in it.
    pub fn has_ours(&self) -> bool {
        self.ours().next().is_some()
    }

    /// The rule before which a new rule of ours belongs; `None`: last.
    pub fn insert_before(&self) -> Option<RuleHandle> {
        self.rules.get(self.end().0).map(|rule| rule.handle)
    }

    /// Rules of ours with what they accept; `None` for one that is not what we write or that stands
    /// at the wrong place: ahead of a rule of others that may drop, or behind the end.
    pub fn ours(&self) -> impl Iterator<Item = (RuleHandle, Option<ForeignAccept>)> {
        let (end, _) = self.end();
        let restrictive = |rule: &ForeignRule| rule.kind == ForeignRuleKind::Restrictive;
        let behind = self.rules[..end].iter().rposition(restrictive).map_or(0, |at| at + 1);
        self.rules.iter().enumerate().filter_map(move |(at, rule)| match rule.kind {
            ForeignRuleKind::Ours(accept) => {
                Some((rule.handle, accept.filter(|_| (behind..end).contains(&at))))
            }
            _ => None,
        })
    }
}

/// Whether iptables-legacy has a filter table in this network namespace. Its forward chain may drop
/// what we forward, and rules of ours cannot stand in it.
///
/// # Errors
/// [`KernelError::Socket`] if the kernel's list of tables cannot be read, other than for not being
/// there.
pub fn iptables_legacy() -> Result<bool, KernelError> {
    // Not /proc/net, which is that of the process's first thread.
    let lists = ["/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"];
    for list in lists {
        match std::fs::read_to_string(Path::new(list)) {
            Ok(names) if names.lines().any(|name| name == "filter") => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(KernelError::Socket { operation: "read the list of iptables tables", source });
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::ForeignRuleKind::*;
    use super::*;

    const IN: ForeignAccept = ForeignAccept::Crossing { direction: Direction::In, device: Device::ALL[0] };

    fn chain(policy: Fate, kinds: &[ForeignRuleKind]) -> ForeignChain {
        let rules = kinds.iter().zip(1..).map(|(kind, n)| ForeignRule { handle: RuleHandle(n), kind: *kind });
        let id = ForeignChainId { family: TableFamily::Ip, table: "filter".into(), chain: "FORWARD".into() };
        ForeignChain { id, policy, rules: rules.collect() }
    }

    fn placed(chain: &ForeignChain) -> Vec<bool> {
        chain.ours().map(|(_, accept)| accept.is_some()).collect()
    }

    #[test]
    fn a_chain_drops_by_its_policy_or_by_its_final_rule() {
        assert!(chain(Fate::Drop, &[Restrictive]).drops());
        assert!(!chain(Fate::Accept, &[Restrictive]).drops());
        assert!(chain(Fate::Accept, &[Harmless, Final(Fate::Drop)]).drops());
        assert!(!chain(Fate::Drop, &[Final(Fate::Accept), Final(Fate::Drop)]).drops());
    }

    #[test]
    fn our_rule_belongs_behind_rules_that_may_drop_and_ahead_of_the_end() {
        let last = chain(Fate::Drop, &[Restrictive, Ours(Some(IN))]);
        assert_eq!((last.insert_before(), placed(&last)), (None, vec![true]));
        let first = chain(Fate::Drop, &[Ours(Some(IN)), Restrictive]);
        assert_eq!(placed(&first), [false]);
        let unreached = chain(Fate::Accept, &[Harmless, Final(Fate::Drop), Ours(Some(IN))]);
        assert_eq!((unreached.insert_before(), placed(&unreached)), (Some(RuleHandle(2)), vec![false]));
        let changed = chain(Fate::Drop, &[Ours(None)]);
        assert_eq!(placed(&changed), [false]);
    }

    #[test]
    fn who_insists_on_being_last_with_an_accept_may_be() {
        assert_eq!(placed(&chain(Fate::Drop, &[Restrictive, Ours(Some(IN)), Harmless])), [true]);
    }
}
