//! Sets everything up: clients, health, the Lease, the loop.

use std::io;
use std::time::Duration;

use causeway_daemon::Complaints;
use causeway_daemon::health::{self, Health};
use causeway_kubernetes::{
    Access, Client, ConnectError, Lease, LeaseSettings, Meter, RequestError, Writer, connect,
};
use causeway_metrics::catalogue::LEADER;
use causeway_metrics::{Metrics, Program};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::args::Cli;
use crate::credential::Credential;
use crate::manager::{Manager, Signals};

/// The name under which fields are owned, and of the Lease.
pub const MANAGER: &str = "causeway-controller-manager";
/// How often the hub's kubeconfig is looked for while it cannot be used.
const RETRY: Duration = Duration::from_secs(2);

/// Why controller-manager does not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no API server to speak to.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The system refused something.
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
}

impl RunError {
    /// Whether what the command line names is at fault.
    pub fn is_input(&self) -> bool {
        matches!(self, RunError::Connect(_))
    }
}

/// Runs until asked to stop.
///
/// # Errors
/// [`RunError`] if it cannot work at all; what may pass is logged and tried again.
pub async fn run(args: Cli) -> Result<(), RunError> {
    let member = connect(&Access { kubeconfig: args.kubeconfig.clone(), context: None }).await?;
    let health = Health::new();
    health.not_ready("hub", "no kubeconfig of the hub was read yet");
    let metrics = Metrics::new(Program::ControllerManager, env!("CARGO_PKG_VERSION"));
    let served = health::serve(args.listen, health.clone(), metrics.clone());
    let identity = causeway_daemon::identity();
    let mut lease = Lease::new(member.clone(), LeaseSettings::new(&args.namespace, MANAGER, identity));
    let held = lease.held();
    let (active, activity) = watch::channel(false);
    let (asked, lease_asked) = mpsc::channel(1);
    let (clients, new_clients) = mpsc::channel(1);
    let result = {
        let credential = Credential::new(&args, member.clone(), held.clone());
        let work = async {
            let (credential, hub) = first_client(credential, &health).await;
            let mut manager = Manager::new(
                args.cluster.clone(),
                args.namespace.clone(),
                Writer::new(hub, MANAGER).under(held.clone()).metered(Meter::new(metrics.clone(), "hub")),
                Writer::new(member.clone(), MANAGER)
                    .under(held.clone())
                    .metered(Meter::new(metrics.clone(), "member")),
                held.clone(),
                health.clone(),
                metrics.clone(),
            );
            let signals = Signals { activity, lease: lease_asked, clients: new_clients };
            tokio::join!(credential.follow(clients), manager.work(signals))
        };
        tokio::select! {
            result = causeway_daemon::stop_requested() => result.map_err(|error| RunError::System("signals", error)),
            result = served => Err(RunError::System("--listen", result.err().unwrap_or_else(|| io::Error::other("closed")))),
            () = hold(&mut lease, &active, &asked, &metrics) => Ok(()),
            _ = work => Ok(()),
        }
    };
    lease.release().await;
    result
}

/// A member can be installed before its credential is there.
async fn first_client(mut credential: Credential, health: &Health) -> (Credential, Client) {
    let mut complaints = Complaints::default();
    loop {
        match credential.read().await {
            Ok(Some(client)) => return (credential, client),
            Ok(None) => {}
            Err(error) => {
                health.not_ready("hub", error.to_string());
                complaints.say([error.to_string()]);
            }
        }
        sleep(RETRY).await;
    }
}

/// Holds the Lease as long as it can be held, and says whether it is and what keeps it from being asked for.
async fn hold(
    lease: &mut Lease,
    active: &watch::Sender<bool>,
    asked: &mpsc::Sender<Result<(), RequestError>>,
    metrics: &Metrics,
) {
    loop {
        metrics.set(&LEADER, &[], 0.0);
        // Where nobody listens yet, the next time tells as much.
        lease.acquire(|result| drop(asked.try_send(result.map_err(Clone::clone)))).await;
        tracing::info!("active");
        active.send_replace(true);
        metrics.set(&LEADER, &[], 1.0);
        let lost = lease.keep().await;
        active.send_replace(false);
        tracing::warn!(error = %lost, "standing by; nothing is written any more");
    }
}
