//! The objects that a bed's clusters announce. The lab stands where the controller-manager stands in
//! a cluster: it writes ClusterSet, Cluster and ClusterNode, and reads what network-manager makes of
//! them.
//!
//! Objects are plain values here: the lab judges the programs from outside and shares no type of
//! theirs.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use causeway_model::{ClusterName, NodeId, Prefix, cluster_namespace};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{LabError, Result};
use crate::state::write_whole;
use crate::topology::{Cluster, Node, Topology};

const API_VERSION: &str = "causeway.dev/v1alpha1";

/// A directory of objects, as the programs take it with `--objects`.
#[derive(Clone, Debug)]
pub struct Objects {
    directory: PathBuf,
}

/// What the lab reads of a NodeConfig.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeConfigFacts {
    /// The node's overlay addresses.
    pub overlay: Vec<IpAddr>,
    /// Prefixes of its cluster that others see under another.
    #[serde(rename = "globalCIDRs", default)]
    pub global_cidrs: Vec<GlobalCidr>,
}

/// A prefix and what others see in its place.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct GlobalCidr {
    pub cidr: Prefix,
    pub global: Prefix,
}

impl Objects {
    /// The objects in `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Objects {
        Objects { directory: directory.into() }
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file of the ClusterSet.
    pub fn cluster_set_file(&self) -> PathBuf {
        self.directory.join("clustersets/default.yaml")
    }

    /// The file of a Cluster.
    pub fn cluster_file(&self, cluster: &ClusterName) -> PathBuf {
        self.directory.join(format!("clusters/{cluster}.yaml"))
    }

    /// The file of an object of a cluster's namespace, for example `clusternodes` or `nodeconfigs`.
    pub fn file(&self, plural: &str, cluster: &ClusterName, name: &str) -> PathBuf {
        self.directory.join(format!("{plural}/{}/{name}.yaml", cluster_namespace(cluster)))
    }

    /// Writes everything that a topology announces.
    pub(crate) fn write_all(&self, topology: &Topology) -> Result<()> {
        fs::create_dir_all(&self.directory).map_err(LabError::file("create", &self.directory))?;
        if let Some(spec) = &topology.cluster_set {
            let metadata = json!({"name": "default"});
            self.write(&self.cluster_set_file(), &object("ClusterSet", metadata, spec.clone()))?;
        }
        for cluster in topology.clusters.iter().filter(|cluster| cluster.linked) {
            self.write_cluster(cluster)?;
            cluster.nodes.iter().try_for_each(|node| self.write_node(cluster, node))?;
        }
        Ok(())
    }

    /// Writes a Cluster: the spec of the lab file, with the CIDRs that discovery would find.
    pub(crate) fn write_cluster(&self, cluster: &Cluster) -> Result<()> {
        let mut spec = cluster.spec.clone();
        if let Value::Object(fields) = &mut spec {
            fields.entry("podCIDRs").or_insert_with(|| json!(cluster.pod_cidrs));
            fields.entry("serviceCIDRs").or_insert_with(|| json!(cluster.service_cidrs));
        }
        // The order of the file is the order of age: it decides conflicts.
        let (hours, minutes) = (cluster.index / 60, cluster.index % 60);
        let created = format!("2026-01-01T{hours:02}:{minutes:02}:00Z");
        let metadata = json!({"name": cluster.name, "creationTimestamp": created});
        self.write(&self.cluster_file(&cluster.name), &object("Cluster", metadata, spec))
    }

    /// Writes a ClusterNode.
    pub(crate) fn write_node(&self, cluster: &Cluster, node: &Node) -> Result<()> {
        let mut spec = json!({
            "underlay": node.addresses,
            "podCIDRs": node.pod_cidrs,
            "ready": node.ready,
            "labels": node.labels,
        });
        if let Some(zone) = &node.zone {
            spec["zone"] = json!(zone);
        }
        let metadata = json!({"name": node.name, "namespace": cluster_namespace(&cluster.name)});
        let file = self.file("clusternodes", &cluster.name, node.name.as_str());
        self.write(&file, &object("ClusterNode", metadata, spec))
    }

    /// Removes a ClusterNode, as when its node leaves the cluster.
    ///
    /// # Errors
    /// The file cannot be removed, for example since it is not there.
    pub fn remove_node(&self, node: &NodeId) -> Result<()> {
        remove(&self.file("clusternodes", &node.cluster, node.node.as_str()))
    }

    /// Removes a Cluster and its ClusterNodes.
    ///
    /// # Errors
    /// A file cannot be removed, for example since it is not there.
    pub fn remove_cluster(&self, cluster: &ClusterName) -> Result<()> {
        remove(&self.cluster_file(cluster))?;
        let nodes = self.directory.join(format!("clusternodes/{}", cluster_namespace(cluster)));
        fs::remove_dir_all(&nodes).map_err(LabError::file("remove", &nodes))
    }

    /// Changes the spec of a Cluster by a JSON merge patch (RFC 7396): `null` removes a field.
    ///
    /// # Errors
    /// The file cannot be read, understood or written.
    pub fn patch_cluster(&self, cluster: &ClusterName, patch: &Value) -> Result<()> {
        self.patch(&self.cluster_file(cluster), patch)
    }

    /// Changes the spec of a ClusterNode by a JSON merge patch (RFC 7396).
    ///
    /// # Errors
    /// The file cannot be read, understood or written.
    pub fn patch_node(&self, node: &NodeId, patch: &Value) -> Result<()> {
        self.patch(&self.file("clusternodes", &node.cluster, node.node.as_str()), patch)
    }

    fn patch(&self, file: &Path, patch: &Value) -> Result<()> {
        let mut document = self.read(file)?;
        merge(&mut document["spec"], patch);
        self.write(file, &document)
    }

    /// Reads one document.
    ///
    /// # Errors
    /// The file cannot be read or understood.
    pub fn read(&self, file: &Path) -> Result<Value> {
        let text = fs::read_to_string(file).map_err(LabError::file("read", file))?;
        serde_saphyr::from_str(&text).map_err(|e| document(file, e.to_string()))
    }

    /// Writes one document whole.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, file: &Path, document_value: &Value) -> Result<()> {
        let text = serde_saphyr::to_string(document_value).map_err(|e| document(file, e.to_string()))?;
        write_whole(file, &text)
    }

    /// What network-manager planned for a node; `None` if it planned nothing, or nothing yet.
    pub(crate) fn node_config(&self, node: &NodeId) -> Result<Option<NodeConfigFacts>> {
        let file = self.file("nodeconfigs", &node.cluster, node.node.as_str());
        if !file.exists() {
            return Ok(None);
        }
        let mut object = self.read(&file)?;
        serde_json::from_value(object["spec"].take()).map(Some).map_err(|e| document(&file, e.to_string()))
    }
}

fn object(kind: &str, metadata: Value, spec: Value) -> Value {
    json!({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec})
}

fn remove(file: &Path) -> Result<()> {
    fs::remove_file(file).map_err(LabError::file("remove", file))
}

fn document(file: &Path, message: String) -> LabError {
    LabError::Document { what: file.display().to_string(), message }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, change) in changes {
        match (change, target.as_object_mut()) {
            (Value::Null, Some(fields)) => {
                fields.remove(key);
            }
            (_, _) => merge(&mut target[key], change),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_replaces_adds_and_removes() {
        let mut value = json!({"mode": "P2P", "gateways": {"count": 2, "nodeSelector": {}}});
        merge(
            &mut value,
            &json!({"mode": "Gateway", "gateways": {"nodeSelector": null}, "ipFamilies": ["IPv4"]}),
        );
        assert_eq!(value, json!({"mode": "Gateway", "gateways": {"count": 2}, "ipFamilies": ["IPv4"]}));
    }

    #[test]
    fn a_patched_cluster_keeps_the_rest_of_its_spec() {
        let directory = tempfile::tempdir().unwrap();
        let objects = Objects::new(directory.path());
        let topology = Topology::parse("clusters: [{name: a, nodes: 1, spec: {mode: P2P}}]", "x").unwrap();
        objects.write_all(&topology).unwrap();
        let a = "a".parse().unwrap();
        objects.patch_cluster(&a, &json!({"mode": "Gateway"})).unwrap();
        let spec = &objects.read(&objects.cluster_file(&a)).unwrap()["spec"];
        assert_eq!(spec["mode"], "Gateway");
        assert_eq!(spec["podCIDRs"], json!(["10.1.0.0/16", "fd10:1::/48"]));
        objects.remove_node(&"a/n1".parse().unwrap()).unwrap();
        assert!(objects.remove_node(&"a/n1".parse().unwrap()).is_err());
    }
}
