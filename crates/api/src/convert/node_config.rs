//! NodeConfig ↔ plan of a node.

use causeway_model::{
    Families, NodeId, NodePlan, OwnPrefixes, Role, Tunnel, Tunnels, Vtep, cluster_namespace,
};

use super::fields::{
    Conversion, Fields, InvalidObject, cidrs, cluster_name, global_cidrs, ips, known, overlay, overlay_ips,
    tunnel_numbers, written_families,
};
use crate::{
    CLUSTER_LABEL, CausewayObject, Choice, NodeConfig, NodeConfigSpec, NodeTunnels, OwnCidrs, TunnelNumbers,
};

/// The plan in a NodeConfig.
///
/// # Errors
/// [`InvalidObject`] if cluster, name, role, overlay addresses or a tunnel that the role needs cannot
/// be read: without one of them there is no node to speak of.
pub fn node_plan(object: &NodeConfig) -> Result<Conversion<NodePlan>, InvalidObject> {
    let mut fields = Fields::of(object.key());
    let spec = &object.spec;
    let cluster = fields.need("spec.cluster", cluster_name(&spec.cluster))?;
    let node = fields.need("metadata.name", object.metadata.name.as_deref().unwrap_or_default().parse())?;
    let role = fields.need("spec.role", known(&spec.role))?;
    let overlay = fields.need("spec.overlay", overlay(&spec.overlay))?;
    let tunnels = tunnels(&mut fields, role, &spec.tunnels)?;
    let families = spec.families.as_ref();
    let families = families.map_or(Families::DUAL, |words| fields.families("spec.families", words));
    let plan = NodePlan {
        id: NodeId { cluster, node },
        role,
        vtep: Vtep { underlay: fields.underlay("spec.underlay", &spec.underlay), overlay, families },
        tunnels,
        own: OwnPrefixes {
            pods: fields.sorted_prefixes("spec.own.podCIDRs", &spec.own.pod_cidrs),
            services: fields.sorted_prefixes("spec.own.serviceCIDRs", &spec.own.service_cidrs),
            overlay: fields.sorted_prefixes("spec.own.overlayCIDRs", &spec.own.overlay_cidrs),
        },
        local_pods: fields.sorted_prefixes("spec.localPodCIDRs", &spec.local_pod_cidrs),
        translations: fields.translations("spec.globalCIDRs", &spec.global_cidrs),
    };
    Ok(fields.done(plan))
}

/// The tunnels of `role`. One that the role needs must be there; one that it does not is reported and
/// left out.
fn tunnels(fields: &mut Fields, role: Role, given: &NodeTunnels) -> Result<Tunnels, InvalidObject> {
    let bridge = one_tunnel(fields, role, "bridge", given.bridge.as_ref(), role != Role::Internal)?;
    let local = one_tunnel(fields, role, "local", given.local.as_ref(), role != Role::Node)?;
    Ok(Tunnels { bridge, local })
}

fn one_tunnel(
    fields: &mut Fields,
    role: Role,
    which: &str,
    given: Option<&TunnelNumbers>,
    needed: bool,
) -> Result<Option<Tunnel>, InvalidObject> {
    let field = format!("spec.tunnels.{which}");
    match (given, needed) {
        (None, false) => Ok(None),
        (None, true) => {
            let message = format!("is missing; role {role:?} has this tunnel");
            Err(InvalidObject(fields.error(&field, message)))
        }
        (Some(_), false) => {
            fields.refuse(&field, format_args!("is not used; role {role:?} does not have this tunnel"));
            Ok(None)
        }
        (Some(numbers), true) => {
            let tunnel = fields.tunnel(&field, numbers);
            let message = "VNI or port is out of range, and the role needs this tunnel";
            tunnel.map(Some).ok_or_else(|| InvalidObject(fields.error(&field, message)))
        }
    }
}

/// The NodeConfig for `plan`.
pub fn node_config(plan: &NodePlan) -> NodeConfig {
    let NodePlan { id, role, vtep, tunnels, own, local_pods, translations } = plan;
    let spec = NodeConfigSpec {
        cluster: id.cluster.to_string(),
        role: Choice::from(*role),
        underlay: ips(vtep.underlay.addresses()),
        overlay: overlay_ips(vtep.overlay),
        families: written_families(vtep.families),
        tunnels: NodeTunnels {
            bridge: tunnels.bridge.map(tunnel_numbers),
            local: tunnels.local.map(tunnel_numbers),
        },
        own: OwnCidrs {
            pod_cidrs: cidrs(&own.pods),
            service_cidrs: cidrs(&own.services),
            overlay_cidrs: cidrs(&own.overlay),
        },
        local_pod_cidrs: cidrs(local_pods),
        global_cidrs: global_cidrs(translations),
    };
    let mut object = NodeConfig::new(id.node.as_str(), spec);
    object.metadata.namespace = Some(cluster_namespace(&id.cluster));
    object.metadata.labels = Some([(CLUSTER_LABEL.to_owned(), id.cluster.to_string())].into());
    object
}
