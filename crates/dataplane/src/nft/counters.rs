//! How many packets the rules of our table have dropped.

use std::collections::BTreeMap;

use super::decode::{self, comment, expression, find, need, verdict};
use super::message::{kind, write_head};
use super::observe::own_table;
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
    match read {
        Err(KernelError::Refused { source, .. }) if source.raw_os_error() == Some(libc::ENOENT) => {
            Ok(BTreeMap::new())
        }
        read => read,
    }
}

/// What a rule says and how many packets it has dropped; `None` if it drops none or does not count.
fn dropped(payload: &[u8]) -> Result<Option<(&str, u64)>, Malformed> {
    let (_, attributes) = decode::head(payload)?;
    let Some((reason, _)) = comment(attributes)?.rsplit_once(" #") else { return Ok(None) };
    let Some(list) = find(attributes, NFTA_RULE_EXPRESSIONS)? else { return Ok(None) };
    let (mut packets, mut drops) = (None, false);
    for item in list.nested() {
        match expression(item?)? {
            ("counter", counter) => {
                let number = need(counter, NFTA_COUNTER_PACKETS)?;
                let wrong = |_| Malformed::Length { kind: number.kind, length: number.value.len() };
                packets = Some(u64::from_be_bytes(number.value.try_into().map_err(wrong)?));
            }
            ("immediate", immediate) => drops |= verdict(immediate)? == Some(NF_DROP),
            _ => {}
        }
    }
    Ok(packets.filter(|_| drops).map(|packets| (reason, packets)))
}
