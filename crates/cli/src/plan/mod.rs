//! `causeway plan`: what network-manager would write, or what a change would do.

mod blast;
mod fields;
mod objects;

use causeway_planner::Plan;
use serde::Serialize;

use crate::args::PlanArgs;
use crate::error::Error;
use crate::explain::remedy;
use crate::inventory::{Inventory, Problem, show_problems};
use crate::report::{Outcome, Page, Report, Table, Tone};
use blast::{Blast, blast, count_readers};
use fields::{FieldChange, in_short};
use objects::{Action, ObjectChange, changed_objects, changed_statuses, summary};

/// How many fields of one change the table shows.
const FIELDS_SHOWN: usize = 3;

/// What network-manager would write, or the difference between two plans.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanReport {
    directory: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<String>,
    summary: Summary,
    changes: Vec<ObjectChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blast_radius: Option<Blast>,
    refused: Vec<Refused>,
    problems: Vec<Problem>,
}

/// Counts.
#[derive(Serialize)]
struct Summary {
    clusters: usize,
    nodes: usize,
    links: usize,
    slices: usize,
    create: usize,
    change: usize,
    status: usize,
    delete: usize,
    refused: usize,
    problems: usize,
}

/// What the planner refused or left out.
#[derive(Serialize)]
struct Refused {
    object: String,
    field: String,
    reason: &'static str,
    message: String,
    #[serde(rename = "do")]
    remedy: &'static str,
}

/// Builds the report.
pub fn run(args: &PlanArgs) -> Result<PlanReport, Error> {
    let inventory = Inventory::read(&args.common.objects)?;
    let Some(other) = &args.against else {
        let plan = inventory.plan([]);
        let mut changes = changed_objects(&inventory.written, &plan);
        changes.extend(changed_statuses(&inventory, &plan));
        return Ok(report(inventory, None, plan, changes, None));
    };
    let earlier = Inventory::read(other)?;
    let before = earlier.plan([]);
    // What a running network-manager has given out stays given.
    let after = inventory.plan(before.adopted());
    let mut changes = changed_objects(&before, &after);
    count_readers(&before, &after, &mut changes);
    let radius = blast(&before, &after, args.limit);
    Ok(report(inventory, Some(earlier), after, changes, Some(radius)))
}

fn report(
    inventory: Inventory,
    earlier: Option<Inventory>,
    plan: Plan,
    changes: Vec<ObjectChange>,
    blast_radius: Option<Blast>,
) -> PlanReport {
    let refused: Vec<Refused> = plan
        .findings()
        .map(|finding| Refused {
            object: finding.subject.to_string(),
            field: finding.field.clone(),
            reason: finding.reason.as_str(),
            message: finding.message.clone(),
            remedy: remedy(finding.reason),
        })
        .collect();
    let mut problems = inventory.problems.clone();
    problems.extend(earlier.iter().flat_map(|earlier| earlier.problems.iter().cloned()));
    let count = |action| changes.iter().filter(|change| change.action == action).count();
    let summary = Summary {
        clusters: plan.clusters.len(),
        nodes: plan.nodes.len(),
        links: plan.links.len(),
        slices: plan.slices.len(),
        create: count(Action::Create),
        change: count(Action::Change),
        status: count(Action::Status),
        delete: count(Action::Delete),
        refused: refused.len(),
        problems: problems.len(),
    };
    PlanReport {
        directory: inventory.directory,
        against: earlier.map(|earlier| earlier.directory),
        summary,
        changes,
        blast_radius,
        refused,
        problems,
    }
}

impl Report for PlanReport {
    fn page(&self) -> Page {
        let mut page = Page::default();
        let s = &self.summary;
        let compared = match &self.against {
            Some(against) => format!("{} compared with {against}", self.directory),
            None => format!("{} as network-manager would leave it", self.directory),
        };
        page.line(format!("plan of {compared}"));
        page.line(format!(
            "{} clusters, {} nodes, {} links, {} slices",
            s.clusters, s.nodes, s.links, s.slices
        ));
        let written = format!(
            "{} to create, {} to change, {} to delete, {} statuses",
            s.create, s.change, s.delete, s.status
        );
        page.line(if self.changes.is_empty() { "nothing to write".to_owned() } else { written });
        if s.refused + s.problems > 0 {
            page.toned(Tone::Bad, format!("{} refused or left out, {} not used", s.refused, s.problems));
        }
        self.show_refused(&mut page);
        show_problems(&mut page, &self.problems);
        self.show_changes(&mut page);
        if let Some(blast) = &self.blast_radius {
            show_blast(&mut page, blast);
        }
        page
    }

    fn outcome(&self) -> Outcome {
        if self.refused.is_empty() && self.problems.is_empty() { Outcome::Fine } else { Outcome::Findings }
    }
}

impl PlanReport {
    fn show_refused(&self, page: &mut Page) {
        let mut table = Table::new(&["OBJECT", "REASON", "FIELD"]);
        // The message says what to do as well.
        for Refused { object, field, reason, message, remedy: _ } in &self.refused {
            table.row([object, *reason, field].map(str::to_owned));
            table.detail([message.clone()]);
        }
        page.section("REFUSED OR LEFT OUT", table);
    }

    fn show_changes(&self, page: &mut Page) {
        let mut headers = vec!["ACTION", "OBJECT", "WHAT"];
        if self.against.is_some() {
            headers.insert(2, "READ BY");
        }
        let mut table = Table::new(&headers);
        for change in &self.changes {
            let mut cells = vec![change.action.word().to_owned(), change.object_name()];
            if self.against.is_some() {
                let readers = change
                    .read_by
                    .map(|nodes| if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") });
                cells.push(readers.unwrap_or_default());
            }
            cells.push(match &change.object {
                Some(object) if change.action == Action::Create => summary(object),
                _ => fields(&change.fields),
            });
            table.row(cells);
        }
        page.section("OBJECTS", table);
    }
}

fn fields(changes: &[FieldChange]) -> String {
    let mut shown = in_short(changes);
    let rest = shown.len().saturating_sub(FIELDS_SHOWN);
    shown.truncate(FIELDS_SHOWN);
    if rest > 0 {
        shown.push(format!("and {rest} more"));
    }
    shown.join("; ")
}

fn show_blast(page: &mut Page, blast: &Blast) {
    page.heading("BLAST RADIUS");
    page.line(format!(
        "of {} nodes: NodeConfig of {}, kernel state of {}",
        blast.nodes, blast.configs, blast.kernels
    ));
    if blast.not_computed > 0 {
        page.line(format!(
            "{} more read a changed object; --limit 0 computes their kernel state too",
            blast.not_computed
        ));
    }
    let mut table = Table::new(&["NODE", "NODECONFIG", "KERNEL STATE"]);
    for node in &blast.touched {
        let kernel = node.kernel.as_ref().map_or("not computed".to_owned(), |kernel| kernel.words());
        table.row([node.node.clone(), node.node_config.word().to_owned(), kernel]);
    }
    page.section("NODES", table);
}
