//! Label selectors, as Kubernetes defines them for `metav1.LabelSelector`.

use std::collections::BTreeMap;

/// Which labels an object must carry. Every requirement must hold; none selects everything.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LabelSelector(pub Vec<LabelRequirement>);

/// One requirement of a [`LabelSelector`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LabelRequirement {
    /// The label's key.
    pub key: String,
    /// What is required of its value.
    pub operator: LabelOperator,
}

/// What a [`LabelRequirement`] asks of a label.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LabelOperator {
    /// Present, with one of these values.
    In(Vec<String>),
    /// Absent, or with none of these values.
    NotIn(Vec<String>),
    /// Present.
    Exists,
    /// Absent.
    DoesNotExist,
}

impl LabelSelector {
    /// Whether `labels` meet every requirement.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            match &requirement.operator {
                LabelOperator::In(values) => value.is_some_and(|v| values.contains(v)),
                LabelOperator::NotIn(values) => value.is_none_or(|v| !values.contains(v)),
                LabelOperator::Exists => value.is_some(),
                LabelOperator::DoesNotExist => value.is_none(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operator_decides_as_kubernetes_does() {
        let labels = BTreeMap::from([("role".to_owned(), "edge".to_owned())]);
        let holds = |key: &str, operator| {
            LabelSelector(vec![LabelRequirement { key: key.to_owned(), operator }]).matches(&labels)
        };
        let edge = || vec!["edge".to_owned()];
        assert!(holds("role", LabelOperator::In(edge())));
        assert!(!holds("zone", LabelOperator::In(edge())));
        assert!(!holds("role", LabelOperator::NotIn(edge())));
        assert!(holds("zone", LabelOperator::NotIn(edge())));
        assert!(holds("role", LabelOperator::Exists) && !holds("zone", LabelOperator::Exists));
        assert!(holds("zone", LabelOperator::DoesNotExist) && !holds("role", LabelOperator::DoesNotExist));
        assert!(LabelSelector::default().matches(&labels));
    }
}
