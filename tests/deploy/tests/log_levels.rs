//! Levels of log lines, changed while a program runs: it says more while it is asked to, and what it said before
//! afterwards; nobody is heard who does not ask from loopback.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

use std::process::Command;

use causeway_api::Cluster;
use causeway_kubernetes::Client;
use causeway_test_deploy::daemon::Daemon;
use causeway_test_deploy::hub::{causeway, shown};
use causeway_test_deploy::identity::{account_kubeconfig, typed};
use causeway_test_deploy::server::Server;
use causeway_test_deploy::{eventually, repository, until};
use kube_client::Api;
use kube_client::api::{Patch, PatchParams, PostParams};
use serde_json::json;

const WRITTEN: &str = "written object=";

/// Another mode each time: network-manager has to write something.
async fn change_something(admin: &Client, mode: &str) {
    let clusters: Api<Cluster> = Api::all(admin.clone());
    let spec = json!({"spec": {"mode": mode}});
    clusters.patch("east", &PatchParams::default(), &Patch::Merge(&spec)).await.unwrap();
    eventually("the mode is taken", async || {
        let cluster = clusters.get("east").await.map_err(|error| error.to_string())?;
        let observed = cluster.status.as_ref().and_then(|status| status.observed_generation);
        if observed == cluster.metadata.generation { Ok(()) } else { Err(format!("{observed:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_program_says_more_while_it_is_asked_to() {
    let server = Server::start().await;
    let admin = server.admin().await;
    assert!(
        causeway(&["install", "hub", "--kubeconfig", &shown(&server.admin_kubeconfig())]).status.success()
    );
    let account = account_kubeconfig(&server, "causeway-system/causeway-network-manager").await;
    let words = ["--kubeconfig", &shown(&account)];
    let mut manager = Daemon::start(server.folder(), "manager", "causeway-network-manager", &words);
    manager.becomes_ready().await;
    let clusters: Api<Cluster> = Api::all(admin.clone());
    let cluster = typed(json!({"metadata": {"name": "east"}, "spec": {"podCIDRs": ["10.1.0.0/16"]}}));
    clusters.create(&PostParams::default(), &cluster).await.unwrap();
    change_something(&admin, "Gateway").await;
    assert_eq!(manager.said(WRITTEN), 0, "{}", manager.log());

    let (code, told) = manager.ask("PUT", "/log?level=debgu");
    assert!(code == 400 && told.contains("error, warn, info, debug or trace"), "{code} {told}");
    let (code, told) = manager.ask("PUT", "/log?level=debug&for=1d");
    assert!(code == 400 && told.contains("s, m or h"), "{code} {told}");
    assert_eq!(manager.ask("POST", "/log?level=debug").0, 405);

    let (code, told) = manager.ask("PUT", "/log?level=debug&for=1h");
    assert!(code == 200 && told.contains("asked: causeway=debug, for "), "{code} {told}");
    assert!(manager.ask("GET", "/log").1.contains("asked: causeway=debug, for "));
    change_something(&admin, "P2P").await;
    manager.says(WRITTEN, 0).await;

    let (code, told) = manager.ask("DELETE", "/log");
    assert!(code == 200 && !told.contains("asked"), "{code} {told}");
    let before = manager.said(WRITTEN);
    change_something(&admin, "Gateway").await;
    assert_eq!(manager.said(WRITTEN), before, "{}", manager.log());

    // By itself it falls back too.
    assert_eq!(manager.ask("PUT", "/log?level=debug&for=1s").0, 200);
    until("it falls back", async || !manager.ask("GET", "/log").1.contains("asked")).await;
    let before = manager.said(WRITTEN);
    change_something(&admin, "P2P").await;
    assert_eq!(manager.said(WRITTEN), before, "{}", manager.log());
    manager.goes_on();
}

/// In a network of its own, with an address that is not loopback, on the socket that metrics are read from.
#[test]
fn who_does_not_ask_from_loopback_may_read_metrics_and_changes_nothing() {
    let script = r#"
        ip link set lo up
        ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up
        ip addr add 192.0.2.1/24 dev v0 && ip -6 addr add 2001:db8::1/64 dev v0 nodad
        "$MANAGER" --kubeconfig "$FOLDER/none.conf" --listen '[::]:8080' 2> "$FOLDER/log" & manager=$!
        trap 'kill $manager' EXIT
        for _ in $(seq 100); do curl -s -o /dev/null http://127.0.0.1:8080/healthz && break; sleep 0.1; done
        ask() { curl -g -s -o /dev/null -w '%{http_code} ' "$@"; }
        for host in 192.0.2.1 '[2001:db8::1]' 127.0.0.1 '[::1]'; do
            ask "http://$host:8080/metrics"; ask "http://$host:8080/log"
            ask -X PUT "http://$host:8080/log?level=debug"; ask -X DELETE "http://$host:8080/log"
            echo
        done
    "#;
    let folder = tempfile::TempDir::new().unwrap();
    let kubeconfig = "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: \"http://127.0.0.1:1\"}}]\n\
        users: [{name: u, user: {token: x}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\ncurrent-context: c\n";
    std::fs::write(folder.path().join("none.conf"), kubeconfig).unwrap();
    let mut inside = Command::new("unshare");
    inside.args([
        "--user",
        "--map-root-user",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "bash",
        "-euc",
        script,
    ]);
    inside
        .env("FOLDER", folder.path())
        .env("MANAGER", causeway_test_deploy::program("causeway-network-manager"));
    let told = causeway_test_deploy::succeed(inside.current_dir(repository(".")));
    let lines: Vec<&str> = told.lines().map(str::trim).collect();
    assert_eq!(lines, ["200 403 403 403", "200 403 403 403", "200 200 200 200", "200 200 200 200"]);
}
