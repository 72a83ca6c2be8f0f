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
fn start() -> LinuxKernel {
    LinuxKernel::open(sysctls::all([])).unwrap()
}

/// Brings the kernel to `world` and returns its state.
fn settle(world: &World) -> Observed {
    let mut kernel = start();
    let observed = kernel.observe().unwrap();
    kernel.apply(&diff(&wanted(world, &observed), &observed)).unwrap();
    let after = kernel.observe().unwrap();
    assert_eq!(diff(&wanted(world, &after), &after), []);
    after
}

/// Kills the change from one world to the next after `done` steps; `None` if it has no more than those.
fn kill_after(done: usize, before: &World, after: &World) -> Option<()> {
    set_underlay(before);
    settle(before);
    set_underlay(after);
    let old = start().observe().unwrap();
    let steps: Vec<Step> = diff(&wanted(after, &old), &old);
    if done > steps.len() {
        return None;
    }
    start().apply(&steps[..done]).unwrap();

    // What Linux is now is what the model says that these steps come to, so it judges the rest.
    let between = start().observe().unwrap();
    let wanted_now = wanted(after, &between);
    judge::unbroken(&wanted(after, &old), &old, &between, &format!("{done} of {} steps", steps.len()));
    judge::judge(&wanted_now, &between);

    let reached = settle(after);
    assert_eq!(judge::differences(&wanted(after, &reached), &reached), Vec::<String>::new());
    Some(())
}

/// Kills it after each number of steps, each time from the beginning.
fn kill_everywhere(before: &World, after: &World) {
    let mut kills = 0;
    loop {
        let mut went_on = None;
        in_namespace(|| {
            make_host();
            went_on = kill_after(kills, before, after);
        });
        if went_on.is_none() {
            break;
        }
        kills += 1;
    }
    assert!(kills > 2, "the change has no steps to be killed between");
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
    kill_everywhere(&p2p, &gateway);
    kill_everywhere(&gateway, &p2p);
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
    kill_everywhere(&before, &world(Role::Node, Remote { carriers, ..remote(Shape::Gateways) }));
}

#[test]
fn a_prefix_added_and_removed() {
    let with = world(Role::Node, Remote { shown: [true; 4], ..remote(Shape::Gateways) });
    let without = world(Role::Node, remote(Shape::Gateways));
    kill_everywhere(&without, &with);
    kill_everywhere(&with, &without);
}

#[test]
fn a_node_renumbered_on_the_underlay() {
    let mut moved = remote(Shape::Nodes);
    moved.nodes.iter_mut().flatten().for_each(|end| end.moved = true);
    kill_everywhere(&world(Role::Node, remote(Shape::Nodes)), &world(Role::Node, moved));
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
        start().apply(half).unwrap();
        let linux = start().observe().unwrap();
        assert_eq!(linux.routes, model.state().routes);
        assert_eq!(linux.groups, model.state().groups);
        assert_eq!(linux.fdb, model.state().fdb);
    });
}
