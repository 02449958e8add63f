//! `hostler audit`.

use super::event::{Follow, records};
use crate::{
    Result,
    app::App,
    rows::{Row, or_dash},
    table::{Column, col, wide},
    when,
};
use api::{AuditRecord, query::RecordQuery};
use clap::Subcommand;

/// Audit records.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List audit records, oldest first
    #[command(visible_alias = "ls")]
    List {
        /// Which of them
        #[command(flatten)]
        follow: Follow,
    },
}

impl Row for AuditRecord {
    const COLUMNS: &'static [Column] = &[
        col("AGE"),
        wide("TIME"),
        col("WHO"),
        wide("SOURCE"),
        col("VERB"),
        col("RESULT"),
        wide("PROJECT"),
        wide("REQUEST"),
        col("PATH"),
    ];
    fn cells(&self) -> Vec<String> {
        vec![
            when::age(self.time, rt::clock::wall()),
            self.time.to_string(),
            self.principal.clone(),
            self.source.clone(),
            self.verb.clone(),
            self.result.clone(),
            or_dash(self.project.as_ref().map(ToString::to_string).unwrap_or_default()),
            self.request_id.clone(),
            self.path.clone(),
        ]
    }
    fn name(&self) -> String {
        self.id.to_string()
    }
}

impl Command {
    pub async fn run(self, app: &App) -> Result {
        let Command::List { follow } = self;
        let project = app.global.project.as_ref().map(ToString::to_string);
        records::<AuditRecord>(
            app,
            RecordQuery { project, ..RecordQuery::default() },
            &follow,
            "audit records",
        )
        .await
    }
}
