//! The agent with just what its container has: two capabilities, a read-only root, a read-only /proc/sys, and
//! the host's net sysctls beside it. No container runtime is needed for that.

use std::fs;
use std::path::Path;
use std::process::Command;

use causeway_test_deploy::{program, programs, repository, succeed};
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
    mount --bind "$ROOT"/proc/sys "$ROOT"/proc/sys
    mount -o remount,bind,ro "$ROOT"/proc/sys
    mount --bind /proc/sys/net "$ROOT"/host/proc/sys/net
    mount --bind "$OBJECTS" "$ROOT"/objects
    mount -t tmpfs state "$ROOT"/var/lib/causeway
    mount -o remount,bind,ro "$ROOT"
    ! touch "$ROOT"/x 2>/dev/null
    ! { echo 1 > "$ROOT"/proc/sys/net/ipv4/ip_forward; } 2>/dev/null

    agent() {
        chroot "$ROOT" /usr/bin/setpriv --no-new-privs --bounding-set=-all,+net_admin,+net_raw \
            /usr/bin/causeway-agent "$@"
    }
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

#[test]
fn the_agent_programs_its_node_with_two_capabilities_and_read_only_mounts() {
    let folder = TempDir::new().unwrap();
    let (root, objects) = (folder.path().join("root"), folder.path().join("objects"));
    let mut image = Command::new(repository("deploy/image/build.sh"));
    succeed(image.args(["--rootfs-only", "--binaries"]).arg(programs()).arg(&root));
    add_setpriv(&root);
    fs::create_dir(&objects).unwrap();
    fs::write(objects.join("facts.yaml"), OBJECTS).unwrap();
    let mut planner = Command::new(program("causeway-network-manager"));
    succeed(planner.arg("--objects").arg(&objects).arg("--once"));
    let mut container = Command::new("unshare");
    container.args(["--user", "--map-root-user", "--mount", "--net", "bash", "-euxc", CONTAINER]);
    let told = succeed(container.env("ROOT", &root).env("OBJECTS", &objects));
    assert!(told.ends_with("done\n"), "{told}");
}
