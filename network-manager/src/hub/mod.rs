//! Planning a clusterset whose objects are at an API server, the hub. One of several network managers
//! is active, by a Lease; the others keep their view of the objects warm.

mod active;
mod bulletin;
mod rank;
mod registration;
mod request;

use std::cell::RefCell;

use causeway_api::Kind;
use causeway_daemon::Complaints;
use causeway_daemon::health::{self, Health};
use causeway_kubernetes::{
    Access, Client, Lease, LeaseSettings, LeaseTrouble, Meter, Replica, Selection, Writer, connect,
};
use causeway_metrics::catalogue::{LEADER, QUEUE_FAILED, QUEUE_WAITING};
use causeway_metrics::{Metrics, Program};
use tokio::pin;
use tokio::sync::Notify;

use crate::args::HubArgs;
use crate::hub::active::Active;
use crate::run::RunError;

/// The name under which fields are owned, and of the Lease.
pub const MANAGER: &str = "causeway-network-manager";

/// Plans at the hub until asked to stop.
///
/// # Errors
/// [`RunError`] if it cannot work at all; what may pass is logged and tried again.
pub async fn run(args: HubArgs) -> Result<(), RunError> {
    let client = connect(&Access { kubeconfig: args.kubeconfig, context: None }).await?;
    let health = Health::new();
    health.not_ready("objects", "not read yet");
    let metrics = Metrics::new(Program::NetworkManager, env!("CARGO_PKG_VERSION"));
    let served = health::serve(args.listen, health.clone(), metrics.clone());
    let meter = Meter::new(metrics.clone(), "hub");
    let identity = causeway_daemon::identity();
    let settings = LeaseSettings::new(&args.namespace, MANAGER, identity);
    let mut hub = Hub {
        replica: replica(client.clone(), &args.namespace).metered(meter.clone()),
        health,
        client: client.clone(),
        complaints: Complaints::default(),
        metrics,
        meter,
    };
    let mut lease = Lease::new(client, settings);
    let result = tokio::select! {
        result = causeway_daemon::stop_requested() => result.map_err(|error| RunError::System("signals", error)),
        result = served => Err(RunError::System("--listen", result.err().unwrap_or_else(|| std::io::Error::other("closed")))),
        () = hub.work(&mut lease) => Ok(()),
    };
    lease.release().await;
    result
}

/// All our objects but the copies that a controller-manager keeps beside it, where this API server is
/// that of a member too.
fn replica(client: Client, system: &str) -> Replica {
    let mut replica = Replica::new(client);
    // Diagnoses are between who asks and the agents.
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Diagnosis) {
        let not_namespace = kind.namespaced().then(|| system.to_owned());
        replica.select(kind, Selection { not_namespace, ..Selection::default() });
    }
    replica
}

struct Hub {
    client: Client,
    replica: Replica,
    health: Health,
    complaints: Complaints,
    metrics: Metrics,
    meter: Meter,
}

impl Hub {
    /// Stands by, works while the Lease is held, and stands by again.
    async fn work(&mut self, lease: &mut Lease) {
        loop {
            for gauge in [&LEADER, &QUEUE_WAITING, &QUEUE_FAILED] {
                self.metrics.set(gauge, &[], 0.0);
            }
            self.stand_by(lease).await;
            self.metrics.set(&LEADER, &[], 1.0);
            tracing::info!("active");
            let held = lease.held();
            let keep = lease.keep();
            pin!(keep);
            let writer = Writer::new(self.client.clone(), MANAGER);
            let writer = writer.under(held.clone()).metered(self.meter.clone());
            let lost = tokio::select! {
                biased;
                lost = &mut keep => lost,
                lost = async {
                    self.read_all().await;
                    let Hub { replica, health, complaints, metrics, .. } = self;
                    Active::new(replica, health, complaints, metrics, writer, held).work().await
                } => match lost {},
            };
            // What could not be written is another one's now.
            self.health.ready("writes");
            tracing::warn!(error = %lost, "standing by; nothing is written any more");
        }
    }

    async fn stand_by(&mut self, lease: &mut Lease) {
        let (asked, trouble) = (Notify::new(), RefCell::new(LeaseTrouble::default()));
        let acquire = lease.acquire(|result| {
            trouble.borrow_mut().asked(result);
            asked.notify_one();
        });
        pin!(acquire);
        loop {
            tokio::select! {
                () = &mut acquire => break,
                () = asked.notified() => {}
                _ = self.replica.changed() => {}
            }
            self.say(&mut trouble.borrow_mut());
        }
        self.health.ready("lease");
    }

    /// Nothing is planned before everything is known: unknown is not gone.
    async fn read_all(&mut self) {
        while !self.replica.is_complete() {
            self.replica.changed().await;
            self.say(&mut LeaseTrouble::default());
        }
    }

    fn say(&mut self, lease: &mut LeaseTrouble) {
        report(&self.health, &self.replica);
        match lease.error() {
            Some(error) => self.health.not_ready("lease", error.to_string()),
            None => self.health.ready("lease"),
        }
        let mut problems = self.replica.problems("");
        lease.add_to("", &mut problems);
        self.complaints.say(problems);
    }
}

/// Whether the objects are known, for the readiness probe.
fn report(health: &Health, replica: &Replica) {
    if replica.is_complete() && !replica.is_troubled() {
        health.ready("objects");
    } else {
        let problems: Vec<String> = replica.problems("").into_iter().map(|problem| problem.text).collect();
        let text = if problems.is_empty() { "not read yet".to_owned() } else { problems.join("; ") };
        health.not_ready("objects", text);
    }
}
