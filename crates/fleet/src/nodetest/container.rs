//! Throw-away containers, by the Docker client.
//!
//! A container lives as long as the standard input of its first process, which we hold: when we let go of it, be it at the
//! end, at a timeout or because this process was killed, the container ends and the engine removes it.

use super::{declared::Containers, way::Way};
use crate::connector::{Container, docker_client, over};
use base::{Error, Result};
use inventory::Node;
use rt::clock;
use serde_json::Value;
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStderr, ChildStdin},
};

/// How long a container may take to end, and to be removed.
const PATIENCE: Duration = Duration::from_secs(30);
/// What its first process does: it says that it is there, and waits.
const WAIT: &str = "echo up; exec cat >/dev/null";
/// The longest name of a host (hostname(7)).
const HOSTNAME: usize = 64;

/// A running container.
#[derive(Debug)]
pub struct ThrowAway {
    name: String,
    host: Option<String>,
    client: Child,
    line: ChildStdin,
    /// Open, since the client may want to say something.
    _complaints: ChildStderr,
}

impl ThrowAway {
    /// Starts one for a node. The image is fetched where the engine does not have it.
    ///
    /// # Errors
    /// Why it did not start, in the words of the Docker client.
    pub async fn start(image: &str, settings: &Containers, node: &Node) -> Result<Self> {
        let name = format!("hostler-test-{}", rt::ids::uid());
        let host = settings.docker_host.clone();
        let mut docker = docker_client(host.as_deref());
        docker.args(["run", "--rm", "--interactive", "--init", "--name", &name]);
        docker.arg("--label").arg(format!("hostler.test={}", node.name));
        docker.args(hostname(node).map(|name| format!("--hostname={name}")));
        docker.args(&settings.options).args(["--entrypoint", "sh", image, "-c", WAIT]);
        docker.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // It must outlive us to see the end of its input, and a Ctrl-C for us is none for it.
        docker.kill_on_drop(false).process_group(0);
        let mut client = docker.spawn().map_err(|e| rt::process::cannot_start("docker", &e))?;
        let pipes = (client.stdin.take(), client.stdout.take(), client.stderr.take());
        let (Some(line), Some(stdout), Some(mut complaints)) = pipes else {
            return Err(Error::internal("the Docker client has no pipes"));
        };
        let (mut said, mut first) = (Vec::new(), String::new());
        let mut stdout = BufReader::new(stdout);
        let line_read = stdout.read_line(&mut first);
        tokio::pin!(line_read);
        loop {
            tokio::select! {
                _ = &mut line_read => break,
                read = complaints.read_buf(&mut said) => if read.unwrap_or(0) == 0 { break },
            }
        }
        if first != "up\n" {
            let _ = complaints.read_to_end(&mut said).await;
            let why = String::from_utf8_lossy(&said);
            return Err(Error::unavailable(format!("no container of {image} starts")).because(why.trim()));
        }
        Ok(ThrowAway { name, host, client, line, _complaints: complaints })
    }

    /// The node, as if it were this container. What it is otherwise reached by does not count, nor as whom.
    pub fn stands_for(&self, node: &Node) -> Node {
        let mut metadata: inventory::Metadata =
            node.own_metadata().map(|(name, value)| (name.clone(), value.clone())).collect();
        metadata.insert("docker".into(), Value::from(self.name.as_str()));
        metadata.extend(self.host.iter().map(|host| ("docker_host".into(), Value::from(host.as_str()))));
        Node { metadata, passwords: inventory::Passwords::default(), ..node.clone() }
    }

    /// The way to it.
    ///
    /// # Errors
    /// It has ended.
    pub async fn way(&self, stand_in: &Node) -> Result<Way> {
        Ok(Way { session: over(Container::open(stand_in).await?), user: None })
    }

    /// Ends it, and waits until it is removed.
    ///
    /// # Errors
    /// It may still be there.
    pub async fn end(self) -> Result<()> {
        let ThrowAway { name, host, mut client, line, .. } = self;
        drop(line);
        if clock::timeout(PATIENCE, "the end of the container", client.wait()).await.is_ok() {
            return Ok(());
        }
        let mut docker = docker_client(host.as_deref());
        docker.args(["container", "rm", "--force", &name]);
        let removed = rt::process::run(docker, PATIENCE).await;
        removed.map(drop).map_err(|e| {
            Error::internal(format!("the container {name} may still be there"))
                .because(e)
                .hint(format!("docker container rm --force {name}"))
        })
    }
}

/// What a container may be called, if the node's name is such a name.
fn hostname(node: &Node) -> Option<&str> {
    let name = node.text("hostname").unwrap_or(&node.name);
    let may_be = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    (name.len() <= HOSTNAME
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(may_be))
    .then_some(name)
}
