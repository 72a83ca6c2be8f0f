//! Nodes that come to a bed which is up, and nodes that go.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use causeway_model::{ClusterName, NodeId};

use crate::daemon::{self, Daemon};
use crate::error::{LabError, Result};
use crate::holder;
use crate::probe::plan::Knowledge;
use crate::probe::stream::{self, StreamOptions};
use crate::state::State;
use crate::topology::{ControlPlane, Endpoint, PodId};
use crate::{bed, kubernetes};

/// Time between two packets that try to reach the endpoint.
const TRY: Duration = Duration::from_millis(2);

/// Adds a node and announces it. Says its name, and after it in microseconds how long it took from then until its
/// first pod reached an endpoint, where that is asked for.
pub(crate) fn add(cluster: &ClusterName, yaml: &str, reach: Option<&Endpoint>) -> Result<String> {
    let mut state = State::load()?;
    let id = state.topology.add_node(cluster, yaml)?;
    let Some((cluster, node)) = state.topology.node(&id) else {
        return Err(LabError::UnknownEndpoint(id.to_string()));
    };
    bed::add_node(cluster, node)?;
    let hosts: Vec<Endpoint> =
        state.topology.endpoints().into_iter().filter(|e| e.node() == Some(&id)).collect();
    daemon::start_echo(&format!("echo_{}_{}", id.cluster, id.node), &hosts)?;
    let announced = Instant::now();
    let linked = cluster.linked;
    match state.topology.control_plane {
        ControlPlane::Files if !linked => {}
        ControlPlane::Files => holder::objects().write_node(cluster, node)?,
        ControlPlane::Kubernetes => kubernetes::add_node(&mut state, &id)?,
    }
    state.save()?;
    if state.programs.is_some() && linked {
        daemon::start_agent(&state, &id)?;
    }
    let Some(reach) = reach else { return Ok(id.to_string()) };
    let reached = first_answer(&state, &id, reach, announced)?;
    Ok(format!("{id} {}", reached.as_micros()))
}

/// How long after `since` the first pod of a node got its first answer from an endpoint.
fn first_answer(state: &State, id: &NodeId, reach: &Endpoint, since: Instant) -> Result<Duration> {
    let unknown = || LabError::UnknownEndpoint(format!("{reach} as {id} sees it"));
    let pod = state.topology.node(id).and_then(|(_, node)| node.pods.first()).ok_or_else(unknown)?;
    let from = Endpoint::Pod(PodId { node: id.clone(), pod: pod.name.clone() });
    let knowledge = Knowledge::read(state, &holder::objects())?;
    let mut options = StreamOptions::new(from.clone(), reach.clone());
    (options.interval, options.flows, options.tcp) = (TRY.as_millis() as u64, 1, false);
    let address = knowledge.address_between(&from, reach, options.family()).ok_or_else(unknown)?;
    let (stop, took) = (AtomicBool::new(false), AtomicU64::new(0));
    stream::run(&options, address, &stop, || {
        took.store(since.elapsed().as_micros() as u64, Ordering::Relaxed);
        stop.store(true, Ordering::Relaxed);
    })?;
    Ok(Duration::from_micros(took.load(Ordering::Relaxed)))
}

/// Takes a node out of a bed.
pub(crate) fn remove(id: &NodeId) -> Result<()> {
    let mut state = State::load()?;
    let Some((cluster, node)) = state.topology.node(id) else {
        return Err(LabError::UnknownEndpoint(id.to_string()));
    };
    Daemon::agent(id).kill()?;
    if state.topology.control_plane == ControlPlane::Kubernetes {
        kubernetes::remove_node(cluster, node)?;
    }
    bed::remove_node(cluster, node)?;
    match holder::objects().remove_node(id) {
        Err(LabError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        result => result?,
    }
    let backed = cluster.has_backend_on(id);
    state.topology.remove_node(id);
    state.save()?;
    let cluster = state.topology.cluster(&id.cluster).filter(|_| backed);
    cluster.map_or(Ok(()), |cluster| bed::refresh_services(cluster, &state.down))
}
