//! Label selectors in objects: the JSON of `metav1.LabelSelector`, with a schema that bounds it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::choice::{Choice, choices};

/// Which nodes, by their labels. All requirements must hold; an empty selector selects every node.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelector {
    /// Labels that a node must carry, each with exactly this value. At most 16.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub match_labels: BTreeMap<String, String>,
    /// Further requirements on labels. At most 16. One that cannot be read is met by no node.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Vec<NodeSelectorExpression>,
}

/// One requirement on a label.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0",
        "message": "In and NotIn need values; Exists and DoesNotExist take none",
    },
]))]
pub struct NodeSelectorExpression {
    /// The label's key, for example `topology.kubernetes.io/zone`.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// What is required: `In` (present with one of `values`), `NotIn` (absent or with none of
    /// `values`), `Exists` (present), `DoesNotExist` (absent).
    pub operator: Choice<SelectorOperator>,
    /// The values for `In` and `NotIn`; none for the other operators. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub values: Vec<String>,
}

/// The operator of a [`NodeSelectorExpression`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SelectorOperator {
    /// Present, with one of the values.
    In,
    /// Absent, or with none of the values.
    NotIn,
    /// Present.
    Exists,
    /// Absent.
    DoesNotExist,
}

choices!(
    SelectorOperator,
    "an operator",
    [
        ("In", SelectorOperator::In),
        ("NotIn", SelectorOperator::NotIn),
        ("Exists", SelectorOperator::Exists),
        ("DoesNotExist", SelectorOperator::DoesNotExist),
    ]
);
