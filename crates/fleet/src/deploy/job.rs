//! Checks and deployments of many nodes: what the engine does on each.

use super::{Again, Mode, Operator, Report, Request, Voice, node};
use crate::{
    connector::Connectors,
    engine::{Failure, Job, Out, Status},
    log::{Journal, Repository},
    plan::NodeDocument,
    run::Identity,
    service::Work,
    session::Session,
    shell::Stream,
};
use base::Error;
use futures::future::{BoxFuture, FutureExt};
use inventory::Node;
use secrets::Redactor;
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::watch;

/// What is done on one node.
#[derive(Debug, Default)]
pub struct Prepared {
    /// What should be there.
    pub work: Work,
    /// Why it is not known what should be there, of a node that could not be asked for its facts.
    pub unknown: Option<Error>,
    /// Where its services came from.
    pub repositories: Vec<Repository>,
    /// Nodes that are deployed before it.
    pub after: Vec<String>,
    /// Where it keeps its lock, if not at the usual place.
    pub state_dir: Option<String>,
    /// Where it keeps its logs, if not at the usual place.
    pub log_dir: Option<String>,
    /// When it is done again after a failure.
    pub again: Again,
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
    /// How long a node may take to show what it has.
    pub look_timeout: Duration,
    /// How long a node may take, from its connection on.
    pub limit: Option<Duration>,
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
        let going = self.node(node, prepared, &mut out).boxed();
        let result = match self.limit {
            Some(limit) => self.within(limit, going).await,
            None => going.await,
        };
        // One that could not be reached may be tried again: those after it wait for that.
        let again = result.as_ref().is_err_and(|f| f.may_pass() && f.status == Status::Unreachable);
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
        if let Some(error) = prepared.unknown.clone() {
            return Err(Failure { untouched: true, ..Failure::midway(error) });
        }
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
            look_timeout: self.look_timeout,
            state_dir: prepared.state_dir.as_deref(),
            log_dir: prepared.log_dir.as_deref(),
            repositories: &prepared.repositories,
            operator: self.operator,
            journal: self.journal,
        };
        let result = self.attempts(request, &prepared.again, &session, out).await;
        if let Some(journal) = self.journal {
            journal.node(&node.name, &result);
        }
        result
    }

    /// Does it, and again where it failed as it may. Each time it begins at the start: what was done is as it should be.
    async fn attempts(
        &self,
        request: Request<'_>,
        again: &Again,
        session: &Session,
        out: &mut Out<'_>,
    ) -> Result<Report, Failure> {
        let services: Vec<String> = request.work.services.iter().map(|s| s.name.clone()).collect();
        let verb = if self.what == What::Deploy { "Deploy" } else { "Check" };
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut voice = Voice::new(out, &self.redactor, &request.node.name, verb, services.clone());
            // Before the history is told: it is a file.
            let result = node::run(request, session.clone(), &mut voice).await;
            let failure = match result.map_err(|f| f.redacted(&self.redactor)) {
                Err(failure) if failure.status == Status::Failed && !failure.untouched => failure,
                other => return other,
            };
            // A plan holds for one attempt: what that has done is not as it was when the plan was made.
            let planned = matches!(request.mode, Mode::Deploy(Some(_)));
            let (stdout, stderr) = (voice.kept(Stream::Stdout), voice.kept(Stream::Stderr));
            let pause = again.pause(attempts, &stdout, &stderr).filter(|_| !planned);
            let Some(pause) = pause else { return Err(failure) };
            voice.line(&format!("{} failed and is tried again: {}", request.node.name, failure.error)).await;
            rt::clock::sleep(pause).await;
        }
    }

    async fn within(
        &self,
        limit: Duration,
        going: BoxFuture<'_, Result<Report, Failure>>,
    ) -> Result<Report, Failure> {
        let what = if self.what == What::Deploy { "the deployment" } else { "the check" };
        rt::clock::timeout(limit, what, going).await.unwrap_or_else(|error| {
            Err(Failure { status: Status::Timeout, code: None, error, untouched: false })
        })
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
