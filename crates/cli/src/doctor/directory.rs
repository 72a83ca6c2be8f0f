//! Asking agents through a directory of objects: Diagnoses are written there, and removed in the end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use causeway_api::{Diagnosis, DiagnosisSpec, Kind, Object, ObjectRef};
use causeway_model::{NodeId, cluster_namespace};
use causeway_objects::{Filter, Store, WriteError, Writer};

use super::Place;
use crate::error::Error;

/// A directory whose agents are asked.
pub struct Directory {
    root: PathBuf,
    writer: Writer,
    /// Whom it asked, with the last request.
    written: BTreeMap<NodeId, String>,
    /// What is there; opened when it is first looked at.
    store: Option<Store>,
}

impl Directory {
    /// That of this path.
    pub fn new(root: PathBuf) -> Directory {
        Directory { writer: Writer::new(&root), root, written: BTreeMap::new(), store: None }
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
            self.written.insert(id.clone(), spec.request.clone());
            self.writer.write(&Object::Diagnosis(diagnosis)).map_err(failed)?;
        }
        Ok(asked)
    }

    fn there(&mut self, nodes: &[&NodeId]) -> Result<BTreeMap<NodeId, Diagnosis>, Error> {
        let mut store = match self.store.take() {
            Some(store) => store,
            None => {
                let filter = Filter::new(|header| header.key.kind == Kind::Diagnosis);
                Store::open_filtered(&self.root, filter).map_err(|source| Error::Open { source })?
            }
        };
        store.refresh();
        let there = nodes.iter().filter_map(|id| {
            let found: &Diagnosis = store.objects().get_as(&key(id))?;
            Some(((*id).clone(), found.clone()))
        });
        let there = there.collect();
        self.store = Some(store);
        Ok(there)
    }

    fn clean_up(&mut self) -> Result<(), Error> {
        let written = std::mem::take(&mut self.written);
        // What cannot be looked at is taken to be its own.
        let there = self.there(&written.keys().collect::<Vec<_>>()).unwrap_or_default();
        let is_ours = |id: &NodeId, request: &String| {
            there.get(id).is_none_or(|diagnosis| diagnosis.spec.request == *request)
        };
        for (id, _) in written.iter().filter(|(id, request)| is_ours(id, request)) {
            self.writer.remove(&key(id)).map_err(failed)?;
            self.writer.remove_status(&key(id)).map_err(failed)?;
        }
        Ok(())
    }
}

fn key(id: &NodeId) -> ObjectRef {
    ObjectRef {
        kind: Kind::Diagnosis,
        namespace: Some(cluster_namespace(&id.cluster)),
        name: id.node.to_string(),
    }
}

fn failed(source: WriteError) -> Error {
    Error::Object { source }
}
