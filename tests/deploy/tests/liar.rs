//! A member whose credential at the hub lies: about its CIDRs, its nodes and their addresses. The API server refuses
//! what the schema does not allow; what it lets through, network-manager refuses with a condition that names the
//! field; and what is planned for the other cluster stays as it is to the last byte.

use causeway_api::{Cluster, ClusterNode, NodeConfig, PeerSlice};
use causeway_kubernetes::Client;
use causeway_test_deploy::eventually;
use causeway_test_deploy::grants::{EAST, SHARED};
use causeway_test_deploy::hub::{install, join};
use causeway_test_deploy::identity::{account, typed};
use causeway_test_deploy::server::Server;
use k8s_openapi::api::core::v1::Namespace;
use kube_client::api::{Patch, PatchParams, PostParams};
use kube_client::{Api, Error};
use serde_json::{Value, json};

/// The honest cluster: older, and should both be made in the same second, first by name.
const HONEST: &str = "alpha";
const HOME: &str = "causeway-cluster-alpha";
/// How the member writes.
const MANAGER: &str = "causeway-controller-manager";

async fn make_honest(admin: &Client) {
    let clusters: Api<Cluster> = Api::all(admin.clone());
    let cluster = json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": HONEST},
        "spec": {"podCIDRs": ["10.1.0.0/16"], "serviceCIDRs": ["10.96.0.0/16"]},
    });
    clusters.create(&PostParams::default(), &typed(cluster)).await.expect("a Cluster");
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    eventually("its namespace", async || {
        namespaces.get(HOME).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    let nodes: Api<ClusterNode> = Api::namespaced(admin.clone(), HOME);
    for n in 1..=2 {
        let node = node("n", n, &[&format!("192.0.2.{n}")], &[&format!("10.1.{n}.0/24")]);
        nodes.create(&PostParams::default(), &typed(node)).await.expect("a ClusterNode");
    }
}

fn node(stem: &str, n: usize, underlay: &[&str], pods: &[&str]) -> Value {
    json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "ClusterNode", "metadata": {"name": format!("{stem}{n}")},
        "spec": {"underlay": underlay, "podCIDRs": pods, "ready": true},
    })
}

/// What is planned for the honest cluster, with the versions that change with every write.
async fn honest_plans(admin: &Client) -> Vec<Value> {
    let configs: Api<NodeConfig> = Api::namespaced(admin.clone(), HOME);
    let slices: Api<PeerSlice> = Api::namespaced(admin.clone(), SHARED);
    let configs = configs.list(&Default::default()).await.expect("NodeConfigs").items;
    let slices = slices.list(&Default::default()).await.expect("PeerSlices").items;
    let configs = configs.iter().map(|config| serde_json::to_value(config).expect("JSON"));
    let of_honest = |slice: &&PeerSlice| slice.spec.cluster == HONEST;
    let slices = slices.iter().filter(of_honest).map(|slice| serde_json::to_value(slice).expect("JSON"));
    configs.chain(slices).collect()
}

/// Waits for the condition `Accepted` of an object to be refused for `reason`, with words.
fn refused(object: &Value, reason: &str, words: &[&str]) -> Result<(), String> {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let accepted = conditions.iter().find(|condition| condition["type"] == "Accepted");
    let Some(accepted) = accepted else { return Err(object["status"].to_string()) };
    let message = accepted["message"].as_str().unwrap_or_default();
    // Of several, the condition has the first reason; the message has all.
    let named = words.iter().all(|word| message.contains(word));
    if accepted["status"] == "False" && named && (accepted["reason"] == reason || message.contains(reason)) {
        return Ok(());
    }
    Err(accepted.to_string())
}

async fn state_prefixes(liar: &Client, field: &str, prefixes: &[&str]) -> Result<Cluster, Error> {
    let clusters: Api<Cluster> = Api::all(liar.clone());
    let found: Vec<Value> = prefixes.iter().map(|cidr| json!({"cidr": cidr, "source": "lie"})).collect();
    let mut status = json!({"podCIDRs": [{"cidr": "10.9.0.0/16", "source": "s"}]});
    status[field] = json!(found);
    let patch = json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "east"}, "status": status,
    });
    clusters.patch_status("east", &PatchParams::apply(MANAGER).force(), &Patch::Apply(patch)).await
}

async fn state_node(liar: &Client, underlay: &[&str], pods: &[&str]) -> Result<ClusterNode, Error> {
    let nodes: Api<ClusterNode> = Api::namespaced(liar.clone(), EAST);
    nodes.patch("n1", &PatchParams::apply(MANAGER).force(), &Patch::Apply(node("n", 1, underlay, pods))).await
}

#[tokio::test]
async fn a_member_that_lies_is_refused_with_object_and_field_and_changes_nothing_for_the_other() {
    let server = Server::start().await;
    let _manager = install(&server).await;
    let admin = server.admin().await;
    make_honest(&admin).await;
    join(&server, &server, "east", &[]);
    let liar = account(&server, "causeway-cluster-east/controller-manager").await;
    // Honest at first: from then on the other's plans stay.
    state_prefixes(&liar, "podCIDRs", &["10.9.0.0/16"]).await.expect("what it found");
    state_node(&liar, &["192.0.2.9"], &["10.9.1.0/24"]).await.expect("its node");
    let configs: Api<NodeConfig> = Api::namespaced(admin.clone(), EAST);
    eventually("a plan for the liar's node", async || {
        configs.get("n1").await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    // Two NodeConfigs, two PeerSlices.
    let before = eventually("the plans of the honest cluster", async || {
        let plans = honest_plans(&admin).await;
        if plans.len() == 4 { Ok(plans) } else { Err(format!("{plans:#?}")) }
    })
    .await;

    let clusters: Api<Cluster> = Api::all(admin.clone());
    for (lie, reason) in [
        ("0.0.0.0/0", "PrefixReserved"),
        ("10.1.0.0/16", "PrefixConflict"),
        ("10.0.0.0/8", "PrefixConflict"),
        ("10.96.0.0/16", "PrefixConflict"),
        ("192.0.2.0/24", "PrefixCoversUnderlay"),
        ("198.18.0.0/16", "PrefixInOverlayRange"),
    ] {
        state_prefixes(&liar, "podCIDRs", &["10.9.0.0/16", lie]).await.expect("it may state what it likes");
        eventually(lie, async || {
            let east = clusters.get("east").await.map_err(|error| error.to_string())?;
            refused(&serde_json::to_value(east).expect("JSON"), reason, &[lie, "podCIDRs[1]"])
        })
        .await;
    }
    state_prefixes(&liar, "podCIDRs", &["10.9.0.0/16"]).await.expect("what it found");

    let nodes: Api<ClusterNode> = Api::namespaced(admin.clone(), EAST);
    for (underlay, pods, reason, words) in [
        ("192.0.2.1", "10.9.1.0/24", "DuplicateUnderlayAddress", ["192.0.2.1", "spec.underlay"]),
        ("10.1.1.1", "10.9.1.0/24", "PrefixConflict", ["10.1.1.1", "spec.underlay"]),
        ("198.18.0.1", "10.9.1.0/24", "PrefixInOverlayRange", ["198.18.0.1", "spec.underlay"]),
        ("192.0.2.9", "10.1.1.0/24", "PrefixOutsideCluster", ["10.1.1.0/24", "spec.podCIDRs[0]"]),
        ("192.0.2.9", "0.0.0.0/0", "PrefixOutsideCluster", ["0.0.0.0/0", "spec.podCIDRs[0]"]),
    ] {
        state_node(&liar, &[underlay], &[pods]).await.expect("it may state what it likes");
        eventually(words[0], async || {
            let node = nodes.get("n1").await.map_err(|error| error.to_string())?;
            refused(&serde_json::to_value(node).expect("JSON"), reason, &words)
        })
        .await;
    }
    // The API server itself refuses lists and texts without end, and others' namespaces and names.
    let many: Vec<String> = (0..1000).map(|n| format!("10.9.{}.{}/32", n / 250, n % 250)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (what, answer) in [
        ("many prefixes of a node", state_node(&liar, &["192.0.2.9"], &many).await.map(drop)),
        ("many prefixes", state_prefixes(&liar, "podCIDRs", &many).await.map(drop)),
        ("a long text", state_node(&liar, &[&"9".repeat(100_000)], &[]).await.map(drop)),
    ] {
        assert!(matches!(&answer, Err(Error::Api(status)) if status.code == 422), "{what}: {answer:?}");
    }
    let foreign: Api<ClusterNode> = Api::namespaced(liar.clone(), HOME);
    let patch = Patch::Apply(node("n", 1, &["192.0.2.9"], &[]));
    let answer = foreign.patch("n1", &PatchParams::apply(MANAGER).force(), &patch).await;
    assert!(matches!(&answer, Err(Error::Api(status)) if status.code == 403), "{answer:?}");

    // The last lie was judged, so all before it were.
    assert_eq!(honest_plans(&admin).await, before);
}
