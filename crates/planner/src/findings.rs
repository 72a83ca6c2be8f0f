//! How findings are made.

use causeway_model::{Finding, Reason, Subject};

/// Field of a Cluster: its pod CIDRs.
pub(crate) const POD_CIDRS: &str = "spec.podCIDRs";
/// Field of a Cluster: its service CIDRs.
pub(crate) const SERVICE_CIDRS: &str = "spec.serviceCIDRs";
/// Field of a Cluster: the global CIDRs that it names.
pub(crate) const GLOBAL_MAP: &str = "spec.globalCIDRs.map";
/// Field of a Cluster: how its prefixes are shown.
pub(crate) const GLOBAL_CIDRS: &str = "spec.globalCIDRs";
/// Field of a ClusterNode: where its tunnel ends.
pub(crate) const UNDERLAY: &str = "spec.underlay";

pub(crate) fn finding(
    subject: Subject,
    field: impl Into<String>,
    reason: Reason,
    message: String,
) -> Finding {
    Finding { subject, field: field.into(), reason, message }
}

/// `spec.podCIDRs[1]`
pub(crate) fn item(field: &str, index: usize) -> String {
    format!("{field}[{index}]")
}
