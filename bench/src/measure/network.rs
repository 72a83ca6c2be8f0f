//! The network namespace of a measurement: an underlay link, and programs that must not fail.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// Runs a program to its end.
///
/// # Errors
/// If it cannot be started, or fails, with what it said.
pub fn command(program: &str, arguments: &[&str]) -> Result<()> {
    let missing = || format!("starting {program}; the measurement needs iproute2");
    let output = Command::new(program).args(arguments).output().with_context(missing)?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}: {}", arguments.join(" "), output.status, words.trim());
    }
    Ok(())
}

/// Makes a link `underlay` with these addresses (`192.0.2.1/24`). This namespace has nothing else, and
/// nothing leaves it.
///
/// # Errors
/// If `ip` fails.
pub fn make_underlay(addresses: &[String]) -> Result<()> {
    command("ip", &["link", "add", "underlay", "type", "veth", "peer", "name", "far"])?;
    for address in addresses {
        command("ip", &["address", "add", address, "dev", "underlay", "nodad"])?;
    }
    for link in ["lo", "far", "underlay"] {
        command("ip", &["link", "set", link, "up"])?;
    }
    Ok(())
}
