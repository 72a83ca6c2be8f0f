//! `causeway explain`: the way of a packet, there and back.

mod arrival;
mod departure;
mod filter;
mod locate;
mod origin;
mod route;
mod source;
mod visit;
mod walk;
mod way;
mod why;

use std::net::IpAddr;

use causeway_model::{Family, NodeId};
use schemars::JsonSchema;
use serde::Serialize;

use crate::args::ExplainArgs;
use crate::error::Error;
use crate::inventory::{Inventory, Problem, show_problems};
use crate::node_state::{Origin, View};
use crate::report::{Outcome, Page, Report, Table, Tone};
use filter::Packet;
pub use source::Source;
use source::{Place, destination, place};
use walk::{Arrived, From, Walked, Walker};
use way::Way;
pub use why::remedy;
use why::{Cause, causes};

/// The way of a packet, there and back.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    from: Endpoint,
    to: Endpoint,
    source: String,
    derived_from: Origin,
    /// The planned objects differ from what the facts lead to.
    stale: bool,
    request: Way,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<Way>,
    reachable: bool,
    /// Why not, and what to do.
    causes: Vec<Cause>,
    problems: Vec<Problem>,
}

/// One end.
#[derive(Serialize, JsonSchema)]
struct Endpoint {
    address: IpAddr,
    /// Whose it is.
    what: String,
}

/// Builds the report.
pub fn run(args: &ExplainArgs) -> Result<Explanation, Error> {
    let inventory = args.common.source.inventory()?;
    let view = View::of(&inventory, args.view);
    let member = usize::from(args.member).saturating_sub(1);
    explain(&inventory, &view, &args.from, &args.to, member)
}

fn explain(
    inventory: &Inventory,
    view: &View,
    from: &Source,
    to: &Source,
    member: usize,
) -> Result<Explanation, Error> {
    let wanted = to.cluster();
    let to = destination(inventory, view, from, to)?;
    let family = Family::of(to);
    if let Source::At(_, address) | Source::Address(address) = from
        && Family::of(*address) != family
    {
        return Err(Error::FamiliesDiffer { from: *address, to });
    }
    let start = place(inventory, view, from, to)?;
    let mut walker = Walker::new(view, member);
    let sent = Packet { source: start.address, destination: to };
    let request = walker.walk(&start.node, start.sender, sent, false);
    let back =
        back(&request, &start).map(|(node, sender)| walker.walk(&node, sender, request.packet.reply(), true));
    let mut found = failures(inventory, view, &mut walker, &request, back.as_ref());
    if let Some(back) = &back {
        found.extend(answer_differs(back, sent));
    }
    // Two clusters have the address, and the sender means the one that it does not reach under it.
    if request.way.end.delivered && wanted.is_some_and(|wanted| *wanted != request.last.cluster) {
        found.extend(causes(inventory, view, &start.node, to, &[]));
    }
    Ok(Explanation {
        from: Endpoint { address: start.address, what: sender_words(&start) },
        to: Endpoint { address: to, what: owner_words(inventory, view, &start.node, to) },
        source: inventory.source.clone(),
        derived_from: view.origin,
        stale: view.stale,
        request: request.way,
        reachable: found.is_empty(),
        reply: back.map(|back| back.way),
        causes: found,
        problems: inventory.problems.clone(),
    })
}

/// Where the reply begins; `None` if nothing arrived that could be answered.
fn back(request: &Walked, start: &Place) -> Option<(NodeId, From)> {
    let Arrived::Delivered(node, receiver) = &request.arrived else { return None };
    let last = request.last.clone();
    if request.answered_there && last != start.node {
        return Some((last, From::Cni));
    }
    Some((node.clone().unwrap_or(last), *receiver))
}

/// Why request or reply did not arrive.
fn failures(
    inventory: &Inventory,
    view: &View,
    walker: &mut Walker<'_>,
    request: &Walked,
    back: Option<&Walked>,
) -> Vec<Cause> {
    let lost = [Some(request), back].into_iter().flatten().filter(|w| !w.way.end.delivered);
    let mut found = Vec::new();
    for walked in lost {
        let notices = walker.notices(&walked.last);
        found.extend(causes(inventory, view, &walked.last, walked.packet.destination, &notices));
    }
    found
}

/// A reply that comes from or to another address than the request had belongs to no connection.
fn answer_differs(back: &Walked, sent: Packet) -> Option<Cause> {
    let arrived = back.packet;
    if !back.way.end.delivered || arrived == sent.reply() {
        return None;
    }
    Some(Cause {
        object: back.way.end.node.clone(),
        reason: "ReplyFromElsewhere".to_owned(),
        message: format!(
            "the reply arrives from {} at {}, but the request went from {} to {}",
            arrived.source, arrived.destination, sent.source, sent.destination
        ),
        remedy: "let network-manager bring the objects up to date (`causeway plan`)".to_owned(),
    })
}

fn sender_words(start: &Place) -> String {
    match start.sender {
        From::Pod => format!("pod on {}", start.node),
        From::Host | From::Cni | From::Tunnel(_) => format!("host {}", start.node),
    }
}

/// Whose the destination is, as the sender's cluster sees it: its own address hides another's.
fn owner_words(inventory: &Inventory, view: &View, sender: &NodeId, address: IpAddr) -> String {
    let mut owners = locate::owners(inventory, view, address);
    if owners.iter().any(|owner| owner.cluster == sender.cluster) {
        owners.retain(|owner| owner.cluster == sender.cluster);
    }
    let words: Vec<String> = owners.iter().map(ToString::to_string).collect();
    if words.is_empty() { "unknown".to_owned() } else { words.join(", or ") }
}

impl Report for Explanation {
    fn page(&self) -> Page {
        let mut page = Page::default();
        page.line(format!("from  {}  {}", self.from.address, self.from.what));
        page.line(format!("to    {}  {}", self.to.address, self.to.what));
        page.line(format!("      {} ({})", self.derived_from.words(), self.source));
        if self.stale {
            page.toned(
                Tone::Bad,
                "The planned objects differ from what the facts lead to: see `causeway plan`.",
            );
        }
        show(&mut page, "REQUEST", &self.request);
        if let Some(reply) = &self.reply {
            show(&mut page, "REPLY", reply);
        }
        page.line("");
        if self.reachable {
            page.toned(Tone::Good, "REACHABLE both ways");
        } else {
            page.toned(Tone::Bad, "NOT REACHABLE");
            let mut table = Table::new(&[]);
            for Cause { object, reason, message, remedy } in &self.causes {
                table.row([object.clone(), reason.clone()]);
                table.detail([message.clone(), format!("What to do: {remedy}")]);
            }
            page.table(table);
        }
        show_problems(&mut page, &self.problems);
        page
    }

    fn outcome(&self) -> Outcome {
        if self.reachable && self.problems.is_empty() { Outcome::Fine } else { Outcome::Findings }
    }
}

fn show(page: &mut Page, heading: &str, way: &Way) {
    page.heading(format!("{heading}  {} -> {}", way.source, way.destination));
    let mut table = Table::new(&["NODE", "WHAT", "ENTRY", "FROM OBJECT"]);
    for hop in &way.hops {
        for (index, entry) in hop.entries.iter().enumerate() {
            let node = if index == 0 { hop.node.clone() } else { String::new() };
            table.row([node, entry.kind.word().to_owned(), entry.text.clone(), entry.object.clone()]);
        }
    }
    page.table(table);
    let end = &way.end;
    let tone = if end.delivered { Tone::Plain } else { Tone::Bad };
    page.toned(tone, format!("=> {}, seen as {} -> {}", end.text, end.source, end.destination));
}
