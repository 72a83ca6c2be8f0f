//! The routing decision of a node: rule, route, group.

use std::net::IpAddr;

use causeway_dataplane::device::ROUTE_TABLE;
use causeway_dataplane::state::{Desired, Hop, NextHop, Route};
use causeway_model::{Family, Prefix};

use super::visit::Visit;
use super::way::{Entry, Kind, Member};

/// The route that a packet to `address` takes: the longest prefix that holds it.
pub fn look_up(desired: &Desired, address: IpAddr) -> Option<(Prefix, Route<usize>)> {
    let bits = Family::of(address).bits();
    (0..=bits).rev().find_map(|len| {
        let prefix = Prefix::containing(address, len)?;
        desired.routes.get(&prefix).map(|route| (prefix, *route))
    })
}

impl Visit<'_, '_> {
    /// Where our table sends the packet; `None` where the decision is left to the main table.
    pub(super) fn leave(&mut self) -> Result<Option<NextHop>, String> {
        let state = self.state.clone();
        let desired = &state.0;
        let address = self.passing.packet.destination;
        let family = Family::of(address);
        let Some(rule) = desired.rules.iter().find(|rule| rule.family == family) else { return Ok(None) };
        let Some((prefix, route)) = look_up(desired, address) else { return Ok(None) };
        let text = format!("{}: from all lookup {} ({family})", rule.priority, rule.table);
        self.note(Kind::Rule, text, self.objects().config());
        let object = self.objects().route(&prefix, &route);
        match route.hop {
            Hop::Link(device) => {
                self.note(Kind::Route, self.route_text(&prefix, &route, &format!("dev {device}")), object);
                Ok(Some(NextHop { device, gateway: address }))
            }
            Hop::Gateway(hop) => {
                let via = format!("via {} dev {} onlink", hop.gateway, hop.device);
                self.note(Kind::Route, self.route_text(&prefix, &route, &via), object);
                Ok(Some(hop))
            }
            Hop::Group(place) => {
                let members =
                    desired.groups.get(place).map(|group| group.members.as_slice()).unwrap_or_default();
                let via = format!("via a group of {}", members.len());
                self.note(Kind::Route, self.route_text(&prefix, &route, &via), object);
                let followed = self.follow(members);
                followed
                    .map(Some)
                    .ok_or_else(|| format!("the group of {prefix} on {} is empty", self.node.id))
            }
            Hop::Foreign => Ok(None),
        }
    }

    fn route_text(&self, prefix: &Prefix, route: &Route<usize>, via: &str) -> String {
        let mut text = format!("{prefix} {via}");
        if let Some(src) = route.src {
            text.push_str(&format!(" src {src}"));
        }
        if let Some(mtu) = route.mtu {
            text.push_str(&format!(" mtu {mtu}"));
        }
        text.push_str(&format!(" table {ROUTE_TABLE}"));
        text
    }

    /// The member to follow, with all of them noted.
    fn follow(&mut self, members: &[NextHop]) -> Option<NextHop> {
        let wanted = self.member();
        let place = if wanted < members.len() { wanted } else { 0 };
        let followed = *members.get(place)?;
        let objects = self.objects();
        let member = |(at, hop): (usize, &NextHop)| Member {
            gateway: hop.gateway,
            dev: hop.device.name(),
            node: objects.peer_at(hop.gateway).map(|listed| listed.node().to_string()),
            followed: at == place,
        };
        let all: Vec<Member> = members.iter().enumerate().map(member).collect();
        let named: Vec<String> = all
            .iter()
            .map(|m| match &m.node {
                Some(node) => format!("{} ({node})", m.gateway),
                None => m.gateway.to_string(),
            })
            .collect();
        let mut slices: Vec<String> =
            members.iter().map(|hop| objects.slice_of_member(hop.gateway)).collect();
        slices.dedup();
        let text = format!("{}; followed: {}", named.join(", "), named[place]);
        self.entries.push(Entry { kind: Kind::Group, text, object: slices.join(", "), members: all });
        Some(followed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_dataplane::Device;

    #[test]
    fn the_longest_prefix_decides() {
        let route = |hop| Route { hop, src: None, mtu: None };
        let [bridge, _, local, _] = Device::ALL;
        let desired = Desired {
            routes: [("10.0.0.0/8", bridge), ("10.1.0.0/16", local), ("10.1.2.3/32", bridge)]
                .into_iter()
                .map(|(prefix, device)| (prefix.parse().unwrap(), route(Hop::Link(device))))
                .collect(),
            ..Desired::default()
        };
        let found = |address: &str| look_up(&desired, address.parse().unwrap()).map(|(p, _)| p.to_string());
        assert_eq!(found("10.1.2.3").as_deref(), Some("10.1.2.3/32"));
        assert_eq!(found("10.1.2.4").as_deref(), Some("10.1.0.0/16"));
        assert_eq!(found("10.9.0.1").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(found("11.0.0.1"), None);
        assert_eq!(found("fd00::1"), None);
    }
}
