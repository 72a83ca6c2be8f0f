//! Asking agents through a directory of objects: Diagnoses are written there, and removed in the end.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use causeway_api::{CausewayObject, Diagnosis, DiagnosisSpec, Kind, Object, ObjectRef};
use causeway_diagnosis::NodeEvidence;
use causeway_model::{NodeId, cluster_namespace};
use causeway_objects::{Filter, Store, WriteError, Writer};

use super::Place;
use crate::error::Error;

/// How often answers are looked for.
const LOOK: Duration = Duration::from_millis(100);

/// A directory whose agents are asked.
pub struct Directory {
    root: PathBuf,
    writer: Writer,
    written: BTreeSet<ObjectRef>,
}

impl Directory {
    /// That of this path.
    pub fn new(root: PathBuf) -> Directory {
        Directory { writer: Writer::new(&root), root, written: BTreeSet::new() }
    }
}

impl Place for Directory {
    fn ask(
        &mut self,
        asked: Vec<(NodeId, DiagnosisSpec)>,
        limit: Instant,
    ) -> Result<Vec<NodeEvidence>, Error> {
        for (id, spec) in &asked {
            let mut diagnosis = Diagnosis::new(id.node.as_str(), spec.clone());
            diagnosis.metadata.namespace = Some(cluster_namespace(&id.cluster));
            self.written.insert(diagnosis.key());
            self.writer.write(&Object::Diagnosis(diagnosis)).map_err(failed)?;
        }
        let filter = Filter::new(|header| header.key.kind == Kind::Diagnosis);
        let mut store = Store::open_filtered(&self.root, filter).map_err(|source| Error::Open { source })?;
        loop {
            store.refresh();
            let evidence: Vec<NodeEvidence> =
                asked.iter().map(|(id, spec)| answer(&store, id, spec)).collect();
            if Instant::now() >= limit || evidence.iter().all(|one| one.answer.is_some()) {
                return Ok(evidence);
            }
            thread::sleep(LOOK);
        }
    }

    fn clean_up(&mut self) -> Result<(), Error> {
        for key in &self.written {
            self.writer.remove(key).map_err(failed)?;
            self.writer.remove_status(key).map_err(failed)?;
        }
        Ok(())
    }
}

fn answer(store: &Store, id: &NodeId, spec: &DiagnosisSpec) -> NodeEvidence {
    let key = ObjectRef {
        kind: Kind::Diagnosis,
        namespace: Some(cluster_namespace(&id.cluster)),
        name: id.node.to_string(),
    };
    let there: Option<&Diagnosis> = store.objects().get_as(&key);
    let answer = there.and_then(|there| there.status.clone()).filter(|status| status.request == spec.request);
    NodeEvidence { id: id.clone(), asked: spec.clone(), answer }
}

fn failed(source: WriteError) -> Error {
    Error::Object { source }
}
