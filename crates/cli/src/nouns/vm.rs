//! `hostler vm`.

mod console;
mod copy;
mod create;
mod describe;
mod exec;
mod flags;
mod forward;
mod logs;
mod power;
mod row;
pub mod session;
mod update;

use super::objects::{self, ListArgs, WaitArgs};
use crate::{
    Result,
    app::App,
    complete,
    parse::{self, InProject},
};
use api::Vm;
use clap::{Args, Subcommand};
use client::{Key, wait::Goal};

/// Virtual machines. A VM is named NAME, or NAME.PROJECT.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a VM
    Create(Box<create::Create>),
    /// List VMs
    #[command(visible_alias = "ls")]
    List {
        /// Of all projects
        #[arg(long, short = 'A')]
        all_projects: bool,
        /// Which, and how.
        #[command(flatten)]
        args: ListArgs,
    },
    /// Show VMs
    Get(Names),
    /// Show all that is known of a VM, with its events
    Describe(One),
    /// Change a VM
    #[command(alias = "set")]
    Update(Box<update::Update>),
    /// Start VMs
    Start(power::Power),
    /// Stop VMs: ask the guest, then cut it off
    Stop(power::Power),
    /// Restart VMs
    Restart(power::Power),
    /// Remove VMs, disk and all
    #[command(visible_alias = "rm")]
    Delete(power::Delete),
    /// Wait for a VM: ends on success, on failure, or in time
    Wait(power::Wait),
    /// Get a shell in a VM, or run a command there as ssh would
    Ssh(exec::Ssh),
    /// Run a command in a VM
    Exec(exec::Exec),
    /// Copy files to or from a VM
    Cp(copy::Copy),
    /// Reach TCP ports of a VM from this host
    PortForward(forward::PortForward),
    /// Open a local port to the screen of a VM
    Vnc(forward::Vnc),
    /// Get the serial console of a VM
    Console(One),
    /// Show what a VM wrote to its console, or what its startup script said
    #[command(visible_alias = "log")]
    Logs(logs::Logs),
}

/// One VM.
#[derive(Args, Clone, Debug)]
pub struct One {
    /// The VM
    #[arg(value_parser = parse::in_project, add = complete::vms())]
    pub name: InProject,
}

/// Several VMs.
#[derive(Args, Clone, Debug)]
pub struct Names {
    /// The VMs
    #[arg(required = true, value_name = "NAME", value_parser = parse::in_project, add = complete::vms())]
    pub names: Vec<InProject>,
}

impl Names {
    fn keys(&self, app: &App) -> Result<Vec<Key>> {
        keys(app, &self.names)
    }
}

fn keys(app: &App, names: &[InProject]) -> Result<Vec<Key>> {
    names.iter().map(|n| app.key(n)).collect()
}

impl Command {
    pub async fn run(self, app: &App) -> Result {
        match self {
            Command::Create(c) => c.run(app).await,
            Command::List { all_projects: true, args } => objects::list::<Vm>(app, None, &args).await,
            Command::List { args, .. } => objects::list::<Vm>(app, Some(&app.project()?), &args).await,
            Command::Get(c) => objects::get::<Vm>(app, &c.keys(app)?).await,
            Command::Describe(c) => describe::run(app, &c.name).await,
            Command::Update(c) => c.run(app).await,
            Command::Start(c) => c.run(app, power::Verb::Start).await,
            Command::Stop(c) => c.run(app, power::Verb::Stop).await,
            Command::Restart(c) => c.run(app, power::Verb::Restart).await,
            Command::Delete(c) => c.run(app).await,
            Command::Wait(c) => c.run(app).await,
            Command::Ssh(c) => c.run(app).await,
            Command::Exec(c) => c.run(app).await,
            Command::Cp(c) => c.run(app).await,
            Command::PortForward(c) => c.run(app).await,
            Command::Vnc(c) => c.run(app).await,
            Command::Console(c) => console::run(app, &c.name).await,
            Command::Logs(c) => c.run(app).await,
        }
    }
}

/// Waits for a VM and shows how far it is.
async fn wait_for(app: &App, key: &Key, goal: Goal, args: &WaitArgs) -> Result<Option<Vm>> {
    let client = app.client()?;
    let mut progress = crate::progress::Progress::spinner(app);
    let name = key.short();
    let waited = client::wait::vm(&client, key, goal, args.limit(), |vm| {
        let (phase, message) = (vm.status.phase.as_str(), &vm.status.message);
        progress.say(&if message.is_empty() {
            format!("{name}: {phase}")
        } else {
            format!("{name}: {phase}: {message}")
        });
    });
    Ok(waited.await?)
}
