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
/// `host_ip` where it really is; `ssh_port`, `ssh_user`, `ssh_private_key_file`, `gateway`, `ssh_options` and `host_keys`
/// (a list of lines) stand before the configuration. With `ssh_alias` the configuration says all of it.
///
/// # Errors
/// [`base::Code::Invalid`] for metadata that cannot be what it is called.
pub fn target(node: &Node, login: &Login) -> Result<Target> {
    let text = |name: &str| node.text(name).map(str::to_owned);
    let given = Target { user: login.user.clone(), password: login.password.clone(), ..Target::default() };
    if let Some(alias) = text("ssh_alias") {
        let (host_keys, options) = (lines(node, "host_keys")?, options(node)?);
        return Ok(Target { host: alias, host_keys, options, ..given });
    }
    let mut options = options(node)?;
    options.extend(gateway(node).map(|gateway| ("ProxyJump".to_owned(), gateway)));
    Ok(Target {
        host: text("hostname").unwrap_or_else(|| node.name.clone()),
        address: text("host_ip"),
        port: port(node)?,
        user: given.user.or_else(|| text("ssh_user")),
        identity_files: text("ssh_private_key_file").map(Into::into).into_iter().collect(),
        password: given.password,
        host_keys: lines(node, "host_keys")?,
        options,
        transport: given.transport,
    })
}

/// The hosts to jump over, as `ProxyJump` takes them.
fn gateway(node: &Node) -> Option<String> {
    let gateway = node.text("gateway").filter(|g| !g.is_empty())?;
    match node.text("gateway_user") {
        Some(user) if !gateway.contains('@') => Some(format!("{user}@{gateway}")),
        _ => Some(gateway.to_owned()),
    }
}

/// `ssh_options`: keywords of ssh_config(5) with their values.
fn options(node: &Node) -> Result<Vec<(String, String)>> {
    let Some(value) = node.metadata.get("ssh_options") else { return Ok(Vec::new()) };
    let wanted = "this must be a map of keywords and values, as in {Compression: yes}";
    let Value::Object(map) = value else { return Err(wrong(node, "ssh_options", wanted)) };
    map.iter()
        .map(|(keyword, value)| match value {
            Value::String(text) => Ok((keyword.clone(), text.clone())),
            Value::Number(number) => Ok((keyword.clone(), number.to_string())),
            Value::Bool(yes) => Ok((keyword.clone(), if *yes { "yes" } else { "no" }.to_owned())),
            _ => Err(wrong(node, "ssh_options", wanted)),
        })
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(metadata: Value) -> Node {
        let metadata = serde_json::from_value(metadata).unwrap();
        Node { name: "web1".into(), metadata, origin: "inventory.yaml:3:1".into(), ..Node::default() }
    }

    #[test]
    fn metadata_says_where_a_node_is() {
        let metadata = json!({"hostname": "web1.lab", "host_ip": "10.0.0.1", "ssh_port": "2222", "ssh_user": "a",
            "gateway": "bastion", "gateway_user": "jump", "ssh_options": {"Compression": true, "ConnectTimeout": 5}});
        let target = target(&node(metadata), &Login::default()).unwrap();
        let wanted = Target {
            host: "web1.lab".into(),
            address: Some("10.0.0.1".into()),
            port: Some(2222),
            user: Some("a".into()),
            options: vec![
                ("Compression".into(), "yes".into()),
                ("ConnectTimeout".into(), "5".into()),
                ("ProxyJump".into(), "jump@bastion".into()),
            ],
            ..Target::default()
        };
        assert_eq!(target, wanted);
    }

    #[test]
    fn an_alias_leaves_all_to_the_configuration() {
        let metadata = json!({"ssh_alias": "web", "hostname": "x", "host_ip": "10.0.0.1", "ssh_port": 9, "gateway": "g"});
        let login = Login { user: Some("me".into()), password: None };
        let wanted = Target { host: "web".into(), user: Some("me".into()), ..Target::default() };
        assert_eq!(target(&node(metadata), &login).unwrap(), wanted);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        for (metadata, field) in [
            (json!({"ssh_port": 0}), "web1/ssh_port"),
            (json!({"ssh_port": [1]}), "web1/ssh_port"),
            (json!({"host_keys": 3}), "web1/host_keys"),
            (json!({"ssh_options": "x"}), "web1/ssh_options"),
            (json!({"ssh_options": {"Port": [1]}}), "web1/ssh_options"),
        ] {
            let e = target(&node(metadata), &Login::default()).unwrap_err();
            assert_eq!(e.field.as_deref(), Some(field));
            assert_eq!(e.hint.as_deref(), Some("correct it in inventory.yaml:3:1"));
        }
    }
}
