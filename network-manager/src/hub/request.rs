//! What to ask of the API server so that an object becomes what it should be; nothing, if it is.

use causeway_api::{Object, StatusWriter, own_status};
use serde_json::{Value, json};

use crate::outputs::Output;

/// A request.
#[derive(Clone, PartialEq, Debug)]
pub enum Request {
    /// Make the object so, and then this the status that is ours.
    Apply(Box<Object>, Option<Value>),
    /// Make this the status that is ours.
    Status(Value),
    /// Remove this incarnation of the object.
    Delete(Option<String>),
}

/// What to ask for; `existing` is the object as it is.
pub fn request(output: Output, existing: Option<&Object>) -> Option<Request> {
    match output {
        Output::Whole(object) => whole(object, existing),
        Output::Status(object) => {
            let wanted = own_status(&object, StatusWriter::NetworkManager);
            (status(existing) != wanted).then_some(Request::Status(wanted))
        }
        Output::NoStatus => {
            let existing = existing.filter(|existing| existing.has_status())?;
            let nothing = json!({});
            (status(Some(existing)) != nothing).then_some(Request::Status(nothing))
        }
        Output::NotOurs => None,
        Output::Absent => existing.map(|existing| Request::Delete(existing.meta().uid.clone())),
    }
}

fn whole(object: Box<Object>, existing: Option<&Object>) -> Option<Request> {
    let wanted = object.has_status().then(|| own_status(&object, StatusWriter::NetworkManager));
    let status = wanted.filter(|wanted| status(existing) != *wanted);
    let same = existing.is_some_and(|existing| existing.same_plan(&object));
    match (same, status) {
        (true, None) => None,
        (true, Some(status)) => Some(Request::Status(status)),
        (false, status) => Some(Request::Apply(object, status)),
    }
}

/// Our part of a status that is there.
fn status(existing: Option<&Object>) -> Value {
    match existing {
        Some(existing) if existing.has_status() => own_status(existing, StatusWriter::NetworkManager),
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use causeway_api::Kind;

    use super::*;

    fn link(prefix: &str, accepted: &str, labels: Value) -> Object {
        let value = json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "ClusterLink",
            "metadata": {"name": "b", "namespace": "causeway-cluster-a", "uid": "1", "labels": labels},
            "spec": {
                "sourceCluster": "a", "remoteCluster": "b", "via": "Nodes",
                "prefixes": [{"cidr": prefix, "kind": "Pod", "via": "Nodes"}],
            },
            "status": {"rtt": "1ms", "conditions": [{
                "type": "Accepted", "status": accepted, "reason": "R", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]},
        });
        Object::deserialize(Kind::ClusterLink, value).unwrap()
    }

    fn whole(object: &Object) -> Output {
        Output::Whole(Box::new(object.clone()))
    }

    #[test]
    fn what_is_as_it_should_be_asks_for_nothing() {
        let object = link("10.0.0.0/16", "True", json!({}));
        assert_eq!(request(whole(&object), Some(&object)), None);
        let labelled = link("10.0.0.0/16", "True", json!({"added": "by-someone"}));
        assert_eq!(request(whole(&object), Some(&labelled)), None);
        assert_eq!(request(Output::Absent, None), None);
        assert_eq!(request(Output::NoStatus, None), None);
    }

    #[test]
    fn only_what_differs_is_written() {
        let object = link("10.0.0.0/16", "True", json!({}));
        let spec = link("10.1.0.0/16", "True", json!({}));
        assert!(matches!(request(whole(&object), Some(&spec)), Some(Request::Apply(_, None))));
        let status = link("10.0.0.0/16", "False", json!({}));
        assert!(matches!(request(whole(&object), Some(&status)), Some(Request::Status(_))));
        assert!(matches!(request(whole(&object), None), Some(Request::Apply(_, Some(_)))));
        assert_eq!(request(Output::Absent, Some(&object)), Some(Request::Delete(Some("1".to_owned()))));
    }

    #[test]
    fn a_status_of_ours_that_is_no_more_goes_and_that_of_others_stays() {
        let object = link("10.0.0.0/16", "True", json!({}));
        let Some(Request::Status(status)) = request(Output::NoStatus, Some(&object)) else { panic!() };
        assert_eq!(status, json!({}));
        let own = own_status(&object, StatusWriter::NetworkManager);
        assert!(own.get("rtt").is_none() && own.get("conditions").is_some());
    }
}
