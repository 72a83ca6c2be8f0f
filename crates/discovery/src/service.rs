//! Asking an API server for its service CIDRs by its own error message.

use causeway_model::Prefix;
use serde_json::{Value, json};

/// Services that no API server accepts, one of each family, since their addresses are for documentation
/// (RFC 5737, RFC 3849). To be created as a dry run; the error names the range that would have been valid, and that
/// of the Service's own family only.
pub fn impossible_services(namespace: &str) -> [Value; 2] {
    [("IPv4", "192.0.2.1"), ("IPv6", "2001:db8::1")].map(|(family, address)| {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "causeway-asks-for-the-service-cidr", "namespace": namespace},
            "spec": {
                "clusterIP": address,
                "ipFamilies": [family],
                "ipFamilyPolicy": "SingleStack",
                "ports": [{"port": 443}],
            },
        })
    })
}

/// The prefixes that an error says are valid, as in `The range of valid IPs is 10.96.0.0/12`.
pub fn valid_range(error: &str) -> Vec<Prefix> {
    let Some((_, after)) = error.split_once("valid IPs is ") else { return Vec::new() };
    after
        .split(|c: char| c.is_whitespace() || c == ',')
        .map(|word| word.trim_matches(|c: char| !c.is_ascii_hexdigit() && c != ':'))
        .map_while(|word| word.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_found_in_the_wordings_of_api_servers() {
        let found = |text: &str| valid_range(text).iter().map(ToString::to_string).collect::<Vec<_>>();
        let old = "Service \"x\" is invalid: spec.clusterIPs: Invalid value: []string{\"192.0.2.1\"}: failed to allocate IP 192.0.2.1: provided IP is not in the valid range. The range of valid IPs is 10.96.0.0/12";
        assert_eq!(found(old), ["10.96.0.0/12"]);
        let new = "spec.clusterIPs: Invalid value: [\"192.0.2.1\"]: failed to allocate IP 192.0.2.1: the provided IP (192.0.2.1) is not in the valid range. The range of valid IPs is 10.96.0.0/16,fd00:10:96::/108";
        assert_eq!(found(new), ["10.96.0.0/16", "fd00:10:96::/108"]);
        assert_eq!(found("The range of valid IPs is 10.0.0.0/24."), ["10.0.0.0/24"]);
        assert!(found("services is forbidden").is_empty());
    }
}
