//! `hostler event`.

use crate::{
    Result,
    app::App,
    failure::OK,
    parse,
    rows::{self, Row, Rows},
    table::{Column, col, wide},
    when,
};
use api::{Event, query::RecordQuery};
use base::Name;
use clap::{Args, Subcommand};
use client::list::Record;
use std::time::Duration;

/// Events.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List events, oldest first
    #[command(visible_alias = "ls")]
    List {
        /// Only about this kind of object: vm, worker, image, ...
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
        /// Only about objects of this name
        #[arg(long, value_name = "NAME", value_parser = parse::name)]
        name: Option<Name>,
        /// Which of them
        #[command(flatten)]
        follow: Follow,
    },
}

/// How much of a sequence of records, and whether to go on.
#[derive(Args, Clone, Debug)]
pub struct Follow {
    /// Only the newest ones, this many
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub last: u32,
    /// Go on and show what is added
    #[arg(long = "watch", visible_alias = "follow", short = 'w')]
    pub watch: bool,
}

/// How soon an addition is shown.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Row for Event {
    const COLUMNS: &'static [Column] =
        &[col("AGE"), wide("TIME"), col("KIND"), col("NAME"), col("REASON"), col("MESSAGE")];
    fn cells(&self) -> Vec<String> {
        let project = self.project.as_ref().filter(|p| p.as_str() != api::access::DEFAULT_PROJECT);
        vec![
            when::age(self.time, rt::clock::wall()),
            self.time.to_string(),
            self.kind.clone(),
            project.map_or_else(|| self.name.to_string(), |p| format!("{}.{p}", self.name)),
            self.reason.clone(),
            if self.warning { format!("warning: {}", self.message) } else { self.message.clone() },
        ]
    }
    fn name(&self) -> String {
        self.id.to_string()
    }
}

impl Command {
    pub async fn run(self, app: &App) -> Result {
        let Command::List { kind, name, follow } = self;
        let project = app.global.project.as_ref().map(ToString::to_string);
        let query =
            RecordQuery { project, kind, name: name.map(|n| n.to_string()), ..RecordQuery::default() };
        records::<Event>(app, query, &follow, "events").await
    }
}

/// Shows records, and goes on with `--watch`.
pub async fn records<R: Record + Row>(app: &App, query: RecordQuery, follow: &Follow, what: &str) -> Result {
    let client = app.client()?;
    let first = RecordQuery { last: Some(follow.last), ..query.clone() };
    let items: Vec<R> = client.records(&first).await?;
    if !follow.watch {
        rows::list(app, &items, None, what)?;
        return Ok(OK);
    }
    let mut after = items.last().map_or(0, Record::id);
    let mut table = if app.printer.format.is_data() {
        for item in &items {
            app.printer.json_line(item);
        }
        None
    } else {
        Some(Rows::begin(app, &items))
    };
    loop {
        rt::clock::sleep(LOOK_AGAIN).await;
        let next = RecordQuery { after: Some(after), ..query.clone() };
        for item in client.records::<R>(&next).await? {
            after = item.id().max(after);
            match &mut table {
                Some(table) => table.add(app, &item),
                None => app.printer.json_line(&item),
            }
        }
    }
}
