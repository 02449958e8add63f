//! The verbs of the fleet: commands on nodes, in a directory with `hostler.yaml`. They work without a controller.
//!
//! Each verb is one file with one struct of arguments and `run`. What several share is one struct each, to be flattened:
//! [`directory::FleetDir`], [`selection::SelectionArgs`], [`ssh::SshArgs`], [`secrets::SecretsArgs`].

pub mod directory;
pub mod node;
pub mod report;
pub mod secrets;
pub mod selection;
pub mod ssh;

use crate::{Result, app::App};
use clap::Subcommand;

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Nodes of a fleet
    #[command(subcommand, visible_alias = "nodes")]
    Node(node::Command),
    /// The nodes of a fleet and what is known of them, as a table
    Report(report::Report),
    /// Secrets of a fleet: their names, never their values
    #[command(subcommand, visible_alias = "secrets")]
    Secret(secrets::Command),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> Result {
        match self {
            Verb::Node(command) => command.run(app).await,
            Verb::Report(report) => report.run(app).await,
            Verb::Secret(command) => command.run(app).await,
        }
    }

    /// Has its own way with Ctrl-C.
    #[allow(clippy::unused_self)] // verbs that have one come
    pub fn handles_signals(&self) -> bool {
        false
    }
}
