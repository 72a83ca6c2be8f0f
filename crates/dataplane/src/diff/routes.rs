//! Routes: what is replaced, what is removed, and in which order.

use causeway_model::Prefix;

use crate::diff::next_hops::NextHops;
use crate::state::{Hop, NextHopId, Route, metric};
use crate::step::Step;
use crate::table::Table;

/// Routes that change.
pub(super) struct Routes {
    made: Vec<(Prefix, u32, Route<NextHopId>)>,
    removed: Vec<(Prefix, u32)>,
    lead_elsewhere: bool,
}

impl Routes {
    /// Compares in one walk; `next_hops` tells the number of each desired group.
    pub fn compare(
        wanted: &Table<Prefix, Route<usize>>,
        now: &Table<(Prefix, u32), Route<NextHopId>>,
        next_hops: &NextHops,
    ) -> Routes {
        let (mut made, mut removed) = (Vec::new(), Vec::new());
        let mut lead_elsewhere = false;
        let mut now = now.iter().peekable();
        for (prefix, route) in wanted.iter() {
            while let Some(((stale, metric), _)) = now.next_if(|((other, _), _)| other < prefix) {
                removed.push((*stale, *metric));
            }
            let (route, metric) = (numbered(route, next_hops), metric(prefix));
            let mut right = false;
            while let Some(((_, other), there)) = now.next_if(|((other, _), _)| other == prefix) {
                if *other == metric {
                    right = *there == route;
                    lead_elsewhere |= !right;
                } else {
                    removed.push((*prefix, *other));
                }
            }
            if !right {
                made.push((*prefix, metric, route));
            }
        }
        removed.extend(now.map(|(key, _)| *key));
        // A longer prefix decides before a shorter one. It is made before and removed after, so that
        // no destination falls through to a route that is neither its old nor its new one; and of
        // several routes to one prefix, the one in use (of lowest metric) is removed last.
        made.sort_by_key(|(prefix, ..)| std::cmp::Reverse(prefix.len()));
        removed.sort_by_key(|(prefix, metric)| (prefix.len(), std::cmp::Reverse(*metric)));
        lead_elsewhere |= !removed.is_empty();
        Routes { made, removed, lead_elsewhere }
    }

    /// Whether a prefix that had a route has another one then, or none.
    pub fn lead_elsewhere(&self) -> bool {
        self.lead_elsewhere
    }

    pub fn make(&self, take: &mut dyn FnMut(Step)) {
        self.made
            .iter()
            .for_each(|(prefix, metric, route)| take(Step::ReplaceRoute(*prefix, *metric, *route)));
    }

    pub fn remove(&self, take: &mut dyn FnMut(Step)) {
        self.removed.iter().for_each(|(prefix, metric)| take(Step::DelRoute(*prefix, *metric)));
    }
}

/// The route as the kernel holds it.
fn numbered(Route { hop, src, mtu }: &Route<usize>, next_hops: &NextHops) -> Route<NextHopId> {
    let hop = match hop {
        Hop::Link(device) => Hop::Link(*device),
        Hop::Gateway(next_hop) => Hop::Gateway(*next_hop),
        Hop::Group(place) => Hop::Group(next_hops.number_of_group(*place)),
        Hop::Foreign => Hop::Foreign,
    };
    Route { hop, src: *src, mtu: *mtu }
}
