//! `causeway render`: the kernel state that one node should have.

mod iproute2;

use causeway_model::NodeId;
use serde::Serialize;

use crate::args::RenderArgs;
use crate::error::Error;
use crate::inventory::{Problem, show_problems};
use crate::node_state::{Origin, View};
use crate::report::{Outcome, Page, Report, Table, Tone};
use iproute2::{AddressedLink, FdbEntry, Link, Neighbour, NextHopEntry, Route, Rule};

/// The kernel state of a node.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RenderReport {
    cluster: String,
    node: String,
    role: causeway_model::Role,
    source: String,
    derived_from: Origin,
    /// The planned objects differ from what the facts lead to.
    stale: bool,
    underlay_mtu: u32,
    link: Vec<Link>,
    address: Vec<AddressedLink>,
    rule: Vec<Rule>,
    nexthop: Vec<NextHopEntry>,
    route: Vec<Route>,
    neigh: Vec<Neighbour>,
    fdb: Vec<FdbEntry>,
    nftables: String,
    sysctl: std::collections::BTreeMap<String, String>,
    notices: Vec<NoticeEntry>,
    problems: Vec<Problem>,
}

/// What of its plan the node cannot have.
#[derive(Serialize)]
struct NoticeEntry {
    reason: &'static str,
    message: String,
}

/// Builds the report.
pub fn run(args: &RenderArgs) -> Result<RenderReport, Error> {
    let inventory = args.common.source.inventory()?;
    let id = NodeId { cluster: args.cluster.clone(), node: args.node.clone() };
    inventory.check_node(&id)?;
    let view = View::of(&inventory, args.view);
    let node = view.node(&id)?;
    let (desired, notices) = view.state(node);
    let numbers = iproute2::Numbers::of(&desired);
    Ok(RenderReport {
        cluster: id.cluster.to_string(),
        node: id.node.to_string(),
        role: node.role,
        source: inventory.source,
        derived_from: view.origin,
        stale: view.stale,
        underlay_mtu: args.view.underlay_mtu,
        link: iproute2::links(&desired),
        address: iproute2::addresses(&desired),
        rule: iproute2::rules(&desired),
        nexthop: iproute2::next_hops(&desired, &numbers),
        route: iproute2::routes(&desired, &numbers),
        neigh: iproute2::neighbours(&desired),
        fdb: iproute2::fdb(&desired),
        nftables: desired.firewall.as_ref().map(ToString::to_string).unwrap_or_default(),
        sysctl: desired.sysctls.iter().map(|(path, value)| (path.0.clone(), value.clone())).collect(),
        notices: notices
            .iter()
            .map(|notice| NoticeEntry { reason: notice.reason(), message: notice.to_string() })
            .collect(),
        problems: inventory.problems,
    })
}

impl Report for RenderReport {
    fn page(&self) -> Page {
        let mut page = Page::default();
        let origin = self.derived_from.words();
        page.line(format!(
            "{}/{}  role {:?}, {origin} ({})",
            self.cluster, self.node, self.role, self.source
        ));
        if self.stale {
            page.toned(
                Tone::Bad,
                "The planned objects differ from what the facts lead to: see `causeway plan`.",
            );
        }
        self.show_links(&mut page);
        self.show_entries(&mut page);
        let mut sysctls = Table::new(&["SYSCTL", "VALUE"]);
        self.sysctl.iter().for_each(|(path, value)| sysctls.row([path.clone(), value.clone()]));
        page.section("SYSCTLS", sysctls);
        if !self.nftables.is_empty() {
            page.heading("NFTABLES");
            page.line(self.nftables.trim_end());
        }
        let mut notices = Table::new(&["REASON", "WHAT"]);
        self.notices
            .iter()
            .for_each(|notice| notices.row([notice.reason.to_owned(), notice.message.clone()]));
        page.section("NOT POSSIBLE", notices);
        show_problems(&mut page, &self.problems);
        page
    }

    fn outcome(&self) -> Outcome {
        if self.notices.is_empty() && self.problems.is_empty() { Outcome::Fine } else { Outcome::Findings }
    }
}

impl RenderReport {
    fn show_links(&self, page: &mut Page) {
        let mut links = Table::new(&["DEVICE", "VNI", "PORT", "LOCAL", "MAC", "MTU", "ADDRESSES"]);
        for (link, addressed) in self.link.iter().zip(&self.address) {
            links.row(link.cells().into_iter().chain([addressed.addresses()]));
        }
        page.section("DEVICES", links);
        let mut rules = Table::new(&["PRIORITY", "FROM", "TABLE", "FAMILY"]);
        self.rule.iter().for_each(|rule| rules.row(rule.cells()));
        page.section("RULES", rules);
    }

    fn show_entries(&self, page: &mut Page) {
        let mut next_hops = Table::new(&["ID", "VIA", "DEVICE"]);
        self.nexthop.iter().for_each(|hop| next_hops.row(hop.cells()));
        page.section("NEXT HOPS", next_hops);
        let mut routes = Table::new(&["DESTINATION", "VIA", "DEVICE", "SOURCE", "MTU"]);
        self.route.iter().for_each(|route| routes.row(route.cells()));
        page.section("ROUTES", routes);
        let mut neighbours = Table::new(&["ADDRESS", "MAC", "DEVICE"]);
        self.neigh.iter().for_each(|neighbour| neighbours.row(neighbour.cells()));
        page.section("NEIGHBOURS", neighbours);
        let mut fdb = Table::new(&["MAC", "UNDERLAY", "DEVICE"]);
        self.fdb.iter().for_each(|entry| fdb.row(entry.cells()));
        page.section("FDB", fdb);
    }
}
