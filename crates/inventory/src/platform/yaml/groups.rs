//! `groups.yaml`: named sets of nodes, groups in groups, and what their nodes inherit.
//!
//! A node's own metadata wins over that of its groups, a child group over its parents, all over the defaults. Two groups
//! of a node that say different things, neither of them within the other, are an error: nobody could tell which was meant.

use crate::{
    Metadata, Selector,
    document::{self, Entries, Files},
    words,
};
use base::{Error, Result};
use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// Its name.
pub const FILE: &str = "groups.yaml";

/// A group, as the file has it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Entry {
    /// Names, or `/regexps/` over names.
    nodes: Vec<Spanned<String>>,
    /// Groups within this one.
    groups: Vec<Spanned<String>>,
    metadata: Metadata,
    services: Vec<String>,
}

#[derive(Debug, Default)]
struct Group {
    /// The nodes that it names itself.
    nodes: BTreeSet<String>,
    children: Vec<String>,
    metadata: Metadata,
    services: Vec<String>,
}

/// The groups of a directory.
#[derive(Debug, Default)]
pub struct Groups {
    path: PathBuf,
    groups: BTreeMap<String, Group>,
}

/// What a node has from its groups.
#[derive(Debug, Default)]
pub struct Inherited {
    /// The groups, those around them too.
    pub groups: BTreeSet<String>,
    /// What the innermost of them say.
    pub metadata: Metadata,
    /// Outer groups first.
    pub services: Vec<String>,
}

impl Groups {
    /// Reads the file, if there is one, and checks that what it names exists.
    pub fn read(files: &dyn Files, nodes: &BTreeSet<&str>) -> Result<Self> {
        let path = files.path(FILE);
        let entries: Entries<Option<Entry>> = document::read(files, FILE)?.unwrap_or_default();
        let names: BTreeSet<String> = entries.0.iter().map(|(name, _)| name.value.clone()).collect();
        let mut groups = Groups { path, groups: BTreeMap::new() };
        for (name, entry) in entries.0 {
            let entry = entry.unwrap_or_default();
            if let Some(child) = entry.groups.iter().find(|c| !names.contains(&c.value)) {
                return Err(groups.unknown("group", child, names.iter().map(String::as_str)));
            }
            let mut group = Group { metadata: entry.metadata, services: entry.services, ..Group::default() };
            group.children = entry.groups.into_iter().map(|c| c.value).collect();
            for member in &entry.nodes {
                group.nodes.extend(groups.meant(member, nodes)?);
            }
            groups.groups.insert(name.value, group);
        }
        Ok(groups)
    }

    /// The nodes that an entry of `nodes` means.
    fn meant(&self, member: &Spanned<String>, nodes: &BTreeSet<&str>) -> Result<Vec<String>> {
        let place = || document::place(&self.path, member.referenced);
        match Selector::node(&member.value).map_err(|e| e.at(place()))? {
            Selector::Matching(pattern) => {
                Ok(nodes.iter().filter(|n| pattern.is_match(n)).map(|n| (*n).to_owned()).collect())
            }
            _ if nodes.contains(member.value.as_str()) => Ok(vec![member.value.clone()]),
            _ => Err(self.unknown("node", member, nodes.iter().copied())),
        }
    }

    fn unknown<'a>(
        &self,
        what: &str,
        name: &Spanned<String>,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Error {
        let place = document::place(&self.path, name.referenced);
        let error = Error::invalid(place, format!("there is no {what} '{}'", name.value));
        words::hinted(error, &name.value, known)
    }

    /// Puts a node into a group that an entry of the inventory names. It need not be in the file.
    pub fn add(&mut self, group: &str, node: &str) -> Result<()> {
        if group.is_empty() {
            return Err(Error::new(base::Code::Invalid, "a group's name is not empty"));
        }
        self.groups.entry(group.to_owned()).or_default().nodes.insert(node.to_owned());
        Ok(())
    }

    /// Works out who is within whom. No group may be within itself.
    pub fn nested(&self) -> Result<Nested<'_>> {
        let mut within = BTreeMap::new();
        for (name, group) in &self.groups {
            let inner = self.closure(&group.children);
            if inner.contains(name.as_str()) {
                let message = format!("the group '{name}' is within itself");
                let circle: Vec<&str> = inner.iter().copied().filter(|other| other != name).collect();
                let hint = match circle.as_slice() {
                    [] => "a group need not name itself".to_owned(),
                    others => format!("take it out of the groups that are in it: {}", others.join(", ")),
                };
                return Err(Error::invalid(self.path.display().to_string(), message).hint(hint));
            }
            within.insert(name.as_str(), inner);
        }
        let members = |name: &str| -> BTreeSet<&str> {
            let all = within[name].iter().copied().chain([name]);
            all.flat_map(|g| self.groups[g].nodes.iter().map(String::as_str)).collect()
        };
        let members = self.groups.keys().map(|name| (name.as_str(), members(name))).collect();
        Ok(Nested { groups: self, within, members })
    }

    /// These groups and all within them.
    fn closure<'a>(&'a self, names: &'a [String]) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = names.iter().map(String::as_str).collect();
        while let Some(name) = open.pop() {
            if found.insert(name) {
                open.extend(self.groups[name].children.iter().map(String::as_str));
            }
        }
        found
    }
}

/// Groups of which it is known who is within whom.
#[derive(Debug)]
pub struct Nested<'a> {
    groups: &'a Groups,
    /// By group, all groups within it.
    within: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// By group, all its nodes.
    members: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl Nested<'_> {
    /// All groups with all their nodes.
    pub fn members(&self) -> BTreeMap<String, BTreeSet<String>> {
        let owned = |nodes: &BTreeSet<&str>| nodes.iter().map(|n| (*n).to_owned()).collect();
        self.members.iter().map(|(name, nodes)| ((*name).to_owned(), owned(nodes))).collect()
    }

    /// What a node inherits, apart from what it says itself.
    pub fn inherited(&self, node: &str, own: &Metadata) -> Result<Inherited> {
        let mut around: Vec<&str> =
            self.members.iter().filter(|(_, nodes)| nodes.contains(node)).map(|(name, _)| *name).collect();
        // A group has more within it than any of those do.
        around.sort_by_key(|name| std::cmp::Reverse(self.within[name].len()));
        let mut inherited = Inherited::default();
        let mut said: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for name in around {
            let group = &self.groups.groups[name];
            inherited.groups.insert(name.to_owned());
            inherited.services.extend(group.services.iter().cloned());
            for key in group.metadata.keys().filter(|key| !own.contains_key(*key)) {
                said.entry(key).or_default().push(name);
            }
        }
        for (key, by) in said {
            inherited.metadata.insert(key.to_owned(), self.innermost(node, key, &by)?.clone());
        }
        Ok(inherited)
    }

    /// What the groups that have no other of these within them say of a key, where they agree.
    fn innermost(&self, node: &str, key: &str, by: &[&str]) -> Result<&Value> {
        let value = |group: &str| &self.groups.groups[group].metadata[key];
        let mut inner = by.iter().filter(|g| !by.iter().any(|other| self.within[*g].contains(other)));
        let first = inner.next().copied().unwrap_or_default();
        match inner.find(|other| value(other) != value(first)) {
            None => Ok(value(first)),
            Some(other) => {
                let message = format!("the groups '{first}' and '{other}' disagree about '{key}' of {node}");
                Err(Error::conflict(message)
                    .at(self.groups.path.display().to_string())
                    .because(format!("{} and {}", value(first), value(other)))
                    .hint("say it of the node itself, or put one of the groups into the other"))
            }
        }
    }
}
