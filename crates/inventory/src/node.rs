//! Nodes and what is known of them.

use crate::{PlatformType, sources::Sources};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// What is known of a node, by name. What connects is `local_node`, `vm` (`name.project`), `docker` (a container), and for
/// SSH `hostname`, `host_ip`, `ssh_port`, `ssh_user`, `ssh_private_key_file`, `gateway` (`[USER@]HOST[:PORT]`, several with
/// commas), `gateway_user`, `ssh_options` (keywords of ssh_config(5) with their values), `ssh_alias` (the name that the SSH
/// configuration knows), `ssh_config` (a file that counts instead of the usual ones) and `host_keys`. All else is the user's.
pub type Metadata = BTreeMap<String, Value>;

/// Anything that commands run on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Where it was found: `file:line:column`, or another name for its source.
    #[serde(default)]
    pub origin: String,
}

impl Node {
    /// A piece of metadata that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.metadata.get(name)?.as_str()
    }

    /// A piece of metadata that is a truth value, given as such or as a word; false where it is missing.
    pub fn flag(&self, name: &str) -> bool {
        match self.metadata.get(name) {
            Some(Value::Bool(yes)) => *yes,
            Some(Value::String(word)) => matches!(word.as_str(), "true" | "yes" | "on"),
            _ => false,
        }
    }
}

/// A place that nodes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// Unique in the fleet.
    pub name: String,
    /// Its kind.
    pub kind: PlatformType,
    /// Its directory or file, absolute, for those that have one. Services are looked for below a directory.
    pub path: Option<PathBuf>,
}

/// All nodes of a fleet directory, by name.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// By name, in the order of strings: `web1`, `web10`, `web2`.
    pub nodes: BTreeMap<String, Node>,
    /// All groups and lists with the names of their nodes, those of their children too. Some may be empty.
    pub groups: BTreeMap<String, BTreeSet<String>>,
    /// The platforms, by name.
    pub platforms: BTreeMap<String, Platform>,
    /// Who knows more of them.
    pub(crate) sources: Sources,
}
