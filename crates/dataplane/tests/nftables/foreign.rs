//! Forward chains of others: ours where they drop, and nothing of theirs disturbed.

use causeway_dataplane::Device;
use causeway_dataplane::nft::foreign::{ForeignAccept, iptables_legacy};

use super::*;

fn bridges() -> Ruleset {
    let devices = ["vx-bridge", "vx-bridge6"].map(|name| Device::from_name(name).expect("a device"));
    let crossing = devices.into_iter().flat_map(ForeignAccept::crossing);
    Ruleset {
        accept_in_foreign_forward: crossing.chain([ForeignAccept::Marked]).collect(),
        ..Ruleset::default()
    }
}

/// Rules of a chain as `iptables -S` shows them, in short: `[i vx-bridge]` is one of ours.
fn forward(program: &str) -> Vec<String> {
    let text = run(&format!("{program} -S FORWARD"));
    let short = |line: &str| match line.strip_prefix("-A FORWARD -") {
        Some(rule) if rule.contains("--comment causeway") => {
            format!("[{}]", rule.split(" -m").next().expect("a part"))
        }
        _ => line.trim_start_matches("-A FORWARD ").to_owned(),
    };
    text.lines().map(short).collect()
}

const OURS: [&str; 5] =
    ["[i vx-bridge]", "[i vx-bridge6]", "[o vx-bridge]", "[o vx-bridge6]", "[m mark --mark 0x1000/0x1000]"];

/// The chain as it should be: `before`, ours, `behind`.
#[track_caller]
fn assert_forward(program: &str, before: &[&str], behind: &[&str]) {
    let expected: Vec<&str> = before.iter().chain(&OURS).chain(behind).copied().collect();
    assert_eq!(forward(program), expected);
}

#[test]
fn ours_stand_last_where_the_policy_drops_in_both_families() {
    in_namespace(|| {
        for program in ["iptables-nft", "ip6tables-nft"] {
            run(&format!("{program} -P FORWARD DROP"));
            run(&format!("{program} -A FORWARD -m conntrack --ctstate INVALID -j DROP"));
        }
        converge(Some(&bridges()));
        for program in ["iptables-nft", "ip6tables-nft"] {
            let before = ["-P FORWARD DROP", "-m conntrack --ctstate INVALID -j DROP"];
            assert_forward(program, &before, &[]);
        }
    });
}

#[test]
fn ours_stand_ahead_of_a_final_reject() {
    in_namespace(|| {
        run("iptables-nft -A FORWARD -s 10.0.0.0/8 -j DROP");
        run("iptables-nft -A FORWARD -j REJECT");
        converge(Some(&bridges()));
        let before = ["-P FORWARD ACCEPT", "-s 10.0.0.0/8 -j DROP"];
        assert_forward("iptables-nft", &before, &["-j REJECT --reject-with icmp-port-unreachable"]);
    });
}

#[test]
fn a_chain_that_accepts_what_it_does_not_know_is_left_alone() {
    in_namespace(|| {
        run("iptables-nft -A FORWARD -s 10.0.0.0/8 -j DROP");
        run("ip6tables-nft -P FORWARD DROP");
        run("ip6tables-nft -A FORWARD -j ACCEPT");
        let before = run("nft list table ip filter") + &run("nft list table ip6 filter");
        converge(Some(&bridges()));
        assert_eq!(run("nft list table ip filter") + &run("nft list table ip6 filter"), before);
    });
}

#[test]
fn iptables_still_lists_changes_and_flushes_the_chain() {
    in_namespace(|| {
        run("iptables-nft -P FORWARD DROP");
        converge(Some(&bridges()));
        let policy = "-P FORWARD DROP";
        // Who appends a rule that may drop gets ahead of us, who appends an accept may stay behind.
        run("iptables-nft -A FORWARD -p udp -j DROP");
        run("iptables-nft -N OTHER");
        run("iptables-nft -A FORWARD -j OTHER");
        converge(Some(&bridges()));
        assert_forward("iptables-nft", &[policy, "-p udp -j DROP", "-j OTHER"], &[]);
        run("iptables-nft -A FORWARD -s 10.1.0.0/16 -j ACCEPT");
        run("iptables-nft -A FORWARD -m comment --comment later -j MARK --set-mark 7");
        converge(Some(&bridges()));
        let behind =
            ["-s 10.1.0.0/16 -j ACCEPT", "-m comment --comment later -j MARK --set-xmark 0x7/0xffffffff"];
        assert_forward("iptables-nft", &[policy, "-p udp -j DROP", "-j OTHER"], &behind);
        run("iptables-nft -D FORWARD -p udp -j DROP");
        run("iptables-nft -I FORWARD -p tcp -j ACCEPT");
        converge(Some(&bridges()));
        assert_forward("iptables-nft", &[policy, "-p tcp -j ACCEPT", "-j OTHER"], &behind);
        // Their save and restore takes ours along as it is.
        let saved = run("iptables-nft-save");
        run_with("iptables-nft-restore", &saved);
        assert_eq!(nft::diff(Some(&bridges()), &observe()), None);
        run("iptables-nft -F FORWARD");
        converge(Some(&bridges()));
        assert_forward("iptables-nft", &[policy], &[]);
        run("iptables-nft -D FORWARD -i vx-bridge -m comment --comment causeway -j ACCEPT");
        converge(Some(&bridges()));
        assert_eq!(forward("iptables-nft").len(), 6);
        run("iptables-nft -D FORWARD -m mark --mark 0x1000/0x1000 -m comment --comment causeway -j ACCEPT");
        converge(Some(&bridges()));
        assert_eq!(forward("iptables-nft").len(), 6);
        run("iptables-nft -P FORWARD ACCEPT");
        converge(Some(&bridges()));
        assert_eq!(forward("iptables-nft"), ["-P FORWARD ACCEPT"]);
    });
}

#[test]
fn inet_chains_of_others_count_too_and_all_is_as_before_in_the_end() {
    in_namespace(|| {
        nft_text(
            "table inet firewalld {
                chain filter_FORWARD {
                    type filter hook forward priority filter + 10; policy accept;
                    ct state established,related accept
                    ct state invalid drop
                    reject with icmpx admin-prohibited
                }
                chain other { type filter hook input priority 0; policy drop; }
            }
            table ip docker {
                chain FORWARD { type filter hook forward priority 0; policy drop; }
            }",
        );
        let before = run("nft list ruleset");
        converge(Some(&bridges()));
        let chain = run("nft list chain inet firewalld filter_FORWARD");
        let at = |text: &str| chain.lines().position(|line| line.contains(text)).expect("a line");
        assert!(at("invalid") < at("iifname \"vx-bridge\" ") && at("oifname \"vx-bridge6\"") < at("reject"));
        let named: Vec<String> = observe().foreign_forward.iter().map(|chain| chain.id.to_string()).collect();
        assert_eq!(named, ["ip docker FORWARD", "inet firewalld filter_FORWARD"]);
        assert!(!run("nft list chain inet firewalld other").contains("causeway"));
        converge(None);
        assert_eq!(run("nft list ruleset"), before);
    });
}

#[test]
fn ours_that_were_doubled_or_changed_are_put_right() {
    in_namespace(|| {
        nft_text("table ip t { chain f { type filter hook forward priority 0; policy drop; }\n }");
        converge(Some(&bridges()));
        let right = run("nft -s list ruleset");
        for change in [
            "add rule ip t f iifname \"vx-bridge\" counter accept comment \"causeway\"",
            "insert rule ip t f iifname \"vx-*\" counter accept comment \"causeway\"",
            "add rule ip t f iifname \"vx-bridge\" counter drop comment \"causeway\"",
            "add rule ip t f accept comment \"causeway\"",
            "add rule ip t f meta mark & 0x1000 == 0x1000 counter accept comment \"causeway\"",
            "insert rule ip t f meta mark & 0x3000 == 0x1000 counter accept comment \"causeway\"",
            "insert rule ip t f meta mark & 0x1000 != 0x1000 counter accept comment \"causeway\"",
            "insert rule ip t f meta mark 0x1000 counter accept comment \"causeway\"",
            "insert rule ip t f meta mark & 0x1000 == 0x1000 counter drop comment \"causeway\"",
            "insert rule ip t f ct mark & 0x1000 == 0x1000 counter accept comment \"causeway\"",
        ] {
            nft_text(change);
            converge(Some(&bridges()));
            assert_eq!(run("nft -s list ruleset"), right, "{change}");
        }
    });
}

/// Releases of iptables-nft up to 1.8.7 know a mark as an extension of theirs only. They pass over the
/// native form without a word, and their save and restore turn it into an accept of everything.
#[test]
fn the_mark_is_matched_in_a_form_that_every_iptables_reads_where_it_looks() {
    in_namespace(|| {
        for program in ["iptables-nft", "ip6tables-nft"] {
            run(&format!("{program} -P FORWARD DROP"));
        }
        nft_text("table inet t { chain f { type filter hook forward priority 0; policy drop; }\n }");
        converge(Some(&bridges()));
        for (table, extension) in [("ip filter", 1), ("ip6 filter", 1), ("inet t", 0)] {
            let text = run(&format!("nft --debug=netlink list table {table}"));
            assert_eq!(text.matches("match name mark rev 1").count(), extension, "{text}");
            assert_eq!(text.matches("meta load mark").count(), 1 - extension, "{text}");
        }
    });
}

#[test]
fn what_iptables_made_of_the_mark_is_judged_by_what_it_matches() {
    in_namespace(|| {
        run("iptables-nft -P FORWARD DROP");
        converge(Some(&bridges()));
        for other in ["! --mark 0x1000/0x1000", "--mark 0x1000", "--mark 0x1000/0x3000", "--mark 0x0/0x1000"]
        {
            run(&format!("iptables-nft -I FORWARD -m mark {other} -m comment --comment causeway -j ACCEPT"));
            converge(Some(&bridges()));
            assert_forward("iptables-nft", &["-P FORWARD DROP"], &[]);
        }
    });
}

#[test]
fn a_filter_table_of_iptables_legacy_is_noticed() {
    in_namespace(|| {
        assert!(!iptables_legacy().expect("the list can be read"));
        let legacy =
            Command::new("iptables-legacy").args(["-L", "-n"]).output().expect("iptables is installed");
        let listed = std::fs::read_to_string("/proc/thread-self/net/ip_tables_names").unwrap_or_default();
        // A kernel without the legacy tables cannot have one.
        assert_eq!(legacy.status.success(), listed.contains("filter"));
        assert_eq!(iptables_legacy().expect("the list can be read"), legacy.status.success());
    });
}
