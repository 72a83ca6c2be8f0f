//! How long `causeway status` takes on a clusterset of many clusters, at a real API server:
//! `cargo run --example status_at_scale -- 100`. Prints each run and the median; the programs have to be built.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use causeway_kubernetes::ensure;
use causeway_test_deploy::clusterset::healthy;
use causeway_test_deploy::objects::in_folder;
use causeway_test_deploy::server::Server;

/// How often it is measured.
const RUNS: usize = 11;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut words = std::env::args().skip(1);
    let count = words.next().and_then(|count| count.parse().ok()).unwrap_or(100);
    let program = words.next().unwrap_or_else(|| {
        let here = std::env::current_exe().expect("this program's path");
        here.ancestors().nth(2).expect("target/PROFILE").join("causeway").display().to_string()
    });
    let server = Server::start().await;
    let admin = server.admin().await;
    for definition in in_folder("deploy/crds") {
        ensure(&admin, "test", &definition).await.expect("a definition");
    }
    let start = Instant::now();
    healthy(&admin, count).await;
    println!("{count} clusters, {} links, made in {:?}", count * (count - 1), start.elapsed());
    let mut times: Vec<u128> = (0..RUNS).map(|_| run(&program, &server.admin_kubeconfig())).collect();
    println!("milliseconds: {times:?}");
    times.sort_unstable();
    println!("median {} ms, longest {} ms", times[RUNS / 2], times[RUNS - 1]);
}

fn run(program: &str, kubeconfig: &Path) -> u128 {
    let start = Instant::now();
    let output =
        Command::new(program).arg("status").arg("--kubeconfig").arg(kubeconfig).output().expect("it runs");
    let took = start.elapsed().as_millis();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("links ready"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    took
}
