//! The newest logs of many nodes: what the engine does on each.

use crate::{
    connector::Connectors,
    engine::{Failure, Job, Out},
    log::{self, Entry},
    run::Identity,
};
use inventory::Node;
use std::collections::BTreeMap;

/// Reads the newest log of each node.
pub struct LastLogs<'a> {
    /// How nodes are reached.
    pub connectors: &'a Connectors,
    /// As whom.
    pub identity: Identity,
    /// Where nodes keep their logs, if not at the usual place.
    pub log_dirs: BTreeMap<String, String>,
    /// Whether the outputs are wanted too.
    pub whole: bool,
}

impl Job for LastLogs<'_> {
    type Value = Option<Entry>;

    async fn run<'a>(&'a self, node: &'a Node, _: Out<'a>) -> Result<Option<Entry>, Failure> {
        let user = self.identity.on(node).map_err(Failure::midway)?;
        let session = self.connectors.connect(node).await.map_err(Failure::unreachable)?;
        let dir = self.log_dirs.get(&node.name).map(String::as_str);
        log::newest(&session, user, dir, self.whole).await.map_err(Failure::midway)
    }
}
