//! One active of several: a Lease (coordination.k8s.io/v1), as controllers of Kubernetes use it.
//!
//! A holder counts its time from *before* the request that renewed the Lease, and the others from after
//! they saw it renewed. So a holder that cannot renew stops before another one starts, whatever their
//! clocks say.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease as LeaseObject, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube_client::api::PostParams;
use kube_client::{Api, Client, Error};
use tokio::time::{Instant, sleep, timeout};

use crate::RequestError;

/// Which Lease, who asks for it, and how long it lasts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaseSettings {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who asks: different for each process.
    pub identity: String,
    /// How long after the last renewal another one may take it. At least a second.
    pub duration: Duration,
    /// How often it is renewed, and looked at by those who wait for it.
    pub renew: Duration,
}

impl LeaseSettings {
    /// A Lease that lasts for 10 s and is renewed every 2 s.
    pub fn new(namespace: &str, name: &str, identity: String) -> LeaseSettings {
        LeaseSettings {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity,
            duration: Duration::from_secs(10),
            renew: Duration::from_secs(2),
        }
    }
}

/// Why a Lease is not held any more.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else has it.
    #[error("the Lease {namespace}/{name} is held by {holder}")]
    Taken {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Who has it.
        holder: String,
    },
    /// It could not be renewed in time.
    #[error("the Lease could not be renewed in time: {0}")]
    Expired(RequestError),
}

/// Whether a Lease is held, for those who act under it.
#[derive(Clone, Debug)]
pub struct Held(Arc<Mutex<Option<Instant>>>);

impl Held {
    /// Whether it is held now, for sure.
    pub fn is_held(&self) -> bool {
        self.until().is_some_and(|until| Instant::now() < until)
    }

    fn until(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, until: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// A Lease that this process wants to hold.
pub struct Lease {
    api: Api<LeaseObject>,
    settings: LeaseSettings,
    held: Held,
    /// What another holder last wrote, and when we first saw it.
    seen: Option<(LeaseSpec, Instant)>,
}

impl Lease {
    /// Not held yet.
    pub fn new(client: Client, settings: LeaseSettings) -> Lease {
        let api = Api::namespaced(client, &settings.namespace);
        Lease { api, settings, held: Held(Arc::new(Mutex::new(None))), seen: None }
    }

    /// Whether it is held, for those who act under it.
    pub fn held(&self) -> Held {
        self.held.clone()
    }

    /// Waits until it is held. Each time that it was asked for is told to `say`, with what kept it from being
    /// asked for.
    pub async fn acquire(&mut self, mut say: impl FnMut(Result<(), &RequestError>)) {
        loop {
            match self.attempt().await {
                Ok(holder) => {
                    say(Ok(()));
                    if holder.is_none() {
                        return;
                    }
                }
                Err(error) => say(Err(&error)),
            }
            sleep(self.settings.renew).await;
        }
    }

    /// Keeps it. Returns only when it is not held any more, and why. Giving up waiting is fine as long
    /// as it is called again soon.
    pub async fn keep(&mut self) -> LeaseError {
        loop {
            sleep(self.settings.renew).await;
            let until = self.held.until().unwrap_or_else(Instant::now);
            let left = until.saturating_duration_since(Instant::now());
            let error = match timeout(left, self.attempt()).await {
                Ok(Ok(None)) => continue,
                Ok(Ok(Some(holder))) => {
                    self.held.set(None);
                    let LeaseSettings { namespace, name, .. } = self.settings.clone();
                    return LeaseError::Taken { namespace, name, holder };
                }
                Ok(Err(error)) => error,
                Err(_) => self.error("renew", &timed_out()),
            };
            if !self.held.is_held() {
                self.held.set(None);
                return LeaseError::Expired(error);
            }
        }
    }

    /// Gives it up, so that another one can start at once.
    pub async fn release(&mut self) {
        if !self.held.is_held() {
            return;
        }
        self.held.set(None);
        let Ok(Some(mut lease)) = self.api.get_opt(&self.settings.name).await else { return };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() == Some(self.settings.identity.as_str()) {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            let replaced = self.api.replace(&self.settings.name, &PostParams::default(), &lease).await;
            if let Err(error) = replaced {
                tracing::debug!(%error, "Lease not given up; it will expire");
            }
        }
    }

    /// Asks for it once. The holder, if it is somebody else.
    async fn attempt(&mut self) -> Result<Option<String>, RequestError> {
        let asked = Instant::now();
        let name = self.settings.name.clone();
        let found = self.api.get_opt(&name).await.map_err(|error| self.error("read", &error))?;
        let Some(mut lease) = found else {
            let metadata = ObjectMeta { name: Some(name), ..ObjectMeta::default() };
            let lease = LeaseObject { metadata, spec: Some(self.spec(None)) };
            return match self.api.create(&PostParams::default(), &lease).await {
                Ok(_) => Ok(self.holds_since(asked)),
                // Another one was faster.
                Err(Error::Api(status)) if status.code == 409 => Ok(Some("another one".to_owned())),
                Err(error) => Err(self.error("create", &error)),
            };
        };
        let spec = lease.spec.clone().unwrap_or_default();
        if let Some(holder) = self.other_holder(&spec, asked) {
            return Ok(Some(holder));
        }
        lease.spec = Some(self.spec(Some(&spec)));
        match self.api.replace(&name, &PostParams::default(), &lease).await {
            Ok(_) => Ok(self.holds_since(asked)),
            Err(Error::Api(status)) if status.code == 409 => Ok(Some("another one".to_owned())),
            Err(error) => Err(self.error("renew", &error)),
        }
    }

    /// Who else holds it now. Its time runs from when we first saw what it wrote last.
    fn other_holder(&mut self, spec: &LeaseSpec, now: Instant) -> Option<String> {
        let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty())?;
        if holder == self.settings.identity {
            return None;
        }
        if self.seen.as_ref().is_none_or(|(seen, _)| seen != spec) {
            self.seen = Some((spec.clone(), now));
        }
        let seconds = spec.lease_duration_seconds.unwrap_or_default().max(1);
        let lasts = Duration::from_secs(seconds.unsigned_abs().into());
        let expired = self.seen.as_ref().is_some_and(|(_, since)| now.duration_since(*since) >= lasts);
        (!expired).then_some(holder)
    }

    fn holds_since(&mut self, asked: Instant) -> Option<String> {
        self.seen = None;
        self.held.set(Some(asked + self.settings.duration));
        None
    }

    fn spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let identity = Some(self.settings.identity.clone());
        let ours = before.filter(|before| before.holder_identity == identity);
        let transitions = before.map(|before| before.lease_transitions.unwrap_or_default());
        LeaseSpec {
            holder_identity: identity,
            lease_duration_seconds: i32::try_from(self.settings.duration.as_secs()).ok(),
            acquire_time: ours.and_then(|ours| ours.acquire_time.clone()).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(match transitions {
                None => 0,
                Some(count) if ours.is_some() => count,
                Some(count) => count.saturating_add(1),
            }),
            ..LeaseSpec::default()
        }
    }

    fn error(&self, verb: &str, error: &Error) -> RequestError {
        let LeaseSettings { namespace, name, .. } = &self.settings;
        RequestError::new(format!("{verb} Lease {namespace}/{name}"), error)
    }
}

fn timed_out() -> Error {
    Error::Service("the API server did not answer in time".into())
}
