//! What is said at the hub of how it goes: sums over the nodes of the cluster.

use std::collections::BTreeMap;

use causeway_api::conditions::{LEFT, PROGRAMMED, READY, Verdict, update};
use causeway_api::{
    ClusterLinkStatus, ClusterStatus, NodeCount, loss_average, loss_differs, loss_of_text, loss_text,
    rtt_differs, rtt_median, rtt_of_text, rtt_text,
};
use causeway_discovery::ClusterFindings;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::copies::{Report, Seen};

/// Why a node is not programmed of which nothing is known.
const AGENT_SILENT: &str = "AgentSilent";
/// How many nodes a message names at most.
const NAMED: usize = 3;

/// A cluster's nodes as their agents see them; `None` for those that have not reported.
pub type Reports<'a> = Vec<(&'a str, Option<&'a Report>)>;

/// The status of a cluster after what was found, what its nodes say and, where it is being removed, how
/// many of them have not cleaned up yet.
pub fn cluster(
    before: &ClusterStatus,
    found: Option<&ClusterFindings>,
    nodes: &Reports<'_>,
    left: Option<usize>,
    generation: Option<i64>,
    now: &Time,
) -> ClusterStatus {
    let mut status = before.clone();
    let mut verdicts = vec![programmed(nodes)];
    if let Some(found) = found {
        status.cni.clone_from(&found.cni);
        // CIDRs that were found once and are not found now stay: others route by them.
        if !found.pod_cidrs.is_empty() {
            status.pod_cidrs.clone_from(&found.pod_cidrs);
        }
        if !found.service_cidrs.is_empty() {
            status.service_cidrs.clone_from(&found.service_cidrs);
        }
        verdicts.push(found.verdict.clone());
    }
    let ready = nodes.iter().filter(|(_, report)| report.is_some_and(|report| report.programmed)).count();
    status.nodes = Some(NodeCount { ready: count(ready), total: count(nodes.len()) });
    match left {
        Some(0) => {
            verdicts.push(Verdict::new(LEFT, true, "CleanedUp", "no node has anything of Causeway left"))
        }
        Some(left) => {
            let message = format!("{left} nodes are still to clean up");
            verdicts.push(Verdict::new(LEFT, false, "CleaningUp", message));
        }
        None => status.conditions.retain(|condition| condition.type_ != LEFT),
    }
    status.conditions = update(&status.conditions, &verdicts, generation, now);
    status
}

fn count(of: usize) -> Option<i64> {
    i64::try_from(of).ok()
}

/// Whether all nodes are as planned, and some of those that are not.
fn programmed(nodes: &Reports<'_>) -> Verdict {
    let not: Vec<&(&str, Option<&Report>)> =
        nodes.iter().filter(|(_, report)| !report.is_some_and(|report| report.programmed)).collect();
    if not.is_empty() {
        return Verdict::new(PROGRAMMED, true, "InKernel", "");
    }
    let said = |(node, report): &(&str, Option<&Report>)| match report.and_then(|report| report.why.as_ref())
    {
        Some((reason, message)) => format!("{node}: {reason}: {message}"),
        None => format!("{node}: its agent has not reported"),
    };
    let mut message: Vec<String> = not.iter().take(NAMED).map(|node| said(node)).collect();
    if not.len() > NAMED {
        message.push(format!("and {} more", not.len() - NAMED));
    }
    let reasons = not.iter().find_map(|(_, report)| report.and_then(|report| report.why.as_ref()));
    let reason = reasons.map_or(AGENT_SILENT, |(reason, _)| reason.as_str());
    Verdict::new(PROGRAMMED, false, reason, message.join("; "))
}

/// What the nodes are in trouble with, by reason: how many, and some of them in their own words.
pub fn troubles(nodes: &Reports<'_>) -> BTreeMap<String, String> {
    let mut found: BTreeMap<&str, (usize, Vec<String>)> = BTreeMap::new();
    let silent = (AGENT_SILENT.to_owned(), "its agent has not reported".to_owned());
    for (node, report) in nodes {
        let troubles = report.map_or(std::slice::from_ref(&silent), |report| report.troubles.as_slice());
        for (reason, message) in troubles {
            let (count, some) = found.entry(reason).or_default();
            *count += 1;
            if some.len() < NAMED {
                some.push(format!("{node}: {message}"));
            }
        }
    }
    let told = |(count, some): (usize, Vec<String>)| {
        let more = count - some.len();
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        format!("{count} of {} nodes: {}{more}", nodes.len(), some.join("; "))
    };
    found.into_iter().map(|(reason, nodes)| (reason.to_owned(), told(nodes))).collect()
}

/// The status of the link to `remote` after what the nodes say of it.
pub fn link(before: &ClusterLinkStatus, remote: &str, nodes: &Reports<'_>, now: &Time) -> ClusterLinkStatus {
    let said: Vec<Seen> = nodes
        .iter()
        .filter_map(|(_, report)| report.and_then(|report| report.links.get(remote)))
        .copied()
        .collect();
    let ready = said.iter().filter(|seen| seen.ready).count();
    let rtt = rtt_median(said.iter().filter_map(|seen| seen.rtt));
    let loss = loss_average(said.iter().filter_map(|seen| seen.loss));
    let verdict = match (ready, nodes.len()) {
        (_, 0) => Verdict::new(READY, false, "NoNodes", "no node of the source cluster takes part"),
        (0, _) => Verdict::new(READY, false, "NoWay", "no node has a way to the remote cluster that works"),
        (ready, all) if ready == all => Verdict::new(READY, true, "Ready", ""),
        (ready, all) => {
            Verdict::new(READY, true, "PartlyReady", format!("{ready} of {all} nodes have a way that works"))
        }
    };
    ClusterLinkStatus {
        nodes: Some(NodeCount { ready: count(ready), total: count(nodes.len()) }),
        rtt: rtt.map(|rtt| told(before.rtt.as_deref(), rtt, rtt_of_text, rtt_differs, rtt_text)),
        loss: loss.map(|loss| told(before.loss.as_deref(), loss, loss_of_text, loss_differs, loss_text)),
        conditions: update(&before.conditions, &[verdict], None, now),
        ..before.clone()
    }
}

/// The text of a figure to tell: what was told `before`, unless the figure is plainly another. A node more is no news.
fn told(
    before: Option<&str>,
    figure: i64,
    read: fn(&str) -> Option<i64>,
    differs: fn(i64, i64) -> bool,
    text: fn(i64) -> String,
) -> String {
    match before.filter(|before| read(before).is_some_and(|told| !differs(told, figure))) {
        Some(before) => before.to_owned(),
        None => text(figure),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn now() -> Time {
        Time(Timestamp::UNIX_EPOCH)
    }

    fn report(programmed: bool, links: &[(&str, bool, Option<i64>)]) -> Report {
        let why = (!programmed).then(|| ("ChangesFailed".to_owned(), "no".to_owned()));
        let links = links
            .iter()
            .map(|(name, ready, rtt)| ((*name).to_owned(), Seen { ready: *ready, rtt: *rtt, loss: None }));
        let troubles = why.iter().cloned().collect();
        Report { programmed, why, troubles, links: links.collect() }
    }

    #[test]
    fn nodes_that_are_not_as_planned_are_named_with_their_reason() {
        let (good, bad) = (report(true, &[]), report(false, &[]));
        let mut nodes: Reports<'_> = vec![("n1", Some(&good)), ("n2", Some(&bad)), ("n3", None)];
        let status = cluster(&ClusterStatus::default(), None, &nodes, None, Some(1), &now());
        assert_eq!(status.nodes, Some(NodeCount { ready: Some(1), total: Some(3) }));
        let condition = &status.conditions[0];
        assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("False", "ChangesFailed"));
        assert!(
            condition.message.contains("n2: ChangesFailed") && condition.message.contains("n3: its agent")
        );
        nodes.truncate(1);
        let status = cluster(&status, None, &nodes, None, Some(1), &now());
        assert_eq!(status.conditions[0].status, "True");
    }

    #[test]
    fn trouble_is_summed_up_by_its_reason_and_bounded() {
        let (good, bad) = (report(true, &[]), report(false, &[]));
        let names: Vec<String> = (1..=9).map(|number| format!("n{number}")).collect();
        let mut nodes: Reports<'_> = names.iter().map(|name| (name.as_str(), Some(&bad))).collect();
        nodes[0].1 = Some(&good);
        nodes[1].1 = None;
        let told = troubles(&nodes);
        assert_eq!(told["AgentSilent"], "1 of 9 nodes: n2: its agent has not reported");
        assert_eq!(told["ChangesFailed"], "7 of 9 nodes: n3: no; n4: no; n5: no; and 4 more");
        assert_eq!(told.len(), 2);
        assert!(troubles(&vec![("n1", Some(&good))]).is_empty());
    }

    #[test]
    fn cidrs_that_are_not_found_any_more_stay() {
        let verdict = |found| Verdict::new(causeway_api::conditions::DISCOVERED, found, "R", "");
        let cidr = |cidr: &str| causeway_api::DiscoveredCidr { cidr: cidr.into(), source: String::new() };
        let found = ClusterFindings {
            cni: Some("flannel".to_owned()),
            pod_cidrs: vec![cidr("10.1.0.0/16")],
            service_cidrs: vec![cidr("10.96.0.0/16")],
            verdict: verdict(true),
        };
        let first = cluster(&ClusterStatus::default(), Some(&found), &Vec::new(), None, None, &now());
        let nothing = ClusterFindings {
            cni: None,
            pod_cidrs: Vec::new(),
            service_cidrs: Vec::new(),
            verdict: verdict(false),
        };
        let second = cluster(&first, Some(&nothing), &Vec::new(), None, None, &now());
        assert_eq!(second.pod_cidrs, first.pod_cidrs);
        let discovered = second.conditions.iter().find(|condition| condition.type_ == "Discovered").unwrap();
        assert_eq!(discovered.status, "False");
    }

    #[test]
    fn a_cluster_has_left_when_all_nodes_have_cleaned_up() {
        let leaving = cluster(&ClusterStatus::default(), None, &vec![("n1", None)], Some(1), None, &now());
        let of = |status: &ClusterStatus| {
            status.conditions.iter().find(|one| one.type_ == LEFT).map(|one| one.status.clone())
        };
        assert_eq!(of(&leaving).as_deref(), Some("False"));
        let left = cluster(&leaving, None, &Vec::new(), Some(0), None, &now());
        assert_eq!(of(&left).as_deref(), Some("True"));
        assert_eq!(of(&cluster(&left, None, &Vec::new(), None, None, &now())), None);
    }

    #[test]
    fn a_link_is_ready_while_any_node_has_a_way_and_tells_the_median_time() {
        let (a, b) = (report(true, &[("b", true, Some(1_234))]), report(true, &[("b", false, Some(5))]));
        let c = report(true, &[("b", true, Some(420))]);
        let nodes: Reports<'_> = vec![("n1", Some(&a)), ("n2", Some(&b)), ("n3", Some(&c))];
        let status = link(&ClusterLinkStatus::default(), "b", &nodes, &now());
        assert_eq!(status.nodes, Some(NodeCount { ready: Some(2), total: Some(3) }));
        assert_eq!(status.rtt.as_deref(), Some("0.42ms"));
        assert_eq!(status.conditions[0].reason, "PartlyReady");
        let none = link(&status, "c", &nodes, &now());
        assert_eq!((none.conditions[0].status.as_str(), none.rtt), ("False", None));
    }

    #[test]
    fn a_round_trip_time_is_told_anew_only_when_it_is_plainly_another() {
        let mut status = ClusterLinkStatus::default();
        let mut told = Vec::new();
        for rtt in [420, 500, 390, 640, 600, 9_000] {
            let one = report(true, &[("b", true, Some(rtt))]);
            status = link(&status, "b", &vec![("n1", Some(&one))], &now());
            told.push(status.rtt.clone().unwrap());
        }
        assert_eq!(told, ["0.42ms", "0.42ms", "0.42ms", "0.64ms", "0.64ms", "9.00ms"]);
    }

    #[test]
    fn the_share_of_lost_probes_is_the_average_of_the_nodes_that_measure_and_told_when_it_is_plainly_another()
    {
        let of = |losses: &[Option<i64>]| -> Vec<Report> {
            let seen = |loss: &Option<i64>| Seen { ready: true, rtt: None, loss: *loss };
            let report = |loss| Report { links: [("b".to_owned(), seen(loss))].into(), ..report(true, &[]) };
            losses.iter().map(report).collect()
        };
        let mut status = ClusterLinkStatus::default();
        let mut told = Vec::new();
        for losses in [
            &[None, None][..],
            &[Some(0), None],
            &[Some(50), Some(0)],
            &[Some(60), Some(0)],
            &[Some(200), Some(150)],
            &[Some(1000), None],
            &[Some(0), Some(9)],
            &[None, None],
        ] {
            let reports = of(losses);
            let nodes: Reports<'_> = reports.iter().map(|report| ("n", Some(report))).collect();
            status = link(&status, "b", &nodes, &now());
            told.push(status.loss.clone().unwrap_or_default());
        }
        assert_eq!(told, ["", "<0.5%", "2.5%", "2.5%", "17.5%", "100.0%", "<0.5%", ""]);
    }
}
