//! Tests on request: what a Diagnosis asks this node's agent to find out. Real packets to the targets, an ear for
//! theirs, and a look at what on this node may be in the way. Nothing is judged here, and nothing is done that nobody
//! asked for.

mod alone;
mod counters;
mod echo;
mod exchange;
mod filters;
mod host;
mod overheard;
mod services;
mod trouble;

use std::future::pending;

use causeway_api::{Diagnosis, DiagnosisSpec, DiagnosisStatus, Obstacle};
use causeway_model::NodePlan;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use tokio::task::JoinHandle;

pub use alone::alone;
pub use trouble::{left_to_do, obstacles};

use crate::plans::Known;

/// What a node is by its plan, as far as tests need it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its own plan.
    pub node: NodePlan,
}

impl Subject {
    /// The node of a plan; `None` while there is none.
    fn of(known: Known<'_>) -> Option<Subject> {
        let Known::Plan(inputs) = known else { return None };
        Some(Subject { node: inputs.node().clone() })
    }
}

/// The test that is under way, and the request that was answered last.
#[derive(Debug, Default)]
pub struct Examination {
    taken_up: Option<String>,
    under_way: Option<JoinHandle<DiagnosisStatus>>,
}

impl Examination {
    /// Begins a test if `asked` is a request that was not taken up yet. `trouble` is what keeps the kernel from being
    /// as planned.
    pub fn consider(&mut self, asked: Option<&Diagnosis>, known: Known<'_>, trouble: &[Obstacle]) {
        let Some(asked) = asked else { return };
        let request = &asked.spec.request;
        let answered = asked.status.as_ref().is_some_and(|status| status.request == *request);
        if answered || self.taken_up.as_ref() == Some(request) || self.under_way.is_some() {
            return;
        }
        tracing::info!(%request, targets = asked.spec.targets.len(), "testing for a diagnosis");
        self.taken_up = Some(request.clone());
        let (spec, subject, trouble) = (asked.spec.clone(), Subject::of(known), trouble.to_vec());
        self.under_way = Some(tokio::task::spawn_blocking(move || examine(&spec, subject.as_ref(), trouble)));
    }

    /// Waits for the end of the test that is under way. Giving up waiting loses nothing.
    pub async fn finished(&mut self) -> DiagnosisStatus {
        loop {
            let Some(under_way) = &mut self.under_way else { return pending().await };
            let result = under_way.await;
            self.under_way = None;
            match result {
                Ok(status) => return status,
                Err(error) => tracing::error!(%error, "the test for a diagnosis ended without evidence"),
            }
        }
    }
}

/// Tests, for some seconds, on a thread of its own.
fn examine(spec: &DiagnosisSpec, subject: Option<&Subject>, trouble: Vec<Obstacle>) -> DiagnosisStatus {
    let began_at = Some(Time(Timestamp::now()));
    let mut unknown = Vec::new();
    let before = counters::read(&mut unknown);
    let exchange::Exchange { paths, heard, services } = exchange::run(spec, subject, &mut unknown);
    let mut host = host::look(subject, &paths, &mut unknown);
    host.counters = counters::growth(&before, &counters::read(&mut Vec::new()));
    host.obstacles.extend(trouble);
    host.obstacles.truncate(64);
    unknown.truncate(16);
    host.unknown = unknown;
    DiagnosisStatus {
        request: spec.request.clone(),
        began_at,
        paths,
        heard,
        services,
        host: Some(host),
        ..DiagnosisStatus::default()
    }
}
