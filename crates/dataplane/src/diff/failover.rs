//! From groups with dead members to groups without, and back: as few messages as can be, decided from
//! the next hops alone. Routes and all the rest are left to [`diff`](super::diff), which comes to the
//! same groups.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use causeway_model::{ClusterName, Family};

use crate::desired::alive;
use crate::diff::next_hops::{FreeNumbers, Known, number_singles};
use crate::nft::Transaction;
use crate::state::{Carrier, Group, NextHop, NextHopId, ObservedGroup, ObservedNextHops};
use crate::step::Step;

/// The steps that take `dead` ones out of the groups of the kernel and put others back in. A group
/// counts as one of a cluster and family if all its members are `carriers` of these; one that is of
/// none is left as it is. Where a group changes, `forget_flows` comes last: what has the fast path forget whom it sent to before.
pub fn failover(
    carriers: &[Carrier],
    dead: &BTreeSet<IpAddr>,
    now: &ObservedNextHops,
    forget_flows: Option<&Transaction>,
) -> Vec<Step> {
    let pools = pools(carriers);
    let (there, wanted): (Vec<(NextHopId, &ObservedGroup)>, Vec<Group>) = now
        .groups
        .iter()
        .filter_map(|(id, group)| Some(((*id, group), changed(group, &pools, dead, now)?)))
        .unzip();

    let known = Known { singles: &now.singles, odd: &now.odd, groups: &now.groups };
    let (numbers, new) = number_singles(&wanted, &known, &mut FreeNumbers::new(&known));
    let added = new.into_iter().map(|(id, hop)| Step::AddNextHop(id, hop));
    let replaced = there.into_iter().zip(&wanted).map(|((id, group), wanted)| {
        let of_wanted = wanted.members.iter().filter_map(|member| numbers.get(member));
        let mut members: Vec<NextHopId> = of_wanted.copied().collect();
        members.sort_unstable();
        Step::ReplaceGroup(id, ObservedGroup { kind: group.kind, members })
    });
    let forget_flows = forget_flows.filter(|_| !wanted.is_empty()).cloned().map(Step::Firewall);
    added.chain(replaced).chain(forget_flows).collect()
}

/// The `carriers` that groups in the kernel leave out: those that were dead when an agent last looked, which may be
/// another than the one that asks, and those that came since. Where there is no group of their cluster and family, none is left out.
pub fn left_out(
    carriers: &[Carrier],
    singles: &BTreeMap<NextHopId, NextHop>,
    groups: &BTreeMap<NextHopId, ObservedGroup>,
) -> BTreeSet<IpAddr> {
    let pools = pools(carriers);
    let known = groups.values().filter_map(|group| pool_of(group, &pools, singles));
    let missing = known.flat_map(|(members, _, pool)| pool.iter().filter(move |hop| !members.contains(hop)));
    missing.map(|hop| hop.gateway).collect()
}

/// Carriers that stand in for each other, sorted.
type Pools<'a> = BTreeMap<(&'a ClusterName, Family), Vec<NextHop>>;

fn pools(carriers: &[Carrier]) -> Pools<'_> {
    let mut pools = Pools::new();
    for Carrier { cluster, hop, .. } in carriers {
        pools.entry((cluster, Family::of(hop.gateway))).or_default().push(*hop);
    }
    for pool in pools.values_mut() {
        pool.sort_unstable();
        pool.dedup();
    }
    pools
}

/// The members of a group, and the pool that all of them are of.
fn pool_of<'a>(
    group: &ObservedGroup,
    pools: &'a Pools<'_>,
    singles: &BTreeMap<NextHopId, NextHop>,
) -> Option<(BTreeSet<NextHop>, Family, &'a [NextHop])> {
    let members = group.members.iter().map(|id| singles.get(id).copied());
    let members = members.collect::<Option<BTreeSet<NextHop>>>()?;
    let has_all = |pool: &Vec<NextHop>| members.iter().all(|member| pool.contains(member));
    let ((_, family), pool) = pools.iter().find(|(_, pool)| !members.is_empty() && has_all(pool))?;
    Some((members, *family, pool))
}

/// What a group should be, if it is something else.
fn changed(
    group: &ObservedGroup,
    pools: &Pools<'_>,
    dead: &BTreeSet<IpAddr>,
    now: &ObservedNextHops,
) -> Option<Group> {
    let (members, family, pool) = pool_of(group, pools, &now.singles)?;
    let wanted = alive(pool, dead);
    (!wanted.iter().eq(&members)).then_some(Group { family, members: wanted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::nft::{Change, TableKind};
    use crate::state::GroupKind;

    fn hop(last: u8) -> NextHop {
        NextHop { device: Device::ALL[0], gateway: [198, 18, 0, last].into() }
    }

    fn carrier(cluster: &str, last: u8) -> Carrier {
        let node = format!("n{last}").parse().unwrap();
        Carrier { cluster: cluster.parse().unwrap(), hop: hop(last), node, mtu: 1450 }
    }

    fn carriers() -> Vec<Carrier> {
        vec![carrier("b", 3), carrier("b", 1), carrier("b", 2), carrier("c", 7), carrier("c", 8)]
    }

    fn dead(last: &[u8]) -> BTreeSet<IpAddr> {
        last.iter().map(|last| hop(*last).gateway).collect()
    }

    fn group(members: &[u32]) -> ObservedGroup {
        ObservedGroup {
            kind: GroupKind::Resilient,
            members: members.iter().map(|id| NextHopId(*id)).collect(),
        }
    }

    /// Next hops under their last number, and groups from 100.
    fn kernel(singles: &[u8], groups: &[&[u32]]) -> ObservedNextHops {
        ObservedNextHops {
            singles: singles.iter().map(|last| (NextHopId(u32::from(*last)), hop(*last))).collect(),
            groups: (100..).map(NextHopId).zip(groups.iter().map(|members| group(members))).collect(),
            odd: Vec::new(),
        }
    }

    #[test]
    fn a_dead_member_leaves_every_group_of_its_cluster_and_no_other() {
        let now = kernel(&[1, 2, 3, 7, 8], &[&[1, 2, 3], &[7, 8], &[1, 2, 3]]);
        let steps = failover(&carriers(), &dead(&[2]), &now, None);
        let replaced = |id, members: &[u32]| Step::ReplaceGroup(NextHopId(id), group(members));
        assert_eq!(steps, [replaced(100, &[1, 3]), replaced(102, &[1, 3])]);
    }

    #[test]
    fn flows_are_forgotten_when_a_group_has_changed_and_else_not() {
        let flows = Change::ForgetFlows("outbound4".to_owned());
        let forget = Transaction::of(TableKind::Netdev, vec![flows]).unwrap();
        let now = kernel(&[1, 2, 3], &[&[1, 2, 3]]);
        let steps = |gone: &[u8]| failover(&carriers(), &dead(gone), &now, Some(&forget));
        assert_eq!(steps(&[]), []);
        assert_eq!(steps(&[2]).len(), 2);
        assert_eq!(steps(&[2]).last(), Some(&Step::Firewall(forget.clone())));
    }

    #[test]
    fn one_that_came_back_is_numbered_anew_and_put_in() {
        let now = kernel(&[1, 3, 7, 8], &[&[1, 3], &[7, 8]]);
        let steps = failover(&carriers(), &dead(&[]), &now, None);
        let [Step::AddNextHop(new, added), Step::ReplaceGroup(NextHopId(100), members)] = &steps[..] else {
            panic!("{steps:?}")
        };
        assert_eq!((*added, members), (hop(2), &group(&[1, 3, new.0])));
    }

    #[test]
    fn who_is_left_out_is_read_from_groups_that_somebody_knows() {
        let left_out = |singles: &[u8], groups: &[&[u32]]| {
            let ObservedNextHops { singles, groups, .. } = kernel(singles, groups);
            super::left_out(&carriers(), &singles, &groups)
        };
        assert_eq!(left_out(&[1, 3, 7, 8], &[&[1, 3], &[7, 8]]), dead(&[2]));
        assert_eq!(left_out(&[1, 2, 3, 7], &[&[1, 2, 3], &[7]]), dead(&[8]));
        assert_eq!(left_out(&[], &[]), dead(&[]), "a kernel with no groups says nothing");
        assert_eq!(left_out(&[1, 9], &[&[1, 9], &[44]]), dead(&[]), "9 and 44 are of no cluster");
    }

    #[test]
    fn all_that_are_dead_stay_and_so_does_a_group_that_nobody_knows() {
        let now = kernel(&[1, 2, 3, 7, 8, 9], &[&[1, 2, 3], &[7, 9], &[44]]);
        assert_eq!(failover(&carriers(), &dead(&[1, 2, 3, 7]), &now, None), []);
    }
}
