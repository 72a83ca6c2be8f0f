//! Properties of the way from any kernel state to any desired one, and scenarios with names.

#![allow(clippy::unwrap_used, reason = "all of this is tests")]

mod drift;
mod interrupted;
mod judge;
mod linux;
mod plans;
mod scenarios;
mod world;

use causeway_dataplane::desired::{HostFacts, desired};
use causeway_dataplane::device::Device;
use causeway_dataplane::diff::{conflicts, diff};
use causeway_dataplane::model_kernel::ModelKernel;
use causeway_dataplane::state::{Desired, Observed};
use proptest::prelude::*;

use drift::Drift;
use world::World;

/// A change of the clusterset, how far the steps that follow from it get, and what others do to
/// the kernel then.
#[derive(Clone, Debug)]
struct Turn {
    world: World,
    /// Share of the steps that are done, in percent.
    done: usize,
    drifts: Vec<Drift>,
}

fn turn(drifts: usize) -> impl Strategy<Value = Turn> {
    let done = prop_oneof![2 => Just(100usize), 1 => 0..100usize];
    (world::any_world(), done, prop::collection::vec(drift::any_drift(), 0..=drifts))
        .prop_map(|(world, done, drifts)| Turn { world, done, drifts })
}

fn wanted(world: &World, observed: &Observed) -> Desired {
    let plans = world.plans();
    desired(&plans.node, &plans.links, &plans.slices, &HostFacts::from(observed)).0
}

/// Goes through `turns` from an empty host; every change is judged, and at the end everything is
/// as it should be.
fn judge_history(turns: &[Turn], resilient: bool) {
    let mut observed = world::empty_host(resilient);
    for Turn { world, done, drifts } in turns {
        world.tell_host(&mut observed);
        let wanted = wanted(world, &observed);
        judge::judge(&wanted, &observed);

        let steps = diff(&wanted, &observed);
        let mut kernel = ModelKernel::new(observed);
        for step in &steps[..steps.len() * done / 100] {
            kernel.step(step).unwrap();
        }
        observed = drift::drift(kernel.state(), drifts);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn from_plan_to_plan_every_path_goes_straight_from_old_to_new(
        turns in prop::collection::vec(turn(0), 2..4),
        resilient: bool,
    ) {
        let whole: Vec<Turn> = turns.into_iter().map(|turn| Turn { done: 100, ..turn }).collect();
        judge_history(&whole, resilient);
    }

    #[test]
    fn from_any_state_no_step_fails_and_the_plan_is_reached(
        turns in prop::collection::vec(turn(6), 2..4),
        resilient: bool,
    ) {
        judge_history(&turns, resilient);
    }

    #[test]
    fn devices_of_others_are_left_alone_and_the_rest_is_reached(
        world in world::any_world(),
        foreign in prop::sample::subsequence(Device::ALL.to_vec(), 0..=3),
    ) {
        let mut observed = world::empty_host(true);
        world.tell_host(&mut observed);
        observed.foreign_devices = foreign.clone();
        let wanted = wanted(&world, &observed);
        let steps = diff(&wanted, &observed);
        for step in &steps {
            let text = format!("{step} ");
            prop_assert!(foreign.iter().all(|device| !text.contains(&format!("{device} "))), "{}", text);
        }
        let mut kernel = ModelKernel::new(observed);
        for step in &steps {
            kernel.step(step).unwrap();
        }
        prop_assert_eq!(judge::left_to_do(&wanted, &kernel.state(), &steps), []);
        prop_assert_eq!(conflicts(&kernel.state()), foreign);
    }
}
