//! `hostler vm start`, `stop`, `restart`, `delete` and `wait`.

use super::{Names, keys, wait_for};
use crate::{
    Result,
    app::App,
    complete,
    failure::OK,
    nouns::objects::{self, ListArgs, WaitArgs, done, for_each},
    parse::{self, InProject},
};
use api::{Patch, Vm, routes::RouteId};
use clap::{Args, ValueEnum};
use client::{Client, Key, wait::Goal};
use serde_json::json;

/// VMs, and whether to wait.
#[derive(Args, Clone, Debug)]
pub struct Power {
    /// Which.
    #[command(flatten)]
    pub names: Names,
    /// Whether to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// What is done to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Let them run.
    Start,
    /// Let them not run.
    Stop,
    /// Once.
    Restart,
}

impl Verb {
    fn goal(self) -> Goal {
        if self == Verb::Stop { Goal::Stopped } else { Goal::Ready }
    }

    async fn ask(self, client: &Client, key: &Key) -> client::Result<Vm> {
        let power = match self {
            Verb::Start => "Running",
            Verb::Stop => "Stopped",
            Verb::Restart => {
                let project = key.project.as_deref().unwrap_or_default();
                return client.call(RouteId::RestartVm, &[project, &key.name]).send().await;
            }
        };
        client.patch(key, &Patch { labels: None, spec: Some(json!({ "power": power })) }).await
    }

    fn words(self, waited: bool) -> &'static str {
        match (self, waited) {
            (Verb::Start, false) => "starts",
            (Verb::Stop, false) => "stops",
            (Verb::Restart, false) => "restarts",
            (Verb::Stop, true) => "is stopped",
            (_, true) => "is ready",
        }
    }
}

impl Power {
    pub async fn run(self, app: &App, verb: Verb) -> Result {
        let client = app.client()?;
        let keys = self.names.keys(app)?;
        for_each(app, &keys, async |key| {
            verb.ask(&client, key).await?;
            if self.wait.wait {
                wait_for(app, key, verb.goal(), &self.wait).await?;
            }
            done(app, "VM", key, verb.words(self.wait.wait));
            Ok(())
        })
        .await
    }
}

/// `hostler vm delete`.
#[derive(Args, Clone, Debug)]
pub struct Delete {
    /// The VMs
    #[arg(value_name = "NAME", value_parser = parse::in_project, add = complete::vms())]
    pub names: Vec<InProject>,
    /// All with this label; repeat it for several
    #[arg(long = "label", short = 'l', value_name = "KEY=VALUE", value_parser = parse::pair, conflicts_with = "names")]
    pub labels: Vec<(String, String)>,
    /// No error where there is none
    #[arg(long)]
    pub ignore_not_found: bool,
    /// Whether to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

impl Delete {
    pub async fn run(self, app: &App) -> Result {
        let client = app.client()?;
        let keys = self.keys(app, &client).await?;
        for_each(app, &keys, async |key| {
            match client.delete::<Vm>(key).await {
                Err(e) if self.ignore_not_found && e.code() == base::Code::NotFound => return Ok(()),
                Err(e) => return Err(e.into()),
                Ok(_) => {}
            }
            if self.wait.wait {
                wait_for(app, key, Goal::Deleted, &self.wait).await?;
            }
            done(app, "VM", key, if self.wait.wait { "is gone" } else { "is being deleted" });
            Ok(())
        })
        .await
    }

    /// Those that were named. Those that labels choose only after a yes, since nobody has seen their names.
    async fn keys(&self, app: &App, client: &Client) -> Result<Vec<Key>> {
        if !self.names.is_empty() {
            return keys(app, &self.names);
        }
        if self.labels.is_empty() {
            return Err(objects::nothing_named());
        }
        let args = ListArgs { labels: self.labels.clone(), watch: false };
        let keys = objects::select::<Vm>(client, Some(&app.project()?), &args).await?;
        if keys.is_empty() {
            app.printer.note("no VM has these labels");
            return Ok(keys);
        }
        let names: Vec<String> = keys.iter().map(Key::short).collect();
        app.confirm(&format!("Delete {} VMs, disk and all: {}?", keys.len(), names.join(", ")))?;
        Ok(keys)
    }
}

/// `hostler vm wait`.
#[derive(Args, Clone, Debug)]
pub struct Wait {
    /// The VM
    #[arg(value_parser = parse::in_project, add = complete::vms())]
    pub name: InProject,
    /// What to wait for
    #[arg(
        long = "for",
        value_name = "placed|ready|stopped|deleted",
        default_value = "ready",
        hide_possible_values = true
    )]
    pub state: State,
    /// How long to wait at most
    #[arg(long, value_name = "TIME", value_parser = parse::seconds, default_value = "10m")]
    pub timeout: u64,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// It has a worker
    Placed,
    /// The guest answers
    Ready,
    /// It does not run
    Stopped,
    /// It is gone
    Deleted,
}

impl Wait {
    pub async fn run(self, app: &App) -> Result {
        let key = app.key(&self.name)?;
        let goal = match self.state {
            State::Placed => Goal::Placed,
            State::Ready => Goal::Ready,
            State::Stopped => Goal::Stopped,
            State::Deleted => Goal::Deleted,
        };
        let args = WaitArgs { wait: true, timeout: self.timeout };
        let Some(vm) = wait_for(app, &key, goal, &args).await? else {
            done(app, "VM", &key, "is gone");
            return Ok(OK);
        };
        objects::changed(app, &vm, &format!("is {}", vm.status.phase.as_str().to_lowercase()))
    }
}
