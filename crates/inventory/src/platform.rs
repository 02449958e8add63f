//! The kinds of places that nodes come from, one module each.

pub mod ansible;
pub mod pool;
pub mod ssh_config;
pub mod yaml;

use crate::{Node, ansible::AnsibleInventory};
use serde::Deserialize;
use serde_saphyr::Spanned;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What kind of place nodes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlatformType {
    /// A directory with `inventory.yaml`.
    Yaml,
    /// The hosts that an SSH configuration names.
    SshConfig,
    /// The VMs of a controller.
    Pool,
    /// What Ansible takes as an inventory.
    Ansible,
}

impl PlatformType {
    /// As in `hostler.yaml`.
    pub fn as_str(self) -> &'static str {
        match self {
            PlatformType::Yaml => "yaml",
            PlatformType::SshConfig => "ssh-config",
            PlatformType::Pool => "pool",
            PlatformType::Ansible => "ansible",
        }
    }

    /// Whether it needs a path.
    pub(crate) fn needs_path(self) -> bool {
        matches!(self, PlatformType::Yaml | PlatformType::Ansible)
    }

    /// The fields besides `name` and `type` that its entries may have.
    pub(crate) fn fields(self) -> &'static [&'static str] {
        match self {
            PlatformType::Yaml | PlatformType::SshConfig => &["path"],
            PlatformType::Pool => &["project"],
            PlatformType::Ansible => &["path", "playbook_dir", "vault_password_file"],
        }
    }
}

/// One entry of the section `platforms`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformEntry {
    /// Its name; without one, the last part of its path, or else its type.
    pub name: Option<Spanned<String>>,
    /// What kind it is.
    pub r#type: Spanned<PlatformType>,
    /// Where it is, relative to the fleet directory. `~/` is the user's home.
    pub path: Option<Spanned<String>>,
    /// The project whose VMs are meant; without one, that of the command line.
    pub project: Option<Spanned<String>>,
    /// Where the playbooks are: variables of groups and hosts there count too.
    pub playbook_dir: Option<Spanned<String>>,
    /// A file that holds the password of vaults, or a program that prints it; `ID@FILE` for a vault id.
    pub vault_password_file: Option<Spanned<String>>,
}

impl PlatformEntry {
    /// The fields that are given, besides `name` and `type`.
    pub(crate) fn given(&self) -> impl Iterator<Item = (&'static str, &Spanned<String>)> {
        let fields = [
            ("path", &self.path),
            ("project", &self.project),
            ("playbook_dir", &self.playbook_dir),
            ("vault_password_file", &self.vault_password_file),
        ];
        fields.into_iter().filter_map(|(name, field)| Some((name, field.as_ref()?)))
    }
}

/// What a platform has. Its nodes do not know its name yet.
#[derive(Debug, Default)]
pub struct Found {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Groups and lists, with the names of all their nodes.
    pub groups: BTreeMap<String, BTreeSet<String>>,
    /// The whole of it, where it is Ansible's: patterns are evaluated on it.
    pub ansible: Option<Arc<AnsibleInventory>>,
}
