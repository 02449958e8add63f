//! Facts of nodes: gathering them and keeping what was gathered.

use super::{
    directory::{self, FleetDir},
    limits::Forks,
    ssh::ConnectArgs,
};
use crate::{Result, app::App};
use clap::Args;
use fleet::{
    engine::{Done, Limits},
    facts::{Known, Store},
    sources::{Asker, Facts},
};
use inventory::{Inventory, Node};
use secrets::Redactor;
use std::{path::Path, sync::Arc};

/// How facts are gathered.
#[derive(Args, Debug)]
pub struct GatherArgs {
    /// How many at once
    #[command(flatten)]
    forks: Forks,
    /// How nodes are reached
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// Where the facts of a fleet directory are kept.
pub fn store(dir: &Path) -> Result<Store> {
    Ok(Store::new(directory::remembered(dir, "facts")?.with_extension("json")))
}

/// The facts of a fleet directory for those who go to its nodes anyway: what nobody knows yet is asked for.
pub fn asking(dir: &Path, asker: Asker) -> Arc<Facts> {
    Arc::new(Facts::asking(store(dir).ok(), asker))
}

impl GatherArgs {
    /// Asks nodes for their facts, and keeps what they say.
    pub async fn gather(
        &self,
        app: &App,
        dir: &FleetDir,
        inventory: &Inventory,
        nodes: &[Node],
    ) -> Result<Vec<Done<Known>>> {
        let login = self.connect.login(app)?;
        let redactor = Redactor::new(inventory.secrets().iter().chain(&login.password))?;
        let connectors = Arc::new(self.connect.connectors(app, dir, login)?);
        let limits = Limits { forks: self.forks.number(), ..Limits::default() };
        let done = Asker { connectors, limits, redactor }.ask(nodes).await;
        let told = |done: &Done<Known>| Some((done.outcome.node.clone(), done.value.clone()?));
        store(&dir.path()?)?
            .keep(done.iter().filter_map(told).collect(), |name| inventory.nodes.contains_key(name))?;
        Ok(done)
    }
}
