//! `causeway doctor`: has agents test with real packets, compares what both ends saw, and names the cause.

mod directory;
mod evidence;
mod members;
mod report;
mod services;
mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use causeway_api::{Diagnosis, DiagnosisSpec, HostEvidence, Ip};
use causeway_diagnosis::{Cause, Evidence, NodeEvidence, Refused, diagnose};
use causeway_kubernetes::Access;
use causeway_model::{ClusterName, NodeId, NodePlan, Reason};
use causeway_planner::Plan;
use clap::Args;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::inventory::Inventory;
use crate::report::Format;
use directory::Directory;
use members::Members;
pub use report::{CauseReport, DoctorReport};
use services::KnownService;

/// A request that is younger than this is another `doctor`'s at work; an older one was left behind.
const AT_WORK: Duration = Duration::from_secs(30);
/// How long agents have to say that they are there: through the hub a request takes four more steps there and back.
const HELLO: Duration = Duration::from_secs(8);

/// Test the network with real packets from both ends, and name what is wrong
///
/// The agents of some nodes send each other packets for some seconds: to underlay addresses, through the tunnels, to
/// pods, small and of full size; and they open connections to Services, that of the API server where clusters are asked through theirs. What both ends saw and what is on the nodes is compared, and each cause is named with its code,
/// its evidence and how to mend it. Nothing is tested when nobody asks.
#[derive(Args, Debug)]
#[command(after_help = "Exit code 1 if anything is wrong.

Examples:
  causeway doctor --context east                          from the nodes of one cluster
  causeway doctor --context east --context west           from both ends of the links between two
  causeway doctor --context hub                           from both ends of all links, by the hub's kubeconfig alone
  causeway doctor --objects hub/                          the network of a directory of objects
  causeway doctor --objects hub/ --node east/e1 --node west/w3
  causeway-agent examine --node n1 | causeway doctor --evidence -      one node alone, as root on it
  causeway doctor --context east --context west --service east/10.96.0.10:53   a Service that is not reached
  causeway doctor --objects hub/ -o json | jq '.findings[].code'
  causeway doctor --explain CW1102                        what a code means, and how to mend it")]
pub struct DoctorArgs {
    /// Directory of objects that the agents watch, in place of API servers
    #[arg(long, value_name = "DIR", conflicts_with_all = ["kubeconfig", "contexts"])]
    pub objects: Option<PathBuf>,
    /// Judge Diagnoses in this file (- for standard input), and ask nobody; may be given several times
    #[arg(long, value_name = "FILE", conflicts_with_all = ["objects", "kubeconfig", "contexts", "nodes"])]
    pub evidence: Vec<PathBuf>,
    /// Kubeconfig of the clusters. Default: KUBECONFIG, else ~/.kube/config
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of a linked cluster, several for tests from both ends; or of the hub, from which requests are passed on to all clusters. Default: the current context
    #[arg(long = "context", value_name = "NAME")]
    pub contexts: Vec<String>,
    /// Test this node, CLUSTER/NODE; may be given several times. Default: some nodes of each cluster
    #[arg(long = "node", value_name = "CLUSTER/NODE", conflicts_with = "explain")]
    pub nodes: Vec<NodeId>,
    /// Open connections to this Service too, by TCP, as its cluster knows it; may be given several times. It has to be there: what nobody knows is not translated
    #[arg(long = "service", value_name = "CLUSTER/ADDRESS:PORT", conflicts_with_all = ["explain", "evidence"])]
    pub services: Vec<KnownService>,
    /// Nodes of each cluster that are tested, where none are named; fewer where there are many clusters, since one test is of 16 nodes
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=8))]
    pub per_cluster: u8,
    /// Say what a code means, and how to mend it
    #[arg(long, value_name = "CODE", value_parser = cause)]
    pub explain: Option<Cause>,
    /// Seconds that agents have for their tests
    #[arg(long, default_value_t = 14, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(8..=120))]
    pub timeout: u64,
    /// How to print the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

fn cause(code: &str) -> Result<Cause, String> {
    Cause::of_code(code).ok_or_else(|| {
        let codes: Vec<&str> = Cause::ALL.iter().map(|cause| cause.code()).collect();
        format!("there is no such code; there are {}", codes.join(", "))
    })
}

/// Has agents test, and judges.
///
/// # Errors
/// If the objects cannot be read, or nobody can be asked.
pub fn run(args: &DoctorArgs) -> Result<DoctorReport, Error> {
    if !args.evidence.is_empty() {
        let (nodes, problems) = evidence::read(&args.evidence)?;
        let evidence = Evidence { nodes, ..Evidence::default() };
        let names: Vec<String> = args.evidence.iter().map(|file| file.display().to_string()).collect();
        return Ok(DoctorReport::new(names.join(", "), &evidence, diagnose(&evidence), problems));
    }
    let patience = Patience { limit: Duration::from_secs(args.timeout), interrupt: Interrupt::noted()? };
    if let Some(directory) = &args.objects {
        let inventory = Inventory::read(directory)?;
        let chosen = choose(args, &inventory.written)?;
        if chosen.is_empty() {
            return Err(Error::NothingPlanned { at: inventory.source });
        }
        known_clusters(args, &inventory.written, &inventory.source)?;
        let untested = untested(args, &inventory.written, &chosen);
        let mut place = Directory::new(directory.clone());
        let result = ask(&mut place, &chosen, &args.services, &inventory.written, &patience);
        let cleaned = place.clean_up();
        let evidence = Evidence { nodes: result?, overlaps: overlaps(&inventory), rights: Vec::new() };
        cleaned?;
        let report = DoctorReport::new(inventory.source, &evidence, diagnose(&evidence), inventory.problems);
        return Ok(DoctorReport { untested, ..report });
    }
    let access =
        |context: Option<&String>| Access { kubeconfig: args.kubeconfig.clone(), context: context.cloned() };
    let accesses: Vec<Access> = match args.contexts.as_slice() {
        [] => vec![access(None)],
        contexts => contexts.iter().map(|context| access(Some(context))).collect(),
    };
    let (mut place, plan) = Members::open(&accesses)?;
    let chosen = choose(args, &plan)?;
    known_clusters(args, &plan, &place.name())?;
    let known = [args.services.clone(), place.services()?].concat();
    let result = ask(&mut place, &chosen, &known, &plan, &patience);
    let cleaned = place.clean_up();
    let evidence = Evidence { nodes: result?, overlaps: Vec::new(), rights: place.take_refused() };
    cleaned?;
    let report = DoctorReport::new(place.name(), &evidence, diagnose(&evidence), place.take_problems());
    let untested = [untested(args, &plan, &chosen), place.take_untested()].concat();
    Ok(DoctorReport { untested, ..report })
}

fn choose<'a>(args: &DoctorArgs, plan: &'a Plan) -> Result<Vec<&'a NodePlan>, Error> {
    match args.nodes.as_slice() {
        [] => Ok(targets::some(plan, usize::from(args.per_cluster))),
        named => targets::named(plan, named),
    }
}

/// That the Services that are named are of clusters that there are.
fn known_clusters(args: &DoctorArgs, plan: &Plan, at: &str) -> Result<(), Error> {
    let clusters: BTreeSet<&ClusterName> =
        plan.links.keys().map(|link| &link.remote).chain(plan.nodes.keys().map(|id| &id.cluster)).collect();
    let unknown = args.services.iter().find(|service| !clusters.contains(&service.cluster));
    unknown.map_or(Ok(()), |service| {
        Err(Error::UnknownCluster {
            name: service.cluster.clone(),
            source_name: at.to_owned(),
            known: clusters.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        })
    })
}

/// Who named nodes knows which clusters are not tested.
fn untested(args: &DoctorArgs, plan: &Plan, chosen: &[&NodePlan]) -> Vec<String> {
    if args.nodes.is_empty() { targets::untested(plan, chosen) } else { Vec::new() }
}

/// Where agents are asked.
trait Place {
    /// How often answers are looked for.
    const LOOK: Duration;

    /// Asks, and returns those that could be asked.
    ///
    /// # Errors
    /// If nobody can be asked.
    fn request(&mut self, asked: Vec<(NodeId, DiagnosisSpec)>)
    -> Result<Vec<(NodeId, DiagnosisSpec)>, Error>;

    /// The Diagnoses that these nodes have now, whoever wrote them.
    ///
    /// # Errors
    /// If they cannot be read.
    fn there(&mut self, nodes: &[&NodeId]) -> Result<BTreeMap<NodeId, Diagnosis>, Error>;

    /// Removes what was written, where nobody has written something else since.
    ///
    /// # Errors
    /// If it cannot be removed.
    fn clean_up(&mut self) -> Result<(), Error>;
}

/// How long answers are waited for.
struct Patience {
    /// At most, for tests.
    limit: Duration,
    /// Not any more.
    interrupt: Interrupt,
}

/// Waits until no other `doctor` has these nodes test: a node tests for one at a time.
fn take_turn<P: Place>(place: &mut P, chosen: &[&NodePlan], interrupt: &Interrupt) -> Result<(), Error> {
    let nodes: Vec<&NodeId> = chosen.iter().map(|node| &node.id).collect();
    let is_at_work = |there: &Diagnosis| {
        let age = |Time(at): &Time| Timestamp::now().duration_since(*at).unsigned_abs();
        there.spec.requested_at.as_ref().is_some_and(|at| age(at) < AT_WORK)
    };
    let mut told = false;
    // Who may not look is told so when asking.
    while place.there(&nodes).is_ok_and(|there| there.values().any(is_at_work)) {
        if interrupt.is_asked() {
            return Err(Error::Interrupted);
        }
        if !std::mem::replace(&mut told, true) {
            // It is for people; nobody may be there to read it.
            let _ =
                writeln!(std::io::stderr(), "waiting for another doctor to end its test of the same nodes");
        }
        thread::sleep(P::LOOK);
    }
    Ok(())
}

/// Asks, and waits for answers for as long as `limit`, unless the user interrupts it.
fn answered<P: Place>(
    place: &mut P,
    asked: Vec<(NodeId, DiagnosisSpec)>,
    limit: Duration,
    interrupt: &Interrupt,
) -> Result<Vec<NodeEvidence>, Error> {
    let asked = place.request(asked)?;
    let limit = Instant::now() + limit;
    loop {
        if interrupt.is_asked() {
            return Err(Error::Interrupted);
        }
        let evidence = answers(place, &asked);
        let is_over = Instant::now() >= limit;
        match evidence {
            // Who does not answer now may do so in a moment.
            Err(error) if is_over || matches!(error, Error::AskedByAnother(_)) => return Err(error),
            Err(_) => {}
            Ok(evidence) if is_over || evidence.iter().all(|one| one.answer.is_some()) => {
                return Ok(evidence);
            }
            Ok(_) => {}
        }
        thread::sleep(P::LOOK);
    }
}

/// What is answered by now.
fn answers(place: &mut impl Place, asked: &[(NodeId, DiagnosisSpec)]) -> Result<Vec<NodeEvidence>, Error> {
    let nodes: Vec<&NodeId> = asked.iter().map(|(id, _)| id).collect();
    let there = place.there(&nodes)?;
    let of = |(id, asked): &(NodeId, DiagnosisSpec)| {
        let written = there.get(id);
        if written.is_some_and(|written| written.spec.request != asked.request) {
            return Err(Error::AskedByAnother(id.clone()));
        }
        let answer = written.and_then(|written| written.status.as_ref());
        let answer = answer.filter(|status| status.request == asked.request).cloned();
        Ok(NodeEvidence { id: id.clone(), asked: asked.clone(), answer })
    };
    asked.iter().map(of).collect()
}

/// What a code means.
pub fn explain(cause: Cause) -> CauseReport {
    CauseReport::from(cause)
}

/// Asks twice: who is there, with which pods; then for the tests.
fn ask(
    place: &mut impl Place,
    chosen: &[&NodePlan],
    known: &[KnownService],
    plan: &Plan,
    patience: &Patience,
) -> Result<Vec<NodeEvidence>, Error> {
    take_turn(place, chosen, &patience.interrupt)?;
    let requested_at = Timestamp::now();
    let request = |step: &str| DiagnosisSpec {
        request: format!("{}-{step}", requested_at.as_nanosecond()),
        requested_at: Some(Time(Timestamp::now())),
        targets: Vec::new(),
        services: Vec::new(),
    };
    let hello = chosen.iter().map(|node| (node.id.clone(), request("hello"))).collect();
    let there = answered(place, hello, HELLO, &patience.interrupt)?;
    let silent: Vec<&NodeId> = there.iter().filter(|one| one.answer.is_none()).map(|one| &one.id).collect();
    let pods: BTreeMap<NodeId, Vec<Ip>> = there.iter().map(|one| (one.id.clone(), pods(one))).collect();
    let asked = chosen.iter().filter(|node| !silent.contains(&&node.id)).map(|node| {
        let targets = targets::targets(node, chosen, plan, &pods);
        let services = services::of(node, known, plan);
        (node.id.clone(), DiagnosisSpec { targets, services, ..request("test") })
    });
    let mut answers = answered(place, asked.collect(), patience.limit, &patience.interrupt)?;
    answers.extend(there.iter().filter(|one| one.answer.is_none()).cloned());
    answers.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(answers)
}

fn pods(node: &NodeEvidence) -> Vec<Ip> {
    let host = node.answer.as_ref().and_then(|answer| answer.host.as_ref());
    host.map(|HostEvidence { pods, .. }| pods.clone()).unwrap_or_default()
}

/// What is refused since an older cluster has it.
fn overlaps(inventory: &Inventory) -> Vec<Refused> {
    let plan = inventory.plan([]);
    let conflicts = plan.findings().filter(|finding| finding.reason == Reason::PrefixConflict);
    conflicts
        .map(|finding| Refused {
            object: finding.subject.to_string(),
            message: format!("{}: {}", finding.field, finding.message),
        })
        .collect()
}
