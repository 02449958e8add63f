//! `hostler operation`.

use super::objects::{self, ListArgs};
use crate::{
    Failure, Result,
    app::App,
    failure::OK,
    parse::{self, InProject},
    progress::Progress,
    rows::{self, Row, or_dash},
    table::{Column, col, wide},
    when,
};
use api::{
    Operation,
    fleet::{NodeEvent, NodeStepState},
    query::{ListQuery, LogQuery},
    record::{OperationState, OperationStatus},
    routes::RouteId,
};
use base::Error;
use clap::Subcommand;
use client::Key;
use std::time::Duration;

/// Operations.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List operations, oldest first
    #[command(visible_alias = "ls")]
    List {
        /// Go on and show what changes
        #[arg(long, short = 'w')]
        watch: bool,
        /// Only the newest ones, this many
        #[arg(long, value_name = "N", default_value_t = 100)]
        last: u32,
    },
    /// Show an operation
    Get {
        /// Its name
        #[arg(value_parser = parse::in_project)]
        name: InProject,
    },
    /// Show what an operation has said
    #[command(visible_alias = "logs")]
    Log {
        /// Its name
        #[arg(value_parser = parse::in_project)]
        name: InProject,
        /// Go on until it has ended
        #[arg(long, short = 'f')]
        follow: bool,
    },
    /// Show what happens on the nodes of an operation, until it has ended
    Watch {
        /// Its name
        #[arg(value_parser = parse::in_project)]
        name: InProject,
    },
    /// Wait until an operation has ended
    Wait {
        /// Its name
        #[arg(value_parser = parse::in_project)]
        name: InProject,
        /// How long to wait at most
        #[arg(long, value_name = "TIME", value_parser = parse::seconds, default_value = "10m")]
        timeout: u64,
    },
    /// Ask an operation to end early
    Cancel {
        /// Its name
        #[arg(value_parser = parse::in_project)]
        name: InProject,
    },
}

impl Row for Operation {
    const COLUMNS: &'static [Column] =
        &[col("NAME"), col("KIND"), col("STATE"), col("STEP"), col("AGE"), wide("AUTHOR"), col("MESSAGE")];
    fn cells(&self) -> Vec<String> {
        let (m, status) = (&self.metadata, &self.status);
        vec![
            m.name.to_string(),
            self.spec.kind.clone(),
            format!("{:?}", status.state),
            or_dash(step(status)),
            when::age(m.created_at, rt::clock::wall()),
            self.spec.author.clone(),
            or_dash(status.error.as_ref().map(ToString::to_string).unwrap_or_default()),
        ]
    }
    fn name(&self) -> String {
        self.metadata.name.to_string()
    }
}

/// The step that it is at, with its place among all.
fn step(status: &OperationStatus) -> String {
    let running = status.steps.iter().position(|s| s.state == OperationState::Running);
    let at = running.or_else(|| status.steps.iter().rposition(|s| s.state != OperationState::Pending));
    at.map(|i| format!("{}/{} {}", i + 1, status.steps.len(), status.steps[i].name)).unwrap_or_default()
}

impl Command {
    pub async fn run(self, app: &App) -> Result {
        match self {
            Command::List { watch: true, .. } => {
                objects::list::<Operation>(app, None, &ListArgs { watch: true, ..ListArgs::default() }).await
            }
            Command::List { last, .. } => {
                let (mut items, revision) =
                    app.client()?.list_all::<Operation>(None, &ListQuery::default()).await?;
                items.sort_by_key(|o| o.metadata.created_at);
                let older = items.len().saturating_sub(last as usize);
                rows::list(app, &items[older..], Some(revision), "operations")?;
                Ok(OK)
            }
            Command::Get { name } => objects::get::<Operation>(app, &[find(app, &name).await?]).await,
            Command::Log { name, follow } => show_log(app, &find(app, &name).await?, follow).await,
            Command::Watch { name } => watch(app, &find(app, &name).await?).await,
            Command::Wait { name, timeout } => {
                let operation = wait(app, &find(app, &name).await?, Duration::from_secs(timeout)).await?;
                objects::changed(app, &operation, "has ended well")
            }
            Command::Cancel { name } => {
                let (key, client) = (find(app, &name).await?, app.client()?);
                let call = match &key.project {
                    Some(project) => client.call(RouteId::CancelProjectOperation, &[project, &key.name]),
                    None => client.call(RouteId::CancelOperation, &[&key.name]),
                };
                let _: Option<serde_json::Value> = call.send_optional().await?;
                objects::done(app, "operation", &key, "was asked to end");
                Ok(OK)
            }
        }
    }
}

/// The operation of this name: of the project, else of the cluster.
async fn find(app: &App, name: &InProject) -> Result<Key> {
    let key = app.key(name)?;
    if name.project.is_some() || app.client()?.find::<Operation>(&key).await?.is_some() {
        return Ok(key);
    }
    Ok(Key::cluster(key.name))
}

/// Shows what an operation of a project has said; with `follow` until it has ended.
pub async fn show_log(app: &App, key: &Key, follow: bool) -> Result {
    let query = LogQuery { follow, ..LogQuery::default() };
    let mut log = app.client()?.operation_log(of_project(key)?, &query).await?;
    while let Some(piece) = log.next().await? {
        app.printer.data(&piece);
    }
    Ok(OK)
}

fn of_project(key: &Key) -> Result<&Key> {
    match key.project {
        Some(_) => Ok(key),
        None => Err(Error::not_found("operations of the cluster have no log").into()),
    }
}

/// Shows what happens on the nodes, from the beginning to the end of the operation: words, or with `-o json` an event a
/// line.
async fn watch(app: &App, key: &Key) -> Result {
    let query = LogQuery { follow: true, ..LogQuery::default() };
    let mut events = app.client()?.operation_events(of_project(key)?, &query).await?;
    let mut open = Vec::new();
    while let Some(piece) = events.next().await? {
        open.extend_from_slice(&piece);
        let whole = open.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = open.drain(..whole).collect();
        if app.printer.format.is_data() {
            app.printer.data(&lines);
            continue;
        }
        for event in lines.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()) {
            app.printer.line(&words(&event));
        }
    }
    Ok(OK)
}

/// `web1: step file ~/x of web is done`.
fn words(event: &NodeEvent) -> String {
    match event {
        NodeEvent::Queued { node } => format!("{node}: waits for its turn"),
        NodeEvent::Started { node } => format!("{node}: has begun"),
        NodeEvent::Again { node, error } => format!("{node}: is tried again: {error}"),
        NodeEvent::Step { node, step } => {
            let service = step.service.as_ref().map(|s| format!(" of {s}")).unwrap_or_default();
            let state = match step.state {
                NodeStepState::Started => "has begun",
                NodeStepState::Done => "is done",
                NodeStepState::Failed => "has failed",
            };
            format!("{node}: {}{service} {state}", step.step)
        }
        NodeEvent::Finished { node, outcome } => {
            let why = outcome.error.as_ref().map(|e| format!(": {e}")).unwrap_or_default();
            format!("{node}: {} after {:.1} s{why}", outcome.status, outcome.seconds)
        }
    }
}

/// An operation once it has ended, whichever way.
pub async fn ended(app: &App, key: &Key) -> Result<Operation> {
    let client = app.client()?;
    let ended = client::wait::until(&client, key, Duration::MAX, |operation: Option<Operation>| {
        let gone = || Error::not_found(format!("operation {} is no longer kept", key.name));
        let operation = operation.ok_or_else(gone)?;
        Ok(operation.status.state.ended().then_some(operation))
    });
    ended.await.map_err(Failure::from)
}

/// Waits for an operation and shows how far it is.
pub async fn wait(app: &App, key: &Key, limit: Duration) -> Result<Operation> {
    let client = app.client()?;
    let mut progress = Progress::spinner(app);
    let waited = client::wait::operation(&client, key, limit, |operation| {
        let at = step(&operation.status);
        progress.say(&format!("{}: {}", operation.spec.kind, if at.is_empty() { "waiting" } else { &at }));
    });
    waited.await.map_err(Failure::from)
}
