//! Inventories against Ansible itself: what it reads out of a file, we read out of it.

#![allow(clippy::unwrap_used, clippy::expect_used)] // what is not as it must be ends the test

mod connections;
mod fixtures;
mod generated;
mod large;
mod oracle;

use inventory::ansible::{AnsibleInventory, Options, Vault, VaultId};
use std::{path::Path, sync::Arc, time::Duration};

/// How long a script or a password program may take on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

/// Where to read, and nothing else set.
fn options(directory: &Path, sources: &[&str]) -> Options {
    Options {
        sources: sources.iter().map(ToString::to_string).collect(),
        directory: directory.to_owned(),
        playbook_dir: None,
        vault: Arc::default(),
        script_limit: LIMIT,
    }
}

/// The passwords that are named as `--vault-id` names them.
async fn vault(directory: &Path, ids: &[&str]) -> Vault {
    let mut passwords = Vec::new();
    for id in ids.iter().map(|id| VaultId::parse(id)) {
        let password = id.password(directory, LIMIT).await.unwrap();
        passwords.push((id.id, password));
    }
    Vault::new(passwords)
}

async fn read(options: &Options) -> AnsibleInventory {
    AnsibleInventory::read(options).await.unwrap()
}
