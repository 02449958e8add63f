//! A real `ssh-agent`, gone with its handle.

use base::{Error, Result};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{net::UnixStream, process::Child};

/// How long it may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running agent.
#[derive(Debug)]
pub struct SshAgent {
    // Before the directory, so that the process is gone first.
    _child: Child,
    dir: TempDir,
}

impl SshAgent {
    /// Starts one that holds no key.
    ///
    /// # Errors
    /// Where `ssh-agent` is missing or does not start.
    pub async fn start() -> Result<Self> {
        let dir = tempfile::tempdir().map_err(|e| Error::io("make a directory", &e))?;
        let mut command = rt::process::command("ssh-agent");
        command.arg("-D").arg("-a").arg(dir.path().join("agent"));
        let child = command.spawn().map_err(|e| rt::process::cannot_start("ssh-agent", &e))?;
        let agent = SshAgent { _child: child, dir };
        let up = async {
            while UnixStream::connect(agent.socket()).await.is_err() {
                rt::clock::sleep(Duration::from_millis(10)).await;
            }
        };
        rt::clock::timeout(PATIENCE, "the start of ssh-agent", up).await?;
        Ok(agent)
    }

    /// The value of `SSH_AUTH_SOCK` for it.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("agent")
    }

    /// Gives it a private key without a passphrase, and the certificate beside it.
    ///
    /// # Errors
    /// Where `ssh-add` is missing or fails.
    pub async fn add(&self, key: &Path) -> Result<()> {
        let mut command = rt::process::command("ssh-add");
        command.arg("-q").arg(key).env("SSH_AUTH_SOCK", self.socket());
        rt::process::run(command, PATIENCE).await.map(drop)
    }
}
