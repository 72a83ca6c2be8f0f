//! Names causes by evidence. Causes on a node come first: what they explain is not told again as a fault of a path.

use std::collections::BTreeSet;

use causeway_api::{DiagnosisSpec, DiagnosisStatus, HostEvidence};
use causeway_model::NodeId;

use crate::finding::Findings;
use crate::{Cause, Finding, nodes, paths, services};

/// What one node was asked, and what it found.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeEvidence {
    /// The node.
    pub id: NodeId,
    /// What it was asked.
    pub asked: DiagnosisSpec,
    /// What it found; `None` if it did not answer.
    pub answer: Option<DiagnosisStatus>,
}

impl NodeEvidence {
    /// What the node looks like to its agent.
    pub(crate) fn host(&self) -> Option<&HostEvidence> {
        self.answer.as_ref()?.host.as_ref()
    }

    /// By how much a counter grew during the tests.
    pub(crate) fn growth(&self, name: &str) -> i64 {
        let counters = self.host().map(|host| host.counters.as_slice()).unwrap_or_default();
        counters.iter().find(|counter| counter.name == name).map_or(0, |counter| counter.growth)
    }
}

/// Something that the plan refuses because another cluster has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Whose it is: an object.
    pub object: String,
    /// Why, in words.
    pub message: String,
}

/// All that there is to judge by.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Evidence {
    /// Each node that was asked.
    pub nodes: Vec<NodeEvidence>,
    /// Prefixes that overlap those of other clusters.
    pub overlaps: Vec<Refused>,
    /// What an API server refused to this command or to an agent.
    pub rights: Vec<Refused>,
}

/// What is wrong, by code; nothing if all is well.
pub fn diagnose(evidence: &Evidence) -> Vec<Finding> {
    let mut findings = Findings::default();
    for Refused { object, message } in &evidence.rights {
        findings.add(Cause::RightsMissing, object, message);
    }
    for Refused { object, message } in &evidence.overlaps {
        findings.add(Cause::Overlap, object, message);
    }
    let explained: BTreeSet<&NodeId> =
        evidence.nodes.iter().filter(|node| nodes::judge(node, &mut findings)).map(|node| &node.id).collect();
    paths::judge(&evidence.nodes, &explained, &mut findings);
    services::judge(&evidence.nodes, &explained, &mut findings);
    findings.into_vec()
}

#[cfg(test)]
mod tests;
