//! Carries out planned steps: as many as possible in one turn of the shell on the node.

use super::{
    node::{Playbook, Visit},
    operator::{Task, TaskStatus},
    turn,
};
use crate::{
    engine::{Failure, Progress, Status},
    plan::{Foretold, Plan, Planned},
    service::Action,
    session::{Chunk, Ended},
    shell::{Heard, Stream},
};
use base::{Code, Error, Result};
use bytes::Bytes;
use regex::Regex;
use rt::clock::Instant;
use std::{ops::ControlFlow, time::Duration};
use tokio::sync::mpsc;

/// How much of what a step said is kept to explain its failure.
const TAIL: usize = 64 << 10;
/// The code of a script whose time was over, as `timeout` has it.
const LATE: u32 = 124;

/// What came of a turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// How its function ended.
    pub code: u32,
    /// What the node showed of itself.
    pub seen: Option<Vec<u8>>,
    /// Until when it has to have shown itself.
    shown_by: Option<Instant>,
    /// Who else holds the lock.
    pub busy: Option<String>,
    /// The step that failed, and its code.
    failed: Option<(usize, u32)>,
    /// The end of what was said since the last step began, by stream.
    tails: [Vec<u8>; 2],
}

impl Turn {
    /// What was said on standard error at last.
    pub fn complaint(&self) -> String {
        self.said(Stream::Stderr)
    }

    /// Adds what was said on standard error at last, and what to do about it where that is known.
    pub fn explain(&self, error: Error) -> Error {
        let said = self.complaint();
        let last: Vec<&str> = said.lines().rev().take(3).collect();
        let why = last.into_iter().rev().collect::<Vec<_>>().join("; ");
        match why.is_empty() {
            true => error,
            false if is_full(&said) => {
                let message = format!("{}, since a disk of the node is full", error.message);
                Error { message, ..error }.because(why).hint("make room there, then deploy again")
            }
            false => error.because(why),
        }
    }

    fn said(&self, stream: Stream) -> String {
        String::from_utf8_lossy(&self.tails[usize::from(stream == Stream::Stderr)]).trim().to_owned()
    }

    fn keep(&mut self, stream: Stream, bytes: &[u8]) {
        let tail = &mut self.tails[usize::from(stream == Stream::Stderr)];
        tail.extend_from_slice(bytes);
        let over = tail.len().saturating_sub(TAIL);
        if over > 0 {
            // Whole lines, since nobody recognises half a secret.
            let end = tail[over - 1..].iter().position(|b| *b == b'\n').map_or(tail.len(), |at| over + at);
            tail.drain(..end);
        }
    }
}

impl<'a> Visit<'a, '_, '_> {
    /// Carries out steps in their order, then handlers; then looks whether all is as `plan` says.
    pub(super) async fn carry_out(
        &mut self,
        steps: &[Planned<'_>],
        handlers: &[Planned<'_>],
        plan: Option<&Plan<'a>>,
    ) -> Result<(), Failure> {
        let verify =
            plan.is_some_and(|p| p.steps.iter().any(|s| matches!(s.step.action, Action::Resource(_))));
        let mut rest = steps;
        loop {
            let here = rest.iter().position(|p| !is_of_node(&p.step.action)).unwrap_or(rest.len());
            let (turn, others) = rest.split_at(here);
            let last = others.is_empty();
            let handlers = if last { handlers } else { &[] };
            let verify = last && verify && !steps.is_empty();
            if !turn.is_empty() || !handlers.is_empty() || verify {
                self.on_node(turn, handlers, verify).await?;
            }
            let Some((planned, more)) = others.split_first() else { return Ok(()) };
            self.on_operator(planned, plan.is_none()).await?;
            rest = more;
        }
    }

    /// Steps of the node in one turn, and from the one that failed on in another where it may be tried again.
    async fn on_node(
        &mut self,
        steps: &[Planned<'_>],
        handlers: &[Planned<'_>],
        verify: bool,
    ) -> Result<(), Failure> {
        let all: Vec<&Planned<'_>> = steps.iter().chain(handlers).collect();
        let (mut from, mut attempts) = (0, 0);
        loop {
            let own = &all[from.min(steps.len())..steps.len()];
            let late = &all[from.max(steps.len())..];
            let turn = self.turn("", &turn::steps(own, late, verify), &all).await.map_err(Failure::midway)?;
            let Some((key, code)) = turn.failed else {
                if let Some(seen) = turn.seen.as_ref().filter(|_| verify) {
                    self.verify(seen)?;
                } else if turn.code != 0 {
                    let error = Error::internal("the shell on the node failed").because(turn.complaint());
                    return Err(Failure::midway(error));
                }
                return Ok(());
            };
            let at = all.iter().position(|p| p.key == key).unwrap_or(from);
            attempts = if at == from { attempts + 1 } else { 1 };
            from = at;
            if !self.again(all[at], &turn, attempts).await {
                return Err(failed(all[at], code, &turn));
            }
        }
    }

    /// Whether a failed step is tried again, after its pause.
    async fn again(&mut self, planned: &Planned<'_>, turn: &Turn, attempts: u32) -> bool {
        let retry = &planned.step.retry;
        let matches = |expressions: &[String], said: &str| {
            expressions.iter().any(|e| Regex::new(e).is_ok_and(|e| e.is_match(said)))
        };
        let declared = matches(&retry.stdout, &turn.said(Stream::Stdout))
            || matches(&retry.stderr, &turn.said(Stream::Stderr))
            || (retry.stdout.is_empty() && retry.stderr.is_empty());
        if attempts > retry.times || !declared {
            return false;
        }
        self.voice
            .line(&format!("{} failed and is tried again ({attempts} of {})", planned.step.name, retry.times))
            .await;
        rt::clock::sleep(Duration::from_secs(retry.delay.into())).await;
        true
    }

    /// Writes into the history that a step begins.
    fn note(&self, planned: &Planned<'_>) {
        if let Some(journal) = self.request.journal {
            let name = self.voice.redactor().text(&planned.step.name);
            journal.step(&self.request.node.name, planned.service, &name);
        }
    }

    /// Tells that a step has ended, after all that it said.
    async fn ended(&mut self, planned: &Planned<'_>, well: bool) {
        if well {
            self.count(planned);
        }
        self.voice.step(Progress::ended(Some(planned.service), &planned.step.name, well)).await;
    }

    /// A step on the operator's machine, again where it may be tried again.
    async fn on_operator(&mut self, planned: &Planned<'_>, check: bool) -> Result<(), Failure> {
        let mut attempts = 0;
        loop {
            let mut turn = Turn::default();
            let Some(code) = self.attempt(planned, check, &mut turn).await? else { return Ok(()) };
            attempts += 1;
            if check || !self.again(planned, &turn, attempts).await {
                return Err(self.with_task(failed(planned, code, &turn), planned));
            }
        }
    }

    /// Does a step on the operator's machine once. The code of one that failed.
    async fn attempt(
        &mut self,
        planned: &Planned<'_>,
        check: bool,
        turn: &mut Turn,
    ) -> Result<Option<u32>, Failure> {
        self.note(planned);
        self.voice.enter(planned.service).await;
        self.voice.step(Progress::started(Some(planned.service), &planned.step.name)).await;
        let (sender, mut chunks) = mpsc::unbounded_channel();
        let mut sink = move |chunk: Chunk| drop(sender.send(chunk));
        let request = self.request;
        let session = self.session.clone();
        let running = async move {
            let action = &planned.step.action;
            let way = super::operator::Way { session: &session, other: request.user };
            request.operator.run(action, check, request.node, way, &mut sink).await
        };
        tokio::pin!(running);
        let mut ended = None;
        loop {
            tokio::select! {
                biased;
                chunk = chunks.recv() => {
                    let Some(chunk) = chunk else { break };
                    let (stream, bytes) = parts(chunk);
                    self.say(planned, stream, &bytes, turn).await;
                }
                result = &mut running, if ended.is_none() => ended = Some(result),
            }
        }
        self.voice.close(Stream::Stdout).await;
        self.voice.close(Stream::Stderr).await;
        let ended = match ended {
            Some(Ok(played)) => {
                let ended = played.ended;
                let tasks = played.tasks.map(|tasks| self.report_tasks(planned, tasks));
                if ended.success() {
                    match tasks {
                        // Ansible says itself whether it changed anything.
                        Some(changed) if !check => self.report.changed += usize::from(changed),
                        _ => self.count(planned),
                    }
                }
                Some(Ok(ended))
            }
            Some(Err(e)) => Some(Err(e)),
            None => None,
        };
        let well = matches!(ended, Some(Ok(Ended::Code(0))));
        self.voice.step(Progress::ended(Some(planned.service), &planned.step.name, well)).await;
        match ended {
            Some(Ok(Ended::Code(0))) => Ok(None),
            Some(Ok(Ended::Code(code))) => Ok(Some(code)),
            Some(Ok(Ended::Timeout)) => Ok(Some(LATE)),
            Some(Ok(Ended::Signal(name))) => {
                let error = Error::internal(format!(
                    "{} of {} was ended by signal {name}",
                    planned.step.name, planned.service
                ));
                Err(Failure::midway(error))
            }
            Some(Err(e)) => Err(Failure::midway(e)),
            None => Err(Failure::midway(Error::internal("a step of ours ended early"))),
        }
    }

    /// The failure of a playbook, with what its failed task says.
    fn with_task(&self, failure: Failure, planned: &Planned<'_>) -> Failure {
        let playbook = self.report.playbooks.last().filter(|p| p.step == planned.step.name);
        let is_failed = |task: &&Task| matches!(task.status, TaskStatus::Failed | TaskStatus::Unreachable);
        let Some(task) = playbook.and_then(|p| p.tasks.iter().find(is_failed)) else { return failure };
        let why = format!("task '{}': {}", task.name, task.message.as_deref().unwrap_or("failed"));
        Failure { error: failure.error.because(why), ..failure }
    }

    async fn say(&mut self, planned: &Planned<'_>, stream: Stream, bytes: &[u8], turn: &mut Turn) {
        turn.keep(stream, bytes);
        if !planned.step.sensitive {
            self.voice.output(stream, bytes).await;
        }
    }

    /// Keeps what became of tasks, without secrets. Whether one of them changed something.
    fn report_tasks(&mut self, planned: &Planned<'_>, tasks: Vec<Task>) -> bool {
        let changed = tasks.iter().any(|task| task.status == TaskStatus::Changed);
        let redactor = self.voice.redactor();
        let shown = tasks.into_iter().map(|task| Task {
            name: redactor.text(&task.name).into_owned(),
            message: task
                .message
                .filter(|_| !planned.step.sensitive)
                .map(|message| redactor.text(&message).into_owned()),
            ..task
        });
        let shown: Vec<Task> = shown.collect();
        let (service, step) = (planned.service.to_owned(), redactor.text(&planned.step.name).into_owned());
        self.report.playbooks.push(Playbook { service, step, tasks: shown });
        changed
    }

    fn count(&mut self, planned: &Planned<'_>) {
        let counter = match (&planned.foretold, planned.step.action.is_code()) {
            (Foretold::Change(_), false) if matches!(planned.step.action, Action::Supervise { .. }) => {
                &mut self.report.handlers
            }
            (Foretold::Change(_), _) => &mut self.report.changed,
            _ => &mut self.report.code,
        };
        *counter += 1;
    }

    /// One turn of the shell, told by the voice. `steps` are those whose beginnings and ends may come.
    pub(super) async fn turn(
        &mut self,
        definitions: &str,
        lines: &str,
        steps: &[&Planned<'_>],
    ) -> Result<Turn> {
        self.shell.turn(definitions, lines).await?;
        let (mut turn, mut ready) = (Turn::default(), 0);
        let mut current: [Option<usize>; 2] = [None; 2];
        while ready < 2 {
            match self.hear(turn.shown_by).await? {
                Heard::Output(Stream::Stdout, bytes) if turn.seen.is_some() => {
                    turn.seen.get_or_insert_default().extend_from_slice(&bytes);
                }
                Heard::Output(stream, bytes) => {
                    let planned = current[usize::from(stream == Stream::Stderr)]
                        .and_then(|key| steps.iter().find(|p| p.key == key));
                    match planned {
                        Some(planned) => self.say(planned, stream, &bytes, &mut turn).await,
                        None => turn.keep(stream, &bytes),
                    }
                }
                Heard::Frame(stream, words) => {
                    let own = &mut current[usize::from(stream == Stream::Stderr)];
                    if self.frame(stream, &words, own, steps, &mut turn).await.is_break() {
                        ready += 1;
                    }
                }
            }
        }
        Ok(turn)
    }

    /// What comes next from the shell. One that is late is given up, with what runs in it.
    async fn hear(&mut self, by: Option<Instant>) -> Result<Heard> {
        let Some(by) = by else { return self.shell.hear().await };
        let rest = by.saturating_duration_since(rt::clock::now());
        if let Ok(heard) = rt::clock::timeout(rest, "the look", self.shell.hear()).await {
            return heard;
        }
        let (name, limit) = (&self.request.node.name, self.request.look_timeout.as_secs());
        let error = Error::new(Code::Timeout, format!("{name} did not show what it has within {limit} s"))
            .hint("look for a file system there whose server is gone, or allow more: `deploy: {look_timeout: SECONDS}` in hostler.yaml");
        self.shell.give_up(error.clone());
        Err(error)
    }

    /// What the shell says about itself. Breaks at the end of the turn.
    async fn frame(
        &mut self,
        stream: Stream,
        words: &[String],
        current: &mut Option<usize>,
        steps: &[&Planned<'_>],
        turn: &mut Turn,
    ) -> ControlFlow<()> {
        let number = |at: usize| words.get(at).and_then(|w| w.parse().ok());
        let first = stream == Stream::Stdout;
        match words[0].as_str() {
            "begin" => {
                *current = number(1);
                turn.tails[usize::from(!first)].clear();
                let planned = steps.iter().find(|p| Some(p.key) == *current);
                if let Some(planned) = planned.filter(|_| first) {
                    self.begin(planned).await;
                }
            }
            "end" => {
                self.voice.close(stream).await;
                let code = number(2).and_then(|c| u32::try_from(c).ok()).unwrap_or(1);
                let ended = current.take();
                if let Some(planned) = steps.iter().find(|p| Some(p.key) == ended).filter(|_| first) {
                    if code != 0 {
                        turn.failed = Some((planned.key, code));
                    }
                    self.ended(planned, code == 0).await;
                }
            }
            "seen" => {
                turn.seen = Some(Vec::new());
                turn.shown_by.get_or_insert(rt::clock::now() + self.request.look_timeout);
            }
            "user" => self.user = words[1..].join(" "),
            "saved" => self.report.log = Some(words[1..].join(" ")),
            "waiting" if first => {
                let line =
                    format!("waiting for {}, who deploys {}", words[1..].join(" "), self.request.node.name);
                self.voice.line(&line).await;
            }
            "busy" => turn.busy = Some(words[1..].join(" ")),
            "ready" => {
                turn.code = number(1).and_then(|c| u32::try_from(c).ok()).unwrap_or(1);
                return ControlFlow::Break(());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    async fn begin(&mut self, planned: &Planned<'_>) {
        self.note(planned);
        if self.request.work.handlers.iter().any(|h| std::ptr::eq(h, planned.step)) {
            self.voice.finish().await;
        } else {
            self.voice.enter(planned.service).await;
        }
        self.voice.step(Progress::started(Some(planned.service), &planned.step.name)).await;
        self.voice.change(planned).await;
    }
}

/// Whether the node does it itself.
fn is_of_node(action: &Action) -> bool {
    matches!(action, Action::Resource(_) | Action::Script(_) | Action::Supervise { .. })
}

/// What programs say of ENOSPC and EDQUOT, of the C libraries of GNU and musl.
fn is_full(said: &str) -> bool {
    ["No space left on device", "Disk quota exceeded", "Quota exceeded"]
        .iter()
        .any(|words| said.contains(words))
}

fn parts(chunk: Chunk) -> (Stream, Bytes) {
    match chunk {
        Chunk::Stdout(bytes) => (Stream::Stdout, bytes),
        Chunk::Stderr(bytes) => (Stream::Stderr, bytes),
    }
}

/// The failure of a step, in its own last words.
fn failed(planned: &Planned<'_>, code: u32, turn: &Turn) -> Failure {
    let name = format!("{} of {}", planned.step.name, planned.service);
    let (status, error) = if code == LATE && planned.step.action.is_code() {
        (Status::Timeout, Error::new(Code::Timeout, format!("{name} took too long")))
    } else {
        (Status::Failed, Error::internal(format!("{name} failed with exit code {code}")))
    };
    let error = if planned.step.sensitive { error } else { turn.explain(error) };
    let error = if planned.step.place.is_empty() { error } else { error.at(&planned.step.place) };
    Failure { status, code: Some(code), error, untouched: false }
}
