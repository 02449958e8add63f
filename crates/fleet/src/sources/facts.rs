//! Facts that were gathered before.

use crate::facts::{Known, NAMES, Store};
use base::Result;
use futures::{FutureExt, future::BoxFuture};
use inventory::{Answers, Node, Source};
use std::{collections::BTreeMap, sync::OnceLock};

/// The facts of nodes, as far as they were gathered. No node is called.
#[derive(Debug)]
pub struct Facts {
    store: Store,
    read: OnceLock<BTreeMap<String, Known>>,
}

impl Facts {
    /// Of this store, which is read when somebody asks.
    pub fn new(store: Store) -> Self {
        Facts { store, read: OnceLock::new() }
    }

    fn known(&self) -> Result<&BTreeMap<String, Known>> {
        if let Some(known) = self.read.get() {
            return Ok(known);
        }
        let known = self.store.read()?;
        Ok(self.read.get_or_init(|| known))
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
            let known = self.known()?;
            let answer = |node: &&Node| {
                let value = known.get(&node.name)?.facts.get(property)?;
                Some((node.name.clone(), vec![value.clone()]))
            };
            Ok(nodes.iter().filter_map(answer).collect())
        }
        .boxed()
    }
}
