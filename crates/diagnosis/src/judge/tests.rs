//! Evidence as nodes give it, broken in one place each.

use causeway_api::{
    CounterGrowth, DiagnosisTarget, HeardEvidence, Ip, Obstacle, ObstacleKind, PathEvidence, PathKind,
    ServiceEvidence,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;

const NAMES: [(&str, &str); 2] = [("a", "n1"), ("b", "n2")];

fn underlay(index: usize) -> Ip {
    Ip(format!("172.20.0.{}", index + 1))
}

fn target(index: usize) -> DiagnosisTarget {
    let (cluster, node) = NAMES[index];
    DiagnosisTarget {
        cluster: cluster.to_owned(),
        node: node.to_owned(),
        underlay: vec![underlay(index)],
        overlay: vec![Ip(format!("198.18.{index}.1"))],
        pods: vec![Ip(format!("10.{index}.0.5")), Ip(format!("10.{index}.0.6"))],
    }
}

fn path(index: usize, kind: PathKind, address: &Ip) -> PathEvidence {
    PathEvidence {
        cluster: NAMES[index].0.to_owned(),
        node: NAMES[index].1.to_owned(),
        kind,
        address: address.clone(),
        sent: 10,
        answered: 10,
        full_size: Some(1450),
        full_sent: 5,
        full_answered: 5,
        ..PathEvidence::default()
    }
}

/// A node of a network of which all is well.
fn node(index: usize) -> NodeEvidence {
    let (other, own) = (target(1 - index), target(index));
    let mut paths = vec![path(1 - index, PathKind::Underlay, &other.underlay[0])];
    paths.push(path(1 - index, PathKind::Overlay, &other.overlay[0]));
    paths.extend(other.pods.iter().map(|pod| path(1 - index, PathKind::Pod, pod)));
    paths.extend(own.pods.iter().map(|pod| path(index, PathKind::Pod, pod)));
    let heard = HeardEvidence {
        cluster: other.cluster.clone(),
        node: other.node.clone(),
        on_link: Some(30),
        link: Some("eth0".to_owned()),
        delivered: 25,
    };
    let at = |second| Some(Time(k8s_openapi::jiff::Timestamp::from_second(second).unwrap()));
    let (cluster, name) = NAMES[index];
    NodeEvidence {
        id: format!("{cluster}/{name}").parse().unwrap(),
        asked: DiagnosisSpec {
            request: "r".to_owned(),
            services: Vec::new(),
            requested_at: at(1000),
            targets: vec![other, DiagnosisTarget { overlay: Vec::new(), underlay: Vec::new(), ..own }],
        },
        answer: Some(DiagnosisStatus {
            request: "r".to_owned(),
            began_at: at(1003),
            paths,
            heard: vec![heard],
            host: Some(HostEvidence { addresses: vec![underlay(index)], ..HostEvidence::default() }),
            ..DiagnosisStatus::default()
        }),
    }
}

fn healthy() -> Evidence {
    Evidence { nodes: vec![node(0), node(1)], ..Evidence::default() }
}

fn answer(evidence: &mut Evidence, index: usize) -> &mut DiagnosisStatus {
    evidence.nodes[index].answer.as_mut().unwrap()
}

fn host(evidence: &mut Evidence, index: usize) -> &mut HostEvidence {
    answer(evidence, index).host.as_mut().unwrap()
}

/// Nothing that `from` sends through the tunnel comes back.
fn unanswered(evidence: &mut Evidence, from: usize) {
    for path in &mut answer(evidence, from).paths {
        let abroad = path.cluster != NAMES[from].0;
        if abroad && path.kind != PathKind::Underlay {
            (path.answered, path.full_answered) = (0, 0);
        }
    }
}

/// No tunnel is left: what each link still received is `on_link`, and what came through `delivered`.
fn dead(on_link: [i64; 2], delivered: [i64; 2]) -> Evidence {
    let mut evidence = healthy();
    for index in 0..2 {
        unanswered(&mut evidence, index);
        let heard = &mut answer(&mut evidence, index).heard[0];
        (heard.on_link, heard.delivered) = (Some(on_link[index]), delivered[index]);
    }
    evidence
}

fn grew(evidence: &mut Evidence, index: usize, name: &str) {
    host(evidence, index).counters.push(CounterGrowth { name: name.to_owned(), growth: 9 });
}

/// Exactly one finding.
#[track_caller]
fn expect(evidence: &Evidence, cause: Cause, subject: &str) {
    let findings = diagnose(evidence);
    assert_eq!(findings.iter().map(|one| one.cause).collect::<Vec<_>>(), [cause], "{findings:#?}");
    assert_eq!(findings[0].subjects, [subject]);
    assert!(!findings[0].evidence.is_empty());
}

#[test]
fn a_healthy_network_gives_no_finding() {
    assert_eq!(diagnose(&healthy()), []);
    assert_eq!(diagnose(&Evidence::default()), []);
}

#[test]
fn tunnel_packets_that_are_lost_on_the_way_are_told_by_direction() {
    expect(&dead([0, 0], [0, 0]), Cause::UdpBlocked, "a/n1 ↔ b/n2");
    expect(&dead([0, 40], [0, 10]), Cause::OneDirection, "b/n2 → a/n1");
    expect(&dead([40, 0], [10, 0]), Cause::OneDirection, "a/n1 → b/n2");
    let mut unreachable = dead([0, 0], [0, 0]);
    for index in 0..2 {
        answer(&mut unreachable, index)
            .paths
            .iter_mut()
            .filter(|path| path.kind == PathKind::Underlay)
            .for_each(|path| path.answered = 0);
    }
    expect(&unreachable, Cause::UnderlayUnreachable, "a/n1 ↔ b/n2");
}

#[test]
fn tunnel_packets_that_arrive_and_do_not_come_through_are_told_by_what_counted_them() {
    expect(&dead([40, 40], [10, 0]), Cause::NodeFirewall, "b/n2");
    let mut filtered = dead([40, 40], [0, 10]);
    grew(&mut filtered, 0, "TcpExt IPReversePathFilter");
    expect(&filtered, Cause::ReversePathFilter, "a/n1");
}

#[test]
fn a_node_that_is_not_where_others_send_to_is_told() {
    let mut elsewhere = dead([0, 0], [0, 0]);
    host(&mut elsewhere, 1).addresses = vec![Ip("192.0.2.9".to_owned())];
    expect(&elsewhere, Cause::WrongUnderlay, "b/n2");
    // Behind a NAT that works, nothing is wrong.
    let mut nat = healthy();
    host(&mut nat, 1).addresses = vec![Ip("192.0.2.9".to_owned())];
    assert_eq!(diagnose(&nat), []);
    let mut other_source = dead([40, 0], [10, 0]);
    grew(&mut other_source, 1, "drop unknown VTEP");
    expect(&other_source, Cause::WrongUnderlay, "a/n1");
}

#[test]
fn packets_of_full_size_that_are_lost_are_told_once_for_a_pair() {
    let mut evidence = healthy();
    for index in 0..2 {
        answer(&mut evidence, index).paths.iter_mut().for_each(|path| path.full_answered = 0);
    }
    expect(&evidence, Cause::Mtu, "a/n1 ↔ b/n2");
}

#[test]
fn pods_that_answer_their_own_node_only_are_dropped_all_or_kept_apart_one_by_one() {
    let mut evidence = healthy();
    let pods = |path: &&mut PathEvidence| path.kind == PathKind::Pod && path.cluster == "b";
    answer(&mut evidence, 0).paths.iter_mut().filter(pods).for_each(|path| path.answered = 0);
    expect(&evidence, Cause::ForwardDrop, "b/n2");
    answer(&mut evidence, 0).paths.iter_mut().filter(pods).last().unwrap().answered = 10;
    expect(&evidence, Cause::NetworkPolicy, "b/n2");
    // Pods that answer nobody say nothing.
    answer(&mut evidence, 0).paths.iter_mut().filter(pods).for_each(|path| path.answered = 0);
    answer(&mut evidence, 1).paths.iter_mut().filter(pods).for_each(|path| path.answered = 0);
    assert_eq!(diagnose(&evidence), []);
}

#[test]
fn pods_that_answer_their_node_and_not_their_gateway_are_told() {
    let in_one_cluster = |answered: [i64; 2]| {
        let mut evidence = healthy();
        evidence.nodes[1].id = "a/n2".parse().unwrap();
        for node in &mut evidence.nodes {
            node.asked.targets.iter_mut().for_each(|target| target.cluster = "a".to_owned());
            let answer = node.answer.as_mut().unwrap();
            answer.paths.iter_mut().for_each(|path| path.cluster = "a".to_owned());
            answer.heard.iter_mut().for_each(|heard| heard.cluster = "a".to_owned());
        }
        let to_pods = |path: &&mut PathEvidence| path.kind == PathKind::Pod && path.node == "n2";
        let paths = answer(&mut evidence, 0).paths.iter_mut().filter(to_pods);
        paths.zip(answered).for_each(|(path, answered)| path.answered = answered);
        evidence
    };
    expect(&in_one_cluster([0, 0]), Cause::CniPath, "a/n1 → a/n2");
    // A policy may keep one apart.
    assert_eq!(diagnose(&in_one_cluster([10, 0])), []);
}

#[test]
fn what_a_node_says_of_itself_explains_its_paths() {
    for (kind, cause) in [
        (ObstacleKind::StrictReversePathFilter, Cause::ReversePathFilter),
        (ObstacleKind::ForwardingOff, Cause::ForwardingOff),
        (ObstacleKind::UnderlayNotOnHost, Cause::WrongUnderlay),
        (ObstacleKind::EarlyMasquerade, Cause::EarlyMasquerade),
        (ObstacleKind::ForeignRoute, Cause::ForeignRoute),
        (ObstacleKind::PortTaken, Cause::PortTaken),
        (ObstacleKind::MissingFeature, Cause::MissingFeature),
        (ObstacleKind::NotProgrammed, Cause::NotProgrammed),
    ] {
        let mut evidence = dead([0, 0], [0, 0]);
        host(&mut evidence, 1).obstacles = vec![Obstacle { kind, ..Obstacle::default() }];
        expect(&evidence, cause, "b/n2");
    }
    let mut unprogrammed = dead([0, 0], [0, 0]);
    let obstacle = |kind| Obstacle { kind, ..Obstacle::default() };
    host(&mut unprogrammed, 1).obstacles =
        [ObstacleKind::ForeignRoute, ObstacleKind::PortTaken].map(obstacle).into();
    expect(&unprogrammed, Cause::PortTaken, "b/n2");
    let mut evidence = healthy();
    grew(&mut evidence, 0, "Tcp InCsumErrors");
    expect(&evidence, Cause::Checksum, "a/n1");
    let mut silent = dead([0, 0], [0, 0]);
    silent.nodes[0].answer = None;
    expect(&silent, Cause::AgentSilent, "a/n1");
}

#[test]
fn clocks_that_differ_are_told_and_explain_no_path() {
    let mut evidence = dead([0, 0], [0, 0]);
    answer(&mut evidence, 1).began_at = Some(Time(k8s_openapi::jiff::Timestamp::from_second(700).unwrap()));
    let causes: Vec<Cause> = diagnose(&evidence).iter().map(|finding| finding.cause).collect();
    assert_eq!(causes, [Cause::ClockOff, Cause::UdpBlocked]);
}

#[test]
fn what_others_refused_is_passed_on() {
    let refused = Refused { object: "Cluster b".to_owned(), message: "10.0.0.0/8 is a's".to_owned() };
    let overlaps = Evidence { overlaps: vec![refused.clone()], ..healthy() };
    expect(&overlaps, Cause::Overlap, "Cluster b");
    expect(&Evidence { rights: vec![refused], ..healthy() }, Cause::RightsMissing, "Cluster b");
}

#[test]
fn a_target_that_was_not_asked_is_judged_by_this_end_alone() {
    let alone = |mut evidence: Evidence| {
        evidence.nodes.truncate(1);
        evidence
    };
    assert_eq!(diagnose(&alone(healthy())), []);
    expect(&alone(dead([0, 0], [0, 0])), Cause::UdpBlocked, "a/n1 ↔ b/n2");
    expect(&alone(dead([40, 0], [10, 0])), Cause::OneDirection, "a/n1 → b/n2");
    expect(&alone(dead([40, 0], [0, 0])), Cause::NodeFirewall, "a/n1");
    // What a gateway sends for a node behind it comes from the gateway's address. That this node drops explains it.
    let mut behind = alone(dead([40, 0], [0, 0]));
    let inner = DiagnosisTarget { node: "n3".to_owned(), ..target(1) };
    let path = PathEvidence { node: "n3".to_owned(), ..path(1, PathKind::Underlay, &inner.underlay[0]) };
    let silent = PathEvidence { kind: PathKind::Overlay, answered: 0, full_answered: 0, ..path.clone() };
    behind.nodes[0].asked.targets.insert(0, inner);
    answer(&mut behind, 0).paths.extend([path, silent]);
    expect(&behind, Cause::NodeFirewall, "a/n1");
}

#[test]
fn a_share_of_packets_that_is_lost_is_told_and_a_single_one_is_not() {
    let mut evidence = healthy();
    let overlay = |path: &&mut PathEvidence| path.kind == PathKind::Overlay;
    answer(&mut evidence, 0).paths.iter_mut().filter(overlay).for_each(|path| path.answered = 9);
    assert_eq!(diagnose(&evidence), []);
    answer(&mut evidence, 0).paths.iter_mut().filter(overlay).for_each(|path| path.answered = 7);
    expect(&evidence, Cause::Loss, "a/n1 ↔ b/n2");
}

#[test]
fn what_no_evidence_explains_is_told_as_that() {
    expect(&dead([40, 40], [10, 10]), Cause::Unexplained, "a/n1 ↔ b/n2");
}

/// A Service of b that both nodes try.
fn with_service(from_a: i64, from_b: i64, untranslated: Option<i64>) -> Evidence {
    let mut evidence = healthy();
    for (index, answered, untranslated) in [(0, from_a, None), (1, from_b, untranslated)] {
        answer(&mut evidence, index).services = vec![ServiceEvidence {
            cluster: "b".to_owned(),
            name: "default/web".to_owned(),
            // Each cluster sees it under an address of its own.
            address: Ip(format!("10.9{index}.0.1")),
            port: 80,
            tried: 3,
            answered,
            untranslated,
            ..ServiceEvidence::default()
        }];
    }
    evidence
}

#[test]
fn requests_that_leave_untranslated_and_are_not_answered_are_told() {
    expect(&with_service(0, 0, Some(6)), Cause::ServiceUntranslated, "b/n2");
    // Only what comes from a tunnel, or from the node's own programs, or to one of several nodes that carry it.
    for (from_a, from_b) in [(0, 3), (3, 0), (2, 3)] {
        expect(&with_service(from_a, from_b, Some(3)), Cause::ServiceUntranslated, "b/n2");
    }
}

#[test]
fn neither_silence_nor_leaving_untranslated_alone_accuses_a_node() {
    for (from_a, from_b, untranslated) in [
        (3, 3, Some(0)),
        // A backend that does not answer.
        (0, 0, Some(0)),
        // Nobody could listen.
        (0, 0, None),
        // Translated by a router outside.
        (3, 3, Some(6)),
    ] {
        let evidence = with_service(from_a, from_b, untranslated);
        assert_eq!(diagnose(&evidence), [], "{from_a} {from_b} {untranslated:?}");
    }
    // Another Service, and a node of which something else is known.
    let mut other = with_service(0, 3, Some(3));
    answer(&mut other, 0).services[0].name = "default/other".to_owned();
    assert_eq!(diagnose(&other), []);
    let mut explained = with_service(0, 0, Some(6));
    host(&mut explained, 1).obstacles =
        vec![Obstacle { kind: ObstacleKind::ForwardingOff, ..Obstacle::default() }];
    expect(&explained, Cause::ForwardingOff, "b/n2");
}
