//! Writing our objects: server-side apply, so that each program owns just the fields that it writes
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/>).

use causeway_api::{API_VERSION, Object, ObjectRef};
use kube_client::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube_client::core::DynamicObject;
use kube_client::{Api, Client, Error};
use serde_json::{Value, json};

use crate::replica::{Selection, read_object};
use crate::{Held, Meter, RequestError};

/// Writes as one field manager.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    manager: &'static str,
    held: Option<Held>,
    meter: Meter,
}

impl Writer {
    /// Writes as `manager`, a program's name.
    pub fn new(client: Client, manager: &'static str) -> Writer {
        Writer { client, manager, held: None, meter: Meter::default() }
    }

    /// The same, which writes while the Lease is held and not after.
    #[must_use]
    pub fn under(self, held: Held) -> Writer {
        Writer { held: Some(held), ..self }
    }

    /// The same, which counts its requests.
    #[must_use]
    pub fn metered(self, meter: Meter) -> Writer {
        Writer { meter, ..self }
    }

    fn ended<T>(
        &self,
        key: &ObjectRef,
        verb: &'static str,
        result: Result<T, RequestError>,
    ) -> Result<(), RequestError> {
        self.meter.wrote(key.kind, verb, &result);
        if result.is_ok() {
            tracing::debug!(object = %key, verb, "written");
        }
        result.map(drop)
    }

    /// Whether it may write now. To be asked before each request: of several that belong together the Lease
    /// may be lost in between.
    ///
    /// # Errors
    /// [`RequestError`] of `what`, if not.
    pub fn may(&self, what: impl FnOnce() -> String) -> Result<(), RequestError> {
        match &self.held {
            Some(held) if !held.is_held() => Err(RequestError::not_held(what())),
            Some(_) | None => Ok(()),
        }
    }

    /// The client that it writes with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The same with another client.
    #[must_use]
    pub fn with_client(&self, client: Client) -> Writer {
        Writer { client, ..self.clone() }
    }

    fn api(&self, key: &ObjectRef) -> Api<DynamicObject> {
        let resource = Selection::default().resource(key.kind).api_resource();
        match &key.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// Reads one object as it is now; `None` if it is not there.
    ///
    /// # Errors
    /// [`RequestError`] if the API server does not give it, or it is not of its kind.
    pub async fn read(&self, key: &ObjectRef) -> Result<Option<Object>, RequestError> {
        let what = || format!("read {key}");
        let found =
            self.api(key).get_opt(&key.name).await.map_err(|error| RequestError::new(what(), &error))?;
        let object = found.map(|object| read_object(key.kind, object)).transpose();
        object.map_err(|error| RequestError::incomplete(format!("{key} ({error})")))
    }

    fn params(&self) -> PatchParams {
        PatchParams::apply(self.manager).force()
    }

    /// Makes the object be there with these labels, annotations, finalizers and this spec. Its status
    /// is not written.
    ///
    /// # Errors
    /// [`RequestError`] that says what was refused, and why.
    pub async fn apply(&self, object: &Object) -> Result<(), RequestError> {
        let key = object.key();
        let what = || format!("apply {key}");
        self.may(what)?;
        let mut body = serde_json::to_value(object).unwrap_or_default();
        if let Some(fields) = body.as_object_mut() {
            fields.remove("status");
        }
        let result = self.api(&key).patch(&key.name, &self.params(), &Patch::Apply(&body)).await;
        self.ended(&key, "apply", result.map_err(|error| RequestError::new(what(), &error)))
    }

    /// Makes the fields of `status` be there, and those go that this manager wrote and are not in it.
    ///
    /// # Errors
    /// [`RequestError`] that says what was refused, and why.
    pub async fn apply_status(&self, key: &ObjectRef, status: &Value) -> Result<(), RequestError> {
        let what = || format!("apply status of {key}");
        self.may(what)?;
        let mut body = json!({
            "apiVersion": API_VERSION,
            "kind": key.kind.as_str(),
            "metadata": {"name": key.name, "namespace": key.namespace},
        });
        // An empty one that takes the last field away is merged into null, and refused.
        if status.as_object().is_some_and(|fields| !fields.is_empty()) {
            body["status"].clone_from(status);
        }
        let result = self.api(key).patch_status(&key.name, &self.params(), &Patch::Apply(&body)).await;
        self.ended(key, "apply_status", result.map_err(|error| RequestError::new(what(), &error)))
    }

    /// Makes these finalizers be there, and those go that this manager put there and are not among them.
    /// With `uid` only on that incarnation of the object; another one, or none, is left alone.
    ///
    /// # Errors
    /// [`RequestError`] that says what was refused, and why.
    pub async fn apply_finalizers(
        &self,
        key: &ObjectRef,
        uid: Option<&str>,
        finalizers: &[&str],
    ) -> Result<(), RequestError> {
        let what = || format!("apply finalizers of {key}");
        self.may(what)?;
        let body = json!({
            "apiVersion": API_VERSION,
            "kind": key.kind.as_str(),
            "metadata": {
                "name": key.name, "namespace": key.namespace, "uid": uid, "finalizers": finalizers,
            },
        });
        let result = match self.api(key).patch(&key.name, &self.params(), &Patch::Apply(&body)).await {
            Ok(_) => Ok(()),
            Err(Error::Api(status)) if status.code == 404 || (status.code == 409 && uid.is_some()) => Ok(()),
            Err(error) => Err(RequestError::new(what(), &error)),
        };
        self.ended(key, "apply_finalizers", result)
    }

    /// Takes `finalizer` off this incarnation of the object, whatever else it says; another one, or none, is left
    /// alone. Not by server-side apply, which would give up everything else that this manager applied.
    ///
    /// # Errors
    /// [`RequestError`] that says what was refused, and why.
    pub async fn release(
        &self,
        key: &ObjectRef,
        uid: Option<&str>,
        finalizer: &str,
    ) -> Result<(), RequestError> {
        let what = || format!("take {finalizer} off {key}");
        let failed = |error: &Error| RequestError::new(what(), error);
        let api = self.api(key);
        let Some(object) = api.get_metadata_opt(&key.name).await.map_err(|error| failed(&error))? else {
            return Ok(());
        };
        let (meta, is) = (&object.metadata, object.metadata.uid.as_deref());
        if uid.is_some_and(|uid| is != Some(uid)) {
            return Ok(());
        }
        let rest: Vec<&String> = meta.finalizers.iter().flatten().filter(|one| *one != finalizer).collect();
        self.may(what)?;
        // With the version: who changed the list meanwhile is not undone.
        let patch = json!({"metadata": {"resourceVersion": meta.resource_version, "finalizers": rest}});
        let params = PatchParams { field_manager: Some(self.manager.to_owned()), ..PatchParams::default() };
        let result = match api.patch_metadata(&key.name, &params, &Patch::Merge(&patch)).await {
            Ok(_) => Ok(()),
            Err(Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(failed(&error)),
        };
        self.ended(key, "release", result)
    }

    /// Deletes the object; with `uid` only that incarnation of it. One that is gone already is fine.
    ///
    /// # Errors
    /// [`RequestError`] that says what was refused, and why.
    pub async fn delete(&self, key: &ObjectRef, uid: Option<String>) -> Result<(), RequestError> {
        let what = || format!("delete {key}");
        self.may(what)?;
        let preconditions = uid.map(|uid| Preconditions { uid: Some(uid), resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        let result = match self.api(key).delete(&key.name, &params).await {
            Ok(_) => Ok(()),
            // Gone, or another one of the same name has come.
            Err(Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            Err(error) => Err(RequestError::new(what(), &error)),
        };
        self.ended(key, "delete", result)
    }
}
