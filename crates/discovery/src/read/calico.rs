//! Calico's objects: pools, which node has which block, and addresses that others borrowed from a block.
//! `crd.projectcalico.org/v1` and `projectcalico.org/v3` have the same fields.

use std::net::IpAddr;

use serde_json::Value;

use super::{Statement, one, text};
use crate::loans::Loan;

/// An IPPool. One that is not for workloads (`allowedUses`) has addresses of tunnels or load balancers, and
/// nodes have blocks of it all the same.
pub(super) fn pool(object: &Value, said: &mut Statement) {
    if object.pointer("/spec/disabled").and_then(Value::as_bool) == Some(true) {
        return;
    }
    let uses = object.pointer("/spec/allowedUses").and_then(Value::as_array);
    let for_pods =
        uses.is_none_or(|uses| uses.is_empty() || uses.iter().any(|one| one.as_str() == Some("Workload")));
    let cidr = one(object, "spec.cidr", &mut said.findings);
    if for_pods {
        said.cluster = cidr;
    } else {
        said.not_pods = cidr;
    }
}

/// A BlockAffinity of Calico's own datastore: the block is the node's once it is confirmed. One of another
/// type than host is of no node.
pub(super) fn affinity(object: &Value, said: &mut Statement) {
    let deleted = matches!(object.pointer("/spec/deleted"), Some(Value::Bool(true)))
        || text(object, "/spec/deleted") == Some("true");
    let of_node = matches!(text(object, "/spec/type"), None | Some("" | "host"));
    if text(object, "/spec/state") != Some("confirmed") || deleted || !of_node {
        return;
    }
    let Some(node) = text(object, "/spec/node") else {
        said.findings.push("spec.node is missing".to_owned());
        return;
    };
    let node = node.to_owned();
    said.nodes =
        one(object, "spec.cidr", &mut said.findings).into_iter().map(|cidr| (node.clone(), cidr)).collect();
}

/// An IPAMBlock: `allocations[i]` is an index into `attributes` where address number i is in use, and
/// `secondary.node` there says whose pod it is. What is not the block's own node's was borrowed.
pub(super) fn block(object: &Value, said: &mut Statement) {
    let Some(block) = one(object, "spec.cidr", &mut said.findings).first().copied() else { return };
    let owner = text(object, "/spec/affinity").and_then(|affinity| affinity.strip_prefix("host:"));
    let attributes = object.pointer("/spec/attributes").and_then(Value::as_array);
    let node_of = |index: &Value| -> Option<&str> {
        let index = usize::try_from(index.as_u64()?).ok()?;
        text(attributes?.get(index)?, "/secondary/node")
    };
    let allocations = object.pointer("/spec/allocations").and_then(Value::as_array).into_iter().flatten();
    for (place, index) in allocations.enumerate() {
        let Some(node) = node_of(index).filter(|node| Some(*node) != owner) else { continue };
        let address: Option<IpAddr> = u128::try_from(place).ok().and_then(|place| block.nth(place));
        let loan = |address| Loan { address, lender: owner.map(str::to_owned), borrower: node.to_owned() };
        said.loans.extend(address.map(loan));
    }
}
