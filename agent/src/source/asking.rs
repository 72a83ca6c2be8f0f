//! What is asked of the node at its API server: its Diagnosis, read when a label of its NodeConfig says that there is a new
//! one, and answered in its status. No watch is spent on what is asked once a year.

use std::future::pending;
use std::time::Duration;

use causeway_api::{
    ASKED_LABEL, CausewayObject, Change, Diagnosis, DiagnosisStatus, Kind, Object, ObjectRef, StatusWriter,
    own_status,
};
use causeway_kubernetes::{RequestError, Writer};
use futures::future::{BoxFuture, FutureExt};
use tokio::time::sleep;

/// How often a request is sent until it is given up: who asked waits no longer.
const ATTEMPTS: usize = 5;
/// The wait between two attempts.
const RETRY: Duration = Duration::from_secs(2);

/// What is asked, and the answer that is being written.
#[derive(Default)]
pub struct Asking {
    /// The label's value.
    label: Option<String>,
    asked: Option<Diagnosis>,
    reading: Option<BoxFuture<'static, Result<Option<Object>, RequestError>>>,
    answering: Option<BoxFuture<'static, Result<(), RequestError>>>,
}

impl Asking {
    /// Takes in what changed of the node's NodeConfig.
    pub fn handle(&mut self, change: &Change, writer: &Writer) {
        let key = change.key();
        if key.kind != Kind::NodeConfig {
            return;
        }
        let label = match change {
            Change::Applied(object) => {
                object.meta().labels.as_ref().and_then(|labels| labels.get(ASKED_LABEL))
            }
            Change::Deleted(_) => None,
        };
        if self.label.as_ref() == label {
            return;
        }
        self.label = label.cloned();
        self.asked = None;
        let (writer, key) = (writer.clone(), ObjectRef { kind: Kind::Diagnosis, ..key });
        let read = move || {
            let (writer, key) = (writer.clone(), key.clone());
            async move { writer.read(&key).await }
        };
        self.reading = label.map(|_| attempts(read).boxed());
    }

    /// What is asked now.
    pub fn asked(&self) -> Option<&Diagnosis> {
        self.asked.as_ref()
    }

    /// Waits until something else is asked. Giving up waiting loses nothing.
    pub async fn changed(&mut self) {
        loop {
            let Asking { reading, answering, .. } = self;
            tokio::select! {
                result = or_never(reading) => {
                    self.reading = None;
                    match result {
                        Ok(found) => {
                            self.asked = found.as_ref().and_then(Diagnosis::from_object).cloned();
                            return;
                        }
                        Err(error) => tracing::warn!(%error, "what is asked for a diagnosis is not known"),
                    }
                }
                result = or_never(answering) => {
                    self.answering = None;
                    if let Err(error) = result {
                        tracing::warn!(%error, "evidence of a diagnosis not written");
                    }
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
        let write = attempts(move || {
            let (writer, key, status) = (writer.clone(), key.clone(), status.clone());
            async move { writer.apply_status(&key, &status).await }
        });
        self.answering = Some(write.boxed());
    }
}

async fn or_never<T>(request: &mut Option<BoxFuture<'static, T>>) -> T {
    match request {
        Some(request) => request.await,
        None => pending().await,
    }
}

async fn attempts<T, F>(request: impl Fn() -> F) -> Result<T, RequestError>
where
    F: Future<Output = Result<T, RequestError>>,
{
    let mut result = request().await;
    for _ in 1..ATTEMPTS {
        if result.is_ok() {
            break;
        }
        sleep(RETRY).await;
        result = request().await;
    }
    result
}
