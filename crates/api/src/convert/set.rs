//! ClusterSet → facts, with the defaults of everything that it does not say.

use causeway_model::{ClusterSetFacts, DualStack, Family, Prefix, TunnelPair};

use super::fields::{Conversion, Fields};
use crate::{CLUSTER_SET_NAME, CausewayObject, ClusterSet, ClusterSetSpec, Kind, ObjectRef};

/// The shortest prefix lengths that still hold a block of overlay addresses.
const SMALLEST_RANGE: DualStack<u8> = DualStack { v4: 24, v6: 120 };

/// What all clusters share; without an object, the defaults.
pub fn cluster_set_facts(object: Option<&ClusterSet>) -> Conversion<ClusterSetFacts> {
    let Some(object) = object else {
        let name = CLUSTER_SET_NAME.to_owned();
        let absent = ObjectRef { kind: Kind::ClusterSet, namespace: None, name };
        return from_spec(Fields::of(absent), &ClusterSetSpec::default());
    };
    let mut fields = Fields::of(object.key());
    if object.metadata.name.as_deref() != Some(CLUSTER_SET_NAME) {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let message = format!(
            "\"{name}\" is not used; the one ClusterSet is named {CLUSTER_SET_NAME}, and defaults hold without it"
        );
        fields.refuse("metadata.name", message);
        return from_spec(fields, &ClusterSetSpec::default());
    }
    from_spec(fields, &object.spec)
}

fn from_spec(mut fields: Fields, spec: &ClusterSetSpec) -> Conversion<ClusterSetFacts> {
    let overlay = overlay_ranges(&mut fields, spec);
    let pool = fields.prefixes("spec.globalCIDRPool", &spec.global_cidr_pool);
    let default = ClusterSetFacts::default();
    let global_pool = by_family(pool, default.global_pool);
    let tunnels = tunnels(&mut fields, spec);
    let defaults = spec.defaults.clone().unwrap_or_default();
    let mode = fields.choice("spec.defaults.mode", defaults.mode.as_ref());
    let gateways = fields.count("spec.defaults.gatewayCount", defaults.gateway_count);
    let transport = fields.choice("spec.defaults.transport", defaults.transport.as_ref());
    fields.done(ClusterSetFacts {
        overlay,
        global_pool,
        tunnels,
        default_mode: mode.unwrap_or(default.default_mode),
        default_gateways: gateways.unwrap_or(default.default_gateways),
        default_transport: transport.unwrap_or(default.default_transport),
    })
}

fn overlay_ranges(fields: &mut Fields, spec: &ClusterSetSpec) -> DualStack<Vec<Prefix>> {
    let mut ranges = Vec::new();
    for (index, cidr) in spec.overlay_cidrs.iter().enumerate() {
        let field = format!("spec.overlayCIDRs[{index}]");
        let Some(range) = fields.keep(&field, cidr.0.parse::<Prefix>()) else { continue };
        let smallest = *SMALLEST_RANGE.get(range.family());
        if range.len() > smallest {
            fields.refuse(
                &field,
                format_args!("\"{range}\" is too small; use /{smallest} or a shorter prefix length"),
            );
        } else {
            ranges.push(range);
        }
    }
    by_family(ranges, ClusterSetFacts::default().overlay)
}

/// The prefixes of each family in order, and the default where a family has none.
fn by_family(prefixes: Vec<Prefix>, default: DualStack<Vec<Prefix>>) -> DualStack<Vec<Prefix>> {
    let (given_v4, given_v6): (Vec<Prefix>, Vec<Prefix>) =
        prefixes.into_iter().partition(|prefix| prefix.family() == Family::V4);
    let or = |given: Vec<Prefix>, default| if given.is_empty() { default } else { given };
    DualStack { v4: or(given_v4, default.v4), v6: or(given_v6, default.v6) }
}

fn tunnels(fields: &mut Fields, spec: &ClusterSetSpec) -> TunnelPair {
    let defaults = TunnelPair::default();
    let Some(given) = &spec.tunnels else { return defaults };
    let bridge = given.bridge.as_ref().and_then(|t| fields.tunnel("spec.tunnels.bridge", t));
    let local = given.local.as_ref().and_then(|t| fields.tunnel("spec.tunnels.local", t));
    let pair =
        TunnelPair { bridge: bridge.unwrap_or(defaults.bridge), local: local.unwrap_or(defaults.local) };
    if pair.bridge.port == pair.local.port {
        let port = pair.bridge.port;
        let message =
            format!("bridge and local both use UDP port {port}; give each its own. The defaults are used");
        fields.refuse("spec.tunnels", message);
        return defaults;
    }
    pair
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TunnelNumbers, Tunnels};

    #[test]
    fn the_defaults_hold_without_an_object() {
        let Conversion { value, errors } = cluster_set_facts(None);
        assert_eq!(errors, []);
        assert_eq!(value.overlay.v4, ["198.18.0.0/15".parse::<Prefix>().unwrap()]);
        assert_eq!(value.overlay.v6, ["fd63:6175:7365:1::/64".parse::<Prefix>().unwrap()]);
        assert_eq!(value.global_pool.v4, ["100.64.0.0/10".parse::<Prefix>().unwrap()]);
        assert_eq!(value.global_pool.v6, ["fd63:6176::/32".parse::<Prefix>().unwrap()]);
        assert_eq!(value.tunnels, TunnelPair::default());
        assert_eq!(value.default_gateways.get(), 2);
    }

    #[test]
    fn each_bad_value_costs_itself_only() {
        let spec = ClusterSetSpec {
            overlay_cidrs: vec!["10.9.0.0/16".into(), "10.9.0.0/25".into(), "nonsense".into()],
            tunnels: Some(Tunnels { bridge: Some(TunnelNumbers { vni: 0, port: 4876 }), local: None }),
            ..ClusterSetSpec::default()
        };
        let Conversion { value, errors } = cluster_set_facts(Some(&ClusterSet::new("default", spec)));
        let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "ClusterSet default: spec.overlayCIDRs[1]: \"10.9.0.0/25\" is too small; use /24 or a shorter prefix length",
                "ClusterSet default: spec.overlayCIDRs[2]: \"nonsense\" is not a CIDR; write ADDRESS/LENGTH, for example 10.1.0.0/16 or fd00:1::/64",
                "ClusterSet default: spec.tunnels.bridge.vni: 0 is out of range; use 1 to 16777215",
            ]
        );
        assert_eq!(value.overlay.v4, ["10.9.0.0/16".parse::<Prefix>().unwrap()]);
        assert_eq!(value.overlay.v6.len(), 1, "the default of the family that is not given");
        assert_eq!(value.tunnels, TunnelPair::default());
    }

    #[test]
    fn a_cluster_set_of_another_name_changes_nothing() {
        let spec = ClusterSetSpec { overlay_cidrs: vec!["10.9.0.0/16".into()], ..ClusterSetSpec::default() };
        let Conversion { value, errors } = cluster_set_facts(Some(&ClusterSet::new("other", spec)));
        assert_eq!(value, cluster_set_facts(None).value);
        assert_eq!(errors[0].field, "metadata.name");
    }

    #[test]
    fn one_port_for_both_tunnels_is_refused() {
        let tunnels = Tunnels { bridge: Some(TunnelNumbers { vni: 7, port: 4877 }), local: None };
        let spec = ClusterSetSpec { tunnels: Some(tunnels), ..ClusterSetSpec::default() };
        let Conversion { value, errors } = cluster_set_facts(Some(&ClusterSet::new("default", spec)));
        assert_eq!((errors.len(), value.tunnels), (1, TunnelPair::default()));
    }
}
