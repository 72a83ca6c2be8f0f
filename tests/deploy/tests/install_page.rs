//! `docs/install.md` as somebody follows it: each way in is gone to its end, with every command that stands there, on two
//! fresh API servers that hold the same afterwards as before. The examples for GitOps are given to what would read them.
//!
//! No kubelet is here, so what waits for Pods is left out, and the managers are run by the test once their Deployments are
//! there, with the rights that the way gave them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use causeway_test_deploy::everything::{all, at_rest, is_as_before};
use causeway_test_deploy::hub::{Running, controller_manager, credential_file, network_manager, shown, told};
use causeway_test_deploy::objects::documents;
use causeway_test_deploy::server::Server;
use causeway_test_deploy::{kubernetes_folder, kubernetes_program, programs, repository, succeed};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube_client::Api;
use serde_json::{Value, json};
use tempfile::TempDir;

const SYSTEM: &str = "causeway-system";
const IMAGE: &str = "registry.example/causeway:0.1.0";

/// The blocks of one section of the page that are marked as `language`.
fn blocks(section: &str, language: &str) -> Vec<String> {
    let page = fs::read_to_string(repository("docs/install.md")).expect("docs/install.md");
    let sections = page.split("\n## ");
    let section = sections.into_iter().find(|text| text.starts_with(section)).expect("the section");
    let fence = format!("\n```{language}\n");
    let blocks = section.split(&fence).skip(1);
    blocks.map(|rest| rest.split("\n```").next().unwrap_or_default().to_owned()).collect()
}

fn commands(section: &str) -> Vec<String> {
    let blocks = blocks(section, "console");
    let lines = blocks.iter().flat_map(|block| block.lines());
    lines.map(|line| line.strip_prefix("$ ").expect("a command").to_owned()).collect()
}

/// Files that the section shows, each with its path in a comment at its head.
fn write_files(section: &str, folder: &Path) {
    for block in blocks(section, "yaml") {
        let path = block.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a path");
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, block).expect("a file");
    }
}

/// Two API servers, a folder beside `deploy`, and what runs.
struct Stage {
    hub: Server,
    member: Server,
    folder: TempDir,
    network_manager: Option<Running>,
    controller_manager: Option<Running>,
}

impl Stage {
    async fn set() -> Stage {
        let (hub, member) = tokio::join!(Server::start(), Server::start());
        let folder = TempDir::new().expect("a folder");
        symlink(repository("deploy").canonicalize().expect("deploy"), folder.path().join("deploy"))
            .expect("a link");
        let stage = Stage { hub, member, folder, network_manager: None, controller_manager: None };
        stage.write_kubeconfig();
        stage
    }

    fn write_kubeconfig(&self) {
        let mut merged = json!({
            "apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": [],
        });
        for (name, server) in [("hub", &self.hub), ("east", &self.member)] {
            let text = fs::read_to_string(server.admin_kubeconfig()).expect("a kubeconfig");
            let one = documents(&text).remove(0);
            for (list, field) in [("clusters", "cluster"), ("users", "user")] {
                let entry = json!({"name": name, field: one[list][0][field]});
                merged[list].as_array_mut().expect("a list").push(entry);
            }
            let context = json!({"name": name, "context": {"cluster": name, "user": name}});
            merged["contexts"].as_array_mut().expect("a list").push(context);
        }
        fs::write(self.folder.path().join("kubeconfig"), merged.to_string()).expect("a file");
    }

    fn run(&self, command: &str) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{}:{path}", programs().display(), kubernetes_folder().display());
        let mut shell = Command::new("bash");
        shell.args(["-euc", command]).current_dir(self.folder.path());
        shell.env("PATH", path).env("KUBECONFIG", self.folder.path().join("kubeconfig"));
        shell.output().expect("bash runs")
    }

    /// What a kubelet would do: runs the managers that are installed.
    async fn start_managers(&mut self) {
        let is_there = async |server: &Server, name: &str| {
            let deployments: Api<Deployment> = Api::namespaced(server.admin().await, SYSTEM);
            deployments.get_opt(name).await.is_ok_and(|found| found.is_some())
        };
        if self.network_manager.is_none() && is_there(&self.hub, "causeway-network-manager").await {
            self.network_manager = Some(network_manager(&self.hub).await);
        }
        let secrets: Api<Secret> = Api::namespaced(self.member.admin().await, SYSTEM);
        let has_credential = secrets.get_opt("causeway-hub").await.is_ok_and(|found| found.is_some());
        let installed = is_there(&self.member, "causeway-controller-manager").await;
        if self.controller_manager.is_none() && has_credential && installed {
            let credential = credential_file(&self.member.admin().await).await;
            let file = self.folder.path().join("credential");
            fs::copy(credential.path().join("kubeconfig"), &file).expect("a file");
            let log = self.folder.path().join("controller-manager.log");
            self.controller_manager = Some(controller_manager(&self.member, "east", &file, &log).await);
        }
    }

    /// What is installed is what was asked for.
    async fn is_complete(&self) {
        let (hub, member) = (all(&self.hub.admin().await).await, all(&self.member.admin().await).await);
        for (held, key) in [
            (&hub, "deployments.apps causeway-system/causeway-network-manager"),
            (&member, "deployments.apps causeway-system/causeway-controller-manager"),
            (&member, "daemonsets.apps causeway-system/causeway-agent"),
        ] {
            let workload = held.get(key).unwrap_or_else(|| panic!("{key} is not there"));
            let container = &workload["spec"]["template"]["spec"]["containers"][0];
            assert_eq!(container["image"], IMAGE, "{key}");
        }
        assert!(hub.contains_key("clusters.causeway.dev /east"));
        assert!(member.contains_key("secrets. causeway-system/causeway-hub"));
    }
}

/// What stands in the page, as it can be done here: no Pod ever gets ready, and the hub's address is one of loopback.
fn adapted(command: &str, hub: &Server) -> String {
    let command = command.replace(" --wait", "");
    if command.starts_with("causeway join ") {
        return format!("{command} --hub-server {} --timeout 60", hub.url());
    }
    command
}

async fn follow(section: &str) {
    let mut stage = Stage::set().await;
    let (hub, member) = (stage.hub.admin().await, stage.member.admin().await);
    let before = (at_rest(&hub).await, at_rest(&member).await);
    write_files(section, stage.folder.path());
    let commands = commands(section);
    assert!(commands.iter().any(|command| command.starts_with("causeway leave ")), "{commands:?}");
    for command in commands {
        if command.starts_with("causeway leave ") {
            stage.is_complete().await;
        }
        let output = stage.run(&adapted(&command, &stage.hub));
        // Agents are missing, and `status` says so by its exit code.
        let is_fine = output.status.success() || command.starts_with("causeway status ");
        let log = fs::read_to_string(stage.folder.path().join("controller-manager.log")).unwrap_or_default();
        assert!(is_fine, "$ {command}\n{}\n{log}", told(&output));
        stage.start_managers().await;
    }
    (stage.network_manager, stage.controller_manager) = (None, None);
    is_as_before(&hub, &before.0).await;
    is_as_before(&member, &before.1).await;
}

#[tokio::test]
async fn the_way_by_command_line_is_gone_to_its_end() {
    follow("By command line").await;
}

#[tokio::test]
async fn the_way_by_helm_is_gone_to_its_end() {
    follow("By Helm").await;
}

#[tokio::test]
async fn the_way_by_manifests_is_gone_to_its_end() {
    follow("By manifests").await;
}

#[tokio::test]
async fn the_way_by_kustomize_is_gone_to_its_end() {
    follow("By kustomize").await;
}

#[test]
fn what_git_ops_tools_are_given_is_there_and_values_are_taken() {
    let objects: Vec<Value> = blocks("GitOps", "yaml").iter().flat_map(|block| documents(block)).collect();
    let kinds: Vec<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
    assert_eq!(kinds, ["Application", "GitRepository", "HelmRelease", "Kustomization"]);
    for (path, values) in [
        (&objects[0]["spec"]["source"]["path"], &objects[0]["spec"]["source"]["helm"]["valuesObject"]),
        (&objects[2]["spec"]["chart"]["spec"]["chart"], &objects[2]["spec"]["values"]),
    ] {
        let chart = repository(path.as_str().expect("a path"));
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("values.yaml");
        fs::write(&file, values.to_string()).expect("a file");
        let mut helm = Command::new(kubernetes_program("helm"));
        let rendered = succeed(helm.arg("template").arg(chart).arg("--values").arg(shown(&file)));
        assert!(rendered.contains(&format!("image: \"{IMAGE}\"")), "{rendered}");
    }
    // The overlay that Flux is pointed at is the one of the section before.
    let folder = TempDir::new().expect("a folder");
    write_files("By kustomize", folder.path());
    let overlay = objects[3]["spec"]["path"].as_str().expect("a path");
    assert!(folder.path().join(overlay).join("kustomization.yaml").exists());
    // They own the same source.
    assert_eq!(objects[2]["spec"]["chart"]["spec"]["sourceRef"]["name"], objects[1]["metadata"]["name"]);
}
