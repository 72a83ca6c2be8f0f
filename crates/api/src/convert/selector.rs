//! Label selectors.

use causeway_model::{LabelOperator, LabelRequirement, LabelSelector};

use super::fields::{Fields, known};
use crate::{Choice, NodeSelector, NodeSelectorExpression, SelectorOperator};

impl Fields {
    /// The selector. A requirement that cannot be read is met by no node: leaving it out would let
    /// in nodes that the user meant to keep out.
    pub(super) fn selector(&mut self, field: &str, given: Option<&NodeSelector>) -> LabelSelector {
        let Some(given) = given else { return LabelSelector::default() };
        let mut requirements: Vec<LabelRequirement> = given
            .match_labels
            .iter()
            .map(|(key, value)| LabelRequirement {
                key: key.clone(),
                operator: LabelOperator::In(vec![value.clone()]),
            })
            .collect();
        for (index, expression) in given.match_expressions.iter().enumerate() {
            let field = format!("{field}.matchExpressions[{index}]");
            let operator = self.operator(&field, expression);
            requirements.push(LabelRequirement {
                key: expression.key.clone(),
                operator: operator.unwrap_or(LabelOperator::In(Vec::new())),
            });
        }
        LabelSelector(requirements)
    }

    fn operator(&mut self, field: &str, expression: &NodeSelectorExpression) -> Option<LabelOperator> {
        let operator = self.keep(&format!("{field}.operator"), known(&expression.operator))?;
        let values = expression.values.clone();
        let word = expression.operator.as_str();
        match (operator, values.is_empty()) {
            (SelectorOperator::In, false) => Some(LabelOperator::In(values)),
            (SelectorOperator::NotIn, false) => Some(LabelOperator::NotIn(values)),
            (SelectorOperator::Exists, true) => Some(LabelOperator::Exists),
            (SelectorOperator::DoesNotExist, true) => Some(LabelOperator::DoesNotExist),
            (_, true) => {
                self.refuse(&format!("{field}.values"), format_args!("{word} needs values"));
                None
            }
            (_, false) => {
                self.refuse(&format!("{field}.values"), format_args!("{word} takes no values"));
                None
            }
        }
    }
}

/// A selector as objects write it; `None` for the one that selects everything.
pub(super) fn written(selector: &LabelSelector) -> Option<NodeSelector> {
    if selector.0.is_empty() {
        return None;
    }
    let expression = |requirement: &LabelRequirement| {
        let (operator, values) = match &requirement.operator {
            LabelOperator::In(values) => (SelectorOperator::In, values.clone()),
            LabelOperator::NotIn(values) => (SelectorOperator::NotIn, values.clone()),
            LabelOperator::Exists => (SelectorOperator::Exists, Vec::new()),
            LabelOperator::DoesNotExist => (SelectorOperator::DoesNotExist, Vec::new()),
        };
        NodeSelectorExpression { key: requirement.key.clone(), operator: Choice::from(operator), values }
    };
    Some(NodeSelector {
        match_expressions: selector.0.iter().map(expression).collect(),
        ..NodeSelector::default()
    })
}
