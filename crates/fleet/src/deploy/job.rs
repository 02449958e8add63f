//! Checks and deployments of many nodes: what the engine does on each.

use super::{Mode, Operator, Report, Request, Voice, node};
use crate::{
    connector::Connectors,
    engine::{Failure, Job, Out, Status},
    log::{Journal, Repository},
    plan::NodeDocument,
    run::Identity,
    service::Work,
};
use base::Error;
use inventory::Node;
use secrets::Redactor;
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::watch;

/// What is done on one node.
#[derive(Debug, Default)]
pub struct Prepared {
    /// What should be there.
    pub work: Work,
    /// Where its services came from.
    pub repositories: Vec<Repository>,
    /// Nodes that are deployed before it.
    pub after: Vec<String>,
    /// Where it keeps its lock, if not at the usual place.
    pub state_dir: Option<String>,
    /// Where it keeps its logs, if not at the usual place.
    pub log_dir: Option<String>,
    /// The plan that must still hold.
    pub expected: Option<NodeDocument>,
}

/// What may happen on the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Nothing, and nothing is said.
    Look,
    /// Nothing, except by what user code does.
    Check,
    /// All that is planned.
    Deploy,
}

/// The check or the deployment of some nodes.
pub struct Deployment<'a> {
    /// How nodes are reached.
    pub connectors: &'a Connectors,
    /// As whom.
    pub identity: Identity,
    /// What is done, by node.
    pub nodes: BTreeMap<String, Prepared>,
    /// What may happen.
    pub what: What,
    /// Who deploys, for those who wait.
    pub author: String,
    /// How long to wait for a node that is being deployed.
    pub lock_timeout: Duration,
    /// What no output may show.
    pub redactor: Redactor,
    /// Who runs what does not run on the nodes.
    pub operator: Operator<'a>,
    /// Where it is written down, for deployments.
    pub journal: Option<&'a Journal>,
    /// How each node ended, for those that come after it: whether well.
    pub ends: BTreeMap<String, watch::Sender<Option<bool>>>,
}

impl Job for Deployment<'_> {
    type Value = Report;

    async fn run<'a>(&'a self, node: &'a Node, mut out: Out<'a>) -> Result<Report, Failure> {
        let Some(prepared) = self.nodes.get(&node.name) else {
            return Err(Failure::midway(Error::internal("this node was not prepared")));
        };
        let result = self.node(node, prepared, &mut out).await;
        // One that could not be reached may be tried again: those after it wait for that.
        let again = result.as_ref().is_err_and(|f| f.untouched && f.status == Status::Unreachable);
        if let Some(end) = self.ends.get(&node.name) {
            end.send_replace(Some(result.is_ok()).filter(|_| !again));
        }
        result
    }
}

impl Deployment<'_> {
    async fn node(&self, node: &Node, prepared: &Prepared, out: &mut Out<'_>) -> Result<Report, Failure> {
        self.wait_for(&prepared.after).await?;
        let user = self.identity.on(node).map_err(Failure::midway)?;
        let session = self.connectors.connect(node).await.map_err(Failure::unreachable)?;
        let request = Request {
            node,
            work: &prepared.work,
            mode: match self.what {
                What::Look => Mode::Look,
                What::Check => Mode::Check,
                What::Deploy => Mode::Deploy(prepared.expected.as_ref()),
            },
            user: user.as_ref(),
            author: &self.author,
            lock_timeout: self.lock_timeout,
            state_dir: prepared.state_dir.as_deref(),
            log_dir: prepared.log_dir.as_deref(),
            repositories: &prepared.repositories,
            operator: self.operator,
            journal: self.journal,
        };
        let services = prepared.work.services.iter().map(|s| s.name.clone()).collect();
        let verb = if self.what == What::Deploy { "Deploy" } else { "Check" };
        let mut voice = Voice::new(out, &self.redactor, &node.name, verb, services);
        // Before the history is told: it is a file.
        let result = node::run(request, session, &mut voice).await.map_err(|f| f.redacted(&self.redactor));
        if let Some(journal) = self.journal {
            journal.node(&node.name, &result);
        }
        result
    }

    /// Waits for nodes that come before. The engine begins nodes in their order, so each of them was begun.
    async fn wait_for(&self, before: &[String]) -> Result<(), Failure> {
        for name in before {
            let Some(end) = self.ends.get(name) else { continue };
            let mut end = end.subscribe();
            let ended = end.wait_for(Option::is_some).await.map(|well| *well);
            if !matches!(ended, Ok(Some(true))) {
                let error =
                    Error::conflict(format!("not begun, because {name}, which comes before it, is not well"));
                return Err(Failure { status: Status::Skipped, code: None, error, untouched: false });
            }
        }
        Ok(())
    }
}
