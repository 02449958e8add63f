//! How nodes are reached by SSH: the same flags for every verb that connects.

use crate::env;
use clap::Args;
use ssh::config::Files;
use std::path::PathBuf;

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

impl SshArgs {
    /// The configuration that counts, by the flag or by the environment.
    pub fn files(&self) -> Files {
        let named = self.ssh_config.clone().or_else(|| env::var("HOSTLER_SSH_CONFIG").map(PathBuf::from));
        named.map_or(Files::Usual, Files::Only)
    }

    /// The user that was asked for, by the flag or by the environment.
    #[allow(dead_code)] // for the verbs that come
    pub fn user(&self) -> Option<String> {
        self.ssh_user.clone().or_else(|| env::var("hpc_ssh_user"))
    }
}
