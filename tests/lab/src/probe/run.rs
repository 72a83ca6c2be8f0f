//! Sends many probes at once: sources side by side, and of each source UDP first, then ICMP, then
//! TCP. A path on which the small UDP probe found nobody is not tried for long with the others.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use causeway_model::Family;

use super::datagram::Request;
use super::{Outcome, Probe, Protocol, Size, connection, datagram};
use crate::bed::endpoint_namespace;
use crate::error::{LabError, Result};
use crate::topology::Endpoint;

/// Sources that send at the same time.
const SOURCES: usize = 12;
/// TCP connections that one source has open at the same time.
const CONNECTIONS: usize = 12;

/// Sends all probes, inside the bed; outcomes come in the order of the probes. Each waits `limit`
/// for its answer.
pub(crate) fn run(probes: &[Probe], limit: Duration) -> Result<Vec<Outcome>> {
    let mut sources: BTreeMap<&Endpoint, Vec<usize>> = BTreeMap::new();
    for (index, probe) in probes.iter().enumerate() {
        sources.entry(&probe.from).or_default().push(index);
    }
    let sources: Vec<(&Endpoint, Vec<usize>)> = sources.into_iter().collect();
    let outcomes: Mutex<Vec<Outcome>> = Mutex::new(vec![Outcome::NoAddress; probes.len()]);
    let failure: Mutex<Option<LabError>> = Mutex::new(None);
    in_parallel(&sources, SOURCES, |(source, indexes)| {
        let namespace = endpoint_namespace(source);
        let result = namespace.within(|| {
            from_source(probes, indexes, limit)
                .map_err(|e| LabError::Socket { namespace: namespace.name().to_owned(), source: e })
        });
        match result {
            Ok(found) => {
                let mut outcomes = lock(&outcomes);
                found.into_iter().for_each(|(index, outcome)| outcomes[index] = outcome);
            }
            Err(error) => drop(lock(&failure).get_or_insert(error)),
        }
    });
    match lock(&failure).take() {
        Some(error) => Err(error),
        None => Ok(outcomes.into_inner().unwrap_or_else(|e| e.into_inner())),
    }
}

/// All probes of one source, by a thread that is in its namespace.
fn from_source(
    probes: &[Probe],
    indexes: &[usize],
    limit: Duration,
) -> std::io::Result<Vec<(usize, Outcome)>> {
    let mut found: Vec<(usize, Outcome)> = Vec::new();
    for family in Family::BOTH {
        for protocol in [Protocol::Udp, Protocol::Icmp] {
            let batch: Vec<(usize, Request)> = requests(probes, indexes, family, protocol);
            if batch.is_empty() {
                continue;
            }
            let socket = datagram::open(family, protocol)?;
            let requests: Vec<Request> = batch.iter().map(|(_, request)| *request).collect();
            let outcomes = datagram::exchange(socket, family, protocol, &requests, limit);
            found.extend(batch.iter().map(|(index, _)| *index).zip(outcomes));
        }
    }
    let dead = |request: &Request| {
        found.iter().any(|(index, outcome)| {
            let probe = &probes[*index];
            let small_udp = probe.protocol == Protocol::Udp && probe.size == Size::Small;
            small_udp && probe.address == Some(request.address) && !matches!(outcome, Outcome::Answered(_))
        })
    };
    let mut batch: Vec<(usize, Request)> = Vec::new();
    for family in Family::BOTH {
        batch.extend(requests(probes, indexes, family, Protocol::Tcp));
    }
    let batch: Vec<(usize, Request, Duration)> =
        batch.into_iter().map(|(i, r)| (i, r, if dead(&r) { limit / 4 } else { limit })).collect();
    let answers: Mutex<Vec<(usize, Outcome)>> = Mutex::new(Vec::new());
    in_parallel(&batch, CONNECTIONS, |(index, request, limit)| {
        let outcome = connection::exchange(*request, probes[*index].size, *limit);
        lock(&answers).push((*index, outcome));
    });
    found.extend(answers.into_inner().unwrap_or_else(|e| e.into_inner()));
    Ok(found)
}

fn requests(
    probes: &[Probe],
    indexes: &[usize],
    family: Family,
    protocol: Protocol,
) -> Vec<(usize, Request)> {
    let wanted = indexes.iter().filter(|i| probes[**i].family == family && probes[**i].protocol == protocol);
    wanted
        .filter_map(|i| Some((*i, Request { address: probes[*i].address?, length: probes[*i].length })))
        .collect()
}

/// Does `work` on each item in up to `width` threads of the same namespaces as this one.
fn in_parallel<T: Sync>(items: &[T], width: usize, work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..width.min(items.len()) {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(item);
                }
            });
        }
    });
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}
