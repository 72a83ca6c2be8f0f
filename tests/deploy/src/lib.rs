//! What the tests of `deploy/` share: where things are, objects of YAML, and API servers to try them on.

pub mod attempts;
pub mod clusterset;
pub mod container;
pub mod daemon;
pub mod everything;
pub mod grants;
pub mod hub;
pub mod identity;
pub mod objects;
pub mod proxy;
pub mod questions;
pub mod records;
pub mod samples;
pub mod server;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Waits until `look` finds what is looked for. What it said last is told if it never does.
///
/// # Panics
/// If that takes too long.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(said) => assert!(Instant::now() < deadline, "{what} does not come about: {said}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until it is so.
///
/// # Panics
/// If that takes too long.
pub async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    eventually(what, async || if look().await { Ok(()) } else { Err("it is not so".to_owned()) }).await;
}

/// A command that ends when the thread that runs it does, also if that is killed.
pub fn mortal(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A file or folder of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Where the workspace's programs were built: beside the test that runs.
///
/// # Panics
/// If a test does not know where it is.
pub fn programs() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    test.ancestors().nth(2).expect("target/PROFILE/deps/TEST").to_owned()
}

/// One of the workspace's programs.
///
/// # Panics
/// If it was not built.
pub fn program(name: &str) -> PathBuf {
    let path = programs().join(name);
    assert!(path.exists(), "{} is not built; run: cargo build --workspace --bins", path.display());
    path
}

/// The folder of what `tests/kubernetes/build.sh` builds.
///
/// # Panics
/// If it cannot be built.
pub fn kubernetes_folder() -> PathBuf {
    let built = succeed(&mut Command::new(repository("tests/kubernetes/build.sh")));
    PathBuf::from(built.trim())
}

/// A program of Kubernetes: out of the folder `KUBEBUILDER_ASSETS` if that is set, else as
/// `tests/kubernetes/build.sh` builds it.
///
/// # Panics
/// If there is none.
pub fn kubernetes_program(name: &str) -> PathBuf {
    let named = std::env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty());
    let folder = named.map_or_else(kubernetes_folder, PathBuf::from);
    let path = folder.join(name);
    assert!(path.exists(), "{} has no {name}", folder.display());
    path
}

/// What a command printed.
///
/// # Panics
/// If it fails.
pub fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?} ended with {}\n{out}{err}", output.status);
    out
}
