//! Causes that show when what one node sent is compared with what the other heard.

use std::collections::{BTreeMap, BTreeSet};

use causeway_api::{DiagnosisTarget, HeardEvidence, Ip, PathEvidence, PathKind};
use causeway_model::NodeId;

use crate::finding::Findings;
use crate::{Cause, NodeEvidence};

/// Requests of full size that must be lost before that means anything.
const FULL: i64 = 3;
/// Small requests that there must be before the share that is lost means anything.
const MANY: i64 = 8;

/// The nodes that answered and whose own state explains nothing, by name.
type Answered<'a> = BTreeMap<(&'a str, &'a str), &'a NodeEvidence>;

/// Tells what is wrong between nodes, apart from those of which it is `explained`.
pub(crate) fn judge(nodes: &[NodeEvidence], explained: &BTreeSet<&NodeId>, findings: &mut Findings) {
    let answered: Answered<'_> = nodes
        .iter()
        .filter(|node| !explained.contains(&node.id))
        .map(|node| ((node.id.cluster.as_str(), node.id.node.as_str()), node))
        .collect();
    let mut judged = BTreeSet::new();
    for (name, one) in &answered {
        let mut alone = Vec::new();
        for target in &one.asked.targets {
            let other_name = (target.cluster.as_str(), target.node.as_str());
            // Who has too many targets, or was not asked, says nothing of this one.
            let expects_this = |node: &NodeEvidence| node.asked.targets.iter().any(|back| is(&one.id, back));
            let far = nodes.iter().find(|node| is(&node.id, target));
            if far.is_none_or(|far| far.answer.is_some() && !expects_this(far)) {
                alone.push(target);
                continue;
            }
            let Some(other) = answered.get(&other_name).filter(|_| other_name != *name) else { continue };
            if judged.insert((*name.min(&other_name), *name.max(&other_name))) {
                judge_pair(one, other, findings);
            }
        }
        judge_alone(one, &alone, findings);
    }
    judge_pods(&answered, findings);
}

fn is(id: &NodeId, target: &DiagnosisTarget) -> bool {
    target.cluster == id.cluster.as_str() && target.node == id.node.as_str()
}

/// Targets whose agents were not asked: what this end sent and heard is all there is.
fn judge_alone(one: &NodeEvidence, targets: &[&DiagnosisTarget], findings: &mut Findings) {
    let dead = targets.iter().filter_map(|target| judge_target(one, target, findings));
    let mut dead: Vec<(Cause, String, String)> = dead.collect();
    // A node that drops all that it receives drops what gateways send too, in whose name others are silent.
    let has = |cause| dead.iter().any(|(other, ..)| *other == cause);
    if has(Cause::NodeFirewall) && !has(Cause::OneDirection) {
        dead.retain(|(cause, ..)| !matches!(cause, Cause::UdpBlocked | Cause::UnderlayUnreachable));
    }
    dead.into_iter().for_each(|(cause, subject, words)| findings.add(cause, subject, words));
}

/// Tells what is lost on the way to a target, and returns why nothing comes back at all.
fn judge_target(
    one: &NodeEvidence,
    target: &DiagnosisTarget,
    findings: &mut Findings,
) -> Option<(Cause, String, String)> {
    let answer = one.answer.as_ref()?;
    let to = |kind: PathKind| {
        let paths = answer.paths.iter().filter(move |path| path.kind == kind);
        paths.filter(|path| path.cluster == target.cluster && path.node == target.node)
    };
    let far = format!("{}/{}", target.cluster, target.node);
    let pair = format!("{} ↔ {far}", one.id);
    for path in to(PathKind::Overlay).filter(|path| loses_full_size(path)) {
        findings.add(Cause::Mtu, &pair, lost_full_size(&format!("{} → {far}", one.id), path));
    }
    for path in to(PathKind::Overlay).filter(|path| is_lossy(path)) {
        findings.add(Cause::Loss, &pair, lost_some(&format!("{} → {far}", one.id), path));
    }
    let dead = to(PathKind::Overlay).find(|path| is_dead(path))?;
    let heard =
        answer.heard.iter().find(|heard| heard.cluster == target.cluster && heard.node == target.node);
    let (on_link, delivered) = heard.map_or((0, 0), |heard| (heard.on_link.unwrap_or(0), heard.delivered));
    let words = format!(
        "{} sent {} echo requests into the tunnel to {far}, none answered; it had {on_link} tunnel packets of {far} on its link, {delivered} echo messages came through; {far} was not asked",
        one.id, dead.sent
    );
    let (cause, subject) = match (on_link > 0, delivered > 0) {
        (_, true) => (Cause::OneDirection, format!("{} → {far}", one.id)),
        (true, false) => (Cause::NodeFirewall, one.id.to_string()),
        (false, false) if to(PathKind::Underlay).any(|path| path.answered > 0) => (Cause::UdpBlocked, pair),
        (false, false) => (Cause::UnderlayUnreachable, pair),
    };
    Some((cause, subject, words))
}

/// Whether a part of the packets is lost: a quarter at least, and not all.
fn is_lossy(path: &PathEvidence) -> bool {
    path.sent >= MANY && path.answered > 0 && (path.sent - path.answered) * 4 >= path.sent
}

fn lost_some(way: &str, path: &PathEvidence) -> String {
    format!("{way} to {}: {} of {} small packets answered", path.address, path.answered, path.sent)
}

fn loses_full_size(path: &PathEvidence) -> bool {
    // Where small ones are lost too, size is not what matters.
    path.full_sent >= FULL && path.full_answered == 0 && path.answered > 0 && !is_lossy(path)
}

fn lost_full_size(way: &str, path: &PathEvidence) -> String {
    let size = path.full_size.unwrap_or_default();
    format!(
        "{way} to {}: {} of {} small packets answered, none of {} of {size} bytes",
        path.address, path.answered, path.sent, path.full_sent
    )
}

/// A direction: what `from` sent to `to`.
struct Way<'a> {
    from: &'a NodeEvidence,
    to: &'a NodeEvidence,
}

impl<'a> Way<'a> {
    fn paths(&self, kind: PathKind) -> impl Iterator<Item = &'a PathEvidence> {
        let id = &self.to.id;
        let paths = self.from.answer.as_ref().map(|answer| answer.paths.as_slice()).unwrap_or_default();
        let of = paths.iter().filter(move |path| path.kind == kind);
        of.filter(|path| path.cluster == id.cluster.as_str() && path.node == id.node.as_str())
    }

    /// What the other end heard of this one.
    fn heard(&self) -> Option<&'a HeardEvidence> {
        let id = &self.from.id;
        let heard = self.to.answer.as_ref()?.heard.iter();
        heard.into_iter().find(|one| one.cluster == id.cluster.as_str() && one.node == id.node.as_str())
    }

    /// Whether tunnel packets got to the other end's link; as far as that is not known, whether they got through.
    fn arrives(&self) -> bool {
        self.heard().is_some_and(|heard| heard.on_link.unwrap_or(0) > 0 || heard.delivered > 0)
    }

    fn delivers(&self) -> bool {
        self.heard().is_some_and(|heard| heard.delivered > 0)
    }

    /// How the other end is named as a target.
    fn target(&self) -> Option<&'a DiagnosisTarget> {
        let id = &self.to.id;
        let targets = &self.from.asked.targets;
        targets.iter().find(|target| is(id, target))
    }

    /// The underlay addresses of the other end that none of its links has.
    fn absent_addresses(&self) -> Vec<&'a Ip> {
        let (Some(target), Some(host)) = (self.target(), self.to.host()) else { return Vec::new() };
        // Without a list there is nothing to miss.
        let known = |ip: &&Ip| host.addresses.is_empty() || host.addresses.contains(ip);
        target.underlay.iter().filter(|ip| !known(ip)).collect()
    }

    fn name(&self) -> String {
        format!("{} → {}", self.from.id, self.to.id)
    }

    fn counts(&self) -> String {
        let (sent, answered) = self
            .paths(PathKind::Overlay)
            .fold((0, 0), |(sent, answered), path| (sent + path.sent, answered + path.answered));
        let on_link = self.heard().and_then(|heard| heard.on_link).map_or("?".to_owned(), |n| n.to_string());
        let delivered = self.heard().map_or(0, |heard| heard.delivered);
        format!(
            "{}: {sent} echo requests into the tunnel, {answered} answered; {} had {on_link} tunnel packets on its link, {delivered} echo messages came through",
            self.name(),
            self.to.id
        )
    }
}

fn is_dead(path: &PathEvidence) -> bool {
    path.sent > 0 && path.answered == 0
}

fn judge_pair(one: &NodeEvidence, other: &NodeEvidence, findings: &mut Findings) {
    let ways = [Way { from: one, to: other }, Way { from: other, to: one }];
    if ways.iter().any(|way| way.paths(PathKind::Overlay).any(is_dead)) {
        judge_dead(&ways, findings);
        return;
    }
    for way in &ways {
        for path in way.paths(PathKind::Overlay).filter(|path| loses_full_size(path)) {
            findings.add(Cause::Mtu, pair(&ways), lost_full_size(&way.name(), path));
        }
        for path in way.paths(PathKind::Overlay).filter(|path| is_lossy(path)) {
            findings.add(Cause::Loss, pair(&ways), lost_some(&way.name(), path));
        }
    }
}

fn pair([there, _]: &[Way<'_>; 2]) -> String {
    format!("{} ↔ {}", there.from.id, there.to.id)
}

/// Nothing comes back through the tunnel in at least one family.
fn judge_dead(ways: &[Way<'_>; 2], findings: &mut Findings) {
    let mut tell = |cause, subject: String| {
        for way in ways {
            findings.add(cause, subject.clone(), way.counts());
        }
    };
    for way in ways {
        let absent = way.absent_addresses();
        if !way.arrives() && !absent.is_empty() {
            let name = way.to.id.to_string();
            let addresses = absent.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            tell(Cause::WrongUnderlay, name.clone());
            let words = format!("others send to {addresses}, which no link of {name} has");
            findings.add(Cause::WrongUnderlay, name, words);
            return;
        }
    }
    for way in ways {
        // It comes, from an address or with a MAC that the plan does not have.
        if !way.delivers() && way.to.growth("drop unknown VTEP") > 0 {
            let growth = way.to.growth("drop unknown VTEP");
            let name = way.from.id.to_string();
            tell(Cause::WrongUnderlay, name.clone());
            let words = format!("{} dropped {growth} tunnel packets of an unknown VTEP", way.to.id);
            findings.add(Cause::WrongUnderlay, name, words);
            return;
        }
    }
    let [there, back] = ways;
    match (there.arrives(), back.arrives()) {
        (false, false) => {
            let answered = |way: &Way<'_>| way.paths(PathKind::Underlay).any(|path| path.answered > 0);
            let is_up = answered(there) || answered(back);
            tell(if is_up { Cause::UdpBlocked } else { Cause::UnderlayUnreachable }, pair(ways));
        }
        (true, false) => tell(Cause::OneDirection, back.name()),
        (false, true) => tell(Cause::OneDirection, there.name()),
        (true, true) => match ways.iter().find(|way| !way.delivers()) {
            None => tell(Cause::Unexplained, pair(ways)),
            Some(way) => {
                let filtered = way.to.growth("TcpExt IPReversePathFilter");
                let name = way.to.id.to_string();
                if filtered == 0 {
                    tell(Cause::NodeFirewall, name);
                    return;
                }
                tell(Cause::ReversePathFilter, name.clone());
                let words = format!("{name}: IPReversePathFilter grew by {filtered} during the test");
                findings.add(Cause::ReversePathFilter, name, words);
            }
        },
    }
}

/// Pods that answer their own node and nobody beyond a tunnel.
fn judge_pods(answered: &Answered<'_>, findings: &mut Findings) {
    let mut alive = BTreeSet::new();
    let mut abroad: BTreeMap<&NodeId, BTreeMap<(&str, &Ip), Vec<&PathEvidence>>> = BTreeMap::new();
    let mut from_gateways: BTreeMap<(&NodeId, &NodeId), Vec<&PathEvidence>> = BTreeMap::new();
    for (name, node) in answered {
        for path in node.answer.iter().flat_map(|answer| &answer.paths) {
            let target = (path.cluster.as_str(), path.node.as_str());
            let Some(of) = answered.get(&target).filter(|_| path.kind == PathKind::Pod) else { continue };
            if target == *name {
                if path.answered > 0 {
                    alive.insert(&of.id);
                }
            } else if of.id.cluster == node.id.cluster {
                from_gateways.entry((&node.id, &of.id)).or_default().push(path);
            } else if !(Way { from: node, to: of }).paths(PathKind::Overlay).any(is_dead) {
                // Where the tunnel carries nothing, pods say nothing of their own.
                abroad.entry(&of.id).or_default().entry((name.0, &path.address)).or_default().push(path);
            }
        }
    }
    for (id, pods) in abroad.into_iter().filter(|(id, _)| alive.contains(id)) {
        let is_dead = |paths: &Vec<&PathEvidence>| paths.iter().all(|path| is_dead(path));
        let dead: Vec<&(&str, &Ip)> =
            pods.iter().filter(|(_, paths)| is_dead(paths)).map(|(pod, _)| pod).collect();
        let cause = if dead.len() == pods.len() { Cause::ForwardDrop } else { Cause::NetworkPolicy };
        for (from, pod) in dead {
            let words = format!("{pod} on {id} does not answer nodes of {from}, though {id} itself does");
            findings.add(cause, id.to_string(), words);
        }
    }
    // One that answers shows that the CNI carries: what keeps the others apart is no matter of paths.
    let carries_nothing = |paths: &Vec<&PathEvidence>| paths.iter().all(|path| is_dead(path));
    for ((gateway, of), paths) in from_gateways.iter().filter(|(_, paths)| carries_nothing(paths)) {
        for path in paths.iter().filter(|_| alive.contains(of)) {
            let words = format!(
                "{gateway} sent {} echo requests to pod {} of {of}, none answered, though {of} itself reaches it",
                path.sent, path.address
            );
            findings.add(Cause::CniPath, format!("{gateway} → {of}"), words);
        }
    }
}
