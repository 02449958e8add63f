//! Nodes and what is known of them.

use crate::{PlatformType, ansible::AnsibleInventory, sources::Sources};
use base::Secret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

/// What is known of a node, by name. What connects is `local_node`, `vm` (`name.project`), `docker` (a container; with
/// `docker_host` and `docker_user`), and for SSH `hostname`, `host_ip`, `ssh_port`, `ssh_user`, `ssh_private_key_file`,
/// `gateway` (`[USER@]HOST[:PORT]`, several with commas), `gateway_user`, `ssh_options` (keywords of ssh_config(5) with their
/// values), `ssh_alias` (the name that the SSH configuration knows), `ssh_config` (a file that counts instead of the usual
/// ones) and `host_keys`. All else is the user's.
pub type Metadata = BTreeMap<String, Value>;

/// The names of metadata that connect. In a platform whose own rules say how a node is reached, they mean nothing.
pub(crate) const CONNECTING: [&str; 18] = [
    "local_node",
    "vm",
    "docker",
    "docker_host",
    "docker_user",
    "hostname",
    "host_ip",
    "ssh_port",
    "ssh_user",
    "ssh_private_key_file",
    "gateway",
    "gateway_user",
    "ssh_options",
    "ssh_alias",
    "ssh_config",
    "become",
    "become_user",
    "become_method",
];

/// What the inventory knows for the questions of a node. No metadata: it is shown nowhere, and in no list of nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passwords {
    /// For the login.
    pub login: Option<Secret>,
    /// For what changes the user.
    pub other_user: Option<Secret>,
}

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
    /// What it may ask for.
    #[serde(skip)]
    pub passwords: Passwords,
}

impl Node {
    /// A piece of metadata that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.metadata.get(name)?.as_str()
    }

    /// The metadata that does not connect.
    pub fn own_metadata(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.metadata.iter().filter(|(name, _)| !CONNECTING.contains(&name.as_str()) && *name != "host_keys")
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

impl Platform {
    /// Its directory, or that of its file.
    pub fn directory(&self) -> Option<&Path> {
        let path = self.path.as_deref()?;
        if path.is_dir() { Some(path) } else { path.parent() }
    }
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
    /// The platforms that are Ansible's, whole.
    pub(crate) ansible: Vec<Arc<AnsibleInventory>>,
    /// Who knows more of them.
    pub(crate) sources: Sources,
}

impl Inventory {
    /// What outputs may not show of it: passwords of nodes and of vaults, and what was decrypted.
    pub fn secrets(&self) -> Vec<Secret> {
        let vaults = self.ansible.iter().flat_map(|inventory| inventory.secrets());
        let of_node = |node: &Node| [node.passwords.login.clone(), node.passwords.other_user.clone()];
        vaults.chain(self.nodes.values().flat_map(of_node).flatten()).collect()
    }

    /// What a playbook expects to know of a node of an inventory of Ansible, beyond its metadata: see
    /// [`AnsibleInventory::playbook_vars`]. What had to be opened for it is among [`Self::secrets`] from then on.
    ///
    /// # Errors
    /// [`base::Code::Forbidden`] for a variable that no vault password opens.
    pub fn playbook_vars(&self, node: &str) -> base::Result<serde_json::Map<String, Value>> {
        let of = self.ansible.iter().find(|inventory| inventory.hosts.contains_key(node));
        of.map_or_else(|| Ok(serde_json::Map::new()), |inventory| inventory.playbook_vars(node))
    }
}
