//! A measurement as a process of its own: parameters in, one line of JSON out.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use causeway_lab::Lab;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::measure;

/// Something to measure. The value holds the parameters.
pub trait Measurement: Serialize + DeserializeOwned {
    /// The name that the child process is told.
    const NAME: &'static str;
    /// Where it runs.
    const PLACE: Place;
    /// The figures.
    type Outcome: Serialize + DeserializeOwned;

    /// Measures in this process.
    ///
    /// # Errors
    /// Whatever keeps it from being measured.
    fn measure(&self) -> Result<Self::Outcome>;
}

/// Where a measurement runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// In the namespaces of its parent.
    Here,
    /// In a fresh network namespace that ends with it.
    OwnNetwork,
}

/// Measures in a new process.
///
/// # Errors
/// If the process fails, in its own words, or a namespace cannot be made.
pub fn run<M: Measurement>(measurement: &M) -> Result<M::Outcome> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut command = match M::PLACE {
        Place::Here => Command::new(&program),
        Place::OwnNetwork => in_own_network(&program),
    };
    let input = serde_json::to_string(measurement)?;
    command.args(["measure", M::NAME, &input]);
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("{} {input}: {}: {}", M::NAME, output.status, words.trim());
    }
    let line = String::from_utf8(output.stdout).context("outcome of a measurement")?;
    serde_json::from_str(&line).with_context(|| format!("outcome of measurement {}: {line}", M::NAME))
}

/// Measures in a new process inside a bed, in the network of its underlay.
///
/// # Errors
/// If the process fails, in its own words.
pub fn run_in<M: Measurement>(lab: &Lab, measurement: &M) -> Result<M::Outcome> {
    let program = std::env::current_exe().context("finding this program")?.display().to_string();
    let input = serde_json::to_string(measurement)?;
    let output = lab.exec("underlay", &[&program, "measure", M::NAME, &input])?;
    if !output.status.success() {
        bail!("{}: {}: {}", M::NAME, output.status, output.stderr.trim());
    }
    serde_json::from_str(&output.stdout).with_context(|| format!("outcome of measurement {}", M::NAME))
}

/// `unshare` of util-linux, which every distribution has; who is not root needs a user namespace too.
fn in_own_network(program: &Path) -> Command {
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.arg("--net").arg("--").arg(program);
    command
}

/// Does the measurement `name` in this process and prints its outcome.
///
/// # Errors
/// If there is no such measurement, or it fails.
pub fn answer(name: &str, input: &str) -> Result<ExitCode> {
    let Some(outcome) = measure::by_name(name, input) else { bail!("there is no measurement \"{name}\"") };
    println!("{}", outcome?);
    Ok(ExitCode::SUCCESS)
}

/// Reads the parameters of `M`, measures, and writes the outcome.
///
/// # Errors
/// As [`Measurement::measure`], and if the parameters cannot be read.
pub fn measure<M: Measurement>(input: &str) -> Result<String> {
    let measurement: M = serde_json::from_str(input).with_context(|| format!("parameters of {}", M::NAME))?;
    Ok(serde_json::to_string(&measurement.measure()?)?)
}
