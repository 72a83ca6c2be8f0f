//! A directory with good objects, and beside them one file that is hostile.

use std::fs;
use std::path::PathBuf;

use causeway_api::{
    Cluster, ClusterLink, ClusterNode, ClusterSet, Conversion, FieldError, InvalidObject, NodeConfig,
    PeerSlice, cluster_facts, cluster_plan, cluster_set_facts, link_plan, node_facts, node_plan, slice_plan,
};
use causeway_dataplane::desired::{HostFacts, desired};
use causeway_dataplane::state::{Capabilities, HostAddress};
use causeway_model::{Age, LinkPlan, NodePlan, SlicePlan};
use causeway_objects::Store;
use causeway_planner::checker::{Facts, check};
use causeway_planner::{Event, Plan, Planner};
use tempfile::TempDir;

use crate::mutation::Document;

/// Two clusters that are linked; older than anything beside them.
const GOOD: &str = r#"
apiVersion: causeway.dev/v1alpha1
kind: Cluster
metadata: {name: good, creationTimestamp: "2020-01-01T00:00:00Z"}
spec: {podCIDRs: [10.1.0.0/16, "fd00:1::/48"], serviceCIDRs: [10.96.0.0/16]}
---
apiVersion: causeway.dev/v1alpha1
kind: ClusterNode
metadata: {name: n1, namespace: causeway-cluster-good}
spec: {underlay: [192.0.2.1], podCIDRs: [10.1.1.0/24, "fd00:1:0:1::/64"], ready: true}
---
apiVersion: causeway.dev/v1alpha1
kind: Cluster
metadata: {name: other, creationTimestamp: "2020-01-02T00:00:00Z"}
spec: {mode: Gateway, podCIDRs: [10.2.0.0/16], serviceCIDRs: [10.97.0.0/16]}
---
apiVersion: causeway.dev/v1alpha1
kind: ClusterNode
metadata: {name: n1, namespace: causeway-cluster-other}
spec: {underlay: [192.0.2.2], podCIDRs: [10.2.1.0/24], ready: true}
"#;
const GOOD_CLUSTERS: [&str; 2] = ["good", "other"];
/// The age of the younger of the good clusters.
const YOUNGEST: Age = Age::Created(1_577_923_200);
/// One document in so many goes through the command line as well.
const COMMANDS: u64 = 20;

pub struct Bed {
    directory: TempDir,
    store: Store,
    /// What is planned for the good clusters by themselves.
    alone: Plan,
}

/// What became of a document.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    pub used: bool,
    pub refused: bool,
    pub commanded: bool,
}

/// All that is read out of the objects there.
#[derive(Default)]
struct Read {
    facts: Facts,
    nodes: Vec<NodePlan>,
    links: Vec<LinkPlan>,
    slices: Vec<SlicePlan>,
    errors: Vec<FieldError>,
}

impl Bed {
    pub fn new() -> Bed {
        let directory = TempDir::new().expect("a folder");
        fs::write(directory.path().join("good.yaml"), GOOD).expect("a file");
        let store = Store::open(directory.path()).expect("a store");
        assert!(store.problems().is_empty(), "{:?}", store.problems());
        let alone = of_the_good(plan(&read(&store).facts, &Plan::default()));
        assert_eq!(alone.nodes.len(), 2);
        Bed { directory, store, alone }
    }

    fn file(&self, document: &Document) -> PathBuf {
        self.directory.path().join(if document.json { "hostile.json" } else { "hostile.yaml" })
    }

    /// Reads the document in all ways.
    pub fn try_out(&mut self, seed: u64, document: &Document) -> Result<Outcome, String> {
        let file = self.file(document);
        fs::write(&file, &document.bytes).map_err(|error| error.to_string())?;
        self.store.refresh();
        let outcome = self.judge();
        let commanded = seed.is_multiple_of(COMMANDS);
        let told = if commanded { self.command() } else { Ok(()) };
        fs::remove_file(&file).map_err(|error| error.to_string())?;
        self.store.refresh();
        told?;
        let left = self.store.objects().iter().count();
        if left != 4 || !self.store.problems().is_empty() {
            return Err(format!("leaves {left} objects and {:?}", self.store.problems()));
        }
        outcome.map(|outcome| Outcome { commanded, ..outcome })
    }

    fn judge(&self) -> Result<Outcome, String> {
        for problem in self.store.problems() {
            let text = problem.to_string();
            if !text.contains("hostile.") || problem.cause.to_string().is_empty() {
                return Err(format!("a problem that does not say where: {text}"));
            }
        }
        let read = read(&self.store);
        for FieldError { object, field, message } in &read.errors {
            let named = ["spec", "metadata", "status"].iter().any(|root| field.starts_with(root));
            if !named || message.is_empty() {
                return Err(format!("an error that names no field: {object}: {field:?}: {message:?}"));
            }
        }
        let planned = plan(&read.facts, &self.alone);
        let violations = check(&read.facts, &planned);
        if let Some(violation) = violations.first() {
            return Err(format!("an unsound plan: {violation}"));
        }
        for node in planned.nodes.values().take(8) {
            render(node, planned.links.values(), planned.slices.values());
        }
        for node in &read.nodes {
            render(node, &read.links, &read.slices);
        }
        if harmless_by_right(&read.facts) && of_the_good(planned) != self.alone {
            return Err("changes the plan of the good clusters".to_owned());
        }
        Ok(Outcome {
            used: self.store.objects().iter().count() > 4,
            refused: !read.errors.is_empty() || !self.store.problems().is_empty(),
            commanded: false,
        })
    }

    /// The same through the command line.
    fn command(&self) -> Result<(), String> {
        let directory = self.directory.path().display().to_string();
        for words in [
            vec!["status"],
            vec!["plan"],
            vec!["plan", "-o", "json"],
            vec!["render", "--cluster", "good", "--node", "n1"],
            vec!["render", "--cluster", "hostile", "--node", "n1", "-o", "json"],
            vec!["explain", "--from", "good/n1", "--to", "10.2.1.1"],
        ] {
            let line = [&["causeway"], &words[..1], &["--objects", &directory], &words[1..]].concat();
            let (code, text) = causeway_cli::answer(&line);
            if code > 2 || text.is_empty() {
                return Err(format!("{words:?} ends with {code} and says {text:?}"));
            }
        }
        Ok(())
    }
}

fn read(store: &Store) -> Read {
    let mut read = Read::default();
    let Read { facts, nodes, links, slices, errors } = &mut read;
    for set in store.all::<ClusterSet>().filter(|set| set.metadata.name.as_deref() == Some("default")) {
        facts.cluster_set = take(Ok(cluster_set_facts(Some(set))), errors);
    }
    for cluster in store.all::<Cluster>() {
        if let Some(found) = take(cluster_facts(cluster), errors) {
            facts.clusters.insert(found.name.clone(), found);
        }
        take(cluster_plan(cluster), errors);
    }
    for node in store.all::<ClusterNode>() {
        if let Some(found) = take(node_facts(node), errors) {
            facts.nodes.insert(found.id.clone(), found);
        }
    }
    nodes.extend(store.all::<NodeConfig>().filter_map(|config| take(node_plan(config), errors)));
    links.extend(store.all::<ClusterLink>().filter_map(|link| take(link_plan(link), errors)));
    slices.extend(store.all::<PeerSlice>().filter_map(|slice| take(slice_plan(slice), errors)));
    read
}

fn take<T>(conversion: Result<Conversion<T>, InvalidObject>, errors: &mut Vec<FieldError>) -> Option<T> {
    match conversion {
        Ok(Conversion { value, errors: more }) => {
            errors.extend(more);
            Some(value)
        }
        Err(InvalidObject(error)) => {
            errors.push(error);
            None
        }
    }
}

/// The plan of a network-manager that has given out what `earlier` says.
fn plan(facts: &Facts, earlier: &Plan) -> Plan {
    let mut planner = Planner::new();
    earlier.adopted().for_each(|adopted| planner.adopt(adopted));
    facts.events().for_each(|event: Event| planner.handle(event));
    planner.plan();
    planner.snapshot()
}

/// The kernel state of a node as text.
fn render<'a>(
    node: &NodePlan,
    links: impl IntoIterator<Item = &'a LinkPlan>,
    slices: impl IntoIterator<Item = &'a SlicePlan>,
) {
    let address = |address| HostAddress { address, link: "eth0".to_owned(), mtu: 1500 };
    let host = HostFacts {
        addresses: node.vtep.underlay.addresses().map(address).collect(),
        capabilities: Capabilities { resilient_groups: true, ipv6: true, ..Capabilities::default() },
        ..HostFacts::default()
    };
    let (state, notices) = desired(node, links, slices, &host);
    let _ = format!(
        "{state:?} {notices:?} {}",
        state.firewall.as_ref().map(|rules| rules.to_string()).unwrap_or_default()
    );
}

/// Whether nothing there may concern the good clusters: no settings of all, no node of theirs, no older cluster.
fn harmless_by_right(facts: &Facts) -> bool {
    let good = |name: &str| GOOD_CLUSTERS.contains(&name);
    facts.cluster_set.is_none()
        && facts.clusters.values().all(|cluster| good(cluster.name.as_str()) || cluster.age > YOUNGEST)
        && facts.nodes.keys().filter(|id| good(id.cluster.as_str())).count() == GOOD_CLUSTERS.len()
}

/// What of a plan is the good clusters', but for what is found wrong: of a conflict both are told.
fn of_the_good(mut plan: Plan) -> Plan {
    let good = |name: &causeway_model::ClusterName| GOOD_CLUSTERS.contains(&name.as_str());
    plan.nodes.retain(|id, _| good(&id.cluster));
    plan.slices.retain(|id, _| good(&id.cluster));
    plan.links.retain(|id, _| good(&id.source) && good(&id.remote));
    plan.clusters.retain(|name, _| good(name));
    plan.clusters.values_mut().for_each(|cluster| cluster.findings.clear());
    plan.node_findings.retain(|id, _| good(&id.cluster));
    plan.clusterset_findings.clear();
    plan
}
