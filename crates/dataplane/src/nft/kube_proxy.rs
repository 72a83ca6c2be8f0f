//! What of kube-proxy shows in nftables: its own tables in its nftables mode, its chains in those of iptables-nft otherwise.

use std::collections::BTreeSet;

use super::decode;
use super::observe::dump;
use super::socket::Socket;
use super::uapi::*;
use crate::kernel::KernelError;

/// Families of all tables, in a dump.
const ANY_FAMILY: u8 = 0;
/// The table of its nftables mode (`pkg/proxy/nftables` of Kubernetes).
const TABLE: &str = "kube-proxy";
/// The chain of its iptables mode that every request to a Service passes (`pkg/proxy/iptables`).
const CHAIN: &str = "KUBE-SERVICES";

/// The tables and chains of kube-proxy, in words.
///
/// # Errors
/// [`KernelError`].
pub fn kube_proxy(socket: &mut Socket) -> Result<BTreeSet<String>, KernelError> {
    let read = |payload: &[u8]| {
        let chain = decode::chain(payload)?;
        let Some(family) = decode::table_family(chain.family) else { return Ok(None) };
        Ok(match (chain.table.as_str(), chain.name.as_str()) {
            (TABLE, _) => Some(format!("table {family} {TABLE}")),
            ("nat", CHAIN) => Some(format!("chain {family} nat {CHAIN}")),
            _ => None,
        })
    };
    let head = (NFT_MSG_GETCHAIN, ANY_FAMILY);
    let found = dump(socket, "dump of nftables chains", head, |_| {}, read)?;
    Ok(found.into_iter().flatten().collect())
}
