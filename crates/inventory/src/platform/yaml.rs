//! A directory with `inventory.yaml` (node -> `metadata`, `services`, `groups`), and next to it, where there are groups,
//! `groups.yaml` and `defaults.yaml`. Files of their own, because every key of `inventory.yaml` is a node.

mod groups;

use super::Found;
use crate::{
    Metadata, Node,
    document::{self, Entries, Files, OnDisk},
};
use base::{Error, Result};
use groups::Groups;
use serde::Deserialize;
use std::{collections::BTreeSet, path::Path};

const NODES: &str = "inventory.yaml";
const DEFAULTS: &str = "defaults.yaml";

/// A node, as the file has it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Entry {
    metadata: Option<Metadata>,
    services: Option<Vec<String>>,
    groups: Option<Vec<String>>,
}

/// What all nodes have that do not say otherwise.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Defaults {
    metadata: Option<Metadata>,
    services: Option<Vec<String>>,
}

/// The files that say which nodes there are and what they have.
pub const FILES: [&str; 3] = [NODES, groups::FILE, DEFAULTS];

/// Reads the directory.
pub fn read(dir: &Path) -> Result<Found> {
    if !dir.is_dir() {
        let message = format!("there is no directory {}", dir.display());
        return Err(
            Error::not_found(message).hint("correct the path, or make it, with an inventory.yaml in it")
        );
    }
    read_files(&OnDisk(dir))
}

/// Reads its files, wherever they come from. Without an `inventory.yaml` there are no nodes.
pub fn read_files(files: &dyn Files) -> Result<Found> {
    let entries: Entries<Option<Entry>> = document::read(files, NODES)?.unwrap_or_default();
    let defaults: Defaults = document::read(files, DEFAULTS)?.unwrap_or_default();
    let names: BTreeSet<&str> = entries.0.iter().map(|(name, _)| name.value.as_str()).collect();
    let mut groups = Groups::read(files, &names)?;
    let mut nodes = Vec::new();
    for (name, entry) in entries.0 {
        let entry = entry.unwrap_or_default();
        let origin = document::place(&files.path(NODES), name.referenced);
        for group in entry.groups.into_iter().flatten() {
            groups.add(&group, &name.value).map_err(|e| e.at(origin.as_str()))?;
        }
        nodes.push(Node {
            name: name.value,
            metadata: entry.metadata.unwrap_or_default(),
            services: entry.services.unwrap_or_default(),
            origin,
            ..Node::default()
        });
    }
    let nested = groups.nested()?;
    for node in &mut nodes {
        let inherited = nested.inherited(&node.name, &node.metadata)?;
        let mut metadata = defaults.metadata.clone().unwrap_or_default();
        metadata.extend(inherited.metadata);
        metadata.append(&mut node.metadata);
        node.metadata = metadata;
        let own = std::mem::take(&mut node.services);
        for service in defaults.services.iter().flatten().cloned().chain(inherited.services).chain(own) {
            if !node.services.contains(&service) {
                node.services.push(service);
            }
        }
        node.groups = inherited.groups;
    }
    Ok(Found { nodes, groups: nested.members(), ..Found::default() })
}
