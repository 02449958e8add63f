//! What Ansible takes as an inventory: a file, a directory of them, or a script.
//!
//! Variables are metadata, but for those that begin with `ansible_`, which say how a host is reached, for those that
//! would say it here and mean something else there (`gateway`), and for what is encrypted: metadata is shown. Templates
//! stay as they are written.

use super::{Found, PlatformEntry};
use crate::{
    Metadata, Node,
    ansible::{AnsibleInventory, Connection, Options, Vault, VaultId},
    node::{CONNECTING, Passwords},
};
use base::{Code, Error, Result};
use serde_json::Value;
use std::{
    collections::{BTreeSet, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How long a script, or a program with a password, may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Reads the inventory at a path. What else the entry names is relative to the fleet directory.
pub async fn read(path: &Path, entry: &PlatformEntry, dir: &Path) -> Result<Found> {
    let mut passwords = Vec::new();
    if let Some(file) = &entry.vault_password_file {
        let id = VaultId::parse(&file.value);
        passwords.push((id.id.clone(), id.password(dir, PATIENCE).await?));
    }
    let options = Options {
        sources: vec![path.display().to_string()],
        directory: dir.to_owned(),
        playbook_dir: entry.playbook_dir.as_ref().map(|dir| PathBuf::from(&dir.value)),
        vault: Arc::new(Vault::new(passwords)),
        script_limit: PATIENCE,
    };
    let inventory = Arc::new(AnsibleInventory::read(&options).await?);
    for warning in &inventory.warnings {
        tracing::warn!("{warning}");
    }
    let hidden: HashSet<String> =
        inventory.secrets().iter().map(|secret| secret.expose_secret().to_owned()).collect();
    let nodes = inventory.hosts.keys().map(|name| node(&inventory, name, path, &hidden)).collect();
    let members = |group: &str| inventory.members(group).into_iter().map(ToOwned::to_owned).collect();
    let groups = inventory.groups.keys().map(|name| (name.to_string(), members(name))).collect();
    Ok(Found { nodes, groups, ansible: Some(inventory) })
}

fn node(inventory: &Arc<AnsibleInventory>, name: &str, path: &Path, hidden: &HashSet<String>) -> Node {
    let host = &inventory.hosts[name];
    let variables = host.vars();
    let is_shown = |key: &str, value: &Value| {
        !key.starts_with("ansible_") && !CONNECTING.contains(&key) && !is_encrypted(value, hidden)
    };
    let shown = variables.iter().filter(|(key, value)| is_shown(key, value));
    let mut metadata: Metadata = shown.map(|(key, value)| (key.to_string(), Value::clone(value))).collect();
    let mut passwords = Passwords::default();
    match inventory.connection(name).and_then(carried) {
        Ok(connection) => {
            metadata.extend(connection.metadata());
            passwords.login = connection.password;
            // Whoever asks for another user on the command line has its password here too.
            let other = connection.escalation.map_or_else(|| inventory.escalation(name).ok(), Some);
            passwords.other_user = other.and_then(|other| other.password);
        }
        // The others can be used; whoever connects to this one hears why not.
        Err(e) => {
            metadata.insert("connection_error".into(), e.to_string().into());
        }
    }
    let groups: BTreeSet<String> = host.groups.iter().map(ToString::to_string).collect();
    let origin = path.display().to_string();
    Node { name: name.to_owned(), metadata, groups, origin, passwords, ..Node::default() }
}

/// A connection of which nothing is left out.
fn carried(connection: Connection) -> Result<Connection> {
    match connection.escalation.as_ref().and_then(|other| other.program.as_deref()) {
        Some(program) => {
            Err(Error::new(Code::Invalid, format!("another user by way of {program} is not possible"))
                .at("ansible_become_exe")
                .hint("put sudo, su or doas on the PATH of the login"))
        }
        None => Ok(connection),
    }
}

/// Whether a vault is anywhere in it, or a text that stood in an encrypted file.
fn is_encrypted(value: &Value, hidden: &HashSet<String>) -> bool {
    match value {
        Value::Object(map) => {
            map.contains_key("__ansible_vault") || map.values().any(|value| is_encrypted(value, hidden))
        }
        Value::Array(list) => list.iter().any(|value| is_encrypted(value, hidden)),
        Value::String(text) => hidden.contains(text),
        Value::Number(number) => hidden.contains(&number.to_string()),
        Value::Null | Value::Bool(_) => false,
    }
}
