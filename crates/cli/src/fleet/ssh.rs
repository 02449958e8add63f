//! How nodes are reached: the same flags for every verb that connects.

use super::directory::FleetDir;
use crate::{Result, app::App, env, terminal};
use clap::{Args, ValueEnum};
use fleet::connector::{Connectors, Login, Ssh};
use serde::Deserialize;
use ssh::{DialOptions, HostKeyPolicy, config::Files};
use std::{
    io::{IsTerminal, stderr, stdin},
    path::PathBuf,
};

/// How nodes are reached by SSH.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "SSH")]
pub struct SshArgs {
    /// The SSH configuration, instead of ~/.ssh/config and the system's
    #[arg(long, value_name = "FILE", env = "HOSTLER_SSH_CONFIG", hide_env = true)]
    pub ssh_config: Option<PathBuf>,
    /// The user on the nodes (or hpc_ssh_user in the environment)
    #[arg(long, short = 'u', value_name = "USER", env = "HOSTLER_SSH_USER", hide_env = true)]
    ssh_user: Option<String>,
}

/// What happens to host keys that nobody knows. One that has changed is always refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum HostKeys {
    /// They are refused
    Strict,
    /// They are kept at the first contact
    FirstUse,
}

/// The flags of verbs that connect.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "SSH")]
pub struct ConnectArgs {
    /// Where and as whom
    #[command(flatten)]
    pub ssh: SshArgs,
    /// Host keys that nobody knows: refused, or kept at the first contact, which is usual on a terminal only
    #[arg(long, value_name = "strict|first-use", hide_possible_values = true)]
    host_keys: Option<HostKeys>,
    /// Ask here for the password of the login
    #[arg(long)]
    ask_password: bool,
}

/// The section `ssh` of `hostler.yaml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    host_keys: Option<HostKeys>,
}

impl SshArgs {
    /// The configuration that counts, by the flag or by the environment.
    pub fn files(&self) -> Files {
        let named = self.ssh_config.clone().or_else(|| env::var("HOSTLER_SSH_CONFIG").map(PathBuf::from));
        named.map_or(Files::Usual, Files::Only)
    }

    /// The user that was asked for, by the flag or by the environment.
    pub fn user(&self) -> Option<String> {
        self.ssh_user.clone().or_else(|| env::var("hpc_ssh_user"))
    }
}

impl ConnectArgs {
    /// The ways to the nodes of a fleet. Nothing is opened yet.
    pub fn connectors(&self, app: &App, dir: &FleetDir) -> Result<Connectors> {
        let section: Section = dir.file()?.section("ssh")?;
        let ask = || terminal::password(app, "password of the login: ", "keys, or an SSH agent");
        let password = self.ask_password.then(ask).transpose()?;
        let options = DialOptions {
            files: self.ssh.files(),
            host_keys: self.host_keys.or(section.host_keys).or_else(usual).map(policy),
            ..DialOptions::default()
        };
        let login = Login { user: self.ssh.user(), password };
        let ssh = Ssh::new(env::surroundings(), options, login);
        Ok(Connectors::new([Box::new(ssh) as _]))
    }
}

/// Somebody who looks may be told of a new key; elsewhere the SSH configuration decides, which refuses it where it says
/// nothing.
fn usual() -> Option<HostKeys> {
    (stdin().is_terminal() && stderr().is_terminal()).then_some(HostKeys::FirstUse)
}

fn policy(keys: HostKeys) -> HostKeyPolicy {
    match keys {
        HostKeys::Strict => HostKeyPolicy::Strict,
        HostKeys::FirstUse => HostKeyPolicy::FirstUse,
    }
}
