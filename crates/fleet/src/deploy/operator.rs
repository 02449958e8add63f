//! Steps that run on the operator's machine.

use super::in_ruby;
use crate::{
    ruby,
    service::{Action, Script, Upload},
    session::{Become, Command, Ended, Session, Sink},
};
use base::{Error, Result};
use bytes::Bytes;
use futures::future::BoxFuture;
use inventory::Node;
use serde::{Deserialize, Serialize};
use ssh::quote;
use std::{path::Path, time::Duration};

/// What steps on the operator's machine may use.
#[derive(Clone, Copy, Default)]
pub struct Operator<'a> {
    /// Who evaluates services in Ruby.
    pub ruby: Option<&'a ruby::Bridge>,
    /// Who runs Ansible.
    pub ansible: Option<&'a dyn Playbooks>,
}

impl std::fmt::Debug for Operator<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Operator")
    }
}

/// The way to a node, and as whom.
#[derive(Clone, Copy)]
pub struct Way<'a> {
    /// The way.
    pub session: &'a Session,
    /// Another user than the one who logs in.
    pub other: Option<&'a Become>,
}

impl Way<'_> {
    /// Runs a command there.
    pub async fn run(&self, command: Command, sink: &mut dyn Sink) -> Result<Ended> {
        let r#become = command.r#become.or_else(|| self.other.cloned());
        self.session.run(Command { r#become, ..command }, sink).await
    }
}

/// What became of a task of Ansible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// What it is called.
    pub name: String,
    /// Its module.
    pub module: String,
    /// How it ended.
    pub status: TaskStatus,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How a task of Ansible ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Nothing was to be done.
    Ok,
    /// It changed something, or would.
    Changed,
    /// It was not meant.
    Skipped,
    /// It failed.
    Failed,
    /// It failed, and that does not count.
    Ignored,
    /// Ansible could not reach the node.
    Unreachable,
}

/// How a step on the operator's machine went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    /// How it ended.
    pub ended: Ended,
    /// What became of the tasks of Ansible; `None` for all other steps.
    pub tasks: Option<Vec<Task>>,
}

/// Who runs Ansible against a node.
pub trait Playbooks: Send + Sync {
    /// Runs a playbook or role to its end, as another user where there is one; with `check`, only says what it would
    /// change.
    ///
    /// # Errors
    /// [`base::Code::Unavailable`] where there is no Ansible. A playbook that fails is none.
    fn play<'a>(
        &'a self,
        node: &'a Node,
        other: Option<&'a Become>,
        ansible: &'a crate::service::Ansible,
        check: bool,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<Played>>;
}

impl Operator<'_> {
    /// Runs an action that is not the node's own.
    pub async fn run(
        &self,
        action: &Action,
        check: bool,
        node: &Node,
        way: Way<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Played> {
        let ended = match action {
            Action::Local(script) => local(script, check, sink).await,
            Action::Upload(upload) => send(upload, way, sink).await,
            Action::Ansible(ansible) => match self.ansible {
                Some(playbooks) => return playbooks.play(node, way.other, ansible, check, sink).await,
                None => Err(Error::unavailable("playbooks of Ansible cannot be run here")),
            },
            Action::Ruby(service) => match self.ruby {
                Some(bridge) => in_ruby::run(bridge, service, check, node, way, sink).await,
                None => Err(Error::unavailable("services in Ruby cannot be run here")),
            },
            Action::Resource(_) | Action::Script(_) | Action::Supervise { .. } => {
                Err(Error::internal("this step is the node's own"))
            }
        };
        Ok(Played { ended: ended?, tasks: None })
    }
}

/// A script on this machine, in the directory of its service.
pub(super) async fn local(script: &Script, check: bool, sink: &mut dyn Sink) -> Result<Ended> {
    let code = if check { script.check.as_ref().unwrap_or(&script.script) } else { &script.script };
    let directory = script.directory.as_deref().unwrap_or(Path::new("."));
    let enter = format!("cd -- {} || exit 1\n", quote(&directory.to_string_lossy()));
    // bash, as the name of the step says, unless the script says otherwise.
    let command = Command {
        script: format!("{enter}{code}"),
        interpreter: Some(script.interpreter.clone().unwrap_or_else(|| "bash".into())),
        env: script.env.clone(),
        timeout: script.timeout.map(|s| Duration::from_secs(s.into())),
        ..Command::default()
    };
    crate::connector::over(crate::connector::Local).run(command, sink).await
}

/// Copies files into a directory of the node, by `tar` on both sides.
pub(super) async fn send(upload: &Upload, way: Way<'_>, sink: &mut dyn Sink) -> Result<Ended> {
    let archive = archive(&upload.source).await?;
    let into = crate::resource::word(&upload.into);
    let name = upload.source.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut script = format!("tar -x -C {into} -f -\n");
    if let Some(owner) = &upload.owner {
        let group = upload.group.as_ref().map(|g| format!(":{g}")).unwrap_or_default();
        script = format!(
            "{} && chown -R {} -- {into}/{}\n",
            script.trim_end(),
            quote(&format!("{owner}{group}")),
            quote(&name)
        );
    }
    way.run(Command { script, stdin: archive, ..Command::default() }, sink).await
}

async fn archive(source: &Path) -> Result<Bytes> {
    let (Some(dir), Some(name)) = (source.parent(), source.file_name()) else {
        return Err(Error::invalid("scp", format!("{} cannot be copied", source.display())));
    };
    let mut tar = rt::process::command("tar");
    tar.arg("-c").arg("-C").arg(dir).args(["--owner=0", "--group=0", "-f", "-", "--"]).arg(name);
    tar.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let output = tar.output().await.map_err(|e| rt::process::cannot_start("tar", &e))?;
    if output.status.success() {
        return Ok(output.stdout.into());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::internal(format!("cannot read {}", source.display())).because(why))
}
