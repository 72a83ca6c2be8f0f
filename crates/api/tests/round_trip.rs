//! Facts and plans survive being written as objects and read back, and stay within their bounds.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use causeway_api::{
    Cluster, ClusterStatus, Object, cluster, cluster_facts, cluster_link, cluster_node, cluster_plan,
    cluster_status, link_plan, node_config, node_facts, node_overlay, node_plan, peer_slice, slice_members,
    slice_plan,
};
use causeway_model::*;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn cluster_name() -> impl Strategy<Value = ClusterName> {
    "[a-z0-9]([-a-z0-9]{0,44}[a-z0-9])?".prop_map(|text| text.parse().unwrap())
}

fn node_name() -> impl Strategy<Value = NodeName> {
    "[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?(\\.[a-z0-9]{1,8}){0,3}".prop_map(|text| text.parse().unwrap())
}

fn prefix() -> impl Strategy<Value = Prefix> {
    prop_oneof![
        (any::<u32>(), 0..=32u8).prop_map(|(a, l)| Prefix::containing(Ipv4Addr::from(a).into(), l).unwrap()),
        (any::<u128>(), 0..=128u8)
            .prop_map(|(a, l)| Prefix::containing(Ipv6Addr::from(a).into(), l).unwrap()),
    ]
}

fn sorted<T: Ord + std::fmt::Debug>(
    item: impl Strategy<Value = T>,
    most: usize,
) -> impl Strategy<Value = Vec<T>> {
    btree_set(item, 0..=most).prop_map(|set| set.into_iter().collect())
}

fn translation() -> impl Strategy<Value = Translation> {
    (prefix(), any::<u128>()).prop_map(|(real, seed)| {
        let address: IpAddr = match real.family() {
            Family::V4 => Ipv4Addr::from(seed as u32).into(),
            Family::V6 => Ipv6Addr::from(seed).into(),
        };
        Translation { real, global: Prefix::containing(address, real.len()).unwrap() }
    })
}

fn families() -> impl Strategy<Value = Families> {
    proptest::sample::subsequence(Family::BOTH.to_vec(), 0..=2).prop_map(|f| f.into_iter().collect())
}

fn underlay() -> impl Strategy<Value = DualStack<Option<IpAddr>>> {
    let v4 = (0x0b00_0000..0x7e00_0000u32).prop_map(|a| IpAddr::V4(a.into()));
    let v6 = (0u128..1 << 120).prop_map(|a| IpAddr::V6((a | 0x20 << 120).into()));
    (option::of(v4), option::of(v6)).prop_map(|(v4, v6)| DualStack { v4, v6 })
}

fn vtep() -> impl Strategy<Value = Vtep> {
    (underlay(), any::<u32>(), any::<u128>(), families()).prop_map(|(underlay, v4, v6, families)| Vtep {
        underlay,
        overlay: OverlayAddresses { v4: v4.into(), v6: v6.into() },
        families,
    })
}

fn tunnel() -> impl Strategy<Value = Tunnel> {
    (1..1u32 << 24, 1..=u16::MAX).prop_map(|(vni, port)| Tunnel { vni: Vni(vni), port: UdpPort(port) })
}

fn node_id() -> impl Strategy<Value = NodeId> {
    (cluster_name(), node_name()).prop_map(|(cluster, node)| NodeId { cluster, node })
}

fn a_node_plan() -> impl Strategy<Value = NodePlan> {
    let role = prop_oneof![Just(Role::Node), Just(Role::Gateway), Just(Role::Internal)];
    let own = (sorted(prefix(), 4), sorted(prefix(), 4), sorted(prefix(), 4));
    (node_id(), role, vtep(), (tunnel(), tunnel()), own, sorted(prefix(), 4), sorted(translation(), 4))
        .prop_map(|(id, role, vtep, (bridge, local), (pods, services, overlay), local_pods, translations)| {
            NodePlan {
                id,
                role,
                vtep,
                tunnels: Tunnels {
                    bridge: (role != Role::Internal).then_some(bridge),
                    local: (role != Role::Node).then_some(local),
                },
                own: OwnPrefixes { pods, services, overlay },
                local_pods,
                translations,
            }
        })
}

fn a_link_plan() -> impl Strategy<Value = LinkPlan> {
    let via = || prop_oneof![Just(Via::Nodes), Just(Via::Gateways)];
    let kind = prop_oneof![Just(PrefixKind::Pod), Just(PrefixKind::Service), Just(PrefixKind::Overlay)];
    let entry = (prefix(), kind, via()).prop_map(|(prefix, kind, via)| LinkPrefix { prefix, kind, via });
    (cluster_name(), cluster_name(), via(), sorted(entry, 8), option::of(506..=65_535u32))
        .prop_filter("two clusters", |(source, remote, ..)| source != remote)
        .prop_map(|(source, remote, via, prefixes, mtu)| LinkPlan {
            id: LinkId { source, remote },
            via,
            transport: Transport::Vxlan,
            prefixes,
            mtu,
            findings: Vec::new(),
        })
}

fn a_slice_plan() -> impl Strategy<Value = SlicePlan> {
    let peers = proptest::collection::btree_map(node_name(), (vtep(), sorted(prefix(), 3)), 0..12);
    let scope = prop_oneof![Just(Scope::Nodes), Just(Scope::Gateways)];
    (cluster_name(), scope, any::<u32>(), peers).prop_map(|(cluster, scope, index, peers)| SlicePlan {
        id: SliceId { cluster, scope, index },
        peers: peers.into_iter().map(|(node, (vtep, prefixes))| Peer { node, vtep, prefixes }).collect(),
    })
}

fn selector() -> impl Strategy<Value = LabelSelector> {
    let values = || vec("[a-z]{0,6}", 1..3);
    let operator = prop_oneof![
        values().prop_map(LabelOperator::In),
        values().prop_map(LabelOperator::NotIn),
        Just(LabelOperator::Exists),
        Just(LabelOperator::DoesNotExist),
    ];
    vec(("[a-z./]{1,12}", operator), 0..3).prop_map(|list| {
        LabelSelector(list.into_iter().map(|(key, operator)| LabelRequirement { key, operator }).collect())
    })
}

fn a_cluster() -> impl Strategy<Value = ClusterFacts> {
    let globals = prop_oneof![
        Just(GlobalCidrs::Off),
        Just(GlobalCidrs::Auto),
        btree_set(translation(), 1..3).prop_map(|map| GlobalCidrs::Map(map.into_iter().collect())),
    ];
    let age = prop_oneof![Just(Age::Unknown), (0..4_000_000_000i64).prop_map(Age::Created)];
    let mode = option::of(prop_oneof![Just(Mode::P2p), Just(Mode::Gateway)]);
    let prefixes = (vec(prefix(), 0..3), vec(prefix(), 0..3));
    let gateways = (option::of(1..=64u32), selector());
    let rest = (globals, option::of(Just(Transport::Vxlan)), option::of(576..=65_535u32));
    let families = families().prop_filter("some family", |families| !families.is_empty());
    (cluster_name(), age, mode, families, prefixes, gateways, selector(), rest).prop_map(
        |(name, age, mode, families, (pods, services), (count, selector), nodes, rest)| ClusterFacts {
            name,
            age,
            mode,
            families,
            pods,
            services,
            gateways: GatewayPolicy { count: count.and_then(NonZeroU32::new), selector },
            nodes,
            globals: rest.0,
            transport: rest.1,
            underlay_mtu: rest.2,
        },
    )
}

fn a_node() -> impl Strategy<Value = NodeFacts> {
    let labels = proptest::collection::btree_map("[a-z./]{1,12}", "[a-z0-9]{0,8}", 0..3);
    let zone = option::of("[a-z0-9-]{1,12}");
    let readiness = prop_oneof![Just(Readiness::Ready), Just(Readiness::Cordoned), Just(Readiness::NotReady)];
    (node_id(), underlay(), vec(prefix(), 0..4), readiness, zone, labels).prop_map(
        |(id, underlay, pods, readiness, zone, labels)| NodeFacts {
            id,
            underlay,
            pods,
            readiness,
            zone,
            labels,
        },
    )
}

/// The object after a trip over YAML.
fn over_yaml<T: Serialize + DeserializeOwned + Clone + Into<Object>>(object: &T) -> T {
    let yaml = serde_saphyr::to_string(object).unwrap();
    let typed: T = serde_saphyr::from_str(&yaml).unwrap();
    let any: Object = object.clone().into();
    assert_eq!(any, typed.clone().into(), "{yaml}");
    typed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn node_plans_round_trip(plan in a_node_plan()) {
        let object = over_yaml(&node_config(&plan));
        let read = node_plan(&object).unwrap();
        prop_assert_eq!(&read.errors, &[]);
        prop_assert_eq!(node_overlay(&object), Some((plan.id.clone(), plan.vtep.overlay)));
        prop_assert_eq!(read.value, plan);
    }

    #[test]
    fn link_plans_round_trip(plan in a_link_plan()) {
        let read = link_plan(&over_yaml(&cluster_link(&plan))).unwrap();
        prop_assert_eq!(&read.errors, &[]);
        prop_assert_eq!(read.value, plan);
    }

    #[test]
    fn slice_plans_round_trip(plan in a_slice_plan()) {
        let object = over_yaml(&peer_slice(&plan));
        let read = slice_plan(&object).unwrap();
        prop_assert_eq!(&read.errors, &[]);
        let members = plan.peers.iter().map(|peer| peer.node.clone()).collect();
        prop_assert_eq!(slice_members(&object), Some((plan.id.clone(), members)));
        prop_assert_eq!(read.value, plan);
    }

    #[test]
    fn cluster_facts_round_trip(facts in a_cluster()) {
        let read = cluster_facts(&over_yaml(&cluster(&facts))).unwrap();
        prop_assert_eq!(&read.errors, &[]);
        prop_assert_eq!(read.value, facts);
    }

    #[test]
    fn node_facts_round_trip(facts in a_node()) {
        let read = node_facts(&over_yaml(&cluster_node(&facts))).unwrap();
        prop_assert_eq!(&read.errors, &[]);
        prop_assert_eq!(read.value, facts);
    }

    #[test]
    fn cluster_plans_round_trip_and_leave_what_others_wrote(
        name in cluster_name(),
        blocks in vec(prefix(), 0..6),
        gateways in sorted(node_name(), 3),
        translations in sorted(translation(), 3),
        nodes in any::<u32>(),
    ) {
        let of = |family| blocks.iter().copied().filter(|p| p.family() == family).collect();
        let overlay = DualStack::from_fn(of);
        let plan = ClusterPlan { name, overlay, gateways, translations, nodes, findings: Vec::new() };
        let before = ClusterStatus { cni: Some("flannel".to_owned()), ..ClusterStatus::default() };
        let mut object = Cluster::new(plan.name.as_str(), Default::default());
        object.status = Some(cluster_status(&before, &plan));
        let object = over_yaml(&object);
        prop_assert_eq!(object.status.as_ref().unwrap().cni.as_deref(), Some("flannel"));
        let read = cluster_plan(&object).unwrap();
        prop_assert_eq!(&read.errors, &[]);
        prop_assert_eq!(read.value, plan);
    }
}

fn p(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn wide_vtep(index: u32) -> Vtep {
    Vtep {
        underlay: DualStack {
            v4: Some(IpAddr::V4(Ipv4Addr::from(0xc0a8_6464 + index))),
            v6: Some(IpAddr::V6(Ipv6Addr::from(
                0x2001_0db8_1234_5678_9abc_def0_1234_0000 + u128::from(index),
            ))),
        },
        overlay: OverlayAddresses {
            v4: Ipv4Addr::from(0xc613_6464 + index),
            v6: Ipv6Addr::from(0xfd63_6175_7365_0001_0000_0000_0001_6464 + u128::from(index)),
        },
        families: Families::DUAL,
    }
}

#[test]
fn a_full_dual_stack_slice_stays_within_64_kib() {
    let peers = (0..SLICE_CAPACITY as u32)
        .map(|index| Peer {
            node: format!("ip-192-168-100-{index:03}.eu-central-1.compute.internal").parse().unwrap(),
            vtep: wide_vtep(index),
            prefixes: vec![
                Prefix::containing(Ipv4Addr::from(0xac10_6400 + (index << 8)).into(), 24).unwrap(),
                Prefix::containing(
                    Ipv6Addr::from(0xfd00_1234_5678 << 80 | u128::from(index) << 64).into(),
                    64,
                )
                .unwrap(),
            ],
        })
        .collect();
    let cluster: ClusterName = "c".repeat(46).parse().unwrap();
    let plan = SlicePlan { id: SliceId { cluster, scope: Scope::Gateways, index: 390 }, peers };
    let size = serde_json::to_string(&peer_slice(&plan)).unwrap().len();
    assert!(size <= 64 * 1024, "{size}");
}

#[test]
fn a_full_node_config_stays_within_2_kib() {
    let plan = NodePlan {
        id: NodeId {
            cluster: "c".repeat(46).parse().unwrap(),
            node: "ip-192-168-100-100.eu-central-1.compute.internal".parse().unwrap(),
        },
        role: Role::Gateway,
        vtep: wide_vtep(0),
        tunnels: Tunnels {
            bridge: Some(TunnelPair::default().bridge),
            local: Some(TunnelPair::default().local),
        },
        own: OwnPrefixes {
            pods: vec![p("172.16.0.0/12"), p("192.168.128.0/17"), p("fd00:1234:5678::/48")],
            services: vec![p("172.30.0.0/16"), p("fd00:1234:5679::/108")],
            overlay: (0..8)
                .map(|i| p(&format!("198.18.{}.0/22", 4 * i)))
                .chain((0..8).map(|i| p(&format!("fd63:6175:7365:1::1:{:x}/118", 0x400 * i))))
                .collect(),
        },
        local_pods: vec![p("172.16.100.0/24"), p("fd00:1234:5678:64::/64")],
        translations: [
            ("172.16.0.0/12", "100.64.0.0/12"),
            ("172.30.0.0/16", "100.80.0.0/16"),
            ("192.168.128.0/17", "100.81.0.0/17"),
            ("fd00:1234:5678::/48", "fd63:6176:1::/48"),
        ]
        .map(|(real, global)| Translation { real: p(real), global: p(global) })
        .to_vec(),
    };
    let size = serde_json::to_string(&node_config(&plan)).unwrap().len();
    assert!(size <= 2048, "{size}");
    let labels: BTreeMap<_, _> = node_config(&plan).metadata.labels.unwrap();
    assert_eq!(labels.len(), 1);
}
