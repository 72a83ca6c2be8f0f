//! Figures of encoded objects.

use anyhow::Result;

use crate::args::Options;
use crate::child::run;
use crate::measure::Sizes;
use crate::report::Section;
use crate::row::{Row, Unit};

/// The largest objects of several clustersets.
///
/// # Errors
/// If one cannot be measured.
pub fn section(_: &Options) -> Result<Section> {
    let note =
        "Bytes of JSON as an API server stores them, with the metadata and managed fields that it adds.";
    let mut section = Section::new("Object sizes", note);
    for clusterset in Sizes::ALL {
        let sized = run(&clusterset)?;
        let name = clusterset.name();
        let bytes =
            |what: &str, bytes: u64| Row::shown(format!("{name}: largest {what}"), bytes as f64, Unit::Bytes);
        let count =
            |what: &str, count: usize| Row::shown(format!("{name}: {what}"), count as f64, Unit::Count);
        section.rows.extend([
            match clusterset {
                // Grows with what its own cluster states of itself, not with the clusterset.
                Sizes::Nastier => bytes("NodeConfig", sized.node_config),
                _ => bytes("NodeConfig", sized.node_config).at_most(2.0 * 1024.0).because(
                    "names of 46 and 253 letters and six translated CIDRs of its own cluster; nothing of it grows with the clusterset",
                ),
            },
            bytes("PeerSlice", sized.peer_slice).at_most(64.0 * 1024.0),
            bytes("ClusterLink", sized.cluster_link),
            count("most peers in a PeerSlice", sized.most_peers)
                .at_most(causeway_model::SLICE_CAPACITY as f64),
            count("PeerSlices", sized.slices),
            count("peers in them", sized.peers),
        ]);
    }
    Ok(section)
}
