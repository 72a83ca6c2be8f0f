//! Each bad value is named with object, field, value and what would be right, and costs itself only.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use causeway_api::{
    Cluster, ClusterLink, ClusterNode, FieldError, NodeConfig, PeerSlice, cluster_facts, link_plan,
    node_facts, node_overlay, node_plan, slice_plan,
};
use causeway_model::{Families, Family, GlobalCidrs, LabelOperator, Mode, Reason, Subject};
use serde_json::{Value, json};

fn read<T: serde::de::DeserializeOwned>(kind: &str, namespace: &str, name: &str, spec: Value) -> T {
    serde_json::from_value(json!({
        "apiVersion": "causeway.dev/v1alpha1",
        "kind": kind,
        "metadata": {"namespace": namespace, "name": name, "someday": "unknown"},
        "spec": spec,
    }))
    .unwrap()
}

fn shown(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect()
}

#[test]
fn a_cluster_is_used_as_far_as_it_can_be_read() {
    let object: Cluster = read(
        "Cluster",
        "",
        "east",
        json!({
            "mode": "gateway",
            "ipFamilies": ["IPv4", "ipv6"],
            "podCIDRs": ["10.1.0.0/16", "10.2.0.1/16", "10.3.0.0"],
            "serviceCIDRs": ["10.96.0.0/12"],
            "gateways": {"count": 0},
            "nodeSelector": {"matchExpressions": [
                {"key": "a", "operator": "in", "values": ["b"]},
                {"key": "c", "operator": "Exists", "values": ["d"]},
                {"key": "e", "operator": "NotIn"},
            ]},
            "globalCIDRs": {"mode": "Map", "map": [
                {"cidr": "10.1.0.0/16", "global": "100.64.0.0/16"},
                {"cidr": "10.1.0.0/16", "global": "100.64.0.0/17"},
                {"cidr": "x", "global": "y"},
            ]},
            "underlay": {"mtu": 100, "source": "Anywhere"},
            "transport": "Pigeon",
            "future": {"field": 1},
        }),
    );
    let read = cluster_facts(&object).unwrap();
    assert_eq!(
        shown(&read.errors),
        [
            "spec.podCIDRs[1]: \"10.2.0.1/16\" has host bits set; the prefix is 10.2.0.0/16",
            "spec.podCIDRs[2]: \"10.3.0.0\" has no prefix length; write 10.3.0.0/32 for this one address",
            "spec.mode: \"gateway\" is not a mode; use P2P, Gateway",
            "spec.ipFamilies[1]: \"ipv6\" is not an IP family; use IPv4, IPv6",
            "spec.gateways.count: 0 is out of range; use 1 to 64",
            "spec.nodeSelector.matchExpressions[0].operator: \"in\" is not an operator; use In, NotIn, Exists, DoesNotExist",
            "spec.nodeSelector.matchExpressions[1].values: Exists takes no values",
            "spec.nodeSelector.matchExpressions[2].values: NotIn needs values",
            "spec.globalCIDRs.map[1].global: \"100.64.0.0/17\" cannot stand for 10.1.0.0/16; use an IPv4 prefix of length /16",
            "spec.globalCIDRs.map[2].cidr: \"x\" is not a CIDR; write ADDRESS/LENGTH, for example 10.1.0.0/16 or fd00:1::/64",
            "spec.globalCIDRs.map[2].global: \"y\" is not a CIDR; write ADDRESS/LENGTH, for example 10.1.0.0/16 or fd00:1::/64",
            "spec.transport: \"Pigeon\" is not a transport; use VXLAN",
            "spec.underlay.source: \"Anywhere\" is not a source of underlay addresses; use InternalIP, ExternalIP, Annotation, Interface, CanReach",
            "spec.underlay.mtu: 100 is out of range; use 576 to 65535",
        ]
    );
    assert_eq!(read.errors[0].object.to_string(), "Cluster east");
    let findings = read.findings(&Subject::Cluster("east".parse().unwrap()));
    assert_eq!((findings.len(), findings[0].reason), (read.errors.len(), Reason::InvalidValue));
    let facts = read.value;
    assert_eq!(facts.pods, ["10.1.0.0/16".parse().unwrap()]);
    assert_eq!(facts.services, ["10.96.0.0/12".parse().unwrap()]);
    assert_eq!((facts.mode, facts.gateways.count, facts.underlay_mtu), (None, None, None));
    assert_eq!(facts.families, [Family::V4].into_iter().collect::<Families>());
    assert!(matches!(facts.globals, GlobalCidrs::Map(map) if map.len() == 1));
    // A requirement that cannot be read lets nobody in.
    assert!(facts.nodes.0.iter().all(|r| r.operator == LabelOperator::In(Vec::new())));
}

#[test]
fn a_mode_of_global_cidrs_that_cannot_be_read_leaves_those_that_there_are() {
    let spec = json!({"globalCIDRs": {"mode": "auto"}});
    let mut object: Cluster = read("Cluster", "", "west", spec);
    assert_eq!(cluster_facts(&object).unwrap().value.globals, GlobalCidrs::Off);
    object.status = serde_json::from_value(json!({
        "globalCIDRs": [{"cidr": "10.1.0.0/16", "global": "100.64.0.0/16"}],
    }))
    .unwrap();
    let read = cluster_facts(&object).unwrap();
    assert!(matches!(read.value.globals, GlobalCidrs::Map(map) if map.len() == 1));
    let said = "spec.globalCIDRs.mode: \"auto\" is not a mode of global CIDRs; use Off, Auto, Map";
    assert_eq!(shown(&read.errors), [said]);
}

#[test]
fn cidrs_that_were_found_are_used_where_none_are_given() {
    let mut object: Cluster =
        read("Cluster", "", "east", json!({"mode": "P2P", "podCIDRs": ["10.1.0.0/16"]}));
    object.status = serde_json::from_value(json!({
        "podCIDRs": [{"cidr": "10.9.0.0/16", "source": "IPPool"}],
        "serviceCIDRs": [{"cidr": "fd00::/112"}, {"cidr": "nonsense", "source": "ServiceCIDR kubernetes"}],
    }))
    .unwrap();
    let read = cluster_facts(&object).unwrap();
    assert_eq!(read.value.pods, ["10.1.0.0/16".parse().unwrap()]);
    assert_eq!(read.value.services, ["fd00::/112".parse().unwrap()]);
    assert_eq!(read.value.families, Families::DUAL);
    assert_eq!(read.value.mode, Some(Mode::P2p));
    assert_eq!(read.errors[0].field, "status.serviceCIDRs[1]");
}

#[test]
fn a_map_without_its_mode_is_said_to_be_unused() {
    let map = json!([{"cidr": "10.1.0.0/16", "global": "100.64.0.0/16"}]);
    let object: Cluster = read("Cluster", "", "east", json!({"globalCIDRs": {"mode": "Auto", "map": map}}));
    let read = cluster_facts(&object).unwrap();
    assert_eq!(read.value.globals, GlobalCidrs::Auto);
    assert_eq!(shown(&read.errors), ["spec.globalCIDRs.map: is not used: it needs mode Map"]);
}

#[test]
fn names_that_cannot_be_keep_the_object_out() {
    let object: Cluster = read("Cluster", "", "east.example", json!({}));
    let error = cluster_facts(&object).unwrap_err().to_string();
    assert!(
        error.starts_with("Cluster east.example: metadata.name: \"east.example\" is not a cluster name"),
        "{error}"
    );
    let object: ClusterNode = read("ClusterNode", "kube-system", "n1", json!({}));
    let error = node_facts(&object).unwrap_err().to_string();
    assert!(error.contains("metadata.namespace: namespace \"kube-system\" is not a cluster's"), "{error}");
}

#[test]
fn underlay_addresses_that_nobody_can_send_to_are_refused() {
    let bad = [
        "0.0.0.0",
        "127.0.0.1",
        "::1",
        "::",
        "224.0.0.1",
        "ff02::1",
        "169.254.1.1",
        "fe80::1",
        "::ffff:192.0.2.1",
        "255.255.255.255",
        "192.0.2.300",
        "",
    ];
    for text in bad {
        let spec = json!({"underlay": [text, "192.0.2.1"], "podCIDRs": ["10.1.0.0/24"]});
        let object: ClusterNode = read("ClusterNode", "causeway-cluster-east", "n1", spec);
        let read = node_facts(&object).unwrap();
        assert_eq!(read.errors.len(), 1, "{text}");
        assert_eq!(read.errors[0].field, "spec.underlay[0]");
        assert_eq!(read.value.underlay.v4, Some("192.0.2.1".parse().unwrap()), "{text}");
        assert_eq!(read.value.pods.len(), 1);
    }
    let spec = json!({"underlay": ["192.0.2.1", "192.0.2.2", "2001:db8::1"]});
    let object: ClusterNode = read("ClusterNode", "causeway-cluster-east", "n1", spec);
    let read = node_facts(&object).unwrap();
    assert_eq!(
        shown(&read.errors),
        ["spec.underlay[1]: \"192.0.2.2\" is a second IPv4 address; give one of each family"]
    );
    assert_eq!(read.value.underlay.families(), Families::DUAL);
}

fn peer(node: &str) -> Value {
    json!({"node": node, "underlay": ["192.0.2.1"], "overlay": ["198.18.0.1", "fd63::1"]})
}

#[test]
fn a_bad_peer_is_left_out_and_the_others_are_used() {
    let mut no_overlay = peer("n2");
    no_overlay["overlay"] = json!(["198.18.0.2"]);
    let mut odd = peer("n4");
    odd["podCIDRs"] = json!(["10.1.0.0/24", "nonsense"]);
    odd["families"] = json!(["IPv6"]);
    let peers = json!([peer("n3"), no_overlay, peer("Bad Name"), odd, peer("n3"), peer("n1")]);
    let spec = json!({"cluster": "east", "scope": "Nodes", "index": 0, "peers": peers});
    let object: PeerSlice = read("PeerSlice", "causeway-shared", "east.nodes.0", spec);
    let read = slice_plan(&object).unwrap();
    assert_eq!(
        shown(&read.errors),
        [
            "spec.peers[1].overlay: [198.18.0.2] is not one IPv4 and one IPv6 address",
            "spec.peers[2].node: \"Bad Name\" is not a node name; use at most 253 lower-case letters, digits, \"-\" and \".\", each part beginning and ending with a letter or digit",
            "spec.peers[3].podCIDRs[1]: \"nonsense\" is not a CIDR; write ADDRESS/LENGTH, for example 10.1.0.0/16 or fd00:1::/64",
            "spec.peers[4].node: \"n3\" is listed twice; the first one is used",
        ]
    );
    let nodes: Vec<&str> = read.value.peers.iter().map(|peer| peer.node.as_str()).collect();
    assert_eq!(nodes, ["n1", "n3", "n4"]);
    assert_eq!(read.value.peers[2].vtep.families, [Family::V6].into_iter().collect::<Families>());
}

#[test]
fn more_peers_than_a_slice_holds_are_left_out() {
    let peers: Vec<Value> = (0..258).map(|i| peer(&format!("n{i}"))).collect();
    let spec = json!({"cluster": "east", "scope": "Nodes", "index": 0, "peers": peers});
    let object: PeerSlice = read("PeerSlice", "causeway-shared", "east.nodes.0", spec);
    let read = slice_plan(&object).unwrap();
    assert_eq!((read.value.peers.len(), read.errors.len()), (256, 2));
}

fn node_config_spec() -> Value {
    json!({
        "cluster": "east",
        "role": "Internal",
        "underlay": ["192.0.2.1"],
        "overlay": ["fd63::1", "198.18.0.1"],
        "tunnels": {"local": {"vni": 55, "port": 4877}},
        "own": {"podCIDRs": ["10.2.0.0/16", "10.1.0.0/16", "bad"]},
    })
}

fn node_config_with(path: &str, value: Value) -> NodeConfig {
    let mut spec = node_config_spec();
    *spec.pointer_mut(path).unwrap() = value;
    read("NodeConfig", "causeway-cluster-east", "n1", spec)
}

#[test]
fn a_node_config_is_read_in_any_order_and_without_its_bad_parts() {
    let object: NodeConfig = read("NodeConfig", "elsewhere", "n1", node_config_spec());
    let read = node_plan(&object).unwrap();
    assert_eq!(read.errors[0].field, "spec.own.podCIDRs[2]");
    let pods: Vec<String> = read.value.own.pods.iter().map(ToString::to_string).collect();
    assert_eq!(pods, ["10.1.0.0/16", "10.2.0.0/16"]);
    assert_eq!(read.value.id.to_string(), "east/n1", "the namespace of a copy says nothing");
    assert_eq!(read.value.vtep.overlay.v4.to_string(), "198.18.0.1");
}

#[test]
fn a_node_config_without_what_it_cannot_do_without_is_refused() {
    for (path, value, field) in [
        ("/role", json!("Boss"), "spec.role"),
        ("/overlay", json!(["198.18.0.1"]), "spec.overlay"),
        ("/overlay", json!(["198.18.0.1", "fd63::1", "nonsense"]), "spec.overlay"),
        ("/overlay", json!(["198.18.0.1", "198.18.0.2"]), "spec.overlay"),
        ("/cluster", json!("a.b"), "spec.cluster"),
        ("/tunnels", json!({}), "spec.tunnels.local"),
        ("/tunnels/local/vni", json!(0), "spec.tunnels.local"),
    ] {
        let error = node_plan(&node_config_with(path, value)).unwrap_err();
        assert_eq!(error.0.field, field);
        assert!(error.to_string().ends_with("the object is not used"), "{error}");
    }
}

#[test]
fn a_tunnel_that_the_role_lacks_is_not_made() {
    let tunnels = json!({"local": {"vni": 55, "port": 4877}, "bridge": {"vni": 54, "port": 4876}});
    let read = node_plan(&node_config_with("/tunnels", tunnels)).unwrap();
    assert_eq!(read.value.tunnels.bridge, None);
    assert_eq!(read.errors[0].field, "spec.tunnels.bridge");
}

#[test]
fn an_address_that_was_given_is_found_although_the_rest_is_unreadable() {
    let object = node_config_with("/role", json!("Boss"));
    assert!(node_plan(&object).is_err());
    assert_eq!(node_overlay(&object).unwrap().1.v4.to_string(), "198.18.0.1");
}

#[test]
fn a_link_keeps_its_good_prefixes_and_never_falls_back_to_another_transport() {
    let spec = json!({
        "sourceCluster": "east", "remoteCluster": "west", "via": "Nodes",
        "prefixes": [
            {"cidr": "10.2.0.0/16", "kind": "Pod", "via": "Nodes"},
            {"cidr": "10.1.0.0/16", "kind": "pods", "via": "Nodes"},
            {"cidr": "10.0.0.0/16", "kind": "Pod", "via": "Nodes"},
        ],
        "mtu": 70000,
    });
    let object: ClusterLink = read("ClusterLink", "causeway-cluster-east", "west", spec.clone());
    let link = link_plan(&object).unwrap();
    let prefixes: Vec<String> = link.value.prefixes.iter().map(|p| p.prefix.to_string()).collect();
    assert_eq!(prefixes, ["10.0.0.0/16", "10.2.0.0/16"]);
    let fields: Vec<&str> = link.errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["spec.prefixes[1].kind", "spec.mtu"]);

    for (name, value) in [("transport", "Quantum"), ("remoteCluster", "east"), ("via", "Air")] {
        let mut spec = spec.clone();
        spec[name] = json!(value);
        let object: ClusterLink = read("ClusterLink", "causeway-cluster-east", "west", spec);
        assert_eq!(link_plan(&object).unwrap_err().0.field, format!("spec.{name}"));
    }
}
