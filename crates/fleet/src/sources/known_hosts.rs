//! Host keys that the user's files of known hosts believe.

use crate::connector::{Ssh, metadata};
use base::Result;
use futures::{FutureExt, future::BoxFuture};
use inventory::{Answers, Node, Source};
use serde_json::Value;

/// `host_keys`, by what files know. No node is called: what one shows is believed by `hostler node trust` alone.
#[derive(Debug)]
pub struct KnownHosts(pub Ssh);

impl KnownHosts {
    /// Its name as a source.
    pub const NAME: &'static str = "known_hosts";

    async fn keys(&self, node: &Node) -> Result<Vec<String>> {
        let (dialer, target) = self.0.way(node)?;
        dialer.known_keys(&target).await
    }
}

impl Source for KnownHosts {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn properties(&self) -> &'static [&'static str] {
        &["host_keys"]
    }

    fn ask<'a>(&'a self, _: &'a str, nodes: &'a [&'a Node]) -> BoxFuture<'a, Result<Answers>> {
        async move {
            let mut answers = Answers::new();
            for node in nodes.iter().filter(|node| metadata::is_by_ssh(node)) {
                // Whoever cannot be reached has no keys here; why, is said to those who try.
                match self.keys(node).await {
                    Ok(keys) => {
                        answers.insert(node.name.clone(), keys.into_iter().map(Value::from).collect());
                    }
                    Err(e) => tracing::debug!(node = node.name, error = %e, "no known host keys"),
                }
            }
            Ok(answers)
        }
        .boxed()
    }
}
