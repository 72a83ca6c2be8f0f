//! A container as a runtime makes it of a Pod's own settings, without a runtime: its root is the image's, its process has
//! what the security contexts leave it, the mounts are those of the agent.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::{program, programs, repository, succeed};

/// A P2P cluster `east` with a node `n1` at 192.0.2.1, and another one to reach, as in the file `facts.yaml` of a container.
const OBJECTS: &str = "
apiVersion: causeway.dev/v1alpha1
kind: Cluster
metadata: {name: east}
spec: {podCIDRs: [10.1.0.0/16], serviceCIDRs: [10.101.0.0/16]}
---
apiVersion: causeway.dev/v1alpha1
kind: Cluster
metadata: {name: west}
spec: {podCIDRs: [10.2.0.0/16], serviceCIDRs: [10.102.0.0/16]}
---
apiVersion: causeway.dev/v1alpha1
kind: ClusterNode
metadata: {name: n1, namespace: causeway-cluster-east}
spec: {underlay: [192.0.2.1], podCIDRs: [10.1.1.0/24], ready: true}
---
apiVersion: causeway.dev/v1alpha1
kind: ClusterNode
metadata: {name: n1, namespace: causeway-cluster-west}
spec: {underlay: [192.0.2.2], podCIDRs: [10.2.1.0/24], ready: true}
";

/// Functions of scripts: `mount_all` mounts what the Pod of an agent has into `$ROOT`, `contained` runs a program there.
const MOUNTS: &str = r#"
    mount_all() {
        mount --bind "$ROOT" "$ROOT"
        mkdir -p "$ROOT"/proc "$ROOT"/objects "$ROOT"/host/proc/sys/net "$ROOT"/var/lib/causeway "$ROOT"/dev
        touch "$ROOT"/dev/urandom
        mount --bind /dev/urandom "$ROOT"/dev/urandom
        mount --rbind /proc "$ROOT"/proc
        if [ "$PROC_SYS" = ro ]; then
            mount --bind "$ROOT"/proc/sys "$ROOT"/proc/sys
            mount -o remount,bind,ro "$ROOT"/proc/sys
        fi
        mount --bind /proc/sys/net "$ROOT"/host/proc/sys/net
        mount --bind "$OBJECTS" "$ROOT"/objects
        mount -t tmpfs state "$ROOT"/var/lib/causeway
        [ "$ROOT_FILE_SYSTEM" = rw ] || mount -o remount,bind,ro "$ROOT"
    }
    contained() { chroot "$ROOT" $CONFINED "$@"; }
"#;

/// `setpriv` and what it needs, as the runtime's part of the container.
fn add_setpriv(root: &Path) {
    let script = r#"
        cp "$(command -v setpriv)" "$ROOT/usr/bin/"
        ldd "$(command -v setpriv)" | grep -oE '/[^ ]+' | while read -r library; do
            mkdir -p "$ROOT$(dirname "$library")"
            cp --dereference "$library" "$ROOT$library"
        done
    "#;
    succeed(Command::new("bash").args(["-euc", script]).env("ROOT", root));
}

/// What runs a program under the profile, as part of the container too.
fn add_seccomp(root: &Path) {
    let source = repository("tests/deploy/tests/data/seccomp.c");
    succeed(Command::new("cc").args(["-static", "-O1", "-o"]).arg(root.join("usr/bin/seccomp")).arg(source));
}

/// The words before a container's program that confine it as a runtime does by the security contexts of Pod and container
/// (<https://kubernetes.io/docs/tasks/configure-pod-container/security-context/>).
///
/// # Panics
/// If a capability is no text.
pub fn confined(pod: &Value, container: &Value) -> String {
    // What runtimes give where nothing is dropped.
    const DEFAULT: [&str; 14] = [
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "NET_RAW",
        "SYS_CHROOT",
        "MKNOD",
        "AUDIT_WRITE",
        "SETFCAP",
    ];
    let container = &container["securityContext"];
    let privileged = container["privileged"] == true;
    let listed = |field: &str| -> Vec<String> {
        let list = container["capabilities"][field].as_array().cloned().unwrap_or_default();
        list.iter().map(|name| name.as_str().expect("a capability").to_owned()).collect()
    };
    let mut confined = Vec::new();
    if pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault" && !privileged {
        confined.push("/usr/bin/seccomp".to_owned());
    }
    confined.push("/usr/bin/setpriv".to_owned());
    if container["allowPrivilegeEscalation"] == false {
        confined.push("--no-new-privs".to_owned());
    }
    if !privileged {
        let dropped = listed("drop");
        let kept =
            DEFAULT.iter().filter(|_| !dropped.contains(&"ALL".to_owned())).map(|name| (*name).to_owned());
        let kept = kept.filter(|name| !dropped.contains(name)).chain(listed("add"));
        let kept: String = kept.map(|name| format!(",+{}", name.to_lowercase())).collect();
        confined.push(format!("--bounding-set=-all{kept}"));
    }
    confined.join(" ")
}

/// The image, what a container runtime adds to it, and plans for the agent.
pub struct Container {
    folder: TempDir,
}

impl Container {
    /// Puts it together.
    ///
    /// # Panics
    /// If that cannot be done.
    pub fn new() -> Container {
        let folder = TempDir::new().expect("a folder");
        let container = Container { folder };
        let (root, objects) = (container.root(), container.objects());
        let mut image = Command::new(repository("deploy/image/build.sh"));
        succeed(image.args(["--rootfs-only", "--binaries"]).arg(programs()).arg(&root));
        add_setpriv(&root);
        add_seccomp(&root);
        fs::create_dir(&objects).expect("a folder");
        fs::write(objects.join("facts.yaml"), OBJECTS).expect("a file");
        let mut planner = Command::new(program("causeway-network-manager"));
        succeed(planner.arg("--objects").arg(&objects).arg("--once"));
        container
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn objects(&self) -> PathBuf {
        self.folder.path().join("objects")
    }

    /// Runs a script in network and mount namespaces of its own that begins where the container's mounts are to be made, by
    /// `mount_all`; behind that `contained PROGRAM` runs a program of the image as the container's settings have it. What
    /// it printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn run(&self, pod: &Value, container: &Value, script: &str, environment: &[(&str, &str)]) -> String {
        let security = &container["securityContext"];
        let root_file_system = if security["readOnlyRootFilesystem"] == true { "ro" } else { "rw" };
        let proc_sys = if security["privileged"] == true { "rw" } else { "ro" };
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "--net", "bash", "-euxc"]);
        command.arg(format!("{MOUNTS}{script}"));
        command.env("ROOT", self.root()).env("OBJECTS", self.objects());
        command.env("CONFINED", confined(pod, container));
        command.env("ROOT_FILE_SYSTEM", root_file_system).env("PROC_SYS", proc_sys);
        succeed(command.envs(environment.iter().copied()))
    }
}

impl Default for Container {
    fn default() -> Container {
        Container::new()
    }
}
