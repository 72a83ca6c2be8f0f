//! What to do about a condition that is not as it should be.

use causeway_api::Kind;
use causeway_model::Reason;

use crate::explain::remedy;

/// What to do about a condition of an object of `kind`, by its reason; what is not known by its reason, by its type.
pub fn advice(kind: Kind, condition: &str, reason: &str) -> String {
    if let Some(reason) = planned(reason) {
        return remedy(reason).to_owned();
    }
    let known = match (kind, reason) {
        (_, "AgentSilent") => {
            "look at the agents' Pods: kubectl -n causeway-system get pods -o wide, in that cluster"
        }
        (_, "KernelUnreadable" | "ChangesFailed" | "ChangesUndone" | "StateDirectory" | "ForeignDevice") => {
            "look at that node's agent: kubectl -n causeway-system logs -l app.kubernetes.io/component=agent, in that cluster"
        }
        (Kind::Cluster, "NotFound" | "PartlyRead") => {
            "state spec.podCIDRs and spec.serviceCIDRs of the Cluster, or let controller-manager read what the message names"
        }
        (Kind::Cluster, "InvalidOverride") => "correct spec.podCIDRs and spec.serviceCIDRs of the Cluster",
        (Kind::ClusterLink, "NoWay" | "PartlyReady") => {
            "see `causeway explain` for the way, and let UDP ports 4876 and 4877 pass between the clusters' nodes"
        }
        (_, "PrefixOutsideLink") => {
            "follows from what is refused of the remote cluster: see its conditions, or `causeway plan`"
        }
        (Kind::ClusterLink, "NoPrefixes") => "see what is wrong with the remote Cluster",
        (_, "AllGatewaysSilent" | "SomeGatewaysSilent") => {
            "look at the gateways that the message names, and at UDP ports 4876 and 4877 on the way there"
        }
        (Kind::ClusterLink | Kind::Cluster | Kind::ClusterSet, "NotReported") => reporter(kind, condition),
        _ => "see the message; `causeway gather` collects what a bug report needs",
    };
    known.to_owned()
}

fn reporter(kind: Kind, condition: &str) -> &'static str {
    match (kind, condition) {
        (Kind::ClusterLink, _) | (Kind::Cluster, "Discovered" | "Programmed") => {
            "look at that cluster's controller-manager: kubectl -n causeway-system get pods, in that cluster"
        }
        _ => {
            "look at network-manager at the hub: kubectl -n causeway-system get pods, or causeway install hub"
        }
    }
}

fn planned(text: &str) -> Option<Reason> {
    Reason::ALL.into_iter().find(|reason| reason.as_str() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_a_plan_has_its_remedy_and_others_have_some() {
        for reason in Reason::ALL {
            assert_eq!(advice(Kind::Cluster, "Ready", reason.as_str()), remedy(reason));
        }
        assert!(advice(Kind::ClusterLink, "Ready", "NoWay").contains("UDP"));
        assert!(advice(Kind::Cluster, "Programmed", "NotReported").contains("controller-manager"));
        assert!(advice(Kind::Cluster, "Ready", "NotReported").contains("network-manager"));
        assert!(!advice(Kind::Cluster, "Ready", "SomethingNew").is_empty());
    }
}
