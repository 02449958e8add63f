//! Nodes and what is known of them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of a node, by name. The names that connect are `hostname`, `host_ip`, `ssh_port`, `ssh_user`,
/// `local_node`; all others are the user's.
pub type Metadata = BTreeMap<String, Value>;

/// Anything that commands run on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Unique over all platforms.
    pub name: String,
    /// The platform that it comes from.
    pub platform: String,
    /// What is known of it.
    #[serde(default)]
    pub metadata: Metadata,
    /// The services that it should have, in the order of the inventory.
    #[serde(default)]
    pub services: Vec<String>,
    /// The groups and lists that it is in.
    #[serde(default)]
    pub groups: BTreeSet<String>,
}

impl Node {
    /// A piece of metadata that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.metadata.get(name)?.as_str()
    }
}

/// All nodes of a fleet directory, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// By name, in the order of strings: `web1`, `web10`, `web2`.
    pub nodes: BTreeMap<String, Node>,
}
