//! The command line against real API servers: what it says of a clusterset that is there, of a change before it is
//! applied, of versions; and what it says when a server is not as it should be.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Output, Stdio};

use causeway_kubernetes::{Client, ensure};
use causeway_test_deploy::clusterset::{condition, given, healthy, namespace_is_there, ours, say};
use causeway_test_deploy::hub::{Running, causeway, install, shown, told};
use causeway_test_deploy::identity::account_token;
use causeway_test_deploy::objects::in_folder;
use causeway_test_deploy::server::{Server, free_port};
use causeway_test_deploy::{eventually, mortal, program};
use serde_json::{Value, json};

const CONTROLLER: &str = "causeway-controller-manager";

/// Runs a command with `-o json`; its exit code and what it printed.
fn json_of(words: &[&str]) -> (Option<i32>, Value) {
    let output = causeway(&[words, &["-o", "json"]].concat());
    let value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{words:?}: {error}: {}", told(&output)));
    (output.status.code(), value)
}

fn node(cluster: &str, name: &str, underlay: &str, pods: &str) -> Value {
    let namespace = format!("causeway-cluster-{cluster}");
    ours("ClusterNode", Some(&namespace), name, json!({"underlay": [underlay], "podCIDRs": [pods]}))
}

/// A hub with network-manager and the clusters east and west, one node each, as far as network-manager brings them.
async fn two_clusters(hub: &Server) -> (Running, Client) {
    let manager = install(hub).await;
    let admin = hub.admin().await;
    for (name, number) in [("east", 1), ("west", 2)] {
        let spec = json!({"mode": "P2P", "podCIDRs": [format!("10.{number}.0.0/16")]});
        given(&admin, ours("Cluster", None, name, spec)).await;
        namespace_is_there(&admin, &format!("causeway-cluster-{name}")).await;
        let underlay = format!("192.0.2.{number}");
        given(&admin, node(name, "n1", &underlay, &format!("10.{number}.1.0/24"))).await;
    }
    (manager, admin)
}

/// What the controller-managers of both would say.
async fn all_is_well(admin: &Client) {
    let counts = json!({"ready": 1, "total": 1});
    for (name, remote) in [("east", "west"), ("west", "east")] {
        let status = json!({"nodes": counts, "cni": "flannel", "conditions": [
            condition("Discovered", "True", "Found", ""), condition("Programmed", "True", "InKernel", ""),
        ]});
        say(admin, CONTROLLER, "Cluster", None, name, status).await;
        let namespace = format!("causeway-cluster-{name}");
        let status = json!({"nodes": counts, "rtt": "0.42ms", "conditions": [condition("Ready", "True", "Ready", "")]});
        say(admin, CONTROLLER, "ClusterLink", Some(&namespace), remote, status).await;
    }
}

async fn status_becomes(file: &str, what: &str, is: impl Fn(Option<i32>, &Value) -> bool) -> Value {
    eventually(what, async || {
        let (code, status) = json_of(&["status", "--kubeconfig", file]);
        if is(code, &status) { Ok(status) } else { Err(format!("{code:?} {status:#}")) }
    })
    .await
}

#[tokio::test]
async fn the_status_of_a_clusterset_says_what_is_wrong_first_and_follows_it() {
    let hub = Server::start().await;
    let (_manager, admin) = two_clusters(&hub).await;
    let file = shown(&hub.admin_kubeconfig());
    let links = |status: &Value| status["links"].as_array().map_or(0, Vec::len);
    let silent = status_becomes(&file, "planned, and nobody has reported", |code, status| {
        code == Some(1) && links(status) == 2 && status["clusters"][0]["state"] == "Ready"
    })
    .await;
    assert_eq!(silent["links"][0]["state"], "Unknown");
    let reasons: Vec<&Value> = silent["wrong"].as_array().unwrap().iter().map(|one| &one["reason"]).collect();
    assert_eq!(reasons, ["NotReported"], "both links at once");

    all_is_well(&admin).await;
    let well = status_becomes(&file, "all is well", |code, _| code == Some(0)).await;
    assert_eq!(well["summary"]["links"], json!({"ready": 2, "total": 2}));
    assert_eq!((&well["links"][0]["rtt"], &well["healthy"]), (&json!("0.42ms"), &json!(true)));
    let page = causeway(&["status", "--kubeconfig", &file, "-o", "wide"]);
    assert!(
        told(&page).contains("nothing is wrong") && told(&page).contains("10.2.0.0/16"),
        "{}",
        told(&page)
    );

    let mut watching = mortal(&program("causeway"));
    watching.args(["status", "--watch", "--kubeconfig", &file, "-o", "json"]).stdout(Stdio::piped());
    let mut watching = watching.spawn().unwrap();
    let lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let broken = json!({"nodes": {"ready": 0, "total": 1}, "conditions": [
        condition("Ready", "False", "NoWay", "no node has a way to the remote cluster that works"),
    ]});
    say(&admin, CONTROLLER, "ClusterLink", Some("causeway-cluster-east"), "west", broken).await;
    let seen = tokio::task::spawn_blocking(move || {
        let mut lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        lines.find(|status| status["wrong"][0]["reason"] == "NoWay")
    });
    let seen = seen.await.unwrap().expect("a status with the broken link");
    watching.kill().unwrap();
    watching.wait().unwrap();
    assert_eq!(seen["wrong"][0]["objects"], json!(["ClusterLink east/west"]));
    let page = told(&causeway(&["status", "--kubeconfig", &file]));
    let (wrong, clusters) = (page.find("What to do: ").unwrap(), page.find("CLUSTERS").unwrap());
    assert!(wrong < clusters, "{page}");
}

/// No request for a single cluster or node, whatever their number: that is what keeps it quick.
#[tokio::test]
async fn a_status_takes_as_many_requests_for_many_clusters_as_for_few() {
    let hub = Server::start().await;
    let admin = hub.admin().await;
    for object in in_folder("deploy/crds") {
        given(&admin, object).await;
    }
    let viewer = viewer(&hub, &["get", "list", "watch"]).await;
    let mut before = 0;
    for count in [2, 8] {
        healthy(&admin, count).await;
        let output = causeway(&["status", "--kubeconfig", &viewer, "-o", "json"]);
        let status: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)));
        assert_eq!(status["links"].as_array().unwrap().len(), count * (count - 1));
        let asked = eventually("the audit log", async || {
            let asked = requests(&hub, before);
            if asked.len() >= 5 { Ok(asked) } else { Err(format!("{asked:#?}")) }
        })
        .await;
        assert_eq!(asked.len(), 5, "{asked:#?}");
        before = hub.audit().len();
    }
}

/// What the viewer asked for after the first `before` events. The same twice, as after a server that has just started
/// says to ask again, counts once.
fn requests(hub: &Server, before: usize) -> BTreeSet<String> {
    let by_viewer = |event: &Value| event["user"]["username"] == "system:serviceaccount:default:viewer";
    let uri = |event: Value| event["requestURI"].as_str().unwrap_or_default().to_owned();
    hub.audit().into_iter().skip(before).filter(by_viewer).map(uri).collect()
}

/// The kubeconfig of somebody who may do this with Causeway's objects, and nothing else.
async fn viewer(server: &Server, verbs: &[&str]) -> String {
    let admin = server.admin().await;
    let name = json!({"name": "viewer"});
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "viewer", "namespace": "default"}});
    let rules = json!([{"apiGroups": ["causeway.dev"], "resources": ["*"], "verbs": verbs}]);
    let group = "rbac.authorization.k8s.io";
    let role =
        json!({"apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": name, "rules": rules});
    let binding = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": name,
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "viewer"},
        "subjects": [{"kind": "ServiceAccount", "name": "viewer", "namespace": "default"}],
    });
    given(&admin, account).await;
    if !verbs.is_empty() {
        given(&admin, role).await;
        given(&admin, binding).await;
    }
    shown(&server.kubeconfig_with_token("viewer", &account_token(server, "default/viewer").await))
}

fn failed(output: &Output, code: i32, words: &[&str]) {
    let said = told(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
}

#[tokio::test]
async fn each_failure_says_what_to_do_next() {
    let server = Server::start().await;
    let file = shown(&server.admin_kubeconfig());
    let status = |words: &[&str]| causeway(&[&["status"], words].concat());
    failed(&status(&["--kubeconfig", &file, "--context", "hub"]), 2, &["no context \"hub\"", "it has c"]);
    failed(&status(&["--kubeconfig", "/nowhere"]), 2, &["/nowhere"]);
    failed(
        &status(&["--kubeconfig", &file]),
        2,
        &["context c", "knows no Clusters", "causeway install hub", "--context"],
    );

    for object in in_folder("deploy/crds") {
        given(&server.admin().await, object).await;
    }
    eventually("the definitions serve", async || {
        let output = status(&["--kubeconfig", &file]);
        if output.status.code() == Some(1) { Ok(()) } else { Err(told(&output)) }
    })
    .await;
    failed(&causeway(&["plan", "--kubeconfig", &file]), 2, &["holds no Cluster", "causeway join"]);
    let stranger = viewer(&server, &[]).await;
    failed(
        &status(&["--kubeconfig", &stranger]),
        1,
        &["cannot list", "causeway.dev", "system:serviceaccount:default:viewer", "ask for the right to list"],
    );
    let away = server.folder().join("away.conf");
    let text = std::fs::read_to_string(&file)
        .unwrap()
        .replace(&server.url(), &format!("https://127.0.0.1:{}", free_port()));
    std::fs::write(&away, text).unwrap();
    failed(&status(&["--kubeconfig", &shown(&away)]), 1, &["not reached", "is it running"]);
    let refused = server.kubeconfig_with_token("nobody", "no-token");
    failed(&status(&["--kubeconfig", &shown(&refused)]), 1, &["credential is not accepted"]);
}

#[tokio::test]
async fn a_change_is_planned_and_a_packet_explained_on_what_is_there() {
    let hub = Server::start().await;
    let (_manager, admin) = two_clusters(&hub).await;
    let file = shown(&hub.admin_kubeconfig());
    eventually("the plan is written", async || {
        let (_, plan) = json_of(&["plan", "--kubeconfig", &file]);
        let left: Vec<&Value> =
            ["create", "change", "delete"].iter().map(|what| &plan["summary"][what]).collect();
        if left == [0, 0, 0] && plan["summary"]["links"] == 2 {
            Ok(())
        } else {
            Err(format!("{:#}", plan["summary"]))
        }
    })
    .await;
    a_change_touches_what_it_says(&hub, &file);
    a_kustomization_is_planned_as_its_file_is(&hub, &file);

    let way = ["explain", "--kubeconfig", &file, "--from", "east/n1:10.1.1.5", "--to", "west/n1:10.2.1.7"];
    let (code, way) = json_of(&way);
    assert_eq!(
        (code, &way["reachable"], &way["derivedFrom"]),
        (Some(0), &json!(true), &json!("objects")),
        "{way:#}"
    );
    assert_eq!(way["reply"]["end"]["node"], "east/n1");
    let (_, node) = json_of(&["render", "--kubeconfig", &file, "--cluster", "east", "--node", "n1"]);
    assert_eq!((&node["stale"], &node["link"][0]["ifname"]), (&json!(false), &json!("vx-bridge")));

    // Nothing of it was written.
    let clusters = kube_client::Api::<causeway_api::Cluster>::all(admin);
    assert!(clusters.get("west").await.unwrap().spec.mode.unwrap().as_str() == "P2P");
}

const CHANGE: &str = "apiVersion: causeway.dev/v1alpha1\nkind: Cluster\nmetadata: {name: west}\n\
    spec: {mode: Gateway, gateways: {count: 1}, podCIDRs: [10.2.0.0/16]}\n";

fn a_change_touches_what_it_says(hub: &Server, file: &str) {
    let change = shown(&hub.folder().join("west.yaml"));
    std::fs::write(&change, CHANGE).unwrap();
    let (code, plan) = json_of(&["plan", "--kubeconfig", file, "-f", &change]);
    assert_eq!(code, Some(0), "{plan:#}");
    let of = |kind: &str| -> Vec<&Value> {
        let changes = plan["changes"].as_array().unwrap();
        changes.iter().filter(|change| change["kind"] == kind).collect()
    };
    let fields = json!([
        {"field": "spec.gateways.count", "after": "1"},
        {"field": "spec.mode", "before": "P2P", "after": "Gateway"},
    ]);
    assert_eq!(of("Cluster")[0]["fields"], fields);
    assert_eq!(plan["blastRadius"]["nodes"], 2);
    assert_eq!(plan["blastRadius"]["kernels"], 2, "{:#}", plan["blastRadius"]);
    let diff = told(&causeway(&["plan", "--kubeconfig", file, "-f", &change, "--diff"]));
    for line in
        ["--- Cluster west", "-  mode: P2P", "+  mode: Gateway", "--- NodeConfig causeway-cluster-west/n1"]
    {
        assert!(diff.lines().any(|found| found == line), "no {line:?} in {diff}");
    }
    // What is refused is named, with the field.
    let overlap = shown(&hub.folder().join("north.yaml"));
    let text = CHANGE.replace("west", "north").replace("Gateway", "P2P");
    std::fs::write(&overlap, text).unwrap();
    let (code, plan) = json_of(&["plan", "--kubeconfig", file, "-f", &overlap]);
    assert_eq!(code, Some(1));
    let refused = plan["refused"].as_array().unwrap();
    let conflict =
        refused.iter().find(|one| one["reason"] == "PrefixConflict").unwrap_or_else(|| panic!("{plan:#}"));
    assert_eq!(
        (&conflict["object"], &conflict["already"]),
        (&json!("Cluster north"), &json!(false)),
        "the youngest loses"
    );
    let (code, plan) = json_of(&["plan", "--kubeconfig", file, "--delete", "cluster/west"]);
    assert_eq!((code, &plan["summary"]["links"]), (Some(0), &json!(0)), "{plan:#}");
    failed(
        &causeway(&["plan", "--kubeconfig", file, "--delete", "cluster/south"]),
        2,
        &["has no Cluster south"],
    );
}

fn a_kustomization_is_planned_as_its_file_is(hub: &Server, file: &str) {
    let folder = hub.folder().join("overlay");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("west.yaml"), CHANGE).unwrap();
    std::fs::write(folder.join("kustomization.yaml"), "resources: [west.yaml]\n").unwrap();
    let kubectl = causeway_test_deploy::kubernetes_program("kubectl");
    let path =
        format!("{}:{}", kubectl.parent().map(shown).unwrap(), std::env::var("PATH").unwrap_or_default());
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(program("causeway"));
        command.args(words).args(["--kubeconfig", file, "-o", "json"]).env("PATH", &path);
        let output = command.output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)))
    };
    let built = run(&["plan", "-k", &shown(&folder)]);
    let read = run(&["plan", "-f", &shown(&folder.join("west.yaml"))]);
    assert_eq!(built["changes"], read["changes"]);
    let failing = causeway(&["plan", "--kubeconfig", file, "-k", &shown(Path::new("/nowhere"))]);
    failed(&failing, 1, &["kubectl kustomize /nowhere fails"]);
}

#[tokio::test]
async fn versions_of_what_runs_are_told_and_skew_is_named() {
    let server = Server::start().await;
    let file = shown(&server.admin_kubeconfig());
    let image = |image: &str| {
        let output = causeway(&["install", "hub", "--kubeconfig", &file, "--image", image]);
        assert!(output.status.success(), "{}", told(&output));
    };
    let becomes = async |what: &str, is: &dyn Fn(&Value) -> bool| {
        eventually(what, async || {
            let (code, version) = json_of(&["version", "--kubeconfig", &file]);
            if is(&version) { Ok((code, version)) } else { Err(format!("{version:#}")) }
        })
        .await
    };
    image(&format!("registry.example/causeway:{}", env!("CARGO_PKG_VERSION")));
    let (code, version) = becomes("two Pods", &|version| version["programs"][0]["pods"] == 2).await;
    assert_eq!((code, &version["skew"]), (Some(0), &json!([])), "{version:#}");
    assert_eq!(version["programs"][0]["version"], env!("CARGO_PKG_VERSION"));
    // Nothing runs Pods here, so the old ones stay: an upgrade that is stuck.
    image("registry.example/causeway:9.9.9");
    let (code, version) =
        becomes("an upgrade", &|version| version["programs"].as_array().is_some_and(|all| all.len() == 2))
            .await;
    assert_eq!(code, Some(1));
    let skew: String =
        version["skew"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert!(skew.contains("under way or stuck") && skew.contains("9.9.9"), "{skew}");
    let alone = causeway(&["version", "--client", "-o", "json"]);
    assert_eq!(alone.status.code(), Some(0));
}

/// For who has no objects yet: definitions are not applied by the test above.
#[tokio::test]
async fn a_hub_whose_network_manager_never_ran_is_told() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for object in in_folder("deploy/crds") {
        ensure(&admin, "test", &object).await.unwrap();
    }
    let file = shown(&server.admin_kubeconfig());
    eventually("the definitions serve", async || {
        let output = causeway(&["status", "--kubeconfig", &file]);
        if told(&output).contains("NeverStarted") { Ok(()) } else { Err(told(&output)) }
    })
    .await;
}
