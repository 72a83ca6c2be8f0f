//! Between objects and the values of the model.
//!
//! Each value of an object is judged by itself. What cannot be used is reported with the object, the
//! field path, the value, and what would be right; everything else is used. Only an object that says
//! too little to be anything at all (no role, no overlay address, a namespace of no cluster) is
//! refused as a whole.

mod allocations;
mod cluster;
mod fields;
mod link;
mod node;
mod node_config;
mod selector;
mod set;
mod slice;

pub use allocations::{node_overlay, slice_members};
pub use cluster::{cluster, cluster_facts, cluster_plan, cluster_status};
pub use fields::{Conversion, FieldError, InvalidObject};
pub use link::{cluster_link, link_plan};
pub use node::{cluster_node, node_facts};
pub use node_config::{node_config, node_plan};
pub use set::cluster_set_facts;
pub use slice::{peer_slice, slice_plan};
