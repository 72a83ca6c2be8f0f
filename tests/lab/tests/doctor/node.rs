//! Causes that lie in how a node is set up.

use causeway_lab::{Action, Lab, wait_until};
use serde_json::{Value, json};

use crate::common::{LIMIT, PROGRAM};
use crate::{PAIR, doctor_alone, finds_nothing, is_named, is_well, judged, names, on, well};

/// What an agent says of its node in files.
fn status(lab: &Lab) -> String {
    let file = lab.objects_dir().join("nodeconfigs/causeway-cluster-b/n1.status.yaml");
    std::fs::read_to_string(file).unwrap_or_default()
}

/// Starts b's agent where `/proc/sys` is read-only, as it is in a container without the host's tree, and waits until it
/// has said that it could not do what it wanted.
fn start_without_sysctls(lab: &Lab) {
    // What is mounted is seen by what is started there only.
    let mount = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys";
    on(lab, "b/n1", &format!("{mount} && {PROGRAM} inside fault agent b/n1 start"));
    wait_until("the agent to say so", LIMIT, || {
        let status = status(lab);
        Ok(if status.contains("ChangesFailed") { Ok(()) } else { Err(status) })
    })
    .unwrap();
}

#[test]
fn settings_that_another_program_changes_are_mended_by_the_agent_and_nothing_is_found() {
    let lab = well("doctor-settings", PAIR);
    on(
        &lab,
        "b/n1",
        "echo 0 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv4/conf/eth0/rp_filter",
    );
    finds_nothing(&lab);
}

#[test]
fn a_strict_reverse_path_filter_that_the_agent_cannot_loosen_is_named() {
    let lab = well("doctor-rp-filter", PAIR);
    lab.node("b/n1").unwrap().agent(Action::Kill).unwrap();
    on(&lab, "b/n1", "echo 1 > /proc/sys/net/ipv4/conf/eth0/rp_filter");
    is_named(doctor_alone(&lab, "b/n1"), "CW1201", &["b/n1"]);
    start_without_sysctls(&lab);
    names(&lab, "CW1201", &["b/n1"]);
}

#[test]
fn a_node_that_does_not_forward_and_whose_agent_cannot_change_that_is_named() {
    let lab = well("doctor-forwarding", PAIR);
    lab.node("b/n1").unwrap().agent(Action::Kill).unwrap();
    on(&lab, "b/n1", "echo 0 > /proc/sys/net/ipv4/ip_forward");
    is_named(doctor_alone(&lab, "b/n1"), "CW1202", &["b/n1"]);
    start_without_sysctls(&lab);
    names(&lab, "CW1202", &["b/n1"]);
}

#[test]
fn a_kernel_without_ipv6_that_the_plan_uses_is_named() {
    let lab = well("doctor-feature", PAIR);
    on(&lab, "b/n1", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6");
    wait_until("the agent to say so", LIMIT, || {
        let status = status(&lab);
        Ok(if status.contains("IPv6 is switched off") { Ok(()) } else { Err(status) })
    })
    .unwrap();
    names(&lab, "CW1004", &["b/n1"]);
}

#[test]
fn echo_that_a_kernel_ignores_without_counting_it_is_told_as_unexplained() {
    let lab = well("doctor-unexplained", PAIR);
    on(&lab, "b/n1", "echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all");
    names(&lab, "CW1901", &["a/n1 ↔ b/n1"]);
}

/// Asks b's agent by hand, as a machine would whose clock is behind by so many seconds; what doctor makes of the answer.
fn asked_by_a_clock_behind(lab: &Lab, seconds: i64) -> (Option<i32>, Value) {
    let (objects, request) = (lab.objects(), format!("behind-{seconds}"));
    let folder = lab.objects_dir().join("diagnoses/causeway-cluster-b");
    std::fs::create_dir_all(&folder).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let second = i64::try_from(now.as_secs()).unwrap() - seconds;
    let asked_at = said_by_date(second);
    let mut diagnosis = json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "Diagnosis",
        "metadata": {"name": "n1", "namespace": "causeway-cluster-b"},
        "spec": {"request": request, "requestedAt": asked_at},
    });
    objects.write(&folder.join("n1.yaml"), &diagnosis).unwrap();
    wait_until("the agent to answer", LIMIT, || {
        let answer = objects.read(&folder.join("n1.status.yaml")).unwrap_or_default();
        let done = answer["status"]["request"] == request;
        diagnosis["status"] = answer["status"].clone();
        Ok(if done { Ok(()) } else { Err(answer.to_string()) })
    })
    .unwrap();
    let file = lab.directory().join("clock.json");
    std::fs::write(&file, diagnosis.to_string()).unwrap();
    judged(&file)
}

/// A time as objects write it.
fn said_by_date(second: i64) -> String {
    let at = format!("@{second}");
    crate::common::said("date", &["-u", "-d", &at, "+%Y-%m-%dT%H:%M:%SZ"]).trim().to_owned()
}

/// No namespace of Linux has a clock of its own for the time of day, so it is the asking machine that is given another one.
#[test]
fn clocks_that_differ_are_named_and_those_that_hardly_do_are_not() {
    let lab = well("doctor-clock", PAIR);
    is_well(asked_by_a_clock_behind(&lab, 5));
    let said = is_named(asked_by_a_clock_behind(&lab, 600), "CW1006", &["b/n1"]);
    assert!(said["findings"][0]["evidence"][0].as_str().unwrap().contains("ahead of"), "{said:#}");
    is_named(asked_by_a_clock_behind(&lab, -600), "CW1006", &["b/n1"]);
}
