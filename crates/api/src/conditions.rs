//! Conditions: findings made visible on the objects that caused them.
//!
//! Pure: the caller says what time it is. A condition whose status does not change keeps its time, and
//! one that does not change at all is equal to what was there, so that nothing is written.

use std::fmt::Write;

use causeway_model::{Finding, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::Kind;

/// Type of the condition that says whether every value of the object is in use.
pub const ACCEPTED: &str = "Accepted";
/// Type of the condition that says whether the object takes part.
pub const READY: &str = "Ready";
/// Type of the condition that says whether something is missing from what was asked for.
pub const DEGRADED: &str = "Degraded";
/// Type of the condition that says whether a node's kernel state is as planned.
pub const PROGRAMMED: &str = "Programmed";
/// Reason of [`PROGRAMMED`] on a NodeConfig that was deleted: nothing of it is left in the node's kernel.
pub const CLEANED_UP: &str = "CleanedUp";
/// Type of the condition that says whether, of each cluster that a node reaches over gateways, at least
/// one gateway answers the node's probes.
pub const GATEWAYS_REACHABLE: &str = "GatewaysReachable";
/// Type of the condition that says whether a cluster's CIDRs were found.
pub const DISCOVERED: &str = "Discovered";
/// Type of the condition that says whether a cluster that is being removed has cleaned up its nodes.
pub const LEFT: &str = "Left";

/// The longest message in bytes: a condition is read by people.
const MESSAGE_LIMIT: usize = 2048;

/// A condition before it is known when it came to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The condition's type, such as [`ACCEPTED`].
    pub type_: &'static str,
    /// Whether what the type says is so; `None` if that is not known.
    pub holds: Option<bool>,
    /// Why, as one CamelCase word.
    pub reason: String,
    /// Why, in words; may be empty.
    pub message: String,
}

impl Verdict {
    /// A verdict that is known.
    pub fn new(
        type_: &'static str,
        holds: bool,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Verdict {
        Verdict { type_, holds: Some(holds), reason: reason.into(), message: message.into() }
    }

    fn status(&self) -> &'static str {
        match self.holds {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        }
    }
}

/// Whether the condition is as one would have it: true, or for what is better false, false.
pub fn is_good(condition: &Condition) -> bool {
    condition.status == if condition.type_ == DEGRADED { "False" } else { "True" }
}

/// The types that network-manager's findings decide on an object of `kind`.
pub fn types(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::ClusterSet | Kind::PeerSlice => &[ACCEPTED],
        Kind::Cluster => &[ACCEPTED, READY, DEGRADED],
        Kind::ClusterNode => &[ACCEPTED, READY],
        // Whether a link or a node works is for the agents to say, not for the plan.
        Kind::ClusterLink => &[ACCEPTED, DEGRADED],
        Kind::NodeConfig | Kind::Diagnosis => &[],
    }
}

/// The type that a finding counts against.
fn type_of(reason: Reason) -> &'static str {
    match reason {
        Reason::InvalidValue
        | Reason::PrefixConflict
        | Reason::PrefixCoversUnderlay
        | Reason::PrefixReserved
        | Reason::PrefixInOverlayRange
        | Reason::PrefixOutsideCluster
        | Reason::PrefixOfOtherNode
        | Reason::FamilyNotUsed
        | Reason::InvalidGlobalCidr
        | Reason::DuplicateUnderlayAddress => ACCEPTED,
        Reason::OverlayExhausted | Reason::GlobalPoolExhausted | Reason::TooFewGateways => DEGRADED,
        Reason::NoGateway
        | Reason::NoCommonIpFamily
        | Reason::NoCommonUnderlayFamily
        | Reason::NoUnderlayAddress
        | Reason::NodeExcluded
        | Reason::UnknownCluster
        | Reason::NoNodes => READY,
    }
}

/// What `findings` on one object of `kind` come to: one verdict for each of its [`types`]. A finding
/// whose own type the kind does not have counts against the first.
pub fn verdicts<'a>(kind: Kind, findings: impl IntoIterator<Item = &'a Finding>) -> Vec<Verdict> {
    let mut sorted: Vec<&Finding> = findings.into_iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    let types = types(kind);
    let counts_against = |finding: &Finding| {
        let own = type_of(finding.reason);
        if types.contains(&own) { Some(own) } else { types.first().copied() }
    };
    types
        .iter()
        .map(|type_| {
            let against: Vec<&Finding> =
                sorted.iter().copied().filter(|f| counts_against(f) == Some(*type_)).collect();
            verdict(type_, &against)
        })
        .collect()
}

/// The verdicts on a ClusterLink. A link without prefixes is not accepted; one that has some carries
/// what it can, and what is missing makes it degraded.
pub fn link_verdicts(plan: &causeway_model::LinkPlan) -> Vec<Verdict> {
    let mut findings: Vec<&Finding> = plan.findings.iter().collect();
    findings.sort_unstable();
    findings.dedup();
    let (accepted, degraded) = if plan.prefixes.is_empty() {
        (verdict(ACCEPTED, &findings), verdict(DEGRADED, &[]))
    } else {
        (verdict(ACCEPTED, &[]), verdict(DEGRADED, &findings))
    };
    if plan.prefixes.is_empty() && findings.is_empty() {
        let message = "the remote cluster has no prefix that this one can reach";
        return vec![Verdict::new(ACCEPTED, false, "NoPrefixes", message), degraded];
    }
    vec![accepted, degraded]
}

fn verdict(type_: &'static str, against: &[&Finding]) -> Verdict {
    // Degraded is the one type that is better false.
    let good = type_ != DEGRADED;
    match against.first() {
        None if type_ == DEGRADED => Verdict::new(type_, false, "AsAsked", ""),
        None => Verdict::new(type_, true, type_, ""),
        Some(first) => Verdict::new(type_, !good, first.reason.as_str(), message(against)),
    }
}

fn message(findings: &[&Finding]) -> String {
    let mut text = String::new();
    for (index, finding) in findings.iter().enumerate() {
        let one = format!("{}: {}", finding.field, finding.message);
        if !text.is_empty() && text.len() + one.len() + 32 > MESSAGE_LIMIT {
            // Writing to a String cannot fail.
            let _ = write!(text, "; and {} more", findings.len() - index);
            break;
        }
        if !text.is_empty() {
            text.push_str("; ");
        }
        let fits = |(at, letter): &(usize, char)| at + letter.len_utf8() <= MESSAGE_LIMIT;
        text.extend(one.char_indices().take_while(fits).map(|(_, letter)| letter));
    }
    text
}

/// `existing` with `verdicts` put in: types that no verdict speaks of stay as they are, the order of
/// what was there is kept, new types come last. `now` is the transition time of conditions whose
/// status is new.
pub fn update(
    existing: &[Condition],
    verdicts: &[Verdict],
    observed_generation: Option<i64>,
    now: &Time,
) -> Vec<Condition> {
    let mut conditions = existing.to_vec();
    for verdict in verdicts {
        let place = conditions.iter().position(|c| c.type_ == verdict.type_);
        let since = place
            .map(|place| &conditions[place])
            .filter(|old| old.status == verdict.status())
            .map_or(now, |old| &old.last_transition_time);
        let condition = Condition {
            type_: verdict.type_.to_owned(),
            status: verdict.status().to_owned(),
            reason: verdict.reason.clone(),
            message: verdict.message.clone(),
            observed_generation,
            last_transition_time: since.clone(),
        };
        match place {
            Some(place) => conditions[place] = condition,
            None => conditions.push(condition),
        }
    }
    conditions
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_model::Subject;
    use k8s_openapi::jiff::Timestamp;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn finding(reason: Reason, message: &str) -> Finding {
        Finding {
            subject: Subject::Cluster("east".parse().unwrap()),
            field: "spec.podCIDRs[0]".to_owned(),
            reason,
            message: message.to_owned(),
        }
    }

    fn shown(conditions: &[Condition]) -> Vec<String> {
        conditions
            .iter()
            .map(|c| {
                format!("{}={} {} {}", c.type_, c.status, c.reason, c.last_transition_time.0.as_second())
            })
            .collect()
    }

    #[test]
    fn no_finding_is_said_too() {
        let conditions = update(&[], &verdicts(Kind::Cluster, []), Some(1), &at(5));
        assert_eq!(
            shown(&conditions),
            ["Accepted=True Accepted 5", "Ready=True Ready 5", "Degraded=False AsAsked 5"]
        );
    }

    #[test]
    fn each_finding_counts_against_its_type_in_any_order() {
        let mut findings = vec![
            finding(Reason::PrefixConflict, "b"),
            finding(Reason::TooFewGateways, "c"),
            finding(Reason::InvalidValue, "a"),
            finding(Reason::InvalidValue, "a"),
        ];
        let forward = verdicts(Kind::Cluster, &findings);
        findings.reverse();
        assert_eq!(verdicts(Kind::Cluster, &findings), forward);
        assert_eq!(
            forward[0],
            Verdict::new(ACCEPTED, false, "InvalidValue", "spec.podCIDRs[0]: a; spec.podCIDRs[0]: b")
        );
        assert_eq!((forward[1].holds, forward[2].holds), (Some(true), Some(true)));
    }

    #[test]
    fn a_finding_of_a_type_that_the_kind_lacks_is_not_lost() {
        let verdicts = verdicts(Kind::ClusterSet, &[finding(Reason::OverlayExhausted, "full")]);
        assert_eq!(verdicts.len(), 1);
        assert_eq!((verdicts[0].holds, verdicts[0].reason.as_str()), (Some(false), "OverlayExhausted"));
    }

    #[test]
    fn the_time_moves_with_the_status_only() {
        let bad = verdicts(Kind::ClusterSet, &[finding(Reason::InvalidValue, "a")]);
        let worse = verdicts(Kind::ClusterSet, &[finding(Reason::PrefixReserved, "b")]);
        let first = update(&[], &bad, Some(1), &at(5));
        let second = update(&first, &worse, Some(2), &at(6));
        assert_eq!(shown(&second), ["Accepted=False PrefixReserved 5"]);
        let third = update(&second, &verdicts(Kind::ClusterSet, []), Some(3), &at(7));
        assert_eq!(shown(&third), ["Accepted=True Accepted 7"]);
        assert_eq!(update(&third, &verdicts(Kind::ClusterSet, []), Some(3), &at(8)), third);
    }

    #[test]
    fn conditions_of_others_stay() {
        let other = Verdict { type_: PROGRAMMED, holds: None, reason: "NoAgent".into(), message: "".into() };
        let first = update(&[], &[other], None, &at(1));
        let second = update(&first, &verdicts(Kind::ClusterSet, []), None, &at(2));
        assert_eq!(shown(&second), ["Programmed=Unknown NoAgent 1", "Accepted=True Accepted 2"]);
    }

    #[test]
    fn many_findings_make_a_message_that_can_be_read() {
        let findings: Vec<Finding> =
            (0..200).map(|i| finding(Reason::InvalidValue, &format!("{i:03} {}", "é".repeat(40)))).collect();
        let verdicts = verdicts(Kind::ClusterSet, &findings);
        assert!(verdicts[0].message.len() <= MESSAGE_LIMIT);
        assert!(verdicts[0].message.ends_with(" more"), "{}", verdicts[0].message);
        let huge = finding(Reason::InvalidValue, &"é".repeat(5000));
        assert!(super::verdicts(Kind::ClusterSet, [&huge])[0].message.len() <= MESSAGE_LIMIT);
    }
}
