//! The check or the deployment of one node, from its first turn to its log.

use super::{
    operator::{Operator, Task},
    turn,
    voice::Voice,
};
use crate::{
    engine::{Failure, Status},
    log::{Entry, Journal, Repository},
    plan::{self, Foretold, NodeDocument, Plan, Planned},
    resource::World,
    service::{Action, Script, Service, Step, Work},
    session::{Become, Session},
    shell::Shell,
};
use base::{Code, Error};
use inventory::Node;
use serde::Serialize;
use std::time::Duration;

/// How long a node may take to show what it has, where nothing else is said. Package managers and remote repositories of
/// git are asked for it.
pub const LOOK_TIMEOUT: Duration = Duration::from_mins(5);

/// Whether anything may change.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// Nothing is done at all: the report says what would be.
    Look,
    /// Nothing may, except by what user code does.
    Check,
    /// All that is planned is done; a plan that was made before must still hold.
    Deploy(Option<&'a NodeDocument>),
}

/// What is to be done on a node.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The node.
    pub node: &'a Node,
    /// What should be there.
    pub work: &'a Work,
    /// Whether anything may change.
    pub mode: Mode<'a>,
    /// Another user on the node.
    pub user: Option<&'a Become>,
    /// Who deploys, for those who wait for the lock.
    pub author: &'a str,
    /// How long to wait for the lock.
    pub lock_timeout: Duration,
    /// How long the node may take to show what it has.
    pub look_timeout: Duration,
    /// Where the node keeps its lock, if not at the usual place.
    pub state_dir: Option<&'a str>,
    /// Where the node keeps its logs, if not at the usual place.
    pub log_dir: Option<&'a str>,
    /// Where the services came from, for the log.
    pub repositories: &'a [Repository],
    /// Who runs what does not run on the node.
    pub operator: Operator<'a>,
    /// Where it is written down.
    pub journal: Option<&'a Journal>,
}

/// How it went.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What was foretold.
    pub plan: NodeDocument,
    /// How many steps changed something; 0 for a check.
    pub changed: usize,
    /// How many steps ran code of the user.
    pub code: usize,
    /// How many handlers ran.
    pub handlers: usize,
    /// What Ansible did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub playbooks: Vec<Playbook>,
    /// The log on the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// What did not go well, without being a failure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What became of the tasks of a playbook or a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Playbook {
    /// The service that it is part of.
    pub service: String,
    /// The step.
    pub step: String,
    /// In the order in which they ended.
    pub tasks: Vec<Task>,
}

/// Checks or deploys a node. What happens is said by `voice`.
///
/// # Errors
/// Why it did not go well. What was done until then is done, and in the log.
pub async fn run(request: Request<'_>, session: Session, voice: &mut Voice<'_>) -> Result<Report, Failure> {
    let shell = Shell::start(session.clone(), request.user.cloned(), request.author);
    let mut visit = Visit { request, session, shell, voice, report: Report::default(), user: String::new() };
    match request.mode {
        Mode::Look => visit.look(None).await.map(|_| ()),
        Mode::Check => visit.check().await,
        Mode::Deploy(expected) => visit.deploy(expected).await,
    }?;
    Ok(visit.report)
}

/// The work on one node, under way.
pub(super) struct Visit<'a, 'v, 's> {
    pub(super) request: Request<'a>,
    pub(super) session: Session,
    pub(super) shell: Shell,
    pub(super) voice: &'v mut Voice<'s>,
    pub(super) report: Report,
    /// The user on the node.
    pub(super) user: String,
}

impl<'a> Visit<'a, '_, '_> {
    async fn check(&mut self) -> Result<(), Failure> {
        let work = self.request.work;
        let plan = self.look(None).await?;
        for service in &work.services {
            self.voice.enter(&service.name).await;
            for planned in plan.steps.iter().filter(|p| p.service == service.name) {
                self.voice.change(planned).await;
            }
            let code = checks(service);
            let planned =
                |(key, step)| Planned { key, service: &service.name, step, foretold: Foretold::Unknown };
            let code: Vec<Planned<'_>> = code.iter().enumerate().map(planned).collect();
            self.carry_out(&code, &[], None).await?;
        }
        self.voice.finish().await;
        for handler in &plan.handlers {
            self.voice.change(handler).await;
        }
        Ok(())
    }

    async fn deploy(&mut self, expected: Option<&NodeDocument>) -> Result<(), Failure> {
        let began = rt::clock::wall();
        let plan = match self.look(Some(self.request.lock_timeout)).await {
            Ok(plan) => plan,
            // Without the lock nothing is done, and nothing is to be told.
            Err(failure) if failure.untouched => return Err(failure),
            Err(failure) => return self.close(began, Err(failure)).await,
        };
        if let Some(expected) = expected {
            unmoved(&plan, expected)?;
        }
        let acting: Vec<Planned<'a>> = plan.steps.iter().filter(|p| p.acts()).cloned().collect();
        let result = self.carry_out(&acting, &plan.handlers, Some(&plan)).await;
        if result.is_ok() {
            self.voice.finish().await;
        }
        self.close(began, result).await
    }

    /// Looks, and plans. With a lock, after waiting for it.
    async fn look(&mut self, lock: Option<Duration>) -> Result<Plan<'a>, Failure> {
        let request = self.request;
        let look = plan::look(request.work);
        let definitions = turn::definitions(&look, request.state_dir, request.log_dir);
        let lines = turn::look(lock.map(|l| l.as_secs()));
        let turn = self.turn(&definitions, &lines, &[]).await.map_err(unreached)?;
        if let Some(holder) = &turn.busy {
            let error = Error::conflict(format!("{} is being deployed by {holder}", request.node.name))
                .hint("try again later, or wait longer with --lock-timeout");
            return Err(Failure { untouched: true, ..Failure::midway(error) });
        }
        let Some(seen) = &turn.seen else {
            let name = &request.node.name;
            // With a lock to take, it is the lock that failed: what is seen begins right after it.
            let what = if lock.is_some() { "cannot be locked" } else { "does not show itself" };
            let error = turn.explain(Error::internal(format!("{name} {what}")));
            return Err(Failure { untouched: true, ..Failure::midway(error) });
        };
        let world = World::read(seen).map_err(Failure::midway)?;
        let plan = plan::plan(request.work, world, seen).map_err(Failure::midway)?;
        self.report.plan = NodeDocument::new(&plan, self.voice.redactor());
        Ok(plan)
    }

    /// All must be as the plan says now that it was carried out.
    pub(super) fn verify(&self, seen: &[u8]) -> Result<(), Failure> {
        let after = World::read(seen).and_then(|world| plan::plan(self.request.work, world, seen));
        let after = after.map_err(Failure::midway)?;
        let Some(off) = after.steps.iter().find(|p| matches!(p.foretold, Foretold::Change(_))) else {
            return Ok(());
        };
        let why = plan::shown(off, self.voice.redactor()).into_iter().map(|p| p.title).collect::<Vec<_>>();
        let error = Error::conflict(format!(
            "{} of {} is not as it should be after the deployment",
            off.step.name, off.service
        ))
        .because(format!("a check would now say: {}", why.join(", ")))
        .hint("look for another step, or a program on the node, that changes it too");
        Err(Failure::midway(error))
    }

    /// Writes the log on the node and ends there.
    async fn close(&mut self, began: jiff::Timestamp, result: Result<(), Failure>) -> Result<(), Failure> {
        if let Err(failure) = &result {
            self.voice.leave().await;
            if failure.status == Status::Unreachable {
                return result; // there is nobody to write it
            }
        }
        let request = &self.request;
        let entry = Entry {
            repositories: request.repositories.to_vec(),
            date: began,
            user: self.user.clone(),
            debug: false,
            services: request.work.services.iter().map(|s| s.name.clone()).collect(),
            exit_status: match &result {
                Ok(()) => "0",
                Err(f) if f.status == Status::Timeout => "timeout",
                Err(_) => "failed_command",
            }
            .into(),
            stdout: self.voice.kept(crate::shell::Stream::Stdout),
            stderr: self.voice.kept(crate::shell::Stream::Stderr),
        };
        let lines = turn::save(&entry.file_name(&request.node.name), &entry.text());
        let problem = match self.turn("", &lines, &[]).await {
            Ok(turn) if self.report.log.is_none() => Some(turn.complaint()),
            Ok(_) => None,
            Err(e) => Some(e.to_string()),
        };
        let warning =
            |why: String| format!("the log could not be written: {}", self.voice.redactor().text(&why));
        self.report.warnings.extend(problem.map(warning));
        result
    }
}

/// What a check of a service runs: code of the user.
fn checks(service: &Service) -> Vec<Step> {
    let own = service.steps.iter().filter_map(|step| {
        let action = match &step.action {
            Action::Script(script) => Action::Script(instead(script)?),
            Action::Local(script) => Action::Local(instead(script)?),
            Action::Ansible(_) | Action::Ruby(_) => step.action.clone(),
            _ => return None,
        };
        Some(Step { action, notify: Vec::new(), ..step.clone() })
    });
    service.check.iter().cloned().chain(own).collect()
}

/// What a script has for checks.
fn instead(script: &Script) -> Option<Script> {
    let code = script.check.clone()?;
    Some(Script { script: code, ..script.clone() })
}

/// Whether a plan that was made before still holds.
fn unmoved(now: &Plan<'_>, then: &NodeDocument) -> Result<(), Failure> {
    let what = if now.inputs != then.inputs {
        "the services or the inventory have changed since the plan was made"
    } else if now.observed != then.observed {
        "the node has changed since the plan was made"
    } else {
        return Ok(());
    };
    let error =
        Error::new(Code::PreconditionFailed, what).hint("make a new plan with `hostler check -o plan.json`");
    Err(Failure { untouched: true, ..Failure::midway(error) })
}

/// A shell that did not even begin.
fn unreached(error: Error) -> Failure {
    Failure { untouched: true, ..Failure::midway(error) }
}
