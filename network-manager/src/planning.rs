//! Facts in, plans out, whatever the objects come from and go to: takes changes of objects, lets the
//! planner decide, and knows for each object what should be of it.

use std::collections::BTreeSet;

use causeway_api::{Change, Kind, ObjectRef, Objects};
use causeway_daemon::Complaints;
use causeway_model::{ClusterName, Finding};
use causeway_planner::Planner;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::facts::{Unread, adopted};
use crate::outputs::{Output, Outputs, touched};

/// The planner, fed with objects.
#[derive(Default)]
pub struct Planning {
    planner: Planner,
    unread: Unread,
    outputs: Outputs,
    /// Objects that may not be as they should.
    open: BTreeSet<ObjectRef>,
    complaints: Complaints,
}

impl Planning {
    /// Goes on from the allocations of earlier plans and the facts in `objects`, which have to be all
    /// that there are.
    pub fn new(objects: &Objects) -> Planning {
        let mut planning = Planning::default();
        adopted(objects).into_iter().for_each(|allocation| planning.planner.adopt(allocation));
        let all: Vec<Change> = objects.iter().cloned().map(Change::Applied).collect();
        planning.handle(&all);
        planning
    }

    /// Every change makes the object one to look at, whoever made it: plans that somebody edited are
    /// put right, and a status follows its object.
    pub fn handle(&mut self, changes: &[Change]) {
        // Diagnoses are between who asks and the agents.
        let ours = |change: &&Change| change.key().kind != Kind::Diagnosis;
        for change in changes.iter().filter(ours) {
            if let Some(event) = self.unread.event(change) {
                self.planner.handle(event);
            }
            self.open.insert(change.key());
        }
    }

    /// Plans. What may have to be written since is then [open](Planning::take_open).
    pub fn plan(&mut self) {
        let changes = self.planner.plan();
        self.open.extend(touched(&changes));
        self.outputs.plan.apply(changes);
    }

    /// The objects that may not be as they should.
    pub fn take_open(&mut self) -> BTreeSet<ObjectRef> {
        std::mem::take(&mut self.open)
    }

    /// Keeps an object for another look.
    pub fn reopen(&mut self, key: ObjectRef) {
        self.open.insert(key);
    }

    /// What should be of an object.
    pub fn wanted(&self, key: &ObjectRef, objects: &Objects) -> Output {
        self.outputs.wanted(key, objects, &self.unread, &Time(Timestamp::now()))
    }

    /// Whether an object that network-manager writes whole is part of the plan.
    pub fn is_planned(&self, key: &ObjectRef) -> bool {
        self.outputs.is_planned(key)
    }

    /// Whether anything is planned for the cluster.
    pub fn has_anything_of(&self, cluster: &ClusterName) -> bool {
        self.outputs.plan.clusters.contains_key(cluster)
    }

    /// Everything that was refused or could not be read.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.unread.all().chain(self.outputs.plan.findings())
    }

    /// How many nodes, links and slices are planned.
    pub fn size(&self) -> (usize, usize, usize) {
        let plan = &self.outputs.plan;
        (plan.nodes.len(), plan.links.len(), plan.slices.len())
    }

    /// Logs what is wrong, once: findings, and `problems` of reading.
    pub fn say_problems(&mut self, problems: impl IntoIterator<Item = String>) {
        let findings: Vec<String> = self.findings().map(ToString::to_string).collect();
        self.complaints.say(problems.into_iter().chain(findings));
    }

    /// Logs the findings, once.
    pub fn say_findings(&mut self) {
        self.say_problems([]);
    }
}
