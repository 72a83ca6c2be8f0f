//! What the programs do when an API server is not as it should be: each says once what is missing and what to
//! do, is not ready and says why, goes on trying without haste, and works when the trouble is over. Nobody
//! restarts them.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use causeway_api::Cluster;
use causeway_kubernetes::ensure;
use causeway_test_deploy::daemon::Daemon;
use causeway_test_deploy::hub::{install, join, shown};
use causeway_test_deploy::identity::{account_token, token_of_another_time, typed};
use causeway_test_deploy::objects::in_folder;
use causeway_test_deploy::server::Server;
use causeway_test_deploy::{eventually, until};
use kube_client::Api;
use kube_client::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

const NETWORK_MANAGER: &str = "causeway-system/causeway-network-manager";
const CONTROLLER_MANAGER: &str = "causeway-system/causeway-controller-manager";
const AGENT: &str = "causeway-system/causeway-agent";
const EAST: &str = "causeway-cluster-east/controller-manager";

/// What each program reads: it names them all when it may read none.
const PLANNER_READS: [&str; 4] = ["clusterlinks", "clusternodes", "clusters", "nodeconfigs"];
const AGENT_READS: [&str; 3] = ["clusterlinks", "clusternodes", "nodeconfigs"];
const MANAGER_READS_AT_HUB: [&str; 4] = ["clusterlinks", "clusternodes", "clusters", "nodeconfigs"];
const MANAGER_READS: [&str; 6] =
    ["Nodes", "clusterlinks", "clusternodes", "diagnoses", "nodeconfigs", "peerslices"];

fn network_manager(server: &Server, name: &str, kubeconfig: &Path) -> Daemon {
    Daemon::start(server.folder(), name, "causeway-network-manager", &["--kubeconfig", &shown(kubeconfig)])
}

fn agent(server: &Server, name: &str, kubeconfig: &Path) -> Daemon {
    let state = server.folder().join(format!("{name}-state"));
    let words = ["--node", "n1", "--state-dir", &shown(&state), "--kubeconfig", &shown(kubeconfig)];
    Daemon::start(server.folder(), name, "causeway-agent", &words)
}

fn controller_manager(server: &Server, name: &str, kubeconfig: &Path, hub: &Path) -> Daemon {
    let (member, hub) = (shown(kubeconfig), shown(hub));
    let words = ["--cluster", "east", "--kubeconfig", &member, "--hub-kubeconfig", &hub];
    Daemon::start(server.folder(), name, "causeway-controller-manager", &words)
}

async fn kubeconfig(server: &Server, account: &str) -> std::path::PathBuf {
    let token = account_token(server, account).await;
    server.kubeconfig_with_token(&account.replace('/', "-"), &token)
}

/// What it logged that is wrong, but for what follows from a cluster without nodes.
fn troubles(daemon: &Daemon) -> Vec<String> {
    daemon.warnings().into_iter().filter(|line| !line.contains("no node of the cluster takes part")).collect()
}

/// One line says it, and there is no other.
fn said_once(daemon: &Daemon, words: &[&str]) {
    let warnings = troubles(daemon);
    let hits = warnings.iter().filter(|line| words.iter().all(|word| line.contains(word))).count();
    assert_eq!((hits, warnings.len()), (1, 1), "{words:?} in {warnings:#?}");
}

/// The lines with `words` name `kinds`, all of them in the end, and none says only what was said before: of two
/// watches, one may fail a moment after the other.
async fn names(daemon: &Daemon, words: &[&str], kinds: &[&str]) {
    let lines = || -> Vec<String> {
        troubles(daemon).into_iter().filter(|line| words.iter().all(|word| line.contains(word))).collect()
    };
    let named = |line: &str| -> BTreeSet<&str> {
        kinds.iter().copied().filter(|kind| names_it(line, kind)).collect()
    };
    eventually(&format!("{words:?} of {kinds:?}"), async || {
        let lines = lines();
        let all: BTreeSet<&str> = lines.iter().flat_map(|line| named(line)).collect();
        if all.len() == kinds.len() { Ok(()) } else { Err(format!("{lines:#?}")) }
    })
    .await;
    let lines = lines();
    let mut before = BTreeSet::new();
    for line in &lines {
        let named = named(line);
        assert!(!named.is_subset(&before), "said again: {lines:#?}");
        before.extend(named);
    }
}

/// Whether a line has `kind` in the list at its start, before what is wrong with it.
fn names_it(line: &str, kind: &str) -> bool {
    let text = line.split_once("complaints: ").map_or(line, |(_, text)| text);
    let text = ["hub: ", "this cluster: "].iter().find_map(|at| text.strip_prefix(at)).unwrap_or(text);
    text.split(": ").next().is_some_and(|listed| listed.split(", ").any(|one| one == kind))
}

/// Applies the shipped objects of these kinds.
async fn apply(server: &Server, folder: &str, kinds: &[&str]) {
    let admin = server.admin().await;
    for object in in_folder(folder) {
        if kinds.contains(&object["kind"].as_str().unwrap()) {
            // What is in a namespace that was just made, and quotas of definitions, may take a moment.
            let what = format!("{} {}", object["kind"], object["metadata"]["name"]);
            eventually(&what, async || {
                ensure(&admin, "test", &object).await.map_err(|error| error.to_string())
            })
            .await;
        }
    }
}

/// Applies the definitions, each changed by `change`.
async fn define(server: &Server, change: impl Fn(&mut Value)) {
    let admin = server.admin().await;
    for mut definition in in_folder("deploy/crds") {
        change(&mut definition);
        ensure(&admin, "test", &definition).await.unwrap();
        // Not by server-side apply alone: what somebody else applied would stay.
        let all: Api<DynamicObject> = Api::all_with(admin.clone(), &crd());
        let name = definition["metadata"]["name"].as_str().unwrap();
        let spec = Patch::Merge(json!({"spec": definition["spec"]}));
        all.patch(name, &PatchParams::default(), &spec).await.unwrap();
    }
}

async fn add_cluster(server: &Server, name: &str) {
    let clusters: Api<Cluster> = Api::all(server.admin().await);
    let cluster = json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": name}, "spec": {},
    });
    until("a Cluster can be made", async || {
        clusters.create(&PostParams::default(), &typed(cluster.clone())).await.is_ok()
    })
    .await;
}

/// First without rights, then without definitions, then with definitions of another version, then with all.
#[tokio::test]
async fn what_is_not_installed_yet_is_named_once_and_awaited() {
    let server = Server::start().await;
    for folder in ["deploy/manifests/hub", "deploy/manifests/member"] {
        apply(&server, folder, &["Namespace", "ServiceAccount"]).await;
    }
    let admin = server.admin().await;
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "causeway-cluster-east"}});
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "controller-manager", "namespace": "causeway-cluster-east"},
    });
    for object in [namespace, account] {
        ensure(&admin, "test", &object).await.unwrap();
    }
    let mut planner = network_manager(&server, "planner", &kubeconfig(&server, NETWORK_MANAGER).await);
    let mut agent = agent(&server, "agent", &kubeconfig(&server, AGENT).await);
    let hub = kubeconfig(&server, EAST).await;
    let mut manager =
        controller_manager(&server, "manager", &kubeconfig(&server, CONTROLLER_MANAGER).await, &hub);

    let rights = "apply the RBAC that is shipped";
    for daemon in [&mut planner, &mut agent, &mut manager] {
        daemon.becomes_unready(rights).await;
        daemon.says(rights, 0).await;
    }
    names(&planner, &[rights], &PLANNER_READS).await;
    names(&agent, &[rights], &AGENT_READS).await;
    names(&manager, &["hub: ", rights], &MANAGER_READS_AT_HUB).await;
    names(&manager, &["this cluster: ", rights], &MANAGER_READS).await;

    for folder in ["deploy/manifests/hub", "deploy/manifests/member"] {
        apply(&server, folder, &["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"]).await;
    }
    let definitions = "are the CustomResourceDefinitions installed, in this version?";
    for daemon in [&mut planner, &mut agent, &mut manager] {
        daemon.becomes_unready(definitions).await;
        daemon.says(definitions, 0).await;
    }
    names(&planner, &[definitions], &PLANNER_READS).await;
    names(&agent, &[definitions], &AGENT_READS).await;
    let told = [&planner, &agent].map(troubles);
    define(&server, |definition| definition["spec"]["versions"][0]["name"] = json!("v1alpha0")).await;
    // Another version is as good as none, and no news.
    for daemon in [&mut planner, &mut agent] {
        daemon.becomes_unready(definitions).await;
    }
    assert_eq!([&planner, &agent].map(troubles), told);
    for definition in in_folder("deploy/crds") {
        let crds: Api<kube::core::DynamicObject> = Api::all_with(admin.clone(), &crd());
        let name = definition["metadata"]["name"].as_str().unwrap();
        crds.delete(name, &Default::default()).await.unwrap();
        until("it is gone", async || crds.get_opt(name).await.is_ok_and(|found| found.is_none())).await;
    }
    define(&server, |_| {}).await;
    add_cluster(&server, "east").await;
    for daemon in [&mut planner, &mut agent, &mut manager] {
        daemon.becomes_ready().await;
    }
    assert_eq!([&planner, &agent].map(troubles), told);
    for daemon in [&mut planner, &mut agent, &mut manager] {
        assert!(daemon.said("no longer: ") > 0, "{}", daemon.log());
        daemon.goes_on();
    }
}

fn crd() -> kube::core::ApiResource {
    let kind = kube::core::GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    kube::core::ApiResource::from_gvk(&kind)
}

/// Waits until the definition in force has no such status: a new one takes a moment.
async fn is_refused(server: &Server, cluster: &str, status: Value) {
    let clusters: Api<Cluster> = Api::all(server.admin().await);
    let patch = json!({"apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": cluster}, "status": status});
    let params = PatchParams { dry_run: true, ..PatchParams::apply("test") };
    until("the older definition is in force", async || {
        clusters.patch_status(cluster, &params, &Patch::Apply(&patch)).await.is_err()
    })
    .await;
}

/// A definition of an older version lacks a field that is written.
#[tokio::test]
async fn a_definition_that_lacks_a_field_is_named_once_and_its_new_version_is_enough() {
    let server = Server::start().await;
    let _first = install(&server).await;
    define(&server, |definition| {
        if definition["spec"]["names"]["kind"] == "Cluster" {
            let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            schema["properties"]["status"]["properties"].as_object_mut().unwrap().remove("conditions");
        }
    })
    .await;
    drop(_first);
    add_cluster(&server, "east").await;
    is_refused(&server, "east", json!({"conditions": []})).await;
    let mut planner = network_manager(&server, "planner", &kubeconfig(&server, NETWORK_MANAGER).await);
    let words = "Apply those that are shipped with this program";
    planner.becomes_unready(words).await;
    planner.says(words, 0).await;
    // Some more tries are not told.
    planner.becomes_unready("1 objects could not be written").await;
    said_once(&planner, &["apply status of Cluster east", "conditions", words]);
    define(&server, |_| {}).await;
    planner.becomes_ready().await;
    said_once(&planner, &["apply status of Cluster east"]);
}

#[tokio::test]
async fn an_api_server_that_goes_away_is_named_once_and_awaited() {
    let mut server = Server::start().await;
    drop(install(&server).await);
    let mut planner = network_manager(&server, "planner", &kubeconfig(&server, NETWORK_MANAGER).await);
    join(&server, &server, "east", &[]);
    let mut agent = agent(&server, "agent", &kubeconfig(&server, AGENT).await);
    let hub = kubeconfig(&server, EAST).await;
    let mut manager =
        controller_manager(&server, "manager", &kubeconfig(&server, CONTROLLER_MANAGER).await, &hub);
    for daemon in [&mut planner, &mut agent, &mut manager] {
        daemon.becomes_ready().await;
        assert_eq!(troubles(daemon), Vec::<String>::new());
    }
    server.go_away();
    let away = "the API server is not reached";
    for daemon in [&mut planner, &mut agent, &mut manager] {
        daemon.becomes_unready(away).await;
    }
    for daemon in [&mut planner, &mut manager] {
        daemon.says("standing by; nothing is written any more", 0).await;
        daemon.goes_on();
    }
    server.come_back().await;
    for daemon in [&mut planner, &mut agent, &mut manager] {
        daemon.becomes_ready().await;
    }
    // One line for each of hub and member. That the Lease ended is a line of its own, and an API server that has
    // just begun may say something else for a moment.
    for (daemon, servers) in [(&planner, 1), (&agent, 1), (&manager, 2)] {
        let lines = troubles(daemon);
        let about = |line: &&String| line.contains(away) && !line.contains("standing by");
        assert_eq!(lines.iter().filter(about).count(), servers, "{lines:#?}");
        assert!(lines.len() <= servers + 4, "{lines:#?}");
        assert!(daemon.said("no longer: ") >= servers, "{}", daemon.log());
    }
}

/// Seconds of the Unix epoch, now.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// A token of nobody, of another cluster, of the past, of the future: it is one trouble. Each lies in a file, as
/// in a Pod, and the program takes up the good one that replaces it.
#[tokio::test]
async fn a_credential_that_is_not_accepted_is_named_once_and_a_new_one_taken_up() {
    let (server, other) = tokio::join!(Server::start(), Server::start());
    drop(install(&server).await);
    drop(install(&other).await);
    let first = network_manager(&server, "first", &kubeconfig(&server, NETWORK_MANAGER).await);
    join(&server, &server, "east", &[]);
    drop(first);
    let hour = 3600;
    let past = now() - 3 * hour..now() - hour;
    let future = now() + hour..now() + 3 * hour;
    let bad = [
        ("nobody", NETWORK_MANAGER, "nonsense".to_owned()),
        ("foreign", NETWORK_MANAGER, account_token(&other, NETWORK_MANAGER).await),
        ("past", AGENT, token_of_another_time(&server, AGENT, past.clone()).await),
        ("future", AGENT, token_of_another_time(&server, AGENT, future.clone()).await),
    ];
    let mut daemons = Vec::new();
    for (name, account, token) in bad {
        let file = server.folder().join(format!("{name}.token"));
        fs::write(&file, token).unwrap();
        let kubeconfig = server.kubeconfig_with_token_file(name, &file);
        let daemon = match account {
            AGENT => agent(&server, name, &kubeconfig),
            _ => network_manager(&server, name, &kubeconfig),
        };
        daemons.push((daemon, account, file));
    }
    let hub = server.folder().join("hub.conf");
    let at_hub = async |token: String| {
        let made = server.kubeconfig_with_token("at-hub", &token);
        fs::rename(made, &hub).unwrap();
    };
    at_hub(token_of_another_time(&server, EAST, past).await).await;
    let mut manager =
        controller_manager(&server, "manager", &kubeconfig(&server, CONTROLLER_MANAGER).await, &hub);

    let refused = "the credential is not accepted";
    for (daemon, ..) in &mut daemons {
        daemon.becomes_unready(refused).await;
        daemon.says(refused, 0).await;
    }
    manager.becomes_unready(refused).await;
    manager.says(refused, 0).await;
    // Another bad one is no news.
    at_hub(token_of_another_time(&server, EAST, future).await).await;
    manager.says("credential was replaced", 0).await;
    manager.becomes_unready(refused).await;

    for (_, account, file) in &daemons {
        fs::write(file, account_token(&server, account).await).unwrap();
    }
    at_hub(account_token(&server, EAST).await).await;
    for (daemon, ..) in &mut daemons {
        daemon.becomes_ready().await;
        said_once(daemon, &[refused, "is a clock wrong?"]);
    }
    // A token that is within its time is accepted whoever signed it: the others were refused for their time.
    at_hub(token_of_another_time(&server, EAST, now() - hour..now() + hour).await).await;
    manager.becomes_ready().await;
    said_once(&manager, &["hub: ", refused, "is a clock wrong?"]);
}

#[tokio::test]
async fn a_server_of_another_authority_is_named_once() {
    let (server, other) = tokio::join!(Server::start(), Server::start());
    drop(install(&server).await);
    let first = network_manager(&server, "first", &kubeconfig(&server, NETWORK_MANAGER).await);
    join(&server, &server, "east", &[]);
    drop(first);
    let wrong = async |account: &str, name: &str| {
        let good = fs::read_to_string(kubeconfig(&server, account).await).unwrap();
        let (ours, theirs) = (shown(server.folder()), shown(other.folder()));
        let file = server.folder().join(name);
        fs::write(&file, good.replace(&format!("{ours}/ca.crt"), &format!("{theirs}/ca.crt"))).unwrap();
        file
    };
    let mut planner = network_manager(&server, "planner", &wrong(NETWORK_MANAGER, "planner.conf").await);
    let mut agent = agent(&server, "agent", &wrong(AGENT, "agent.conf").await);
    let hub = wrong(EAST, "hub.conf").await;
    let mut manager =
        controller_manager(&server, "manager", &kubeconfig(&server, CONTROLLER_MANAGER).await, &hub);
    let untrusted = "was its certificate authority replaced (certificate-authority of the kubeconfig)";
    for daemon in [&mut planner, &mut agent, &mut manager] {
        daemon.becomes_unready(untrusted).await;
        daemon.says(untrusted, 0).await;
        said_once(daemon, &["the API server is not trusted", untrusted]);
    }
    fs::copy(kubeconfig(&server, EAST).await, &hub).unwrap();
    manager.becomes_ready().await;
    said_once(&manager, &["hub: ", untrusted]);
    for daemon in [&mut planner, &mut agent] {
        daemon.goes_on();
        said_once(daemon, &[untrusted]);
    }
}
