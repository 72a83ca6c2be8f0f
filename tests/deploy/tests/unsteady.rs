//! API servers that answer, but badly: too busy, slow, on connections that are dead, after an upgrade; and objects
//! that somebody holds on to. The programs go on, lose nothing, and are not busy with it.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

use std::path::Path;
use std::time::Duration;

use causeway_api::{Cluster, NodeConfig};
use causeway_kubernetes::ensure;
use causeway_test_deploy::daemon::Daemon;
use causeway_test_deploy::hub::{install, join, shown};
use causeway_test_deploy::identity::{account, account_kubeconfig, typed};
use causeway_test_deploy::proxy::Proxy;
use causeway_test_deploy::server::Server;
use causeway_test_deploy::{eventually, until};
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube_client::Api;
use kube_client::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::task::JoinSet;

fn network_manager(server: &Server, kubeconfig: &Path) -> Daemon {
    let words = ["--kubeconfig", &shown(kubeconfig)];
    Daemon::start(server.folder(), "planner", "causeway-network-manager", &words)
}

fn controller_manager(server: &Server, kubeconfig: &Path, hub: &Path) -> Daemon {
    let (kubeconfig, hub) = (shown(kubeconfig), shown(hub));
    let words = ["--cluster", "east", "--kubeconfig", &kubeconfig, "--hub-kubeconfig", &hub];
    Daemon::start(server.folder(), "manager", "causeway-controller-manager", &words)
}

/// A server that is hub and member, with both managers, and the ways that these take to it.
struct Bed {
    server: Server,
    planner: Daemon,
    manager: Daemon,
    ways: Vec<Proxy>,
}

async fn bed() -> Bed {
    let server = Server::start().await;
    let first = install(&server).await;
    join(&server, &server, "east", &[]);
    let clusters: Api<Cluster> = Api::all(server.admin().await);
    let spec = Patch::Merge(json!({"spec": {"podCIDRs": ["10.1.0.0/16"], "serviceCIDRs": ["10.96.0.0/16"]}}));
    clusters.patch("east", &PatchParams::default(), &spec).await.unwrap();
    drop(first);
    let mut ways = Vec::new();
    let mut way = async |account: &str| {
        let (proxy, kubeconfig) = server.through_proxy(&account_kubeconfig(&server, account).await);
        ways.push(proxy);
        kubeconfig
    };
    let at_hub = way("causeway-system/causeway-network-manager").await;
    let at_member = way("causeway-system/causeway-controller-manager").await;
    let of_member = way("causeway-cluster-east/controller-manager").await;
    let planner = network_manager(&server, &at_hub);
    let manager = controller_manager(&server, &at_member, &of_member);
    let mut bed = Bed { server, planner, manager, ways };
    bed.is_well().await;
    bed
}

impl Bed {
    async fn is_well(&mut self) {
        self.planner.becomes_ready().await;
        self.manager.becomes_ready().await;
    }

    /// Adds a node at the member.
    async fn add_node(&self, number: u8) {
        let nodes: Api<Node> = Api::all(self.server.admin().await);
        let pods = format!("10.1.{number}.0/24");
        let node = json!({"metadata": {"name": format!("n{number}")}, "spec": {"podCIDR": pods, "podCIDRs": [pods]}});
        nodes.create(&PostParams::default(), &typed(node)).await.unwrap();
        let status = json!({"status": {
            "addresses": [{"type": "InternalIP", "address": format!("192.0.2.{number}")}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }});
        let name = format!("n{number}");
        nodes.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    }

    async fn configs(&self) -> Api<NodeConfig> {
        Api::namespaced(self.server.admin().await, "causeway-system")
    }

    /// Waits until the node's NodeConfig has come all the way: to the hub, through the planner, and back.
    async fn is_served(&self, number: u8) {
        let (configs, name) = (self.configs().await, format!("n{number}"));
        eventually("a NodeConfig at the member", async || match configs.get_opt(&name).await {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}\n{}\n{}", self.planner.log(), self.manager.log())),
        })
        .await;
    }

    /// They run, and used little time for it.
    fn go_on(&mut self) {
        self.planner.goes_on();
        self.manager.goes_on();
    }
}

/// All that Causeway's accounts ask shares one place at the server, which others of them fill: most requests are
/// refused with 429 Too Many Requests.
#[tokio::test]
async fn a_server_that_is_too_busy_is_left_in_peace_and_all_is_done_afterwards() {
    let mut bed = bed().await;
    let admin = bed.server.admin().await;
    let level = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
        "metadata": {"name": "narrow"},
        "spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 0, "lendablePercent": 0, "borrowingLimitPercent": 0,
            "limitResponse": {"type": "Reject"},
        }},
    });
    let subject = |namespace: &str| json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": "*"}});
    let schema = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "narrow"},
        "spec": {"matchingPrecedence": 2, "priorityLevelConfiguration": {"name": "narrow"}, "rules": [{
            "subjects": [subject("causeway-system"), subject("causeway-cluster-east")],
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true}],
        }]},
    });
    for object in [level, schema] {
        ensure(&admin, "test", &object).await.unwrap();
    }
    let mut crowd = JoinSet::new();
    for _ in 0..24 {
        let client = account(&bed.server, "causeway-system/causeway-agent").await;
        crowd.spawn(async move {
            let configs: Api<NodeConfig> = Api::namespaced(client, "causeway-system");
            loop {
                let _ = configs.list(&Default::default()).await;
            }
        });
    }
    bed.add_node(1).await;
    eventually("requests that are refused as too many", async || {
        let of_managers = |event: &&Value| {
            event["user"]["username"].as_str().is_some_and(|user| user.ends_with("-manager"))
        };
        let refused = |event: &&Value| event["responseStatus"]["code"] == 429;
        let count = bed.server.audit().iter().filter(of_managers).filter(refused).count();
        if count > 5 { Ok(()) } else { Err(format!("{count}")) }
    })
    .await;
    bed.go_on();
    drop(crowd);
    bed.is_served(1).await;
    bed.is_well().await;
}

/// Nothing arrives any more on connections that are open, and nobody says so.
#[tokio::test]
async fn connections_that_die_in_silence_are_noticed() {
    let mut bed = bed().await;
    bed.ways.iter().for_each(|way| way.lose_connections());
    bed.add_node(1).await;
    bed.is_served(1).await;
    bed.is_well().await;
    bed.go_on();
}

#[tokio::test]
async fn a_slow_server_is_enough() {
    let mut bed = bed().await;
    bed.ways.iter().for_each(|way| way.delay(Duration::from_millis(300)));
    let before = bed.planner.warnings().len() + bed.manager.warnings().len();
    for number in 1..4 {
        bed.add_node(number).await;
    }
    for number in 1..4 {
        bed.is_served(number).await;
    }
    assert_eq!(bed.planner.warnings().len() + bed.manager.warnings().len(), before, "{}", bed.planner.log());
    bed.is_well().await;
}

/// Watches end in good order, and the server that comes back knows nothing of where they were.
#[tokio::test]
async fn watches_that_cannot_be_taken_up_again_begin_anew() {
    let mut bed = bed().await;
    bed.planner.signal("STOP");
    bed.manager.signal("STOP");
    bed.server.stop().await;
    bed.server.come_back().await;
    bed.add_node(1).await;
    let other: Api<Cluster> = Api::all(bed.server.admin().await);
    let cluster = json!({"apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "other"}, "spec": {}});
    other.create(&PostParams::default(), &typed(cluster)).await.unwrap();
    bed.planner.signal("CONT");
    bed.manager.signal("CONT");
    bed.is_served(1).await;
    bed.is_well().await;
    bed.go_on();
}

/// Somebody deletes an object that somebody else's finalizer keeps.
#[tokio::test]
async fn an_object_that_is_held_on_to_keeps_no_other_waiting_and_comes_back() {
    let mut bed = bed().await;
    bed.add_node(1).await;
    bed.is_served(1).await;
    let configs = bed.configs().await;
    let hold = |finalizers: &[&str]| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    configs.patch("n1", &PatchParams::default(), &hold(&["example.com/held"])).await.unwrap();
    configs.delete("n1", &Default::default()).await.unwrap();
    bed.add_node(2).await;
    bed.is_served(2).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    bed.go_on();
    let held = configs.get("n1").await.unwrap();
    assert!(held.metadata.deletion_timestamp.is_some());
    configs.patch("n1", &PatchParams::default(), &hold(&[])).await.unwrap();
    until("it is there again", async || {
        configs
            .get_opt("n1")
            .await
            .is_ok_and(|found| found.is_some_and(|found| found.metadata.uid != held.metadata.uid))
    })
    .await;
    bed.is_well().await;
}

/// With the namespace the cluster's identity at the hub goes: it must join again, and that is enough.
#[tokio::test]
async fn a_clusters_namespace_that_is_deleted_comes_back_and_the_cluster_joins_again() {
    let mut bed = bed().await;
    bed.add_node(1).await;
    bed.is_served(1).await;
    let before = bed.configs().await.get("n1").await.unwrap();
    let namespaces: Api<Namespace> = Api::all(bed.server.admin().await);
    let name = "causeway-cluster-east";
    let state = async || format!("{:?}", namespaces.get_opt(name).await);
    let uid =
        async || namespaces.get_opt(name).await.ok().flatten().and_then(|namespace| namespace.metadata.uid);
    let old = uid().await;
    namespaces.delete(name, &Default::default()).await.unwrap();
    eventually("another namespace", async || match uid().await {
        Some(uid) if Some(&uid) != old.as_ref() => Ok(()),
        _ => Err(format!("{}\n{}", state().await, bed.planner.log())),
    })
    .await;
    bed.manager.becomes_unready("the credential is not accepted").await;
    // What the member has stays as it is.
    let kept = bed.configs().await.get("n1").await.unwrap();
    assert_eq!((kept.metadata.uid, kept.spec), (before.metadata.uid, before.spec.clone()));

    join(&bed.server, &bed.server, "east", &[]);
    let kubeconfig = account_kubeconfig(&bed.server, "causeway-cluster-east/controller-manager").await;
    let (proxy, _) = bed.server.through_proxy(&kubeconfig);
    bed.ways.push(proxy);
    bed.add_node(2).await;
    bed.is_served(2).await;
    assert_eq!(bed.configs().await.get("n1").await.unwrap().spec, before.spec);
    bed.is_well().await;
}
