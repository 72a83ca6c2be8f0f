//! Tells how it went: the status of the node's NodeConfig, written only when it changes.

use std::path::Path;

use causeway_api::conditions::{DEGRADED, PROGRAMMED, Verdict, update};
use causeway_api::{NodeConfig, Object};
use causeway_objects::{WriteError, Writer};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::converge::{ConvergeError, Pass};

/// Writes the status of `config` after a pass that ended with `result`.
///
/// # Errors
/// [`WriteError`] if the file cannot be written.
pub fn write_status(
    directory: &Path,
    config: &NodeConfig,
    result: &Result<Pass, ConvergeError>,
) -> Result<(), WriteError> {
    let mut config = config.clone();
    let mut status = config.status.take().unwrap_or_default();
    status.observed_generation = config.metadata.generation;
    if let Ok(pass) = result {
        status.foreign_chains.clone_from(&pass.foreign_chains);
    }
    status.conditions =
        update(&status.conditions, &verdicts(result), config.metadata.generation, &Time(Timestamp::now()));
    config.status = Some(status);
    Writer::new(directory).write_status(&Object::NodeConfig(config)).map(drop)
}

/// What a pass says about the node.
fn verdicts(result: &Result<Pass, ConvergeError>) -> Vec<Verdict> {
    match result {
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
        Err(error) => {
            let reason = match error {
                ConvergeError::Observe(_) => "KernelUnreadable",
                ConvergeError::Apply(_) => "ChangesFailed",
                ConvergeError::Unsettled { .. } => "ChangesUndone",
                ConvergeError::Remember(_) => "StateDirectory",
            };
            vec![Verdict::new(PROGRAMMED, false, reason, error.to_string())]
        }
    }
}
