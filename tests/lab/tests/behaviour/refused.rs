//! What is refused, with its reason, while all else goes on.

use causeway_lab::{Action, Fault};
use serde_json::json;

use crate::bed::{becomes_well, object, wait_for_condition, well};

#[test]
fn prefixes_that_nobody_may_announce_are_refused_and_the_rest_is_used() {
    let lab = well("refused", "clusters: [{name: a, nodes: 1}, {name: b, nodes: 1}]");
    let base = ["10.2.0.0/16", "fd10:2::/48"];
    for (bad, reason) in [
        ("0.0.0.0/0", "PrefixReserved"),
        ("127.0.0.0/8", "PrefixReserved"),
        ("169.254.0.0/16", "PrefixReserved"),
        ("224.0.0.0/4", "PrefixReserved"),
        ("ff00::/8", "PrefixReserved"),
        ("fe80::/64", "PrefixReserved"),
        ("172.16.0.0/12", "PrefixCoversUnderlay"),
        ("fd20::/16", "PrefixCoversUnderlay"),
        ("198.18.0.0/24", "PrefixInOverlayRange"),
        ("10.7.0.1/16", "InvalidValue"),
        ("10.7.0.0", "InvalidValue"),
        ("nonsense", "InvalidValue"),
    ] {
        let pods = json!({"podCIDRs": [base[0], bad, base[1]]});
        lab.objects().patch_cluster(&"b".parse().unwrap(), &pods).unwrap();
        crate::bed::eventually(bad, || {
            let message =
                wait_for_condition(&lab, "clusters/b.status.yaml", "Accepted", &format!("False {reason}"));
            let names_it = message.contains(bad) && message.contains("spec.podCIDRs[1]");
            if names_it { Ok(()) } else { Err(message) }
        });
    }
    becomes_well(&lab);
}

#[test]
fn a_node_outside_its_clusters_prefixes_is_refused_that_prefix() {
    let lab = well("outside", "clusters: [{name: a, nodes: 1}, {name: b, nodes: 2}]");
    let pods = json!({"podCIDRs": ["10.2.1.0/24", "fd10:2:0:1::/64", "10.1.0.0/24"]});
    lab.objects().patch_node(&"b/n2".parse().unwrap(), &pods).unwrap();
    let path = "clusternodes/causeway-cluster-b/n2.status.yaml";
    let message = wait_for_condition(&lab, path, "Accepted", "False PrefixOutsideCluster");
    assert!(message.contains("10.1.0.0/24"), "{message}");
    becomes_well(&lab);
}

#[test]
fn a_cluster_without_nodes_says_so_and_disturbs_nobody() {
    let lab = well("empty", "clusters: [{name: a, nodes: 1}, {name: b, nodes: 1}]");
    let spec = json!({"podCIDRs": ["10.9.0.0/16"], "serviceCIDRs": ["10.99.0.0/16"]});
    let cluster = json!({"apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "z"}, "spec": spec});
    lab.objects().write(&lab.objects().cluster_file(&"z".parse().unwrap()), &cluster).unwrap();
    wait_for_condition(&lab, "clusters/z.status.yaml", "Ready", "False NoNodes");
    assert!(object(&lab, "clusterlinks/causeway-cluster-a/z.yaml").is_some());
    becomes_well(&lab);
}

#[test]
fn a_document_that_cannot_be_read_takes_nothing_down() {
    let lab = well("torn", "clusters: [{name: a, nodes: 1}, {name: b, nodes: 1}]");
    let file = lab.objects().cluster_file(&"b".parse().unwrap());
    let whole = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    std::fs::write(lab.objects_dir().join("more.yaml"), "kind: [\n").unwrap();
    crate::bed::eventually("the manager to name the file", || {
        let log = lab.log(None).unwrap();
        if log.contains("more.yaml") { Ok(()) } else { Err(log) }
    });
    becomes_well(&lab);
    assert!(object(&lab, "nodeconfigs/causeway-cluster-b/n1.yaml").is_some());
}

#[test]
fn a_manager_that_starts_with_an_unreadable_document_changes_no_plan_until_it_can_read_it() {
    let lab = well("restart-torn", "clusters: [{name: a, nodes: 1}, {name: b, nodes: 2}]");
    let plans = || {
        ["peerslices/causeway-shared/b.nodes.0.yaml", "nodeconfigs/causeway-cluster-b/n1.yaml"]
            .map(|path| std::fs::read_to_string(lab.objects_dir().join(path)).unwrap())
    };
    let before = plans();
    lab.fault(&Fault::Manager { action: Action::Stop }).unwrap();
    let file = lab.objects().file("clusternodes", &"b".parse().unwrap(), "n1");
    let whole = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "kind: [\n").unwrap();
    lab.fault(&Fault::Manager { action: Action::Start }).unwrap();
    crate::bed::eventually("the manager to say that it waits", || {
        let log = lab.log(None).unwrap();
        if log.contains("plans stay as they are") { Ok(()) } else { Err(log) }
    });
    assert_eq!(plans(), before);
    becomes_well(&lab);
    std::fs::write(&file, whole).unwrap();
    let services = json!({"serviceCIDRs": ["10.130.0.0/16", "fd11:2::/112", "10.140.0.0/16"]});
    lab.objects().patch_cluster(&"b".parse().unwrap(), &services).unwrap();
    crate::bed::eventually("the manager to plan again", || {
        let link = object(&lab, "clusterlinks/causeway-cluster-a/b.yaml").unwrap().to_string();
        if link.contains("10.140.0.0/16") { Ok(()) } else { Err(link) }
    });
    assert_eq!(plans()[0], before[0]);
    becomes_well(&lab);
}
