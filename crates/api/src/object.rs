//! An object of any of our kinds, as one type.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::Resource;
use kube::core::object::HasStatus;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{
    Cluster, ClusterLink, ClusterNode, ClusterSet, Diagnosis, Kind, NodeConfig, ObjectRef, PeerSlice,
};

/// What all our kinds have in common.
pub trait CausewayObject:
    Resource<DynamicType = ()>
    + HasStatus<Status: Serialize + DeserializeOwned + PartialEq + Clone + Debug + Default>
    + Serialize
    + DeserializeOwned
    + Clone
    + PartialEq
    + Debug
    + Into<Object>
    + 'static
{
    /// The kind.
    const KIND: Kind;

    /// The object in `object`, if it is of this kind.
    fn from_object(object: &Object) -> Option<&Self>;

    /// Which object it is. A namespace on a cluster-scoped object is not part of it.
    fn key(&self) -> ObjectRef {
        let namespace = if Self::KIND.namespaced() { self.meta().namespace.clone() } else { None };
        ObjectRef { kind: Self::KIND, namespace, name: self.meta().name.clone().unwrap_or_default() }
    }
}

/// An object's status alone, for where its spec has another writer: written with kind, name, namespace
/// and labels, and without the spec.
#[derive(Clone, Copy, Debug)]
pub struct StatusOnly<'a>(pub &'a Object);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusDocument<'a, S> {
    api_version: &'static str,
    kind: &'static str,
    metadata: ObjectMeta,
    status: Option<&'a S>,
}

impl<'a, S> StatusDocument<'a, S> {
    fn of<K: CausewayObject + HasStatus<Status = S>>(object: &'a K) -> Self {
        let meta = object.meta();
        StatusDocument {
            api_version: crate::API_VERSION,
            kind: K::KIND.as_str(),
            metadata: ObjectMeta {
                name: meta.name.clone(),
                namespace: meta.namespace.clone(),
                labels: meta.labels.clone(),
                ..ObjectMeta::default()
            },
            status: object.status(),
        }
    }
}

macro_rules! objects {
    ($($(#[$doc:meta])* $kind:ident),+ $(,)?) => {
        /// An object of one of our kinds.
        #[allow(clippy::large_enum_variant, reason = "held behind pointers wherever there are many")]
        #[derive(Clone, PartialEq, Debug)]
        pub enum Object {
            $($(#[$doc])* $kind($kind)),+
        }

        impl Object {
            /// Its kind.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Object::$kind(_) => Kind::$kind),+
                }
            }

            /// Its metadata.
            pub fn meta(&self) -> &ObjectMeta {
                match self {
                    $(Object::$kind(object) => &object.metadata),+
                }
            }

            /// Which object it is.
            pub fn key(&self) -> ObjectRef {
                match self {
                    $(Object::$kind(object) => object.key()),+
                }
            }

            /// Whether it has a status.
            pub fn has_status(&self) -> bool {
                match self {
                    $(Object::$kind(object) => object.status.is_some()),+
                }
            }

            /// The conditions in its status.
            pub fn conditions(&self) -> &[Condition] {
                match self {
                    $(Object::$kind(object) => {
                        object.status.as_ref().map_or(&[], |status| &status.conditions)
                    }),+
                }
            }

            /// Whether it says what `wanted` says but for status and metadata, and has its labels.
            pub fn same_plan(&self, wanted: &Object) -> bool {
                let have = self.meta().labels.as_ref();
                let labels = wanted.meta().labels.iter().flatten();
                let labelled =
                    labels.into_iter().all(|(key, value)| have.and_then(|have| have.get(key)) == Some(value));
                labelled
                    && match (self, wanted) {
                        $((Object::$kind(have), Object::$kind(wanted)) => have.spec == wanted.spec,)+
                        _ => false,
                    }
            }

            /// Reads an object of `kind` from `deserializer`.
            ///
            /// # Errors
            /// If the shape is not that of the kind: a field that must be there is missing, or of
            /// another type.
            pub fn deserialize<'de, D: serde::Deserializer<'de>>(
                kind: Kind,
                deserializer: D,
            ) -> Result<Object, D::Error> {
                use serde::Deserialize;
                Ok(match kind {
                    $(Kind::$kind => Object::$kind($kind::deserialize(deserializer)?)),+
                })
            }
        }

        impl Object {
            /// Reads a status of `kind` from `deserializer`, to learn whether it can be read.
            ///
            /// # Errors
            /// If the shape is not that of the kind's status.
            pub fn check_status<'de, D: serde::Deserializer<'de>>(
                kind: Kind,
                deserializer: D,
            ) -> Result<(), D::Error> {
                use serde::Deserialize;
                match kind {
                    $(Kind::$kind => <$kind as HasStatus>::Status::deserialize(deserializer).map(drop)),+
                }
            }
        }

        impl Serialize for StatusOnly<'_> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self.0 {
                    $(Object::$kind(object) => StatusDocument::of(object).serialize(serializer)),+
                }
            }
        }

        impl Serialize for Object {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Object::$kind(object) => object.serialize(serializer)),+
                }
            }
        }

        $(
            impl From<$kind> for Object {
                fn from(object: $kind) -> Object {
                    Object::$kind(object)
                }
            }

            impl CausewayObject for $kind {
                const KIND: Kind = Kind::$kind;

                fn from_object(object: &Object) -> Option<&Self> {
                    match object {
                        Object::$kind(object) => Some(object),
                        _ => None,
                    }
                }
            }
        )+
    };
}

objects!(
    /// What all clusters share.
    ClusterSet,
    /// A linked cluster.
    Cluster,
    /// Facts of one node.
    ClusterNode,
    /// What is particular to one node.
    NodeConfig,
    /// How one cluster reaches another.
    ClusterLink,
    /// Tunnel ends of one cluster.
    PeerSlice,
    /// What one node's agent is asked to test.
    Diagnosis,
);

#[cfg(test)]
mod tests {
    use super::*;
    use kube::CustomResourceExt;

    #[test]
    fn kinds_and_generated_definitions_agree() {
        fn check<K: CausewayObject + CustomResourceExt>() {
            assert_eq!(K::kind(&()), K::KIND.as_str());
            assert_eq!(K::plural(&()), K::KIND.plural());
            assert_eq!(K::api_version(&()), crate::API_VERSION);
            assert_eq!(K::group(&()), crate::GROUP);
            assert_eq!(K::version(&()), crate::VERSION);
            let scope = if K::KIND.namespaced() { "Namespaced" } else { "Cluster" };
            assert_eq!(K::crd().spec.scope, scope);
            assert_eq!(Kind::of(crate::API_VERSION, K::KIND.as_str()), Some(K::KIND));
        }
        check::<ClusterSet>();
        check::<Cluster>();
        check::<ClusterNode>();
        check::<NodeConfig>();
        check::<ClusterLink>();
        check::<PeerSlice>();
        check::<Diagnosis>();
        assert_eq!(Kind::of("cluster.x-k8s.io/v1beta1", "Cluster"), None);
        assert_eq!(Kind::of(crate::API_VERSION, "Pod"), None);
    }
}
