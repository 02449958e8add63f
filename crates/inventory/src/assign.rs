//! The section `assign` of `hostler.yaml`: what nodes have besides what their platform says of them. VMs and hosts of an
//! SSH configuration get their services here.

use crate::{
    FleetFile, Inventory, Metadata, Selector,
    sources::{self, Claim, Shape},
};
use base::Result;
use serde::Deserialize;
use serde_saphyr::Spanned;
use std::collections::{BTreeMap, BTreeSet};

/// One entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Assignment {
    /// Whom it is about; evaluated before anything is assigned.
    nodes: Vec<Spanned<Selector>>,
    #[serde(default)]
    metadata: Metadata,
    /// Put after those that the nodes have.
    #[serde(default)]
    services: Vec<String>,
    #[serde(default)]
    groups: Vec<String>,
}

/// Assigns. Of two entries that give a node the same metadata the later counts; what disagrees with the platform is an
/// error like that of any other two sources.
pub async fn apply(inventory: &mut Inventory, file: &FleetFile) -> Result<()> {
    let entries: Vec<Assignment> = file.section("assign")?;
    let mut meant = Vec::new();
    for entry in &entries {
        let mut names = BTreeSet::new();
        for selector in &entry.nodes {
            let found = selector.value.names(inventory).await.map_err(|e| e.at(file.place(selector)))?;
            names.extend(found.into_iter().map(ToOwned::to_owned));
        }
        meant.push(names);
    }
    let mut said: BTreeMap<String, Metadata> = BTreeMap::new();
    for (entry, names) in entries.into_iter().zip(meant) {
        for name in names {
            let Some(node) = inventory.nodes.get_mut(&name) else { continue };
            for service in &entry.services {
                if !node.services.contains(service) {
                    node.services.push(service.clone());
                }
            }
            node.groups.extend(entry.groups.iter().cloned());
            for group in &entry.groups {
                inventory.groups.entry(group.clone()).or_default().insert(name.clone());
            }
            said.entry(name).or_default().extend(entry.metadata.clone());
        }
    }
    for (name, metadata) in said {
        for (property, value) in metadata {
            let values = Shape::of(&property).values(&value);
            inventory.hear(&name, &property, vec![Claim { source: sources::ASSIGN, values }])?;
        }
    }
    Ok(())
}
