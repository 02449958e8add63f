//! From what the sources say to what holds: the variables of each host by the precedence of Ansible.
//!
//! From weak to strong: `all` and then the groups as the sources have them; `group_vars/all` of each source, then beside
//! the playbooks; `group_vars` of the groups of each source, then beside the playbooks; the host as the sources have it;
//! its `host_vars`, likewise. Of two groups the one further from `all` counts more, then the one with the higher
//! `ansible_group_priority`, then the one that comes later in the alphabet. A value replaces another whole.

use super::{
    builder::{ALL, Builder, Vars},
    inventory::{Group, Host},
    vars_files::{Place, Reader},
};
use base::Result;
use indexmap::IndexMap;
use serde_json::json;
use std::{collections::HashMap, sync::Arc};

/// Names that Ansible sets itself, and that are no variables of a host.
const INTERNAL: [&str; 19] = [
    "ansible_diff_mode",
    "ansible_config_file",
    "ansible_facts",
    "ansible_forks",
    "ansible_inventory_sources",
    "ansible_limit",
    "ansible_playbook_python",
    "ansible_run_tags",
    "ansible_skip_tags",
    "ansible_verbosity",
    "ansible_version",
    "group_names",
    "groups",
    "inventory_dir",
    "inventory_file",
    "inventory_hostname",
    "inventory_hostname_short",
    "omit",
    "playbook_dir",
];

/// Groups and hosts, each with its variables.
pub(super) type Assembled = (IndexMap<Arc<str>, Group>, IndexMap<Arc<str>, Host>);

/// The groups of a host by name, and the variables that come from these.
type Shared = (Arc<[Arc<str>]>, Arc<Vars>);

/// Puts it all together. The places with files are those beside the sources, in their order, and last that beside the
/// playbooks.
pub(super) fn assemble(builder: &Builder, places: &[Place], reader: &mut Reader) -> Result<Assembled> {
    let assembler = Assembler::new(builder, places, reader)?;
    let mut merged: HashMap<Vec<usize>, Shared> = HashMap::new();
    let mut hosts = IndexMap::with_capacity(builder.hosts.len());
    for (name, raw) in &builder.hosts {
        // Hosts of the same groups share one set of variables.
        let mut key: Vec<usize> = raw.groups.iter().copied().collect();
        key.sort_unstable();
        let (groups, shared) = merged.entry(key).or_insert_with_key(|key| assembler.shared(key)).clone();
        let mut own = raw.vars.clone();
        for place in places {
            own.extend(reader.host(place, name)?);
        }
        drop_internal(&mut own);
        hosts.insert(name.clone(), Host { groups, shared, own, source: raw.source.clone() });
    }
    Ok((assembler.groups(), hosts))
}

struct Assembler<'a> {
    builder: &'a Builder,
    /// Of each group and each place the variables from files.
    files: Vec<Vec<Vars>>,
    /// The longest way from `all` to each group.
    depths: Vec<usize>,
}

impl<'a> Assembler<'a> {
    fn new(builder: &'a Builder, places: &[Place], reader: &mut Reader) -> Result<Self> {
        let mut of_group = |name: &str| places.iter().map(|place| reader.group(place, name)).collect();
        let files = builder.groups.keys().map(|name| of_group(name)).collect::<Result<_>>()?;
        Ok(Assembler { builder, files, depths: depths(builder) })
    }

    /// What hosts have in common that are in these groups: the names of all their groups, and the variables from these.
    fn shared(&self, groups: &[usize]) -> Shared {
        let mut groups = groups.to_vec();
        groups.extend(groups.clone().into_iter().flat_map(|group| self.builder.ancestors(group)));
        groups.retain(|group| *group != ALL);
        groups.sort_by_cached_key(|group| self.rank(*group));
        groups.dedup();
        let mut vars = Vars::new();
        let mut add =
            |more: &Vars| vars.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
        for group in std::iter::once(&ALL).chain(&groups) {
            add(&self.builder.groups[*group].vars);
        }
        self.files[ALL].iter().for_each(&mut add);
        for place in 0..self.files[ALL].len() {
            for group in &groups {
                add(&self.files[*group][place]);
            }
        }
        drop_internal(&mut vars);
        let mut names: Vec<Arc<str>> = groups.iter().map(|group| self.name(*group)).collect();
        names.sort_unstable();
        (names.into(), Arc::new(vars))
    }

    fn rank(&self, group: usize) -> (usize, i64, Arc<str>) {
        (self.depths[group], self.builder.groups[group].priority, self.name(group))
    }

    fn name(&self, group: usize) -> Arc<str> {
        self.builder.groups.get_index(group).map_or_else(|| Arc::from(""), |(name, _)| name.clone())
    }

    fn groups(&self) -> IndexMap<Arc<str>, Group> {
        let host_name = |at: usize| self.builder.hosts.get_index(at).map(|(name, _)| name.clone());
        let raw = self.builder.groups.iter().zip(&self.files);
        raw.map(|((name, raw), files)| {
            let mut vars = raw.vars.clone();
            for more in files {
                vars.extend(more.clone());
            }
            if raw.priority != 1 {
                vars.insert("ansible_group_priority".into(), Arc::new(json!(raw.priority)));
            }
            drop_internal(&mut vars);
            let hosts = raw.hosts.iter().filter_map(|at| host_name(*at)).collect();
            let children = raw.children.iter().map(|at| self.name(*at)).collect();
            (name.clone(), Group { hosts, children, vars })
        })
        .collect()
    }
}

/// The longest way from `all` to each group.
fn depths(builder: &Builder) -> Vec<usize> {
    let mut depths = vec![0; builder.groups.len()];
    let mut waits_for: Vec<usize> = builder.groups.values().map(|group| group.parents.len()).collect();
    let mut ready = vec![ALL];
    while let Some(group) = ready.pop() {
        for &child in &builder.groups[group].children {
            depths[child] = depths[child].max(depths[group] + 1);
            waits_for[child] -= 1;
            if waits_for[child] == 0 {
                ready.push(child);
            }
        }
    }
    depths
}

fn drop_internal(vars: &mut Vars) {
    for name in INTERNAL {
        vars.remove(name);
    }
}
