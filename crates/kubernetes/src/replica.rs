//! Our own objects as an API server has them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use causeway_api::{Change, GROUP, Kind, Object, ObjectRef, Objects, VERSION};
use kube_client::Client;
use kube_client::core::DynamicObject;

use crate::problem::{Problem, problems};
use crate::watches::{ObjectName, Resource, Update, Watches};
use crate::{Meter, Trouble};

/// At most so many updates are taken in at once, so that a long list does not keep others waiting.
const BATCH: usize = 2048;

/// Which objects of a kind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Selection {
    /// Only those of this namespace.
    pub namespace: Option<String>,
    /// None of those of this namespace.
    pub not_namespace: Option<String>,
    /// Only the one of this name.
    pub name: Option<String>,
    /// Only those that this label selector takes.
    pub labels: Option<String>,
}

impl Selection {
    /// The watch for objects of `kind`.
    pub fn resource(&self, kind: Kind) -> Resource {
        Resource {
            namespace: self.namespace.clone(),
            not_namespace: self.not_namespace.clone(),
            name: self.name.clone(),
            labels: self.labels.clone(),
            ..Resource::all(GROUP, VERSION, kind.as_str(), kind.plural())
        }
    }
}

/// Objects of some of our kinds, kept as an API server has them.
pub struct Replica {
    watches: Watches<Kind>,
    selections: BTreeMap<Kind, Selection>,
    /// Kinds that an API server need not have.
    optional: BTreeSet<Kind>,
    /// Those of them that it does not have, as it said.
    absent: BTreeSet<Kind>,
    objects: Objects,
    /// Whether objects are kept, or only passed on.
    keeps: bool,
    incomplete: BTreeSet<Kind>,
    troubles: BTreeMap<Kind, Trouble>,
    /// Objects that cannot be read; what they were before stays in force.
    unusable: BTreeMap<ObjectRef, String>,
    meter: Meter,
}

impl Replica {
    /// Of nothing yet.
    pub fn new(client: Client) -> Replica {
        Replica {
            watches: Watches::new(client),
            selections: BTreeMap::new(),
            optional: BTreeSet::new(),
            absent: BTreeSet::new(),
            objects: Objects::default(),
            keeps: true,
            incomplete: BTreeSet::new(),
            troubles: BTreeMap::new(),
            unusable: BTreeMap::new(),
            meter: Meter::default(),
        }
    }

    /// One that keeps no objects, for who has no use for them but to read them once: every object that is
    /// said is a change, also if it is as it was.
    pub fn passing_on(client: Client) -> Replica {
        Replica { keeps: false, ..Replica::new(client) }
    }

    /// The same, which counts how its watches do.
    #[must_use]
    pub fn metered(self, meter: Meter) -> Replica {
        Replica { meter, ..self }
    }

    /// Keeps objects of `kind`; if it does so already, by another selection. What the old one held and
    /// the new one does not hold goes when the new one is complete.
    pub fn select(&mut self, kind: Kind, selection: Selection) {
        if self.selections.get(&kind) == Some(&selection) {
            return;
        }
        self.meter.watches(kind.plural());
        self.watches.watch(kind, &selection.resource(kind));
        self.selections.insert(kind, selection);
        self.incomplete.insert(kind);
    }

    /// Keeps objects of `kind` where the API server has them and shows them: one of another version may do neither, and then
    /// nothing more is heard of them. That is logged, and is no problem.
    pub fn select_if_served(&mut self, kind: Kind, selection: Selection) {
        self.optional.insert(kind);
        self.select(kind, selection);
    }

    /// Goes on with another client, as after a change of credentials.
    pub fn reconnect(&mut self, client: Client) {
        let resources: Vec<(Kind, Resource)> =
            self.selections.iter().map(|(kind, selection)| (*kind, selection.resource(*kind))).collect();
        self.watches.reconnect(client, resources);
    }

    /// The objects.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Whether every kind was read whole at least once by its present selection.
    pub fn is_complete(&self) -> bool {
        self.incomplete.is_empty()
    }

    /// Whether `kind` was read whole at least once by its present selection.
    pub fn has(&self, kind: Kind) -> bool {
        self.selections.contains_key(&kind) && !self.incomplete.contains(&kind)
    }

    /// What is wrong: watches that cannot go on, and objects that cannot be read. `at` says in front of
    /// each text which API server it is, if that is in question.
    pub fn problems(&self, at: &str) -> Vec<Problem> {
        let troubles =
            self.troubles.iter().map(|(kind, trouble)| (kind.plural().to_owned(), trouble.clone()));
        let mut all = problems(at, troubles);
        all.extend(
            self.unusable.iter().map(|(key, error)| format!("{at}{key} cannot be read: {error}").into()),
        );
        all
    }

    /// Whether a watch cannot go on.
    pub fn is_troubled(&self) -> bool {
        !self.troubles.is_empty()
    }

    /// Whether there are objects that cannot be read.
    pub fn has_unusable(&self) -> bool {
        !self.unusable.is_empty()
    }

    /// Waits until something is said, and takes in what is said by then. Giving up waiting loses
    /// nothing. The list may be empty: a watch that became complete, or is in trouble, is news too.
    pub async fn changed(&mut self) -> Vec<Change> {
        let (kind, update) = self.watches.next().await;
        let mut changes: Vec<Change> = self.take(kind, update).into_iter().collect();
        for _ in 1..BATCH {
            let Some((kind, update)) = self.watches.ready() else { break };
            changes.extend(self.take(kind, update));
        }
        changes
    }

    fn take(&mut self, kind: Kind, update: Update) -> Option<Change> {
        match update {
            Update::Applied(object) => {
                self.troubles.remove(&kind);
                self.applied(kind, *object)
            }
            Update::Deleted(name) => {
                let key = key(kind, name);
                self.unusable.remove(&key);
                if self.keeps { self.objects.take(&key) } else { Some(Change::Deleted(key)) }
            }
            Update::Complete => {
                self.troubles.remove(&kind);
                self.incomplete.remove(&kind);
                self.absent.remove(&kind);
                None
            }
            Update::Trouble(trouble @ (Trouble::NotServed(_) | Trouble::Forbidden(_)))
                if self.optional.contains(&kind) =>
            {
                if self.absent.insert(kind) {
                    tracing::info!(kind = kind.plural(), %trouble, "the API server shows none of these objects; is it of an older version?");
                }
                self.troubles.remove(&kind);
                self.incomplete.remove(&kind);
                None
            }
            Update::Trouble(trouble) => {
                self.meter.watch_failed(kind.plural(), &trouble);
                self.troubles.insert(kind, trouble);
                None
            }
        }
    }

    fn applied(&mut self, kind: Kind, object: DynamicObject) -> Option<Change> {
        let key = key(kind, ObjectName::of(&object));
        match read_object(kind, object) {
            Ok(object) => {
                self.unusable.remove(&key);
                let object = Arc::new(object);
                if self.keeps { self.objects.put(object) } else { Some(Change::Applied(object)) }
            }
            Err(error) => {
                self.unusable.insert(key, error.to_string());
                None
            }
        }
    }
}

fn key(kind: Kind, name: ObjectName) -> ObjectRef {
    ObjectRef { kind, namespace: name.namespace, name: name.name }
}

/// Reads an object of one of our kinds.
///
/// # Errors
/// If its shape is not that of the kind.
pub fn read_object(kind: Kind, object: DynamicObject) -> Result<Object, serde_json::Error> {
    let DynamicObject { metadata, mut data, .. } = object;
    if let Some(fields) = data.as_object_mut() {
        fields.insert("metadata".to_owned(), serde_json::to_value(metadata)?);
    }
    Object::deserialize(kind, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kind_that_an_api_server_need_not_have_keeps_nothing_waiting_and_is_no_problem() {
        let config = kube_client::Config::new("http://127.0.0.1:9".parse().unwrap());
        let mut replica = Replica::new(Client::try_from(config).unwrap());
        replica.select(Kind::Cluster, Selection::default());
        replica.select_if_served(Kind::Diagnosis, Selection::default());
        replica.take(Kind::Cluster, Update::Complete);
        assert!(!replica.is_complete());
        for absent in [Trouble::NotServed("no".to_owned()), Trouble::Forbidden("no".to_owned())] {
            replica.take(Kind::Diagnosis, Update::Trouble(absent.clone()));
            assert!(replica.is_complete() && !replica.is_troubled());
            replica.take(Kind::Cluster, Update::Trouble(absent));
            assert_eq!(replica.problems("").len(), 1, "others are needed");
            replica.take(Kind::Cluster, Update::Complete);
        }
        replica.take(Kind::Diagnosis, Update::Trouble(Trouble::Unreachable("gone".to_owned())));
        assert_eq!(replica.problems("").len(), 1, "that says nothing of the kind");
        replica.take(Kind::Diagnosis, Update::Trouble(Trouble::Forbidden("no".to_owned())));
        assert!(!replica.is_troubled(), "it is back, and has none");
    }
}
