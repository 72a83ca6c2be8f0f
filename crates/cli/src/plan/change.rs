//! A change that is not applied yet: objects of files or of a kustomization put over those that are there, and
//! objects taken away.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::sync::Arc;

use causeway_api::{Cluster, ClusterNode, ClusterSet, Kind, Object, ObjectRef, Objects};
use causeway_objects::{Store, Text, read_text};
use clap::Args;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;

use crate::error::Error;
use crate::input;
use crate::inventory::Problem;

/// What is to change.
#[derive(Args, Debug, Clone, Default)]
pub struct ChangeArgs {
    /// Plan as if this file, folder or `-` for standard input were applied; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "FILE", conflicts_with = "against")]
    pub files: Vec<PathBuf>,
    /// Plan as if this kustomization were applied; needs kubectl
    #[arg(short = 'k', long = "kustomize", value_name = "DIR", conflicts_with = "against")]
    pub kustomize: Option<PathBuf>,
    /// Plan as if this object were deleted, such as cluster/east; may be repeated
    #[arg(long, value_name = "KIND/NAME", conflicts_with = "against")]
    pub delete: Vec<Target>,
}

impl ChangeArgs {
    /// Whether nothing is to change.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.kustomize.is_none() && self.delete.is_empty()
    }

    /// The files and folders, in words.
    fn files_in_words(&self) -> String {
        let files = self.files.iter().map(|file| match file.to_str() {
            Some("-") => "standard input".to_owned(),
            _ => file.display().to_string(),
        });
        let kustomization = self.kustomize.iter().map(|folder| folder.display().to_string());
        files.chain(kustomization).collect::<Vec<_>>().join(", ")
    }

    /// What is to change, in words, such as `with a.yaml, without Cluster east`.
    pub fn words(&self) -> String {
        let files = Some(self.files_in_words()).filter(|files| !files.is_empty());
        let files = files.map(|files| format!("with {files}"));
        let deleted = self.delete.iter().map(|target| format!("without {target}"));
        files.into_iter().chain(deleted).collect::<Vec<_>>().join(", ")
    }
}

/// An object by kind and name, as on the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target(ObjectRef);

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let (kind, namespace, name) = match parts.as_slice() {
            [kind, name] => (kind, None, name),
            [kind, namespace, name] => (kind, Some((*namespace).to_owned()), name),
            _ => return Err("write KIND/NAME or KIND/NAMESPACE/NAME, such as cluster/east".to_owned()),
        };
        let is = |known: &Kind| {
            known.as_str().eq_ignore_ascii_case(kind) || known.plural().eq_ignore_ascii_case(kind)
        };
        let facts = [Kind::ClusterSet, Kind::Cluster, Kind::ClusterNode];
        let kind = facts.into_iter().find(is);
        let kind = kind.ok_or_else(|| {
            format!("{text}: only a ClusterSet, a Cluster or a ClusterNode can be taken away")
        })?;
        if kind.namespaced() != namespace.is_some() {
            return Err(format!(
                "{text}: a {kind} is written {}",
                if kind.namespaced() { "KIND/NAMESPACE/NAME" } else { "KIND/NAME" }
            ));
        }
        Ok(Target(ObjectRef { kind, namespace, name: (*name).to_owned() }))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The objects of a change, and what of it is not used.
#[derive(Default)]
pub struct Change {
    applied: Vec<Arc<Object>>,
    /// What is not used.
    pub problems: Vec<Problem>,
}

impl Change {
    /// Reads what `args` name.
    ///
    /// # Errors
    /// If a file cannot be read, or kubectl cannot build the kustomization.
    pub fn read(args: &ChangeArgs) -> Result<Change, Error> {
        let mut change = Change::default();
        for file in &args.files {
            change.add_file(file)?;
        }
        if let Some(folder) = &args.kustomize {
            let text = built(folder)?;
            change.add_text(folder.join("kustomization.yaml"), text.as_bytes())?;
        }
        Ok(change)
    }

    fn add_file(&mut self, file: &Path) -> Result<(), Error> {
        if file.is_dir() {
            let store = Store::open(file).map_err(|source| Error::Open { source })?;
            self.problems.extend(store.problems().into_iter().map(Problem::from));
            store.objects().iter().for_each(|object| self.add(object.clone(), &file.display().to_string()));
            return Ok(());
        }
        self.add_text(file.to_owned(), &input::bytes(file)?)
    }

    fn add_text(&mut self, name: PathBuf, bytes: &[u8]) -> Result<(), Error> {
        let shown = name.display().to_string();
        // What else stands there, such as Namespaces, is no matter of this plan.
        let Text { objects, problems, others: _ } =
            read_text(name, bytes).map_err(|source| Error::Open { source })?;
        self.problems.extend(problems.into_iter().map(Problem::from));
        objects.into_iter().for_each(|object| self.add(object, &shown));
        Ok(())
    }

    fn add(&mut self, object: Arc<Object>, file: &str) {
        match object.kind() {
            Kind::ClusterSet | Kind::Cluster | Kind::ClusterNode => self.applied.push(object),
            Kind::NodeConfig | Kind::ClusterLink | Kind::PeerSlice => self.problems.push(Problem {
                file: file.to_owned(),
                line: 0,
                object: Some(object.key().to_string()),
                message: "is written by network-manager and is no part of a change".to_owned(),
            }),
            Kind::Diagnosis => self.problems.push(Problem {
                file: file.to_owned(),
                line: 0,
                object: Some(object.key().to_string()),
                message: "is written by `causeway doctor` and is no part of a change".to_owned(),
            }),
        }
    }

    /// `before` after the change, and how many objects it gives or takes.
    ///
    /// # Errors
    /// [`Error::NoChange`] if it has no object; [`Error::NoSuchObject`] if one that is to go is not there.
    pub fn put_over(&self, before: &Objects, args: &ChangeArgs, source_name: &str) -> Result<Objects, Error> {
        let mut after = before.clone();
        if self.applied.is_empty() && args.delete.is_empty() {
            return Err(Error::NoChange(args.files_in_words()));
        }
        // The youngest of all, as they will be.
        let now = Time(Timestamp::now());
        for object in &self.applied {
            let old = before.get(&object.key());
            after.put(Arc::new(applied(object, old.map(AsRef::as_ref), &now)));
        }
        for Target(key) in &args.delete {
            if after.take(key).is_none() {
                return Err(Error::NoSuchObject {
                    object: key.to_string(),
                    source_name: source_name.to_owned(),
                });
            }
            take_nodes(&mut after, key);
        }
        Ok(after)
    }
}

/// With a Cluster its nodes go.
fn take_nodes(objects: &mut Objects, key: &ObjectRef) {
    let Some(cluster) = (key.kind == Kind::Cluster).then(|| key.name.parse().ok()).flatten() else { return };
    let namespace = causeway_model::cluster_namespace(&cluster);
    let gone: Vec<ObjectRef> = objects
        .iter()
        .map(|object| object.key())
        .filter(|key| key.namespace.as_deref() == Some(namespace.as_str()))
        .collect();
    gone.iter().for_each(|key| drop(objects.take(key)));
}

/// What `object` is after it was applied: its spec as a whole, with the status and the age of what was there.
fn applied(object: &Object, old: Option<&Object>, now: &Time) -> Object {
    fn meta(new: &ObjectMeta, old: Option<&ObjectMeta>, now: &Time) -> ObjectMeta {
        let created = old.map_or_else(|| Some(now.clone()), |old| old.creation_timestamp.clone());
        ObjectMeta { creation_timestamp: created, ..new.clone() }
    }
    let old_meta = old.map(Object::meta);
    match (object.clone(), old) {
        (Object::ClusterSet(mut new), old) => {
            new.metadata = meta(&new.metadata, old_meta, now);
            if let Some(Object::ClusterSet(ClusterSet { status, .. })) = old {
                new.status.clone_from(status);
            }
            new.into()
        }
        (Object::Cluster(mut new), old) => {
            new.metadata = meta(&new.metadata, old_meta, now);
            if let Some(Object::Cluster(Cluster { status, .. })) = old {
                new.status.clone_from(status);
            }
            new.into()
        }
        (Object::ClusterNode(mut new), old) => {
            new.metadata = meta(&new.metadata, old_meta, now);
            if let Some(Object::ClusterNode(ClusterNode { status, .. })) = old {
                new.status.clone_from(status);
            }
            new.into()
        }
        (other, _) => other,
    }
}

/// What kubectl makes of a kustomization.
fn built(folder: &Path) -> Result<String, Error> {
    let program = format!("kubectl kustomize {}", folder.display());
    let failed = |why: String| Error::Program { program: program.clone(), why };
    let output = Command::new("kubectl").arg("kustomize").arg(folder).output().map_err(|error| {
        failed(format!("{error}; install kubectl, or build it otherwise and give its output with -f -"))
    })?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    String::from_utf8(output.stdout).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_by_kind_and_name() {
        let target = |text: &str| text.parse::<Target>().map(|target| target.to_string());
        assert_eq!(target("cluster/east").unwrap(), "Cluster east");
        assert_eq!(target("Clusters/east").unwrap(), "Cluster east");
        assert_eq!(
            target("clusternode/causeway-cluster-east/n1").unwrap(),
            "ClusterNode causeway-cluster-east/n1"
        );
        for wrong in ["east", "cluster/a/b", "clusternode/n1", "nodeconfig/a/b", "pod/a"] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }
}
