//! Groups and hosts while sources are read: what each source adds, by the rules of Ansible.

use super::vault::Vault;
use base::{Error, Result};
use indexmap::{IndexMap, IndexSet};
use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

/// Variables by name. Values are shared: a variable of a group is one value, however many hosts it has.
pub type Vars = BTreeMap<Arc<str>, Arc<Value>>;

/// The variable that decides between groups of one depth.
const PRIORITY: &str = "ansible_group_priority";

/// A group as its sources describe it.
#[derive(Debug)]
pub(super) struct RawGroup {
    /// The hosts that are in it themselves.
    pub(super) hosts: IndexSet<usize>,
    pub(super) children: IndexSet<usize>,
    pub(super) parents: IndexSet<usize>,
    pub(super) vars: Vars,
    /// Of two groups of one depth the higher counts more.
    pub(super) priority: i64,
}

impl Default for RawGroup {
    fn default() -> Self {
        RawGroup {
            hosts: IndexSet::new(),
            children: IndexSet::new(),
            parents: IndexSet::new(),
            vars: Vars::new(),
            priority: 1,
        }
    }
}

/// A host as its sources describe it.
#[derive(Debug, Default)]
pub(super) struct RawHost {
    /// The groups that it is in itself.
    pub(super) groups: IndexSet<usize>,
    pub(super) vars: Vars,
    /// The source that named it first.
    pub(super) source: Arc<Source>,
}

/// Where hosts come from.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The file, or the list of hosts itself.
    pub(super) name: String,
    /// The directory of the file.
    pub(super) dir: Option<PathBuf>,
}

/// All groups and hosts so far, each in the order of its first appearance.
#[derive(Debug)]
pub(super) struct Builder {
    pub(super) groups: IndexMap<Arc<str>, RawGroup>,
    pub(super) hosts: IndexMap<Arc<str>, RawHost>,
    /// What is read now.
    pub(super) source: Arc<Source>,
    /// Where what is read now is encrypted, what keeps its values out of outputs.
    pub(super) sealed_by: Option<Arc<Vault>>,
    /// What was passed over.
    pub(super) warnings: Vec<String>,
}

pub(super) const ALL: usize = 0;
pub(super) const UNGROUPED: usize = 1;

impl Builder {
    /// The groups that are always there, and no host.
    pub(super) fn new() -> Self {
        let all = RawGroup { children: IndexSet::from([UNGROUPED]), ..RawGroup::default() };
        let ungrouped = RawGroup { parents: IndexSet::from([ALL]), ..RawGroup::default() };
        Builder {
            groups: IndexMap::from([("all".into(), all), ("ungrouped".into(), ungrouped)]),
            hosts: IndexMap::new(),
            source: Arc::default(),
            sealed_by: None,
            warnings: Vec::new(),
        }
    }

    /// The group of this name, made if it is new.
    pub(super) fn add_group(&mut self, name: &str) -> Result<usize> {
        if name.is_empty() {
            return Err(Error::invalid(&*self.source.name, "a group needs a name"));
        }
        if let Some(at) = self.groups.get_index_of(name) {
            return Ok(at);
        }
        Ok(self.groups.insert_full(Arc::from(name), RawGroup::default()).0)
    }

    /// Puts a host into a group. A port counts only for a host that is new.
    pub(super) fn add_host(&mut self, name: &str, group: usize, port: Option<u64>) -> Result<()> {
        if name.is_empty() {
            return Err(Error::invalid(&*self.source.name, "a host needs a name"));
        }
        let host = self.hosts.get_index_of(name).unwrap_or_else(|| {
            let mut host = RawHost { source: self.source.clone(), ..RawHost::default() };
            host.vars.extend(port.map(|port| ("ansible_port".into(), Arc::new(port.into()))));
            self.hosts.insert_full(Arc::from(name), host).0
        });
        self.join(group, host);
        Ok(())
    }

    fn join(&mut self, group: usize, host: usize) {
        self.groups[group].hosts.insert(host);
        self.hosts[host].groups.insert(group);
    }

    /// Sets a variable of a group, or where no group has the name of a host: the way round is Ansible's.
    pub(super) fn set(&mut self, owner: &str, name: &str, value: Value) -> Result<()> {
        let unknown = || Error::internal(format!("'{owner}' was not added before its variables"));
        let vars = match self.groups.get_mut(owner) {
            Some(group) if name == PRIORITY => {
                group.priority = priority(&value).ok_or_else(|| {
                    Error::invalid(&*self.source.name, format!("{PRIORITY} of '{owner}' is not an integer"))
                })?;
                return Ok(());
            }
            Some(group) => &mut group.vars,
            None => &mut self.hosts.get_mut(owner).ok_or_else(unknown)?.vars,
        };
        if let Some(vault) = &self.sealed_by {
            vault.keep(&value);
        }
        vars.insert(name.into(), Arc::new(value));
        Ok(())
    }

    /// Puts a group under another. A circle is an error.
    pub(super) fn add_child(&mut self, parent: usize, child: usize) -> Result<()> {
        if self.groups[parent].children.contains(&child) {
            return Ok(());
        }
        if parent == child || self.ancestors(parent).contains(&child) {
            let name = |at: usize| self.groups.get_index(at).map_or("", |(name, _)| name);
            let message = format!("the group '{}' cannot contain '{}'", name(parent), name(child));
            return Err(Error::invalid(&*self.source.name, message)
                .because("it is the same group, or already contained in it"));
        }
        self.groups[parent].children.insert(child);
        self.groups[child].parents.insert(parent);
        Ok(())
    }

    /// All groups that a group is in, directly or through others.
    pub(super) fn ancestors(&self, group: usize) -> IndexSet<usize> {
        let mut found = self.groups[group].parents.clone();
        let mut next = 0;
        while let Some(&at) = found.get_index(next) {
            found.extend(self.groups[at].parents.iter().copied());
            next += 1;
        }
        found
    }

    /// Once all is read: each group is in `all`, each host in `ungrouped` or in another group.
    pub(super) fn reconcile(&mut self) -> Result<()> {
        for group in 1..self.groups.len() {
            if self.groups[group].parents.is_empty() {
                self.add_child(ALL, group)?;
            }
        }
        let ungrouped_is_in: Vec<usize> =
            self.ancestors(UNGROUPED).into_iter().filter(|g| *g != ALL).collect();
        for host in 0..self.hosts.len() {
            let (name, raw) =
                self.hosts.get_index(host).ok_or_else(|| Error::internal("a host is missing"))?;
            let grouped = raw.groups.iter().any(|g| *g != ALL && *g != UNGROUPED);
            if raw.groups.contains(&UNGROUPED) {
                if grouped || !ungrouped_is_in.is_empty() {
                    self.groups[UNGROUPED].hosts.shift_remove(&host);
                    self.hosts[host].groups.shift_remove(&UNGROUPED);
                }
            } else if !grouped {
                // A group of that name comes first here too.
                match self.groups.get_index_of(name) {
                    Some(group) => self.add_child(UNGROUPED, group)?,
                    None => self.join(UNGROUPED, host),
                }
            }
        }
        Ok(())
    }
}

/// A number as Python's `int` takes it.
fn priority(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(yes) => Some((*yes).into()),
        Value::String(text) => text.trim().parse().ok(),
        #[allow(clippy::cast_possible_truncation)] // as `int` does
        Value::Number(n) => n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(builder: &Builder, group: &str) -> Vec<String> {
        let name = |at: &usize| builder.hosts.get_index(*at).unwrap().0.to_string();
        builder.groups[group].hosts.iter().map(name).collect()
    }

    #[test]
    fn a_host_is_ungrouped_only_where_no_other_group_has_it() {
        let mut b = Builder::new();
        let web = b.add_group("web").unwrap();
        for (host, group) in [("a", UNGROUPED), ("b", UNGROUPED), ("b", web), ("c", ALL)] {
            b.add_host(host, group, None).unwrap();
        }
        b.reconcile().unwrap();
        assert_eq!(named(&b, "ungrouped"), ["a", "c"]);
        assert_eq!(named(&b, "web"), ["b"]);
        assert!(b.groups[ALL].children.contains(&web));
    }

    #[test]
    fn circles_of_groups_are_refused() {
        let mut b = Builder::new();
        let (x, y) = (b.add_group("x").unwrap(), b.add_group("y").unwrap());
        b.add_child(x, y).unwrap();
        assert!(b.add_child(y, x).is_err());
        assert!(b.add_child(x, x).is_err());
        b.add_child(x, ALL).unwrap();
        assert!(b.reconcile().is_err(), "all would contain what contains it");
    }
}
