//! Making and mending faults: one act at a time.

use serde_json::Value;

use super::row::Act;
use super::run::DEADLINE;
use super::users;
use crate::deadline::wait_until;
use crate::error::{LabError, Result};
use crate::lab::Lab;

/// Does these in order. `{gateway}` stands for `gateway`, a node of `beta`.
pub(super) fn perform(lab: &Lab, acts: &[Act], gateway: &str) -> Result<()> {
    let fill = |text: &str| text.replace("{gateway}", gateway);
    for act in acts {
        match act {
            Act::Fault(words) => {
                let words = fill(&format!("fault {words}"));
                lab.run(&words.split_whitespace().collect::<Vec<_>>())?;
            }
            Act::Left => {
                let what = format!("{gateway} to be used by nobody");
                wait_until(&what, DEADLINE, || users::forgotten(lab, gateway))?;
            }
            Act::Run(endpoint, script) => {
                run(lab, &fill(endpoint), &fill(script))?;
            }
            Act::Patch(node, patch) => {
                let node = fill(node);
                let id = node.parse().map_err(|_| LabError::UnknownEndpoint(node.clone()))?;
                let patch: Value = serde_json::from_str(patch)
                    .map_err(|e| LabError::Document { what: "a patch".to_owned(), message: e.to_string() })?;
                lab.objects().patch_node(&id, &patch)?;
            }
        }
    }
    Ok(())
}

/// Runs a shell script in the network of an endpoint; it must succeed.
pub(super) fn run(lab: &Lab, endpoint: &str, script: &str) -> Result<String> {
    let output = lab.exec(endpoint, &["sh", "-ec", script])?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(LabError::Failed { program: format!("{script} on {endpoint}"), message: output.stderr })
}
