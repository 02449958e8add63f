//! Checks and deployments, as tests run them, and what they say about a node.

use super::{outcome::Found, way::Way};
use crate::{
    deploy::{self, Fleet, Mode, Operator, Prepared, Report, Request, TaskStatus, Voice},
    engine::Failure,
    plan::{Prediction, StepDocument},
    session::Chunk,
};
use base::{Error, Result};
use inventory::Node;
use secrets::Redactor;
use std::{collections::BTreeMap, slice, time::Duration};

/// How long a check waits for nobody, and a deployment on a container of its own neither.
const NO_LOCK: Duration = Duration::ZERO;

/// The work of the nodes that are checked or tried.
pub struct Rollout<'a> {
    work: BTreeMap<String, Result<Prepared>>,
    operator: Operator<'a>,
    author: &'a str,
    redactor: Redactor,
}

impl<'a> Rollout<'a> {
    /// For tests that need it.
    pub fn new(
        work: BTreeMap<String, Result<Prepared>>,
        operator: Operator<'a>,
        author: &'a str,
        redactor: Redactor,
    ) -> Self {
        Rollout { work, operator, author, redactor }
    }

    /// What these nodes should have. What is wrong with the services of a node is told by its own tests.
    pub async fn prepare(fleet: Fleet<'_>, nodes: &[Node]) -> BTreeMap<String, Result<Prepared>> {
        // As for a check: policies are for what is real, and no container waits for another.
        if let Ok(ready) = fleet.prepare(nodes, true).await {
            return ready.work.into_iter().map(|(name, prepared)| (name, Ok(prepared))).collect();
        }
        let mut all = BTreeMap::new();
        for node in nodes {
            let ready = fleet.prepare(slice::from_ref(node), true).await;
            let missing = || Error::internal("this node was not prepared");
            let one = ready.and_then(|mut ready| ready.work.remove(&node.name).ok_or_else(missing));
            all.insert(node.name.clone(), one);
        }
        all
    }

    /// Where the node keeps its logs and its state, if not at the usual places.
    pub fn places(&self, node: &str) -> Vec<String> {
        let prepared = self.prepared(node).into_iter();
        prepared.flat_map(|p| [p.log_dir.clone(), p.state_dir.clone()]).flatten().collect()
    }

    fn prepared(&self, node: &str) -> Option<&Prepared> {
        self.work.get(node)?.as_ref().ok()
    }

    /// Checks a node or deploys it. Nothing of its output is shown.
    ///
    /// # Errors
    /// Why it did not go well.
    pub async fn run(&self, mode: Mode<'_>, node: &Node, way: &Way) -> Result<Report, Failure> {
        let prepared = match self.work.get(&node.name) {
            Some(Ok(Prepared { unknown: Some(e), .. }) | Err(e)) => return Err(Failure::midway(e.clone())),
            Some(Ok(prepared)) => prepared,
            None => return Err(Failure::midway(Error::internal("this node was not prepared"))),
        };
        let request = Request {
            node,
            work: &prepared.work,
            mode,
            user: way.user.as_ref(),
            author: self.author,
            lock_timeout: NO_LOCK,
            look_timeout: deploy::LOOK_TIMEOUT,
            state_dir: prepared.state_dir.as_deref(),
            log_dir: prepared.log_dir.as_deref(),
            repositories: &prepared.repositories,
            operator: self.operator,
            journal: None,
        };
        let verb = if matches!(mode, Mode::Deploy(_)) { "Deploy" } else { "Check" };
        let services = prepared.work.services.iter().map(|s| s.name.clone()).collect();
        let mut nobody = |_: Chunk| ();
        let mut voice = Voice::new(&mut nobody, &self.redactor, &node.name, verb, services);
        deploy::run(request, way.session.clone(), &mut voice).await
    }
}

/// What a check says of a node: what would change, else what nobody knows.
pub fn divergence(report: &Report) -> Found {
    let pending = changes(report, "would change");
    match (pending.is_empty(), unknown(report)) {
        (false, _) => Found::Wrong(pending),
        (true, steps) if steps.is_empty() => Found::Well,
        (true, steps) => {
            Found::Unclear(format!("nobody knows what these would change: {}", steps.join(", ")))
        }
    }
}

/// What a deployment has found to change, a sentence each.
pub fn changes(report: &Report, verb: &str) -> Vec<String> {
    let steps = report.plan.steps.iter().filter(|s| s.prediction == Prediction::Change);
    let steps = steps.chain(&report.plan.handlers).map(|step| {
        let parts: Vec<&str> = step.parts.iter().map(|p| p.title.as_str()).collect();
        let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
        format!("{} {verb}{parts}", name(step))
    });
    let tasks = report.playbooks.iter().flat_map(|p| p.tasks.iter().map(move |task| (p, task)));
    let tasks = tasks.filter(|(_, task)| task.status == TaskStatus::Changed);
    steps.chain(tasks.map(|(p, task)| format!("the task {} of {} {verb}", task.name, p.service))).collect()
}

/// The steps whose effects nobody foretells. Of a playbook Ansible knows it, unless it passed tasks by.
fn unknown(report: &Report) -> Vec<String> {
    let known = |step: &&StepDocument| {
        report.playbooks.iter().any(|p| {
            p.service == step.service
                && p.step == step.step
                && p.tasks.iter().all(|task| task.status != TaskStatus::Skipped)
        })
    };
    let steps = report.plan.steps.iter().filter(|s| s.prediction == Prediction::Unknown);
    steps.filter(|s| !known(s)).map(name).collect()
}

fn name(step: &StepDocument) -> String {
    format!("{} of {}", step.step, step.service)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        deploy::{Playbook, Task},
        plan::NodeDocument,
        resource::Part,
    };

    fn step(name: &str, prediction: Prediction, titles: &[&str]) -> StepDocument {
        let part = |title: &&str| Part { title: (*title).to_owned(), diff: vec![] };
        StepDocument {
            service: "web".into(),
            step: name.into(),
            prediction,
            parts: titles.iter().map(part).collect(),
            may_write: prediction == Prediction::Unknown,
        }
    }

    fn report(steps: Vec<StepDocument>, tasks: &[TaskStatus]) -> Report {
        let task = |status: &TaskStatus| Task {
            name: "Install".into(),
            module: "apt".into(),
            status: *status,
            message: None,
        };
        let playbook =
            Playbook { service: "web".into(), step: "play".into(), tasks: tasks.iter().map(task).collect() };
        let plan = NodeDocument { steps, ..NodeDocument::default() };
        Report { plan, playbooks: vec![playbook], ..Report::default() }
    }

    #[test]
    fn what_nobody_knows_is_no_agreement() {
        let same = step("motd", Prediction::Same, &[]);
        assert_eq!(divergence(&report(vec![same.clone()], &[])), Found::Well);
        let script = step("run", Prediction::Unknown, &[]);
        let unclear = Found::Unclear("nobody knows what these would change: run of web".into());
        assert_eq!(divergence(&report(vec![same, script.clone()], &[])), unclear);
        let change = step("motd", Prediction::Change, &["Create file /etc/motd"]);
        let wrong = Found::wrong("motd of web would change: Create file /etc/motd");
        assert_eq!(divergence(&report(vec![change, script], &[])), wrong);
    }

    #[test]
    fn of_a_playbook_ansible_knows_it() {
        let play = || vec![step("play", Prediction::Unknown, &[])];
        assert_eq!(divergence(&report(play(), &[TaskStatus::Ok])), Found::Well);
        let changed = Found::wrong("the task Install of web would change");
        assert_eq!(divergence(&report(play(), &[TaskStatus::Ok, TaskStatus::Changed])), changed);
        let skipped = divergence(&report(play(), &[TaskStatus::Ok, TaskStatus::Skipped]));
        assert!(matches!(skipped, Found::Unclear(_)), "{skipped:?}");
    }
}
