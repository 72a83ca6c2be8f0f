//! What the peers and links of a node put into its tables: forwarding entries, neighbours, routes
//! and groups.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use causeway_model::{
    ClusterName, DualStack, Families, Family, LinkPlan, LinkPrefix, Mac, NodeName, Peer, Prefix, PrefixKind,
    PrefixSet, Scope, Via,
};
use rustc_hash::FxHashMap;

use crate::desired::notice::{Notice, Refusal};
use crate::desired::site::Site;
use crate::desired::slices::{self, Slices};
use crate::device::{Device, Overlay};
use crate::nft::Origin;
use crate::state::{Carrier, Group, Hop, NextHop, Route};

/// The smallest path MTU that IPv6 knows (RFC 8200 §5), in bytes.
const IPV6_MIN_PATH_MTU: u32 = 1280;

/// Those of `members` that should be in a group: those that are not `dead`. If all are, any may be
/// alive after all, and all stay.
pub(crate) fn alive(members: &[NextHop], dead: &BTreeSet<IpAddr>) -> Vec<NextHop> {
    let alive = |member: &&NextHop| !dead.contains(&member.gateway);
    if members.iter().any(|member| alive(&member)) {
        members.iter().filter(alive).copied().collect()
    } else {
        members.to_vec()
    }
}

/// The tables as they grow.
pub(super) struct Entries<'a> {
    site: &'a Site<'a>,
    slices: &'a Slices<'a>,
    pub devices: BTreeSet<Device>,
    pub fdb: Vec<((Device, Mac), IpAddr)>,
    pub neighbours: Vec<((Device, IpAddr), Mac)>,
    pub routes: Vec<(Prefix, Route<usize>)>,
    pub groups: Vec<Group>,
    /// Everybody who may be in a group.
    pub carriers: Vec<Carrier>,
    /// Prefixes of other clusters that this node may route.
    pub remote: Vec<Prefix>,
    /// The same with those who may send from there over `vx-bridge`.
    pub origins: Vec<Origin>,
    group_places: FxHashMap<Vec<NextHop>, usize>,
    apart: BTreeMap<ClusterName, (usize, NodeName)>,
    refused: BTreeMap<(ClusterName, Refusal), (usize, Prefix)>,
}

/// How a peer is reached.
struct Reach {
    device: Device,
    families: Families,
}

impl<'a> Entries<'a> {
    pub fn new(site: &'a Site<'a>, slices: &'a Slices<'a>) -> Self {
        // One entry a peer and family is what nearly all clusters come to; tables shrink to fit.
        let peers = slices.peers_in_all();
        let by_family = peers * site.vtep.families.iter().count();
        Entries {
            site,
            slices,
            devices: BTreeSet::new(),
            fdb: Vec::with_capacity(peers),
            neighbours: Vec::with_capacity(by_family),
            routes: Vec::with_capacity(by_family),
            groups: Vec::new(),
            carriers: Vec::new(),
            remote: Vec::new(),
            origins: Vec::new(),
            group_places: FxHashMap::default(),
            apart: BTreeMap::new(),
            refused: BTreeMap::new(),
        }
    }

    /// Adds what reaches the remote cluster of `link` from a node that has `vx-bridge`.
    pub fn add_link_over_bridge(&mut self, link: &LinkPlan) {
        let usable = self.usable_prefixes(link);
        self.add_origins(link, &usable);
        let overlay = Block::of_link(&usable);
        if slices::needs(link, Scope::Nodes) {
            self.add_nodes(link, &usable, &overlay);
        }
        if slices::needs(link, Scope::Gateways) {
            let members = self.add_carriers(&link.id.remote, Overlay::Bridge, &overlay, link.mtu);
            for prefix in usable.iter().filter(|p| p.via == Via::Gateways) {
                self.add_group_route(link, prefix.prefix, &members);
            }
        }
    }

    /// A cluster's nodes send from that cluster's prefixes. Its overlay block says which MACs are theirs, or, where the
    /// two clusters have no IPv4 in common and the link none of the block, its known nodes.
    fn add_origins(&mut self, link: &LinkPlan, usable: &[LinkPrefix]) {
        let is_block = |p: &&LinkPrefix| p.kind == PrefixKind::Overlay && p.prefix.family() == Family::V4;
        let mut senders: PrefixSet = link.prefixes.iter().filter(is_block).map(|p| p.prefix).collect();
        if senders.as_slice().is_empty() {
            let peers = [Scope::Nodes, Scope::Gateways];
            let peers = peers.into_iter().flat_map(|scope| self.slices.peers(&link.id.remote, scope));
            senders = peers.map(|peer| Prefix::host(peer.vtep.overlay.v4.into())).collect();
        }
        let sources: PrefixSet = usable.iter().map(|p| p.prefix).collect();
        let of_sources = |sources: &Prefix| {
            let sources = *sources;
            senders.as_slice().iter().map(move |senders| Origin { sources, senders: *senders })
        };
        self.origins.extend(sources.as_slice().iter().flat_map(of_sources));
    }

    /// Adds what an internal node needs: its own gateways, and a route over them to all that
    /// `links` reach.
    pub fn add_own_gateways(&mut self, links: &[&LinkPlan]) {
        let own = &self.site.plan.id.cluster;
        let block = self.add_own_block();
        let members = self.add_carriers(own, Overlay::Local, &block, None);
        for link in links {
            for prefix in self.usable_prefixes(link) {
                self.add_group_route(link, prefix.prefix, &members);
            }
        }
    }

    /// Adds what a gateway needs to reach the other nodes of its cluster over `vx-local`.
    pub fn add_own_nodes(&mut self) {
        let own = &self.site.plan.id.cluster;
        let block = self.add_own_block();
        for peer in self.slices.peers(own, Scope::Nodes) {
            if let Some(reach) = self.reach(Overlay::Local, own, peer) {
                self.add_host_routes(&reach, peer, &block);
            }
        }
    }

    /// Notices about peers and prefixes, counted by cluster.
    pub fn notices(self) -> impl Iterator<Item = Notice> {
        let apart = self.apart.into_iter().map(|(cluster, (peers, example))| Notice::NoCommonUnderlay {
            cluster,
            peers,
            example,
        });
        let refused = self.refused.into_iter().map(|((cluster, why), (prefixes, example))| Notice::Refused {
            cluster,
            why,
            prefixes,
            example,
        });
        apart.chain(refused)
    }

    /// Counts a refused prefix of `cluster`.
    pub fn refuse(&mut self, cluster: &ClusterName, why: Refusal, prefix: Prefix) {
        let (count, first) = self.refused.entry((cluster.clone(), why)).or_insert((0, prefix));
        *count += 1;
        *first = prefix.min(*first);
    }

    /// The prefixes of a link that this node may route, in families that it uses.
    fn usable_prefixes(&mut self, link: &LinkPlan) -> Vec<LinkPrefix> {
        let mut usable = Vec::with_capacity(link.prefixes.len());
        for prefix in &link.prefixes {
            match self.site.refuses(&prefix.prefix) {
                Some(why) => self.refuse(&link.id.remote, why, prefix.prefix),
                None if self.site.vtep.families.contains(prefix.prefix.family()) => usable.push(*prefix),
                None => {}
            }
        }
        self.remote.extend(usable.iter().map(|usable| usable.prefix));
        usable
    }

    /// Each node of the remote cluster with its own prefixes, and the block of their overlay
    /// addresses.
    fn add_nodes(&mut self, link: &LinkPlan, usable: &[LinkPrefix], block: &Block) {
        let remote = &link.id.remote;
        let of_nodes: PrefixSet = usable
            .iter()
            .filter(|p| p.via == Via::Nodes && p.kind != PrefixKind::Overlay)
            .map(|p| p.prefix)
            .collect();
        self.add_block(Overlay::Bridge, block, link.mtu);
        for peer in self.slices.peers(remote, Scope::Nodes) {
            let Some(reach) = self.reach(Overlay::Bridge, remote, peer) else { continue };
            self.add_host_routes(&reach, peer, block);
            for prefix in &peer.prefixes {
                let family = prefix.family();
                if !reach.families.contains(family) {
                    continue;
                }
                if of_nodes.covering(prefix).is_none() {
                    self.refuse(remote, Refusal::OutsideLink, *prefix);
                    continue;
                }
                let gateway = peer.vtep.overlay.get(family);
                let hop = Hop::Gateway(NextHop { device: reach.device, gateway });
                let mtu = self.path_mtu(family, link.mtu, &[reach.device]);
                self.add_route(*prefix, hop, mtu);
            }
        }
    }

    /// The peers of `cluster` in scope Gateways, which become members of its groups.
    fn add_carriers(
        &mut self,
        cluster: &ClusterName,
        overlay: Overlay,
        block: &Block,
        link_mtu: Option<u32>,
    ) -> DualStack<Vec<NextHop>> {
        let mut members = DualStack::<Vec<NextHop>>::default();
        for peer in self.slices.peers(cluster, Scope::Gateways) {
            let Some(reach) = self.reach(overlay, cluster, peer) else { continue };
            self.add_host_routes(&reach, peer, block);
            for family in reach.families.iter() {
                let gateway = peer.vtep.overlay.get(family);
                let hop = NextHop { device: reach.device, gateway };
                members.get_mut(family).push(hop);
                let (cluster, node) = (cluster.clone(), peer.node.clone());
                let narrow = self.path_mtu(family, link_mtu, &[reach.device]);
                let mtu = narrow.unwrap_or_else(|| self.site.mtu(reach.device));
                self.carriers.push(Carrier { cluster, hop, node, mtu });
            }
        }
        members.map(|mut members| {
            members.sort_unstable();
            members.dedup();
            alive(&members, self.site.dead)
        })
    }

    /// Adds the forwarding entry and neighbours of a peer; `None` if it cannot be reached.
    fn reach(&mut self, overlay: Overlay, cluster: &ClusterName, peer: &Peer) -> Option<Reach> {
        if self.site.is_me(cluster, peer) {
            return None;
        }
        let to_underlay = self
            .site
            .device_to(overlay, peer)
            .and_then(|device| peer.vtep.underlay.get(device.underlay).map(|address| (device, address)));
        let Some((device, underlay)) = to_underlay else {
            self.apart.entry(cluster.clone()).or_insert_with(|| (0, peer.node.clone())).0 += 1;
            return None;
        };
        let families = self.site.families_of(device).intersection(peer.vtep.families);
        if families.is_empty() {
            return None;
        }
        let mac = peer.vtep.mac();
        self.devices.insert(device);
        self.fdb.push(((device, mac), underlay));
        let addresses = families.iter().map(|family| peer.vtep.overlay.get(family));
        self.neighbours.extend(addresses.map(|address| ((device, address), mac)));
        Some(Reach { device, families })
    }

    /// Routes to the overlay addresses of a peer, where none to their block leads to its device.
    fn add_host_routes(&mut self, reach: &Reach, peer: &Peer, block: &Block) {
        let on_primary = self.site.primary(reach.device.overlay) == reach.device;
        for family in reach.families.iter() {
            let address = peer.vtep.overlay.get(family);
            let reached = on_primary && block.on_link.find(address).is_some();
            if !reached && block.known.find(address).is_some() {
                self.add_route(Prefix::host(address), Hop::Link(reach.device), None);
            }
        }
    }

    /// The on-link routes to this node's own overlay blocks over `vx-local`.
    fn add_own_block(&mut self) -> Block {
        let own = &self.site.plan.own.overlay;
        let own: PrefixSet = own.iter().filter(|p| !self.site.covers_underlay(p)).copied().collect();
        let block = Block { on_link: own.clone(), known: own };
        self.add_block(Overlay::Local, &block, None);
        block
    }

    fn add_block(&mut self, overlay: Overlay, block: &Block, link_mtu: Option<u32>) {
        let device = self.site.primary(overlay);
        let families = self.site.families_of(device);
        for prefix in block.on_link.as_slice().iter().filter(|p| families.contains(p.family())) {
            let mtu = self.path_mtu(prefix.family(), link_mtu, &[device]);
            self.add_route(*prefix, Hop::Link(device), mtu);
        }
    }

    fn add_group_route(&mut self, link: &LinkPlan, prefix: Prefix, members: &DualStack<Vec<NextHop>>) {
        let family = prefix.family();
        let members = members.get(family);
        if members.is_empty() {
            self.refuse(&link.id.remote, Refusal::NoGateway(family), prefix);
            return;
        }
        let devices: Vec<Device> = members.iter().map(|member| member.device).collect();
        let mtu = self.path_mtu(family, link.mtu, &devices);
        let group = self.group(family, members);
        self.add_route(prefix, Hop::Group(group), mtu);
    }

    /// The place of the group with these members: one group, however many prefixes use it.
    fn group(&mut self, family: Family, members: &[NextHop]) -> usize {
        if let Some(place) = self.group_places.get(members) {
            return *place;
        }
        let place = self.groups.len();
        self.groups.push(Group { family, members: members.to_vec() });
        self.group_places.insert(members.to_vec(), place);
        place
    }

    fn add_route(&mut self, prefix: Prefix, hop: Hop<usize>, mtu: Option<u32>) {
        let src = Some(self.site.vtep.overlay.get(prefix.family()));
        self.routes.push((prefix, Route { hop, src, mtu }));
    }

    /// The MTU of a route, where the link is narrower than any of the devices that it uses.
    fn path_mtu(&self, family: Family, link_mtu: Option<u32>, devices: &[Device]) -> Option<u32> {
        let least = if family == Family::V6 { IPV6_MIN_PATH_MTU } else { 0 };
        let widest = devices.iter().map(|device| self.site.mtu(*device)).max()?;
        link_mtu.map(|mtu| mtu.max(least)).filter(|mtu| *mtu < widest)
    }
}

/// The overlay blocks of a cluster.
struct Block {
    /// Those that are on the primary device, node by node.
    on_link: PrefixSet,
    /// All of them: nothing else can be a peer's overlay address.
    known: PrefixSet,
}

impl Block {
    fn of_link(prefixes: &[LinkPrefix]) -> Block {
        let all = prefixes.iter().filter(|p| p.kind == PrefixKind::Overlay);
        let on_link = all.clone().filter(|p| p.via == Via::Nodes).map(|p| p.prefix).collect();
        Block { on_link, known: all.map(|p| p.prefix).collect() }
    }
}
