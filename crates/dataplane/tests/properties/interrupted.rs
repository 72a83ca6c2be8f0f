//! An agent that is killed between any two steps of a change, on Linux: whoever starts next reaches the plan, and what
//! the change is not about works on all the while. Needs root.

use causeway_dataplane::desired::sysctls;
use causeway_dataplane::diff::diff;
use causeway_dataplane::model_kernel::ModelKernel;
use causeway_dataplane::netlink::LinuxKernel;
use causeway_dataplane::state::Observed;
use causeway_dataplane::{Kernel, Step};
use causeway_model::Role;

use crate::linux::{in_namespace, make_host, set_underlay};
use crate::world::{NODES, Remote, Shape, World, dual};
use crate::{judge, wanted};

/// As an agent that starts: it knows nothing but what it reads.
fn start() -> (LinuxKernel, Observed) {
    let mut kernel = LinuxKernel::open(sysctls::all([])).unwrap();
    let observed = kernel.observe().unwrap();
    (kernel, observed)
}

/// Brings the kernel to `world` and returns its state.
fn settle(world: &World) -> Observed {
    let (mut kernel, observed) = start();
    kernel.apply(&diff(&wanted(world, &observed), &observed)).unwrap();
    let after = kernel.observe().unwrap();
    assert_eq!(diff(&wanted(world, &after), &after), []);
    after
}

/// Kills the change from one world to the next after `done` steps, and says how many paths are the same before and after
/// it; `None` if it has no more steps than that.
fn kill_after(done: usize, before: &World, after: &World) -> Option<usize> {
    set_underlay(before);
    settle(before);
    set_underlay(after);
    let (mut killed, old) = start();
    let goal = wanted(after, &old);
    let steps: Vec<Step> = diff(&goal, &old);
    if done > steps.len() {
        return None;
    }
    killed.apply(&steps[..done]).unwrap();
    drop(killed);

    let (_, between) = start();
    let same = judge::unbroken(&goal, &old, &between, &format!("{done} of {} steps", steps.len()));
    // The rest is judged step by step, from what Linux is by now.
    judge::judge(&wanted(after, &between), &between);
    let reached = settle(after);
    assert_eq!(judge::differences(&wanted(after, &reached), &reached), Vec::<String>::new());
    Some(same)
}

/// Kills it after each number of steps, each time from the beginning. How many paths are the same before and after.
fn kill_everywhere(before: &World, after: &World) -> usize {
    let (mut kills, mut spared) = (0, 0);
    loop {
        let mut same = None;
        in_namespace(|| {
            make_host();
            same = kill_after(kills, before, after);
        });
        let Some(same) = same else { break };
        spared = same;
        kills += 1;
    }
    assert!(kills > 2, "the change has no steps to be killed between");
    spared
}

fn remote(shape: Shape) -> Remote {
    Remote {
        shape,
        nodes: vec![Some(dual()); NODES],
        carriers: vec![true, true, true, false],
        shown: [true, true, true, false],
        mtu: None,
    }
}

/// A node with two remote clusters: what changes is the first, what must not suffer is the second.
fn world(role: Role, first: Remote) -> World {
    World {
        own: vec![Some(dual()); NODES],
        own_gateways: vec![true, true, false, false],
        remotes: vec![Some(first), Some(remote(Shape::Nodes))],
        ..World::quiet(role)
    }
}

#[test]
fn from_p2p_to_gateway_and_back() {
    let p2p = world(Role::Node, remote(Shape::Nodes));
    let gateway = world(Role::Node, remote(Shape::Gateways));
    assert!(kill_everywhere(&p2p, &gateway) > 0);
    assert!(kill_everywhere(&gateway, &p2p) > 0);
}

#[test]
fn the_own_cluster_from_p2p_to_gateway_and_back() {
    let node = world(Role::Node, remote(Shape::Nodes));
    for role in [Role::Gateway, Role::Internal] {
        let other = world(role, remote(Shape::Nodes));
        kill_everywhere(&node, &other);
        kill_everywhere(&other, &node);
    }
}

#[test]
fn a_gateway_replaced_by_another() {
    let before = world(Role::Node, remote(Shape::Gateways));
    let carriers = vec![true, true, false, true];
    let after = world(Role::Node, Remote { carriers, ..remote(Shape::Gateways) });
    assert!(kill_everywhere(&before, &after) > 0);
}

#[test]
fn a_prefix_added_and_removed() {
    let with = world(Role::Node, Remote { shown: [true; 4], ..remote(Shape::Gateways) });
    let without = world(Role::Node, remote(Shape::Gateways));
    assert!(kill_everywhere(&without, &with) > 0);
    assert!(kill_everywhere(&with, &without) > 0);
}

#[test]
fn a_node_renumbered_on_the_underlay() {
    let mut moved = remote(Shape::Nodes);
    moved.nodes.iter_mut().flatten().for_each(|end| end.moved = true);
    assert!(kill_everywhere(&world(Role::Node, remote(Shape::Nodes)), &world(Role::Node, moved)) > 0);
    let mut own = world(Role::Node, remote(Shape::Nodes));
    own.end.moved = true;
    kill_everywhere(&world(Role::Node, remote(Shape::Nodes)), &own);
}

/// The model follows the same steps, so what it says of paths half-way is what Linux does.
#[test]
fn a_kernel_stopped_half_way_is_as_the_model_says() {
    in_namespace(|| {
        make_host();
        let (before, after) =
            (world(Role::Node, remote(Shape::Nodes)), world(Role::Gateway, remote(Shape::Gateways)));
        set_underlay(&before);
        let old = settle(&before);
        let steps = diff(&wanted(&after, &old), &old);
        let half = &steps[..steps.len() / 2];
        let mut model = ModelKernel::new(old);
        half.iter().for_each(|step| model.step(step).unwrap());
        start().0.apply(half).unwrap();
        let (_, linux) = start();
        assert_eq!(linux.routes, model.state().routes);
        assert_eq!(linux.groups, model.state().groups);
        assert_eq!(linux.fdb, model.state().fdb);
    });
}
