//! Health as Kubernetes asks for it (<https://kubernetes.io/docs/reference/using-api/health-checks/>):
//! `/healthz` is answered by the thread that does the work, so it answers just if that goes on; `/readyz`
//! says what is missing. Beside them `/metrics`.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use causeway_metrics::catalogue::HEALTH;
use causeway_metrics::{MEDIA_TYPE, Metrics, Page, Value};
use tokio::net::TcpListener;

use crate::process;

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

    fn put(&self, page: &mut Page) {
        let checks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (check, state) in checks.iter() {
            page.put(&HEALTH, &[check], Value::Count(u64::from(state.is_ok())));
        }
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

/// Serves `GET /healthz`, `GET /readyz` and `GET /metrics` at `address` until it is dropped. Checks and process are
/// among the metrics.
///
/// # Errors
/// If the address cannot be listened on.
pub async fn serve(address: SocketAddr, health: Health, metrics: Metrics) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let checks = health.clone();
    metrics.on_scrape(move |page| {
        checks.put(page);
        process::put(page);
    });
    let probes = Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(ready));
    let numbers = Router::new().route("/metrics", get(scrape)).with_state(metrics);
    axum::serve(listener, probes.with_state(health).merge(numbers)).await
}

async fn scrape(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], metrics.text())
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

    #[test]
    fn checks_are_metrics() {
        let (health, mut page) = (Health::new(), Page::default());
        health.ready("objects");
        health.not_ready("kernel", "no netlink");
        health.put(&mut page);
        let text = page.text().unwrap();
        assert!(text.contains("causeway_health_check{check=\"kernel\"} 0\n"), "{text}");
        assert!(text.contains("causeway_health_check{check=\"objects\"} 1\n"), "{text}");
    }
}
