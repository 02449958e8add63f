//! How nodes are reached: the same flags for every verb that connects.

use super::{directory::FleetDir, keep, person::Person, vm::Vms};
use crate::{Result, app::App, env, parse, terminal};
use base::Error;
use clap::{Args, ValueEnum};
use fleet::connector::{Connector, Connectors, Login, Ssh};
use serde::Deserialize;
use ssh::{DialOptions, HostKeyPolicy, Transport, config::Files};
use std::{
    io::{IsTerminal, stderr, stdin},
    path::PathBuf,
    sync::Arc,
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
    /// Keep connections for the next runs, until nobody used them for 10 minutes, or for TIME
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "10m",
        value_parser = parse::seconds
    )]
    persist: Option<u64>,
}

/// The section `ssh` of `hostler.yaml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    host_keys: Option<HostKeys>,
    transport: Option<Transport>,
}

impl SshArgs {
    /// The configuration that counts, by the flag or by the environment.
    pub fn files(&self) -> Files {
        let named = self.ssh_config.clone().or_else(|| env::var("HOSTLER_SSH_CONFIG").map(PathBuf::from));
        named.map_or(Files::Usual, Files::Only)
    }

    /// The same, where there is such a file: else each node would complain of it.
    fn existing_files(&self) -> Result<Files> {
        let files = self.files();
        match &files {
            Files::Only(path) if !path.exists() => {
                Err(Error::not_found(format!("there is no SSH configuration at {}", path.display()))
                    .at("--ssh-config")
                    .into())
            }
            _ => Ok(files),
        }
    }

    /// The user that was asked for, by the flag or by the environment.
    pub fn user(&self) -> Option<String> {
        self.ssh_user.clone().or_else(|| env::var("hpc_ssh_user"))
    }

    /// The way to nodes, for whoever looks at host keys and logs in nowhere.
    pub fn way(&self) -> Ssh {
        let options = DialOptions { files: self.files(), ..DialOptions::default() };
        Ssh::new(env::surroundings(), options, Login { user: self.user(), password: None })
    }
}

impl ConnectArgs {
    /// As whom to log in. Asks for the password where that is wanted.
    pub fn login(&self, app: &App) -> Result<Login> {
        let ask = || terminal::password(app, "password of the login: ", "keys, or an SSH agent");
        Ok(Login { user: self.ssh.user(), password: self.ask_password.then(ask).transpose()? })
    }

    /// The ways to the nodes of a fleet. Nothing is opened yet.
    pub fn connectors(&self, app: &App, dir: &FleetDir, login: Login) -> Result<Connectors> {
        rt::process::raise_file_limit(); // each node is a connection
        let way: Box<dyn Connector> = match self.persist {
            Some(idle) => Box::new(keep::persisted(self.options(app, dir)?, &login, idle)?),
            None => Box::new(self.way(app, dir, login)?),
        };
        Ok(Connectors::new([Box::new(Vms::new(app)) as _, way]))
    }

    /// The way over SSH alone.
    pub fn way(&self, app: &App, dir: &FleetDir, login: Login) -> Result<Ssh> {
        Ok(Ssh::new(env::surroundings(), self.options(app, dir)?, login))
    }

    fn options(&self, app: &App, dir: &FleetDir) -> Result<DialOptions> {
        let section: Section = dir.file()?.section("ssh")?;
        Ok(DialOptions {
            files: self.ssh.existing_files()?,
            host_keys: self.host_keys.or(section.host_keys).or_else(usual).map(policy),
            transport: section.transport,
            answers: Arc::new(Person::new(app)),
            ..DialOptions::default()
        })
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
