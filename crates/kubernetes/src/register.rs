//! Objects of Kubernetes itself that Causeway needs, such as namespaces and roles: made if they are
//! not there, put right if they differ, and not written if they are as they should be.

use kube::core::{ApiResource, GroupVersionKind, TypeMeta};
use kube_client::api::{DeleteParams, Patch, PatchParams};
use kube_client::core::DynamicObject;
use kube_client::{Api, Client, Error};
use serde_json::Value;

use crate::RequestError;

/// Which object of any kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameRef {
    /// `v1`, `rbac.authorization.k8s.io/v1`.
    pub api_version: String,
    /// `Namespace`, `Role`.
    pub kind: String,
    /// Its namespace; `None` for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl NameRef {
    /// The object that a manifest makes; `None` if it does not say which.
    pub fn of(manifest: &Value) -> Option<NameRef> {
        let text = |at: &str| manifest.pointer(at).and_then(Value::as_str).map(str::to_owned);
        Some(NameRef {
            api_version: text("/apiVersion")?,
            kind: text("/kind")?,
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name")?,
        })
    }

    fn api(&self, client: &Client) -> Result<Api<DynamicObject>, RequestError> {
        let types = TypeMeta { api_version: self.api_version.clone(), kind: self.kind.clone() };
        let kind = GroupVersionKind::try_from(&types)
            .map_err(|error| RequestError::incomplete(format!("{self}: {error}")))?;
        let resource = ApiResource::from_gvk(&kind);
        Ok(match &self.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        })
    }
}

impl std::fmt::Display for NameRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// What became of an object that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Given {
    /// It was so already; nothing was written.
    Already,
    /// It was written.
    Written,
}

/// Makes the object that `manifest` describes be there, with at least the fields that it names.
///
/// # Errors
/// [`RequestError`] that says what was refused, and why. One that is being deleted cannot be given.
pub async fn ensure(client: &Client, manager: &str, manifest: &Value) -> Result<Given, RequestError> {
    let Some(name) = NameRef::of(manifest) else {
        return Err(RequestError::incomplete("a manifest without apiVersion, kind and metadata.name"));
    };
    let api = name.api(client)?;
    let existing =
        api.get_opt(&name.name).await.map_err(|error| RequestError::new(format!("read {name}"), &error))?;
    if existing.as_ref().is_some_and(|existing| existing.metadata.deletion_timestamp.is_some()) {
        return Err(RequestError::going(format!("apply {name}")));
    }
    if let Some(existing) = existing
        && serde_json::to_value(existing).is_ok_and(|existing| contains(&existing, manifest))
    {
        return Ok(Given::Already);
    }
    let params = PatchParams::apply(manager).force();
    let result = api.patch(&name.name, &params, &Patch::Apply(manifest)).await;
    result.map_err(|error| RequestError::new(format!("apply {name}"), &error))?;
    Ok(Given::Written)
}

/// Makes the object not be there.
///
/// # Errors
/// [`RequestError`] that says what was refused, and why.
pub async fn remove(client: &Client, name: &NameRef) -> Result<(), RequestError> {
    match name.api(client)?.delete(&name.name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(RequestError::new(format!("delete {name}"), &error)),
    }
}

/// Whether `have` says all that `want` says. Lists have to be the same length.
fn contains(have: &Value, want: &Value) -> bool {
    match (have, want) {
        (Value::Object(have), Value::Object(want)) => {
            want.iter().all(|(key, want)| have.get(key).is_some_and(|have| contains(have, want)))
        }
        (Value::Array(have), Value::Array(want)) => {
            have.len() == want.len() && have.iter().zip(want).all(|(have, want)| contains(have, want))
        }
        (have, want) => have == want,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_that_says_more_is_as_it_should_be() {
        let want = json!({"metadata": {"name": "a"}, "rules": [{"verbs": ["get"]}]});
        assert!(contains(
            &json!({"metadata": {"name": "a", "uid": "1"}, "rules": [{"verbs": ["get"], "x": 1}]}),
            &want
        ));
        for other in [
            json!({"metadata": {"name": "a"}}),
            json!({"metadata": {"name": "a"}, "rules": [{"verbs": ["get", "list"]}]}),
            json!({"metadata": {"name": "a"}, "rules": [{"verbs": ["get"]}, {"verbs": ["list"]}]}),
        ] {
            assert!(!contains(&other, &want), "{other}");
        }
    }
}
