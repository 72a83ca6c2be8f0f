//! Who writes which part of a status. At an API server each program applies its own part and leaves the
//! rest alone; this table is what they agree on.

use serde_json::{Map, Value};

use crate::conditions::{ACCEPTED, DEGRADED, DISCOVERED, GATEWAYS_REACHABLE, LEFT, PROGRAMMED, READY};
use crate::{Kind, Object};

/// A program that writes statuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatusWriter {
    /// Plans the clusterset.
    NetworkManager,
    /// Gathers the facts of one cluster.
    ControllerManager,
    /// Programs one node.
    Agent,
}

/// The fields and the types of conditions that `writer` writes in statuses of `kind`.
pub fn status_fields(writer: StatusWriter, kind: Kind) -> (&'static [&'static str], &'static [&'static str]) {
    match (writer, kind) {
        (StatusWriter::NetworkManager, Kind::Cluster) => {
            (&["observedGeneration", "overlayCIDRs", "gateways", "globalCIDRs"], &[ACCEPTED, READY, DEGRADED])
        }
        (StatusWriter::NetworkManager, Kind::ClusterSet) => (&["observedGeneration"], &[ACCEPTED]),
        (StatusWriter::NetworkManager, Kind::ClusterNode) => (&["observedGeneration"], &[ACCEPTED, READY]),
        (StatusWriter::NetworkManager, Kind::ClusterLink) => (&[], &[ACCEPTED, DEGRADED]),
        (StatusWriter::ControllerManager, Kind::Cluster) => {
            (&["cni", "podCIDRs", "serviceCIDRs", "nodes"], &[DISCOVERED, PROGRAMMED, LEFT])
        }
        (StatusWriter::ControllerManager, Kind::ClusterLink) => (&["nodes", "rtt", "loss"], &[READY]),
        (StatusWriter::Agent, Kind::NodeConfig) => {
            (&["observedGeneration", "links", "foreignChains"], &[PROGRAMMED, DEGRADED, GATEWAYS_REACHABLE])
        }
        (StatusWriter::Agent, Kind::ClusterNode) => (&["underlay"], &[]),
        (StatusWriter::Agent, Kind::Diagnosis) => {
            (&["observedGeneration", "request", "beganAt", "paths", "heard", "host", "services"], &[])
        }
        _ => (&[], &[]),
    }
}

/// The part of the object's status that `writer` writes, as an object without the fields of others;
/// empty if there is none.
pub fn own_status(object: &Object, writer: StatusWriter) -> Value {
    let (fields, types) = status_fields(writer, object.kind());
    let status =
        serde_json::to_value(object).ok().and_then(|mut object| object.get_mut("status").map(Value::take));
    let Some(Value::Object(status)) = status else { return Value::Object(Map::new()) };
    let is_ours = |condition: &Value| {
        condition.get("type").and_then(Value::as_str).is_some_and(|type_| types.contains(&type_))
    };
    let own = status.into_iter().filter_map(|(field, value)| match value {
        Value::Array(conditions) if field == "conditions" => {
            let own: Vec<Value> = conditions.into_iter().filter(is_ours).collect();
            (!own.is_empty()).then_some((field, Value::Array(own)))
        }
        value => fields.contains(&field.as_str()).then_some((field, value)),
    });
    Value::Object(own.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cluster() -> Object {
        let condition = |type_: &str| {
            json!({
                "type": type_, "status": "True", "reason": "R", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let value = json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "a"}, "spec": {},
            "status": {
                "observedGeneration": 3, "cni": "flannel", "overlayCIDRs": ["198.18.0.0/24"],
                "nodes": {"ready": 1, "total": 2},
                "conditions": [condition("Accepted"), condition("Discovered"), condition("SomethingElse")],
            },
        });
        Object::deserialize(Kind::Cluster, value).unwrap()
    }

    #[test]
    fn each_writer_has_its_own_part_of_a_cluster() {
        let planned = own_status(&cluster(), StatusWriter::NetworkManager);
        assert_eq!(planned["overlayCIDRs"], json!(["198.18.0.0/24"]));
        assert_eq!(planned["conditions"].as_array().unwrap().len(), 1);
        assert!(planned.get("cni").is_none() && planned.get("nodes").is_none());
        let found = own_status(&cluster(), StatusWriter::ControllerManager);
        assert_eq!(found["conditions"][0]["type"], "Discovered");
        assert_eq!(found["nodes"], json!({"ready": 1, "total": 2}));
        assert!(found.get("observedGeneration").is_none() && found.get("overlayCIDRs").is_none());
    }

    #[test]
    fn no_field_and_no_condition_has_two_writers() {
        let writers = [StatusWriter::NetworkManager, StatusWriter::ControllerManager, StatusWriter::Agent];
        for kind in Kind::ALL {
            let parts: Vec<_> = writers.iter().map(|writer| status_fields(*writer, kind)).collect();
            for (index, (fields, types)) in parts.iter().enumerate() {
                for (other_fields, other_types) in &parts[index + 1..] {
                    assert!(!fields.iter().any(|field| other_fields.contains(field)), "{kind}");
                    assert!(!types.iter().any(|type_| other_types.contains(type_)), "{kind}");
                }
            }
        }
    }

    #[test]
    fn every_field_of_a_status_has_a_writer() {
        let writers = [StatusWriter::NetworkManager, StatusWriter::ControllerManager, StatusWriter::Agent];
        for kind in Kind::ALL {
            let schema = crate::crd::schema(kind).unwrap();
            let fields = schema["properties"]["status"]["properties"].as_object();
            // What network-manager writes whole speaks of its own spec: no generation lies between.
            let is_whole = matches!(kind, Kind::ClusterLink | Kind::PeerSlice);
            let is_shared = |field: &str| field == "conditions" || is_whole && field == "observedGeneration";
            for field in fields.into_iter().flat_map(Map::keys).filter(|field| !is_shared(field)) {
                let is_written = |writer| status_fields(writer, kind).0.contains(&field.as_str());
                assert!(writers.into_iter().any(is_written), "{kind}: {field}");
            }
        }
    }
}
