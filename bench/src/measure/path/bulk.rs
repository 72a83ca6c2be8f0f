//! Bytes in bulk, by iperf3.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use causeway_lab::ECHO_PORT;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::namespace::{processors, within};
use super::{Path, servers};
use crate::child::{Measurement, Place};
use causeway_lab::machine::busy_seconds;
use causeway_pathbench::schedule::{Turn, schedule};

/// Transfers over several paths.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Bulk {
    /// The paths.
    pub paths: Vec<Path>,
    /// TCP connections at once.
    pub streams: u32,
    /// Bytes of a transfer.
    pub bytes: u64,
    /// How often each path has its turn.
    pub rounds: u32,
    /// From which the order follows.
    pub seed: u64,
}

/// One transfer.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Transfer {
    /// The path, by its place in the list.
    pub path: usize,
    /// The round.
    pub round: u32,
    /// Bits per second that arrived.
    pub rate: f64,
    /// Processor time of the whole machine for a byte, in seconds.
    pub cpu: f64,
    /// What iperf3 shows as RTT: TCP's own smoothed round-trip time at the sender (`tcp_info`), mean of the
    /// transfer and of its streams, in seconds.
    pub rtt: f64,
}

impl Measurement for Bulk {
    const NAME: &'static str = "path-bulk";
    const PLACE: Place = Place::Here;
    type Outcome = Vec<Transfer>;

    fn measure(&self) -> Result<Vec<Transfer>> {
        let (first, last) = processors()?;
        let affinity = format!("{last},{first}");
        let _servers: Vec<Server> =
            servers(&self.paths).into_iter().map(Server::start).collect::<Result<_>>()?;
        let transfer = |turn: Turn| {
            let path = &self.paths[turn.path];
            let before = busy_seconds();
            let answer = within(&path.from, || self.client(path, &affinity))
                .with_context(|| format!("from {} to {}", path.from, path.address))?;
            let busy = busy_seconds() - before;
            let outcome = Outcome::read(&answer).with_context(|| format!("an outcome in {answer}"))?;
            let Outcome { bytes, rate, rtt } = outcome;
            Ok(Transfer { path: turn.path, round: turn.round, rate, cpu: busy / bytes, rtt })
        };
        schedule(self.rounds, self.paths.len(), self.seed).into_iter().map(transfer).collect()
    }
}

impl Bulk {
    fn client(&self, path: &Path, affinity: &str) -> Result<String> {
        let (port, streams, bytes) =
            (ECHO_PORT.to_string(), self.streams.to_string(), self.bytes.to_string());
        let mut command = Command::new("iperf3");
        command.args(["--client", &path.address.to_string(), "--port", &port, "--parallel", &streams]);
        command.args(["--bytes", &bytes, "--affinity", affinity, "--json"]);
        let output = command.output().context("starting iperf3, of Debian's package of that name")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("iperf3: {}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(text)
    }
}

/// What iperf3 says of a transfer.
struct Outcome {
    bytes: f64,
    rate: f64,
    rtt: f64,
}

impl Outcome {
    fn read(json: &str) -> Option<Outcome> {
        let end = serde_json::from_str::<Value>(json).ok()?["end"].take();
        let streams = end["streams"].as_array()?;
        let rtts: Vec<f64> =
            streams.iter().filter_map(|stream| stream["sender"]["mean_rtt"].as_f64()).collect();
        let received = &end["sum_received"];
        Some(Outcome {
            bytes: received["bytes"].as_f64()?,
            rate: received["bits_per_second"].as_f64()?,
            rtt: rtts.iter().sum::<f64>() / rtts.len() as f64 / 1e6,
        })
    }
}

/// A server of iperf3 in a namespace; it ends when this is dropped.
struct Server(Child);

impl Server {
    fn start(namespace: &str) -> Result<Server> {
        let spawn = || {
            let mut command = Command::new("iperf3");
            command.args(["--server", "--port", &ECHO_PORT.to_string(), "--forceflush"]);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
            command.spawn().context("starting iperf3, of Debian's package of that name")
        };
        let mut server = Server(within(namespace, spawn)?);
        let mut output = BufReader::new(server.0.stdout.take().context("the output of iperf3")?);
        let mut line = String::new();
        while !line.contains("listening") {
            line.clear();
            if output.read_line(&mut line)? == 0 {
                bail!("iperf3 in {namespace} ended before it listened");
            }
        }
        // It goes on to write; what nobody reads must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_rtt_are_read_from_what_iperf3_says() {
        let json = r#"{"end": {"streams": [{"sender": {"mean_rtt": 40}}, {"sender": {"mean_rtt": 60}}],
            "sum_received": {"bytes": 1000, "bits_per_second": 8e9}}}"#;
        let outcome = Outcome::read(json).unwrap();
        assert_eq!((outcome.bytes, outcome.rate), (1000.0, 8e9));
        assert!((outcome.rtt - 50e-6).abs() < 1e-12);
        assert!(Outcome::read(r#"{"error": "unable to connect"}"#).is_none());
    }
}
