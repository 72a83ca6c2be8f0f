//! What a check found: each probe with its outcome, and whether that is as it should be.

use causeway_model::Family;
use serde::{Deserialize, Serialize};

use super::plan::Expected;
use super::{Answer, Outcome, Probe, table};
use crate::topology::Endpoint;

/// The result of a check.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Every probe that was sent.
    pub checks: Vec<Check>,
}

/// One probe, what was expected and what came.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Check {
    /// The probe.
    pub probe: Probe,
    /// What was expected.
    pub expected: Expected,
    /// What became of it.
    pub outcome: Outcome,
    /// How the two compare.
    pub verdict: Verdict,
}

/// How an outcome compares with what was expected.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// As expected.
    Fine,
    /// Not answered, and should have been.
    Unreachable,
    /// Answered, and should not have been.
    Reachable,
    /// The other end saw it come from another address than it should have.
    WrongSource,
    /// Answered by somebody else, or from another address than it was sent to.
    WrongResponder,
}

impl Check {
    pub(crate) fn new(probe: Probe, expected: Expected, outcome: Outcome) -> Check {
        let verdict = judge(&probe, &expected, &outcome);
        Check { probe, expected, outcome, verdict }
    }

    /// Whether the outcome is as expected.
    pub fn is_fine(&self) -> bool {
        self.verdict == Verdict::Fine
    }

    /// Round-trip time in microseconds, if there was an answer.
    pub fn rtt_microseconds(&self) -> Option<u64> {
        self.answer().map(|answer| answer.rtt_microseconds)
    }

    /// The answer, if there was one.
    pub fn answer(&self) -> Option<&Answer> {
        match &self.outcome {
            Outcome::Answered(answer) => Some(answer),
            _ => None,
        }
    }

    /// Who answered, if it is one of those expected.
    pub fn responder(&self) -> Option<&Endpoint> {
        let number = self.answer()?.responder;
        self.expected.responders.iter().find(|e| e.number() == number)
    }
}

fn judge(probe: &Probe, expected: &Expected, outcome: &Outcome) -> Verdict {
    let answer = match outcome {
        Outcome::Answered(answer) if expected.reachable => answer,
        Outcome::Answered(_) => return Verdict::Reachable,
        _ if expected.reachable => return Verdict::Unreachable,
        _ => return Verdict::Fine,
    };
    let known = answer.responder == 0 || expected.responders.iter().any(|e| e.number() == answer.responder);
    if !known || probe.address != Some(answer.from) {
        return Verdict::WrongResponder;
    }
    match (answer.seen, expected.seen) {
        (Some(seen), Some(wanted)) if seen != wanted => Verdict::WrongSource,
        _ => Verdict::Fine,
    }
}

impl Report {
    /// What is not as expected.
    pub fn findings(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| !check.is_fine())
    }

    /// Whether all is as expected, and something was checked at all.
    pub fn is_fine(&self) -> bool {
        !self.checks.is_empty() && self.findings().next().is_none()
    }

    /// The probes from `from` to `to`, either of them an endpoint, or a node or cluster for all that
    /// is in it.
    pub fn between<'a>(&'a self, from: &'a str, to: &'a str) -> impl Iterator<Item = &'a Check> {
        self.checks.iter().filter(move |c| c.probe.from.is_in(from) && c.probe.to.is_in(to))
    }

    /// Whether every probe from `from` to `to` in `family` was answered, and there was one.
    pub fn reaches(&self, from: &str, to: &str, family: Family) -> bool {
        let mut probes = self.between(from, to).filter(|c| c.probe.family == family).peekable();
        probes.peek().is_some() && probes.all(|c| c.answer().is_some())
    }

    /// The report as a table for people: a matrix of round-trip times for each family, and a line
    /// for each finding.
    pub fn to_table(&self) -> String {
        table::render(self)
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Probe { from, to, family, protocol, size, address, length } = &self.probe;
        let kind = format!("{protocol:?} {size:?}").to_lowercase();
        write!(f, "{from} -> {to} ")?;
        match address {
            Some(address) => write!(f, "({address}, {family}, {kind}, {length} bytes): ")?,
            None => write!(f, "({family}, {kind}): ")?,
        }
        match (&self.verdict, &self.outcome) {
            (Verdict::Unreachable, Outcome::NoAddress) => f.write_str("no address is known"),
            (Verdict::Unreachable, Outcome::Refused(error)) => write!(f, "unreachable: {error}"),
            (Verdict::Unreachable, _) => f.write_str("unreachable: no answer"),
            (Verdict::Reachable, _) => f.write_str("reachable, and should not be"),
            (Verdict::WrongSource, Outcome::Answered(Answer { seen: Some(seen), .. })) => {
                let wanted = self.expected.seen.map(|a| a.to_string()).unwrap_or_default();
                write!(f, "seen as {seen} in place of {wanted}")
            }
            (Verdict::WrongResponder, Outcome::Answered(answer)) => {
                write!(f, "answered from {} by somebody else ({:x})", answer.from, answer.responder)
            }
            _ => f.write_str("fine"),
        }
    }
}
