//! Tells how it went: the status of the node's NodeConfig, written only when it changes.

use std::collections::BTreeSet;
use std::path::Path;

use causeway_api::conditions::{CLEANED_UP, DEGRADED, PROGRAMMED, Verdict, update};
use causeway_api::{LinkState, NodeConfig, NodeConfigStatus, Object};
use causeway_model::{ClusterName, LinkPlan};
use causeway_objects::{WriteError, Writer};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::converge::{ConvergeError, Pass};
use crate::plans::Known;
use crate::quality::Quality;

/// What is to be told after a pass.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    verdicts: Vec<Verdict>,
    /// `None` leaves what was told before.
    foreign_chains: Option<Vec<String>>,
    links: Vec<LinkState>,
}

impl Report {
    /// How a pass towards what is `known` ended, and how the gateways are, if that is looked at; of the clusters that
    /// are `cut_off` none answers. Round-trip times and losses are not in it yet.
    pub fn of(
        known: Known<'_>,
        result: &Result<Pass, ConvergeError>,
        gateways: Option<Verdict>,
        cut_off: &BTreeSet<&ClusterName>,
    ) -> Report {
        let removed = matches!(known, Known::Removed);
        let links = match known {
            Known::Plan(inputs) => inputs
                .links()
                .iter()
                .map(|link| LinkState {
                    remote_cluster: link.id.remote.to_string(),
                    ready: result.is_ok() && !link.prefixes.is_empty() && answers(link, cut_off),
                    rtt_microseconds: None,
                    loss_per_mille: None,
                })
                .collect(),
            Known::Nothing | Known::Removed => Vec::new(),
        };
        Report {
            verdicts: verdicts(removed, result).into_iter().chain(gateways).collect(),
            foreign_chains: result.as_ref().ok().map(|pass| pass.foreign_chains.clone()),
            links,
        }
    }

    /// How the links are.
    pub fn links(&self) -> &[LinkState] {
        &self.links
    }

    /// Tells how well links carry packets, of those that carry any: what was measured before nobody answered any more
    /// would pass for what is.
    pub fn tell(&mut self, quality: &Quality) {
        for link in &mut self.links {
            let measured = Some(link.remote_cluster.as_str()).filter(|_| link.ready);
            link.rtt_microseconds = measured.and_then(|remote| quality.rtt(remote));
            link.loss_per_mille = measured.and_then(|remote| quality.loss(remote));
        }
    }

    /// The status of `config` after it.
    pub fn status(&self, config: &NodeConfig) -> NodeConfigStatus {
        let mut status = config.status.clone().unwrap_or_default();
        let generation = config.metadata.generation;
        status.observed_generation = generation;
        if let Some(chains) = &self.foreign_chains {
            status.foreign_chains.clone_from(chains);
        }
        status.links.clone_from(&self.links);
        status.conditions = update(&status.conditions, &self.verdicts, generation, &Time(Timestamp::now()));
        status
    }
}

/// Whether somebody answers at the other end, and at the own gateways where they are in between.
fn answers(link: &LinkPlan, cut_off: &BTreeSet<&ClusterName>) -> bool {
    !cut_off.contains(&link.id.remote) && !cut_off.contains(&link.id.source)
}

/// Writes the status of `config` beside it.
///
/// # Errors
/// [`WriteError`] if the file cannot be written.
pub fn write(directory: &Path, config: &NodeConfig, report: &Report) -> Result<(), WriteError> {
    let status = Some(report.status(config));
    let config = NodeConfig { status, ..config.clone() };
    Writer::new(directory).write_status(&Object::NodeConfig(config)).map(drop)
}

/// What a pass says about the node.
fn verdicts(removed: bool, result: &Result<Pass, ConvergeError>) -> Vec<Verdict> {
    match result {
        Ok(_) if removed => {
            let message = "nothing of Causeway is left on the node";
            vec![
                Verdict::new(PROGRAMMED, false, CLEANED_UP, message),
                Verdict::new(DEGRADED, false, "AsPlanned", ""),
            ]
        }
        Ok(pass) => {
            let mut lacks: Vec<(&str, String)> =
                pass.notices.iter().map(|notice| (notice.reason(), notice.to_string())).collect();
            lacks.extend(pass.conflicts.iter().map(|device| {
                let message = format!("{device} is a link of another program; remove or rename it");
                ("ForeignDevice", message)
            }));
            let degraded = match lacks.first() {
                None => Verdict::new(DEGRADED, false, "AsPlanned", ""),
                Some((reason, _)) => {
                    let all: Vec<&str> = lacks.iter().map(|(_, message)| message.as_str()).collect();
                    Verdict::new(DEGRADED, true, *reason, all.join("; "))
                }
            };
            vec![Verdict::new(PROGRAMMED, true, "InKernel", ""), degraded]
        }
        Err(error) => vec![Verdict::new(PROGRAMMED, false, error.reason(), error.to_string())],
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn of_a_link_over_which_nobody_answers_no_figures_are_told_and_again_once_somebody_does() {
        let link = |ready| LinkState {
            remote_cluster: "b".into(),
            ready,
            rtt_microseconds: Some(400),
            loss_per_mille: Some(0),
        };
        let mut quality = Quality::new(1, Instant::now());
        quality.adopt(&[link(true)]);
        let told = |ready| {
            let mut report = Report { verdicts: Vec::new(), foreign_chains: None, links: vec![link(ready)] };
            report.tell(&quality);
            (report.links[0].rtt_microseconds, report.links[0].loss_per_mille)
        };
        assert_eq!(told(true), (Some(400), Some(0)));
        assert_eq!(told(false), (None, None));
        assert_eq!(told(true), (Some(400), Some(0)));
    }
}
