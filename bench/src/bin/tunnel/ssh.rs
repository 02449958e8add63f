//! The peer: `ssh -L` to a host behind a jump host, with OpenSSH's own defaults.

use crate::ends::{Ends, address, listen};
use base::{Error, Result};
use e2e::{Process, eventually};
use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::Path, time::Duration};
use tempfile::TempDir;
use testkit::sshd::Sshd;
use tokio::net::TcpStream;

const START: Duration = Duration::from_secs(30);

/// Two ssh servers, and a client that forwards two ports through both.
pub struct Jump {
    pub ends: Ends,
    _client: Process,
    _servers: [Sshd; 2],
    _dir: TempDir,
}

impl Jump {
    pub async fn start(to: Ends) -> Result<Self> {
        let dir = tempfile::tempdir().map_err(|e| Error::io("make a directory", &e))?;
        let (jump, target) = (Sshd::start(&[]).await?, Sshd::start(&[]).await?);
        let config = dir.path().join("config");
        let text = format!(
            "{}{}Host target\n  ProxyCommand ssh -F {} -W %h:%p jump\n",
            host(dir.path(), "jump", &jump)?,
            host(dir.path(), "target", &target)?,
            config.display()
        );
        fs::write(&config, text).map_err(|e| Error::io("write a configuration", &e))?;
        let (source, sink) = (address(&listen().await), address(&listen().await));
        let mut command = rt::process::command("ssh");
        command.arg("-F").arg(&config).args(["-N", "-o", "ExitOnForwardFailure=yes"]);
        for (local, remote) in [(source, to.source), (sink, to.sink)] {
            command.arg("-L").arg(format!("{local}:{remote}"));
        }
        command.arg("target");
        let client = Process::start(command, &dir.path().join("log"));
        let answers = |at: SocketAddr| async move { TcpStream::connect(at).await.ok() };
        eventually("ssh forwards", START, || answers(sink)).await;
        Ok(Jump { ends: Ends { source, sink }, _client: client, _servers: [jump, target], _dir: dir })
    }
}

fn host(dir: &Path, name: &str, server: &Sshd) -> Result<String> {
    let key = dir.join(name);
    let write = || {
        fs::write(&key, server.user_key().expose_secret())?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600))
    };
    write().map_err(|e| Error::io("write a key", &e))?;
    let (address, user) = (server.address(), server.user());
    Ok(format!(
        "Host {name}\n  HostName {}\n  Port {}\n  User {user}\n  IdentityFile {}\n  IdentitiesOnly yes\n  \
         StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n",
        address.ip(),
        address.port(),
        key.display()
    ))
}
