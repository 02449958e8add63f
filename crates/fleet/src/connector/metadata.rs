//! What the metadata of a node says about the way to it.

use super::Login;
use crate::session::{Become, Method};
use base::{Error, Result};
use inventory::Node;
use serde::Deserialize;
use serde_json::Value;
use ssh::{Target, Transport};

/// Where a node is, from its metadata: `hostname` is the name that the SSH configuration knows (else the node's own),
/// `host_ip` where it really is; `ssh_port`, `ssh_user`, `ssh_private_key_file`, `gateway`, `ssh_options` and `host_keys`
/// (a list of lines) stand before the configuration. With `ssh_alias` the configuration says all of it. `transport` says
/// who speaks SSH: `openssh` for nodes that need what only that program can do.
///
/// # Errors
/// [`base::Code::Invalid`] for metadata that cannot be what it is called.
pub fn target(node: &Node, login: &Login) -> Result<Target> {
    let target = described(node, login)?;
    target.check().map_err(|e| corrected(node, e.at(&node.name)))?;
    Ok(target)
}

fn described(node: &Node, login: &Login) -> Result<Target> {
    if let Some(why) = node.text("connection_error") {
        return Err(Error::invalid(&node.name, "this node cannot be reached").because(why));
    }
    let text = |name: &str| text(node, name);
    let password = login.password.clone().or_else(|| node.passwords.login.clone());
    let transport = transport(node)?;
    let given = Target { user: login.user.clone(), password, transport, ..Target::default() };
    if let Some(alias) = text("ssh_alias")? {
        let (host_keys, options) = (lines(node, "host_keys")?, options(node)?);
        return Ok(Target { host: alias, host_keys, options, ..given });
    }
    let mut options = options(node)?;
    options.extend(gateway(node)?.map(|gateway| ("ProxyJump".to_owned(), gateway)));
    Ok(Target {
        host: text("hostname")?.unwrap_or_else(|| node.name.clone()),
        address: text("host_ip")?,
        port: port(node)?,
        user: match given.user {
            Some(user) => Some(user),
            None => text("ssh_user")?,
        },
        identity_files: text("ssh_private_key_file")?.map(Into::into).into_iter().collect(),
        password: given.password,
        host_keys: lines(node, "host_keys")?,
        options,
        transport: given.transport,
    })
}

/// Whether SSH may dial a node. A VM is reached through its controller alone: a host may have its name.
pub(super) fn is_dialled(node: &Node) -> bool {
    !node.metadata.contains_key("vm")
}

/// Whether SSH is the way to a node: this host, its containers and VMs are reached in other ways.
pub fn is_by_ssh(node: &Node) -> bool {
    is_dialled(node) && !node.flag("local_node") && !node.metadata.contains_key("docker")
}

/// The hosts to jump over, as `ProxyJump` takes them.
fn gateway(node: &Node) -> Result<Option<String>> {
    let Some(gateway) = text(node, "gateway")?.filter(|g| !g.is_empty()) else { return Ok(None) };
    Ok(match text(node, "gateway_user")? {
        Some(user) if !gateway.contains('@') => Some(format!("{user}@{gateway}")),
        _ => Some(gateway),
    })
}

/// A text. Nobody means a number by a name, and what is left out there would lead elsewhere.
fn text(node: &Node, name: &str) -> Result<Option<String>> {
    match node.metadata.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(wrong(node, name, &format!("{other} is not a text"))),
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

/// `transport`: who speaks SSH, where that is not ours to choose.
fn transport(node: &Node) -> Result<Option<Transport>> {
    let Some(value) = node.metadata.get("transport") else { return Ok(None) };
    let known = Transport::deserialize(value);
    known.map(Some).map_err(|_| wrong(node, "transport", &format!("{value} is neither openssh nor native")))
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

/// As whom the commands of a node run, by `become` (`true` for root, or the user), `become_user` and `become_method`.
///
/// # Errors
/// [`base::Code::Invalid`] for a method that is not known.
pub fn other_user(node: &Node) -> Result<Option<Become>> {
    let named = node.text("become").filter(|_| !node.flag("become") && !denied(node));
    let user = node.text("become_user").or(named);
    let wanted = node.flag("become") || named.is_some();
    if !wanted {
        return Ok(None);
    }
    let method = match node.text("become_method") {
        None => Method::default(),
        Some(text) => text.parse().map_err(|e: Error| wrong(node, "become_method", &e.message))?,
    };
    Ok(Some(Become { user: user.unwrap_or("root").to_owned(), method, password: None }))
}

fn denied(node: &Node) -> bool {
    matches!(node.text("become"), Some("false" | "no" | "off" | ""))
}

/// A piece of metadata that cannot be meant.
pub(super) fn wrong(node: &Node, name: &str, why: &str) -> Error {
    corrected(node, Error::invalid(format!("{}/{name}", node.name), why))
}

fn corrected(node: &Node, e: Error) -> Error {
    if node.origin.is_empty() { e } else { e.hint(format!("correct it in {}", node.origin)) }
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
            "gateway": "bastion", "gateway_user": "jump", "transport": "openssh", "ssh_options": {"Compression": true, "ConnectTimeout": 5}});
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
            transport: Some(Transport::OpenSsh),
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
            (json!({"transport": "opensh"}), "web1/transport"),
            (json!({"hostname": 3}), "web1/hostname"),
            (json!({"ssh_options": {"Prot": "22"}}), "web1"),
            (json!({"host_keys": "no key"}), "web1"),
        ] {
            let e = target(&node(metadata), &Login::default()).unwrap_err();
            assert_eq!(e.field.as_deref(), Some(field));
            assert_eq!(e.hint.as_deref(), Some("correct it in inventory.yaml:3:1"));
        }
    }

    #[test]
    fn metadata_says_as_whom_commands_run() {
        let other = |metadata| other_user(&node(metadata)).map(|b| b.map(|b| (b.user, b.method)));
        let root = |method| Ok(Some(("root".to_owned(), method)));
        assert_eq!(other(json!({})), Ok(None));
        assert_eq!(other(json!({"become": false, "become_user": "app"})), Ok(None));
        assert_eq!(other(json!({"become": "no"})), Ok(None));
        assert_eq!(other(json!({"become": true})), root(Method::Sudo));
        assert_eq!(other(json!({"become": "root", "become_method": "doas"})), root(Method::Doas));
        assert_eq!(other(json!({"become": "yes", "become_user": "app"})).unwrap().unwrap().0, "app");
        let e = other(json!({"become": true, "become_method": "magic"})).unwrap_err();
        assert_eq!(e.field.as_deref(), Some("web1/become_method"));
    }
}
