//! Causes that one node's own evidence shows.

use causeway_api::{Obstacle, ObstacleKind};

use crate::finding::Findings;
use crate::{Cause, NodeEvidence};

/// By how many seconds clocks may differ: the request takes some of them to get to the agent.
const CLOCKS: i64 = 60;

/// Tells what is wrong with a node. Whether that explains why paths from and to it fail.
pub(crate) fn judge(node: &NodeEvidence, findings: &mut Findings) -> bool {
    let name = node.id.to_string();
    let Some(answer) = &node.answer else {
        findings.add(
            Cause::AgentSilent,
            &name,
            format!("{name} was asked to test and did not answer in time"),
        );
        return true;
    };
    if let (Some(asked), Some(began)) = (&node.asked.requested_at, &answer.began_at) {
        let ahead = began.0.as_second() - asked.0.as_second();
        if ahead.abs() > CLOCKS {
            let way = if ahead > 0 { "ahead of" } else { "behind" };
            let words = format!("the clock of {name} is {} s {way} the clock here", ahead.abs());
            findings.add(Cause::ClockOff, &name, words);
        }
    }
    let mut explains = false;
    // What was never programmed is caught by whatever else there is.
    let is_programmed = !obstacles(node).iter().any(|obstacle| is_of_programming(obstacle.kind));
    let counts = |obstacle: &&Obstacle| is_programmed || obstacle.kind != ObstacleKind::ForeignRoute;
    for obstacle in obstacles(node).iter().filter(counts) {
        let cause = match obstacle.kind {
            ObstacleKind::StrictReversePathFilter => Cause::ReversePathFilter,
            ObstacleKind::ForwardingOff => Cause::ForwardingOff,
            ObstacleKind::UnderlayNotOnHost => Cause::WrongUnderlay,
            ObstacleKind::EarlyMasquerade => Cause::EarlyMasquerade,
            ObstacleKind::ForeignRoute => Cause::ForeignRoute,
            ObstacleKind::PortTaken => Cause::PortTaken,
            ObstacleKind::MissingFeature => Cause::MissingFeature,
            ObstacleKind::NotProgrammed => Cause::NotProgrammed,
        };
        findings.add(cause, &name, format!("{name}: {}: {}", obstacle.subject, obstacle.detail));
        explains = true;
    }
    for counter in ["Tcp InCsumErrors", "Udp InCsumErrors", "Icmp InCsumErrors"] {
        let growth = node.growth(counter);
        if growth > 0 {
            let words = format!("{name}: {counter} grew by {growth} during the test");
            findings.add(Cause::Checksum, &name, words);
            explains = true;
        }
    }
    explains
}

fn obstacles(node: &NodeEvidence) -> &[Obstacle] {
    node.host().map(|host| host.obstacles.as_slice()).unwrap_or_default()
}

fn is_of_programming(kind: ObstacleKind) -> bool {
    match kind {
        ObstacleKind::PortTaken
        | ObstacleKind::MissingFeature
        | ObstacleKind::NotProgrammed
        | ObstacleKind::UnderlayNotOnHost => true,
        ObstacleKind::StrictReversePathFilter
        | ObstacleKind::ForwardingOff
        | ObstacleKind::EarlyMasquerade
        | ObstacleKind::ForeignRoute => false,
    }
}
