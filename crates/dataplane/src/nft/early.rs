//! Chains of others that translate sources ahead of ours: what they touch, our chain does not keep any more.

use super::decode::{self, expression, find, need, number, verdict};
use super::expression::text;
use super::foreign::ForeignChainId;
use super::message::family_number;
use super::observe::dump;
use super::socket::Socket;
use super::uapi::*;
use crate::device::Device;
use crate::kernel::KernelError;
use crate::netlink::wire::{Attributes, Malformed};

/// The priority of our own chain of that kind: just ahead of `srcnat`.
pub const OWN_PRIORITY: i32 = 99;
/// `NF_INET_POST_ROUTING`.
const POSTROUTING: u32 = 4;
/// Families of all tables, in a dump.
const ANY_FAMILY: u8 = 0;

/// Foreign base chains of type nat at postrouting with a priority ahead of ours in which a rule translates sources.
/// Chains that they jump to are not looked at. One that first lets pass what leaves through our tunnels is passed over.
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
        let rules = dump(socket, "dump of a foreign nat chain", head, names, kind)?;
        let first = rules.into_iter().find(|kind| *kind != Kind::Other);
        if first == Some(Kind::Translates) {
            early.push(ForeignChainId { family, table: chain.table, chain: chain.name });
        }
    }
    Ok(early)
}

/// What a rule means for packets into our tunnels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// It translates sources.
    Translates,
    /// It lets pass what leaves through a tunnel, whatever else it is.
    LeavesOut,
    Other,
}

fn kind(payload: &[u8]) -> Result<Kind, Malformed> {
    let (_, attributes) = decode::head(payload)?;
    let Some(list) = find(attributes, NFTA_RULE_EXPRESSIONS)? else { return Ok(Kind::Other) };
    let mut expressions = Vec::new();
    for item in list.nested() {
        let (name, data) = expression(item?)?;
        match name {
            // iptables-nft writes MASQUERADE and SNAT as extensions of its own.
            "masq" | "nat" | "target" => return Ok(Kind::Translates),
            "counter" => {}
            _ => expressions.push((name, data)),
        }
    }
    let [("meta", meta), (comparison, compared), ("immediate", end)] = expressions[..] else {
        return Ok(Kind::Other);
    };
    let by_name = number(meta, NFTA_META_KEY)? == NFT_META_OIFNAME;
    let lets_pass = matches!(verdict(end)?, Some(NF_ACCEPT | NFT_RETURN));
    let of_tunnels = match comparison {
        "cmp" => names_tunnel(compared)?,
        // What is in the set is not looked at.
        "lookup" => true,
        _ => false,
    };
    Ok(if by_name && lets_pass && of_tunnels { Kind::LeavesOut } else { Kind::Other })
}

/// Whether a comparison holds for a tunnel's name: with the whole of it, or, without the zero byte that ends a name, with how it begins.
fn names_tunnel(comparison: Attributes<'_>) -> Result<bool, Malformed> {
    if number(comparison, NFTA_CMP_OP)? != NFT_CMP_EQ {
        return Ok(false);
    }
    let name = need(need(comparison, NFTA_CMP_DATA)?.nested(), NFTA_DATA_VALUE)?.value;
    let whole = name.iter().position(|byte| *byte == 0).map(|end| &name[..end]);
    Ok(Device::ALL.iter().any(|device| {
        let tunnel = device.name().as_bytes();
        whole.map_or_else(|| tunnel.starts_with(name), |whole| tunnel == whole)
    }))
}
