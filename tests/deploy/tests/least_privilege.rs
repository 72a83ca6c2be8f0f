//! The agent with just what its manifest gives its container: two capabilities, no way to more, a read-only root, the
//! host's net sysctls beside a read-only /proc/sys, and a seccomp profile. No container runtime is needed for that:
//! the settings are read from the manifest and made here as a runtime makes them.

use causeway_test_deploy::container::Container;
use causeway_test_deploy::objects::in_folder;
use serde_json::{Value, json};

/// What a container runtime does for the agent's Pod. Then the agent converges, is asked again, and cleans up.
const CONTAINER: &str = r#"
    ip link set lo up
    ip link add eth0 type veth peer name cable
    ip address add 192.0.2.1/24 dev eth0
    ip link set cable up
    ip link set eth0 up
    echo 0 > /proc/sys/net/ipv4/ip_forward
    before=$(cat /proc/sys/net/ipv4/ip_forward)

    mount_all
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

/// The agent's DaemonSet, as shipped.
fn shipped() -> Value {
    let all = in_folder("deploy/manifests/member");
    all.into_iter().find(|object| object["kind"] == "DaemonSet").expect("the agent's DaemonSet")
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
    let pod = &daemon_set["spec"]["template"]["spec"];
    let told = Container::new().run(pod, &pod["containers"][0], CONTAINER, &[]);
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
