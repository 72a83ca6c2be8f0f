//! How many flows change their gateway though theirs did not die: asked of the kernel for many flows, with the
//! resilient groups that the agents make, and with plain groups.

use std::net::IpAddr;

use causeway_model::Family;

use super::act::{perform, run};
use super::judge::{Measured, Moved};
use super::row::Act;
use super::run::{Matrix, moved_besides};
use super::users::{self, look_up};
use crate::error::Result;
use crate::lab::Lab;

/// Flows of each family that are asked about.
const FLOWS: u16 = 256;

/// A gateway dies, and the agents change their groups.
pub(super) fn resilient(matrix: &Matrix) -> Result<Measured> {
    let lab = &matrix.lab;
    matrix.refresh_users()?;
    let mut flows = Vec::new();
    for family in Family::BOTH {
        let to = lab.address("alpha/n1/p1", "beta/in/p1", family)?;
        let from = lab.address("beta/in/p1", "alpha/n1/p1", family)?;
        flows.extend((0..FLOWS).map(|number| (from, beside(to, number))));
    }
    let before = look_up(lab, "alpha/n1", &flows)?;
    let gateway = users::busiest(lab, &before)?;
    perform(lab, &[Act::Fault("kill {gateway}")], gateway)?;
    matrix.wait_until_left(gateway)?;
    let after = look_up(lab, "alpha/n1", &flows)?;
    let moved = moved_besides(&before, &after, &users::overlay(lab, gateway)?);
    perform(lab, &[Act::Fault("revive {gateway}")], gateway)?;
    matrix.wait_for_groups()?;
    let mut misses = Vec::new();
    if moved.stayed == 0 || before.len() != flows.len() {
        misses.push(format!("of {} flows {} have a gateway", flows.len(), before.len()));
    }
    if moved.moved > 0 {
        misses.push(format!("{} flows moved though their gateway is alive", moved.moved));
    }
    Ok(Measured { moved: Some(moved), misses, by: "failover on each node".to_owned(), ..Measured::default() })
}

/// The same change of a plain group, in a network namespace of its own: what a kernel without resilient groups does.
pub(super) fn plain(lab: &Lab) -> Result<Measured> {
    let script = format!(
        "unshare -n sh -ec '
ip link add one0 type veth peer name two0
ip link set one0 up
ip link set two0 up
ip address add 198.18.0.1/32 dev one0
for n in 1 2 3; do ip nexthop add id $n via 198.18.1.$n dev one0 onlink; done
ip nexthop add id 10 group 1/2/3
ip route add 10.2.0.0/16 nhid 10
look() {{ for n in $(seq 0 {last}); do echo route get 10.2.0.$n from 198.18.0.1; done | ip -o -batch - | sed \"s/.* via //; s/ .*//\"; }}
look >/run/causeway-lab/before
ip nexthop replace id 10 group 2/3
look >/run/causeway-lab/after
paste /run/causeway-lab/before /run/causeway-lab/after'",
        last = FLOWS - 1
    );
    let shown = run(lab, "underlay", &script)?;
    let mut moved = Moved::default();
    for (before, after) in shown.lines().filter_map(|line| line.split_once('\t')) {
        if before != "198.18.1.1" {
            moved.stayed += 1;
            moved.moved += usize::from(before != after);
        }
    }
    Ok(Measured { moved: Some(moved), by: "for comparison".to_owned(), ..Measured::default() })
}

/// Another address of the same small prefix.
fn beside(address: IpAddr, number: u16) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            IpAddr::V4([a, b, c, number as u8].into())
        }
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[7] = number + 1;
            IpAddr::V6(segments.into())
        }
    }
}
