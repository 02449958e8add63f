//! Sources of metadata besides the inventory itself: name resolution, host keys, the nodes' own facts.
//!
//! A property is asked for only when a command needs it, once per node, of all sources that know such a thing. What the
//! inventory says and what sources say must agree; a master, where one is named, is believed instead.

mod host_ip;

use crate::{Inventory, Node, words};
use base::{Error, Result};
use futures::future::BoxFuture;
pub use host_ip::HostIp;
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

/// The name under which the inventory itself can be a master.
pub const INVENTORY: &str = "inventory";
/// The name under which the section `assign` can be a master.
pub const ASSIGN: &str = "assign";

/// What a source knows of some nodes, by name: the values that may be, the best first. A node of which it knows nothing
/// is left out.
pub type Answers = BTreeMap<String, Vec<Value>>;

/// A source, and what it says of one node.
pub(crate) type Heard = (&'static str, Vec<Value>);

/// A source of one property.
pub trait Source: Send + Sync {
    /// As `metadata_masters` names it.
    fn name(&self) -> &'static str;
    /// The piece of metadata that it gives.
    fn property(&self) -> &'static str;
    /// What it knows of these nodes.
    fn ask<'a>(&'a self, nodes: &'a [&'a Node]) -> BoxFuture<'a, Result<Answers>>;
}

/// The sources, whom to believe, and what has been asked.
#[derive(Clone, Default)]
pub struct Sources {
    all: Vec<Arc<dyn Source>>,
    masters: Masters,
    asked: BTreeSet<(String, String)>,
}

/// The section `metadata_masters`: by property, the source to believe where two disagree.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Masters(BTreeMap<String, String>);

impl Sources {
    /// With these masters.
    pub fn new(masters: Masters) -> Self {
        Sources { masters, ..Sources::default() }
    }

    /// One more source.
    pub fn add(&mut self, source: Arc<dyn Source>) {
        self.all.push(source);
    }

    /// A master that is no source of its property helps nobody.
    fn master(&self, property: &str) -> Result<Option<&str>> {
        let Some(master) = self.masters.0.get(property) else { return Ok(None) };
        let of_it = self.all.iter().filter(|s| s.property() == property).map(|s| s.name());
        let known: Vec<&str> = of_it.chain([INVENTORY, ASSIGN]).collect();
        if known.contains(&master.as_str()) {
            return Ok(Some(master));
        }
        let error = Error::invalid("metadata_masters", format!("'{master}' is no source of {property}"));
        Err(words::hinted(error, master, known))
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.all.iter().map(|s| s.name());
        f.debug_struct("Sources").field("all", &names.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl Inventory {
    /// Adds a source that only some commands need.
    pub fn add_source(&mut self, source: Arc<dyn Source>) {
        self.sources.add(source);
    }

    /// Makes a property of these nodes known, as far as any source knows it. What was asked before is not asked again.
    pub async fn fetch<'a>(
        &mut self,
        property: &str,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<()> {
        let master = self.sources.master(property)?;
        let mut open: BTreeSet<&str> = names.into_iter().collect();
        open.retain(|name| !self.sources.asked.contains(&(property.to_owned(), (*name).to_owned())));
        let mut nodes: Vec<&Node> = open.iter().filter_map(|name| self.nodes.get(*name)).collect();
        if matches!(master, Some(INVENTORY | ASSIGN)) {
            nodes.retain(|node| !node.metadata.contains_key(property));
        }
        let mut heard: BTreeMap<String, Vec<Heard>> = BTreeMap::new();
        for source in self.sources.all.iter().filter(|s| s.property() == property) {
            for (name, values) in source.ask(&nodes).await? {
                heard.entry(name).or_default().push((source.name(), values));
            }
        }
        for (name, answers) in heard {
            self.hear(&name, property, &answers)?;
        }
        let asked = open.into_iter().map(|name| (property.to_owned(), name.to_owned()));
        self.sources.asked.extend(asked);
        Ok(())
    }

    /// Takes what sources say of a property of a node.
    pub(crate) fn hear(&mut self, name: &str, property: &str, answers: &[Heard]) -> Result<()> {
        let master = self.sources.master(property)?;
        match self.nodes.get_mut(name) {
            Some(node) => settle(node, property, answers, master),
            None => Ok(()),
        }
    }

    /// Fetches properties of these nodes, and takes all that is known of them now.
    pub async fn complete(&mut self, nodes: &mut [Node], properties: &[&str]) -> Result<()> {
        for property in properties {
            self.fetch(property, nodes.iter().map(|n| n.name.as_str())).await?;
        }
        for node in nodes {
            if let Some(known) = self.nodes.get(&node.name) {
                node.clone_from(known);
            }
        }
        Ok(())
    }

    /// Whether a source besides the inventory gives this property.
    pub(crate) fn has_source_of(&self, property: &str) -> bool {
        self.sources.all.iter().any(|s| s.property() == property)
    }
}

/// Takes what the master says, else what all say.
fn settle(node: &mut Node, property: &str, answers: &[Heard], master: Option<&str>) -> Result<()> {
    let own = node.metadata.get(property).map(|value| (INVENTORY, std::slice::from_ref(value)));
    let heard = answers.iter().map(|(source, values)| (*source, values.as_slice()));
    let all: Vec<(&str, &[Value])> = own.into_iter().chain(heard).filter(|(_, v)| !v.is_empty()).collect();
    let by_master = all.iter().find(|(source, _)| Some(*source) == master);
    let Some((source, [value, ..])) = by_master.or(all.first()) else { return Ok(()) };
    if by_master.is_none()
        && let Some((other, values)) = all.iter().find(|(_, values)| !values.contains(value))
    {
        return Err(disagreement(node, property, (source, value), (other, &values[0])));
    }
    let value = value.clone();
    node.metadata.insert(property.to_owned(), value);
    Ok(())
}

fn disagreement(node: &Node, property: &str, one: (&str, &Value), other: (&str, &Value)) -> Error {
    Error::conflict(format!("two sources disagree about {property} of {}", node.name))
        .at(node.origin.as_str())
        .because(format!("{}: {}, {}: {}", one.0, one.1, other.0, other.1))
        .hint(format!(
            "correct one, or name the one to believe in hostler.yaml: metadata_masters: {{{property}: {}}}",
            one.0
        ))
}
