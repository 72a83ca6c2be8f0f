//! Cluster ↔ facts, and Cluster.status ↔ what the planner decided about a cluster.

use causeway_model::{
    Age, ClusterFacts, ClusterName, ClusterPlan, DualStack, Families, Family, GatewayPolicy, GlobalCidrs,
    NodeName, Prefix,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;

use super::fields::{Conversion, Fields, InvalidObject, cidrs, cluster_name, global_cidrs};
use super::selector;
use crate::{
    CausewayObject, Choice, Cidr, Cluster, ClusterGateways, ClusterGlobalCidrs, ClusterSpec, ClusterStatus,
    ClusterUnderlay, DiscoveredCidr, GlobalCidrMode, NodeCount,
};

/// The facts that a Cluster states. CIDRs come from its spec, else from what was found (its status).
///
/// # Errors
/// [`InvalidObject`] if its name is no cluster's name.
pub fn cluster_facts(object: &Cluster) -> Result<Conversion<ClusterFacts>, InvalidObject> {
    let mut fields = Fields::of(object.key());
    let name = name(&fields, object)?;
    let spec = &object.spec;
    let found = object.status.as_ref();
    let pods = prefixes(&mut fields, "podCIDRs", &spec.pod_cidrs, found.map(|s| &s.pod_cidrs));
    let services =
        prefixes(&mut fields, "serviceCIDRs", &spec.service_cidrs, found.map(|s| &s.service_cidrs));
    let gateways = spec.gateways.clone().unwrap_or_default();
    let facts = ClusterFacts {
        name,
        age: age(&object.metadata),
        mode: fields.choice("spec.mode", spec.mode.as_ref()),
        families: families(&mut fields, spec, pods.iter().chain(&services)),
        pods,
        services,
        gateways: GatewayPolicy {
            count: fields.count("spec.gateways.count", gateways.count),
            selector: fields.selector("spec.gateways.nodeSelector", gateways.node_selector.as_ref()),
        },
        nodes: fields.selector("spec.nodeSelector", spec.node_selector.as_ref()),
        globals: globals(&mut fields, spec.global_cidrs.as_ref(), found),
        transport: fields.choice("spec.transport", spec.transport.as_ref()),
        underlay_mtu: underlay_mtu(&mut fields, spec.underlay.as_ref()),
    };
    Ok(fields.done(facts))
}

fn name(fields: &Fields, object: &Cluster) -> Result<ClusterName, InvalidObject> {
    fields.need("metadata.name", cluster_name(object.metadata.name.as_deref().unwrap_or_default()))
}

fn age(meta: &ObjectMeta) -> Age {
    meta.creation_timestamp.as_ref().map_or(Age::Unknown, |time| Age::Created(time.0.as_second()))
}

fn prefixes(
    fields: &mut Fields,
    list: &str,
    given: &[Cidr],
    found: Option<&Vec<DiscoveredCidr>>,
) -> Vec<Prefix> {
    if !given.is_empty() {
        return fields.prefixes(&format!("spec.{list}"), given);
    }
    fields.prefixes(&format!("status.{list}"), found.into_iter().flatten().map(|entry| &entry.cidr))
}

/// The families given, else those of the prefixes, else both.
fn families<'a>(
    fields: &mut Fields,
    spec: &ClusterSpec,
    prefixes: impl Iterator<Item = &'a Prefix>,
) -> Families {
    let given = fields.families("spec.ipFamilies", &spec.ip_families);
    if !given.is_empty() {
        return given;
    }
    let seen: Families = prefixes.map(Prefix::family).collect();
    if seen.is_empty() { Families::DUAL } else { seen }
}

/// A mode that cannot be read leaves those that the cluster has.
fn globals(
    fields: &mut Fields,
    given: Option<&ClusterGlobalCidrs>,
    status: Option<&ClusterStatus>,
) -> GlobalCidrs {
    let Some(given) = given else { return GlobalCidrs::Off };
    let mode = fields.choice("spec.globalCIDRs.mode", given.mode.as_ref());
    if mode.is_none() && given.mode.is_some() {
        let in_force = status.map(|status| fields.translations("status.globalCIDRs", &status.global_cidrs));
        return in_force.filter(|all| !all.is_empty()).map_or(GlobalCidrs::Off, GlobalCidrs::Map);
    }
    if mode != Some(GlobalCidrMode::Map) && !given.map.is_empty() {
        let message = "is not used: it needs mode Map";
        fields.refuse("spec.globalCIDRs.map", message);
    }
    match mode {
        None | Some(GlobalCidrMode::Off) => GlobalCidrs::Off,
        Some(GlobalCidrMode::Auto) => GlobalCidrs::Auto,
        Some(GlobalCidrMode::Map) => {
            GlobalCidrs::Map(fields.translations("spec.globalCIDRs.map", &given.map))
        }
    }
}

fn underlay_mtu(fields: &mut Fields, given: Option<&ClusterUnderlay>) -> Option<u32> {
    let given = given?;
    fields.choice("spec.underlay.source", given.source.as_ref());
    fields.number("spec.underlay.mtu", given.mtu?, 576, 65_535)
}

/// A Cluster that states `facts`.
pub fn cluster(facts: &ClusterFacts) -> Cluster {
    let gateways = ClusterGateways {
        count: facts.gateways.count.map(|count| count.get().into()),
        node_selector: selector::written(&facts.gateways.selector),
    };
    let globals = |mode, map| Some(ClusterGlobalCidrs { mode: Some(Choice::from(mode)), map });
    let spec = ClusterSpec {
        mode: facts.mode.map(Choice::from),
        ip_families: facts.families.iter().map(Choice::from).collect(),
        cni: None,
        pod_cidrs: cidrs(&facts.pods),
        service_cidrs: cidrs(&facts.services),
        gateways: (gateways != ClusterGateways::default()).then_some(gateways),
        node_selector: selector::written(&facts.nodes),
        global_cidrs: match &facts.globals {
            GlobalCidrs::Off => None,
            GlobalCidrs::Auto => globals(GlobalCidrMode::Auto, Vec::new()),
            GlobalCidrs::Map(map) => globals(GlobalCidrMode::Map, global_cidrs(map)),
        },
        underlay: facts
            .underlay_mtu
            .map(|mtu| ClusterUnderlay { mtu: Some(mtu.into()), ..ClusterUnderlay::default() }),
        transport: facts.transport.map(Choice::from),
    };
    let mut object = Cluster::new(facts.name.as_str(), spec);
    if let Age::Created(second) = facts.age {
        object.metadata.creation_timestamp = Timestamp::from_second(second).ok().map(Time);
    }
    object
}

/// What was given to a cluster, read back from its status: overlay blocks in their order, gateways,
/// global CIDRs. `findings` is empty.
///
/// # Errors
/// [`InvalidObject`] if its name is no cluster's name.
pub fn cluster_plan(object: &Cluster) -> Result<Conversion<ClusterPlan>, InvalidObject> {
    let mut fields = Fields::of(object.key());
    let name = name(&fields, object)?;
    let status = object.status.clone().unwrap_or_default();
    let blocks = fields.prefixes("status.overlayCIDRs", &status.overlay_cidrs);
    let of = |family: Family| blocks.iter().copied().filter(|p| p.family() == family).collect();
    let mut gateways: Vec<NodeName> = Vec::new();
    for (index, gateway) in status.gateways.iter().enumerate() {
        gateways.extend(fields.keep(&format!("status.gateways[{index}]"), gateway.parse()));
    }
    super::fields::sort(&mut gateways);
    let total = status.nodes.and_then(|nodes| nodes.total).unwrap_or_default();
    let plan = ClusterPlan {
        name,
        overlay: DualStack::from_fn(of),
        gateways,
        translations: fields.translations("status.globalCIDRs", &status.global_cidrs),
        nodes: u32::try_from(total).unwrap_or_default(),
        findings: Vec::new(),
    };
    Ok(fields.done(plan))
}

/// `status` with what the planner decided put in. What others wrote there stays, and conditions are
/// left as they are: see [`crate::conditions`].
pub fn cluster_status(status: &ClusterStatus, plan: &ClusterPlan) -> ClusterStatus {
    let ready = status.nodes.as_ref().and_then(|nodes| nodes.ready);
    ClusterStatus {
        overlay_cidrs: Family::BOTH.iter().flat_map(|f| cidrs(plan.overlay.get(*f))).collect(),
        gateways: plan.gateways.iter().map(ToString::to_string).collect(),
        global_cidrs: global_cidrs(&plan.translations),
        nodes: Some(NodeCount { ready, total: Some(plan.nodes.into()) }),
        ..status.clone()
    }
}
