//! Reads our tables and the foreign forward chains that concern us.
//!
//! Several dumps make one state only if nothing changed between them: the kernel's generation number
//! is compared before and after, and all is read again if it moved.

use std::collections::BTreeMap;

use causeway_model::Family;

use super::decode::{self, RawChain};
use super::digest::Digest;
use super::elements::{self, RawElement};
use super::expression::text;
use super::foreign::{ForeignChain, ForeignChainId, ForeignRule};
use super::message::{family_number, kind, own_family, write_head};
use super::observed::{Observed, ObservedChain, ObservedSet, ObservedTable};
use super::ruleset::{Elements, SetKind, TABLE, TableKind};
use super::socket::Socket;
use super::uapi::*;
use crate::kernel::KernelError;
use crate::netlink::wire::{ACK, Body, DUMP};

/// How often a state that changes meanwhile is read before that is an error.
const ATTEMPTS: u32 = 16;
/// All families of tables, in a dump.
const ANY_FAMILY: u8 = 0;

/// Reads what is ours in nftables and what concerns us of the rest.
///
/// # Errors
/// [`KernelError`]; what comes back is whole and of one moment.
pub fn observe(socket: &mut Socket) -> Result<Observed, KernelError> {
    for _ in 0..ATTEMPTS {
        let before = generation(socket)?;
        let observed = read(socket);
        if generation(socket)? != before {
            continue;
        }
        return observed;
    }
    Err(KernelError::Interrupted { operation: "reading nftables", attempts: ATTEMPTS })
}

fn generation(socket: &mut Socket) -> Result<u32, KernelError> {
    let head = (kind(NFT_MSG_GETGEN), ACK);
    let body = |body: &mut Body<'_>| write_head(body, ANY_FAMILY, 0);
    socket.queries.query("read nftables generation", head, body, |number: &mut u32, message| {
        let (_, attributes) = decode::head(message.payload)?;
        *number = decode::number(attributes, NFTA_GEN_ID)?;
        Ok(())
    })
}

fn read(socket: &mut Socket) -> Result<Observed, KernelError> {
    let chains =
        dump(socket, "dump of nftables chains", (NFT_MSG_GETCHAIN, ANY_FAMILY), |_| {}, decode::chain)?;
    let of =
        |kind: TableKind| move |chain: &RawChain| chain.family == own_family(kind) && chain.table == TABLE;
    let (own, others): (Vec<_>, Vec<_>) = chains.into_iter().partition(of(TableKind::Inet));
    let (of_devices, foreign): (Vec<_>, Vec<_>) = others.into_iter().partition(of(TableKind::Netdev));
    let table = read_table(socket, TableKind::Inet, own)?;
    let fast_path = read_table(socket, TableKind::Netdev, of_devices)?;
    let mut foreign_forward = Vec::new();
    for chain in foreign {
        foreign_forward
            .extend(read_foreign(socket, chain)?.filter(|chain| chain.drops() || chain.has_ours()));
    }
    foreign_forward.sort_by(|a: &ForeignChain, b| a.id.cmp(&b.id));
    Ok(Observed { table, fast_path, foreign_forward })
}

fn read_table(
    socket: &mut Socket,
    kind: TableKind,
    chains: Vec<RawChain>,
) -> Result<Option<ObservedTable>, KernelError> {
    let family = own_family(kind);
    let Some(flags) = table_flags(socket, family)? else {
        return Ok(None);
    };
    let mut rules: BTreeMap<String, Vec<Option<Digest>>> = BTreeMap::new();
    let head = (NFT_MSG_GETRULE, family);
    for (chain, digest) in dump(socket, "dump of our nftables rules", head, own_table, decode::own_rule)? {
        rules.entry(chain).or_default().push(digest);
    }
    let chains = chains.into_iter().map(|chain| {
        let rules = rules.remove(&chain.name).unwrap_or_default();
        (chain.name, ObservedChain { base: chain.base.and_then(|base| base.ours(kind)), rules })
    });
    let chains = chains.collect();
    let head = (NFT_MSG_GETSET, family);
    let found = dump(socket, "dump of our nftables sets", head, own_table, elements::set)?;
    let mut sets = BTreeMap::new();
    for (name, shape) in found {
        let set = match shape {
            Some((of, SetKind::Flows)) => ObservedSet::Plain { family: of, elements: Elements::Flows },
            Some((of, set_kind)) => read_set(socket, family, &name, of, set_kind)?,
            None => ObservedSet::Odd,
        };
        sets.insert(name, set);
    }
    Ok(Some(ObservedTable { flagged: flags != 0, sets, chains }))
}

/// The flags of our table of this family; `None` if there is no such table.
fn table_flags(socket: &mut Socket, family: u8) -> Result<Option<u32>, KernelError> {
    let body = |body: &mut Body<'_>| {
        write_head(body, family, 0);
        own_table(body);
    };
    let head = (kind(NFT_MSG_GETTABLE), ACK);
    let flags = socket.queries.query("read our nftables table", head, body, |flags: &mut u32, message| {
        let (_, attributes) = decode::head(message.payload)?;
        *flags = decode::number(attributes, NFTA_TABLE_FLAGS)?;
        Ok(())
    });
    match flags {
        Ok(flags) => Ok(Some(flags)),
        Err(KernelError::Refused { source, .. }) if source.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The name of our table: attribute 1 of chains, rules, sets and lists of elements.
pub(super) fn own_table(body: &mut Body<'_>) {
    text(body, NFTA_TABLE_NAME, TABLE);
}

fn read_set(
    socket: &mut Socket,
    table: u8,
    name: &str,
    family: Family,
    set_kind: SetKind,
) -> Result<ObservedSet, KernelError> {
    let body = |body: &mut Body<'_>| {
        write_head(body, table, 0);
        own_table(body);
        text(body, NFTA_SET_ELEM_LIST_SET, name);
    };
    let head = (kind(NFT_MSG_GETSETELEM), DUMP);
    let take = |raw: &mut Vec<RawElement>, message: &crate::netlink::wire::Message<'_>| {
        elements::elements(message.payload, raw)
    };
    let operation = "dump of nftables set elements";
    for _ in 0..ATTEMPTS {
        let mut raw = socket.queries.query(operation, head, body, take)?;
        if !elements::sort_whole(&mut raw) {
            continue;
        }
        return Ok(match elements::assemble(set_kind, &raw) {
            Some(elements) => ObservedSet::Plain { family, elements },
            None => ObservedSet::Odd,
        });
    }
    Err(KernelError::Interrupted { operation, attempts: ATTEMPTS })
}

/// A chain of others, if it is a base chain at the forward hook that sees IP packets.
fn read_foreign(socket: &mut Socket, chain: RawChain) -> Result<Option<ForeignChain>, KernelError> {
    let family = decode::table_family(chain.family);
    let (Some(family), Some(base)) = (family, chain.base.filter(decode::RawBase::is_forward)) else {
        return Ok(None);
    };
    let policy = base.fate();
    let names = |body: &mut Body<'_>| {
        text(body, NFTA_RULE_TABLE, &chain.table);
        text(body, NFTA_RULE_CHAIN, &chain.name);
    };
    let head = (NFT_MSG_GETRULE, family_number(family));
    let read = |payload: &[u8]| decode::foreign_rule(payload, policy);
    let rules = dump(socket, "dump of a foreign forward chain", head, names, read)?
        .into_iter()
        .map(|(handle, kind)| ForeignRule { handle, kind })
        .collect();
    let id = ForeignChainId { family, table: chain.table, chain: chain.name };
    Ok(Some(ForeignChain { id, policy, rules }))
}

pub(super) fn dump<T>(
    socket: &mut Socket,
    operation: &'static str,
    (message, family): (u16, u8),
    body: impl Fn(&mut Body<'_>),
    read: impl Fn(&[u8]) -> Result<T, crate::netlink::wire::Malformed>,
) -> Result<Vec<T>, KernelError> {
    let write = |out: &mut Body<'_>| {
        write_head(out, family, 0);
        body(out);
    };
    socket.queries.query(operation, (kind(message), DUMP), write, |all: &mut Vec<T>, message| {
        all.push(read(message.payload)?);
        Ok(())
    })
}
