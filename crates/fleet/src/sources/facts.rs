//! Facts: those that were gathered before, and those of nodes that are asked now.

use crate::{
    connector::Connectors,
    engine::{Blind, Done, Engine, Interrupt, Limits},
    facts::{Gather, Known, NAMES, Store},
};
use base::{Error, Result};
use futures::{FutureExt, future::BoxFuture};
use inventory::{Answers, Node, Source};
use jiff::SignedDuration;
use secrets::Redactor;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Older facts are gathered anew by who calls the node anyway.
const FRESH: SignedDuration = SignedDuration::from_hours(24);

/// The facts of nodes.
#[derive(Default)]
pub struct Facts {
    store: Option<Store>,
    asker: Option<Asker>,
    /// How it went on the nodes that were asked.
    asked: Mutex<BTreeMap<String, Result<Known>>>,
}

/// Asks nodes for their facts.
#[derive(Clone)]
pub struct Asker {
    /// How they are reached.
    pub connectors: Arc<Connectors>,
    /// How many at once.
    pub limits: Limits,
    /// What an error may not show.
    pub redactor: Redactor,
}

impl Asker {
    /// Asks all of these nodes.
    pub async fn ask(&self, nodes: &[Node]) -> Vec<Done<Known>> {
        let (interrupt, job) = (Interrupt::new(), Gather { connectors: &self.connectors });
        let limits = &Limits { serial: None, max_fail: None, ..self.limits.clone() };
        Engine { limits, interrupt: &interrupt, observer: &Blind, redactor: &self.redactor }
            .run(nodes, &job)
            .await
    }
}

impl Facts {
    /// What this store keeps. No node is called.
    pub fn kept(store: Option<Store>) -> Self {
        Facts { store, ..Facts::default() }
    }

    /// The same, but a node of which nothing is kept, or only what is old, is asked as soon as somebody wants a fact of it.
    pub fn asking(store: Option<Store>, asker: Asker) -> Self {
        Facts { store, asker: Some(asker), ..Facts::default() }
    }

    fn asked(&self) -> MutexGuard<'_, BTreeMap<String, Result<Known>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks those of which too little is known, once.
    async fn fill(&self, known: &BTreeMap<String, Known>, nodes: &[&Node]) -> Result<()> {
        let Some(asker) = &self.asker else { return Ok(()) };
        let now = rt::clock::wall();
        let is_fresh = |known: &Known| now.duration_since(known.gathered) < FRESH;
        let open: Vec<Node> = {
            let asked = self.asked();
            let is_open =
                |node: &Node| !asked.contains_key(&node.name) && !known.get(&node.name).is_some_and(is_fresh);
            nodes.iter().filter(|node| is_open(node)).map(|node| (*node).clone()).collect()
        };
        if open.is_empty() {
            return Ok(());
        }
        let mut new = BTreeMap::new();
        for Done { outcome, value } in asker.ask(&open).await {
            let unsaid = || Error::internal("the node was not asked");
            let said = value.ok_or_else(|| outcome.error.unwrap_or_else(unsaid));
            new.extend(said.clone().ok().map(|known| (outcome.node.clone(), known)));
            self.asked().insert(outcome.node, said);
        }
        self.store.as_ref().map_or(Ok(()), |store| store.keep(new, |_| true))
    }
}

impl Source for Facts {
    fn name(&self) -> &'static str {
        "facts"
    }

    fn properties(&self) -> &'static [&'static str] {
        &NAMES
    }

    fn ask<'a>(&'a self, property: &'a str, nodes: &'a [&'a Node]) -> BoxFuture<'a, Result<Answers>> {
        async move {
            let kept = self.store.as_ref().map_or_else(|| Ok(BTreeMap::new()), Store::read)?;
            self.fill(&kept, nodes).await?;
            let asked = self.asked();
            let answer = |node: &&Node| {
                let new = asked.get(&node.name).and_then(|said| said.as_ref().ok());
                let value = new.or_else(|| kept.get(&node.name))?.facts.get(property)?;
                Some((node.name.clone(), vec![value.clone()]))
            };
            Ok(nodes.iter().filter_map(answer).collect())
        }
        .boxed()
    }

    fn trouble(&self, node: &str) -> Option<Error> {
        self.asked().get(node)?.clone().err()
    }
}
