//! The image: what is in it runs out of it, it is what the OCI layout asks for, and it is the same each time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use causeway_test_deploy::{program, programs, repository, succeed};
use serde_json::Value;
use tempfile::TempDir;

const PROGRAMS: [&str; 4] =
    ["causeway", "causeway-agent", "causeway-controller-manager", "causeway-network-manager"];

/// The image of the programs that were built for tests.
fn build(out: &Path, flags: &[&str]) {
    PROGRAMS.iter().for_each(|name| drop(program(name)));
    let mut command = Command::new(repository("deploy/image/build.sh"));
    command.arg("--binaries").arg(programs()).args(flags).arg(out).env("SOURCE_DATE_EPOCH", "1700000000");
    succeed(&mut command);
}

/// A command in namespaces of its own, as root there.
fn isolated(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "--net", "bash", "-euc", script]);
    command
}

fn blob(layout: &Path, digest: &Value) -> PathBuf {
    let digest = digest.as_str().and_then(|text| text.strip_prefix("sha256:")).expect("a digest");
    layout.join("blobs/sha256").join(digest)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

#[test]
fn the_layout_is_whole_and_its_programs_run_and_nothing_else_is_in_it() {
    let folder = TempDir::new().unwrap();
    let layout = folder.path().join("layout");
    build(&layout, &[]);
    let layer = check_layout(&layout);
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    succeed(Command::new("tar").arg("-xzf").arg(&layer).arg("-C").arg(&root).arg("--no-same-owner"));
    for name in PROGRAMS {
        let script = format!("chroot '{}' /usr/bin/{name} --version", root.display());
        let told = succeed(&mut isolated(&script));
        assert!(told.trim().ends_with(env!("CARGO_PKG_VERSION")), "{name}: {told:?}");
    }
    let found = succeed(Command::new("find").arg(".").args(["-type", "f"]).current_dir(&root));
    for file in found.lines() {
        let allowed =
            ["./usr/bin/causeway", "./lib/", "./lib64/", "./etc/passwd", "./etc/group", "./etc/ssl/"];
        assert!(allowed.iter().any(|start| file.starts_with(start)), "{file}");
    }
}

/// Follows the layout from its index as a container engine does, and checks every digest and size. Its
/// layer.
fn check_layout(layout: &Path) -> PathBuf {
    let check = |reference: &Value| {
        let path = blob(layout, &reference["digest"]);
        let told = succeed(Command::new("sha256sum").arg(&path));
        let digest = told.split(' ').next().expect("a digest");
        assert!(path.ends_with(digest), "{} is {digest}", path.display());
        assert_eq!(reference["size"], fs::metadata(&path).expect("a blob").len());
        path
    };
    let index = json(&layout.join("index.json"));
    let manifest = json(&check(&index["manifests"][0]));
    let config = json(&check(&manifest["config"]));
    let layer = check(&manifest["layers"][0]);
    let unpacked = format!("gzip -dc '{}' | sha256sum", layer.display());
    let told = succeed(Command::new("bash").args(["-c", &unpacked]));
    let expected = format!("sha256:{}", told.split(' ').next().expect("a digest"));
    assert_eq!(config["rootfs"]["diff_ids"][0], expected);
    assert!(config["config"]["Entrypoint"].is_null() && config["config"]["User"].is_null());
    assert_eq!(config["created"], "2023-11-14T22:13:20Z");
    assert_eq!(json(&layout.join("oci-layout"))["imageLayoutVersion"], "1.0.0");
    layer
}

#[test]
fn the_same_programs_make_the_same_bytes() {
    let folder = TempDir::new().unwrap();
    let digests: Vec<String> = ["a", "b"]
        .iter()
        .map(|name| {
            let tar = folder.path().join(format!("{name}.tar"));
            build(&folder.path().join(name), &["--tar", &tar.display().to_string()]);
            succeed(Command::new("sha256sum").stdin(fs::File::open(tar).unwrap()))
        })
        .collect();
    assert_eq!(digests[0], digests[1]);
}
