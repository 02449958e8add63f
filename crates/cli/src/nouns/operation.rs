//! `hostler operation`.

use super::objects::{self, ListArgs};
use crate::{
    Failure, Result,
    app::App,
    failure::OK,
    parse,
    progress::Progress,
    rows::{self, Row, or_dash},
    table::{Column, col, wide},
    when,
};
use api::{
    Operation,
    query::ListQuery,
    record::{OperationState, OperationStatus},
    routes::RouteId,
};
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
        name: String,
    },
    /// Wait until an operation has ended
    Wait {
        /// Its name
        name: String,
        /// How long to wait at most
        #[arg(long, value_name = "TIME", value_parser = parse::seconds, default_value = "10m")]
        timeout: u64,
    },
    /// Ask an operation to end early
    Cancel {
        /// Its name
        name: String,
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
            Command::Get { name } => objects::get::<Operation>(app, &[Key::cluster(name)]).await,
            Command::Wait { name, timeout } => {
                let operation = wait(app, &name, Duration::from_secs(timeout)).await?;
                objects::changed(app, &operation, "has ended well")
            }
            Command::Cancel { name } => {
                let call = app.client()?.call(RouteId::CancelOperation, &[&name]);
                let _: Option<serde_json::Value> = call.send_optional().await?;
                objects::done(app, "operation", &Key::cluster(name), "was asked to end");
                Ok(OK)
            }
        }
    }
}

/// Waits for an operation and shows how far it is.
pub async fn wait(app: &App, name: &str, limit: Duration) -> Result<Operation> {
    let client = app.client()?;
    let mut progress = Progress::spinner(app);
    let waited = client::wait::operation(&client, name, limit, |operation| {
        let at = step(&operation.status);
        progress.say(&format!("{}: {}", operation.spec.kind, if at.is_empty() { "waiting" } else { &at }));
    });
    waited.await.map_err(Failure::from)
}
