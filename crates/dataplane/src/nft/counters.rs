//! What our table has counted: packets that rules dropped, and what came from where.

use std::collections::BTreeMap;

use super::decode::{self, comment, expression, find, long, verdict};
use super::elements;
use super::expression::text;
use super::message::{kind, own_family, write_head};
use super::observe::{dump, own_table};
use super::ruleset::{Origin, SetKind, TableKind};
use super::socket::Socket;
use super::uapi::*;
use crate::kernel::KernelError;
use crate::netlink::wire::{Body, DUMP, Malformed};

/// Reads the packets that were dropped, by the comment of the rule without its digest; of rules that say the same,
/// the sum. A rule that has dropped nothing is in it too.
///
/// # Errors
/// [`KernelError`]. Where there is no table of ours nothing was dropped.
pub fn drops(socket: &mut Socket) -> Result<BTreeMap<String, u64>, KernelError> {
    let write = |body: &mut Body<'_>| {
        write_head(body, NFPROTO_INET, 0);
        own_table(body);
    };
    let head = (kind(NFT_MSG_GETRULE), DUMP);
    let read = socket.queries.query(
        "dump of our nftables counters",
        head,
        write,
        |all: &mut BTreeMap<String, u64>, message| {
            if let Some((reason, packets)) = dropped(message.payload)? {
                *all.entry(reason.to_owned()).or_default() += packets;
            }
            Ok(())
        },
    );
    or_nothing(read)
}

/// Nothing, where there is no table or no set of that name.
fn or_nothing<T: Default>(read: Result<T, KernelError>) -> Result<T, KernelError> {
    match read {
        Err(KernelError::Refused { source, .. }) if source.raw_os_error() == Some(libc::ENOENT) => {
            Ok(T::default())
        }
        read => read,
    }
}

/// What came out of tunnels from one origin and was let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    /// Which table counted it.
    pub table: TableKind,
    /// From where, and who sent it.
    pub origin: Origin,
    /// Inner packets, since the origin is known.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Reads what came out of tunnels and was let in, by where it came from. What takes the fast path is counted apart.
///
/// # Errors
/// [`KernelError`]. Where there is no table of ours nothing came.
pub fn received(socket: &mut Socket) -> Result<Vec<Received>, KernelError> {
    let mut all = received_by(socket, TableKind::Inet)?;
    all.extend(received_by(socket, TableKind::Netdev)?);
    Ok(all)
}

fn received_by(socket: &mut Socket, table: TableKind) -> Result<Vec<Received>, KernelError> {
    let mut all = Vec::new();
    let head = (NFT_MSG_GETSET, own_family(table));
    let sets = or_nothing(dump(socket, "dump of our nftables sets", head, own_table, elements::set))?;
    let of_origins = |shape: Option<_>| shape.is_some_and(|(_, kind)| kind == SetKind::Origins);
    for (name, _) in sets.into_iter().filter(|(_, shape)| of_origins(*shape)) {
        let names = |body: &mut Body<'_>| {
            own_table(body);
            text(body, NFTA_SET_ELEM_LIST_SET, &name);
        };
        let head = (NFT_MSG_GETSETELEM, own_family(table));
        let counted = |payload: &[u8]| elements::counted(table, payload);
        let read = dump(socket, "dump of nftables set elements", head, names, counted);
        all.extend(or_nothing(read)?.into_iter().flatten());
    }
    Ok(all)
}

/// What a rule says and how many packets it has dropped; `None` if it drops none or does not count.
fn dropped(payload: &[u8]) -> Result<Option<(&str, u64)>, Malformed> {
    let (_, attributes) = decode::head(payload)?;
    let Some((reason, _)) = comment(attributes)?.rsplit_once(" #") else { return Ok(None) };
    let Some(list) = find(attributes, NFTA_RULE_EXPRESSIONS)? else { return Ok(None) };
    let (mut packets, mut drops) = (None, false);
    for item in list.nested() {
        match expression(item?)? {
            ("counter", counter) => packets = Some(long(counter, NFTA_COUNTER_PACKETS)?),
            ("immediate", immediate) => drops |= verdict(immediate)? == Some(NF_DROP),
            _ => {}
        }
    }
    Ok(packets.filter(|_| drops).map(|packets| (reason, packets)))
}
