//! A hub as it is installed: by the command line, with network-manager under its own identity.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use causeway_kubernetes::Client;
use k8s_openapi::api::core::v1::Secret;
use kube_client::Api;
use tempfile::TempDir;

use crate::identity::account_kubeconfig;
use crate::server::Server;
use crate::{mortal, program};

/// A program that runs until this value goes.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes `server` a hub, and runs network-manager on it with the rights that the manifests give it.
///
/// # Panics
/// If that does not succeed.
pub async fn install(server: &Server) -> Running {
    let output = causeway(&["install", "hub", "--kubeconfig", &shown(&server.admin_kubeconfig())]);
    assert!(output.status.success(), "{}", told(&output));
    network_manager(server).await
}

/// Runs network-manager on `server` with the rights that are installed there.
///
/// # Panics
/// If it cannot be run.
pub async fn network_manager(server: &Server) -> Running {
    let kubeconfig = account_kubeconfig(server, "causeway-system/causeway-network-manager").await;
    let mut command = mortal(&program("causeway-network-manager"));
    command.arg("--kubeconfig").arg(kubeconfig).args(["--listen", "127.0.0.1:0"]);
    run(command, Stdio::null())
}

/// Runs controller-manager on `member` with the rights that the manifests give it. It logs to `log`.
///
/// # Panics
/// If it cannot be run.
pub async fn controller_manager(
    member: &Server,
    cluster: &str,
    hub_kubeconfig: &Path,
    log: &Path,
) -> Running {
    let kubeconfig = account_kubeconfig(member, "causeway-system/causeway-controller-manager").await;
    let mut command = mortal(&program("causeway-controller-manager"));
    command.args(["--cluster", cluster, "--listen", "127.0.0.1:0", "--kubeconfig"]).arg(kubeconfig);
    command.arg("--hub-kubeconfig").arg(hub_kubeconfig);
    run(command, File::create(log).expect("a log").into())
}

fn run(mut command: Command, log: Stdio) -> Running {
    Running(command.stderr(log).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
}

/// Joins `member` to `hub` as `cluster`.
///
/// # Panics
/// If that does not succeed.
pub fn join(hub: &Server, member: &Server, cluster: &str, flags: &[&str]) -> String {
    let (hub_file, member_file) = (shown(&hub.admin_kubeconfig()), shown(&member.admin_kubeconfig()));
    let url = hub.url();
    let mut words = vec!["join", "--cluster", cluster, "--kubeconfig", &member_file];
    words.extend(["--hub-kubeconfig", &hub_file, "--hub-server", &url, "--timeout", "60"]);
    words.extend(flags);
    let output = causeway(&words);
    assert!(output.status.success(), "{}", told(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The kubeconfig that the member's controller-manager gets, as a file `kubeconfig` in a folder.
///
/// # Panics
/// If it has none.
pub async fn credential_file(member: &Client) -> TempDir {
    let secrets: Api<Secret> = Api::namespaced(member.clone(), "causeway-system");
    let secret = secrets.get("causeway-hub").await.expect("a Secret");
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, &secret.data.expect("data")["kubeconfig"].0).expect("a file");
    folder
}

/// Runs the command line.
///
/// # Panics
/// If it cannot be run at all.
pub fn causeway(words: &[&str]) -> Output {
    Command::new(program("causeway")).args(words).output().expect("causeway runs")
}

/// All that a command said.
pub fn told(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

/// A path as text.
pub fn shown(path: &Path) -> String {
    path.display().to_string()
}
