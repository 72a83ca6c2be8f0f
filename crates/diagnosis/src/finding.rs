//! Findings: a cause, whom it is about, and why it is named.

use std::collections::BTreeMap;

use crate::Cause;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What.
    pub cause: Cause,
    /// Whom it is about: nodes as `CLUSTER/NODE`, pairs of nodes as `A ↔ B` or `A → B`, clusters.
    pub subjects: Vec<String>,
    /// What was seen.
    pub evidence: Vec<String>,
}

/// Findings, one of each cause.
#[derive(Debug, Default)]
pub(crate) struct Findings(BTreeMap<Cause, Finding>);

impl Findings {
    /// Adds what was seen.
    pub fn add(&mut self, cause: Cause, subject: impl Into<String>, evidence: impl Into<String>) {
        let finding = self.0.entry(cause).or_insert_with(|| Finding {
            cause,
            subjects: Vec::new(),
            evidence: Vec::new(),
        });
        let (subject, evidence) = (subject.into(), evidence.into());
        if !finding.subjects.contains(&subject) {
            finding.subjects.push(subject);
        }
        if !finding.evidence.contains(&evidence) {
            finding.evidence.push(evidence);
        }
    }

    /// All of them, by code.
    pub fn into_vec(self) -> Vec<Finding> {
        self.0.into_values().collect()
    }
}
