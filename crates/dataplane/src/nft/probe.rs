//! Whether this kernel can do what a fast path needs.

use causeway_model::{Family, Mac};

use super::ruleset::{Action, Base, ChainType, Hook, Link, Match, Protocol, Rule, SetKind, TableKind};
use super::socket::{Socket, apply};
use super::transaction::{Change, Transaction};
use crate::kernel::KernelError;

/// The device that every network namespace has, and its index (`LOOPBACK_IFINDEX`).
const LOOPBACK: (&str, u32) = ("lo", 1);

/// Whether nftables takes a table that has all that a fast path needs: hooks at devices, the one as packets leave (Linux
/// 5.16) included, flows that rules learn, and handing packets to devices. The table is gone before its
/// transaction ends. Where there is one already, it does. `None` where the kernel refused for a reason that may pass.
///
/// # Errors
/// [`KernelError`], other than that the kernel refused.
pub fn takes_fast_path(socket: &mut Socket) -> Result<Option<bool>, KernelError> {
    let Some(transaction) = Transaction::of(TableKind::Netdev, changes()) else { return Ok(Some(false)) };
    match apply(socket, &transaction) {
        Ok(()) => Ok(Some(true)),
        Err(KernelError::Refused { source, .. }) => Ok(match source.raw_os_error() {
            Some(libc::EEXIST) => Some(true),
            Some(libc::EOPNOTSUPP | libc::ENOENT | libc::EINVAL) => Some(false),
            _ => None,
        }),
        Err(error) => Err(error),
    }
}

fn changes() -> Vec<Change> {
    let (name, index) = LOOPBACK;
    let (family, to) = (Family::V4, Link { name: name.to_owned(), index });
    let flows = "flows".to_owned();
    let chain = |name: &str, hook| Change::AddChain {
        name: name.to_owned(),
        base: Base { chain_type: ChainType::Filter, hook, priority: 0, devices: vec![to.name.clone()] },
    };
    let rule = |chain: &str, matches, action| {
        let rule = Rule { matches, action, comment: "can it".to_owned() };
        Change::AddRule { chain: chain.to_owned(), rule }
    };
    let protocol = Protocol::Tcp;
    let of_protocol = Match::Protocol(family, protocol);
    let found = vec![of_protocol.clone(), Match::Flow(family, flows.clone())];
    let deliver = Action::Deliver { family, protocol, source: Mac([0; 6]), to: to.clone() };
    vec![
        Change::AddTable,
        Change::AddSet { name: flows.clone(), family, kind: SetKind::Flows },
        chain("in", Hook::Ingress),
        chain("out", Hook::Egress),
        rule("out", vec![of_protocol], Action::Learn(family, flows)),
        rule("in", found, deliver),
        Change::DeleteTable,
    ]
}
