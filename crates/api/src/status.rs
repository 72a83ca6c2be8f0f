//! What every status carries: the generation that it speaks of, and conditions.

/// Writes a status struct whose first fields are `observedGeneration` and `conditions`.
macro_rules! status {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            /// The `metadata.generation` of the spec that this status speaks of.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub observed_generation: Option<i64>,
            $($(#[$field_doc])* pub $field: $type,)*
            /// What is known of the object, one entry per type. At most 16.
            #[serde(skip_serializing_if = "Vec::is_empty")]
            #[schemars(
                length(max = 16),
                extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
            )]
            pub conditions: Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>,
        }
    };
}
pub(crate) use status;
