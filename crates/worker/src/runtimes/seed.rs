//! The seed: a small read-only disk from which a guest learns its name, its user and its keys (cloud-init's NoCloud data
//! source, and plain files for guests without cloud-init).

mod dropbear;
#[cfg(test)]
mod tests;

use super::{Machine, Seed};
use base::{Error, Result};
use hadris_iso::{
    joliet::JolietLevel,
    read::PathSeparator,
    rrip::RripOptions,
    write::{
        InputEntry, InputTree, IsoImageWriter,
        options::{BaseIsoLevel, CreationFeatures, IsoFormatOptions},
    },
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, io::Cursor};

/// The label by which cloud-init finds the disk.
const LABEL: &str = "cidata";

/// The seed disk of a machine.
pub fn seed(machine: &Machine) -> Result<Vec<u8>> {
    let files = files(machine);
    let borrowed: Vec<_> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    seed_iso(&borrowed)
}

/// An ISO 9660 image with label `cidata` of these files; a path may have one directory. Names keep their case: both Rock
/// Ridge and Joliet are written.
pub fn seed_iso(files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut entries = Vec::new();
    let mut directories: BTreeMap<&str, Vec<InputEntry>> = BTreeMap::new();
    for (path, bytes) in files {
        match path.split_once('/') {
            None => entries.push(InputEntry::file(*path, *bytes)),
            Some((dir, name)) => directories.entry(dir).or_default().push(InputEntry::file(name, *bytes)),
        }
    }
    entries.extend(directories.into_iter().map(|(name, inside)| InputEntry::directory(name, inside)));
    let tree = InputTree { path_separator: PathSeparator::ForwardSlash, entries };
    IsoImageWriter::create(Cursor::new(Vec::new()), tree, format())
        .map(Cursor::into_inner)
        .map_err(|e| Error::internal("cannot make the seed disk").because(e))
}

fn format() -> IsoFormatOptions {
    IsoFormatOptions {
        volume_name: LABEL.to_owned(),
        system_id: None,
        volume_set_id: None,
        publisher_id: None,
        preparer_id: None,
        application_id: None,
        sector_size: 2048,
        features: CreationFeatures {
            filenames: BaseIsoLevel::Level1 { supports_lowercase: false, supports_rrip: true },
            joliet: Some(JolietLevel::Level3),
            rock_ridge: Some(RripOptions::default()),
            ..CreationFeatures::default()
        },
        path_separator: PathSeparator::ForwardSlash,
        strict_charset: false, // the label is lower case
    }
}

/// What is on the seed: path and content.
fn files(machine: &Machine) -> Vec<(String, Vec<u8>)> {
    let seed = &machine.seed;
    let private = seed.host_key_private.expose_secret();
    let line = |text: &str| format!("{}\n", text.trim_end());
    let metadata = json!({ "instance-id": machine.uid.to_string(), "local-hostname": seed.hostname });
    let keys: String = seed.authorized_keys.iter().map(|k| line(k)).collect();
    let own = |name: &str| format!("hostler/{name}");
    let mut files: Vec<(String, Vec<u8>)> = vec![
        ("meta-data".into(), yaml(&metadata).into()),
        ("user-data".into(), format!("#cloud-config\n{}", yaml(&user_data(seed))).into()),
        ("network-config".into(), yaml(&network_config()).into()),
        (own("hostname"), line(&seed.hostname).into()),
        (own("user"), line(&seed.user).into()),
        (own("authorized_keys"), keys.into()),
        (own("ssh_host_ed25519_key"), line(private).into()),
        (own("ssh_host_ed25519_key.pub"), line(&seed.host_key_public).into()),
    ];
    files.extend(dropbear::host_key(private).map(|key| (own("ssh_host_ed25519_key.dropbear"), key)));
    files
}

/// JSON is YAML, and needs no thought about quoting.
fn yaml(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Keys only, no passwords; the user becomes root by sudo.
fn user_data(seed: &Seed) -> Value {
    let mut user = json!({
        "name": seed.user,
        "ssh_authorized_keys": seed.authorized_keys.iter().map(|k| k.trim_end()).collect::<Vec<_>>(),
        "lock_passwd": true,
    });
    if seed.user != "root" {
        user["shell"] = json!("/bin/bash");
        user["sudo"] = json!("ALL=(ALL) NOPASSWD:ALL");
    }
    json!({
        "hostname": seed.hostname,
        "users": [user],
        "disable_root": seed.user != "root",
        "ssh_pwauth": false,
        "ssh_deletekeys": true,
        "ssh_keys": {
            "ed25519_private": format!("{}\n", seed.host_key_private.expose_secret().trim_end()),
            "ed25519_public": seed.host_key_public.trim_end(),
        },
    })
}

fn network_config() -> Value {
    json!({ "version": 2, "ethernets": { "all": { "match": { "name": "e*" }, "dhcp4": true, "optional": true } } })
}
