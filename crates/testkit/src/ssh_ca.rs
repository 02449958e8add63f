//! An authority that signs SSH keys of users and hosts, with `ssh-keygen`.

use crate::sshd::make_key_of;
use base::{Error, Result};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// An authority with a key of its own.
#[derive(Debug)]
pub struct SshCa {
    dir: TempDir,
    line: String,
}

impl SshCa {
    /// A new one, with an ed25519 key.
    ///
    /// # Errors
    /// Where `ssh-keygen` is missing.
    pub async fn new() -> Result<Self> {
        let dir = tempfile::tempdir().map_err(|e| Error::io("make a directory", &e))?;
        let line = make_key_of(&dir.path().join("ca"), "ed25519", "").await?;
        Ok(SshCa { dir, line })
    }

    /// Its public key, for `@cert-authority`.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The file with its public key, for `TrustedUserCAKeys`.
    pub fn public(&self) -> PathBuf {
        self.dir.path().join("ca.pub")
    }

    /// Signs `KEY.pub` for these names; the certificate is `KEY-cert.pub`, and its path is returned. `more` are further
    /// arguments: `-h` for a host, `-V` and a time.
    ///
    /// # Errors
    /// Where `ssh-keygen` fails.
    pub async fn sign(&self, key: &Path, names: &str, more: &[&str]) -> Result<PathBuf> {
        let mut command = rt::process::command("ssh-keygen");
        command.args(["-q", "-I", "test", "-s"]).arg(self.dir.path().join("ca"));
        if !names.is_empty() {
            command.args(["-n", names]);
        }
        let name = key.display();
        command.args(more).arg(format!("{name}.pub"));
        rt::process::run(command, PATIENCE).await?;
        Ok(PathBuf::from(format!("{name}-cert.pub")))
    }
}
