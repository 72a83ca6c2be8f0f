//! Evidence that was gathered before, by nodes that were tested alone, or out of an archive: nobody is asked.

use std::path::PathBuf;

use causeway_api::{Diagnosis, Object};
use causeway_diagnosis::NodeEvidence;
use causeway_model::{ClusterName, NodeId};
use causeway_objects::{Text, read_text};

use crate::error::Error;
use crate::input;
use crate::inventory::Problem;

/// The evidence in the Diagnoses of these files, and what of them cannot be used.
///
/// # Errors
/// If a file cannot be read, or none holds evidence.
pub fn read(files: &[PathBuf]) -> Result<(Vec<NodeEvidence>, Vec<Problem>), Error> {
    let (mut nodes, mut problems) = (Vec::new(), Vec::new());
    for file in files {
        let text = read_text(file.clone(), &input::bytes(file)?).map_err(|source| Error::Open { source })?;
        let Text { objects, problems: unusable, .. } = text;
        problems.extend(unusable.into_iter().map(Problem::from));
        nodes.extend(objects.iter().filter_map(|object| match &**object {
            Object::Diagnosis(diagnosis) => of(diagnosis),
            _ => None,
        }));
    }
    if nodes.is_empty() {
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        return Err(Error::Usage(format!(
            "{} hold no Diagnosis of a node; `causeway-agent examine` prints one",
            files.join(", ")
        )));
    }
    Ok((nodes, problems))
}

/// What a node found; `None` if the object does not say which node, or of which cluster.
fn of(diagnosis: &Diagnosis) -> Option<NodeEvidence> {
    let cluster = ClusterName::from_namespace(diagnosis.metadata.namespace.as_deref()?).ok()?;
    let node = diagnosis.metadata.name.as_deref()?.parse().ok()?;
    let asked = diagnosis.spec.clone();
    Some(NodeEvidence { id: NodeId { cluster, node }, asked, answer: diagnosis.status.clone() })
}
