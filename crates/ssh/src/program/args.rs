//! How `ssh` is called.

use super::ssh;
use crate::{config::Files, exec::ExecRequest};
use base::{Error, Result, Secret};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};
use tokio::process::Command;

/// Where the password is while `ssh` asks for it: in the environment of that `ssh`, which only its user can see.
const PASSWORD: &str = "HOSTLER_SSH_PASSWORD";

/// Which host keys are taken.
#[derive(Clone, Debug)]
pub(crate) enum HostKeys {
    /// What `StrictHostKeyChecking` takes by this value.
    Policy(&'static str),
    /// These only.
    These(Vec<String>),
}

/// The way to a host.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    /// What people call the host.
    pub(crate) node: String,
    pub(crate) files: Files,
    /// Values that count before the files, as `ssh -o` takes them.
    pub(crate) options: Vec<String>,
    pub(crate) host_keys: HostKeys,
}

impl Way {
    /// All that comes before the host.
    pub(super) fn command(&self, dir: &Path) -> Result<Command> {
        let mut command = ssh();
        match &self.files {
            Files::Usual => {}
            Files::Only(path) => _ = command.arg("-F").arg(path),
            Files::Nothing => _ = command.args(["-F", "none"]),
        }
        for option in &self.options {
            command.arg("-o").arg(option);
        }
        match &self.host_keys {
            HostKeys::Policy(policy) => {
                command.arg("-o").arg(format!("StrictHostKeyChecking={policy}"));
            }
            HostKeys::These(keys) => {
                let path = dir.join("known_hosts");
                let lines: String = keys.iter().flat_map(|key| ["node ", key, "\n"]).collect();
                fs::write(&path, lines).map_err(|e| Error::io("write host keys for ssh", &e))?;
                command.args(["-o", "StrictHostKeyChecking=yes", "-o", "HostKeyAlias=node"]);
                command.arg("-o").arg(format!("UserKnownHostsFile={}", path.display()));
                command.args(["-o", "GlobalKnownHostsFile=none"]);
            }
        }
        for option in ["ClearAllForwardings=yes", "ForwardAgent=no", "ForwardX11=no", "RemoteCommand=none"] {
            command.args(["-o", option]);
        }
        Ok(command)
    }

    /// The host.
    pub(super) fn finish(&self, command: &mut Command) {
        command.arg("--").arg(&self.node);
    }
}

/// Lets `ssh` ask a script of ours, which tells the password. The script holds nothing.
pub(super) fn ask_for(command: &mut Command, dir: &Path, password: &Secret) -> Result<()> {
    let script = dir.join("ask");
    let write = || {
        fs::write(&script, format!("#!/bin/sh\nprintf '%s\\n' \"${PASSWORD}\"\n"))?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700))
    };
    write().map_err(|e| Error::io("write a script for ssh", &e))?;
    command.env("SSH_ASKPASS", script).env("SSH_ASKPASS_REQUIRE", "force");
    command.env(PASSWORD, password.expose_secret()).args(["-o", "NumberOfPasswordPrompts=1"]);
    Ok(())
}

/// What the command needs around it. Values of variables go by the environment, not by argv.
pub(super) fn request(command: &mut Command, request: &ExecRequest) {
    command.arg(if request.pty.is_some() { "-tt" } else { "-T" });
    if let Some(pty) = &request.pty {
        command.env("TERM", &pty.term);
    }
    for (name, value) in &request.env {
        command.arg("-o").arg(format!("SendEnv={name}")).env(name, value);
    }
    if request.subsystem.is_some() {
        command.arg("-s");
    }
}

/// The command itself.
pub(super) fn line(command: &mut Command, request: &ExecRequest) {
    command.args(request.subsystem.iter().chain(&request.command));
}
