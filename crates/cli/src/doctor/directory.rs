//! Asking agents through a directory of objects: Diagnoses are written there, and removed in the end.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use causeway_api::{CausewayObject, Diagnosis, DiagnosisSpec, Kind, Object, ObjectRef};
use causeway_diagnosis::NodeEvidence;
use causeway_model::{NodeId, cluster_namespace};
use causeway_objects::{Filter, Store, WriteError, Writer};

use super::{Place, answer};
use crate::error::Error;

/// A directory whose agents are asked.
pub struct Directory {
    root: PathBuf,
    writer: Writer,
    written: BTreeSet<ObjectRef>,
    /// What agents write; opened when answers are first looked for.
    store: Option<Store>,
}

impl Directory {
    /// That of this path.
    pub fn new(root: PathBuf) -> Directory {
        Directory { writer: Writer::new(&root), root, written: BTreeSet::new(), store: None }
    }
}

impl Place for Directory {
    const LOOK: Duration = Duration::from_millis(100);

    fn request(
        &mut self,
        asked: Vec<(NodeId, DiagnosisSpec)>,
    ) -> Result<Vec<(NodeId, DiagnosisSpec)>, Error> {
        for (id, spec) in &asked {
            let mut diagnosis = Diagnosis::new(id.node.as_str(), spec.clone());
            diagnosis.metadata.namespace = Some(cluster_namespace(&id.cluster));
            self.written.insert(diagnosis.key());
            self.writer.write(&Object::Diagnosis(diagnosis)).map_err(failed)?;
        }
        Ok(asked)
    }

    fn answers(&mut self, asked: &[(NodeId, DiagnosisSpec)]) -> Result<Vec<NodeEvidence>, Error> {
        let mut store = match self.store.take() {
            Some(store) => store,
            None => {
                let filter = Filter::new(|header| header.key.kind == Kind::Diagnosis);
                Store::open_filtered(&self.root, filter).map_err(|source| Error::Open { source })?
            }
        };
        store.refresh();
        let evidence = asked.iter().map(|one| {
            let id = &one.0;
            let key = ObjectRef {
                kind: Kind::Diagnosis,
                namespace: Some(cluster_namespace(&id.cluster)),
                name: id.node.to_string(),
            };
            answer(one, store.objects().get_as(&key))
        });
        let evidence = evidence.collect();
        self.store = Some(store);
        Ok(evidence)
    }

    fn clean_up(&mut self) -> Result<(), Error> {
        for key in &self.written {
            self.writer.remove(key).map_err(failed)?;
            self.writer.remove_status(key).map_err(failed)?;
        }
        Ok(())
    }
}

fn failed(source: WriteError) -> Error {
    Error::Object { source }
}
