//! `hostler controller`.

use super::{objects::WaitArgs, operation};
use crate::{ControllerOptions, Daemons, RestoreOptions, Result, app::App, args::Format, env, failure::OK};
use api::{Operation, routes::RouteId};
use base::Code;
use clap::{Args, Subcommand};
use std::{net::SocketAddr, path::PathBuf};

/// The controller and its store.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Be the controller
    Run(Run),
    /// Backups of the store
    #[command(subcommand, visible_alias = "backups")]
    Backup(Backup),
}

/// `hostler controller run`.
#[derive(Args, Clone, Debug)]
pub struct Run {
    /// Where the store, the CA and the images are kept [default: $XDG_STATE_HOME/hostler/controller]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where the API and the workers' links arrive
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:6120")]
    pub listen: SocketAddr,
    /// A name or address for its certificate, beside the host's own; repeat it for several
    #[arg(long = "tls-name", value_name = "NAME")]
    pub tls_names: Vec<String>,
    /// Do not write a context for its first administrator
    #[arg(long)]
    pub no_context: bool,
    /// End the process at a point that a test chose
    #[arg(long, hide = true)]
    pub failpoint: Option<String>,
}

/// Backups of the store.
#[derive(Debug, Subcommand)]
pub enum Backup {
    /// Make a backup of a running controller, into `backups/` of its directory
    Create {
        /// Whether to wait.
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Check that a backup is whole, and say what is in it
    Verify {
        /// The backup
        file: PathBuf,
    },
    /// Make a backup the store of a controller that does not run
    Restore {
        /// The backup
        file: PathBuf,
        /// The controller's directory [default: $XDG_STATE_HOME/hostler/controller]
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
        /// Replace the store that is there; the old one is kept beside it
        #[arg(long)]
        replace: bool,
    },
}

fn data_dir(dir: Option<PathBuf>) -> base::Result<PathBuf> {
    env::data_dir(dir, "controller")
}

impl Command {
    pub async fn run(self, app: &App, daemons: &dyn Daemons) -> Result {
        match self {
            Command::Run(args) => {
                let options = ControllerOptions {
                    data_dir: data_dir(args.data_dir)?,
                    listen: args.listen,
                    tls_names: args.tls_names,
                    config_file: if args.no_context { None } else { Some(env::config_file()?) },
                    failpoint: args.failpoint,
                };
                daemons.controller(options).await?;
                Ok(OK)
            }
            Command::Backup(Backup::Create { wait }) => create(app, &wait).await,
            Command::Backup(Backup::Verify { file }) => {
                let report = daemons.verify_backup(file).await?;
                show(app, &report, "the backup is whole")
            }
            Command::Backup(Backup::Restore { file, data_dir: dir, replace }) => {
                let options = RestoreOptions { file, data_dir: data_dir(dir)?, replace };
                if replace {
                    app.confirm(&format!("Replace the store in {}?", options.data_dir.display()))?;
                }
                let restored = daemons.restore_backup(options).await;
                let report = restored.map_err(|e| match e.code {
                    Code::Conflict if !replace => {
                        e.hint("give --replace to keep that one beside the new one")
                    }
                    _ => e,
                })?;
                show(app, &report, "restored; start the controller now")
            }
        }
    }
}

async fn create(app: &App, wait: &WaitArgs) -> Result {
    let call = app.client()?.call(RouteId::CreateBackup, &[]);
    let mut operation: Operation = call.send().await?;
    let name = operation.metadata.name.to_string();
    if wait.wait {
        operation = operation::wait(app, &client::Key::cluster(name.as_str()), wait.limit()).await?;
    }
    if app.printer.format.is_data() {
        app.printer.value(&operation)?;
    } else if app.printer.format == Format::Name {
        app.printer.line(&name);
    } else if let Some(result) = &operation.status.result {
        show(app, result, "backup made")?;
    } else {
        app.printer.note(&format!("backup begun: hostler operation wait {name}"));
    }
    Ok(OK)
}

/// A report: its fields as lines, or as they are.
fn show(app: &App, report: &serde_json::Value, sentence: &str) -> Result {
    if app.printer.format.is_data() {
        app.printer.value(report)?;
        return Ok(OK);
    }
    for (key, value) in report.as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        app.printer.line(&format!("{key:<12} {value}"));
    }
    app.printer.note(sentence);
    Ok(OK)
}
