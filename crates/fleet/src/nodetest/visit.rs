//! The tests of one node, at once: in one session, from outside, on this host and on a container.

use super::{
    Kind, Outcome, Runner, Script, Subject,
    declared::On,
    outcome::Found,
    plan::Plan,
    ports,
    probe::{self, Answer, Probe},
    rollout::{self, Rollout},
    trial,
    way::Way,
};
use crate::{
    connector::{Local, over},
    deploy::Mode,
    engine::{Failure, Job, Out},
    session::{Command, Ended},
};
use base::{Error, Result};
use futures::future::join_all;
use inventory::Node;
use rt::clock;
use secrets::Secrets;
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::Semaphore;

/// How long the look for orphan files may take.
const FIND: Duration = Duration::from_mins(5);
/// How long a check may take.
const CHECK: Duration = Duration::from_mins(30);

/// The tests of nodes.
pub struct NodeTests<'a> {
    pub runner: &'a Runner<'a>,
    pub plans: BTreeMap<&'a str, Plan<'a>>,
    pub secrets: Option<&'a Secrets>,
    pub rollout: Rollout<'a>,
    /// Whether `connection` is among the tests, which then says alone that a node cannot be reached.
    pub connection: bool,
    /// Who may have a container.
    pub room: Semaphore,
}

impl Job for NodeTests<'_> {
    type Value = Vec<Outcome>;

    async fn run<'a>(&'a self, node: &'a Node, _out: Out<'a>) -> Result<Vec<Outcome>, Failure> {
        let plan = &self.plans[node.name.as_str()];
        let (mut outcomes, dialled, local, tried) = tokio::join!(
            self.in_session(node, plan),
            dial(node, plan),
            self.local(node, plan),
            trial::outcomes(self, node, plan.trial.as_ref())
        );
        outcomes.extend(dialled.into_iter().chain(local).chain(tried));
        Ok(outcomes)
    }
}

impl NodeTests<'_> {
    async fn in_session(&self, node: &Node, plan: &Plan<'_>) -> Vec<Outcome> {
        if !plan.needs_session() {
            return Vec::new();
        }
        let begin = clock::now();
        let way = match self.connect(node).await {
            Ok(way) => way,
            Err(e) => return self.unreachable(node, plan, &e, begin.elapsed()),
        };
        let scripts = plan.scripts.iter().filter(|s| s.on() == On::Node);
        let scripts = join_all(scripts.map(|script| self.script(script, &way, node)));
        let (mut outcomes, orphans, scripts, checked) = tokio::join!(
            probes(&way, node, plan),
            orphans(&way, node, plan),
            scripts,
            self.checked(&way, node, plan)
        );
        outcomes.extend(orphans.into_iter().chain(scripts).chain(checked));
        outcomes
    }

    async fn connect(&self, node: &Node) -> Result<Way> {
        let user = self.runner.identity.on(node)?;
        Ok(Way { session: self.runner.connectors.connect(node).await?, user })
    }

    fn unreachable(&self, node: &Node, plan: &Plan<'_>, error: &Error, duration: Duration) -> Vec<Outcome> {
        let outcome = |test: String| {
            let found = match test.as_str() {
                "connection" => error.clone().into(),
                _ if self.connection => Found::Unclear("the node cannot be reached".into()),
                _ => error.clone().into(),
            };
            Outcome::new(test, Subject::Node(node.name.clone()), found, duration)
        };
        plan.in_session().into_iter().map(outcome).collect()
    }

    /// What a check says, for all tests that ask it.
    async fn checked(&self, way: &Way, node: &Node, plan: &Plan<'_>) -> Vec<Outcome> {
        if plan.by_check.is_empty() {
            return Vec::new();
        }
        let begin = clock::now();
        let check = self.rollout.run(Mode::Check, node, way);
        let checked = match clock::timeout(CHECK, "the check", check).await {
            Ok(Ok(report)) => Ok(report),
            Ok(Err(failure)) => Err(failure.error),
            Err(e) => Err(e),
        };
        let found = |kind: &Kind| match (&checked, kind) {
            (Ok(report), Kind::Divergence) => rollout::divergence(report),
            (Ok(_), _) => Found::Well,
            (Err(_), Kind::Divergence) if plan.by_check.contains(&Kind::CanBeChecked) => {
                Found::Unclear("the node cannot be checked".into())
            }
            (Err(e), _) => e.clone().into(),
        };
        let subject = || Subject::Node(node.name.clone());
        plan.by_check.iter().map(|k| Outcome::new(k.as_str(), subject(), found(k), begin.elapsed())).collect()
    }

    async fn local(&self, node: &Node, plan: &Plan<'_>) -> Vec<Outcome> {
        let here = Way { session: over(Local), user: None };
        let scripts = plan.scripts.iter().filter(|s| s.on() == On::Controller);
        join_all(scripts.map(|script| self.script(script, &here, node))).await
    }

    async fn script(&self, script: &Script, way: &Way, node: &Node) -> Outcome {
        let begin = clock::now();
        let found = script.run(way, self.runner.dir, node, self.secrets).await;
        Outcome::new(&script.name, Subject::Node(node.name.clone()), found, begin.elapsed())
    }
}

async fn probes(way: &Way, node: &Node, plan: &Plan<'_>) -> Vec<Outcome> {
    if plan.probes.is_empty() {
        return Vec::new();
    }
    let begin = clock::now();
    let found = match probe::ask(way, &plan.probes).await {
        Ok(found) => found,
        Err(e) => vec![e.into(); plan.probes.len()],
    };
    let outcome = |((kind, _), found): (&(Kind, _), Found)| {
        Outcome::new(kind.as_str(), Subject::Node(node.name.clone()), found, begin.elapsed())
    };
    plan.probes.iter().zip(found).map(outcome).collect()
}

async fn orphans(way: &Way, node: &Node, plan: &Plan<'_>) -> Option<Outcome> {
    let orphans = plan.orphans.as_ref()?;
    let begin = clock::now();
    let command = Command { timeout: Some(FIND), ..Command::sh(orphans.script()) };
    let found = match way.output(command, 1 << 20).await {
        Ok(output) => match output.ended {
            Ended::Code(code) => {
                orphans.judge(&Answer { code, text: &String::from_utf8_lossy(&output.stdout) })
            }
            Ended::Timeout => {
                Found::wrong(format!("the look for them took longer than {} s", FIND.as_secs()))
            }
            Ended::Signal(name) => Found::wrong(format!("the look for them was ended by signal {name}")),
        },
        Err(e) => e.into(),
    };
    Some(Outcome::new(Kind::OrphanFiles.as_str(), Subject::Node(node.name.clone()), found, begin.elapsed()))
}

async fn dial(node: &Node, plan: &Plan<'_>) -> Option<Outcome> {
    let (address, ports) = plan.dial.as_ref()?;
    let begin = clock::now();
    let found = ports::dial(address, ports).await;
    Some(Outcome::new(Kind::Ports.as_str(), Subject::Node(node.name.clone()), found, begin.elapsed()))
}
