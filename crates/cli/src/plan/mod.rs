//! `causeway plan`: what network-manager would write, or what a change would do.

mod blast;
mod change;
mod diff;
mod fields;
mod objects;

use causeway_planner::Plan;
use schemars::JsonSchema;
use serde::Serialize;

use std::collections::BTreeSet;

use crate::args::PlanArgs;
use crate::error::Error;
use crate::explain::remedy;
use crate::inventory::{Inventory, Problem, show_problems};
use crate::report::{Outcome, Page, Report, Table, Tone};
use blast::{Blast, blast, count_readers};
use change::Change;
pub use change::ChangeArgs;
use fields::{FieldChange, in_short};
use objects::{Action, ObjectChange, changed_facts, changed_objects, changed_statuses, summary};

/// How many fields of one change the table shows.
const FIELDS_SHOWN: usize = 3;

/// What network-manager would write, or the difference between two plans.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanReport {
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<String>,
    summary: Summary,
    changes: Vec<ObjectChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blast_radius: Option<Blast>,
    refused: Vec<Refused>,
    problems: Vec<Problem>,
    /// Whether changes are shown line by line.
    #[serde(skip)]
    as_diff: bool,
}

/// Counts.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
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
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Refused {
    object: String,
    field: String,
    reason: &'static str,
    message: String,
    #[serde(rename = "do")]
    remedy: &'static str,
    /// Where plans are compared: whether it was refused before, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    already: Option<bool>,
}

/// Builds the report.
///
/// # Errors
/// If the source or the change cannot be read.
pub fn run(args: &PlanArgs) -> Result<PlanReport, Error> {
    if !args.change.is_empty() {
        return of_change(args);
    }
    let inventory = args.common.source.inventory()?;
    let Some(other) = &args.against else {
        let plan = inventory.plan([]);
        let mut changes = changed_objects(&inventory.written, &plan);
        changes.extend(changed_statuses(&inventory, &plan));
        return Ok(report(inventory, None, plan, changes, None).shown_as(args.diff));
    };
    let earlier = Inventory::read(other)?;
    Ok(compared(earlier, inventory, args.limit).shown_as(args.diff))
}

/// The plan of what is there with a change put over it.
fn of_change(args: &PlanArgs) -> Result<PlanReport, Error> {
    let change = Change::read(&args.change)?;
    let before = args.common.source.inventory()?;
    let objects = change.put_over(before.objects_of_all_kinds(), &args.change, &before.source)?;
    let mut facts = changed_facts(before.objects_of_all_kinds(), &objects);
    let name = format!("{} {}", before.source, args.change.words());
    let after = before.changed(objects, name, change.problems)?;
    let mut report = compared(before, after, args.limit);
    facts.append(&mut report.changes);
    report.changes = facts;
    report.count();
    Ok(report.shown_as(args.diff))
}

/// The difference between the plans of two sources.
fn compared(earlier: Inventory, inventory: Inventory, limit: usize) -> PlanReport {
    let before = earlier.plan([]);
    // What a running network-manager has given out stays given.
    let after = inventory.plan(before.adopted());
    let mut changes = changed_objects(&before, &after);
    count_readers(&before, &after, &mut changes);
    let radius = blast(&before, &after, limit);
    let mut report = report(inventory, Some(earlier), after, changes, Some(radius));
    // What was refused before is no consequence of the change.
    let old: BTreeSet<(String, String, String)> =
        before.findings().map(|f| (f.subject.to_string(), f.field.clone(), f.message.clone())).collect();
    for refused in &mut report.refused {
        let key = (refused.object.clone(), refused.field.clone(), refused.message.clone());
        refused.already = Some(old.contains(&key));
    }
    report
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
            already: None,
        })
        .collect();
    let mut problems = inventory.problems.clone();
    problems.extend(earlier.iter().flat_map(|earlier| earlier.problems.iter().cloned()));
    let summary = Summary {
        clusters: plan.clusters.len(),
        nodes: plan.nodes.len(),
        links: plan.links.len(),
        slices: plan.slices.len(),
        create: 0,
        change: 0,
        status: 0,
        delete: 0,
        refused: refused.len(),
        problems: problems.len(),
    };
    let mut report = PlanReport {
        source: inventory.source,
        against: earlier.map(|earlier| earlier.source),
        summary,
        changes,
        blast_radius,
        refused,
        problems,
        as_diff: false,
    };
    report.count();
    report
}

impl Report for PlanReport {
    fn page(&self) -> Page {
        let mut page = Page::default();
        let s = &self.summary;
        let compared = match &self.against {
            Some(against) => format!("{} compared with {against}", self.source),
            None => format!("{} as network-manager would leave it", self.source),
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
        if self.as_diff {
            self.show_diff(&mut page);
        } else {
            self.show_changes(&mut page);
        }
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
    /// Brings the summary up to date with the changes.
    fn count(&mut self) {
        let count = |action| self.changes.iter().filter(|change| change.action == action).count();
        let counts = [Action::Create, Action::Change, Action::Status, Action::Delete].map(count);
        let summary = &mut self.summary;
        [summary.create, summary.change, summary.status, summary.delete] = counts;
    }

    fn shown_as(self, as_diff: bool) -> PlanReport {
        PlanReport { as_diff, ..self }
    }

    fn show_diff(&self, page: &mut Page) {
        page.heading("CHANGES");
        for change in &self.changes {
            let text = |object: &Option<causeway_api::Object>| {
                object.as_ref().and_then(|object| serde_saphyr::to_string(object).ok()).unwrap_or_default()
            };
            let lines = diff::unified(&change.object_name(), &text(&change.before), &text(&change.object));
            for line in lines.lines() {
                let tone = match line.as_bytes().first() {
                    Some(b'+') => Tone::Good,
                    Some(b'-') => Tone::Bad,
                    _ => Tone::Plain,
                };
                page.toned(tone, line);
            }
            for field in change.fields.iter().filter(|_| change.action == Action::Status) {
                page.line(format!("{}: {field}", change.object_name()));
            }
        }
    }

    fn show_refused(&self, page: &mut Page) {
        let mut table = Table::new(&["OBJECT", "REASON", "FIELD"]);
        // The message says what to do as well.
        for Refused { object, field, reason, message, remedy: _, already } in &self.refused {
            table.row([object, *reason, field].map(str::to_owned));
            let already = if *already == Some(true) { " (as before)" } else { "" };
            table.detail([format!("{message}{already}")]);
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
