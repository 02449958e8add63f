//! The kinds of places that nodes come from, one module each.

pub mod yaml;

use crate::Node;
use std::collections::{BTreeMap, BTreeSet};

/// What a platform has. Its nodes do not know its name yet.
#[derive(Debug, Default)]
pub struct Found {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Groups and lists, with the names of all their nodes.
    pub groups: BTreeMap<String, BTreeSet<String>>,
}
