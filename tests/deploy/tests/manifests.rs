//! What holds of the plain manifests as they are written, whatever API server they go to.

use std::collections::BTreeSet;
use std::process::Command;

use causeway_api::{Kind, StatusWriter, crd, status_fields};
use causeway_test_deploy::objects::{assert_labelled, by_key, documents, in_folder};
use causeway_test_deploy::{kubernetes_program, repository, succeed};
use serde_json::{Value, json};

const FOLDERS: [&str; 2] = ["deploy/manifests/hub", "deploy/manifests/member"];

fn all(kind: &str) -> Vec<Value> {
    let objects = FOLDERS.iter().flat_map(|folder| in_folder(folder));
    objects.filter(|object| object["kind"] == kind).collect()
}

fn list<'a>(value: &'a Value, at: &str) -> &'a [Value] {
    value.pointer(at).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn workloads() -> Vec<Value> {
    [all("Deployment"), all("DaemonSet")].concat()
}

#[test]
fn every_object_has_the_labels_of_the_convention() {
    for folder in FOLDERS.iter().chain(&["deploy/manifests/cleanup", "deploy/crds"]) {
        by_key(in_folder(folder)).values().for_each(|object| assert_labelled(object, "causeway"));
    }
}

/// Labels that change with each version are in no selector: those of a Deployment can never be changed.
#[test]
fn selectors_name_no_version() {
    for workload in workloads() {
        let selector = workload["spec"]["selector"]["matchLabels"].as_object().expect("a selector");
        let labels: Vec<&str> = selector.keys().map(String::as_str).collect();
        assert_eq!(labels, ["app.kubernetes.io/component", "app.kubernetes.io/name"]);
    }
}

#[test]
fn kustomize_reads_every_file_and_nothing_else() {
    let member = |object: &Value| {
        let plural = object["spec"]["names"]["plural"].as_str().unwrap_or_default();
        !["clusters", "clustersets"].contains(&plural)
    };
    let definitions = || in_folder("deploy/crds").into_iter();
    for (folder, of_definitions) in [
        ("deploy/crds", definitions().collect()),
        ("deploy/manifests/hub", definitions().collect::<Vec<Value>>()),
        ("deploy/manifests/member", definitions().filter(member).collect()),
        ("deploy/manifests/cleanup", Vec::new()),
    ] {
        let mut kubectl = Command::new(kubernetes_program("kubectl"));
        let built = succeed(kubectl.arg("kustomize").arg(repository(folder)));
        let plain = if folder == "deploy/crds" { Vec::new() } else { in_folder(folder) };
        assert_eq!(by_key(documents(&built)), by_key([of_definitions, plain].concat()), "{folder}");
    }
}

#[test]
fn every_container_is_as_restricted_as_it_can_be() {
    let mut added = Vec::new();
    for workload in workloads() {
        let pods = &workload["spec"]["template"]["spec"];
        assert_eq!(pods["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        for container in list(pods, "/containers") {
            let security = &container["securityContext"];
            assert_ne!(security["privileged"], true);
            assert_eq!(security["allowPrivilegeEscalation"], false);
            assert_eq!(security["readOnlyRootFilesystem"], true);
            assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
            added.push((container["name"].clone(), security["capabilities"]["add"].clone()));
            for needed in
                ["/resources/requests/cpu", "/resources/requests/memory", "/resources/limits/memory"]
            {
                assert!(container.pointer(needed).is_some(), "{needed}");
            }
            assert!(container.pointer("/readinessProbe/httpGet/path").is_some_and(|path| path == "/readyz"));
            assert!(container.pointer("/livenessProbe/httpGet/path").is_some_and(|path| path == "/healthz"));
            assert_eq!(container["image"], "causeway:latest");
        }
        if workload["kind"] == "Deployment" {
            assert_eq!(pods["securityContext"]["runAsNonRoot"], true);
            assert_ne!(pods["hostNetwork"], true);
            assert_eq!(workload["spec"]["replicas"], 2);
        }
    }
    added.sort_by_key(|(name, _)| name.to_string());
    assert_eq!(
        json!(added),
        json!([["agent", ["NET_ADMIN", "NET_RAW"]], ["controller-manager", null], ["network-manager", null]])
    );
}

#[test]
fn the_agent_sees_of_its_host_just_the_network_its_sysctls_and_a_folder() {
    let agent = &all("DaemonSet")[0]["spec"]["template"]["spec"];
    assert_eq!(agent["hostNetwork"], true);
    assert!(agent["hostPID"].is_null() && agent["hostIPC"].is_null());
    let paths: Vec<&Value> =
        list(agent, "/volumes").iter().map(|volume| &volume["hostPath"]["path"]).collect();
    assert_eq!(json!(paths), json!(["/var/lib/causeway", "/proc/sys/net"]));
    assert_eq!(agent["tolerations"], json!([{"operator": "Exists"}]));
}

/// It is where agents were, with what they had and no more, and not beside one.
#[test]
fn the_clean_up_is_an_agents_pod_without_rights() {
    let objects = in_folder("deploy/manifests/cleanup");
    let [cleanup] = objects.as_slice() else { panic!("one object") };
    let agents = &all("DaemonSet")[0]["spec"]["template"]["spec"];
    let pods = &cleanup["spec"]["template"]["spec"];
    for same in ["hostNetwork", "nodeSelector", "tolerations", "securityContext", "volumes"] {
        assert_eq!(pods[same], agents[same], "{same}");
    }
    assert_eq!(pods["automountServiceAccountToken"], false);
    let (does, agent, stays) = (&pods["initContainers"][0], &agents["containers"][0], &pods["containers"][0]);
    for same in ["image", "command", "volumeMounts"] {
        assert_eq!(does[same], agent[same], "{same}");
    }
    let mut security = agent["securityContext"].clone();
    security["capabilities"]["add"] = json!(["NET_ADMIN"]);
    assert_eq!(does["securityContext"], security);
    assert_eq!(stays["ports"][0]["hostPort"], agent["ports"][0]["hostPort"]);
    assert_eq!(stays["ports"][0]["hostIP"], agent["ports"][0]["hostIP"]);
    assert_eq!(stays["securityContext"]["capabilities"], json!({"drop": ["ALL"]}));
}

#[test]
fn selectors_and_budgets_find_the_pods_that_they_mean() {
    let budgets = all("PodDisruptionBudget");
    for workload in workloads() {
        let labels = &workload["spec"]["template"]["metadata"]["labels"];
        let finds = |selector: &Value| {
            let wanted = selector["matchLabels"].as_object().expect("labels");
            wanted.iter().all(|(key, value)| labels[key] == *value)
        };
        assert!(finds(&workload["spec"]["selector"]));
        for spread in list(&workload, "/spec/template/spec/topologySpreadConstraints") {
            assert!(finds(&spread["labelSelector"]));
        }
        let budgets = budgets.iter().filter(|budget| finds(&budget["spec"]["selector"])).count();
        assert_eq!(budgets, usize::from(workload["kind"] == "Deployment"));
    }
}

#[test]
fn nobody_may_everything_and_every_role_is_given_to_the_one_who_needs_it() {
    let roles = [all("Role"), all("ClusterRole")].concat();
    for role in &roles {
        for rule in list(role, "/rules") {
            for field in ["verbs", "resources", "apiGroups"] {
                let values = list(rule, &format!("/{field}"));
                assert!(!values.is_empty() && values.iter().all(|value| value != "*"), "{rule}");
            }
        }
    }
    let accounts = all("ServiceAccount");
    let bindings = [all("RoleBinding"), all("ClusterRoleBinding")].concat();
    assert_eq!(bindings.len(), roles.len());
    for binding in bindings {
        let bound = |role: &&Value| {
            role["kind"] == binding["roleRef"]["kind"]
                && role["metadata"]["name"] == binding["roleRef"]["name"]
                && role["metadata"]["namespace"] == binding["metadata"]["namespace"]
        };
        assert_eq!(roles.iter().filter(bound).count(), 1, "{binding}");
        for subject in list(&binding, "/subjects") {
            let is = |account: &&Value| {
                account["metadata"]["name"] == subject["name"]
                    && account["metadata"]["namespace"] == subject["namespace"]
            };
            assert_eq!(accounts.iter().filter(is).count(), 1, "{binding}");
        }
    }
}

#[test]
fn every_policy_is_bound_denies_and_fails_closed() {
    let name = |object: &Value| object["metadata"]["name"].as_str().expect("a name").to_owned();
    let policies: BTreeSet<String> = all("ValidatingAdmissionPolicy").iter().map(name).collect();
    let bindings = all("ValidatingAdmissionPolicyBinding");
    let bound: BTreeSet<String> = bindings
        .iter()
        .filter(|binding| binding["spec"]["validationActions"] == json!(["Deny"]))
        .map(|binding| binding["spec"]["policyName"].as_str().expect("a policy").to_owned())
        .collect();
    assert_eq!(policies, bound);
    assert!(all("ValidatingAdmissionPolicy").iter().all(|policy| policy["spec"]["failurePolicy"] == "Fail"));
}

/// A field that is added to a status is either the controller-manager's or guarded.
#[test]
fn the_policies_guard_every_status_field_that_is_not_the_clusters_own() {
    for (kind, policy) in [
        (Kind::Cluster, "causeway-hub-cluster-status"),
        (Kind::ClusterLink, "causeway-hub-clusterlink-status"),
    ] {
        let policies = all("ValidatingAdmissionPolicy");
        let policy = policies.iter().find(|object| object["metadata"]["name"] == policy).expect("the policy");
        let text = policy["spec"].to_string();
        let schema = crd::schema(kind).expect("a schema");
        let fields = schema["properties"]["status"]["properties"].as_object().expect("fields of the status");
        let (own, types) = status_fields(StatusWriter::ControllerManager, kind);
        for field in fields.keys().filter(|field| *field != "conditions") {
            let guard = format!("object.?status.?{field} == oldObject.?status.?{field}");
            assert_eq!(text.contains(&guard), !own.contains(&field.as_str()), "{kind} {field}");
        }
        let types: Vec<String> = types.iter().map(|type_| format!("'{type_}'")).collect();
        assert!(text.contains(&format!("[{}]", types.join(", "))), "{kind}: {types:?}");
    }
}

/// What discovery watches is what controller-manager may read, and the other way round.
#[test]
fn controller_manager_may_read_just_what_discovery_looks_at() {
    let roles = [all("ClusterRole"), all("Role")].concat();
    let manager = |role: &&Value| role["metadata"]["name"] == "causeway-controller-manager";
    let mut rules: Vec<(Value, &Value)> = Vec::new();
    for role in roles.iter().filter(manager) {
        rules.extend(list(role, "/rules").iter().map(|rule| (role["metadata"]["namespace"].clone(), rule)));
    }
    let mut used = BTreeSet::new();
    for source in causeway_discovery::sources(causeway_api::CniType::Auto) {
        let grants = |(namespace, rule): &(Value, &Value)| {
            let has = |field: &str, wanted: &str| {
                rule[field].as_array().is_some_and(|all| all.contains(&json!(wanted)))
            };
            let names =
                source.name.is_none_or(|name| rule["resourceNames"].is_null() || has("resourceNames", name));
            (namespace.is_null() || *namespace == json!(source.namespace))
                && has("apiGroups", source.group)
                && has("resources", source.plural)
                && has("verbs", "watch")
                && names
        };
        assert!(rules.iter().any(grants), "nothing grants {source:?}");
        used.insert(
            source.name.map_or_else(|| source.plural.to_owned(), |name| format!("configmaps/{name}")),
        );
    }
    for (_, rule) in rules.iter().filter(|(_, rule)| rule["verbs"] == json!(["get", "list", "watch"])) {
        // Those are read for other ends.
        let others = ["nodes", "diagnoses"];
        for resource in
            list(rule, "/resources").iter().filter(|resource| others.iter().all(|other| *resource != other))
        {
            let resource = resource.as_str().expect("a resource");
            let names = list(rule, "/resourceNames").iter().map(|name| name.as_str().expect("a name"));
            let granted: Vec<String> = names.map(|name| format!("{resource}/{name}")).collect();
            let granted = if granted.is_empty() { vec![resource.to_owned()] } else { granted };
            assert!(granted.iter().all(|granted| used.contains(granted)), "nothing uses {granted:?}");
        }
    }
}
