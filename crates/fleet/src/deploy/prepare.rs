//! From a fleet directory to what is done on each node. No node is called for it, except for facts that its services name.

use super::{Policies, Prepared, Section, again, repository};
use crate::{
    log::Repository,
    service::{Catalog, Origin, Read, Renderer, Shared, Source, Text, environment, order},
};
use base::{Code, Error, Result};
use inventory::{FleetFile, Inventory, Node};
use minijinja::{Value, value::Serde};
use secrets::{Redactor, Secrets};
use serde_saphyr::Location;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

/// What preparing takes.
#[derive(Clone, Copy, Debug)]
pub struct Fleet<'a> {
    /// The fleet directory.
    pub dir: &'a Path,
    /// Its `hostler.yaml`.
    pub file: &'a FleetFile,
    /// Its nodes.
    pub inventory: &'a Inventory,
    /// Its secrets.
    pub secrets: &'a Secrets,
}

/// Work on nodes, ready to be done.
#[derive(Debug, Default)]
pub struct Ready {
    /// The nodes that have something to be done, each after those that it needs.
    pub nodes: Vec<Node>,
    /// What is done, by node.
    pub work: BTreeMap<String, Prepared>,
    /// The section `deploy` of `hostler.yaml`.
    pub settings: Section,
    /// How long each node may take.
    pub limit: Option<Duration>,
}

impl Fleet<'_> {
    /// Prepares these nodes; with `check`, for a check, else for a deployment, which the policies must allow.
    ///
    /// # Errors
    /// What is wrong in the services, for any of the nodes; [`Code::Forbidden`] where a policy does not allow it.
    pub async fn prepare(&self, nodes: &[Node], check: bool) -> Result<Ready> {
        let mut ready = Ready { settings: self.file.section("deploy")?, ..Ready::default() };
        let catalog = Catalog::read(self.dir, self.inventory, nodes)?;
        let looked_up = self.with_sources(&catalog, nodes).await?;
        let known = looked_up.as_ref().unwrap_or(self.inventory);
        let shared = Shared::new(known, Value::from(Serde(self.secrets.expose_secrets())));
        let hidden = self.secrets.redactor([])?;
        let (mut origins, mut read) = (Origins::default(), Read::default());
        let mut again = again::of_all(&ready.settings.retry, self.inventory).await?;
        for node in nodes.iter().filter(|n| !n.services.is_empty()) {
            let of_node = |e: Error| match e.cause {
                None => e.because(format!("for the node {}", node.name)),
                Some(_) => e,
            };
            let context = shared.of(known.nodes.get(&node.name).unwrap_or(node));
            let mut work = match catalog.work(node, &context, &hidden) {
                Ok(work) => work,
                Err(e) => {
                    // Others do not wait for one that does not answer.
                    let why = known.trouble(&node.name).ok_or_else(|| of_node(e.clone()))?;
                    let unknown = Some(e.because(format!("{} was asked for its facts: {why}", node.name)));
                    ready.work.insert(node.name.clone(), Prepared { unknown, ..Prepared::default() });
                    continue;
                }
            };
            read.note(&mut work, node, self.inventory)?;
            let [state_dir, log_dir] = self.places(&ready.settings, context)?;
            let repositories = origins.of(&catalog, node).await?;
            let again = again.remove(&node.name).unwrap_or_default();
            let prepared = Prepared { work, repositories, state_dir, log_dir, again, ..Prepared::default() };
            ready.work.insert(node.name.clone(), prepared);
        }
        if !check {
            origins.allow(&self.file.section("policies")?).await?;
        }
        sort(&catalog, nodes, check, &mut ready)?;
        Ok(ready)
    }

    /// The inventory with what other sources know of these nodes, of all that the services name and nodes lack. Name
    /// resolution may take a while where only SSH knows a name, so none is asked for what nobody uses. How the nodes are
    /// reached does not change by it.
    async fn with_sources(&self, catalog: &Catalog, nodes: &[Node]) -> Result<Option<Inventory>> {
        let used = catalog.mentioned(&self.inventory.properties());
        if used.is_empty() {
            return Ok(None);
        }
        let mut known = self.inventory.clone();
        for property in used {
            let open = nodes.iter().filter(|n| !n.services.is_empty() && !n.metadata.contains_key(property));
            known.fetch(property, open.map(|n| n.name.as_str())).await?;
        }
        Ok(Some(known))
    }

    /// Where nodes keep their logs, for those where that is said.
    ///
    /// # Errors
    /// What is wrong in the section `deploy`.
    pub fn log_dirs(&self, nodes: &[Node]) -> Result<BTreeMap<String, String>> {
        let settings: Section = self.file.section("deploy")?;
        let shared = Shared::new(self.inventory, Value::from(Serde(self.secrets.expose_secrets())));
        let mut dirs = BTreeMap::new();
        for node in nodes {
            let [_, dir] = self.places(&settings, shared.of(node))?;
            dirs.extend(dir.map(|dir| (node.name.clone(), dir)));
        }
        Ok(dirs)
    }

    /// Where a node keeps its state and its logs, where that is said.
    fn places(&self, settings: &Section, context: Value) -> Result<[Option<String>; 2]> {
        if settings.state_dir.is_none() && settings.log_dir.is_none() {
            return Ok([None, None]);
        }
        let source = Source { path: self.file.path.clone(), text: String::new() };
        let environment = environment(self.dir);
        let (step, hidden) = (Location::UNKNOWN, &Redactor::default());
        let renderer = Renderer { source: &source, environment: &environment, context, hidden, step };
        let of = |text: &Option<Text>| text.as_ref().map(|t| renderer.text(t)).transpose();
        Ok([of(&settings.state_dir)?, of(&settings.log_dir)?])
    }
}

/// The order of the nodes, and after which others each of them comes.
fn sort(catalog: &Catalog, nodes: &[Node], check: bool, ready: &mut Ready) -> Result<()> {
    let nodes: Vec<&Node> = nodes.iter().filter(|n| ready.work.contains_key(&n.name)).collect();
    let mut needs: Vec<(&str, Vec<String>)> = Vec::with_capacity(nodes.len());
    for node in &nodes {
        let wanted = if check { BTreeSet::new() } else { catalog.nodes_with(node)? };
        let others = nodes.iter().filter(|o| o.name != node.name);
        let first = others.filter(|o| o.services.iter().any(|s| wanted.contains(s)));
        needs.push((&node.name, first.map(|o| o.name.clone()).collect()));
    }
    for (name, after) in &needs {
        if let Some(prepared) = ready.work.get_mut(*name) {
            prepared.after.clone_from(after);
        }
    }
    let order = order::sorted(needs.into_iter()).map_err(|cycle| {
        Error::new(Code::Invalid, format!("these nodes need each other: {cycle}"))
            .hint("take one of the services out of `needs: {nodes_with: ...}`")
    })?;
    ready.nodes = order.into_iter().map(|i| nodes[i].clone()).collect();
    Ok(())
}

/// The directories that services came from, each asked once.
#[derive(Default)]
struct Origins(BTreeMap<std::path::PathBuf, (Origin, Repository)>);

impl Origins {
    async fn of(&mut self, catalog: &Catalog, node: &Node) -> Result<Vec<Repository>> {
        let mut all: Vec<Repository> = Vec::new();
        for (origin, _) in catalog.of(node)? {
            if !self.0.contains_key(&origin.dir) {
                let found = repository(origin).await?;
                self.0.insert(origin.dir.clone(), (origin.clone(), found));
            }
            if let Some((_, known)) = self.0.get(&origin.dir)
                && !all.contains(known)
            {
                all.push(known.clone());
            }
        }
        Ok(all)
    }

    async fn allow(&self, policies: &Policies) -> Result<()> {
        for (origin, repository) in self.0.values() {
            policies.allow(origin, repository).await?;
        }
        Ok(())
    }
}
