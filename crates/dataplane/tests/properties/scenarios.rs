//! Named behaviours of the way from state to state.

use std::collections::BTreeMap;

use causeway_dataplane::desired::fast_path::forget_flows;
use causeway_dataplane::desired::{self, HostFacts, sysctls};
use causeway_dataplane::diff::{diff, failover};
use causeway_dataplane::model_kernel::ModelKernel;
use causeway_dataplane::nft::TableKind;
use causeway_dataplane::nft::observed::ObservedTable;
use causeway_dataplane::state::{Desired, Observed, ObservedNextHops, Sysctl};
use causeway_dataplane::step::Step;
use causeway_model::{Families, Role};

use crate::judge;
use crate::wanted;
use crate::world::{self, NODES, Remote, Shape, World, dual, v4, v6};

/// A host after it has become what `world` says.
fn settled(world: &World) -> Observed {
    let mut observed = world::empty_host(true);
    world.tell_host(&mut observed);
    // What leads over a device is made in a second round, since it needs the device's index.
    for _ in 0..2 {
        observed = reach(&wanted(world, &observed), observed);
    }
    observed
}

fn reach(wanted: &Desired, observed: Observed) -> Observed {
    let steps = diff(wanted, &observed);
    let mut kernel = ModelKernel::new(observed);
    steps.iter().for_each(|step| kernel.step(step).unwrap());
    kernel.state()
}

/// The steps from one world to the next, judged, by the first words of their commands.
fn steps_between(before: &World, after: &World) -> BTreeMap<String, usize> {
    let observed = settled(before);
    let wanted = wanted(after, &observed);
    judge::judge(&wanted, &observed);
    let mut kinds = BTreeMap::new();
    for step in diff(&wanted, &observed) {
        let text = step.to_string();
        let words: Vec<&str> = text.split(' ').filter(|word| !word.starts_with('-')).take(3).collect();
        *kinds.entry(words.join(" ")).or_insert(0) += 1;
    }
    kinds
}

fn kinds(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect()
}

fn remote(shape: Shape) -> Remote {
    Remote {
        shape,
        nodes: vec![Some(dual()); NODES],
        carriers: vec![true; NODES],
        shown: [true, true, true, false],
        mtu: None,
    }
}

fn with_remote(role: Role, remote: Remote) -> World {
    World { remotes: vec![Some(remote)], ..World::quiet(role) }
}

#[test]
fn a_dead_gateway_leaves_its_groups_by_one_message_each() {
    let before = with_remote(Role::Node, remote(Shape::Gateways));
    let mut after = before.clone();
    after.remotes[0].as_mut().unwrap().carriers[2] = false;
    // Six prefixes, three of each family: two groups, and nothing else changes but what was
    // the gateway's own.
    let steps = steps_between(&before, &after);
    let expected = [
        ("ip nexthop replace", 2),
        ("ip route del", 2),
        ("ip nexthop del", 2),
        ("ip neighbour del", 2),
        ("bridge fdb del", 1),
    ];
    assert_eq!(steps.iter().filter(|(kind, _)| !kind.starts_with("nft")).count(), expected.len());
    for (kind, count) in expected {
        assert_eq!(steps.get(kind), Some(&count), "{kind} in {steps:?}");
    }
}

#[test]
fn a_gateway_that_does_not_answer_costs_one_message_and_comes_back_by_one() {
    let mut world = with_remote(Role::Node, remote(Shape::Gateways));
    world.end.inner = v4();
    let observed = settled(&world);
    let plans = world.plans();
    let with_dead = |observed: &Observed, dead: &[&str]| {
        let dead = dead.iter().map(|address| address.parse().unwrap()).collect();
        let host = HostFacts { dead, ..HostFacts::from(observed) };
        desired::desired(&plans.node, &plans.links, &plans.slices, &host).0
    };
    let one_dead = with_dead(&observed, &["198.18.1.2"]);
    judge::judge(&one_dead, &observed);
    let steps = diff(&one_dead, &observed);
    assert!(
        matches!(steps[..], [Step::ReplaceGroup(..), Step::Firewall(_), Step::DelNextHop(_)]),
        "{steps:?}"
    );

    // The short way comes to the same.
    let forget_flows = one_dead.fast_path.as_ref().and_then(|table| forget_flows(table, |_| true));
    let fast = |observed: &Observed, dead: &[&str]| {
        let dead = dead.iter().map(|address| address.parse().unwrap()).collect();
        let Observed { next_hops: singles, groups, odd_next_hops: odd, .. } = observed.clone();
        failover(&one_dead.carriers, &dead, &ObservedNextHops { singles, groups, odd }, forget_flows.as_ref())
    };
    assert_eq!(fast(&observed, &["198.18.1.2"]), steps[..2]);
    assert_eq!(fast(&observed, &[]), []);

    let without = reach(&one_dead, observed);
    let steps = diff(&with_dead(&without, &[]), &without);
    assert!(
        matches!(steps[..], [Step::AddNextHop(..), Step::ReplaceGroup(..), Step::Firewall(_)]),
        "{steps:?}"
    );
    assert_eq!(fast(&without, &[]), steps);
    let all = ["198.18.1.1", "198.18.1.2", "198.18.1.3", "198.18.1.4"];
    assert_eq!(with_dead(&without, &all), with_dead(&without, &[]), "none is left: all are tried");
}

#[test]
fn the_message_that_saves_packets_comes_before_all_removals() {
    let before = with_remote(Role::Node, remote(Shape::Gateways));
    let mut after = before.clone();
    after.remotes[0].as_mut().unwrap().carriers[0] = false;
    let observed = settled(&before);
    let steps = diff(&wanted(&after, &observed), &observed);
    assert!(matches!(steps[..2], [Step::ReplaceGroup(..), Step::ReplaceGroup(..)]), "{steps:?}");
}

#[test]
fn a_joining_node_adds_its_own_entries_and_no_others() {
    let mut before = with_remote(Role::Node, remote(Shape::Nodes));
    let after = before.clone();
    let cluster = before.remotes[0].as_mut().unwrap();
    cluster.nodes[3] = None;
    cluster.carriers[3] = false;
    let mut after = after;
    after.remotes[0].as_mut().unwrap().carriers[3] = false;
    let mut steps = steps_between(&before, &after);
    steps.retain(|kind, _| !kind.starts_with("nft"));
    let expected = [("bridge fdb replace", 1), ("ip neighbour replace", 2), ("ip route replace", 2)];
    assert_eq!(steps, kinds(&expected));
}

#[test]
fn a_node_that_moves_to_another_underlay_address_changes_one_entry() {
    let before = with_remote(Role::Node, remote(Shape::Nodes));
    let mut after = before.clone();
    after.remotes[0].as_mut().unwrap().nodes[1].as_mut().unwrap().moved = true;
    let mut steps = steps_between(&before, &after);
    steps.retain(|kind, _| !kind.starts_with("nft"));
    assert_eq!(steps, kinds(&[("bridge fdb replace", 1)]));
}

#[test]
fn the_second_pair_of_devices_comes_and_goes_with_the_peer_that_needs_it() {
    let mut before = with_remote(Role::Node, remote(Shape::Nodes));
    before.end.outer = Families::DUAL;
    let names =
        |world: &World| -> Vec<&str> { settled(world).devices.keys().map(|device| device.name()).collect() };
    assert_eq!(names(&before), ["vx-bridge"]);
    let mut after = before.clone();
    after.remotes[0].as_mut().unwrap().nodes[1].as_mut().unwrap().outer = v6();
    assert_eq!(names(&after), ["vx-bridge", "vx-bridge6"]);
    assert_eq!(steps_between(&before, &after).get("ip link add"), Some(&1));
    assert_eq!(steps_between(&after, &before).get("ip link del"), Some(&1));
}

#[test]
fn a_node_with_an_ipv6_underlay_only_has_no_ipv4_devices() {
    let mut world = with_remote(Role::Gateway, remote(Shape::Nodes));
    world.end.outer = v6();
    let state = settled(&world);
    assert_eq!(state.devices.keys().map(|d| d.name()).collect::<Vec<_>>(), ["vx-bridge6", "vx-local6"]);
    assert!(state.devices.values().all(|device| device.vxlan.mtu == 1430));
}

#[test]
fn a_node_that_becomes_a_gateway_keeps_its_way_to_the_other_gateways() {
    let mut before = with_remote(Role::Internal, remote(Shape::Gateways));
    before.own = vec![Some(dual()); NODES];
    let after = World { role: Role::Gateway, ..before.clone() };
    // Linux would flush the routes and neighbours of a device that loses its last IPv4 address.
    for (from, to) in [(&before, &after), (&after, &before)] {
        let observed = settled(from);
        let wanted = wanted(to, &observed);
        judge::judge(&wanted, &observed);
        let moved = |step: &Step| matches!(step, Step::DelAddress(..));
        assert!(!diff(&wanted, &observed).iter().any(moved));
    }
}

#[test]
fn a_cluster_that_changes_its_mode_is_judged_both_ways() {
    for (from, to) in [(Shape::Nodes, Shape::Gateways), (Shape::Gateways, Shape::Carriers)] {
        let worlds = [from, to].map(|shape| with_remote(Role::Node, remote(shape)));
        assert!(!steps_between(&worlds[0], &worlds[1]).is_empty());
        assert!(!steps_between(&worlds[1], &worlds[0]).is_empty());
    }
}

#[test]
fn the_fast_path_comes_when_its_tunnel_is_there_and_goes_before_all_else() {
    let is_fast = |step: &Step| matches!(step, Step::Firewall(t) if t.table() == TableKind::Netdev);
    let world = with_remote(Role::Node, remote(Shape::Nodes));
    let mut observed = world::empty_host(true);
    world.tell_host(&mut observed);
    let first = diff(&wanted(&world, &observed), &observed);
    assert!(!first.is_empty() && !first.iter().any(is_fast));
    let observed = reach(&wanted(&world, &observed), observed);
    let second = diff(&wanted(&world, &observed), &observed);
    assert!(second.iter().all(|step| matches!(step, Step::Firewall(_))), "{second:#?}");
    assert!(second.len() == 2 && second.first().is_some_and(is_fast), "{second:#?}");
    let observed = settled(&world);
    assert_eq!(diff(&wanted(&world, &observed), &observed), []);
    let last = diff(&Desired::default(), &observed);
    assert!(last.first().is_some_and(is_fast) && last.len() > 5, "{last:#?}");
    let mut unable = observed;
    unable.capabilities.fast_path = false;
    let off = diff(&wanted(&world, &unable), &unable);
    assert!(off.len() == 2 && off.last().is_some_and(is_fast), "{off:#?}");
}

#[test]
fn the_fast_path_forgets_its_flows_once_routes_lead_elsewhere() {
    let forgets = |step: &Step| step.to_string().contains("flush map netdev causeway outbound4");
    let leads =
        |step: &Step| matches!(step, Step::ReplaceGroup(..) | Step::ReplaceRoute(..) | Step::DelRoute(..));
    let positions = |steps: &[Step], is: &dyn Fn(&Step) -> bool| -> Vec<usize> {
        steps.iter().enumerate().filter(|(_, step)| is(step)).map(|(at, _)| at).collect()
    };
    for role in [Role::Node, Role::Gateway] {
        let world = with_remote(role, remote(Shape::Gateways));
        let observed = settled(&world);
        let mut fewer = world.clone();
        fewer.remotes[0].as_mut().unwrap().carriers[2] = false;
        let steps = diff(&wanted(&fewer, &observed), &observed);
        let forgotten = positions(&steps, &forgets);
        // Right after groups, which is what counts, and when all routes are as they should be.
        let groups = positions(&steps, &|step| matches!(step, Step::ReplaceGroup(..)));
        assert_eq!(forgotten.first(), groups.last().map(|at| at + 1).as_ref(), "{steps:#?}");
        assert!(forgotten.last() > positions(&steps, &leads).last(), "{steps:#?}");

        // Neither a prefix that had no route nor another port leads anything elsewhere.
        let mut more = world.clone();
        more.remotes[0].as_mut().unwrap().shown = [true; 4];
        let mut pods = observed.clone();
        let ports = pods.host_links.iter_mut().filter(|link| link.kind == "veth");
        ports.for_each(|link| link.name = "veth2".to_owned());
        for (world, observed) in [(&more, &observed), (&world, &pods)] {
            let steps = diff(&wanted(world, observed), observed);
            assert!(!steps.is_empty() && positions(&steps, &forgets).is_empty(), "{steps:#?}");
        }
    }
}

#[test]
fn what_was_learned_at_one_tunnel_is_forgotten_as_flows_go_to_another() {
    let roles = [Role::Node, Role::Gateway, Role::Internal];
    for (from, to) in roles.into_iter().flat_map(|from| roles.map(|to| (from, to))) {
        let [before, after] = [from, to].map(|role| with_remote(role, remote(Shape::Gateways)));
        let mut observed = settled(&before);
        // The rounds of a pass.
        for _ in 0..3 {
            let wanted = wanted(&after, &observed);
            let tunnel = |table: Option<&ObservedTable>| {
                table.and_then(|table| table.chains.get("into_tunnel")?.base.clone())
            };
            let was = tunnel(observed.firewall.fast_path.as_ref());
            let steps = diff(&wanted, &observed);
            let table = steps.iter().find(|step| step.kind() == Step::FAST_PATH).map(ToString::to_string);
            observed = reach(&wanted, observed);
            let is = tunnel(observed.firewall.fast_path.as_ref());
            if was.is_some() && is.is_some() && was != is {
                let text = table.unwrap();
                let forgotten = text.contains("flush map netdev causeway outbound4");
                assert!(forgotten || text.contains("delete table netdev causeway"), "{from:?} {to:?} {text}");
            }
        }
        assert_eq!(diff(&wanted(&after, &observed), &observed), [], "{from:?} {to:?}");
    }
}

#[test]
fn a_restart_with_nothing_changed_writes_nothing() {
    for role in [Role::Node, Role::Gateway, Role::Internal] {
        let mut world = with_remote(role, remote(Shape::Gateways));
        world.own = vec![Some(dual()); NODES];
        assert_eq!(steps_between(&world, &world), BTreeMap::new());
    }
}

#[test]
fn new_ports_make_the_device_anew_after_all_that_stands_on_it() {
    let mut before = with_remote(Role::Gateway, remote(Shape::Gateways));
    before.own = vec![Some(dual()); NODES];
    let after = World { numbers: 1, ..before.clone() };
    let observed = settled(&before);
    let wanted = wanted(&after, &observed);
    judge::judge(&wanted, &observed);
    let steps = diff(&wanted, &observed);
    let place = |wanted: fn(&Step) -> bool| steps.iter().position(wanted).unwrap();
    let route = place(|step| matches!(step, Step::DelRoute(..)));
    let next_hop = place(|step| matches!(step, Step::DelNextHop(..)));
    let device = place(|step| matches!(step, Step::DelDevice(..)));
    let again = place(|step| matches!(step, Step::AddDevice(..)));
    assert!(route < next_hop && next_hop < device && device < again);
    let touched = |step: &Step| !matches!(step, Step::Firewall(_)) && step.to_string().contains("vx-local");
    assert!(!steps.iter().any(touched), "vx-local stays as it is");
}

#[test]
fn tunnel_numbers_that_are_exchanged_never_meet() {
    let before = with_remote(Role::Gateway, remote(Shape::Nodes));
    let after = World { numbers: 2, ..before.clone() };
    assert_eq!(steps_between(&before, &after).get("ip link del"), Some(&2));
    let internal = World { role: Role::Internal, ..after };
    let node = World { role: Role::Node, ..before };
    assert_eq!(steps_between(&node, &internal).get("ip link del"), Some(&1));
}

#[test]
fn clean_up_leaves_the_host_as_it_was() {
    let mut world = with_remote(Role::Gateway, remote(Shape::Nodes));
    world.own = vec![Some(dual()); NODES];
    let mut before = world::empty_host(true);
    world.tell_host(&mut before);
    let of_host = |values: &BTreeMap<Sysctl, String>| -> BTreeMap<Sysctl, String> {
        let outlives = |(path, _): &(&Sysctl, &String)| sysctls::device_of(path).is_none();
        values.iter().filter(outlives).map(|(path, value)| (path.clone(), value.clone())).collect()
    };
    let remembered = of_host(&before.sysctls);

    let running = settled(&world);
    assert_ne!(of_host(&running.sysctls), remembered);
    let nothing = desired::nothing(&remembered);
    judge::judge(&nothing, &running);
    let steps = diff(&nothing, &running);
    let device = steps.iter().position(|step| matches!(step, Step::DelDevice(_))).unwrap();
    let first_sysctl = steps.iter().position(|step| matches!(step, Step::SetSysctl(..))).unwrap();
    assert!(device < first_sysctl, "forwarding stays on until the tunnels are gone");
    assert_eq!(reach(&nothing, running), before);
}

#[test]
fn stray_entries_under_our_mark_are_removed_and_nothing_else_is_touched() {
    let world = with_remote(Role::Node, remote(Shape::Nodes));
    let clean = settled(&world);
    let mut observed = clean.clone();
    let (key, route) = clean.routes.iter().next().map(|(key, route)| (*key, *route)).unwrap();
    let doubled = ((key.0, key.1 + 1), route);
    observed.routes = clean.routes.iter().map(|(k, r)| (*k, *r)).chain([doubled]).collect();
    observed.rules.insert(0, clean.rules[0]);
    observed.odd_next_hops.push(causeway_dataplane::state::NextHopId(7));
    let wanted = wanted(&world, &observed);
    judge::judge(&wanted, &observed);
    let steps: Vec<String> = diff(&wanted, &observed).iter().map(ToString::to_string).collect();
    let [route, _flows, _rule, next_hop] = &steps[..] else { panic!("{steps:?}") };
    assert!(route.starts_with("ip route del") && next_hop == "ip nexthop del id 7", "{steps:?}");
    assert_eq!(reach(&wanted, observed), clean);
}

/// A node alone with its overlay, and the same one with another index, whose old address is a peer's by now.
fn renumbered() -> (World, World) {
    let remote = Remote { carriers: vec![false; NODES], ..remote(Shape::Nodes) };
    let was = World {
        index: 0,
        own_gateways: vec![false; NODES],
        remotes: vec![Some(remote)],
        ..World::quiet(Role::Gateway)
    };
    let mut own = vec![None; NODES];
    own[0] = Some(dual());
    (was.clone(), World { index: 9, own, ..was })
}

#[test]
fn an_address_that_is_a_peers_by_now_goes_first_and_no_device_with_it() {
    let (was, is) = renumbered();
    let steps = steps_between(&was, &is);
    assert_eq!(steps.get("ip link del"), None, "{steps:?}");
    assert_eq!(steps.get("ip address del"), Some(&4), "{steps:?}");
}

#[test]
fn a_node_that_takes_its_old_number_back_half_way_breaks_nothing() {
    let (other, is) = renumbered();
    let mut observed = settled(&is);
    // On the way to another number: both addresses are there, everything else is as it was.
    let other = World { own: vec![None; NODES], ..other };
    let steps = diff(&wanted(&other, &observed), &observed);
    let mut kernel = ModelKernel::new(observed);
    steps
        .iter()
        .filter(|step| matches!(step, Step::AddAddress(..)))
        .for_each(|step| kernel.step(step).unwrap());
    observed = kernel.state();
    assert_eq!(observed.addresses.iter().count(), 8);

    let wanted = wanted(&is, &observed);
    judge::judge(&wanted, &observed);
    let steps: Vec<String> = diff(&wanted, &observed).iter().map(ToString::to_string).collect();
    assert_eq!(steps.len(), 4, "{steps:#?}");
    assert!(steps.iter().all(|step| step.starts_with("ip address del")), "{steps:#?}");
}

#[test]
fn a_device_without_our_alias_gets_it_back_and_nothing_else_is_done() {
    let world = with_remote(Role::Node, remote(Shape::Nodes));
    let clean = settled(&world);
    let mut observed = clean.clone();
    observed.devices.values_mut().for_each(|device| device.marked = false);
    let wanted = wanted(&world, &observed);
    judge::judge(&wanted, &observed);
    let steps = diff(&wanted, &observed);
    assert!(matches!(steps[..], [Step::SetDevice(..)]), "{steps:?}");
    assert_eq!(reach(&wanted, observed), clean);
}
