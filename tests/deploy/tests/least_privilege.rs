//! The agent with just what its manifest gives its container: two capabilities, no way to more, a read-only root, the
//! host's net sysctls beside a read-only /proc/sys, and a seccomp profile. No container runtime is needed for that:
//! the settings are read from the manifest and made here as a runtime makes them.

use std::fs;
use std::path::Path;
use std::process::Command;

use causeway_test_deploy::objects::in_folder;
use causeway_test_deploy::{program, programs, repository, succeed};
use serde_json::{Value, json};
use tempfile::TempDir;

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

/// What a container runtime does for the agent's Pod. Then the agent converges, is asked again, and cleans up.
const CONTAINER: &str = r#"
    ip link set lo up
    ip link add eth0 type dummy && ip address add 192.0.2.1/24 dev eth0 && ip link set eth0 up
    echo 0 > /proc/sys/net/ipv4/ip_forward
    before=$(cat /proc/sys/net/ipv4/ip_forward)

    mount --bind "$ROOT" "$ROOT"
    mkdir -p "$ROOT"/proc "$ROOT"/objects "$ROOT"/host/proc/sys/net "$ROOT"/var/lib/causeway
    mount --rbind /proc "$ROOT"/proc
    if [ "$PROC_SYS" = ro ]; then
        mount --bind "$ROOT"/proc/sys "$ROOT"/proc/sys
        mount -o remount,bind,ro "$ROOT"/proc/sys
    fi
    mount --bind /proc/sys/net "$ROOT"/host/proc/sys/net
    mount --bind "$OBJECTS" "$ROOT"/objects
    mount -t tmpfs state "$ROOT"/var/lib/causeway
    [ "$ROOT_FILE_SYSTEM" = rw ] || mount -o remount,bind,ro "$ROOT"

    contained() { chroot "$ROOT" $CONFINED "$@"; }
    agent() { contained /usr/bin/causeway-agent "$@"; }

    # What is so, whatever was asked for.
    touch "$ROOT"/x 2>/dev/null && echo "root: writable" || echo "root: read-only"
    { echo 1 > "$ROOT"/proc/sys/net/ipv4/ip_forward; } 2>/dev/null && echo "sysctls: writable" || echo "sysctls: read-only"
    contained /usr/bin/seccomp
    echo 0 > /proc/sys/net/ipv4/ip_forward
    agent --objects /objects --cluster east --node n1 --once
    ip link show vx-bridge | grep -q UP
    ip route show table all 10.2.1.0/24 | grep -q vx-bridge
    [ "$(cat /proc/sys/net/ipv4/ip_forward)" = 1 ]
    [ -z "$(agent --objects /objects --cluster east --node n1 --dry-run)" ]
    agent cleanup
    ! ip link show vx-bridge 2>/dev/null
    [ "$(cat /proc/sys/net/ipv4/ip_forward)" = "$before" ]
    echo done
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

/// How a container runtime runs a container.
#[derive(Debug)]
struct Settings {
    /// Words before the program: who confines it.
    confined: String,
    root_file_system: &'static str,
    proc_sys: &'static str,
}

/// The agent's DaemonSet, as shipped.
fn shipped() -> Value {
    let all = in_folder("deploy/manifests/member");
    all.into_iter().find(|object| object["kind"] == "DaemonSet").expect("the agent's DaemonSet")
}

/// What a runtime makes of the security contexts of a DaemonSet's Pod and of its only container
/// (<https://kubernetes.io/docs/tasks/configure-pod-container/security-context/>).
fn settings(daemon_set: &Value) -> Settings {
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
    let pod = &daemon_set["spec"]["template"]["spec"];
    let container = &pod["containers"][0]["securityContext"];
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
    Settings {
        confined: confined.join(" "),
        root_file_system: if container["readOnlyRootFilesystem"] == true { "ro" } else { "rw" },
        proc_sys: if privileged { "rw" } else { "ro" },
    }
}

/// What the container's own process may, with the two capabilities and nothing else.
const LEAST: [&str; 9] = [
    "root: read-only",
    "sysctls: read-only",
    "CapInh:\t0000000000000000",
    "CapPrm:\t0000000000003000",
    "CapEff:\t0000000000003000",
    "CapBnd:\t0000000000003000",
    "CapAmb:\t0000000000000000",
    "NoNewPrivs:\t1",
    "Seccomp:\t2",
];

/// Runs the agent in a container as the DaemonSet has it; what is more than the least that it needs, a line each.
fn more_than_least(daemon_set: &Value) -> Vec<String> {
    let folder = TempDir::new().expect("a folder");
    let (root, objects) = (folder.path().join("root"), folder.path().join("objects"));
    let mut image = Command::new(repository("deploy/image/build.sh"));
    succeed(image.args(["--rootfs-only", "--binaries"]).arg(programs()).arg(&root));
    add_setpriv(&root);
    add_seccomp(&root);
    fs::create_dir(&objects).expect("a folder");
    fs::write(objects.join("facts.yaml"), OBJECTS).expect("a file");
    let mut planner = Command::new(program("causeway-network-manager"));
    succeed(planner.arg("--objects").arg(&objects).arg("--once"));
    let Settings { confined, root_file_system, proc_sys } = settings(daemon_set);
    let mut container = Command::new("unshare");
    container.args(["--user", "--map-root-user", "--mount", "--net", "bash", "-euxc", CONTAINER]);
    container.env("ROOT", &root).env("OBJECTS", &objects).env("CONFINED", confined);
    let told = succeed(container.env("ROOT_FILE_SYSTEM", root_file_system).env("PROC_SYS", proc_sys));
    assert!(told.ends_with("done\n"), "{told}");
    let lines = told.lines().filter(|line| *line != "done" && !LEAST.contains(line));
    lines.map(str::to_owned).collect()
}

#[test]
fn the_agent_programs_its_node_with_two_capabilities_and_read_only_mounts() {
    assert_eq!(more_than_least(&shipped()), Vec::<String>::new());
}

#[test]
fn a_manifest_that_gives_the_agent_more_is_noticed() {
    let with = |at: &str, value: Value| {
        let mut daemon_set = shipped();
        let (parent, field) = at.rsplit_once('/').unwrap();
        daemon_set.pointer_mut(&format!("/spec/template/spec{parent}")).unwrap()[field] = value;
        more_than_least(&daemon_set)
    };
    let container = |field: &str| format!("/containers/0/securityContext/{field}");
    for (at, value, noticed) in [
        (container("privileged"), json!(true), "Seccomp:\t0"),
        (container("privileged"), json!(true), "sysctls: writable"),
        (container("allowPrivilegeEscalation"), json!(true), "NoNewPrivs:\t0"),
        (container("readOnlyRootFilesystem"), json!(false), "root: writable"),
        (
            container("capabilities"),
            json!({"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"]}),
            "CapEff:\t0000000000203000",
        ),
        (container("capabilities"), json!({"add": ["NET_ADMIN"]}), "CapBnd:\t00000000a80435fb"),
        ("/securityContext/seccompProfile".to_owned(), json!({"type": "Unconfined"}), "Seccomp:\t0"),
    ] {
        let more = with(&at, value);
        assert!(more.iter().any(|line| line == noticed), "{at}: {more:?}");
    }
}
