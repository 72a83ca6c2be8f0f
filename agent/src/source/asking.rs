//! What is asked of the node at its API server: its Diagnosis, watched by itself, so that no plan ever waits for it, and
//! answered in its status.

use std::future::pending;
use std::time::Duration;

use causeway_api::{
    CausewayObject, Change, Diagnosis, DiagnosisStatus, Kind, Object, StatusWriter, own_status,
};
use causeway_kubernetes::{Client, Meter, Problem, Replica, RequestError, Selection, Writer};
use causeway_model::NodeName;
use futures::future::{BoxFuture, FutureExt};
use tokio::time::sleep;

/// How often an answer is written until it is given up: who asked waits no longer.
const ATTEMPTS: usize = 5;
/// The wait between two attempts.
const RETRY: Duration = Duration::from_secs(2);

/// What is asked, and the answer that is being written.
pub struct Asking {
    replica: Replica,
    asked: Option<Diagnosis>,
    answering: Option<BoxFuture<'static, Result<(), RequestError>>>,
}

impl Asking {
    /// Watches what `node` is asked.
    pub fn watch(client: Client, namespace: &str, node: &NodeName, meter: Meter) -> Asking {
        let mut replica = Replica::passing_on(client).metered(meter);
        let namespace = Some(namespace.to_owned());
        let name = Some(node.to_string());
        replica.select(Kind::Diagnosis, Selection { namespace, name, ..Selection::default() });
        Asking { replica, asked: None, answering: None }
    }

    /// What keeps requests from being heard.
    pub fn problems(&self) -> Vec<Problem> {
        self.replica.problems("")
    }

    /// What is asked now.
    pub fn asked(&self) -> Option<&Diagnosis> {
        self.asked.as_ref()
    }

    /// Waits until something else is asked. Giving up waiting loses nothing.
    pub async fn changed(&mut self) {
        loop {
            let Asking { replica, asked, answering } = self;
            let written = async {
                match answering {
                    Some(answering) => answering.await,
                    None => pending().await,
                }
            };
            tokio::select! {
                changes = replica.changed() => {
                    for change in &changes {
                        *asked = match change {
                            Change::Applied(object) => Diagnosis::from_object(object).cloned(),
                            Change::Deleted(_) => None,
                        };
                    }
                    return;
                }
                result = written => {
                    if let Err(error) = result {
                        tracing::warn!(%error, "evidence of a diagnosis not written");
                    }
                    self.answering = None;
                }
            }
        }
    }

    /// Writes what was found, if it is still asked.
    pub fn answer(&mut self, writer: &Writer, status: DiagnosisStatus) {
        let Some(asked) = &self.asked else { return };
        let key = asked.key();
        let answered = Object::Diagnosis(Diagnosis { status: Some(status), ..asked.clone() });
        let status = own_status(&answered, StatusWriter::Agent);
        let writer = writer.clone();
        let write = async move {
            let mut result = writer.apply_status(&key, &status).await;
            for _ in 1..ATTEMPTS {
                if result.is_ok() {
                    break;
                }
                sleep(RETRY).await;
                result = writer.apply_status(&key, &status).await;
            }
            result
        };
        self.answering = Some(write.boxed());
    }
}
