//! An inventory of Ansible as plain data.

use super::{
    builder::{Source, Vars},
    data::VAULT,
    template::Engine,
    vault::Vault,
};
use base::{Result, Secret};
use indexmap::{IndexMap, IndexSet};
use serde_json::{Map, Value, json};
use std::{path::PathBuf, sync::Arc};

/// Says which Python a host has: all modules but `raw` need it.
const PYTHON: &str = "ansible_python_interpreter";

/// All hosts and groups, each in the order in which the sources name them.
#[derive(Debug)]
pub struct AnsibleInventory {
    /// By name.
    pub hosts: IndexMap<Arc<str>, Host>,
    /// By name; `all` and `ungrouped` are always there.
    pub groups: IndexMap<Arc<str>, Group>,
    /// What was passed over while reading, with its place.
    pub warnings: Vec<String>,
    pub(super) vault: Arc<Vault>,
    pub(super) engine: Engine,
    /// Where the playbooks are, which templates may ask for.
    pub(super) playbook_dir: PathBuf,
}

/// A host and its variables. Values may hold two marks of Ansible's JSON: `{"__ansible_vault": TEXT}` is encrypted, and
/// `{"__ansible_unsafe": TEXT}` is never a template. Templates stand as they were written.
#[derive(Clone, Debug)]
pub struct Host {
    /// The groups that it is in, directly or through others, without `all`, by name.
    pub groups: Arc<[Arc<str>]>,
    /// From its groups; hosts of the same groups share one.
    pub(super) shared: Arc<Vars>,
    /// From the inventory and `host_vars`. Counts more.
    pub(super) own: Vars,
    pub(super) source: Arc<Source>,
}

/// A group and what it has itself.
#[derive(Clone, Debug)]
pub struct Group {
    /// The hosts that are in it directly.
    pub hosts: Vec<Arc<str>>,
    /// The groups directly below it.
    pub children: Vec<Arc<str>>,
    /// Its variables, from the inventory and from `group_vars`.
    pub vars: Vars,
}

impl Host {
    /// A variable.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.own.get(name).or_else(|| self.shared.get(name)).map(Arc::as_ref)
    }

    /// All variables.
    pub fn vars(&self) -> Vars {
        let mut vars = Vars::clone(&self.shared);
        vars.extend(self.own.iter().map(|(name, value)| (name.clone(), value.clone())));
        vars
    }

    fn has_vars(&self) -> bool {
        !self.own.is_empty() || !self.shared.is_empty()
    }
}

impl AnsibleInventory {
    /// All hosts of a group, those of its children too, each once: those nearest to the group first.
    pub fn members(&self, group: &str) -> IndexSet<&str> {
        let mut groups: IndexSet<&str> =
            self.groups.get_key_value(group).map(|(name, _)| &**name).into_iter().collect();
        let mut hosts = IndexSet::new();
        let mut next = 0;
        while let Some(group) = groups.get_index(next).and_then(|name| self.groups.get(*name)) {
            groups.extend(group.children.iter().map(|name| &**name));
            hosts.extend(group.hosts.iter().map(|name| &**name));
            next += 1;
        }
        hosts
    }

    /// What `ansible-inventory --list` prints: groups with `hosts` and `children`, and `_meta.hostvars`. Nothing is
    /// decrypted and no template evaluated.
    pub fn list(&self) -> Value {
        let mut out = Map::new();
        for (name, group) in &self.groups {
            let mut entry = Map::new();
            if &**name != "all" && !group.hosts.is_empty() {
                entry.insert("hosts".into(), names(&group.hosts));
            }
            if !group.children.is_empty() {
                entry.insert("children".into(), names(&group.children));
            }
            if !entry.is_empty() {
                out.insert(name.to_string(), entry.into());
            }
        }
        let hosts = self.members("all").into_iter().filter_map(|name| self.hosts.get_key_value(name));
        let vars: Map<String, Value> = hosts
            .filter(|(_, host)| host.has_vars())
            .map(|(name, host)| (name.to_string(), object(&host.vars())))
            .collect();
        out.insert("_meta".into(), json!({ "hostvars": vars }));
        out.into()
    }

    /// What a playbook expects its inventory to know of a host: all its variables, with what is encrypted opened, but for
    /// those that say how the host is reached.
    ///
    /// # Errors
    /// [`base::Code::Forbidden`] for a variable that no vault password opens.
    pub fn playbook_vars(&self, host: &str) -> Result<Map<String, Value>> {
        let vars = self.hosts.get(host).map(Host::vars).unwrap_or_default();
        let meant = |name: &str| !name.starts_with("ansible_") || name == PYTHON;
        let meant = vars.iter().filter(|(name, _)| meant(name));
        let opened = meant.map(|(name, value)| match self.opened(value) {
            Ok(value) => Ok((name.to_string(), value)),
            Err(e) => Err(e.at(format!("{name} of {host}"))),
        });
        opened.collect()
    }

    fn opened(&self, value: &Value) -> Result<Value> {
        if let Some(sealed) = value.get(VAULT).and_then(Value::as_str) {
            return Ok(self.vault.open(sealed)?.expose_secret().into());
        }
        Ok(match value {
            Value::Object(map) => {
                let opened = map.iter().map(|(name, value)| Ok((name.clone(), self.opened(value)?)));
                Value::Object(opened.collect::<Result<_>>()?)
            }
            Value::Array(list) => list.iter().map(|value| self.opened(value)).collect::<Result<_>>()?,
            other => other.clone(),
        })
    }

    /// What outputs may not show: vault passwords, what was decrypted so far, and the texts of encrypted files.
    pub fn secrets(&self) -> Vec<Secret> {
        self.vault.secrets()
    }
}

fn names(list: &[Arc<str>]) -> Value {
    list.iter().map(|name| Value::from(&**name)).collect()
}

pub(super) fn object(vars: &Vars) -> Value {
    Value::Object(vars.iter().map(|(name, value)| (name.to_string(), Value::clone(value))).collect())
}
