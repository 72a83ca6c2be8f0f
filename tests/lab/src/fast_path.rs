//! Nodes whose connection tracking allows a fast path.

use std::time::Duration;

use crate::deadline::wait_until;
use crate::error::{LabError, Result};
use crate::lab::Lab;

impl Lab {
    /// Has connection tracking of a node take TCP's sequence numbers as they come, as kube-proxy does with `conntrack.tcpBeLiberal`,
    /// or not. Where it does, Causeway's agent has a fast path if one is possible.
    ///
    /// # Errors
    /// The node does not take the setting.
    pub fn track_liberally(&self, node: &str, on: bool) -> Result<()> {
        let setting = format!("net.netfilter.nf_conntrack_tcp_be_liberal={}", u8::from(on));
        let set = self.exec(node, &["sysctl", "-qw", &setting])?;
        if set.status.success() {
            Ok(())
        } else {
            Err(LabError::Bed(format!("{node}: {setting}: {}", set.stderr)))
        }
    }

    /// Waits until a node has a fast path.
    ///
    /// # Errors
    /// It has none for that long.
    pub fn wait_for_fast_path(&self, node: &str, within: Duration) -> Result<()> {
        wait_until(&format!("the fast path of {node}"), within, || {
            let found = self.exec(node, &["nft", "list", "table", "netdev", "causeway"])?;
            Ok(if found.status.success() { Ok(()) } else { Err(found.stderr) })
        })
    }
}
