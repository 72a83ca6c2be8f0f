//! What the commands print for the clustersets in `tests/data`, compared with the texts beside them.
//!
//! `CAUSEWAY_REWRITE_GOLDEN=1 cargo test -p causeway-cli` writes the texts anew; read the difference
//! before you keep it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FINE: i32 = 0;
const FINDING: i32 = 1;
const USAGE: i32 = 2;

/// Name of the text, exit code, arguments.
const CASES: &[(&str, i32, &str)] = &[
    ("plan", FINE, "plan --objects many"),
    ("plan-troubled", FINDING, "plan --objects troubled"),
    ("plan-limited", FINDING, "plan --objects troubled --limit 2"),
    ("plan-against", FINE, "plan --objects many-after --against many"),
    ("plan-against-json", FINE, "plan --objects many-after --against many -o json"),
    ("plan-empty", USAGE, "plan --objects torn"),
    ("plan-no-directory", USAGE, "plan --objects nowhere"),
    ("render-p2p", FINE, "render --objects many --cluster east --node e1"),
    ("render-gateway-json", FINE, "render --objects many --cluster west --node w1 -o json"),
    (
        "render-internal-yaml",
        FINE,
        "render --objects many --cluster west --node w3 --underlay-mtu 9000 -o yaml",
    ),
    ("render-no-cluster", USAGE, "render --objects many --cluster north --node e1"),
    ("render-no-node", USAGE, "render --objects many --cluster east --node e9"),
    ("render-left-out", FINDING, "render --objects troubled --cluster young --node y2"),
    ("explain-p2p-to-p2p", FINE, "explain --objects many --from wide/x1 --to 100.64.1.5"),
    ("explain-p2p-to-gateway", FINE, "explain --objects many --from east/e1:10.1.1.5 --to 10.2.3.7"),
    (
        "explain-second-gateway",
        FINE,
        "explain --objects many --from east/e1:10.1.1.5 --to 10.2.3.7 --member 2",
    ),
    (
        "explain-gateway-to-p2p-v6",
        FINE,
        "explain --objects many --from west/w3:[fd00:2:0:3::7] --to fd00:1:0:2::5",
    ),
    ("explain-service", FINE, "explain --objects many --from west/w3:10.2.3.7 --to 10.96.0.10"),
    ("explain-global-both-ways", FINE, "explain --objects many --from east/e1:10.1.1.5 --to 100.65.1.9"),
    ("explain-over-ipv6-underlay", FINE, "explain --objects many --from south/s2:10.1.2.5 --to 10.2.1.7"),
    ("explain-cluster-wide-cni", FINE, "explain --objects many --from wide/x1:10.4.0.9 --to 10.2.3.5"),
    ("explain-overlay", FINE, "explain --objects many --from 192.0.2.11 --to 198.18.2.3"),
    ("explain-own-cluster", FINE, "explain --objects many --from east/e1:10.1.1.5 --to 10.1.2.7"),
    ("explain-own-cluster-from-a-node", FINE, "explain --objects many --from east/e1 --to east/e2:10.1.2.7"),
    ("explain-json", FINE, "explain --objects many --from east/e1:10.1.1.5 --to 10.2.3.7 -o json"),
    ("explain-real-instead-of-global", FINDING, "explain --objects many --from 10.2.1.9 --to 10.1.1.1"),
    ("explain-underlay", FINDING, "explain --objects many --from 10.2.1.9 --to 192.0.2.11"),
    ("explain-unknown", FINDING, "explain --objects many --from 10.2.1.9 --to 203.0.113.8"),
    ("explain-pod-of-no-node", FINDING, "explain --objects many --from east/e1 --to 10.2.77.1"),
    ("explain-family-of-one", FINDING, "explain --objects many --from south/s1 --to fd00:2:0:1::1"),
    ("explain-overlap", FINDING, "explain --objects troubled --from young/y1:10.5.1.5 --to 10.1.1.7"),
    ("explain-no-common-family", FINDING, "explain --objects troubled --from old/o1 --to fd00:6:0:1::1"),
    ("explain-no-gateway", FINDING, "explain --objects troubled --from old/o1 --to 10.7.1.1"),
    ("explain-node-left-out", FINDING, "explain --objects troubled --from old/o1 --to 10.5.2.7"),
    ("explain-prefix-refused", FINDING, "explain --objects troubled --from old/o1 --to 10.9.0.1"),
    ("explain-source-left-out", FINDING, "explain --objects troubled --from young/y2 --to 10.1.1.1"),
    ("explain-ambiguous-source", USAGE, "explain --objects many --from 10.1.1.5 --to 10.2.3.7"),
    ("explain-service-as-source", USAGE, "explain --objects many --from 10.97.0.1 --to 10.4.0.9"),
    ("explain-pod-without-node", USAGE, "explain --objects many --from 10.4.0.9 --to 10.2.3.7"),
    ("explain-pod-of-other-node", USAGE, "explain --objects many --from east/e1:10.1.2.5 --to 10.2.3.7"),
    ("explain-to-pod-of-other-node", USAGE, "explain --objects many --from east/e1 --to west/w3:10.2.1.9"),
    ("explain-two-families", USAGE, "explain --objects many --from 10.2.3.7 --to fd00:1:0:1::1"),
    ("explain-no-source", USAGE, "explain --objects many --from east --to 10.2.3.7"),
    ("version", FINE, "version --client"),
    ("version-json", FINE, "version --client -o json"),
    ("status-fresh", FINDING, "status --objects fresh"),
    ("status-running-json", FINDING, "status --objects running -o json"),
    ("plan-change", FINDING, "plan --objects many -f change.yaml --diff"),
    ("plan-change-words", FINDING, "plan --objects many -f change.yaml"),
    ("plan-delete", FINE, "plan --objects many --delete cluster/west --limit 5"),
    ("plan-no-such-object", USAGE, "plan --objects many --delete cluster/north"),
    ("plan-nothing-to-change", USAGE, "plan --objects many -f hub.kubeconfig"),
    ("explain-to-global", FINE, "explain --objects many --from east/e1:10.1.1.5 --to south/s1:10.1.1.9"),
    ("explain-to-node", FINE, "explain --objects many --from wide/x1 --to west/w3"),
    ("status-unknown-context", USAGE, "status --kubeconfig hub.kubeconfig --context nowhere"),
    ("status-two-sources", USAGE, "status --objects many --context hub"),
    ("help", FINE, "--help"),
    ("help-status", FINE, "status --help"),
    ("help-plan", FINE, "plan --help"),
    ("help-explain", FINE, "explain --help"),
    ("help-install-hub", FINE, "install hub --help"),
    ("help-join", FINE, "join --help"),
    ("help-leave", FINE, "leave --help"),
    ("install-hub-dry-run", FINE, "install hub --dry-run"),
    ("join-dry-run", FINE, "join --cluster east --kubeconfig hub.kubeconfig --dry-run"),
    (
        "join-dry-run-credential",
        FINE,
        "join --cluster east --kubeconfig hub.kubeconfig --mode gateway --no-install --dry-run -o yaml",
    ),
    ("join-loopback", USAGE, "join --cluster east --kubeconfig hub.kubeconfig --context here --dry-run"),
    ("join-no-kubeconfig", USAGE, "join --cluster east --kubeconfig nowhere --dry-run"),
    ("join-bad-name", USAGE, "join --cluster East.1 --kubeconfig hub.kubeconfig --dry-run"),
];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// Standard output, then standard error, then the exit code.
fn run(arguments: &str) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_causeway"))
        .args(arguments.split(' '))
        .current_dir(data())
        .env_remove("NO_COLOR")
        .output()
        .expect("causeway runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (text(output.stdout) + &text(output.stderr), output.status.code())
}

#[test]
fn every_command_prints_what_it_printed_before() {
    let rewrite = std::env::var_os("CAUSEWAY_REWRITE_GOLDEN").is_some();
    let mut differing = Vec::new();
    for (name, code, arguments) in CASES {
        let (printed, exit) = run(arguments);
        assert_eq!(exit, Some(*code), "causeway {arguments}\n{printed}");
        let path = data().join("expected").join(format!("{name}.txt"));
        let text = format!("$ causeway {arguments}\n{printed}");
        if rewrite {
            fs::create_dir_all(data().join("expected")).expect("the folder of expected texts");
            fs::write(&path, &text).expect("an expected text is written");
        } else if fs::read_to_string(&path).unwrap_or_default() != text {
            differing.push(format!("{}:\n{text}", path.display()));
        }
    }
    assert!(
        differing.is_empty(),
        "{} differ; set CAUSEWAY_REWRITE_GOLDEN=1 if that is meant\n{}",
        differing.len(),
        differing.join("\n")
    );
}

#[test]
fn no_expected_text_is_left_over() {
    for entry in fs::read_dir(data().join("expected")).expect("expected texts") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        assert!(CASES.iter().any(|(case, ..)| *case == name), "{} belongs to no case", path.display());
    }
}

#[test]
fn each_shell_gets_a_completion_script_under_the_programs_name() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (script, exit) = run(&format!("completion {shell}"));
        assert_eq!(exit, Some(FINE));
        assert!(script.contains("causeway") && script.contains("explain"), "{shell}");
    }
    let plugin =
        Command::new(env!("CARGO_BIN_EXE_kubectl-causeway")).arg("--help").output().expect("it runs");
    assert!(String::from_utf8_lossy(&plugin.stdout).contains("Usage: kubectl causeway"));
}
