//! Rulesets and transactions as text for `nft -f -`.
//!
//! A [`Ruleset`] is written as `nft list` would show it; a [`Transaction`] as the commands with
//! exactly its effect, digests in the comments included.

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;

use causeway_model::{Family, Mac, Prefix};

use super::digest::comment;
use super::expression::{INNER_SOURCE_MAC, PORTS, VNI, length_field, octets};
use super::foreign::{COMMENT, Direction, ForeignAccept};
use super::ruleset::*;
use super::transaction::{Change, Transaction};

impl Display for Ruleset {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "table {} {TABLE} {{", self.kind.name())?;
        let mut gap = "";
        for set in &self.sets {
            writeln!(f, "{gap}\t{} {} {{", word_for_set(set.elements.kind()), set.name)?;
            for property in set_properties(set.family, set.elements.kind()) {
                writeln!(f, "\t\t{property}")?;
            }
            if !set.elements.is_empty() {
                writeln!(f, "\t\telements = {{ {} }}", set.elements)?;
            }
            writeln!(f, "\t}}")?;
            gap = "\n";
        }
        for chain in &self.chains {
            writeln!(f, "{gap}\tchain {} {{\n\t\t{}", chain.name, chain.base)?;
            for rule in &chain.rules {
                writeln!(f, "\t\t{} comment \"{}\"", Statements(rule), rule.comment)?;
            }
            writeln!(f, "\t}}")?;
            gap = "\n";
        }
        writeln!(f, "}}")?;
        for accept in &self.accept_in_foreign_forward {
            writeln!(f, "# foreign forward chains that drop: {accept}")?;
        }
        Ok(())
    }
}

impl Display for Transaction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.changes.iter().try_for_each(|change| writeln!(f, "{}", Command { table: self.table, change }))
    }
}

/// A change of one of our tables.
struct Command<'a> {
    table: TableKind,
    change: &'a Change,
}

impl Display for Command<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.change.summary(self.table))?;
        match self.change {
            Change::AddSet { family, kind, .. } => {
                let properties: Vec<String> = set_properties(*family, *kind).collect();
                write!(f, " {{ {}; }}", properties.join("; "))
            }
            Change::AddElements { elements, .. } | Change::DeleteElements { elements, .. } => {
                write!(f, " {{ {elements} }}")
            }
            Change::AddChain { base, .. } => write!(f, " {{ {base} }}"),
            Change::AddRule { rule, .. } => write!(f, " {} comment \"{}\"", Statements(rule), comment(rule)),
            Change::AddAccept { accept, .. } => write!(f, " {accept} comment \"{COMMENT}\""),
            Change::AddTable
            | Change::DeleteTable
            | Change::DeleteSet(_)
            | Change::ForgetFlows(_)
            | Change::FlushChain(_)
            | Change::DeleteChain(_)
            | Change::DeleteAccept { .. } => Ok(()),
        }
    }
}

impl Change {
    /// The command and its object, without content.
    pub(super) fn summary(&self, table: TableKind) -> String {
        let table = format!("{} {TABLE}", table.name());
        match self {
            Change::AddTable => format!("create table {table}"),
            Change::DeleteTable => format!("delete table {table}"),
            Change::AddSet { name, kind, .. } => format!("create {} {table} {name}", word_for_set(*kind)),
            Change::DeleteSet(name) => format!("delete set {table} {name}"),
            Change::AddElements { set, .. } => format!("create element {table} {set}"),
            Change::DeleteElements { set, .. } => format!("delete element {table} {set}"),
            Change::ForgetFlows(map) => format!("flush map {table} {map}"),
            Change::AddChain { name, .. } => format!("create chain {table} {name}"),
            Change::FlushChain(name) => format!("flush chain {table} {name}"),
            Change::DeleteChain(name) => format!("delete chain {table} {name}"),
            Change::AddRule { chain, .. } => format!("add rule {table} {chain}"),
            Change::AddAccept { chain, before: None, .. } => format!("add rule {chain}"),
            Change::AddAccept { chain, before: Some(rule), .. } => {
                format!("insert rule {chain} handle {}", rule.0)
            }
            Change::DeleteAccept { chain, rule } => format!("delete rule {chain} handle {}", rule.0),
        }
    }
}

fn word_for_set(kind: SetKind) -> &'static str {
    if kind == SetKind::Flows { "map" } else { "set" }
}

fn set_properties(family: Family, kind: SetKind) -> impl Iterator<Item = String> {
    let ip = protocol(family);
    let address = match family {
        Family::V4 => "ipv4_addr",
        Family::V6 => "ipv6_addr",
    };
    let of = match kind {
        SetKind::Addresses | SetKind::Prefixes => format!("type {address}"),
        SetKind::Vteps => format!("typeof {ip} saddr . @th,{},48", INNER_SOURCE_MAC * 8),
        SetKind::Origins => format!("type {address} . ether_addr"),
        SetKind::Flows => format!("typeof {} : ether daddr", Flow(family)),
    };
    let flag = |text: &str| vec![text.to_owned()];
    let more = match kind {
        SetKind::Addresses | SetKind::Vteps => Vec::new(),
        SetKind::Prefixes => flag("flags interval"),
        SetKind::Origins => vec!["flags interval".to_owned(), "counter".to_owned()],
        SetKind::Flows => {
            let (size, lease) = (format!("size {MOST_FLOWS}"), format!("timeout {}s", LEASE.as_secs()));
            vec![size, "flags dynamic,timeout".to_owned(), lease]
        }
    };
    std::iter::once(of).chain(more)
}

impl Display for Elements {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Elements::Addresses(addresses) => join(f, addresses),
            Elements::Prefixes(prefixes) => join(f, prefixes),
            Elements::Vteps(vteps) => {
                let vteps: Vec<String> =
                    vteps.iter().map(|(address, mac)| format!("{address} . {:#x}", number(*mac))).collect();
                join(f, &vteps)
            }
            Elements::Origins(origins) => join(f, origins),
            Elements::Flows => Ok(()),
        }
    }
}

/// A MAC as the number that its bytes are.
fn number(mac: Mac) -> u64 {
    mac.0.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} . ", Operand(&self.sources))?;
        match self.macs() {
            Some((first, last)) if first == last => first.fmt(f),
            Some((first, last)) => write!(f, "{first}-{last}"),
            None => self.senders.fmt(f),
        }
    }
}

fn join<T: Display>(f: &mut Formatter<'_>, items: &[T]) -> fmt::Result {
    let mut separator = "";
    for item in items {
        write!(f, "{separator}{item}")?;
        separator = ", ";
    }
    Ok(())
}

impl Display for Base {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let chain_type = match self.chain_type {
            ChainType::Filter => "filter",
            ChainType::Nat => "nat",
            ChainType::Route => "route",
        };
        let hook = match self.hook {
            Hook::Prerouting => "prerouting",
            Hook::Input => "input",
            Hook::Forward => "forward",
            Hook::Output => "output",
            Hook::Postrouting => "postrouting",
            Hook::Ingress => "ingress",
            Hook::Egress => "egress",
        };
        write!(f, "type {chain_type} hook {hook} ")?;
        match self.devices.as_slice() {
            [] => {}
            [device] => write!(f, "device \"{device}\" ")?,
            devices => {
                let quoted: Vec<String> = devices.iter().map(|device| format!("\"{device}\"")).collect();
                write!(f, "devices = {{ {} }} ", quoted.join(", "))?;
            }
        }
        write!(f, "priority {}; policy accept;", self.priority)
    }
}

impl Display for ForeignAccept {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            ForeignAccept::Crossing { direction: Direction::In, device } => {
                write!(f, "iifname \"{device}\"")?
            }
            ForeignAccept::Crossing { direction: Direction::Out, device } => {
                write!(f, "oifname \"{device}\"")?
            }
            ForeignAccept::Marked => Match::Marked.fmt(f)?,
        }
        f.write_str(" counter accept")
    }
}

/// The conditions and the action of a rule.
struct Statements<'a>(&'a Rule);

impl Display for Statements<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for condition in &self.0.matches {
            write!(f, "{condition} ")?;
        }
        write!(f, "{}", self.0.action)
    }
}

impl Display for Match {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Match::In(overlay) => write!(f, "iifgroup {}", overlay.group()),
            Match::NotIn(overlay) => write!(f, "iifgroup != {}", overlay.group()),
            Match::Out(overlay) => write!(f, "oifgroup {}", overlay.group()),
            Match::NotOut(overlay) => write!(f, "oifgroup != {}", overlay.group()),
            Match::InFrom(link) => write!(f, "iif \"{}\"", link.name),
            Match::OutTo(link) => write!(f, "oif \"{}\"", link.name),
            Match::Of(Family::V4) => f.write_str("meta nfproto ipv4"),
            Match::Of(Family::V6) => f.write_str("meta nfproto ipv6"),
            Match::Source(family, address) => write!(f, "{} saddr {address}", protocol(*family)),
            Match::Destination(family, address) => write!(f, "{} daddr {address}", protocol(*family)),
            Match::Origin(family, set) => {
                write!(f, "{} saddr . ether saddr @{set}", protocol(*family))
            }
            Match::OtherOrigin(family, set) => {
                write!(f, "{} saddr . ether saddr != @{set}", protocol(*family))
            }
            Match::OtherVtep(family, set) => {
                write!(f, "{} saddr . @th,{},48 != @{set}", protocol(*family), INNER_SOURCE_MAC * 8)
            }
            Match::UdpTo(port) => write!(f, "udp dport {port}"),
            Match::OtherVni(vni) => write!(f, "@th,{},24 != {:#x}", VNI * 8, vni.0),
            Match::Assured => f.write_str("ct status assured"),
            Match::Settled => f.write_str("ct status & (seen-reply|snat|dnat) == seen-reply"),
            Match::Untracked => f.write_str("ct state untracked"),
            Match::TcpSyn => f.write_str("tcp flags syn"),
            Match::TcpGoesOn => f.write_str("tcp flags & (fin|syn|rst) == 0"),
            Match::Dnat => f.write_str("ct status dnat"),
            Match::Marked => write!(f, "meta mark & {MARK:#010x} == {MARK:#010x}"),
            Match::Unmarked => write!(f, "meta mark & {MARK:#010x} == 0"),
            Match::Protocol(family, protocol) => {
                let name = match protocol {
                    Protocol::Tcp => "tcp",
                    Protocol::Udp => "udp",
                };
                write!(f, "{} {name}", protocol_field(*family))
            }
            Match::MoreHops(Family::V4) => f.write_str("ip ttl > 1"),
            Match::MoreHops(Family::V6) => f.write_str("ip6 hoplimit > 1"),
            Match::PlainHeader => f.write_str("@nh,0,8 0x45 ip frag-off & 0x3fff == 0"),
            Match::ToMac(mac) => write!(f, "ether daddr {mac}"),
            Match::LengthUpTo(family, bytes) => {
                write!(f, "{} length <= {}", protocol(*family), length_field(*family, *bytes))
            }
            Match::Flow(family, set) => write!(f, "{} @{set}", Flow(*family)),
        }
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Address::InSet(set) => write!(f, "@{set}"),
            Address::NotInSet(set) => write!(f, "!= @{set}"),
            Address::Within(prefix) => write!(f, "{}", Operand(prefix)),
            Address::Outside(prefix) => write!(f, "!= {}", Operand(prefix)),
        }
    }
}

/// A prefix; that of one address without its length, as `nft` shows it.
struct Operand<'a>(&'a Prefix);

impl Display for Operand<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.len() == self.0.family().bits() { self.0.first().fmt(f) } else { self.0.fmt(f) }
    }
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Action::Accept => f.write_str("accept"),
            Action::Drop => f.write_str("counter drop"),
            Action::NoTrack => f.write_str("notrack"),
            Action::AcceptUntracked => f.write_str("notrack accept"),
            Action::KeepSource(family) => {
                let ip = protocol(*family);
                write!(f, "snat {ip} to {ip} saddr")
            }
            Action::SnatTo(address) => write!(f, "snat {} to {address}", protocol(Family::of(*address))),
            Action::Masquerade => f.write_str("masquerade"),
            Action::RewriteSource(_, to) => write_rewrite(f, "saddr", to),
            Action::RewriteDestination(_, to) => write_rewrite(f, "daddr", to),
            Action::ClampMss(bytes) => write!(f, "tcp option maxseg size set {bytes}"),
            Action::ClearFlowLabel => f.write_str("ip6 flowlabel set 0"),
            Action::Mark => write!(f, "meta mark set meta mark | {MARK:#010x}"),
            Action::Unmark => write!(f, "meta mark set meta mark & {:#010x}", !MARK),
            Action::Learn(family, set) => {
                write!(f, "add @{set} {{ {} : ether daddr }} accept", Flow(*family))
            }
            // `nft` has no words for where the MAC comes from, nor for keeping the sum right.
            Action::Encapsulate { source, to, .. } | Action::Deliver { source, to, .. } => {
                if let Action::Encapsulate { clear_label: true, .. } = self {
                    write!(f, "{} ", Action::ClearFlowLabel)?;
                }
                write!(f, "ether daddr set FOUND ether saddr set {source} fwd to \"{}\"", to.name)
            }
        }
    }
}

/// The direction of a connection.
struct Flow(Family);

impl Display for Flow {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ip = protocol(self.0);
        write!(f, "{ip} saddr . {ip} daddr . {} . @th,0,{}", protocol_field(self.0), PORTS * 8)
    }
}

fn protocol_field(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip protocol",
        Family::V6 => "ip6 nexthdr",
    }
}

fn protocol(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

fn write_rewrite(f: &mut Formatter<'_>, field: &str, to: &Prefix) -> fmt::Result {
    let ip = protocol(to.family());
    if to.len() == to.family().bits() {
        return write!(f, "{ip} {field} set {}", to.first());
    }
    write!(f, "{ip} {field} set {ip} {field} & {} | {}", host_mask(to), to.first())
}

/// The bits of an address that a prefix leaves open.
fn host_mask(prefix: &Prefix) -> IpAddr {
    let inverted: Vec<u8> = octets(prefix.mask()).iter().map(|byte| !byte).collect();
    match <[u8; 4]>::try_from(inverted.as_slice()) {
        Ok(octets) => IpAddr::from(octets),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(inverted.as_slice()).unwrap_or_default()),
    }
}
