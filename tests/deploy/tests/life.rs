//! A cluster joins and leaves, with the command line and network-manager, on two real control planes. What
//! agents say is said by the test; what controller-manager says by itself in one test, and else by the test.

use causeway_api::{CLEANUP_FINALIZER, Cluster, ClusterLink, NodeConfig};
use causeway_kubernetes::Client;
use causeway_test_deploy::hub::{causeway, controller_manager, credential_file, install, join, shown, told};
use causeway_test_deploy::identity::{account, account_on_node, typed};
use causeway_test_deploy::objects::documents;
use causeway_test_deploy::server::{Server, client};
use causeway_test_deploy::until;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, ServiceAccount};
use kube_client::Api;
use kube_client::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

const SYSTEM: &str = "causeway-system";

fn condition(type_: &str, status: &str, reason: &str, generation: Option<i64>) -> Value {
    json!([{
        "type": type_, "status": status, "reason": reason, "message": "", "observedGeneration": generation,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }])
}

fn status(kind: &str, name: &str, namespace: Option<&str>, conditions: Value) -> Patch<Value> {
    Patch::Apply(json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace}, "status": {"conditions": conditions},
    }))
}

fn node_config(name: &str) -> NodeConfig {
    typed(json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "NodeConfig",
        "metadata": {"name": name, "namespace": SYSTEM},
        "spec": {
            "cluster": "east", "role": "Node", "underlay": ["192.0.2.1"], "overlay": ["198.18.0.1", "fd63:6175:7365:1::1"],
            "tunnels": {"bridge": {"vni": 54, "port": 4876}},
        },
    }))
}

fn leave(hub: &Server, member: &Server, flags: &[&str]) -> (Option<i32>, String) {
    let (hub, member) = (shown(&hub.admin_kubeconfig()), shown(&member.admin_kubeconfig()));
    let mut words = vec!["leave", "--cluster", "east", "--kubeconfig", &member, "--hub-kubeconfig", &hub];
    words.extend(flags);
    let output = causeway(&words);
    (output.status.code(), told(&output))
}

async fn credential(member: &Client) -> Client {
    client(&credential_file(member).await.path().join("kubeconfig")).await
}

async fn who(client: &Client) -> String {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let review =
        reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await.expect("an answer");
    review.status.and_then(|status| status.user_info?.username).expect("a name")
}

#[tokio::test]
async fn a_cluster_joins_works_and_leaves() {
    let (hub, member) = tokio::join!(Server::start(), Server::start());
    let _manager = install(&hub).await;
    hub_pods_are_admitted_at_the_strictest_level(&hub).await;
    joining_installs_what_is_needed_and_twice_is_once(&hub, &member).await;
    what_is_printed_is_what_is_applied(&hub, &member);
    another_name_is_refused(&hub, &member);
    leaving_waits_for_the_nodes(&hub, &member).await;
    joining_again_works_and_force_waits_for_nobody(&hub, &member).await;
}

/// Pod Security refuses Pods, not Deployments: so it is looked whether Pods are made.
async fn hub_pods_are_admitted_at_the_strictest_level(hub: &Server) {
    let pods: Api<Pod> = Api::namespaced(hub.admin().await, SYSTEM);
    let params = ListParams::default().labels("app.kubernetes.io/component=network-manager");
    until("two Pods of network-manager", async || {
        pods.list(&params).await.is_ok_and(|list| list.items.len() == 2)
    })
    .await;
}

async fn joining_installs_what_is_needed_and_twice_is_once(hub: &Server, member: &Server) {
    let first = join(hub, member, "east", &["--mode", "Gateway", "--image", "registry.example/causeway:1"]);
    assert!(first.contains("applied") && first.contains("expires"), "{first}");
    let clusters: Api<Cluster> = Api::all(hub.admin().await);
    let mode = async || {
        let cluster = clusters.get("east").await.expect("a Cluster");
        cluster.spec.mode.map(|mode| mode.as_str().to_owned())
    };
    assert_eq!(mode().await.as_deref(), Some("Gateway"));
    let at_member = member.admin().await;
    let held = credential(&at_member).await;
    assert_eq!(who(&held).await, "system:serviceaccount:causeway-cluster-east:controller-manager");

    let second = join(hub, member, "east", &["--image", "registry.example/causeway:1"]);
    let applied: Vec<&str> = second.lines().filter(|line| line.ends_with(" applied")).collect();
    assert!(applied.len() == 1 && applied[0].contains("Secret"), "{second}");
    assert_eq!(mode().await.as_deref(), Some("Gateway"), "a mode that is not asked for stays");

    // The agents' Pods, too, are admitted; one for each node.
    let agent = account_on_node(member, "causeway-system/causeway-agent", "n1").await;
    assert_eq!(who(&agent).await, "system:serviceaccount:causeway-system:causeway-agent");
    let pods: Api<Pod> = Api::namespaced(at_member, SYSTEM);
    let params = ListParams::default().labels("app.kubernetes.io/component=agent");
    until("a Pod of the agent", async || pods.list(&params).await.is_ok_and(|list| !list.items.is_empty()))
        .await;
}

fn what_is_printed_is_what_is_applied(hub: &Server, member: &Server) {
    let (hub_file, member_file) = (shown(&hub.admin_kubeconfig()), shown(&member.admin_kubeconfig()));
    let url = hub.url();
    let mut words = vec!["join", "--cluster", "east", "--kubeconfig", &member_file];
    words.extend(["--hub-kubeconfig", &hub_file, "--hub-server", &url, "--dry-run", "-o", "yaml"]);
    let plain = causeway(&words);
    assert!(plain.status.success(), "{}", told(&plain));
    let text = String::from_utf8(plain.stdout).expect("text");
    assert!(text.contains("token: \"REPLACE-ME"), "{text}");
    let all = documents(&text);
    assert_eq!(all[0]["kind"], "Cluster");

    let of_member = |extra: &[&str]| {
        let output = causeway(&[&words[..], &["--only", "member"], extra].concat());
        assert!(output.status.success(), "{}", told(&output));
        documents(&String::from_utf8(output.stdout).expect("text"))
    };
    assert_eq!(of_member(&[]), all[1..]);
    let shown = of_member(&["--show-credential"]);
    let secret = shown.iter().find(|object| object["kind"] == "Secret").expect("a Secret");
    let kubeconfig = secret["stringData"]["kubeconfig"].as_str().expect("a kubeconfig");
    assert!(kubeconfig.contains("token: ") && !kubeconfig.contains("REPLACE-ME"));
}

fn another_name_is_refused(hub: &Server, member: &Server) {
    let (hub_file, member_file) = (shown(&hub.admin_kubeconfig()), shown(&member.admin_kubeconfig()));
    let url = hub.url();
    let mut words = vec!["join", "--cluster", "west", "--kubeconfig", &member_file];
    words.extend(["--hub-kubeconfig", &hub_file, "--hub-server", &url]);
    let output = causeway(&words);
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("joined as east"), "{}", told(&output));
    // And a hub has to be one.
    let words = ["join", "--cluster", "west", "--kubeconfig", &hub_file, "--hub-kubeconfig", &member_file];
    let output = causeway(&[&words[..], &["--hub-server", &url]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("causeway install hub"), "{}", told(&output));
}

async fn leaving_waits_for_the_nodes(hub: &Server, member: &Server) {
    let (at_hub, at_member) = (hub.admin().await, member.admin().await);
    let configs: Api<NodeConfig> = Api::namespaced(at_member.clone(), SYSTEM);
    configs.create(&PostParams::default(), &node_config("n1")).await.expect("a NodeConfig");
    configs.create(&PostParams::default(), &node_config("gone")).await.expect("a NodeConfig");

    // Nobody says that the cluster has cleaned up: nothing at the member is touched.
    let (code, said) = leave(hub, member, &["--timeout", "2"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("controller-manager has not said yet"), "{said}");
    let deployments: Api<Deployment> = Api::namespaced(at_member.clone(), SYSTEM);
    assert!(deployments.get("causeway-controller-manager").await.is_ok());
    let (file, hub_file) = (shown(&member.admin_kubeconfig()), shown(&hub.admin_kubeconfig()));
    let words = ["join", "--cluster", "east", "--kubeconfig", &file, "--hub-kubeconfig", &hub_file];
    let output = causeway(&[&words[..], &["--hub-server", &hub.url()]].concat());
    assert!(output.status.code() == Some(1) && told(&output).contains("just leaving"), "{}", told(&output));

    // controller-manager says so with its own credential, which still works.
    let clusters: Api<Cluster> = Api::all(credential(&at_member).await);
    let left = status("Cluster", "east", None, condition("Left", "True", "CleanedUp", Some(1)));
    let manager = PatchParams::apply("causeway-controller-manager").force();
    clusters.patch_status("east", &manager, &left).await.expect("the condition Left");

    // One node's agent has not answered.
    let (code, said) = leave(hub, member, &["--timeout", "3"]);
    assert!(code == Some(1) && said.contains("nodes that have not cleaned up: n1"), "{said}");
    let config = configs.get("n1").await.expect("it waits for its agent");
    assert!(config.metadata.deletion_timestamp.is_some());
    assert!(configs.get_opt("gone").await.expect("an answer").is_none(), "its node is gone");
    let agents: Api<DaemonSet> = Api::namespaced(at_member.clone(), SYSTEM);
    assert!(agents.get("causeway-agent").await.is_ok(), "agents stay until they have answered");

    let agent = account_on_node(member, "causeway-system/causeway-agent", "n1");
    let own: Api<NodeConfig> = Api::namespaced(agent.await, SYSTEM);
    let answer = condition("Programmed", "False", "CleanedUp", config.metadata.generation);
    let agent = PatchParams::apply("causeway-agent").force();
    own.patch_status("n1", &agent, &status("NodeConfig", "n1", Some(SYSTEM), answer))
        .await
        .expect("an answer");
    // No kubelet ends the Pod that stands for it.
    let pods: Api<Pod> = Api::namespaced(at_member.clone(), SYSTEM);
    pods.delete("causeway-agent-n1", &DeleteParams::default().grace_period(0)).await.expect("the Pod goes");
    let (code, said) = leave(hub, member, &["--timeout", "60"]);
    assert_eq!(code, Some(0), "{said}");
    nothing_is_left(&at_hub, &at_member).await;
}

async fn nothing_is_left(at_hub: &Client, at_member: &Client) {
    let clusters: Api<Cluster> = Api::all(at_hub.clone());
    assert!(clusters.get_opt("east").await.expect("an answer").is_none());
    let namespaces: Api<Namespace> = Api::all(at_hub.clone());
    until("the cluster's namespace is gone", async || {
        namespaces.get_opt("causeway-cluster-east").await.is_ok_and(|found| found.is_none())
    })
    .await;
    let namespaces: Api<Namespace> = Api::all(at_member.clone());
    until("the programs' namespace is gone", async || {
        namespaces.get_opt(SYSTEM).await.is_ok_and(|found| found.is_none())
    })
    .await;
    let links: Api<ClusterLink> = Api::all(at_member.clone());
    assert!(links.list(&ListParams::default()).await.is_err(), "the definitions are gone");
}

async fn joining_again_works_and_force_waits_for_nobody(hub: &Server, member: &Server) {
    join(hub, member, "east", &[]);
    let at_member = member.admin().await;
    let configs: Api<NodeConfig> = Api::namespaced(at_member.clone(), SYSTEM);
    let mut config = node_config("n1");
    config.metadata.finalizers = Some(vec![CLEANUP_FINALIZER.to_owned()]);
    until("the definitions serve", async || configs.create(&PostParams::default(), &config).await.is_ok())
        .await;
    let (code, said) = leave(hub, member, &["--timeout", "5", "--force"]);
    assert!(code == Some(1) && said.contains("causeway-agent cleanup"), "{said}");
    nothing_is_left(&hub.admin().await, &at_member).await;
}

/// The hub may be a member's own API server: what the hub needs stays when the member leaves.
#[tokio::test]
async fn a_hub_that_is_a_member_stays_a_hub_when_it_leaves() {
    let server = Server::start().await;
    let _manager = install(&server).await;
    join(&server, &server, "east", &[]);
    let file = shown(&server.admin_kubeconfig());
    let again = causeway(&["install", "hub", "--kubeconfig", &file]);
    assert!(again.status.success() && !told(&again).contains(" applied"), "{}", told(&again));
    let namespaces: Api<Namespace> = Api::all(server.admin().await);
    let level = async || {
        let namespace = namespaces.get(SYSTEM).await.expect("the namespace");
        namespace.metadata.labels.and_then(|mut l| l.remove("pod-security.kubernetes.io/enforce"))
    };
    assert_eq!(level().await.as_deref(), Some("privileged"));
    let (code, said) = leave(&server, &server, &["--force", "--timeout", "30"]);
    assert_eq!(code, Some(0), "{said}");
    let deployments: Api<Deployment> = Api::namespaced(server.admin().await, SYSTEM);
    assert!(deployments.get("causeway-network-manager").await.is_ok());
    assert!(deployments.get_opt("causeway-controller-manager").await.expect("an answer").is_none());
    let accounts: Api<ServiceAccount> = Api::namespaced(server.admin().await, SYSTEM);
    assert!(accounts.get_opt("causeway-agent").await.expect("an answer").is_none());
    let clusters: Api<Cluster> = Api::all(account(&server, "causeway-system/causeway-network-manager").await);
    assert!(clusters.list(&ListParams::default()).await.is_ok_and(|list| list.items.is_empty()));
}

/// With the rights that are shipped, and nobody's help.
#[tokio::test]
async fn controller_manager_tells_the_hub_and_leads_the_leaving() {
    let (hub, member) = tokio::join!(Server::start(), Server::start());
    let _network_manager = install(&hub).await;
    let nodes: Api<Node> = Api::all(member.admin().await);
    let labels = json!({"kubernetes.io/os": "linux"});
    let node = json!({"metadata": {"name": "n1", "labels": labels}, "spec": {"podCIDR": "10.1.1.0/24", "podCIDRs": ["10.1.1.0/24"]}});
    nodes.create(&PostParams::default(), &typed(node)).await.expect("a Node");
    let addresses = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }});
    nodes.patch_status("n1", &PatchParams::default(), &Patch::Merge(&addresses)).await.expect("its status");
    join(&hub, &member, "east", &[]);
    let folder = credential_file(&member.admin().await).await;
    let log = folder.path().join("log");
    let _manager = controller_manager(&member, "east", &folder.path().join("kubeconfig"), &log).await;
    let said = || std::fs::read_to_string(&log).unwrap_or_default();

    let clusters: Api<Cluster> = Api::all(hub.admin().await);
    until("the hub knows the cluster's CIDRs", async || {
        let status = clusters.get("east").await.ok().and_then(|cluster| cluster.status);
        let known = |type_: &str| {
            let conditions = status.iter().flat_map(|status| &status.conditions);
            conditions.into_iter().any(|condition| condition.type_ == type_ && condition.status == "True")
        };
        known("Discovered") && known("Accepted")
    })
    .await;
    let configs: Api<NodeConfig> = Api::namespaced(member.admin().await, SYSTEM);
    until("the node has its plan", async || configs.get_opt("n1").await.is_ok_and(|found| found.is_some()))
        .await;

    let agent = account_on_node(&member, "causeway-system/causeway-agent", "n1").await;
    let own: Api<NodeConfig> = Api::namespaced(agent, SYSTEM);
    let answering = async {
        let mut generation = None;
        until("the node is asked to clean up", async || match own.get_opt("n1").await {
            Ok(Some(config)) => {
                generation = config.metadata.generation;
                config.metadata.deletion_timestamp.is_some()
            }
            _ => false,
        })
        .await;
        let answer = condition("Programmed", "False", "CleanedUp", generation);
        let agent = PatchParams::apply("causeway-agent").force();
        let answer = status("NodeConfig", "n1", Some(SYSTEM), answer);
        own.patch_status("n1", &agent, &answer).await.expect("an answer");
        let pods: Api<Pod> = Api::namespaced(member.admin().await, SYSTEM);
        let at_once = DeleteParams::default().grace_period(0);
        pods.delete("causeway-agent-n1", &at_once).await.expect("the Pod that stands for it goes");
    };
    let (hub_file, member_file) = (shown(&hub.admin_kubeconfig()), shown(&member.admin_kubeconfig()));
    let leaving = tokio::task::spawn_blocking(move || {
        causeway(&[
            "leave",
            "--cluster",
            "east",
            "--kubeconfig",
            &member_file,
            "--hub-kubeconfig",
            &hub_file,
            "--timeout",
            "60",
        ])
    });
    let (output, ()) = tokio::join!(leaving, answering);
    let output = output.expect("causeway runs");
    assert!(output.status.success(), "{}\n{}", told(&output), said());
    nothing_is_left(&hub.admin().await, &member.admin().await).await;
    // As long as it had its rights they were enough.
    let said = said();
    let (before, _) = said.split_once("there is no Cluster east").unwrap_or_else(|| panic!("{said}"));
    assert!(!before.contains("not allowed") && !before.contains("ERROR"), "{before}");
}
