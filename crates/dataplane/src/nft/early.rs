//! Chains of others that translate sources ahead of ours: what they touch, our chain does not keep any more.

use super::decode::{self, expression, find};
use super::expression::text;
use super::foreign::ForeignChainId;
use super::message::family_number;
use super::observe::dump;
use super::socket::Socket;
use super::uapi::*;
use crate::kernel::KernelError;
use crate::netlink::wire::Malformed;

/// The priority of our own chain of that kind: just ahead of `srcnat`.
pub const OWN_PRIORITY: i32 = 99;
/// `NF_INET_POST_ROUTING`.
const POSTROUTING: u32 = 4;
/// Families of all tables, in a dump.
const ANY_FAMILY: u8 = 0;

/// Foreign base chains of type nat at postrouting with a priority ahead of ours in which a rule translates sources.
/// Chains that they jump to are not looked at.
///
/// # Errors
/// [`KernelError`].
pub fn early_source_nat(socket: &mut Socket) -> Result<Vec<ForeignChainId>, KernelError> {
    let chains =
        dump(socket, "dump of nftables chains", (NFT_MSG_GETCHAIN, ANY_FAMILY), |_| {}, decode::chain)?;
    let mut early = Vec::new();
    for chain in chains {
        let Some(family) = decode::table_family(chain.family) else { continue };
        let is_early = chain.base.as_ref().is_some_and(|base| {
            base.hook == POSTROUTING && base.chain_type == "nat" && base.priority < OWN_PRIORITY
        });
        if !is_early {
            continue;
        }
        let names = |body: &mut crate::netlink::wire::Body<'_>| {
            text(body, NFTA_RULE_TABLE, &chain.table);
            text(body, NFTA_RULE_CHAIN, &chain.name);
        };
        let head = (NFT_MSG_GETRULE, family_number(family));
        let rules = dump(socket, "dump of a foreign nat chain", head, names, translates)?;
        if rules.contains(&true) {
            early.push(ForeignChainId { family, table: chain.table, chain: chain.name });
        }
    }
    Ok(early)
}

/// Whether a rule translates.
fn translates(payload: &[u8]) -> Result<bool, Malformed> {
    let (_, attributes) = decode::head(payload)?;
    let Some(list) = find(attributes, NFTA_RULE_EXPRESSIONS)? else { return Ok(false) };
    for item in list.nested() {
        // iptables-nft writes MASQUERADE and SNAT as extensions of its own.
        if matches!(expression(item?)?.0, "masq" | "nat" | "target") {
            return Ok(true);
        }
    }
    Ok(false)
}
