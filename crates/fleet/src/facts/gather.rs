//! Asks nodes for their facts.

use super::{Known, read};
use crate::{
    connector::Connectors,
    engine::{Failure, Job, Out},
    session::{Command, Session},
};
use base::{Error, Result};
use inventory::Node;
use std::time::Duration;

/// How long a node may take to tell.
const PATIENCE: Duration = Duration::from_secs(30);
/// As much is read of what it says.
const MOST: usize = 64 << 10;

/// Asks each node for its facts.
pub struct Gather<'a> {
    /// How nodes are reached.
    pub connectors: &'a Connectors,
}

impl Job for Gather<'_> {
    type Value = Known;

    async fn run<'a>(&'a self, node: &'a Node, _: Out<'a>) -> Result<Known, Failure> {
        let session = self.connectors.connect(node).await.map_err(Failure::unreachable)?;
        of(&session).await.map_err(Failure::midway)
    }
}

/// The facts of the node behind a session: one script that reads, as the user of the login.
///
/// # Errors
/// Where the node is lost, takes too long, or says nothing that is understood.
pub async fn of(session: &Session) -> Result<Known> {
    let command = Command { timeout: Some(PATIENCE), ..Command::sh(include_str!("facts.sh")) };
    let printed = session.output(command, MOST).await?.success("asking for its facts")?;
    let facts = read(&String::from_utf8_lossy(&printed));
    if facts.is_empty() {
        return Err(Error::internal("the node says nothing of itself that is understood"));
    }
    Ok(Known { gathered: rt::clock::wall(), facts })
}
