//! Health as Kubernetes asks for it (<https://kubernetes.io/docs/reference/using-api/health-checks/>):
//! `/healthz` is answered by the thread that does the work, so it answers just if that goes on; `/readyz`
//! says what is missing.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

/// What has to be so for the program to be ready, by name.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<BTreeMap<&'static str, Result<(), String>>>>);

impl Health {
    /// Nothing is asked for yet.
    pub fn new() -> Health {
        Health::default()
    }

    /// `check` is as it should be.
    pub fn ready(&self, check: &'static str) {
        self.set(check, Ok(()));
    }

    /// `check` is not as it should be, and why.
    pub fn not_ready(&self, check: &'static str, why: impl Into<String>) {
        self.set(check, Err(why.into()));
    }

    fn set(&self, check: &'static str, state: Result<(), String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(check, state);
    }

    /// Whether all checks are as they should be, and a line for each.
    pub fn report(&self) -> (bool, String) {
        let checks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = checks.iter().map(|(check, state)| match state {
            Ok(()) => format!("{check}: ok\n"),
            Err(why) => format!("{check}: {why}\n"),
        });
        (checks.values().all(Result::is_ok), lines.collect())
    }
}

/// Serves `GET /healthz` and `GET /readyz` at `address` until it is dropped.
///
/// # Errors
/// If the address cannot be listened on.
pub async fn serve(address: SocketAddr, health: Health) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let router = Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(ready));
    axum::serve(listener, router.with_state(health)).await
}

async fn ready(State(health): State<Health>) -> (StatusCode, String) {
    let (ready, report) = health.report();
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_check_that_fails_is_enough_and_says_why() {
        let health = Health::new();
        assert!(health.report().0);
        health.ready("objects");
        health.not_ready("kernel", "no netlink");
        assert_eq!(health.report(), (false, "kernel: no netlink\nobjects: ok\n".to_owned()));
        health.ready("kernel");
        assert!(health.report().0);
    }
}
