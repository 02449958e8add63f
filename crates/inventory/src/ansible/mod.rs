//! Inventories of Ansible, read without Ansible: what [`AnsibleInventory::list`] gives is what
//! `ansible-inventory --list` prints for the same sources.
//!
//! Read are INI and YAML files, directories of them, lists of hosts and executable scripts, with `group_vars/`,
//! `host_vars/` and vaults. The rules are those of ansible-core, which the tests have as their oracle; where Ansible warns
//! and goes on with a part of an inventory that it could not read, we end with an error. A script is the user's code and
//! runs as the user.

mod address;
mod assemble;
mod builder;
mod connection;
mod data;
mod filters;
mod glob;
mod ini;
mod inventory;
mod literal;
mod passwords;
mod pattern;
mod scalar;
mod script;
mod source;
mod ssh_args;
mod template;
mod tree;
mod vars_files;
mod vault;
mod words;
mod yaml;

pub use builder::Vars;
pub use connection::{Connection, Escalation, Way};
pub use inventory::{AnsibleInventory, Group, Host};
pub use passwords::VaultId;
pub use ssh_args::Setting;
pub use vault::Vault;

use base::Result;
use builder::Builder;
use std::{path::PathBuf, sync::Arc, time::Duration};
use vars_files::{Place, Reader};

/// What to read, and with what.
#[derive(Clone, Debug)]
pub struct Options {
    /// Files, directories and lists of hosts with commas, as `-i` of Ansible takes them. Of two that say different things
    /// the later counts.
    pub sources: Vec<String>,
    /// Relative paths are taken from here, and scripts run here.
    pub directory: PathBuf,
    /// Where the playbooks are: `group_vars` and `host_vars` there count too, and more than those of the sources.
    pub playbook_dir: Option<PathBuf>,
    /// The passwords for what is encrypted.
    pub vault: Arc<Vault>,
    /// How long each run of a script may take.
    pub script_limit: Duration,
}

impl AnsibleInventory {
    /// Reads everything. Files that are encrypted are opened, single values that are stay as they are until they are used.
    pub async fn read(options: &Options) -> Result<Self> {
        let mut builder = Builder::new();
        let mut places = Vec::new();
        for source in &options.sources {
            places.extend(source::read(source, options, &mut builder).await?);
        }
        let playbook_dir = options.playbook_dir.as_ref().map(|dir| options.directory.join(dir));
        places.extend(playbook_dir.clone());
        let vault = options.vault.clone();
        let playbook_dir = playbook_dir.unwrap_or_else(|| options.directory.clone());
        rt::task::blocking(move || {
            builder.reconcile()?;
            let places = places.iter().map(|dir| Place::open(dir)).collect::<Result<Vec<_>>>()?;
            let (groups, hosts) = assemble::assemble(&builder, &places, &mut Reader::new(vault.clone()))?;
            let engine = template::Engine::new();
            Ok(AnsibleInventory { hosts, groups, warnings: builder.warnings, vault, engine, playbook_dir })
        })
        .await?
    }
}
