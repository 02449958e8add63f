//! `hostler run`: commands on nodes.

mod interactive;
mod preview;
mod scripts;

use super::{
    directory::{self, FleetDir},
    identity::{self, BecomeArgs},
    limits::LimitArgs,
    secrets::{self, SecretsArgs},
    selection::SelectionArgs,
    signals,
    ssh::ConnectArgs,
    summary,
    watching::{Seen, WatchArgs},
};
use crate::{Result, app::App, env, failure::OK, parse};
use ::secrets::{Redactor, Secrets};
use base::{Error, Secret};
use clap::Args;
use fleet::{
    engine::{Done, Engine, Interrupt, Outcome},
    run::{Commands, Last, Step, junit},
    session,
    watch::Kept,
};
use interactive::Shells;
use inventory::{Inventory, Node, Selector};
use scripts::Scripts;
use serde::Serialize;
use std::{path::PathBuf, time::Duration};

/// What is kept of each output for `-o json`, and for JUnit.
const KEPT_AS_DATA: usize = 64 << 10;
const KEPT_IN_REPORTS: usize = 16 << 10;
/// What says nothing of a shell that a person has.
const NOT_OF_SHELLS: [&str; 10] = [
    "command",
    "commands-file",
    "script",
    "env",
    "secret_env",
    "timeout",
    "show_commands",
    "rerun_failed",
    "junit",
    "parallel",
];

/// Run commands on nodes: at the same time on many, shown node after node. Several commands of a node run one after the
/// other, and the first that fails is the last.
#[derive(Args, Debug)]
#[command(
    after_help = "Ends with 0 if all went well everywhere, 8 if somewhere, 1 if nowhere, 130 if it was interrupted.\n\
                        Examples:\n  hostler run --all --command hostname\n  \
                        hostler run --node '/web[1-5]$/' -c uptime -c 'df -h /' --output-style prefix\n  \
                        hostler run --node-service web --script check.py --parallel"
)]
pub struct Run {
    /// What
    #[command(flatten)]
    scripts: Scripts,
    /// A shell on each node, one after the other; leave one by its end, or with ~. at the beginning of a line
    #[arg(long, short = 'i', conflicts_with_all = NOT_OF_SHELLS)]
    interactive: bool,
    /// A variable for the commands; without a value, ours. Repeat it for several
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = variable)]
    env: Vec<(String, Option<String>)>,
    /// A variable whose value is a secret of the fleet
    #[arg(long, value_name = "NAME=SECRET", value_parser = secret_variable)]
    secret_env: Vec<(String, String)>,
    /// How long each command may run on a node; then all that it started there is ended
    #[arg(long, short = 't', value_name = "TIME", value_parser = parse::some_seconds)]
    timeout: Option<u64>,
    /// Show what would be run, and where; connect to nobody
    #[arg(long, short = 's')]
    show_commands: bool,
    /// The nodes where the last run in this directory did not end well
    #[arg(long)]
    rerun_failed: bool,
    /// Write a report as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// How it is shown
    #[command(flatten)]
    watch: WatchArgs,
    /// Which nodes
    #[command(flatten)]
    selection: SelectionArgs,
    /// How many at once
    #[command(flatten)]
    limits: LimitArgs,
    /// As whom
    #[command(flatten)]
    other: BecomeArgs,
    /// How nodes are reached
    #[command(flatten)]
    connect: ConnectArgs,
    /// Which secrets
    #[command(flatten)]
    secrets: SecretsArgs,
    /// Where the fleet is
    #[command(flatten)]
    dir: FleetDir,
}

/// The answer as data.
#[derive(Serialize)]
struct Answer<'a> {
    items: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    #[serde(flatten)]
    outcome: &'a Outcome,
    #[serde(flatten)]
    said: &'a Kept,
}

impl Run {
    pub async fn run(self, app: &App) -> Result {
        if self.interactive {
            return self.shells(app).await;
        }
        if self.scripts.is_empty() {
            return Err(Error::invalid("--command", "nothing is to be run")
                .hint("give --command, --commands-file, --script or --interactive")
                .into());
        }
        let mut inventory = self.dir.inventory(app, &self.connect.ssh).await?;
        let nodes = self.nodes(app, &mut inventory).await?;
        let lazy = self.secrets.lazy(&self.dir)?;
        let secrets = secrets::read(app, &lazy, self.needs_secrets()).await?;
        let steps = self.steps(secrets)?;
        if self.show_commands {
            preview::show(app, &nodes, &steps, &self.other)?;
            return Ok(OK);
        }
        let done = self.all(app, &nodes, &steps, secrets, &inventory.secrets()).await?;
        Ok(done)
    }

    async fn shells(&self, app: &App) -> Result {
        let mut inventory = self.dir.inventory(app, &self.connect.ssh).await?;
        let nodes = self.selection.choose_to_reach(app, &mut inventory).await?;
        let identity = self.other.identity(app, None)?;
        let ssh = self.connect.way(app, &self.dir, self.connect.login(app)?)?;
        Shells { app, ssh, identity }.open(&nodes).await
    }

    async fn all(
        &self,
        app: &App,
        nodes: &[Node],
        steps: &[Step],
        secrets: Option<&Secrets>,
        of_inventory: &[Secret],
    ) -> Result {
        let identity = self.other.identity(app, secrets)?;
        let login = self.connect.login(app)?;
        let passwords = identity.password.iter().chain(&login.password);
        let redactor = hidden(secrets, passwords.chain(of_inventory))?;
        let connectors = self.connect.connectors(app, &self.dir, login)?;
        let job = Commands { connectors: &connectors, steps, identity };
        let watch = self.watch.begin(app, "Executing actions", nodes, self.keep(app)).await?;
        let interrupt = Interrupt::new();
        let _signals = signals::listen(&app.printer, &interrupt)?;
        let limits = self.limits.limits();
        let engine = Engine { limits: &limits, interrupt: &interrupt, observer: &watch, redactor: &redactor };
        let done: Vec<Done<()>> = engine.run(nodes, &job).await;
        let seen = watch.finish().await;
        let outcomes: Vec<&Outcome> = done.iter().map(|done| &done.outcome).collect();
        Last::of(outcomes.iter().copied()).write(&self.state_file()?)?;
        let items = outcomes.iter().zip(&seen.kept).map(|(outcome, said)| Item { outcome, said });
        seen.answer(app, &Answer { items: items.collect() }).await?;
        summary::tell(app, &self.watch, &outcomes, &seen);
        self.write_report(&outcomes, &seen)?;
        Ok(summary::exit_code(&outcomes, &seen, &interrupt))
    }

    fn write_report(&self, outcomes: &[&Outcome], seen: &Seen) -> Result<()> {
        let Some(path) = &self.junit else { return Ok(()) };
        let written = std::fs::write(path, junit(outcomes, &seen.kept));
        Ok(written.map_err(|e| Error::io(format_args!("write {}", path.display()), &e).at("--junit"))?)
    }

    fn keep(&self, app: &App) -> usize {
        match (app.printer.format.is_data() || self.watch.events.is_some(), &self.junit) {
            (true, _) => KEPT_AS_DATA,
            (false, Some(_)) => KEPT_IN_REPORTS,
            (false, None) => 0,
        }
    }

    fn needs_secrets(&self) -> bool {
        !self.secret_env.is_empty() || self.other.needs_secrets() || !self.secrets.files.is_empty()
    }

    /// Those that are chosen; with `--rerun-failed` only those of the last run that were not well.
    async fn nodes(&self, app: &App, inventory: &mut Inventory) -> Result<Vec<Node>> {
        if !self.rerun_failed {
            return self.selection.choose_to_reach(app, inventory).await;
        }
        let last = Last::read(&self.state_file()?)?.ok_or_else(|| {
            Error::not_found("nothing is known of a run in this directory").at("--rerun-failed")
        })?;
        let mut selection = self.selection.clone();
        let known = |name: &String| inventory.nodes.contains_key(name);
        let again: Vec<Selector> = last.not_well.into_iter().filter(known).map(Selector::Node).collect();
        if again.is_empty() && !selection.allow_empty {
            return Err(Error::not_found("all nodes of the last run in this directory were well")
                .at("--rerun-failed")
                .hint("choose nodes by another selector, or give --allow-empty")
                .into());
        }
        if selection.selection().include.is_empty() {
            selection.nodes = again;
            selection.allow_empty = true;
        } else {
            selection.limit.extend(again);
        }
        selection.choose_to_reach(app, inventory).await
    }

    /// Where it is remembered which nodes of this fleet were not well.
    fn state_file(&self) -> Result<PathBuf> {
        Ok(directory::remembered(&self.dir.path()?, "last-runs")?.with_extension("json"))
    }

    fn steps(&self, secrets: Option<&Secrets>) -> Result<Vec<Step>> {
        let variables = self.variables(secrets)?;
        let mut steps = self.scripts.steps()?;
        for step in &mut steps {
            step.command.env.clone_from(&variables);
            step.command.timeout = self.timeout.map(Duration::from_secs);
        }
        Ok(steps)
    }

    fn variables(&self, secrets: Option<&Secrets>) -> Result<Vec<(String, String)>> {
        let mut variables = Vec::new();
        for (name, value) in &self.env {
            let value = value.clone().or_else(|| env::var(name)).ok_or_else(|| {
                Error::invalid("--env", format!("there is no variable {name} here"))
                    .hint(format!("set it, or say what it shall be: --env {name}=VALUE"))
            })?;
            variables.push((name.clone(), value));
        }
        for (name, secret) in &self.secret_env {
            let value = identity::secret(secrets, secret, "--secret-env")?;
            variables.push((name.clone(), value.expose_secret().to_owned()));
        }
        Ok(variables)
    }
}

/// Hides the secrets that were read, and these.
fn hidden<'a>(secrets: Option<&Secrets>, others: impl IntoIterator<Item = &'a Secret>) -> Result<Redactor> {
    Ok(match secrets {
        Some(secrets) => secrets.redactor(others)?,
        None => Redactor::new(others)?,
    })
}

fn variable(text: &str) -> Result<(String, Option<String>), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    Ok((variable_name(name)?, value))
}

fn secret_variable(text: &str) -> Result<(String, String), String> {
    let (name, secret) = parse::pair(text)?;
    Ok((variable_name(&name)?, secret))
}

fn variable_name(name: &str) -> Result<String, String> {
    match session::variable(name) {
        Ok(name) => Ok(name.to_owned()),
        Err(e) => Err(format!("{}: {}", e.message, e.hint.unwrap_or_default())),
    }
}
