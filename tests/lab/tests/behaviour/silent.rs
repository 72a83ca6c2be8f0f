//! What kernels tell of changes while nothing is to be changed.

use std::thread;
use std::time::Duration;

use causeway_lab::{Action, Fault, Lab};

use crate::bed::well;
use crate::common::in_bed;

const NODES: [&str; 3] = ["a/n1", "b/n1", "b/n3"];

/// Everything that a node's kernel tells of links, addresses, routes, rules, next hops, neighbours, forwarding entries and
/// nftables, until the marks of [`mark`] were made.
const LISTEN: &str = "
rm -f /run/told.$0; mkfifo /run/told.$0
stdbuf -oL ip monitor label all >/run/told.$0 & one=$!
stdbuf -oL bridge monitor fdb >/run/told.$0 & two=$!
nft monitor >/run/told.$0 & three=$!
timeout 60 sed '/table ip mark-end/q' </run/told.$0
kill $one $two $three";

/// A route and a table of nobody's: what is told of them shows that it is listened.
fn mark(lab: &Lab, node: &str, to: &str, what: &str) {
    in_bed(lab, node, &["ip", "route", "add", "blackhole", to]);
    in_bed(lab, node, &["nft", "add", "table", "ip", what]);
}

/// Whether a line tells of a change that a kernel does not make by itself. Neighbours on the links of the underlay and of pods
/// come, age and go.
fn counts(line: &str) -> bool {
    let by_itself = line.starts_with("[NEIGH]") && !line.contains(" dev vx-");
    // Of a transaction nft names process and program; what it did stands in lines of its own.
    !by_itself && !line.starts_with("# new generation") && !line.trim().is_empty()
}

#[test]
fn programs_that_start_anew_change_nothing_in_a_kernel() {
    let lab = well(
        "silent",
        "clusters: [{name: a, nodes: 2}, {name: b, nodes: 3, spec: {mode: Gateway, gateways: {count: 2}}}]",
    );
    let told: Vec<String> = thread::scope(|scope| {
        let listening: Vec<_> = NODES
            .iter()
            .map(|node| {
                let lab = &lab;
                let name = node.replace('/', "-");
                scope.spawn(move || lab.exec(node, &["bash", "-c", LISTEN, &name]).unwrap().stdout)
            })
            .collect();
        thread::sleep(Duration::from_secs(1));
        NODES.iter().for_each(|node| mark(&lab, node, "203.0.113.1", "mark-begin"));
        for action in [Action::Kill, Action::Stop] {
            for node in NODES {
                lab.node(node).unwrap().agent(action).unwrap();
                lab.node(node).unwrap().agent(Action::Start).unwrap();
            }
            lab.fault(&Fault::Manager { action: Action::Restart }).unwrap();
            // Nobody is told that there was nothing to do; a first pass takes a tenth of this.
            thread::sleep(Duration::from_secs(3));
        }
        NODES.iter().for_each(|node| mark(&lab, node, "203.0.113.2", "mark-end"));
        listening.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (node, told) in NODES.iter().zip(&told) {
        let (marks, changes): (Vec<&str>, Vec<&str>) = told
            .lines()
            .filter(|line| counts(line))
            .partition(|line| line.contains("203.0.113.") || line.contains("mark-"));
        assert_eq!((marks.len(), changes), (4, Vec::new()), "{node}: {told}");
    }
}
