//! From objects to what is said of them, and the page.

use std::sync::Arc;
use std::time::Duration;

use causeway_api::{API_VERSION, Kind, Object, Objects};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::facts::{Facts, Manager};
use super::feed::Feed;
use super::page;
use super::report::{State, report};
use crate::report::Colour;
use crate::source::Source;

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": type_, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T00:30:00Z",
    })
}

fn object(kind: Kind, namespace: Option<&str>, name: &str, spec: Value, status: Value) -> Arc<Object> {
    let value = json!({
        "apiVersion": API_VERSION, "kind": kind.as_str(),
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": spec, "status": status,
    });
    Arc::new(Object::deserialize(kind, value).unwrap())
}

fn good() -> Vec<Value> {
    vec![
        condition("Accepted", "True", "Accepted", ""),
        condition("Ready", "True", "Ready", ""),
        condition("Degraded", "False", "AsAsked", ""),
    ]
}

fn cluster(name: &str, conditions: Vec<Value>, nodes: Value) -> Arc<Object> {
    let status = json!({"conditions": conditions, "nodes": nodes, "cni": "flannel"});
    object(Kind::Cluster, None, name, json!({"podCIDRs": ["10.1.0.0/16"]}), status)
}

fn link(from: &str, to: &str, status: Value) -> Arc<Object> {
    let spec = json!({
        "sourceCluster": from, "remoteCluster": to, "via": "Nodes",
        "prefixes": [{"cidr": "10.2.0.0/16", "kind": "Pod", "via": "Nodes"}],
    });
    object(Kind::ClusterLink, Some(&format!("causeway-cluster-{from}")), to, spec, status)
}

fn ready_link(from: &str, to: &str) -> Arc<Object> {
    link(
        from,
        to,
        json!({"conditions": good(), "nodes": {"ready": 2, "total": 2}, "rtt": "0.42ms", "loss": "<0.5%"}),
    )
}

fn facts(objects: Vec<Arc<Object>>) -> Facts {
    Facts {
        source: "context hub".to_owned(),
        objects: objects.into_iter().collect::<Objects>(),
        nodes_left_out: 0,
        manager: Manager::Unknown,
        problems: Vec::new(),
        now: now(),
    }
}

fn two() -> Vec<Arc<Object>> {
    let nodes = json!({"ready": 2, "total": 2});
    vec![
        cluster("east", good(), nodes.clone()),
        cluster("west", good(), nodes),
        ready_link("east", "west"),
        ready_link("west", "east"),
    ]
}

fn text(facts: &Facts) -> String {
    page::page(&report(facts), false, facts.now).text(0, Colour::Off)
}

#[test]
fn nothing_is_wrong_with_what_is_right() {
    let facts = facts(two());
    assert!(report(&facts).healthy);
    assert_eq!(
        text(&facts),
        "clusterset at context hub\n2/2 clusters, 4/4 nodes, 2/2 links ready\nnothing is wrong\n\n\
         CLUSTERS\nNAME  MODE  CNI      STATE  NODES  LINKS  AGE\n\
         east  P2P   flannel  Ready  2/2    1/1    60m\nwest  P2P   flannel  Ready  2/2    1/1    60m\n\n\
         LINKS\nFROM  TO    VIA    TRANSPORT  STATE  NODES  RTT     LOSS\n\
         east  west  Nodes  VXLAN      Ready  2/2    0.42ms  <0.5%\nwest  east  Nodes  VXLAN      Ready  2/2    0.42ms  <0.5%\n"
    );
}

#[test]
fn what_was_last_known_of_a_source_that_does_not_answer_is_no_good_news() {
    let facts = facts(two());
    let status = report(&facts).with_trouble(Some("connection refused".to_owned()));
    assert!(!status.healthy && report(&facts).with_trouble(None).healthy);
    let text = page::page(&status, false, facts.now).text(0, Colour::Off);
    assert!(text.contains("it does not answer; what follows was so before: connection refused"), "{text}");
    assert!(!text.contains("wrong") && text.contains("east  west"), "{text}");
}

#[tokio::test]
async fn a_directory_that_goes_is_told_of_beside_what_was_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("objects");
    std::fs::create_dir(&path).unwrap();
    let east = json!({"apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "east"}, "spec": {}});
    std::fs::write(path.join("east.yaml"), east.to_string()).unwrap();
    let mut feed = Feed::open(Source::Directory(path.clone()), false).await.unwrap();
    assert_eq!(feed.next().await.trouble, None);
    std::fs::rename(&path, directory.path().join("elsewhere")).unwrap();
    let news = tokio::time::timeout(Duration::from_secs(60), feed.next()).await.expect("news");
    let trouble = news.trouble.unwrap();
    assert!(trouble.contains("objects"), "{trouble}");
}

#[test]
fn what_is_wrong_comes_first_with_what_to_do() {
    let mut objects = two();
    objects[2] = link(
        "east",
        "west",
        json!({"conditions": [condition("Ready", "False", "NoWay", "no node has a way")], "nodes": {"ready": 0, "total": 2}}),
    );
    let facts = facts(objects);
    let report = report(&facts);
    assert!(!report.healthy);
    assert_eq!((report.links[0].state, report.links[0].from.as_str()), (State::NotReady, "east"));
    let text = text(&facts);
    let wrong = text.find("WRONG").unwrap();
    assert!(wrong < text.find("CLUSTERS").unwrap(), "{text}");
    assert!(
        text.contains(
            "ClusterLink east/west  Ready=False  NoWay   30m\n    no node has a way\n    What to do: "
        ),
        "{text}"
    );
    assert!(text.contains("1 thing is wrong"), "{text}");
}

#[test]
fn what_is_wrong_in_the_same_way_is_said_once() {
    let broken = json!({"conditions": [condition("Ready", "False", "NoWay", "none")], "nodes": {"ready": 0, "total": 1}});
    let mut objects = vec![cluster("a", good(), json!({"ready": 1, "total": 1}))];
    objects.extend((0..9).map(|number| link("a", &format!("b{number}"), broken.clone())));
    let facts = facts(objects);
    let report = report(&facts);
    assert_eq!((report.wrong.len(), report.wrong[0].objects.len()), (1, 9));
    assert!(text(&facts).contains("ClusterLink a/b0, ClusterLink a/b1, ClusterLink a/b2 and 6 more"));
}

#[test]
fn each_state_of_a_cluster_follows_from_what_is_said_of_it() {
    let state = |conditions: Vec<Value>, nodes: Value| {
        report(&facts(vec![cluster("a", conditions, nodes)])).clusters[0].state
    };
    let all = json!({"ready": 2, "total": 2});
    assert_eq!(state(good(), all.clone()), State::Ready);
    assert_eq!(state(good(), json!({"ready": 1, "total": 2})), State::Degraded);
    let with = |bad: Value| good().into_iter().chain([bad]).collect::<Vec<_>>();
    assert_eq!(
        state(with(condition("Programmed", "False", "AgentSilent", "n1")), all.clone()),
        State::Degraded
    );
    assert_eq!(state(vec![condition("Ready", "False", "NoNodes", "")], all.clone()), State::NotReady);
    assert_eq!(state(Vec::new(), all), State::Unknown);
}

#[test]
fn what_nobody_has_reported_is_wrong_too() {
    let facts = facts(vec![
        cluster("a", good(), json!({"ready": 1, "total": 1})),
        link("a", "b", json!({"conditions": [condition("Accepted", "True", "Accepted", "")]})),
    ]);
    let report = report(&facts);
    assert_eq!(report.links[0].state, State::Unknown);
    assert_eq!(report.wrong.len(), 1);
    assert!(report.wrong[0].remedy.contains("controller-manager"), "{:?}", report.wrong);
}

#[test]
fn some_nodes_without_a_way_are_told_although_the_link_works() {
    let status = json!({
        "conditions": [condition("Ready", "True", "PartlyReady", "1 of 2 nodes have a way that works")],
        "nodes": {"ready": 1, "total": 2},
    });
    let report =
        report(&facts(vec![cluster("a", good(), json!({"ready": 2, "total": 2})), link("a", "b", status)]));
    assert_eq!(report.links[0].state, State::Degraded);
    assert_eq!(report.wrong[0].reason, "PartlyReady");
    assert_eq!(report.summary.links.ready, 1, "it works");
}

#[test]
fn what_was_asked_for_is_not_wrong() {
    let node = object(
        Kind::ClusterNode,
        Some("causeway-cluster-a"),
        "n1",
        json!({}),
        json!({"conditions": [condition("Ready", "False", "NodeExcluded", "by label")]}),
    );
    assert!(report(&facts(vec![cluster("a", good(), json!({"ready": 1, "total": 1})), node])).healthy);
}

#[test]
fn a_node_that_is_left_out_is_named_with_its_cluster() {
    let node = object(
        Kind::ClusterNode,
        Some("causeway-cluster-a"),
        "n1",
        json!({}),
        json!({"conditions": [condition("Ready", "False", "NoUnderlayAddress", "none")]}),
    );
    let report = report(&facts(vec![cluster("a", good(), json!({"ready": 1, "total": 1})), node]));
    assert_eq!(report.wrong[0].objects, ["ClusterNode a/n1"]);
    assert_eq!(report.wrong[0].remedy, "give the ClusterNode an address in spec.underlay");
}

#[test]
fn nodes_that_say_it_themselves_are_summed_up_where_nobody_else_does() {
    let config = |name: &str, ready: bool, rtt: i64, loss: i64| {
        object(
            Kind::NodeConfig,
            Some("causeway-cluster-east"),
            name,
            json!({"cluster": "east", "role": "Node", "overlay": ["198.18.0.1", "fd63::1"], "tunnels": {}}),
            json!({
                "conditions": [condition("Programmed", "True", "InKernel", "")],
                "links": [{"remoteCluster": "west", "ready": ready, "rttMicroseconds": rtt, "lossPerMille": loss}],
            }),
        )
    };
    let bare = link("east", "west", json!({"conditions": [condition("Accepted", "True", "Accepted", "")]}));
    // Of the cluster it is told how many nodes take part, by network-manager, and not how they are.
    let unsaid = cluster("east", good(), json!({"total": 2}));
    let report =
        report(&facts(vec![unsaid, bare, config("e1", true, 400, 0), config("e2", true, 1_250, 50)]));
    let row = &report.links[0];
    assert_eq!(
        (row.state, row.nodes.unwrap().words().as_str(), row.rtt.as_deref(), row.loss.as_deref()),
        (State::Ready, "2/2", Some("1.25ms"), Some("2.5%"))
    );
    assert_eq!(
        (report.clusters[0].state, report.clusters[0].nodes.unwrap().words().as_str()),
        (State::Ready, "2/2")
    );
}

#[test]
fn a_manager_that_is_not_at_work_is_the_first_that_is_told() {
    let held = |renewed: &str| Manager::Held {
        holder: "m-1".to_owned(),
        renewed: Some(renewed.parse().unwrap()),
        duration: Duration::from_secs(10),
    };
    let wrong = |manager: Manager| report(&Facts { manager, ..facts(two()) }).wrong;
    assert!(wrong(held("2026-01-01T00:59:55Z")).is_empty());
    assert!(wrong(held("2026-01-01T01:00:30Z")).is_empty(), "a clock that is behind");
    assert_eq!(wrong(held("2026-01-01T00:50:00Z"))[0].reason, "NotActive");
    assert_eq!(wrong(Manager::Never)[0].reason, "NeverStarted");
    assert!(wrong(Manager::Unknown).is_empty());
}
