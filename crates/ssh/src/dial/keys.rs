//! Whom we believe: the host keys that are known, and how new ones become so.

use super::{Core, HostKeyPolicy, Leg};
use crate::{
    config::{HostConfig, NewHostKeys},
    connection::State,
    host_key::{Checker, KnownCheck, NewKeys, Pinned},
    known_hosts::{self, Kind, Known},
    options::HostKeyCheck,
};
use base::{Code, Error, Result};
use russh::keys::PublicKey;
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Signatures of authorities that count, where no configuration says (ssh_config(5), `CASignatureAlgorithms`).
const AUTHORITY_ALGORITHMS: [&str; 8] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

impl Core {
    /// What judges the key of a host.
    pub(super) fn checker(&self, leg: &Leg, address: Option<IpAddr>) -> Result<Checker> {
        let host = &leg.host;
        if !leg.target.host_keys.is_empty() {
            let check = HostKeyCheck::Pinned(leg.target.host_keys.clone());
            return Pinned::new(&check).map(Checker::Pinned);
        }
        if host.trust_localhost && address.is_some_and(|a| a.is_loopback()) {
            return Ok(Checker::Pinned(Pinned::any()));
        }
        let authorities = match &host.ca_signature_algorithms {
            Some(list) => list.apply(&AUTHORITY_ALGORITHMS, &AUTHORITY_ALGORITHMS),
            None => AUTHORITY_ALGORITHMS.to_vec(),
        };
        let (name, port) = known_name(host);
        let address = address.filter(|_| host.check_host_ip).map(|a| a.to_string());
        let address = address.filter(|a| *a != name).map(|a| known_hosts::host_name(&a, host.port));
        let revoked = host.revoked_host_keys.as_deref().map(revoked).transpose()?;
        Ok(Checker::Known(Box::new(KnownCheck {
            node: leg.name().to_owned(),
            name,
            port,
            address,
            book: self.books.read(host.user_known_hosts.iter().chain(&host.global_known_hosts))?,
            revoked: revoked.unwrap_or_default(),
            new_keys: self.new_keys(host),
            authority_algorithms: authorities.into_iter().map(str::to_owned).collect(),
        })))
    }

    fn new_keys(&self, host: &HostConfig) -> NewKeys {
        let answers = &self.options.answers;
        match (self.options.host_keys, host.new_host_keys) {
            (Some(HostKeyPolicy::FirstUse), _) | (None, NewHostKeys::Accept) => NewKeys::Accept,
            (None, NewHostKeys::Ask) if answers.is_there() && !host.batch_mode => {
                NewKeys::Ask(Arc::clone(answers))
            }
            (Some(HostKeyPolicy::Strict), _) | (None, NewHostKeys::Refuse | NewHostKeys::Ask) => {
                NewKeys::Refuse
            }
        }
    }

    /// Keeps what was new about a key that was taken.
    pub(super) async fn keep_new_names(&self, host: &HostConfig, state: &State) -> Result<()> {
        let (Some(names), Some(key)) = (state.new_names.get(), state.host_key.get()) else { return Ok(()) };
        // Whoever names /dev/null wants none to be kept.
        let kept = |path: &&PathBuf| !names.is_empty() && path.as_path() != Path::new("/dev/null");
        let Some(path) = host.user_known_hosts.first().filter(kept) else { return Ok(()) };
        let (path, names, key, hash) = (path.clone(), names.clone(), key.clone(), host.hash_known_hosts);
        let fingerprint = crate::public_fingerprint(&key)?;
        let adding = move || names.iter().try_for_each(|name| known_hosts::add(&path, name, &key, hash));
        rt::task::blocking(adding).await??;
        self.options.answers.kept(&host.host, &fingerprint);
        Ok(())
    }

    /// The keys that files know of a host, unless an authority vouches for it.
    pub(super) fn known_keys(&self, host: &HostConfig) -> Result<Vec<String>> {
        let book = self.books.read(host.user_known_hosts.iter().chain(&host.global_known_hosts))?;
        let mut bad = host.revoked_host_keys.as_deref().map(revoked).transpose()?.unwrap_or_default();
        let (name, port) = known_name(host);
        let full = known_hosts::host_name(&name, port);
        let known: Vec<Known<'_>> = book.of(&full).collect();
        if known.iter().any(|k| k.kind == Kind::Authority) {
            return Ok(Vec::new());
        }
        let is_key = |k: &&Known<'_>| k.kind == Kind::Key;
        bad.extend(known.iter().filter(|k| k.kind == Kind::Revoked).map(|k| k.blob.to_vec()));
        let usual: Vec<Known<'_>> =
            if known.iter().any(|k| is_key(&k)) { Vec::new() } else { book.of(&name).collect() };
        let keys = known.iter().chain(&usual).filter(is_key).filter(|k| !bad.iter().any(|b| b == k.blob));
        let mut lines: Vec<String> = keys.map(Known::key_line).collect();
        lines.sort();
        lines.dedup();
        Ok(lines)
    }

    /// Replaces what is known of a host.
    pub(super) async fn trust(&self, leg: &Leg, key: &str) -> Result<usize> {
        let host = &leg.host;
        let key = crate::check_public_key(key)?;
        let path = host.user_known_hosts.first().cloned().ok_or_else(|| {
            Error::new(Code::Invalid, format!("no file keeps the host keys of {}", leg.name()))
                .hint("name one in the SSH configuration: UserKnownHostsFile")
        })?;
        let (name, port) = known_name(host);
        let (name, hash) = (known_hosts::host_name(&name, port), host.hash_known_hosts);
        rt::task::blocking(move || known_hosts::replace(&path, &name, &[key], hash)).await?
    }
}

/// The name and port under which the keys of a host are known.
fn known_name(host: &HostConfig) -> (String, u16) {
    match &host.host_key_alias {
        Some(alias) => (alias.clone(), 22),
        None => (host.host_name.to_ascii_lowercase(), host.port),
    }
}

/// Keys that no host may show. Without this file no host is believed, as with OpenSSH.
fn revoked(path: &Path) -> Result<Vec<Vec<u8>>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(format_args!("read {}", path.display()), &e))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::new(Code::Invalid, format!("{} is not a list of public keys", path.display()))
            .because("key revocation lists (KRL) are read by OpenSSH only")
            .hint("list the keys one a line, or reach this node with transport: openssh")
    })?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let key = |line| {
        PublicKey::from_openssh(line).ok().and_then(|key| key.to_bytes().ok()).ok_or_else(|| {
            Error::new(Code::Invalid, format!("a line of {} is not a public key", path.display()))
                .because(line)
        })
    };
    lines.map(key).collect()
}
