//! Sources of metadata besides the inventory itself: name resolution, host keys, the nodes' own facts.
//!
//! A property is asked for only when a command needs it, once per node, of all sources that know such a thing. What the
//! inventory says and what sources say must agree; a master, where one is named, is believed instead.

mod claims;
mod host_ip;

use crate::{FleetFile, Inventory, Node, words};
use base::{Error, Result};
use claims::Disagreement;
pub(crate) use claims::{Claim, Shape};
use futures::future::{BoxFuture, try_join_all};
pub use host_ip::HostIp;
use serde_json::Value;
use serde_saphyr::Spanned;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

/// The name under which the inventory itself can be a master.
pub const INVENTORY: &str = "inventory";
/// The name under which the section `assign` can be a master.
pub const ASSIGN: &str = "assign";

/// How long a run waits to hear that its inventory is wrong.
const COMPARING: Duration = Duration::from_secs(3);

/// What a source knows of some nodes, by name: the values that may be, the best first. A node of which it knows nothing
/// is left out.
pub type Answers = BTreeMap<String, Vec<Value>>;

/// A source of some properties.
pub trait Source: Send + Sync {
    /// As `metadata_masters` names it.
    fn name(&self) -> &'static str;
    /// The pieces of metadata that it gives.
    fn properties(&self) -> &'static [&'static str];
    /// What it knows of one of them, for these nodes.
    fn ask<'a>(&'a self, property: &'a str, nodes: &'a [&'a Node]) -> BoxFuture<'a, Result<Answers>>;
    /// Why it knows nothing of a node that it should know.
    fn trouble(&self, _node: &str) -> Option<Error> {
        None
    }
}

/// The sources, whom to believe, and what has been asked.
#[derive(Clone, Default)]
pub struct Sources {
    all: Vec<Arc<dyn Source>>,
    masters: BTreeMap<String, Master>,
    asked: BTreeSet<(String, String)>,
}

/// The source to believe about a property, and where that is said.
#[derive(Clone, Debug)]
struct Master {
    source: String,
    place: String,
}

impl Sources {
    /// With the masters that the section `metadata_masters` names, by property.
    pub fn read(file: &FleetFile) -> Result<Self> {
        let section: BTreeMap<String, Spanned<String>> = file.section("metadata_masters")?;
        let master = |source: Spanned<String>| Master { place: file.place(&source), source: source.value };
        let masters = section.into_iter().map(|(property, source)| (property, master(source))).collect();
        Ok(Sources { masters, ..Sources::default() })
    }

    /// One more source, in the place of the one of its name.
    pub fn add(&mut self, source: Arc<dyn Source>) {
        self.all.retain(|known| known.name() != source.name());
        self.all.push(source);
    }

    fn of<'a>(&'a self, property: &'a str) -> impl Iterator<Item = &'a Arc<dyn Source>> {
        self.all.iter().filter(move |source| source.properties().contains(&property))
    }

    /// A master that is no source of its property helps nobody.
    fn master(&self, property: &str) -> Result<Option<&str>> {
        let Some(Master { source, place }) = self.masters.get(property) else { return Ok(None) };
        let known: Vec<&str> = self.of(property).map(|s| s.name()).chain([INVENTORY, ASSIGN]).collect();
        if known.contains(&source.as_str()) {
            return Ok(Some(source));
        }
        let error = Error::invalid(place.as_str(), format!("'{source}' is no source of {property}"));
        Err(words::hinted(error, source, known))
    }

    /// Whether all masters are sources of what they are masters of. To be asked once all sources are there.
    pub(crate) fn check(&self) -> Result<()> {
        self.masters.keys().try_for_each(|property| self.master(property).map(drop))
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.all.iter().map(|s| s.name());
        f.debug_struct("Sources").field("all", &names.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl Inventory {
    /// Adds a source that only some commands need, in the place of the one of its name.
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
        if !nodes.is_empty() {
            let asking = self.sources.of(property).map(async |source| {
                let answers = source.ask(property, &nodes).await?;
                Ok::<_, Error>((source.name(), answers))
            });
            let mut heard: BTreeMap<String, Vec<Claim>> = BTreeMap::new();
            for (source, answers) in try_join_all(asking).await? {
                for (name, values) in answers {
                    heard.entry(name).or_default().push(Claim { source, values });
                }
            }
            for (name, claims) in heard {
                self.hear(&name, property, claims)?;
            }
        }
        let asked = open.into_iter().map(|name| (property.to_owned(), name.to_owned()));
        self.sources.asked.extend(asked);
        Ok(())
    }

    /// Takes what sources say of a property of a node.
    pub(crate) fn hear(&mut self, name: &str, property: &str, mut claims: Vec<Claim>) -> Result<()> {
        let master = self.sources.master(property)?;
        let Some(node) = self.nodes.get(name) else { return Ok(()) };
        let shape = Shape::of(property);
        let own = node.metadata.get(property).map(|given| shape.values(given));
        claims.extend(own.map(|values| Claim { source: INVENTORY, values }));
        let settled = shape.settle(&claims, master).map_err(|apart| disagreement(node, property, &apart))?;
        if let (Some(value), Some(node)) = (settled, self.nodes.get_mut(name)) {
            node.metadata.insert(property.to_owned(), value);
        }
        Ok(())
    }

    /// Asks other sources about a property of those nodes that have it, for whoever needs no more than that: one that says
    /// something else is an error. Sources that do not answer at once have no say.
    pub async fn compare(&mut self, nodes: &[Node], property: &str) -> Result<()> {
        let known = nodes.iter().filter(|node| node.metadata.contains_key(property));
        let names: Vec<&str> = known.map(|node| node.name.as_str()).collect();
        let asking = self.fetch(property, names);
        rt::clock::timeout(COMPARING, property, asking).await.unwrap_or(Ok(()))
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

    /// Why a source knows nothing of a node that it should know.
    pub fn trouble(&self, node: &str) -> Option<Error> {
        self.sources.all.iter().find_map(|source| source.trouble(node))
    }

    /// Whether a source besides the inventory gives this property.
    pub(crate) fn has_source_of(&self, property: &str) -> bool {
        self.sources.of(property).next().is_some()
    }

    /// What sources besides the inventory give.
    pub fn properties(&self) -> BTreeSet<&'static str> {
        self.sources.all.iter().flat_map(|source| source.properties()).copied().collect()
    }
}

fn disagreement(node: &Node, property: &str, Disagreement(one, other): &Disagreement) -> Error {
    let said = |claim: &Claim| {
        let values: Vec<String> = claim.values.iter().map(ToString::to_string).collect();
        format!("{}: {}", claim.source, values.join(" or "))
    };
    Error::conflict(format!("two sources disagree about {property} of {}", node.name))
        .at(node.origin.as_str())
        .because(format!("{}, {}", said(one), said(other)))
        .hint(format!(
            "correct one, or name the one to believe in hostler.yaml: metadata_masters: {{{property}: {}}}",
            one.source
        ))
}
