//! Health as Kubernetes asks for it (<https://kubernetes.io/docs/reference/using-api/health-checks/>):
//! `/healthz` is answered by the thread that does the work, so it answers just if that goes on; `/readyz`
//! says what is missing. Beside them `/metrics`, and `/log`, by which levels of log lines are changed from loopback.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{ConnectInfo, RawQuery, Request as Asked, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_metrics::catalogue::HEALTH;
use causeway_metrics::{MEDIA_TYPE, Metrics, Page, Value};
use tokio::net::TcpListener;

use crate::levels::{LevelError, Levels, Request};
use crate::{LEVELS, process};

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
/// among the metrics. To who asks from loopback it also serves `/log`: `GET` tells the levels of log lines, `PUT` with
/// `?level=LEVEL&for=TIME` changes them, `DELETE` has those of the start again.
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
    let mut all = probes.with_state(health).merge(numbers);
    if let Some(levels) = LEVELS.get() {
        all = all.merge(log(levels.clone()));
    }
    axum::serve(listener, all.into_make_service_with_connect_info::<SocketAddr>()).await
}

/// Changing something is for who is on this host, or in this Pod, which `kubectl port-forward` is too: others reach the
/// port, where metrics are read from outside.
fn log(levels: Levels) -> Router {
    let routes = get(show_levels).put(set_levels).delete(reset_levels);
    Router::new().route("/log", routes.layer(from_fn(from_loopback))).with_state(levels)
}

async fn from_loopback(ConnectInfo(peer): ConnectInfo<SocketAddr>, asked: Asked, next: Next) -> Response {
    // Of a socket for both families an IPv4 peer is one mapped into IPv6.
    if peer.ip().to_canonical().is_loopback() {
        return next.run(asked).await;
    }
    let told = "levels of log lines are for loopback; go there by kubectl port-forward\n";
    (StatusCode::FORBIDDEN, told).into_response()
}

async fn show_levels(State(levels): State<Levels>) -> String {
    levels.to_string()
}

async fn set_levels(State(levels): State<Levels>, RawQuery(query): RawQuery) -> (StatusCode, String) {
    let request = Request::read(&query.unwrap_or_default());
    answer(&levels, request.and_then(|request| levels.set(request)))
}

async fn reset_levels(State(levels): State<Levels>) -> (StatusCode, String) {
    answer(&levels, levels.reset())
}

fn answer(levels: &Levels, result: Result<(), LevelError>) -> (StatusCode, String) {
    match result {
        Ok(()) => (StatusCode::OK, levels.to_string()),
        Err(error @ LevelError::Reload(_)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
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
