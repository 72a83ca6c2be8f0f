//! The model kernel against Linux: the same steps, the same refusals, the same state. Needs root.

use std::process::Command;

use causeway_dataplane::desired::sysctls;
use causeway_dataplane::diff::diff;
use causeway_dataplane::model_kernel::ModelKernel;
use causeway_dataplane::netlink::LinuxKernel;
use causeway_dataplane::state::Observed;
use causeway_dataplane::{Kernel, Step};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::world::{World, any_world};
use crate::{drift, judge, wanted};

const ROUNDS: usize = 60;
const DRIFTS: usize = 3;

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().expect("ip of iproute2");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs `test` in a network namespace that ends with it.
pub fn in_namespace(test: impl FnOnce() + Send) {
    let result = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
                .expect("this test needs root (CAP_SYS_ADMIN), to make a network namespace");
            test();
        });
        thread.join()
    });
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// The host of [`World::tell_host`], in earnest.
pub fn make_host() {
    ip("link set lo up");
    ip("link add eth0 type veth peer name peer0");
    ip("link set eth0 up");
    ip("link set peer0 up");
}

pub fn set_underlay(world: &World) {
    ip(&format!("link set eth0 mtu {}", world.underlay_mtu));
    let mut host = Observed::default();
    world.tell_host(&mut host);
    ip("address flush dev eth0");
    for own in host.host_addresses.into_iter().filter(|own| own.link == "eth0") {
        let (length, nodad) = if own.address.is_ipv4() { (24, "") } else { (64, "nodad") };
        ip(&format!("address replace {}/{length} dev eth0 {nodad}", own.address));
    }
}

/// A state without what the model leaves out: interface indexes, the host, nftables handles, and the
/// MTU of IPv6 routes, which Linux adjusts to that of their device (`rt6_mtu_change`).
fn comparable(observed: &Observed) -> String {
    let Observed { devices, addresses, fdb, neighbours, next_hops, groups, routes, .. } = observed;
    let vxlans: Vec<_> = devices.iter().map(|(device, there)| (device, &there.vxlan)).collect();
    let routes: Vec<_> = routes
        .iter()
        .map(|((prefix, metric), route)| {
            let mtu = route.mtu.filter(|_| prefix.first().is_ipv4());
            (prefix, metric, route.hop, route.src, mtu)
        })
        .collect();
    format!("{vxlans:#?}{addresses:#?}{fdb:#?}{neighbours:#?}{next_hops:#?}{groups:#?}{routes:#?}")
}

/// Does the steps on Linux and in the model; both must agree in what they refuse and what is left.
fn apply(kernel: &mut LinuxKernel, before: Observed, steps: &[Step]) -> Observed {
    let mut model = ModelKernel::new(before);
    let refused = |result: Result<(), causeway_dataplane::ApplyError>| -> Vec<usize> {
        result.err().map_or_else(Vec::new, |error| error.failed.iter().map(|failed| failed.index).collect())
    };
    let (by_model, by_linux) = (model.apply(steps), kernel.apply(steps));
    let words = by_linux.as_ref().err().map(ToString::to_string);
    assert_eq!(refused(by_model), refused(by_linux), "{words:?} of {steps:#?}");
    let after = kernel.observe().unwrap();
    let (linux, model) = (comparable(&after), comparable(&model.state()));
    assert!(linux == model, "after {steps:#?}\nLinux {linux}\nmodel {model}");
    after
}

/// A rule with a selector cannot be told exactly to Linux.
fn can_be_said(step: &Step) -> bool {
    !matches!(step, Step::AddRule(rule) if !rule.plain)
}

#[test]
fn linux_goes_through_random_histories_as_the_model_does() {
    in_namespace(|| {
        make_host();
        let mut runner = TestRunner::deterministic();
        let mut kernel = LinuxKernel::open(sysctls::all([])).unwrap();
        for _ in 0..ROUNDS {
            let world = any_world().new_tree(&mut runner).unwrap().current();
            set_underlay(&world);
            let observed = kernel.observe().unwrap();
            let wanted = wanted(&world, &observed);
            let steps = diff(&wanted, &observed);
            let mut after = apply(&mut kernel, observed, &steps);
            assert_eq!(judge::differences(&wanted, &after), Vec::<String>::new(), "{steps:#?}");
            assert_eq!(diff(&wanted, &after), []);
            for _ in 0..DRIFTS {
                let drift = drift::any_drift().new_tree(&mut runner).unwrap().current();
                if let Some(step) = drift.step(&after).filter(can_be_said) {
                    after = apply(&mut kernel, after, &[step]);
                }
            }
        }
    });
}
