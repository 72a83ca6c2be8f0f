//! What becomes of a node when the agents' DaemonSet is deleted, and of the clean-up that is shipped for then. The agent and
//! the clean-up run as their manifests have them.

use causeway_test_deploy::container::{Container, confined};
use causeway_test_deploy::objects::in_folder;
use serde_json::Value;

/// A node with what Docker and a CNI leave in kernels; `look` prints all of its state but counters and timers. The agent comes, goes
/// as a kubelet ends a deleted Pod, and the clean-up runs.
const REMOVAL: &str = r#"
    echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
    ip link set lo up
    ip link add eth0 type veth peer name cable
    ip address add 192.0.2.1/24 dev eth0
    ip link set cable up
    ip link set eth0 up
    ip link add cni0 type bridge
    ip address add 10.1.1.1/24 dev cni0
    ip link set cni0 up
    ip route add 10.1.2.0/24 via 192.0.2.3
    ip rule add priority 9000 fwmark 0x1 table 900
    ip nexthop add id 7 via 192.0.2.3 dev eth0
    echo 0 > /proc/sys/net/ipv4/ip_forward
    nft -f - <<'RULES'
    table ip filter {
        chain DOCKER-USER { counter return; }
        chain FORWARD { type filter hook forward priority filter; policy drop; jump DOCKER-USER; }
    }
    table ip nat {
        chain POSTROUTING { type nat hook postrouting priority srcnat; ip saddr 172.17.0.0/16 masquerade; }
    }
RULES
    mount_all
    look() {
        ip -details link | sed -E 's/_timer +[0-9.]+/_timer/g'; ip address; ip route show table all; ip -6 route show table all; ip rule; ip -6 rule
        ip nexthop; bridge fdb; ip neighbour show nud permanent; ip -6 neighbour show nud permanent
        nft list ruleset | sed -E 's/counter packets [0-9]+ bytes [0-9]+/counter/'
        cd /proc/sys/net && grep -rs . core/*qdisc ipv4/conf ipv6/conf ipv4/ip_forward | sort && cd - >/dev/null
    }
    eventually() {
        for _ in $(seq 600); do "$@" && return 0; sleep 0.1; done
        echo "$* does not come about"; exit 1
    }
    before=$(look)

    chroot "$ROOT" $CONFINED /usr/bin/causeway-agent --objects /objects --cluster east --node n1 --state-dir /var/lib/causeway 2>"$OBJECTS"/../agent.log &
    agent=$!
    trap 'kill -KILL $agent 2>/dev/null || true' EXIT
    planned() {
        ip link show vx-bridge 2>/dev/null | grep -q UP && nft list table inet causeway >/dev/null 2>&1 &&
            steps=$(contained /usr/bin/causeway-agent --objects /objects --cluster east --node n1 \
                --state-dir /var/lib/causeway --dry-run) && [ -z "$steps" ]
    }
    eventually planned
    linked=$(look)
    [ "$linked" != "$before" ]

    kill -TERM $agent
    wait $agent
    grep ERROR "$OBJECTS"/../agent.log || true
    diff <(echo "$linked") <(look) && echo "kept"

    chroot "$ROOT" $CLEANUP
    diff <(echo "$before") <(look) && echo "as before"
    find "$ROOT"/var/lib/causeway -type f
    # Once more, as on a node that was cleaned up already or never had an agent.
    chroot "$ROOT" $CLEANUP
    diff <(echo "$before") <(look) && echo "as before"
"#;

fn pod(folder: &str) -> Value {
    let daemon_set = in_folder(folder).into_iter().find(|object| object["kind"] == "DaemonSet");
    daemon_set.expect("a DaemonSet")["spec"]["template"]["spec"].clone()
}

/// The command line of a container, and who confines it.
fn command_line(pod: &Value, container: &Value) -> String {
    let words = ["command", "args"]
        .into_iter()
        .flat_map(|field| container[field].as_array().cloned().unwrap_or_default());
    let words = words.map(|word| word.as_str().expect("a word").to_owned());
    [confined(pod, container)].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_node_whose_agent_is_deleted_keeps_its_state_until_the_shipped_clean_up_leaves_it_as_it_was() {
    let (agent, cleanup) = (pod("deploy/manifests/member"), pod("deploy/manifests/cleanup"));
    let command = command_line(&cleanup, &cleanup["initContainers"][0]);
    let told = Container::new().run(&agent, &agent["containers"][0], REMOVAL, &[("CLEANUP", &command)]);
    assert_eq!(told.lines().collect::<Vec<_>>(), ["kept", "as before", "as before"]);
}
