//! Nodes that are containers: through the Docker client, which knows where its engine is.
//!
//! Its exit code is that of the command, and a signal shows as 128 and its number, as in shells. Where the container or
//! the engine goes away, the client ends with a code too: so every other end than 0 is looked into.

use super::{Channels, Connector, Event, Reader, Started, local, over};
use crate::session::{Ended, Session};
use base::{Code, Error, Result};
use futures::future::{BoxFuture, FutureExt};
use inventory::Node;
use std::{fmt::Display, sync::Arc, time::Duration};
use tokio::process::Command;

/// How long the engine may take to say what it knows of a container.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the end of a container shows in its commands: by signal 9.
const KILLED: Ended = Ended::Code(128 + 9);

/// Reaches nodes with `docker` in their metadata: the name or the id of a container. `docker_host` says which engine is
/// meant, as `DOCKER_HOST` does; `docker_user` runs commands as another user than the container's own.
#[derive(Debug)]
pub struct Docker;

impl Connector for Docker {
    fn connect<'a>(&'a self, node: &'a Node) -> Option<BoxFuture<'a, Result<Session>>> {
        node.metadata.contains_key("docker").then(|| async { Ok(over(Container::open(node).await?)) }.boxed())
    }
}

/// A running container.
#[derive(Clone, Debug)]
pub struct Container(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    host: Option<String>,
    user: Option<String>,
    /// This run of this container, and no other that bears its name later.
    run: Run,
}

#[derive(Debug, PartialEq, Eq)]
struct Run {
    id: String,
    started: String,
}

impl Container {
    /// The container that a node is.
    ///
    /// # Errors
    /// [`Code::Unavailable`] where it does not run or the engine does not answer, [`Code::Invalid`] for a name that is none.
    pub async fn open(node: &Node) -> Result<Self> {
        let name = word(node, "docker")?.unwrap_or_default().to_owned();
        let host = word(node, "docker_host")?.map(str::to_owned);
        let user = word(node, "docker_user")?.map(str::to_owned);
        let run = look(&name, host.as_deref()).await.map_err(|e| e.at(&node.name))?;
        Ok(Container(Arc::new(Inner { name, host, user, run })))
    }

    /// A call of the client that runs a program in the container, with these flags.
    pub fn exec(&self, flags: &[&str]) -> Command {
        let mut docker = client(self.0.host.as_deref());
        docker.arg("exec").args(flags);
        if let Some(user) = &self.0.user {
            docker.arg("--user").arg(user);
        }
        docker.arg(&self.0.run.id);
        docker
    }

    /// Why the end of a command is that of the container, if so.
    async fn lost(&self, ended: &Ended) -> Option<Error> {
        // What kills a container kills its commands first, and the engine may say for a moment that it still runs: that
        // another command can be started proves it.
        if *ended == KILLED {
            let mut probe = self.exec(&[]);
            probe.args(["sh", "-c", ":"]);
            if let Err(e) = rt::process::run(probe, PATIENCE).await {
                return Some(self.gone(e));
            }
        }
        match look(&self.0.name, self.0.host.as_deref()).await {
            Ok(now) if now == self.0.run => None,
            Ok(_) => Some(self.gone("it was started again")),
            Err(e) => Some(self.gone(e)),
        }
    }

    fn gone(&self, why: impl Display) -> Error {
        Error::unavailable(format!("the container {} was lost", self.0.name)).because(why)
    }
}

impl Channels for Container {
    fn start<'a>(&'a self, line: &'a str) -> BoxFuture<'a, Result<Started>> {
        let mut docker = self.exec(&["--interactive"]);
        // As with a line on this host: what we no longer hold ends by the end of its input.
        docker.args(["sh", "-c", line]).kill_on_drop(false).process_group(0);
        async move {
            let Started { input, output } = local::start(docker)?;
            Ok(Started { input, output: Box::new(Watched { container: self.clone(), output }) })
        }
        .boxed()
    }
}

/// What comes from a command in a container.
struct Watched {
    container: Container,
    output: Box<dyn Reader>,
}

impl Reader for Watched {
    fn next(&mut self) -> BoxFuture<'_, Result<Event>> {
        async {
            let event = self.output.next().await?;
            match &event {
                Event::Ended(ended) if *ended != Ended::Code(0) => match self.container.lost(ended).await {
                    Some(lost) => Err(lost),
                    None => Ok(event),
                },
                _ => Ok(event),
            }
        }
        .boxed()
    }
}

/// A call of the client, for this engine.
pub(crate) fn client(host: Option<&str>) -> Command {
    let mut docker = rt::process::command("docker");
    if let Some(host) = host {
        docker.arg("--host").arg(host);
    }
    docker
}

/// What the engine says of a container.
async fn look(name: &str, host: Option<&str>) -> Result<Run> {
    let mut docker = client(host);
    let format = "{{.Id}} {{.State.Status}} {{.State.StartedAt}}";
    docker.args(["container", "inspect", "--format", format, name]);
    let said = rt::process::run(docker, PATIENCE).await.map_err(|e| unseen(name, e))?.stdout;
    match said.split_whitespace().collect::<Vec<_>>()[..] {
        [id, "running", started] => Ok(Run { id: id.to_owned(), started: started.to_owned() }),
        [_, state, _] => {
            let hint = if state == "paused" { "docker unpause" } else { "docker start" };
            Err(Error::unavailable(format!("the container {name} is {state}")).hint(format!("{hint} {name}")))
        }
        _ => Err(Error::internal("docker says something else than it was asked").because(said.trim())),
    }
}

/// The client has no codes for what went wrong: only words.
fn unseen(name: &str, error: Error) -> Error {
    if error.code != Code::Internal {
        return error;
    }
    let why = error.cause.unwrap_or_default();
    if why.to_lowercase().contains("no such container") {
        return Error::unavailable(format!("there is no container {name}"))
            .hint("`docker ps --all` lists them; `docker_host` in the metadata says which engine is meant");
    }
    Error::unavailable("the Docker engine does not answer")
        .because(why)
        .hint("start it, or say in `docker_host` where it is")
}

/// A piece of metadata that is one word of a command line.
fn word<'a>(node: &'a Node, key: &str) -> Result<Option<&'a str>> {
    let Some(value) = node.metadata.get(key) else { return Ok(None) };
    match value.as_str() {
        Some(word) if !word.is_empty() && !word.starts_with('-') && !word.contains('\0') => Ok(Some(word)),
        _ => Err(super::metadata::wrong(node, key, "this must be a name")),
    }
}
