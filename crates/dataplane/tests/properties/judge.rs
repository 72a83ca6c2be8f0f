//! The judge of a change: shares no code with what it judges but the types and the model kernel.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use causeway_dataplane::diff::diff;
use causeway_dataplane::model_kernel::{ModelKernel, Way};
use causeway_dataplane::state::{Desired, GroupKind, Hop, NextHop, NextHopId, Observed, Route, metric};
use causeway_dataplane::step::Step;
use causeway_model::Prefix;

type Path = Option<BTreeSet<Way>>;

/// Panics unless the steps from `observed` to `desired` all succeed, take nothing along, break no
/// path on the way, and lead there.
pub fn judge(desired: &Desired, observed: &Observed) {
    let steps = diff(desired, observed);
    let mut kernel = ModelKernel::new(observed.clone());
    let destinations = destinations(desired, observed);
    let paths =
        |kernel: &ModelKernel| -> Vec<Path> { destinations.iter().map(|d| kernel.path(*d)).collect() };

    let before = paths(&kernel);
    let mut seen = Vec::with_capacity(steps.len());
    for (at, step) in steps.iter().enumerate() {
        if let Err(error) = kernel.step(step) {
            panic!("step {at}: {error}\n{}", listing(&steps));
        }
        assert!(kernel.losses().is_empty(), "step {at} ({step}) takes along {:?}", kernel.losses());
        seen.push(if moves_packets(step) { Some(paths(&kernel)) } else { None });
    }
    let after = paths(&kernel);

    let strict = is_gentle(&steps, observed);
    let mended = mends_entries(&steps, observed);
    for (at, paths) in seen.iter().enumerate().filter_map(|(at, paths)| Some((at, paths.as_ref()?))) {
        for (i, path) in paths.iter().enumerate() {
            let (old, new) = (&before[i], &after[i]);
            let fine = if old == new {
                path == old || !is_clean(old) || loses_source(destinations[i], desired, observed)
            } else if !strict || !is_clean(old) || !is_clean(new) {
                true
            } else if new.is_none() {
                // What has no way in the end may take that of its old group's new members until then.
                is_clean(path)
            } else if mended {
                old.is_none() || (path.is_some() && is_clean(path))
            } else {
                path == old || path == new
            };
            assert!(
                fine,
                "{} after step {at} ({}):\nbefore {old:?}\nnow    {path:?}\nafter  {new:?}\n{}",
                destinations[i],
                steps[at],
                listing(&steps)
            );
        }
    }

    let state = kernel.state();
    let differences = differences(desired, &state);
    assert!(differences.is_empty(), "{differences:#?}\n{}", listing(&steps));
    assert_eq!(left_to_do(desired, &state, &steps), [], "a second run has steps");
}

/// What a second run would do after `steps`. The fast path over a tunnel that was made anew is for a second round: it needs the index.
pub fn left_to_do(desired: &Desired, state: &Observed, steps: &[Step]) -> Vec<Step> {
    let anew = steps.iter().any(|step| matches!(step, Step::DelDevice(_)));
    let mut left = diff(desired, state);
    left.retain(|step| !anew || step.kind() != Step::FAST_PATH);
    left
}

/// Panics if a path that is clean in `old` and the same once `desired` is reached is another in `between`. How many such
/// paths there are.
pub fn unbroken(desired: &Desired, old: &Observed, between: &Observed, when: &str) -> usize {
    let mut done = ModelKernel::new(old.clone());
    diff(desired, old).iter().for_each(|step| drop(done.step(step)));
    let (before, now) = (ModelKernel::new(old.clone()), ModelKernel::new(between.clone()));
    let mut same = 0;
    for destination in destinations(desired, old) {
        let path = before.path(destination);
        if path == done.path(destination) && is_clean(&path) {
            assert_eq!(now.path(destination), path, "{destination} after {when}");
            same += usize::from(path.is_some());
        }
    }
    same
}

fn listing(steps: &[Step]) -> String {
    steps.iter().enumerate().map(|(at, step)| format!("{at:4} {step}\n")).collect()
}

/// Steps that no path depends on are not looked at, which spares most of the time.
fn moves_packets(step: &Step) -> bool {
    !matches!(step, Step::SetSysctl(..) | Step::Firewall(_) | Step::AddNextHop(..) | Step::AddGroup(..))
}

/// Whether no device and no address has to go before others can be made, and none gets another MAC or outer
/// address: each of its paths changes by that alone. One that just goes does so after everything else.
fn is_gentle(steps: &[Step], observed: &Observed) -> bool {
    let is_end =
        |step: &Step| matches!(step, Step::DelAddress(..) | Step::DelDevice(_) | Step::SetSysctl(..));
    steps.iter().enumerate().all(|(at, step)| match step {
        Step::DelAddress(..) | Step::DelDevice(_) => steps[at..].iter().all(is_end),
        Step::SetDevice(device, vxlan) => {
            let now = &observed.devices[device].vxlan;
            now.local == vxlan.local && now.up && (now.mtu >= 1280) == (vxlan.mtu >= 1280)
        }
        Step::SetMac(..) => false,
        _ => true,
    })
}

/// Whether the route to `destination` has a source address that is a peer's in the end: no route can keep it
/// while this node makes the peer its gateway.
fn loses_source(destination: IpAddr, desired: &Desired, observed: &Observed) -> bool {
    let covers = observed.routes.iter().filter(|((prefix, _), _)| prefix.contains(destination));
    let source = covers.max_by_key(|((prefix, metric), _)| (prefix.len(), Reverse(*metric)));
    let source = source.and_then(|(_, route)| route.src);
    desired.neighbours.iter().any(|((_, address), _)| Some(*address) == source)
}

/// Whether entries that exist are given another content: then a path through them changes with
/// them, besides changing its route.
fn mends_entries(steps: &[Step], observed: &Observed) -> bool {
    steps.iter().any(|step| match step {
        Step::ReplaceFdb(device, mac, _) => observed.fdb.get(&(*device, *mac)).is_some(),
        Step::DelFdb(device, mac, _) => observed.fdb.get(&(*device, *mac)).is_some(),
        Step::ReplaceNeighbour(device, address, _) => observed.neighbours.get(&(*device, *address)).is_some(),
        _ => false,
    })
}

fn is_clean(path: &Path) -> bool {
    path.as_ref().is_none_or(|ways| !ways.is_empty() && !ways.contains(&Way::Lost))
}

/// Addresses such that any change of any route shows at one of them.
fn destinations(desired: &Desired, observed: &Observed) -> Vec<IpAddr> {
    let prefixes = desired.routes.iter().map(|(prefix, _)| *prefix);
    let prefixes = prefixes.chain(observed.routes.iter().map(|((prefix, _), _)| *prefix));
    let ends = |prefix: Prefix| [prefix.nth(1).unwrap_or(prefix.first()), prefix.last()];
    let neighbours = desired.neighbours.iter().map(|((_, address), _)| *address);
    prefixes.flat_map(ends).chain(neighbours).collect::<BTreeSet<_>>().into_iter().collect()
}

/// A route with the content of its group in place of a number.
#[derive(PartialEq, Eq, Debug)]
struct Resolved {
    hop: Hop<()>,
    members: Vec<NextHop>,
    src: Option<IpAddr>,
    mtu: Option<u32>,
}

fn resolve<G: Copy>(route: &Route<G>, members: impl Fn(G) -> Vec<NextHop>) -> Resolved {
    let Route { hop, src, mtu } = *route;
    let (hop, members) = match hop {
        Hop::Link(device) => (Hop::Link(device), Vec::new()),
        Hop::Gateway(hop) => (Hop::Gateway(hop), Vec::new()),
        Hop::Group(group) => (Hop::Group(()), members(group)),
        Hop::Foreign => (Hop::Foreign, Vec::new()),
    };
    Resolved { hop, members, src, mtu }
}

/// Everything in which the state is not as desired, in words.
pub fn differences(desired: &Desired, state: &Observed) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, wanted: String, is: String| {
        if wanted != is {
            found.push(format!("{what}:\nwanted {wanted}\nis     {is}"));
        }
    };
    let vxlans: BTreeMap<_, _> = state.devices.iter().map(|(d, device)| (*d, device.vxlan.clone())).collect();
    compare("devices", format!("{:?}", desired.devices), format!("{vxlans:?}"));
    compare("addresses", format!("{:?}", desired.addresses), format!("{:?}", state.addresses));
    compare("FDB", format!("{:?}", desired.fdb), format!("{:?}", state.fdb));
    compare("further FDB", "[]".to_owned(), format!("{:?}", state.extra_fdb));
    compare("neighbours", format!("{:?}", desired.neighbours), format!("{:?}", state.neighbours));
    compare("odd next hops", "[]".to_owned(), format!("{:?}", state.odd_next_hops));

    let of_number = |id: NextHopId| -> Vec<NextHop> {
        let members = state.groups.get(&id).map_or(&[][..], |group| &group.members);
        let mut members: Vec<NextHop> = members.iter().map(|id| state.next_hops[id]).collect();
        members.sort_unstable();
        members
    };
    let wanted: BTreeMap<(Prefix, u32), Resolved> = desired
        .routes
        .iter()
        .map(|(p, route)| ((*p, metric(p)), resolve(route, |place| desired.groups[place].members.clone())))
        .collect();
    let is: BTreeMap<(Prefix, u32), Resolved> =
        state.routes.iter().map(|(key, route)| (*key, resolve(route, of_number))).collect();
    compare("routes", format!("{wanted:#?}"), format!("{is:#?}"));

    let kind = if state.capabilities.resilient_groups { GroupKind::Resilient } else { GroupKind::Multipath };
    let mut wanted: Vec<_> = desired.groups.iter().map(|group| (kind, group.members.clone())).collect();
    let mut is: Vec<_> = state.groups.iter().map(|(id, group)| (group.kind, of_number(*id))).collect();
    wanted.sort_by(|a, b| a.1.cmp(&b.1));
    is.sort_by(|a, b| a.1.cmp(&b.1));
    compare("groups", format!("{wanted:?}"), format!("{is:?}"));
    let needed: BTreeSet<NextHop> = desired.groups.iter().flat_map(|group| group.members.clone()).collect();
    let mut singles: Vec<NextHop> = state.next_hops.values().copied().collect();
    singles.sort_unstable();
    compare("next hops", format!("{:?}", needed.into_iter().collect::<Vec<_>>()), format!("{singles:?}"));

    let sorted = |mut rules: Vec<_>| {
        rules.sort_unstable();
        rules
    };
    compare(
        "rules",
        format!("{:?}", sorted(desired.rules.clone())),
        format!("{:?}", sorted(state.rules.clone())),
    );
    for (path, value) in &desired.sysctls {
        compare(&path.0, format!("{:?}", Some(value)), format!("{:?}", state.sysctls.get(path)));
    }
    found
}
