//! An agent's objects in a directory.

use std::collections::BTreeSet;
use std::path::PathBuf;

use causeway_api::{CLUSTER_LABEL, Diagnosis, DiagnosisStatus, Object, SCOPE_LABEL, scope_label};
use causeway_daemon::Complaints;
use causeway_model::{NodeId, cluster_namespace};
use causeway_objects::{Filter, Header, Hint, Kind, ObjectRef, OpenError, Problem, Store, Watcher, Writer};

use crate::plans::{Known, Need, Plans};
use crate::report::{self, Report};

/// Reads an agent's objects from a directory.
pub struct Directory {
    root: PathBuf,
    id: NodeId,
    store: Store,
    need: Need,
    plans: Plans,
    complaints: Complaints,
    watcher: Option<Watcher>,
    /// Whether the objects may say something else than what is known, though no file changes.
    stale: bool,
}

impl Directory {
    /// Reads what there is below `root` for the node `id`.
    ///
    /// # Errors
    /// [`OpenError`] if `root` cannot be read.
    pub fn open(root: PathBuf, id: NodeId) -> Result<Directory, OpenError> {
        let need = Need::new();
        let store = Store::open_filtered(&root, filter(&id, &need))?;
        let mut directory = Directory {
            root,
            id,
            store,
            need,
            plans: Plans::default(),
            complaints: Complaints::default(),
            watcher: None,
            stale: false,
        };
        directory.plans.replace(directory.store.objects());
        directory.settle()?;
        Ok(directory)
    }

    /// The plans that were read.
    pub fn into_plans(self) -> Plans {
        self.plans
    }

    /// Reads again with every change below the directory.
    ///
    /// # Errors
    /// If the directory cannot be watched.
    pub fn watch(&mut self) -> Result<(), causeway_objects::WatchError> {
        self.watcher = Some(Watcher::new(&self.root)?);
        // What changed between the reading and the watch.
        self.refresh(&Hint::Everything);
        Ok(())
    }

    /// The plans as they are known.
    pub fn plans(&self) -> &Plans {
        &self.plans
    }

    /// See [`crate::source::Source::changed`].
    pub async fn changed(&mut self) -> bool {
        let Some(watcher) = &mut self.watcher else { return std::future::pending().await };
        let hint = watcher.changed().await;
        self.refresh(&hint)
    }

    /// See [`crate::source::Source::cleaned_up`].
    pub fn cleaned_up(&mut self) {
        self.plans.cleaned_up();
    }

    /// See [`crate::source::Source::report`].
    pub fn report(&self, report: &Report) {
        let Some(config) = self.plans.config() else { return };
        if let Err(error) = report::write(&self.root, config, report) {
            tracing::warn!(%error, "status not written");
        }
    }

    /// See [`crate::source::Source::asked`].
    pub fn asked(&self) -> Option<&Diagnosis> {
        self.store.objects().get_as(&key(Kind::Diagnosis, &self.id))
    }

    /// See [`crate::source::Source::answer`].
    pub fn answer(&self, status: DiagnosisStatus) {
        let Some(asked) = self.asked() else { return };
        let answered = Diagnosis { status: Some(status), ..asked.clone() };
        if let Err(error) = Writer::new(&self.root).write_status(&Object::Diagnosis(answered)) {
            tracing::warn!(%error, "evidence of a diagnosis not written");
        }
    }

    /// Looks where `hint` says. Returns whether what is known changed.
    fn refresh(&mut self, hint: &Hint) -> bool {
        let changes = self.store.refresh_hinted(hint);
        if changes.is_empty() && !unreadable(&self.store) && !self.stale {
            return false;
        }
        changes.iter().for_each(|change| self.plans.handle(change));
        self.settle().unwrap_or_else(|error| {
            tracing::warn!(%error, "objects cannot be read; the last known plan stays in force");
            false
        })
    }

    /// Makes of the objects what is known. If the node turns out to need other slices than those that
    /// are kept, everything is read again with those.
    fn settle(&mut self) -> Result<bool, OpenError> {
        self.stale = true;
        while let Some(need) = self.plans.need().filter(|need| *need != self.need) {
            let store = Store::open_filtered(&self.root, filter(&self.id, &need))?;
            if unreadable(&store) {
                self.complain(store.problems());
                return Ok(false);
            }
            (self.store, self.need) = (store, need);
            self.plans.replace(self.store.objects());
        }
        self.complain(self.store.problems());
        // What cannot be read now may be readable next time, without another change.
        self.stale = unreadable(&self.store);
        // Unknown is not empty: nothing is programmed from a part of a first reading, and a NodeConfig
        // that is missing may be in what cannot be read.
        let first = matches!(self.plans.known(), Known::Nothing);
        if self.stale && (first || self.plans.config().is_none()) {
            return Ok(false);
        }
        Ok(self.plans.settle())
    }

    fn complain(&mut self, problems: Vec<Problem>) {
        let problems = problems.iter().map(ToString::to_string);
        self.complaints.say(problems.chain(self.plans.complaints().cloned()));
    }
}

/// Whether a document of the store cannot be read at all.
fn unreadable(store: &Store) -> bool {
    store.problems().iter().any(|problem| !problem.cause.is_warning())
}

/// An object that is named like the node.
fn key(kind: Kind, id: &NodeId) -> ObjectRef {
    ObjectRef { kind, namespace: Some(cluster_namespace(&id.cluster)), name: id.node.to_string() }
}

/// The objects of one agent.
fn filter(id: &NodeId, need: &Need) -> Filter {
    let namespace = cluster_namespace(&id.cluster);
    let (config, diagnosis) = (key(Kind::NodeConfig, id), key(Kind::Diagnosis, id));
    let slices: BTreeSet<(String, &'static str)> =
        need.iter().map(|(cluster, scope)| (cluster.to_string(), scope_label(*scope))).collect();
    let wanted_slice = move |header: &Header<'_>| {
        let (cluster, scope) = (header.label(CLUSTER_LABEL), header.label(SCOPE_LABEL));
        slices.iter().any(|(c, s)| cluster == Some(c.as_str()) && scope == Some(s))
    };
    Filter::new(move |header| match header.key.kind {
        Kind::NodeConfig => *header.key == config,
        Kind::Diagnosis => *header.key == diagnosis,
        Kind::ClusterLink => header.key.namespace.as_deref() == Some(namespace.as_str()),
        Kind::PeerSlice => wanted_slice(header),
        Kind::ClusterSet | Kind::Cluster | Kind::ClusterNode => false,
    })
}
