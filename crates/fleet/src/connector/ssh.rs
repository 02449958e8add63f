//! Nodes behind an SSH server: one connection for everything that is done there.

use super::{
    Connector,
    channel::{Channels, Event, Reader, Started, Writer},
    over,
};
use crate::session::{Chunk, Ended, Session};
use base::{Error, Result};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use inventory::Node;
use serde_json::Value;
use ssh::{Connection, Dialer, ExecEvent, ExecReceiver, ExecRequest, ExecSender, Target};

/// Reaches every node that nothing else reaches.
#[derive(Debug)]
pub struct Ssh {
    /// Opens the connections, and keeps them for as long as it lives.
    pub dialer: Dialer,
    /// What is asked for and not said by the node.
    pub login: Login,
}

/// How to log in, for all nodes.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// The user, before that of the metadata and of the configuration.
    pub user: Option<String>,
    /// The password.
    pub password: Option<base::Secret>,
}

impl Connector for Ssh {
    fn connect<'a>(&'a self, node: &'a Node) -> Option<BoxFuture<'a, Result<Session>>> {
        let connecting = async {
            let target = target(node, &self.login)?;
            Ok(over(Connected(self.dialer.connect(&target).await?)))
        };
        Some(connecting.boxed())
    }
}

/// Where a node is, from its metadata: `hostname` is the name that the SSH configuration knows (else the node's own),
/// `host_ip` where it really is; `ssh_port`, `ssh_user`, `ssh_private_key_file` and `host_keys` (a list of lines) stand
/// before the configuration.
///
/// # Errors
/// [`base::Code::Invalid`] for metadata that cannot be what it is called.
pub fn target(node: &Node, login: &Login) -> Result<Target> {
    let text = |name: &str| node.text(name).map(str::to_owned);
    Ok(Target {
        host: text("hostname").unwrap_or_else(|| node.name.clone()),
        address: text("host_ip"),
        port: port(node)?,
        user: login.user.clone().or_else(|| text("ssh_user")),
        identity_files: text("ssh_private_key_file").map(Into::into).into_iter().collect(),
        password: login.password.clone(),
        host_keys: lines(node, "host_keys")?,
        options: Vec::new(),
    })
}

fn port(node: &Node) -> Result<Option<u16>> {
    let Some(value) = node.metadata.get("ssh_port") else { return Ok(None) };
    let port = match value {
        Value::Number(number) => number.as_u64().and_then(|n| u16::try_from(n).ok()),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    match port {
        Some(port) if port > 0 => Ok(Some(port)),
        _ => Err(wrong(node, "ssh_port", &format!("{value} is not a port (1 to 65535)"))),
    }
}

fn lines(node: &Node, name: &str) -> Result<Vec<String>> {
    let line = |value: &Value| value.as_str().map(str::to_owned);
    let lines = match node.metadata.get(name) {
        None => Some(Vec::new()),
        Some(Value::Array(values)) => values.iter().map(line).collect(),
        Some(value) => line(value).map(|line| vec![line]),
    };
    lines.ok_or_else(|| wrong(node, name, "this must be a list of texts"))
}

fn wrong(node: &Node, name: &str, why: &str) -> Error {
    let e = Error::invalid(format!("{}/{name}", node.name), why);
    if node.origin.is_empty() { e } else { e.hint(format!("correct it in {}", node.origin)) }
}

/// An open connection.
struct Connected(Connection);

impl Channels for Connected {
    fn start<'a>(&'a self, line: &'a str) -> BoxFuture<'a, Result<Started>> {
        async move {
            let (sender, receiver) = self.0.exec(ExecRequest::command(line)).await?.split();
            Ok(Started { input: Box::new(sender), output: Box::new(receiver) })
        }
        .boxed()
    }
}

impl Writer for ExecSender {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        self.stdin(bytes).boxed()
    }
}

impl Reader for ExecReceiver {
    fn next(&mut self) -> BoxFuture<'_, Result<Event>> {
        async {
            let event = ExecReceiver::next(self).await.ok_or_else(|| self.lost())?;
            Ok(match event {
                ExecEvent::Stdout(bytes) => Event::Chunk(Chunk::Stdout(bytes)),
                ExecEvent::Stderr(bytes) => Event::Chunk(Chunk::Stderr(bytes)),
                ExecEvent::Exit { code: Some(code), .. } => Event::Ended(Ended::Code(code)),
                ExecEvent::Exit { signal: Some(name), .. } => Event::Ended(Ended::Signal(name)),
                // The channel closed and nothing said how it ended: as with ssh, that is a loss.
                ExecEvent::Exit { .. } => return Err(self.lost()),
            })
        }
        .boxed()
    }
}
