//! The verbs of the fleet: commands on nodes, in a directory with `hostler.yaml`. They work without a controller.
//!
//! Each verb is one file with one struct of arguments and `run`. What several share is one struct each, to be flattened:
//! [`directory::FleetDir`], [`selection::SelectionArgs`], [`ssh::ConnectArgs`], [`secrets::SecretsArgs`],
//! [`identity::BecomeArgs`], [`limits::LimitArgs`], [`watching::WatchArgs`].

mod bar;
mod check;
mod deploy;
mod deployment;
pub mod directory;
mod drift;
mod facts;
pub mod identity;
mod import;
pub mod keep;
mod last_deploys;
pub mod limits;
mod links;
pub mod node;
mod nodes_to_deploy;
mod person;
mod playbooks;
pub mod pool;
pub mod report;
mod run;
pub mod screen;
pub mod secrets;
mod sections;
pub mod selection;
pub mod signals;
pub mod ssh;
pub mod ssh_config;
pub mod summary;
mod teller;
mod test;
pub mod vm;
pub mod watching;

pub use check::plan_file;
pub use links::meant;

use crate::{Result, app::App, nouns};
use clap::Subcommand;

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Nodes of a fleet
    #[command(subcommand, visible_alias = "nodes")]
    Node(node::Command),
    /// Fleet directories, also those of Hybrid Platforms Conductor
    #[command(subcommand)]
    Fleet(Directories),
    /// Run commands on nodes
    Run(Box<run::Run>),
    /// What a deployment would change
    #[command(visible_alias = "check-node")]
    Check(Box<check::Check>),
    /// Make nodes as their services say
    Deploy(Box<deploy::Deploy>),
    /// The newest deployment of each node, as a table
    LastDeploys(Box<last_deploys::LastDeploys>),
    /// Which nodes have to be deployed, and why
    NodesToDeploy(Box<nodes_to_deploy::NodesToDeploy>),
    /// Which nodes are not as their services say
    Drift(Box<drift::Drift>),
    /// The nodes of a fleet and what is known of them, as a table
    Report(Box<report::Report>),
    /// How the nodes are reached, as a configuration of SSH
    SshConfig(ssh_config::SshConfig),
    /// Secrets of a fleet: their names, never their values
    #[command(subcommand, visible_alias = "secrets")]
    Secret(secrets::Command),
    /// Test nodes and their platforms
    Test(Box<test::Test>),
}

/// Fleet directories.
#[derive(Debug, Subcommand)]
pub enum Directories {
    /// Those that the controller knows
    #[command(flatten)]
    Registered(nouns::fleet::Command),
    /// Make hostler.yaml from hpc_config.rb
    Import(import::Import),
    /// Make its programs as that system calls them
    Links(links::Links),
}

impl Directories {
    async fn run(self, app: &App) -> Result {
        match self {
            Directories::Registered(command) => command.run(app).await,
            Directories::Import(import) => import.run(app).await,
            Directories::Links(links) => links.run(app),
        }
    }
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> Result {
        match self {
            Verb::Node(command) => command.run(app).await,
            Verb::Fleet(directories) => directories.run(app).await,
            Verb::Run(run) => run.run(app).await,
            Verb::Check(check) => check.run(app).await,
            Verb::Deploy(deploy) => deploy.run(app).await,
            Verb::LastDeploys(last) => last.run(app).await,
            Verb::NodesToDeploy(nodes) => nodes.run(app).await,
            Verb::Drift(drift) => drift.run(app).await,
            Verb::Report(report) => report.run(app).await,
            Verb::SshConfig(command) => command.run(app).await,
            Verb::Secret(command) => command.run(app).await,
            Verb::Test(test) => test.run(app).await,
        }
    }

    /// Has its own way with Ctrl-C.
    pub fn handles_signals(&self) -> bool {
        matches!(self, Verb::Run(_) | Verb::Check(_) | Verb::Deploy(_) | Verb::Drift(_))
    }
}
