//! What each identity may do, as tables: all that it needs, and nothing else. RBAC gives just this; what RBAC is
//! too coarse for, admission policies take away again.

/// The namespace of Causeway's own programs, and of a member's copies.
pub const SYSTEM: &str = "causeway-system";
/// The namespace of cluster `east` at the hub.
pub const EAST: &str = "causeway-cluster-east";
/// The namespace of cluster `west` at the hub.
pub const WEST: &str = "causeway-cluster-west";
/// What all clusters read at the hub.
pub const SHARED: &str = "causeway-shared";

/// Where (`*` is everywhere), what (`GROUP/RESOURCES`, with `=NAME` for one object), verbs.
pub type Right = (&'static str, &'static str, &'static str);

const READ: &str = "get list watch";

/// network-manager at the hub.
pub const NETWORK_MANAGER: &[Right] = &[
    ("*", "causeway.dev/clustersets", READ),
    ("*", "causeway.dev/clusters", "get list watch patch"),
    ("*", "causeway.dev/clustersets/status", "get patch"),
    ("*", "causeway.dev/clusters/status", "get patch"),
    ("*", "causeway.dev/clusternodes/status", "get patch"),
    ("*", "causeway.dev/clusterlinks/status", "get patch"),
    ("*", "causeway.dev/clusternodes", "get list watch create patch delete"),
    ("*", "causeway.dev/diagnoses", READ),
    ("*", "causeway.dev/diagnoses/status", "get patch"),
    ("*", "causeway.dev/nodeconfigs", "get list watch create patch delete"),
    ("*", "causeway.dev/clusterlinks", "get list watch create patch delete"),
    ("*", "causeway.dev/peerslices", "get list watch create patch delete"),
    ("*", "/namespaces", "get list watch create patch delete"),
    ("*", "/serviceaccounts", "get create patch delete"),
    ("*", "/serviceaccounts/token=controller-manager", "create"),
    ("*", "rbac.authorization.k8s.io/roles", "get create patch delete"),
    ("*", "rbac.authorization.k8s.io/rolebindings", "get create patch delete"),
    ("*", "rbac.authorization.k8s.io/clusterroles", "get create patch delete"),
    ("*", "rbac.authorization.k8s.io/clusterrolebindings", "get create patch delete"),
    ("*", "/events", "create patch"),
    ("*", "events.k8s.io/events", "create patch"),
    (SYSTEM, "coordination.k8s.io/leases", "create"),
    (SYSTEM, "coordination.k8s.io/leases=causeway-network-manager", "get update patch"),
];

/// What controller-manager of cluster `east` has at the hub.
pub const CREDENTIAL_OF_EAST: &[Right] = &[
    (EAST, "causeway.dev/clusternodes", "get list watch create patch delete"),
    (EAST, "causeway.dev/nodeconfigs", READ),
    (EAST, "causeway.dev/clusterlinks", READ),
    (EAST, "causeway.dev/clusterlinks/status", "get patch"),
    (EAST, "causeway.dev/diagnoses", READ),
    (EAST, "causeway.dev/diagnoses/status", "get patch"),
    (EAST, "/serviceaccounts/token=controller-manager", "create"),
    (SHARED, "causeway.dev/peerslices", READ),
    ("*", "causeway.dev/clusters=east", READ),
    ("*", "causeway.dev/clusters/status=east", "get patch"),
];

/// controller-manager at its member.
pub const CONTROLLER_MANAGER: &[Right] = &[
    ("*", "/nodes", READ),
    ("*", "networking.k8s.io/servicecidrs", READ),
    ("*", "/configmaps=kubeadm-config", READ),
    ("*", "/configmaps=kube-flannel-cfg", READ),
    ("*", "/configmaps=canal-config", READ),
    ("*", "/configmaps=rke2-canal-config", READ),
    ("*", "/configmaps=cilium-config", READ),
    ("*", "/configmaps=antrea-config", READ),
    ("*", "crd.projectcalico.org/ippools", READ),
    ("*", "crd.projectcalico.org/blockaffinities", READ),
    ("*", "crd.projectcalico.org/ipamblocks", READ),
    ("*", "projectcalico.org/ippools", READ),
    ("*", "projectcalico.org/blockaffinities", READ),
    ("*", "projectcalico.org/ipamblocks", READ),
    ("*", "cilium.io/ciliumnodes", READ),
    ("*", "cilium.io/ciliumpodippools", READ),
    ("*", "kubeovn.io/subnets", READ),
    ("*", "/events", "create patch"),
    ("*", "events.k8s.io/events", "create patch"),
    ("kube-system", "/pods", READ),
    (SYSTEM, "causeway.dev/nodeconfigs", "get list watch create update patch delete"),
    (SYSTEM, "causeway.dev/clusterlinks", "get list watch create update patch delete"),
    (SYSTEM, "causeway.dev/peerslices", "get list watch create update patch delete"),
    (SYSTEM, "causeway.dev/clusternodes", "get list watch create update patch delete"),
    (SYSTEM, "causeway.dev/diagnoses", "get list watch create patch delete"),
    (SYSTEM, "causeway.dev/clusterlinks/status", "get patch"),
    (SYSTEM, "/secrets=causeway-hub", "get update patch"),
    (SYSTEM, "/services", "create"),
    (SYSTEM, "coordination.k8s.io/leases", "create"),
    (SYSTEM, "coordination.k8s.io/leases=causeway-controller-manager", "get update patch"),
];

/// The agent at its member. A policy keeps its writes to its own node.
pub const AGENT: &[Right] = &[
    (SYSTEM, "causeway.dev/nodeconfigs", READ),
    (SYSTEM, "causeway.dev/clusterlinks", READ),
    (SYSTEM, "causeway.dev/peerslices", READ),
    (SYSTEM, "causeway.dev/clusternodes", READ),
    (SYSTEM, "causeway.dev/diagnoses", "get"),
    (SYSTEM, "causeway.dev/nodeconfigs/status", "get patch"),
    (SYSTEM, "causeway.dev/clusternodes/status", "get patch"),
    (SYSTEM, "causeway.dev/diagnoses/status", "get patch"),
];

/// Whether `rights` let somebody do `verb` on `name` of a group and resource, there.
pub fn grants(
    rights: &[Right],
    namespace: &str,
    (group, resource): (&str, &str),
    name: &str,
    verb: &str,
) -> bool {
    rights.iter().any(|(place, what, verbs)| {
        let (what, only) = what.split_once('=').map_or((*what, None), |(what, only)| (what, Some(only)));
        (*place == "*" || *place == namespace)
            && what.split_once('/') == Some((group, resource))
            && only.is_none_or(|only| only == name)
            && verbs.split(' ').any(|one| one == verb)
    })
}

/// Names that some right is limited to, of a group and resource.
pub fn names(rights: &[Right], (group, resource): (&str, &str)) -> Vec<&'static str> {
    let limited = rights.iter().filter_map(|(_, what, _)| what.split_once('='));
    let same = limited.filter(|(what, _)| what.split_once('/') == Some((group, resource)));
    same.map(|(_, name)| name).collect()
}
